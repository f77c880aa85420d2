//! Feeds reads with descriptors to the inbox: of each a length, a number of descriptors, the bytes.
//!
//! The bytes of all messages are those that were fed, and a message has the descriptors of the reads
//! whose last byte it holds, each once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use winterop_channel::Inbox;

fuzz_target!(|input: &[u8]| {
    let null = File::open("/dev/null").expect("/dev/null");
    let mut inbox = Inbox::default();
    let (mut fed, mut taken) = (Vec::new(), 0);
    // Each descriptor with the end of its read.
    let mut expected: Vec<(usize, i32)> = Vec::new();
    let mut rest = input;
    while let [length, count, more @ ..] = rest {
        let (read, more) = more.split_at(usize::from(*length).min(more.len()));
        rest = more;
        let count = if read.is_empty() { 0 } else { count % 20 };
        let descriptors: Vec<OwnedFd> =
            (0..count).map(|_| null.try_clone().expect("a descriptor").into()).collect();
        fed.extend_from_slice(read);
        expected.extend(descriptors.iter().map(|one| (fed.len(), one.as_raw_fd())));
        assert!(inbox.read_size() > 0);
        if inbox.push(read, descriptors).is_err() {
            assert!(expected.len() > 16, "too many descriptors");
            return;
        }
        loop {
            match inbox.next_frame() {
                Ok(Some(frame)) => {
                    let end = taken + frame.bytes.len();
                    assert_eq!(fed.get(taken..end), Some(&*frame.bytes));
                    let later = expected.partition_point(|(its_end, _)| *its_end <= end);
                    let its: Vec<i32> = expected.drain(..later).map(|(_, number)| number).collect();
                    let found: Vec<i32> =
                        frame.descriptors.iter().map(|one| one.as_raw_fd()).collect();
                    assert_eq!(found, its);
                    taken = end;
                }
                Ok(None) => break,
                Err(error) => return drop(error.to_string()),
            }
        }
        assert_eq!(inbox.is_partial(), taken < fed.len());
        assert_eq!(inbox.end().is_ok(), taken == fed.len());
    }
});
