//! Feeds a policy to its reader: rules or words, and never a policy that says something else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_settings::Policy;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = Policy::examine_text(bytes) {
        assert!(error.to_string().contains("policy.toml"));
    }
});
