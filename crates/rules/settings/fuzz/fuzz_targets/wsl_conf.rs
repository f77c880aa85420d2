//! Feeds a wsl.conf to its reader: what is wrong has a line of the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use winterop_settings::WslConf;

fuzz_target!(|bytes: &[u8]| {
    let (conf, diagnostics) = WslConf::parse(bytes, Path::new("wsl.conf"));
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for diagnostic in diagnostics {
        assert!(usize::try_from(diagnostic.line).is_ok_and(|line| (1..=lines).contains(&line)));
        let _ = diagnostic.to_string();
    }
    assert!(conf.automount.root.ends_with('/'));
});
