//! Feeds text to the reader of mount tables and looks up what is in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_translate::{LinuxPath, MountTable, Translator};

fuzz_target!(|text: &[u8]| {
    let table = MountTable::parse(text);
    for mount in table.iter() {
        let found = table.innermost(mount.point());
        assert_eq!(found.map(|found| found.point()), Some(mount.point()));
    }
    let translator = Translator::new(table.clone()).with_distribution(b"D", b"/");
    for mount in table.iter() {
        if let Ok(windows) = translator.to_windows(LinuxPath(mount.point())) {
            let _ = translator.to_linux(&windows);
        }
    }
});
