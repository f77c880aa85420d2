//! What Wine's command processor is given of what it reads.

/// What npm's `.cmd` files say to end their own run on Windows while the rest of the line goes on: a jump
/// to a label that is not there, and what is done then.
///
/// In Wine 8 the rest of the line does not run. There blanks in this place do what is meant.
const JUMP_TO_NOWHERE: &[u8] = b"goto #_undefined_# 2>NUL || ";

/// Puts bytes into `room` until a line ends, or there are no more; says how many.
///
/// Wine's command processor reads as much as there is, takes the first line and seeks back to the next
/// one: from a pipe it would lose everything behind the first line.
pub(crate) fn read_line(room: &mut [u8], mut next: impl FnMut() -> Option<u8>) -> usize {
    let mut count = 0_usize;
    for place in room {
        let Some(byte) = next() else { break };
        *place = byte;
        count = count.wrapping_add(1);
        if byte == b'\n' {
            break;
        }
    }
    count
}

/// Overwrites each jump to nowhere with as many blanks, so that what stands behind it stays where it is.
pub(crate) fn blank_jumps(text: &mut [u8]) {
    let mut rest = text;
    while let Some(head) = rest.get_mut(..JUMP_TO_NOWHERE.len()) {
        if head.eq_ignore_ascii_case(JUMP_TO_NOWHERE) {
            head.fill(b' ');
        }
        rest = rest.get_mut(1..).unwrap_or_default();
    }
}
