//! Follows what is written to a terminal, and knows what undoes it.
//!
//! A program may leave a terminal on its other screen, without a cursor, or reporting the mouse. Who
//! puts it back must undo what was done and nothing else: there are terminals that do not know a
//! mode, or were in another one before.
//!
//! The sequences are those of ECMA-48 and of xterm (`ctlseqs`). Modes that no program leaves a
//! terminal in by accident are not followed.

/// A set of modes; the bits are [`TABLE`]'s rows in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes(pub u32);

/// How a mode is named in what a program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// `CSI ? N h` and `CSI ? N l`.
    Private(u16),
    /// The same, of a mode in which a terminal begins: it is followed where it is switched off.
    PrivateOff(u16),
    /// `CSI N h` and `CSI N l`.
    Ansi(u16),
    /// Recognised by its own sequence.
    Other,
}

struct Row {
    name: Name,
    on: &'static [u8],
    off: &'static [u8],
}

const fn row(name: Name, on: &'static [u8], off: &'static [u8]) -> Row {
    Row { name, on, off }
}

/// In the order in which they are undone: the other screens last, since they move the cursor.
const TABLE: [Row; 24] = [
    row(Name::Private(9), b"\x1b[?9h", b"\x1b[?9l"),
    row(Name::Private(1000), b"\x1b[?1000h", b"\x1b[?1000l"),
    row(Name::Private(1001), b"\x1b[?1001h", b"\x1b[?1001l"),
    row(Name::Private(1002), b"\x1b[?1002h", b"\x1b[?1002l"),
    row(Name::Private(1003), b"\x1b[?1003h", b"\x1b[?1003l"),
    row(Name::Private(1004), b"\x1b[?1004h", b"\x1b[?1004l"),
    row(Name::Private(1005), b"\x1b[?1005h", b"\x1b[?1005l"),
    row(Name::Private(1006), b"\x1b[?1006h", b"\x1b[?1006l"),
    row(Name::Private(1015), b"\x1b[?1015h", b"\x1b[?1015l"),
    row(Name::Private(1016), b"\x1b[?1016h", b"\x1b[?1016l"),
    row(Name::Private(2004), b"\x1b[?2004h", b"\x1b[?2004l"),
    row(Name::Private(1), b"\x1b[?1h", b"\x1b[?1l"),
    row(Name::Other, b"\x1b=", b"\x1b>"),
    row(Name::Private(5), b"\x1b[?5h", b"\x1b[?5l"),
    row(Name::Ansi(4), b"\x1b[4h", b"\x1b[4l"),
    row(Name::PrivateOff(7), b"\x1b[?7l", b"\x1b[?7h"),
    // The letters that draw lines.
    row(Name::Other, b"\x1b(0", b"\x1b(B"),
    // The cursor's form; which one is not kept.
    row(Name::Other, b"", b"\x1b[0 q"),
    // Margins, and lines counted within them. Both move the cursor.
    row(Name::Private(6), b"\x1b7\x1b[?6h\x1b8", b"\x1b7\x1b[?6l\x1b8"),
    row(Name::Other, b"", b"\x1b7\x1b[r\x1b8"),
    row(Name::PrivateOff(25), b"\x1b[?25l", b"\x1b[?25h"),
    row(Name::Private(47), b"\x1b[?47h", b"\x1b[?47l"),
    row(Name::Private(1047), b"\x1b[?47h", b"\x1b[?1047l"),
    // Back to it without clearing it; the cursor is kept for the way out.
    row(Name::Private(1049), b"\x1b7\x1b[?47h", b"\x1b[?1049l"),
];

const KEYPAD: Modes = Modes(1 << 12);
const LINE_DRAWING: Modes = Modes(1 << 16);
const CURSOR_FORM: Modes = Modes(1 << 17);
const MARGINS: Modes = Modes(1 << 19);

/// What `CSI ! p` puts back, of what is followed.
const SOFT: [u16; 4] = [1, 6, 7, 25];

impl Modes {
    fn set(&mut self, modes: Self, on: bool) {
        self.0 = if on { self.0 | modes.0 } else { self.0 & !modes.0 };
    }

    fn rows(self) -> impl DoubleEndedIterator<Item = &'static Row> {
        let is_set =
            move |index: usize| self.0.checked_shr(index as u32).is_some_and(|b| b & 1 == 1);
        TABLE.iter().enumerate().filter(move |(index, _)| is_set(*index)).map(|(_, row)| row)
    }

    fn of(name: impl Fn(Name) -> bool) -> Self {
        let rows = TABLE.iter().enumerate().filter(|(_, row)| name(row.name));
        Self(rows.fold(0, |set, (index, _)| set | 1_u32.checked_shl(index as u32).unwrap_or(0)))
    }
}

/// How many bytes of colours and other attributes are kept.
const ROOM: usize = 100;

/// Colours, bold and so on: the sequences since the last that put them all back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    length: u8,
    bytes: [u8; ROOM],
}

impl Attributes {
    const NONE: Self = Self { length: 0, bytes: [0; ROOM] };

    /// The sequences.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Adds a sequence. Where there is no room for all of them the last one stays.
    fn push(&mut self, sequence: &[u8]) {
        if usize::from(self.length).saturating_add(sequence.len()) > ROOM {
            self.length = 0;
        }
        let begin = usize::from(self.length);
        let end = begin.saturating_add(sequence.len());
        if let Some(room) = self.bytes.get_mut(begin..end) {
            room.copy_from_slice(sequence);
            self.length = end as u8;
        }
    }
}

/// What a terminal was told that it was not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Its modes.
    pub modes: Modes,
    /// Its attributes.
    pub attributes: Attributes,
}

impl Default for Screen {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl Screen {
    /// Nothing was changed.
    pub const PLAIN: Self = Self { modes: Modes(0), attributes: Attributes::NONE };

    /// The size of [`Self::to_bytes`].
    pub const SIZE: usize = 5 + ROOM;

    /// Whether nothing needs to be undone.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::PLAIN
    }

    /// Hands out, one after the other, the sequences that undo it.
    pub fn undo(&self, mut write: impl FnMut(&[u8])) {
        if !self.attributes.bytes().is_empty() {
            write(b"\x1b[m");
        }
        self.modes.rows().for_each(|row| write(row.off));
    }

    /// Hands out the sequences that bring it about again.
    pub fn redo(&self, mut write: impl FnMut(&[u8])) {
        self.modes.rows().rev().filter(|row| !row.on.is_empty()).for_each(|row| write(row.on));
        if !self.attributes.bytes().is_empty() {
            write(self.attributes.bytes());
        }
    }

    /// Modes (u32, little-endian), the attributes' length (u8), their bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let (modes, rest) = bytes.split_at_mut(4);
        modes.copy_from_slice(&self.modes.0.to_le_bytes());
        if let Some((length, room)) = rest.split_first_mut() {
            *length = self.attributes.length;
            room.copy_from_slice(&self.attributes.bytes);
        }
        bytes
    }

    /// Reads them back; what cannot be is plain.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let Some((modes, rest)) = bytes.split_first_chunk::<4>() else { return Self::PLAIN };
        let Some((length, room)) = rest.split_first() else { return Self::PLAIN };
        let mut attributes = Attributes { length: *length, bytes: [0; ROOM] };
        attributes.bytes.copy_from_slice(room);
        // Only what this wrote is written to a terminal again.
        let is_ours = |byte: &u8| matches!(byte, 0x1b | b'[' | b'0'..=b'9' | b';' | b':' | b'm');
        if usize::from(*length) > ROOM || !attributes.bytes().iter().all(is_ours) {
            return Self::PLAIN;
        }
        Self { modes: Modes(u32::from_le_bytes(*modes)), attributes }
    }
}

/// The longest sequence that is looked at.
const LONGEST: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    Escape,
    /// Behind `ESC` and these intermediate bytes; the first one counts.
    Intermediate(u8),
    Control,
    /// A text that lasts up to BEL or `ESC \`.
    Text,
}

/// Follows what is written.
#[derive(Clone, Copy, Debug)]
pub struct Follower {
    state: State,
    /// The sequence so far, behind `ESC [`, as far as there is room.
    sequence: [u8; LONGEST],
    length: usize,
    screen: Screen,
}

impl Default for Follower {
    fn default() -> Self {
        Self::new()
    }
}

impl Follower {
    /// A terminal to which nothing was written.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Ground, sequence: [0; LONGEST], length: 0, screen: Screen::PLAIN }
    }

    /// What the terminal was told so far.
    #[must_use]
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Takes what is written next.
    pub fn follow(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.take(*byte));
    }

    fn take(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            // Cancel and substitute end any sequence.
            (_, 0x18 | 0x1a) => State::Ground,
            (_, 0x1b) => State::Escape,
            (State::Ground, _) => State::Ground,
            (State::Text, 0x07) => State::Ground,
            (State::Text, _) => State::Text,
            (State::Escape, b'[') => {
                self.length = 0;
                State::Control
            }
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Text,
            (State::Escape, 0x20..=0x2f) => State::Intermediate(byte),
            (State::Escape, _) => self.escape(byte),
            (State::Intermediate(first), 0x20..=0x2f) => State::Intermediate(first),
            (State::Intermediate(first), _) => self.designate(first, byte),
            (State::Control, 0x40..=0x7e) => self.control(byte),
            // Other control characters are obeyed within a sequence.
            (State::Control, 0x00..=0x1f) => State::Control,
            (State::Control, _) => {
                if let Some(place) = self.sequence.get_mut(self.length) {
                    *place = byte;
                }
                self.length = self.length.saturating_add(1);
                State::Control
            }
        };
    }

    fn escape(&mut self, byte: u8) -> State {
        match byte {
            b'=' => self.screen.modes.set(KEYPAD, true),
            b'>' => self.screen.modes.set(KEYPAD, false),
            b'c' => self.screen = Screen::PLAIN,
            _ => {}
        }
        State::Ground
    }

    fn designate(&mut self, first: u8, byte: u8) -> State {
        if first == b'(' {
            self.screen.modes.set(LINE_DRAWING, byte == b'0');
        }
        State::Ground
    }

    fn control(&mut self, last: u8) -> State {
        let sequence = self.sequence;
        // One that did not fit is not understood.
        let Some(parameters) = sequence.get(..self.length) else { return State::Ground };
        match (parameters, last) {
            ([b'?', numbers @ ..], b'h' | b'l') => self.private(numbers, last == b'h'),
            ([b'!'], b'p') => self.soft_reset(),
            ([.., b' '], b'q') => {
                let is_default = matches!(parameters, [b' ' | b'0', ..]);
                self.screen.modes.set(CURSOR_FORM, !is_default);
            }
            (numbers, b'h' | b'l') if plain(numbers) => {
                for number in numbers_of(numbers) {
                    let modes = Modes::of(|name| name == Name::Ansi(number));
                    self.screen.modes.set(modes, last == b'h');
                }
            }
            ([], b'r') => self.screen.modes.set(MARGINS, false),
            (numbers, b'r') if plain(numbers) => self.screen.modes.set(MARGINS, true),
            (numbers, b'm') if plain(numbers) => self.attributes(numbers),
            _ => {}
        }
        State::Ground
    }

    fn private(&mut self, numbers: &[u8], on: bool) {
        for number in numbers_of(numbers) {
            let set = Modes::of(|name| name == Name::Private(number));
            self.screen.modes.set(set, on);
            let begun_on = Modes::of(|name| name == Name::PrivateOff(number));
            self.screen.modes.set(begun_on, !on);
        }
        // Whichever way it was entered, leaving the other screen leaves it.
        let leaves = !on && numbers_of(numbers).any(|number| [47, 1047, 1049].contains(&number));
        if leaves {
            let screens = [47, 1047, 1049].map(Name::Private);
            self.screen.modes.set(Modes::of(|name| screens.contains(&name)), false);
        }
    }

    fn soft_reset(&mut self) {
        let is_soft = |name| match name {
            Name::Private(number) | Name::PrivateOff(number) => SOFT.contains(&number),
            Name::Ansi(number) => number == 4,
            Name::Other => false,
        };
        self.screen.modes.set(Modes::of(is_soft), false);
        for mode in [KEYPAD, LINE_DRAWING, MARGINS] {
            self.screen.modes.set(mode, false);
        }
        self.screen.attributes = Attributes::NONE;
    }

    fn attributes(&mut self, numbers: &[u8]) {
        let mut parts = numbers.split(|byte| *byte == b';');
        // A zero as the first number puts all back; what follows it counts.
        let begins_anew = parts.next().is_none_or(|first| first.iter().all(|byte| *byte == b'0'));
        if begins_anew {
            self.screen.attributes = Attributes::NONE;
            if parts.next().is_none() {
                return;
            }
        }
        let mut sequence = [0; LONGEST + 3];
        let parts = [b"\x1b[", numbers, b"m"];
        let mut length = 0;
        for byte in parts.into_iter().flatten() {
            if let Some(place) = sequence.get_mut(length) {
                *place = *byte;
                length = length.saturating_add(1);
            }
        }
        self.screen.attributes.push(sequence.get(..length).unwrap_or_default());
    }
}

/// Whether these are numbers and nothing else.
fn plain(parameters: &[u8]) -> bool {
    parameters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'))
}

fn numbers_of(parameters: &[u8]) -> impl Iterator<Item = u16> {
    let digit = |number: u16, byte: &u8| {
        number.saturating_mul(10).saturating_add(u16::from(byte.wrapping_sub(b'0')))
    };
    let whole = |part: &&[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    parameters.split(|byte| *byte == b';').filter(whole).map(move |part| part.iter().fold(0, digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn after(written: &[u8]) -> Screen {
        let mut follower = Follower::new();
        follower.follow(written);
        *follower.screen()
    }

    fn undone(screen: &Screen) -> Vec<u8> {
        let mut bytes = Vec::new();
        screen.undo(|part| bytes.extend_from_slice(part));
        bytes
    }

    fn redone(screen: &Screen) -> Vec<u8> {
        let mut bytes = Vec::new();
        screen.redo(|part| bytes.extend_from_slice(part));
        bytes
    }

    #[test]
    fn what_was_not_changed_is_not_undone() {
        for written in [
            &b"plain text\r\n"[..],
            b"\x1b[?25lhidden while drawing\x1b[?25h",
            b"\x1b]0;C:\\windows\\cmd.exe\x07",
            b"\x1b[2J\x1b[3;4H\x1b[K",
            b"\x1b[31mred\x1b[0m \x1b[1;32mgreen\x1b[m",
            b"\x1b[?1049h\x1b[?1049l",
            b"\x1b[?1000;1006h\x1b[?1006;1000l",
            b"\x1b=\x1b>\x1b(0\x1b(B\x1b[2 q\x1b[0 q\x1b[2;5r\x1b[r",
            // A reset of everything.
            b"\x1b[?1049h\x1b[31m\x1b[?1000h\x1bc",
            // No sequences, though they hold the letters of some.
            b"\x1b]0;\x1b[?1000\x18h\x1b[31",
        ] {
            let screen = after(written);
            assert!(screen.is_plain(), "{written:?} {screen:?}");
            assert!(undone(&screen).is_empty());
        }
    }

    #[test]
    fn every_mode_is_undone_and_brought_back() {
        for row in TABLE.iter().filter(|row| row.name != Name::Other) {
            let (number, letter, private) = match row.name {
                Name::Private(number) => (number, 'h', "?"),
                Name::PrivateOff(number) => (number, 'l', "?"),
                Name::Ansi(number) => (number, 'h', ""),
                Name::Other => continue,
            };
            let screen = after(std::format!("\x1b[{private}{number}{letter}").as_bytes());
            assert_eq!(screen.modes.0.count_ones(), 1, "{number}");
            assert_eq!(undone(&screen), row.off, "{number}");
            assert_eq!(redone(&screen), row.on, "{number}");
        }
    }

    #[test]
    fn what_has_a_sequence_of_its_own_is_followed() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"\x1b=", b"\x1b>"),
            (b"\x1b(0", b"\x1b(B"),
            (b"\x1b[5 q", b"\x1b[0 q"),
            (b"\x1b[2;10r", b"\x1b7\x1b[r\x1b8"),
            (b"\x1b[1;38;2;1;2;3m", b"\x1b[m"),
        ];
        for (written, undo) in cases {
            assert_eq!(undone(&after(written)), undo, "{written:?}");
        }
    }

    #[test]
    fn the_other_screen_is_left_last() {
        let screen = after(b"\x1b[?1049h\x1b[?25l\x1b[?1002;1006h\x1b[?2004h\x1b[33m");
        let undo = b"\x1b[m\x1b[?1002l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[?1049l";
        assert_eq!(undone(&screen), undo);
        let redo = b"\x1b7\x1b[?47h\x1b[?25l\x1b[?2004h\x1b[?1006h\x1b[?1002h\x1b[33m";
        assert_eq!(redone(&screen), redo);
    }

    #[test]
    fn sequences_may_come_in_pieces() {
        let mut follower = Follower::new();
        for byte in b"\x1b[?1049h\x1b[?1000;1006h" {
            follower.follow(&[*byte]);
        }
        assert_eq!(undone(follower.screen()), b"\x1b[?1000l\x1b[?1006l\x1b[?1049l");
    }

    #[test]
    fn attributes_add_up_until_there_is_no_room() {
        assert_eq!(after(b"\x1b[1m\x1b[31m").attributes.bytes(), b"\x1b[1m\x1b[31m");
        assert_eq!(after(b"\x1b[1m\x1b[0;31m").attributes.bytes(), b"\x1b[0;31m");
        let many = b"\x1b[38;2;100;100;100m".repeat(20);
        let kept = after(&many);
        assert!(kept.attributes.bytes().ends_with(b"\x1b[38;2;100;100;100m"));
    }

    #[test]
    fn a_file_in_which_anything_stands_leads_to_no_harm() {
        let mut bytes = after(b"\x1b[31m\x1b[?1000h").to_bytes();
        assert_eq!(Screen::from_bytes(&bytes), after(b"\x1b[31m\x1b[?1000h"));
        bytes[4] = 255;
        assert!(Screen::from_bytes(&bytes).is_plain());
        bytes[4] = 3;
        bytes[5..8].copy_from_slice(b"\x1b]0");
        assert!(Screen::from_bytes(&bytes).is_plain());
    }

    proptest! {
        #[test]
        fn undoing_leaves_a_plain_screen(bytes in "[\u{1b}\\[?;hlmrcpq 0-9=>(]{0,200}") {
            let mut follower = Follower::new();
            follower.follow(bytes.as_bytes());
            // Out of the sequence that may be under way.
            follower.follow(b"\x18");
            let undo = undone(follower.screen());
            follower.follow(&undo);
            prop_assert!(follower.screen().is_plain(), "{:?}", follower.screen());
        }

        #[test]
        fn bringing_it_back_brings_all_back(bytes in "[\u{1b}\\[?;hlm0-9=>(]{0,200}") {
            let screen = after(bytes.as_bytes());
            let again = after(&redone(&screen));
            prop_assert_eq!(undone(&again), undone(&screen));
        }

        #[test]
        fn any_bytes_are_followed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let screen = after(&bytes);
            prop_assert_eq!(Screen::from_bytes(&screen.to_bytes()), screen);
        }
    }
}
