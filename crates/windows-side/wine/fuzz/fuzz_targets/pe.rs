//! Feeds a file to whoever says what kind of program it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_wine::pe::{Abilities, Diagnosis, diagnose, diagnose_with};

const ALL: Abilities = Abilities { x86_64: true, x86: true, dot_net: true };

fuzz_target!(|bytes: &[u8]| {
    let whole = diagnose(bytes);
    let read_at = |offset: u64, buffer: &mut [u8]| {
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    };
    assert_eq!(diagnose_with(read_at).expect("nothing fails here"), whole);
    // What runs is a program, and what does not is said in words.
    match whole.check(ALL) {
        Ok(program) => assert_eq!(whole, Diagnosis::Program(program)),
        Err(unfit) => assert!(!unfit.to_string().is_empty() && unfit.exit_status() == 126),
    }
});
