//! Feeds a registry file to both readers of the switch in it: a number, or words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_settings::flags::examine_text;

fuzz_target!(|bytes: &[u8]| {
    let said = examine_text(bytes);
    for said in &said {
        if let Err(why) = said {
            assert!(!why.to_string().is_empty());
        }
    }
    // One that was cut off in a line does not pass for one that says little.
    if !bytes.ends_with(b"\n") && !bytes.starts_with(b"\xFF\xFE") {
        assert!(said.iter().all(Result::is_err), "{said:?}");
    }
    // The machine's file has the value, or is an error.
    assert!(!matches!(said[0], Ok(None)));
});
