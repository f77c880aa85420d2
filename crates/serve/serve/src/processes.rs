//! What other processes were started with, for those who look for a process by its environment.
//!
//! To read it the kernel locks the process's memory, and that lock a process may hold for as long as it
//! likes: it maps a file of a file system of its own, writes to it, and has the pages replaced. So threads
//! of their own read, for a moment each. One that hangs is left alone with what it reads.

use crate::readers::Readers;
use rustix::process::Pid;
use std::fs::{self, File};
use std::io::{self, Read as _};

/// How much of an environment one call reads; most have a few KiB.
const AT_ONCE: usize = 32 * 1024;

/// The most that is read of an environment. The kernel starts no program with more than 6 MiB of
/// variables and arguments; but a process may say of itself that any of its memory is its environment.
const MOST: u64 = 8 << 20;

/// A process's environment, as it was when its program was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environment {
    /// The entries, each with a NUL behind it.
    Known(Vec<u8>),
    /// The process is just becoming a program: it has lost the environment of the one that it was (in
    /// the middle of reading, too), and has none yet. Or it lets nobody look at its memory. Whoever looks
    /// for it has to look again.
    NotYet,
}

impl Environment {
    /// Asks the kernel (`/proc/PID/environ`), for a moment. Of one that is longer than any with which a
    /// program can be started it has the beginning.
    ///
    /// # Errors
    /// The system's: of a process that has ended, or that others than its user ask about.
    pub fn of(process: Pid) -> io::Result<Self> {
        static READERS: Readers<io::Result<Environment>> = Readers::new();
        let folder = format!("/proc/{}", process.as_raw_nonzero());
        // Without a begin there is no such process.
        let [begin] = numbers(&folder, [BEGIN]).ok_or(io::ErrorKind::NotFound)?;
        let key = (process.as_raw_nonzero().get(), begin);
        READERS.read(key, move || Self::read(process)).unwrap_or(Ok(Self::NotYet))
    }

    /// The same, for as long as it takes.
    fn read(process: Pid) -> io::Result<Self> {
        let folder = format!("/proc/{}", process.as_raw_nonzero());
        let mut file = File::open(format!("{folder}/environ"))?;
        let mut bytes = vec![0; AT_ONCE];
        let first = file.read(&mut bytes)?;
        bytes.truncate(first);
        // What came with one call is whole; the next one may find that the program has gone.
        let is_whole = (1..AT_ONCE).contains(&first);
        if first == AT_ONCE {
            file.take(MOST - AT_ONCE as u64).read_to_end(&mut bytes)?;
            if bytes.len() as u64 == MOST {
                return Ok(Self::Known(bytes));
            }
        }
        // Threads of the kernel and zombies have no program.
        let is_program = || fs::read_link(format!("{folder}/exe")).is_ok();
        if is_whole || length(&folder) == Some(bytes.len()) || !is_program() {
            return Ok(Self::Known(bytes));
        }
        Ok(Self::NotYet)
    }

    /// Whether one of the entries is meant; not known while the process becomes a program.
    pub fn any(&self, is_meant: impl FnMut(&[u8]) -> bool) -> Option<bool> {
        match self {
            Self::Known(bytes) => Some(bytes.split(|byte| *byte == 0).any(is_meant)),
            Self::NotYet => None,
        }
    }
}

/// How long an environment is: from its begin to its end, the 50th and the 51st field of
/// `/proc/PID/stat` (proc(5)). No length fits while exec fills it: the code is still nowhere (the 26th
/// field) then.
fn length(folder: &str) -> Option<usize> {
    let [code, begin, end] = numbers(folder, [26, 50, 51])?;
    let length = usize::try_from(end.checked_sub(begin)?).ok()?;
    Some(if code == 0 { usize::MAX } else { length })
}

/// The field of `stat` in which a process's begin is, in ticks since the boot (proc(5)).
pub const BEGIN: usize = 22;

/// Fields of a process's `stat`, by their numbers in proc(5), which begin at 3 behind the name. `None` where
/// there is no such process or field.
#[must_use]
pub fn numbers<const N: usize>(folder: &str, fields: [usize; N]) -> Option<[u64; N]> {
    let stat = fs::read(format!("{folder}/stat")).ok()?;
    // A name may hold anything, parentheses too.
    let behind = stat.get(stat.iter().rposition(|byte| *byte == b')')? + 1..)?;
    let behind: Vec<&str> = std::str::from_utf8(behind).ok()?.split_whitespace().collect();
    let mut found = [0; N];
    for (number, field) in found.iter_mut().zip(fields) {
        *number = behind.get(field.checked_sub(3)?)?.parse().ok()?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Child, Command};

    fn sleeper(set: impl FnOnce(&mut Command)) -> Child {
        let mut command = Command::new("sleep");
        set(command.arg("1000"));
        command.spawn().unwrap()
    }

    #[test]
    fn an_empty_environment_is_known_and_a_zombie_has_none() {
        let mut children = [
            sleeper(|it| {
                it.env_clear();
            }),
            sleeper(|it| {
                it.env_clear().env("NAME", "value");
            }),
        ];
        let of = |child: &Child| Environment::of(Pid::from_child(child)).unwrap();
        assert_eq!(of(&children[0]), Environment::Known(Vec::new()));
        assert_eq!(of(&children[1]).any(|entry| entry == b"NAME=value"), Some(true));
        assert_eq!(of(&children[1]).any(|entry| entry == b"NAME=other"), Some(false));
        for child in &mut children {
            child.kill().unwrap();
        }
        // It has ended, and is still there.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&children[1])), ended).unwrap();
        // Linux before 6.13 says that it has none.
        let of_a_zombie = Environment::of(Pid::from_child(&children[1]));
        assert!(of_a_zombie.map_or(true, |it| it == Environment::Known(Vec::new())));
        for child in &mut children {
            child.wait().unwrap();
        }
    }

    /// Says of 64 MiB of its own memory that they are its environment (`PR_SET_MM_MAP`), which needs no
    /// rights, and waits.
    const HUGE: &str = "\
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
fields = open('/proc/self/stat', 'rb').read().rpartition(b')')[2].split()
at = lambda number: int(fields[number - 3])
libc.mmap.restype = ctypes.c_void_p
length = 64 << 20
start = libc.mmap(None, ctypes.c_size_t(length), 3, 0x22, -1, ctypes.c_long(0))
ctypes.memset(start, 1, length)
told = struct.pack('<12QIi', at(26), at(27), at(45), at(46), at(47), at(47), at(28), at(48), at(49),
    start, start + length, 0, 0, -1)
if libc.prctl(35, 14, told, len(told), 0):
    sys.exit(ctypes.get_errno())
print(flush=True)
sys.stdin.read()
";

    #[test]
    fn of_an_environment_that_no_program_can_be_started_with_the_beginning_is_read() {
        use std::io::{BufRead as _, BufReader};
        use std::process::Stdio;
        let mut command = Command::new("python3");
        command.args(["-c", HUGE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "\n", "its environment cannot be moved: {:?}", child.wait());
        let environment = Environment::of(Pid::from_child(&child)).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        let Environment::Known(bytes) = environment else { panic!("it is not known") };
        assert_eq!(bytes.len() as u64, MOST);
    }

    #[test]
    fn one_that_becomes_another_program_all_the_time_never_seems_to_have_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("again");
        fs::write(&script, "#!/bin/sh\nexec \"$0\"\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        let mut child = Command::new(&script).env("MARK", "it").spawn().unwrap();
        let process = Pid::from_child(&child);
        let mut not_yet = 0;
        for _ in 0..200_000 {
            match Environment::of(process).unwrap().any(|entry| entry == b"MARK=it") {
                Some(is_there) => assert!(is_there),
                None => not_yet += 1,
            }
            if not_yet == 20 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_ne!(not_yet, 0, "the moment that this is for was never met");
    }
}
