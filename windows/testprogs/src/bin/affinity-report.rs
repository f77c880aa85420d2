//! `affinity-report [MILLISECONDS]`: which processors the program may use.
//!
//! Prints "process MASK", "system MASK" (hexadecimal) and "processors COUNT". With MILLISECONDS it
//! then keeps two threads busy for that long and prints "busy CPU WALL", the processor time used
//! and the time passed, both in milliseconds: with two processors of its own CPU is twice WALL.

use std::hint;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessAffinityMask, GetProcessTimes,
};
use winterop_testprogs::{number_argument, say};

fn main() -> io::Result<()> {
    let (process, system) = masks()?;
    say(&format!("process {process:x}"))?;
    say(&format!("system {system:x}"))?;
    say(&format!("processors {}", processors()))?;
    match number_argument(1, 0)? {
        0 => Ok(()),
        milliseconds => busy(Duration::from_millis(milliseconds)),
    }
}

fn masks() -> io::Result<(usize, usize)> {
    let (mut process, mut system) = (0, 0);
    // SAFETY: takes nothing and returns a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: the handle is this process's, and both masks have a place.
    if unsafe { GetProcessAffinityMask(this, &mut process, &mut system) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((process, system))
}

fn processors() -> u32 {
    let mut information = SYSTEM_INFO::default();
    // SAFETY: the structure is there to be filled.
    unsafe { GetSystemInfo(&mut information) };
    information.dwNumberOfProcessors
}

fn busy(length: Duration) -> io::Result<()> {
    let (start, used) = (Instant::now(), processor_time()?);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while start.elapsed() < length {
                    (0..10_000).for_each(|_| hint::spin_loop());
                }
            });
        }
    });
    let (wall, used) = (start.elapsed(), processor_time()? - used);
    say(&format!("busy {} {}", used.as_millis(), wall.as_millis()))
}

/// The time that processors have worked for this process.
fn processor_time() -> io::Result<Duration> {
    let mut times = [FILETIME::default(); 4];
    let [created, ended, kernel, user] = &mut times;
    // SAFETY: takes nothing and returns a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: the handle is this process's, and the four times have their places.
    if unsafe { GetProcessTimes(this, created, ended, kernel, user) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let units =
        |time: &FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    // The unit is 100 ns.
    Ok(Duration::from_nanos((units(kernel) + units(user)) * 100))
}
