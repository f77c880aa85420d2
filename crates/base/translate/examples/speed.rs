//! Measures what a launch spends on translation; run with `cargo run --release --example speed`.

use std::hint::black_box;
use std::time::Instant;
use winterop_translate::command_line::c_runtime;
use winterop_translate::paths::TranslateError;
use winterop_translate::wslenv::{self, Direction};
use winterop_translate::{Drives, LinuxPath, MountTable, Translator};

fn time(what: &str, rounds: u32, mut run: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..rounds {
            run();
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(rounds));
    }
    println!("{what:60} {:10.2} µs", best * 1e6);
}

fn main() -> Result<(), TranslateError> {
    let mut text = String::from("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
    for index in 0..200 {
        text += &format!(
            "{} 1 0:{index} / /mnt/some/place/{index} rw,relatime shared:{index} - 9p none rw,aname=drvfs;path=C:\\134{index},trans=fd\n",
            index + 20
        );
    }
    time("parse 200 mounts", 200, || {
        black_box(MountTable::parse(black_box(text.as_bytes())));
    });
    let mounts = MountTable::parse(text.as_bytes());
    let mut drives = Drives::default();
    drives.offer(b'Z', b"/");
    drives.offer(b'C', b"/home/me/.local/share/winterop/prefix/drive_c");
    let translator = Translator::new(mounts).with_drives(drives).with_distribution(b"Debian", b"/");
    for path in ["/mnt/some/place/150/Users/me/project/src/main.rs", "/home/me/project/src/main.rs"]
    {
        time(&format!("to Windows: {path}"), 100_000, || {
            black_box(translator.to_windows(LinuxPath(black_box(path).as_bytes())).ok());
        });
        let windows = translator.to_windows(LinuxPath(path.as_bytes()))?;
        time(&format!("to Linux: {windows}"), 100_000, || {
            black_box(translator.to_linux(black_box(&windows)).ok());
        });
    }
    let names: Vec<String> = (0..100).map(|index| format!("VARIABLE_{index}/l")).collect();
    let list = names.join(":");
    let value = b"/mnt/some/place/3/x:/home/me/y".as_slice();
    let arguments: Vec<String> =
        (0..1000).map(|index| format!("argument \"number\" {index}\\")).collect();
    time("100 variables of two paths each, and 1000 arguments", 200, || {
        let entries = wslenv::translate(
            Some(list.as_bytes()),
            Direction::ToWindows,
            |_| Some(value),
            |path| Some(translator.to_windows(LinuxPath(path)).ok()?.into_bytes()),
        );
        black_box(entries);
        let _ = black_box(c_runtime(&arguments));
    });
    Ok(())
}
