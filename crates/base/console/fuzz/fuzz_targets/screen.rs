//! Feeds what a program writes to whoever follows it: the first byte says where it is cut in two.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_console::screen::{Follower, Screen};

/// What the terminal was told after these.
fn told<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Screen {
    let mut follower = Follower::new();
    pieces.into_iter().for_each(|piece| follower.follow(piece));
    *follower.screen()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((at, written)) = bytes.split_first() else { return };
    let screen = told([written]);
    let (first, rest) = written.split_at(usize::from(*at).min(written.len()));
    assert_eq!(told([first, rest]), screen);
    // What undoes it does so, from the ground on.
    let mut follower = Follower::new();
    follower.follow(written);
    follower.follow(b"\x18");
    screen.undo(|sequence| follower.follow(sequence));
    assert!(follower.screen().is_plain(), "{screen:?} becomes {:?}", follower.screen());
    // Whoever has it in the file that they share has the same, and nothing in there is dangerous.
    assert_eq!(Screen::from_bytes(&screen.to_bytes()), screen);
    if let Some((foreign, _)) = written.split_first_chunk() {
        let foreign = Screen::from_bytes(foreign);
        foreign.redo(|sequence| assert!(sequence.iter().all(|byte| byte.is_ascii())));
        foreign.undo(|sequence| assert!(!sequence.is_empty()));
    }
});
