//! Feeds root's settings to their reader: settings that can be used, or words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_settings::MachineSettings;

fuzz_target!(|bytes: &[u8]| match MachineSettings::examine_text(bytes) {
    Ok(settings) => {
        // It becomes a file's name in binfmt_misc, and a field of what is written there.
        let entry = settings.entry.as_str();
        assert!(!entry.is_empty() && !entry.contains(['/', ':', '\n', '\0']), "{entry:?}");
        assert!(!["register", "status", ".", ".."].contains(&entry), "{entry:?}");
    }
    Err(error) => assert!(error.to_string().contains("config.toml")),
});
