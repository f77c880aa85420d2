//! Feeds the list of distributions to its reader: what is read is written so that it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_distributions::registry::Registry;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let registry = match Registry::parse(text) {
        Ok(registry) => registry,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for one in registry.distributions() {
        assert!(one.directory.is_absolute());
        // A name finds the one that has it, however it is written.
        let name = one.name.to_string();
        assert_eq!(registry.find(&name).expect("it is there"), one);
    }
    let again = registry.to_text().expect("text came in");
    assert_eq!(Registry::parse(&again).expect("it was written here"), registry, "{again}");
});
