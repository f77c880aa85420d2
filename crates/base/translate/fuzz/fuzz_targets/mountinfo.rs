//! Feeds text to the reader of mount tables and looks up what is in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_translate::paths::normalize;
use winterop_translate::{LinuxPath, MountTable, Translator};

fuzz_target!(|text: &[u8]| {
    let table = MountTable::parse(text);
    for mount in table.iter() {
        let found = table.innermost(mount.point());
        assert_eq!(found.map(|found| found.point()), Some(mount.point()));
        // The kernel writes no others, and no path that is looked for has others.
        if *normalize(mount.point()) != *mount.point() {
            continue;
        }
        // Where a file is on its file system leads back to its name.
        let inside = [mount.point(), b"/x"].concat();
        for path in [mount.point(), &*normalize(&inside)] {
            let place = table.place(path).unwrap();
            let names = table.paths_to(&place);
            assert!(names.iter().any(|name| name == path));
            assert!(names.iter().all(|name| table.place(name).as_ref() == Some(&place)));
        }
    }
    let translator = Translator::new(table.clone()).with_distribution(b"D", b"/");
    for mount in table.iter() {
        if let Ok(windows) = translator.to_windows(LinuxPath(mount.point())) {
            let _ = translator.to_linux(&windows);
        }
    }
});
