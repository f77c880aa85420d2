//! Feeds a message with descriptors to who reads it on a client's connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::os::fd::OwnedFd;
use winterop_channel::Frame;
use winterop_host::request::LaunchRequest;
use winterop_host::service::handed_over;
use winterop_sys::PeerCredentials;

fuzz_target!(|input: &[u8]| {
    let Some((count, bytes)) = input.split_first() else { return };
    let null = File::open("/dev/null").expect("/dev/null");
    let count = usize::from(count % 17);
    let frame = || {
        let copy = |_| null.try_clone().expect("a descriptor").into();
        let descriptors: Vec<OwnedFd> = (0..count).map(copy).collect();
        Frame { bytes: bytes.to_vec(), descriptors }
    };
    if handed_over(frame()).is_ok() {
        assert_eq!(count, 1, "its client alone travels with a hand-over");
    }
    let mut frame = frame();
    let peer = PeerCredentials { pid: 1, uid: 1000, gid: 1000 };
    match LaunchRequest::read(&mut frame, peer) {
        Ok(request) => {
            let _ = request.shown();
            let caller = request.caller();
            assert_eq!(caller.root.is_some(), request.endpoints.root.is_some());
        }
        // What came with it is closed by whoever has the frame.
        Err(error) => {
            assert_eq!(frame.descriptors.len(), count);
            drop(error.to_string());
        }
    }
});
