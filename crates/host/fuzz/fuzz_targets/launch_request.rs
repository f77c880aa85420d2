//! Feeds a message with descriptors to who reads it on the host's socket: a hand-over, or a launch.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::os::fd::OwnedFd;
use winterop_channel::Frame;
use winterop_host::request::{Incoming, LaunchRequest, sort};
use winterop_sys::PeerCredentials;

fuzz_target!(|input: &[u8]| {
    let Some((count, bytes)) = input.split_first() else { return };
    let null = File::open("/dev/null").expect("/dev/null");
    let count = usize::from(count % 17);
    let descriptors: Vec<OwnedFd> =
        (0..count).map(|_| null.try_clone().expect("a descriptor").into()).collect();
    let frame = match sort(Frame { bytes: bytes.to_vec(), descriptors }) {
        Ok(Incoming::Direct(frame)) => frame,
        Ok(Incoming::HandedOver { client, frame }) => {
            assert!(frame.descriptors.len() < count, "the client is one of them");
            drop(client);
            frame
        }
        Err(error) => return drop(error.to_string()),
    };
    match LaunchRequest::read(frame, PeerCredentials { pid: 1, uid: 1000, gid: 1000 }) {
        Ok(request) => {
            let _ = request.shown();
            let caller = request.caller();
            assert_eq!(caller.root.is_some(), request.descriptors.root.is_some());
        }
        Err(error) => drop(error.to_string()),
    }
});
