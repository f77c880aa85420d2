//! Feeds paths of either side to translators for WSL's mounts and for Wine's drives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use winterop_translate::paths::normalize;
use winterop_translate::wslpath::{self, Context, Mode, ResolveError};
use winterop_translate::{Drives, LinuxPath, MountTable, Naming, Translator, WindowsPath};

const MOUNTS: &[u8] = b"\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:50 / /c rw - 9p none rw,aname=drvfs;path=C:\\134
3 1 0:51 / /s rw - 9p none rw,aname=drvfs;path=UNC\\134a\\134b
4 1 8:1 /p /q rw - ext4 /dev/sda1 rw
";

static TRANSLATORS: LazyLock<[Translator; 4]> = LazyLock::new(|| {
    let mut drives = Drives::default();
    drives.offer(b'Z', b"/");
    drives.offer(b'P', b"/p");
    let mounts = MountTable::parse(MOUNTS);
    [
        Translator::new(mounts.clone()).with_distribution(b"D", b"/"),
        Translator::new(mounts.clone()).with_drives(drives.clone()),
        Translator::new(mounts).with_drives(drives).with_naming(Naming::Wine),
        Translator::default().with_distribution(b"D", b"/"),
    ]
});

fuzz_target!(|path: &[u8]| {
    for translator in &*TRANSLATORS {
        if let Ok(linux) = translator.to_linux(&WindowsPath::from_bytes(path)) {
            assert!(LinuxPath(&linux).is_absolute());
        }
        if let Ok(windows) = translator.to_windows(LinuxPath(path)) {
            assert!(windows.is_absolute());
            assert!(translator.to_linux(&windows).is_ok());
        }
        let resolve = |_: &[u8]| Err(ResolveError::NotFound);
        let context = Context { translator, cwd: b"/c/x", resolve: &resolve };
        for mode in [Mode::Linux, Mode::Windows, Mode::Mixed] {
            let _ = wslpath::translate(path, mode, false, &context);
        }
        let words: Vec<&[u8]> = path.split(|&byte| byte == 0).collect();
        let outcome = wslpath::run(b"wslpath", &words, &context);
        assert_eq!(outcome.status == 0, outcome.stderr.is_empty());
    }
    // Private-use characters of its own are all that does not come back.
    let own = path.windows(2).any(|pair| matches!(pair, [0xEF, 0x80 | 0x81]));
    if !own && let Ok(windows) = TRANSLATORS[3].to_windows(LinuxPath(path)) {
        assert_eq!(TRANSLATORS[3].to_linux(&windows).as_deref(), Ok(&*normalize(path)));
    }
});
