//! What translating a path costs, once the mounts are parsed.

use std::hint::black_box;

use anyhow::Result;
use winterop_translate::{Drives, MountTable, Translator, WindowsPath};

use super::figures::median_of_batches;

/// How many mounts the machine has.
const MOUNTS: usize = 200;

/// Translations per sample.
const BATCH: u32 = 200;

/// The median of one translation in microseconds, of the kind that takes longest: of a path on a
/// mounted drive, below the prefix, or anywhere else, to Windows or back.
///
/// # Errors
/// If one of the paths cannot be translated.
pub(super) fn measure(turns: usize) -> Result<f64> {
    let translator = translator();
    let mut slowest = 0.0_f64;
    for path in [
        "/mnt/some/place/150/Users/me/project/src/main.rs",
        "/home/me/.local/share/winterop/prefix/drive_c/windows/system32/cmd.exe",
        "/home/me/project/src/main.rs",
    ] {
        let windows = translator.to_windows(path.into())?;
        let to_windows = || translator.to_windows(black_box(path).into()).is_ok();
        let to_linux = || translator.to_linux(black_box::<&WindowsPath>(&windows)).is_ok();
        slowest = slowest.max(time(turns, to_windows)?).max(time(turns, to_linux)?);
    }
    Ok(slowest)
}

fn translator() -> Translator {
    let mut text = String::from("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
    for number in 0..MOUNTS {
        text += &format!(
            "{} 1 0:{number} / /mnt/some/place/{number} rw,relatime shared:{number} - \
             9p none rw,aname=drvfs;path=C:\\134{number},trans=fd\n",
            number + 20
        );
    }
    let mut drives = Drives::default();
    drives.offer(b'Z', b"/");
    drives.offer(b'C', b"/home/me/.local/share/winterop/prefix/drive_c");
    let mounts = MountTable::parse(text.as_bytes());
    Translator::new(mounts).with_drives(drives).with_distribution(b"Debian", b"/")
}

fn time(turns: usize, translate: impl Fn() -> bool) -> Result<f64> {
    let wrong = "a path cannot be translated";
    Ok(median_of_batches(turns, BATCH, wrong, translate)? * 1e6)
}
