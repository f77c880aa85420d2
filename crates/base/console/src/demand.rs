//! Which keys a Windows program wants of its console.
//!
//! Wine's console host reads whatever is typed, as soon as a program has read for the first time,
//! and keeps it. What is typed for the shell, just before or after the program's end, is lost with
//! it. So the host is only given what the program asks for: while it waits for a line, what belongs
//! to the line; while it waits for an event, or looks whether there is one, one key.
//!
//! # What is looked at
//! The host takes the operations on its console from Wine's server, one after the other
//! (`get_next_console_request` in `server/console.c` and `programs/conhost/conhost.c`). The answer
//! to that request holds the operation's code, as `include/wine/condrv.h` has it; the next request
//! says whether it answers a read, and whether there are events that nobody has read.
//!
//! What the host does not learn of is that a program waits for its input's handle: the server tells
//! it of the first such wait of a console (as a look for events), and of no other. But who waits for
//! events reads them without having to wait; so a read that is answered at once is followed by one
//! key. And as long as it is not known how a program reads, because it is new or has looked at the
//! input's mode, it is given one key as well, in line mode after a while.

/// The code of an operation on a console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

/// Devices' codes: kind of device, access, number, method.
const fn console_code(access: u32, number: u32) -> Code {
    Code(0x50 << 16 | access << 14 | number << 2)
}

impl Code {
    /// Asks for the mode of the input, or of an output.
    pub const GET_MODE: Self = console_code(1, 0);
    /// Sets the input's mode.
    pub const SET_MODE: Self = console_code(2, 1);
    /// `ReadConsole`.
    pub const READ_CONSOLE: Self = console_code(1, 10);
    /// `ReadConsole` with a set of control characters that end the read.
    pub const READ_CONSOLE_CONTROL: Self = console_code(1, 24);
    /// `ReadFile`.
    pub const READ_FILE: Self = console_code(1, 11);
    /// `ReadConsoleInput`.
    pub const READ_INPUT: Self = console_code(1, 12);
    /// `PeekConsoleInput`, and the server before a wait.
    pub const PEEK: Self = console_code(1, 14);
    /// `GetNumberOfConsoleInputEvents`, but also `GetConsoleOutputCP`.
    pub const INPUT_INFORMATION: Self = console_code(1, 15);
    /// `FlushConsoleInputBuffer`.
    pub const FLUSH: Self = console_code(0, 21);
    /// `WriteConsole`.
    pub const WRITE_CONSOLE: Self = console_code(2, 30);
    /// `WriteFile`.
    pub const WRITE_FILE: Self = console_code(2, 31);
    /// The host's own: the server is to set the terminal's modes, or to put them back.
    pub const SETUP_INPUT: Self = console_code(0, 60);

    const fn is_read(self) -> bool {
        self.is_line_read() || self.0 == Self::READ_INPUT.0
    }

    /// Whether it reads a line, in line mode.
    const fn is_line_read(self) -> bool {
        self.0 == Self::READ_CONSOLE.0
            || self.0 == Self::READ_CONSOLE_CONTROL.0
            || self.0 == Self::READ_FILE.0
    }

    /// Whether this is the code of any operation on a console.
    #[must_use]
    pub const fn is_consoles(self) -> bool {
        self.0 >> 16 == 0x50
    }
}

/// `ENABLE_LINE_INPUT`.
const LINE_INPUT: u32 = 2;

/// What is wanted of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: what is typed stays where it is.
    Nothing,
    /// One key.
    Key,
    /// One key, if it lies there for a while and nothing else is asked meanwhile.
    LateKey,
    /// The rest of a line.
    Line,
}

/// By how many times a program has to ask for events more often than it writes, before that counts
/// as looking for them: each line that it writes may ask once.
const LOOKS: u8 = 3;

/// What the program wants, followed through what it asks.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The read that was asked for last, until it is seen whether it had to wait.
    asked: Option<Code>,
    /// The read for which the program waits.
    waiting: Option<Code>,
    /// It has just looked for events.
    looked: bool,
    /// There are events that it has not read.
    has_events: bool,
    /// It is not known how it reads.
    is_new: bool,
    /// It is to be given one key to see.
    ahead: bool,
    /// It was given one, and no event has come of it yet.
    unseen: bool,
    line_input: bool,
    reads_events: bool,
    looks: u8,
    line: Line,
}

/// What was typed of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// This many characters.
    Typed(u32),
    /// Keys that may have changed it in any way.
    Unknown,
}

impl Default for Demand {
    fn default() -> Self {
        Self::new()
    }
}

impl Demand {
    /// A console of which nothing was asked, in its first mode.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            asked: None,
            waiting: None,
            looked: false,
            has_events: false,
            is_new: false,
            ahead: false,
            unseen: false,
            line_input: true,
            reads_events: false,
            looks: 0,
            line: Line::Typed(0),
        }
    }

    /// The host was given an operation.
    pub fn operation(&mut self, code: Code, is_output: bool) {
        match code {
            code if code.is_read() => {
                self.asked = Some(code);
                self.reads_events |= code == Code::READ_INPUT;
                (self.looks, self.is_new) = (0, false);
            }
            Code::PEEK => {
                (self.looked, self.is_new) = (true, false);
                self.reads_events = true;
            }
            Code::GET_MODE | Code::SET_MODE if !is_output => self.begins(),
            Code::INPUT_INFORMATION => {
                self.looks = self.looks.saturating_add(1);
                let asks_again = self.looks >= LOOKS;
                self.looked = self.reads_events || !self.line_input || asks_again;
            }
            Code::WRITE_CONSOLE | Code::WRITE_FILE => self.looks = self.looks.saturating_sub(1),
            _ => {}
        }
    }

    /// A program has begun, or looks at how it is to read.
    pub fn begins(&mut self) {
        self.is_new = true;
    }

    /// The input's mode was set.
    pub fn set_mode(&mut self, mode: u32) {
        self.line_input = mode & LINE_INPUT != 0;
    }

    /// The host asks for the next operation or, if `answers_read`, answers the read that was asked
    /// for; `has_events` if there are some that nobody has read.
    pub fn request(&mut self, answers_read: bool, has_events: bool) {
        if answers_read {
            // Answered at once: it may have waited for the event in another way, and may again.
            self.looked |= self.asked == Some(Code::READ_INPUT);
            (self.asked, self.waiting) = (None, None);
        } else if let Some(code) = self.asked.take() {
            self.waiting = Some(code);
            self.line = Line::Typed(0);
        }
        self.has_events = has_events;
        self.unseen &= !(answers_read || has_events);
        let looked = core::mem::take(&mut self.looked);
        self.ahead = !has_events && (self.ahead || looked);
    }

    /// A key was taken for the program.
    pub fn took(&mut self) {
        self.unseen |= self.ahead;
        // Until it is seen what came of it.
        self.has_events = true;
        self.ahead = false;
    }

    /// The host reads again. If nothing came of the last key, the program still waits for one.
    pub fn reads_again(&mut self) {
        let unseen = core::mem::take(&mut self.unseen);
        self.ahead |= unseen;
        self.has_events &= !unseen;
    }

    /// What is to be read from the terminal now.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        match self.waiting {
            Some(code) if code.is_line_read() && self.line_input => Wanted::Line,
            Some(_) => Wanted::Key,
            None if self.ahead => Wanted::Key,
            None if self.is_new && !self.has_events => {
                if self.line_input {
                    Wanted::LateKey
                } else {
                    Wanted::Key
                }
            }
            None => Wanted::Nothing,
        }
    }

    /// A byte was taken for the line that the program waits for.
    pub fn typed(&mut self, byte: u8) {
        self.line = match (self.line, byte) {
            (Line::Typed(count), 0x20..=0x7e | 0xc0..=0xff) => Line::Typed(count.saturating_add(1)),
            (Line::Typed(count), 0x08 | 0x7f) => Line::Typed(count.saturating_sub(1)),
            // The later bytes of a character.
            (Line::Typed(count), 0x80..=0xbf) => Line::Typed(count),
            _ => Line::Unknown,
        };
    }

    /// If the program waits for a line of which nothing was typed yet, how many bytes of an answer
    /// stand before the text: there the key for the end of input is one, and the text is left out.
    #[must_use]
    pub fn at_empty_line(&self) -> Option<u32> {
        let is_empty = self.wanted() == Wanted::Line && self.line == Line::Typed(0);
        // The state of keys like Shift, for whoever asked for the control characters.
        let before = if self.waiting == Some(Code::READ_CONSOLE_CONTROL) { 4 } else { 0 };
        is_empty.then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The host is given an operation, does not answer it at once, and asks for the next.
    fn given(demand: &mut Demand, code: Code) {
        demand.operation(code, false);
        demand.request(false, false);
    }

    #[test]
    fn the_codes_are_as_a_trace_shows_them() {
        let codes = [
            (Code::SET_MODE, 0x50_8004),
            (Code::READ_CONSOLE, 0x50_4028),
            (Code::READ_CONSOLE_CONTROL, 0x50_4060),
            (Code::READ_FILE, 0x50_402c),
            (Code::READ_INPUT, 0x50_4030),
            (Code::INPUT_INFORMATION, 0x50_403c),
            (Code::FLUSH, 0x50_0054),
            (Code::WRITE_CONSOLE, 0x50_8078),
            (Code::SETUP_INPUT, 0x50_00f0),
        ];
        for (code, number) in codes {
            assert_eq!(code.0, number, "{number:x}");
        }
    }

    #[test]
    fn a_line_is_read_while_it_is_waited_for() {
        let mut demand = Demand::new();
        given(&mut demand, Code::WRITE_CONSOLE);
        assert_eq!(demand.wanted(), Wanted::Nothing);
        given(&mut demand, Code::READ_CONSOLE);
        assert_eq!(demand.wanted(), Wanted::Line);
        // Another process writes meanwhile.
        given(&mut demand, Code::WRITE_CONSOLE);
        assert_eq!(demand.wanted(), Wanted::Line);
        // The key going up stays behind as an event.
        demand.request(true, true);
        assert_eq!(demand.wanted(), Wanted::Nothing);
    }

    #[test]
    fn without_line_input_it_is_a_key() {
        let mut demand = Demand::new();
        demand.set_mode(0x1f5);
        given(&mut demand, Code::READ_CONSOLE);
        assert_eq!(demand.wanted(), Wanted::Key);
        assert_eq!(demand.at_empty_line(), None);
    }

    #[test]
    fn a_read_that_is_answered_at_once_is_followed_by_a_key() {
        let mut demand = Demand::new();
        demand.operation(Code::READ_INPUT, false);
        demand.request(true, false);
        assert_eq!(demand.wanted(), Wanted::Key);
        demand.took();
        demand.request(false, true);
        assert_eq!(demand.wanted(), Wanted::Nothing);
        // One that had to wait is not.
        given(&mut demand, Code::READ_INPUT);
        demand.took();
        demand.request(true, false);
        assert_eq!(demand.wanted(), Wanted::Nothing);
    }

    #[test]
    fn whoever_is_new_is_given_a_key() {
        let mut demand = Demand::new();
        demand.begins();
        assert_eq!(demand.wanted(), Wanted::LateKey);
        demand.took();
        assert_eq!(demand.wanted(), Wanted::Nothing);
        demand.request(false, true);
        assert_eq!(demand.wanted(), Wanted::Nothing);
        given(&mut demand, Code::READ_CONSOLE);
        demand.request(true, false);
        assert_eq!(demand.wanted(), Wanted::Nothing);
        // Asking for an output's mode says nothing of the input.
        demand.operation(Code::GET_MODE, true);
        demand.request(false, false);
        assert_eq!(demand.wanted(), Wanted::Nothing);
        given(&mut demand, Code::GET_MODE);
        assert_eq!(demand.wanted(), Wanted::LateKey);
        demand.operation(Code::SET_MODE, false);
        demand.set_mode(0x1f1);
        demand.request(false, false);
        assert_eq!(demand.wanted(), Wanted::Key);
    }

    #[test]
    fn whoever_looks_is_shown_one_key() {
        let mut demand = Demand::new();
        given(&mut demand, Code::PEEK);
        assert_eq!(demand.wanted(), Wanted::Key);
        demand.took();
        demand.request(false, true);
        assert_eq!(demand.wanted(), Wanted::Nothing);
        // Looking again at the same one.
        demand.operation(Code::PEEK, false);
        demand.request(false, true);
        assert_eq!(demand.wanted(), Wanted::Nothing);
    }

    #[test]
    fn a_key_that_means_nothing_is_followed_by_another() {
        let mut demand = Demand::new();
        given(&mut demand, Code::PEEK);
        demand.took();
        assert_eq!(demand.wanted(), Wanted::Nothing);
        demand.reads_again();
        assert_eq!(demand.wanted(), Wanted::Key);
        // One that was seen is not.
        demand.took();
        demand.request(false, true);
        demand.reads_again();
        assert_eq!(demand.wanted(), Wanted::Nothing);
    }

    #[test]
    fn asking_for_a_code_page_with_each_line_is_no_look() {
        let mut demand = Demand::new();
        for _ in 0..10 {
            given(&mut demand, Code::INPUT_INFORMATION);
            given(&mut demand, Code::WRITE_CONSOLE);
        }
        assert_eq!(demand.wanted(), Wanted::Nothing);
        for _ in 0..3 {
            given(&mut demand, Code::INPUT_INFORMATION);
        }
        assert_eq!(demand.wanted(), Wanted::Key);
    }

    #[test]
    fn an_empty_line_is_one_whose_characters_were_all_taken_back() {
        let mut demand = Demand::new();
        assert_eq!(demand.at_empty_line(), None);
        given(&mut demand, Code::READ_FILE);
        assert_eq!(demand.at_empty_line(), Some(0));
        "aé".bytes().for_each(|byte| demand.typed(byte));
        assert_eq!(demand.at_empty_line(), None);
        demand.typed(0x7f);
        demand.typed(0x7f);
        assert_eq!(demand.at_empty_line(), Some(0));
        // An arrow key may have brought an old line.
        b"\x1b[A\x7f".iter().for_each(|byte| demand.typed(*byte));
        assert_eq!(demand.at_empty_line(), None);
        demand.request(true, false);
        given(&mut demand, Code::READ_CONSOLE_CONTROL);
        assert_eq!(demand.at_empty_line(), Some(4));
    }
}
