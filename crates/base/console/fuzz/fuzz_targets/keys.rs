//! Feeds what is typed to the reader of keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_console::keys::{Key, Progress};

fuzz_target!(|bytes: &[u8]| {
    let mut key = Key::new();
    let mut length = 0;
    for byte in bytes {
        let begins = length == 0;
        length += 1;
        match key.take(*byte) {
            Progress::Whole => {
                // The next one begins as if nothing had been before it.
                let mut fresh = Key::new();
                let mut after = key;
                assert_eq!(after.take(*byte), fresh.take(*byte));
                length = 0;
            }
            // Only an escape sequence and a character of several bytes go on.
            Progress::MayGoOn => assert!(!begins || *byte == 0x1b),
            Progress::GoesOn => assert!(!begins || *byte >= 0xc2),
        }
    }
});
