//! What `wsl` does while a process of a session runs: it carries bytes between its own terminal and
//! the process's, passes signals on, and puts its terminal back as it was on every way out.
//!
//! Descriptors that are no terminal were handed to the process itself, and nothing of theirs passes
//! here. Where standard input is the terminal it is put into raw mode, so that every key reaches the
//! other terminal and means there what it means there. Where it is not, as in `yes | wsl head`, the
//! terminal belongs to others too: it keeps its modes, and the signals of its keys are made keys of
//! the other terminal again.

use crate::client::{ClientError, RunningProcess, Session};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{
    OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};
use winterop_sys::{SignalSet, block, inherited, signal_descriptor};
use winterop_wire::{LinuxProcess, ProcessFlags};

/// How long the last output of a process that has ended may take through its terminal, where a
/// process that it has left behind keeps that open.
const LAST_OUTPUT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The most that is read and not yet written, in each direction.
const BUFFER: usize = 64 * 1024;

/// Signals that reach the process instead of this one.
const PASSED_ON: [Signal; 9] = [
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::HUP,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TSTP,
    Signal::CONT,
];

/// Which of 0, 1 and 2 are a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consoles([bool; 3]);

impl Consoles {
    /// Looks at this process's own.
    #[must_use]
    pub fn look() -> Self {
        Self([0, 1, 2].map(|number| inherited(number).is_some_and(isatty)))
    }

    /// The flags of a create-process message that say the same.
    #[must_use]
    pub fn flags(self) -> ProcessFlags {
        let all = [
            ProcessFlags::STDIN_CONSOLE,
            ProcessFlags::STDOUT_CONSOLE,
            ProcessFlags::STDERR_CONSOLE,
        ];
        let set = all.into_iter().zip(self.0).filter(|(_, is_console)| *is_console);
        set.fold(ProcessFlags::NONE, |flags, (flag, _)| flags.with(flag))
    }

    /// What is passed to the process: this process's own descriptors that are no terminal.
    #[must_use]
    pub fn passed(self) -> [Option<BorrowedFd<'static>>; 3] {
        let [stdin, stdout, stderr] = self.0;
        [(0, stdin), (1, stdout), (2, stderr)]
            .map(|(number, is_console)| inherited(number).filter(|_| !is_console))
    }
}

/// Creates a process of `session` on this process's own terminal and descriptors, and stays until it
/// ends. `process` needs no flags for consoles. Returns the exit code.
///
/// This process must have one thread: its signals are read from a descriptor meanwhile.
///
/// # Errors
/// A [`ClientError`]; the terminal is as it was.
pub fn run(session: &mut Session, process: &LinuxProcess<'_>) -> Result<i32, ClientError> {
    let consoles = Consoles::look();
    let mut process = process.clone();
    process.flags = process.flags.with(consoles.flags());
    // Before the process is there: no signal falls between two stools.
    let signals = Signals::watch()?;
    let running = session.create_process(&process, consoles.passed())?;
    let result = attend(running, consoles, &signals);
    signals.restore();
    result
}

fn attend(
    mut running: RunningProcess,
    consoles: Consoles,
    signals: &Signals,
) -> Result<i32, ClientError> {
    let terminal = running.terminal().map(|it| it.try_clone_to_owned()).transpose()?;
    let mut relay = match terminal {
        Some(terminal) => Some(Relay::new(terminal, consoles)?),
        None => None,
    };
    loop {
        let (ended, signalled) = wait(&running, signals, relay.as_mut())?;
        if let Some(relay) = &mut relay {
            relay.move_bytes()?;
        }
        if signalled {
            for signal in signals.read() {
                act_on(signal, &running, relay.as_mut())?;
            }
        }
        if ended {
            let code = running.wait();
            if let Some(relay) = &mut relay {
                relay.drain();
            }
            return code;
        }
    }
}

/// Waits until something can be done. Says whether the process has ended, and whether a signal came.
fn wait(
    running: &RunningProcess,
    signals: &Signals,
    relay: Option<&mut Relay>,
) -> Result<(bool, bool), ClientError> {
    let mut interest = vec![
        PollFd::from_borrowed_fd(running.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(signals.descriptor.as_fd(), PollFlags::IN),
    ];
    if let Some(relay) = relay {
        relay.add_interest(&mut interest);
    }
    match poll(&mut interest, None) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok((false, false)),
        Err(error) => return Err(error.into()),
    }
    let is_ready = |at: usize| interest.get(at).is_some_and(|it| !it.revents().is_empty());
    Ok((is_ready(0), is_ready(1)))
}

/// Does what a signal to this process means for the other one.
fn act_on(
    signal: Signal,
    running: &RunningProcess,
    relay: Option<&mut Relay>,
) -> Result<(), ClientError> {
    let Some(relay) = relay else {
        // One that cannot be sent has nobody to reach; its end comes next.
        let _ = running.signal(signal);
        if signal == Signal::TSTP {
            let _ = kill_process(getpid(), Signal::STOP);
        }
        return Ok(());
    };
    match signal {
        Signal::WINCH => relay.set_size(),
        Signal::CONT => relay.begin(),
        Signal::INT => relay.press(SpecialCodeIndex::VINTR),
        Signal::QUIT => relay.press(SpecialCodeIndex::VQUIT),
        Signal::TSTP => {
            relay.press(SpecialCodeIndex::VSUSP);
            relay.end();
            let _ = kill_process(getpid(), Signal::STOP);
        }
        // The terminal goes with this process, and that hangs the other one up.
        Signal::TERM | Signal::HUP => {
            relay.end();
            std::process::exit(winterop_sys::status_of_signal(signal.as_raw()));
        }
        other => {
            let _ = running.signal(other);
        }
    }
    Ok(())
}

/// The signals of this process, read from a descriptor.
#[derive(Debug)]
struct Signals {
    descriptor: OwnedFd,
    before: SignalSet,
}

/// The kernel's `struct signalfd_siginfo`, of which the first word is the signal.
const SIGNAL_RECORD: usize = 128;

impl Signals {
    fn watch() -> Result<Self, Errno> {
        let all: Vec<Signal> = PASSED_ON.into_iter().chain([Signal::WINCH]).collect();
        // What this process was started to ignore, as with nohup, it goes on to ignore.
        let wanted: Vec<Signal> =
            all.into_iter().filter(|signal| !winterop_sys::is_ignored(*signal)).collect();
        let set = SignalSet::of(&wanted);
        let descriptor = signal_descriptor(set)?;
        Ok(Self { descriptor, before: block(set) })
    }

    fn restore(&self) {
        winterop_sys::restore_mask(self.before);
    }

    fn read(&self) -> Vec<Signal> {
        let mut records = [0; SIGNAL_RECORD * 16];
        let count = rustix::io::read(&self.descriptor, &mut records).unwrap_or(0);
        let records = records.get(..count).unwrap_or_default().chunks_exact(SIGNAL_RECORD);
        let numbers = records.filter_map(|record| record.first_chunk().copied());
        let numbers = numbers.map(|number| u32::from_ne_bytes(number).cast_signed());
        numbers.filter_map(Signal::from_named_raw).collect()
    }
}

/// Bytes between two terminals, and the modes of this one.
#[derive(Debug)]
struct Relay {
    /// The other terminal's controlling side.
    other: OwnedFd,
    /// Where keys come from, where standard input is the terminal.
    keys: Option<BorrowedFd<'static>>,
    /// Where output goes.
    screen: Screen,
    modes: Option<Termios>,
    to_other: Vec<u8>,
    to_screen: Vec<u8>,
    is_over: bool,
}

/// This terminal, for writing.
#[derive(Debug)]
enum Screen {
    /// Opened anew, so that it can be written without waiting and nobody else's copy changes.
    Own(OwnedFd),
    /// Another user's: as it was handed over.
    Passed(BorrowedFd<'static>),
}

impl AsFd for Screen {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(descriptor) => descriptor.as_fd(),
            Self::Passed(descriptor) => *descriptor,
        }
    }
}

impl Relay {
    fn new(other: OwnedFd, consoles: Consoles) -> Result<Self, Errno> {
        let Consoles([stdin, stdout, stderr]) = consoles;
        let number = if stdout {
            1
        } else if stderr {
            2
        } else {
            0
        };
        let passed = inherited(number).ok_or(Errno::BADF)?;
        let path = format!("/proc/self/fd/{}", passed.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let screen = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(own) => Screen::Own(own),
            Err(_) => Screen::Passed(passed),
        };
        fcntl_setfl(&other, fcntl_getfl(&other)? | OFlags::NONBLOCK)?;
        let keys = inherited(0).filter(|_| stdin);
        let mut relay = Self {
            other,
            keys,
            screen,
            modes: None,
            to_other: Vec::new(),
            to_screen: Vec::new(),
            is_over: false,
        };
        relay.begin();
        Ok(relay)
    }

    /// Takes the terminal over: at the start, and when this process goes on after a stop.
    fn begin(&mut self) {
        if let Some(keys) = self.keys
            && let Ok(modes) = tcgetattr(keys)
        {
            let mut raw = modes.clone();
            raw.make_raw();
            if self.modes.is_none() {
                self.modes = Some(modes);
            }
            let _ = tcsetattr(keys, OptionalActions::Drain, &raw);
        }
        self.set_size();
    }

    /// Gives it back.
    fn end(&mut self) {
        if let (Some(keys), Some(modes)) = (self.keys, self.modes.take()) {
            let _ = tcsetattr(keys, OptionalActions::Drain, &modes);
        }
    }

    fn set_size(&self) {
        if let Ok(size) = tcgetwinsize(&self.screen) {
            // The kernel tells who is there.
            let _ = tcsetwinsize(&self.other, size);
        }
    }

    /// Presses a key of the other terminal that makes a signal.
    fn press(&mut self, key: SpecialCodeIndex) {
        if let Ok(modes) = tcgetattr(&self.other) {
            self.to_other.push(modes.special_codes[key]);
        }
    }

    fn add_interest<'a>(&'a self, interest: &mut Vec<PollFd<'a>>) {
        let mut add = |descriptor: BorrowedFd<'a>, flags| {
            interest.push(PollFd::from_borrowed_fd(descriptor, flags));
        };
        if let Some(keys) = self.keys.filter(|_| self.to_other.len() < BUFFER) {
            add(keys, PollFlags::IN);
        }
        if self.is_over {
            return;
        }
        let mut flags = PollFlags::empty();
        if self.to_screen.len() < BUFFER {
            flags |= PollFlags::IN;
        }
        if !self.to_other.is_empty() {
            flags |= PollFlags::OUT;
        }
        if !flags.is_empty() {
            add(self.other.as_fd(), flags);
        }
        if !self.to_screen.is_empty() {
            add(self.screen.as_fd(), PollFlags::OUT);
        }
    }

    /// Moves what can be moved without waiting.
    fn move_bytes(&mut self) -> Result<(), ClientError> {
        if let Some(keys) = self.keys.filter(|keys| can_be_read(*keys))
            && self.to_other.len() < BUFFER
        {
            match read_some(keys, &mut self.to_other) {
                // This terminal was hung up.
                Ok(0) | Err(Errno::IO) => self.keys = None,
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.read_other();
        write_some(self.other.as_fd(), &mut self.to_other);
        write_some(self.screen.as_fd(), &mut self.to_screen);
        Ok(())
    }

    fn read_other(&mut self) {
        if self.is_over || self.to_screen.len() >= BUFFER {
            return;
        }
        match read_some(self.other.as_fd(), &mut self.to_screen) {
            // Nobody has the other side open any more.
            Ok(0) | Err(Errno::IO) => self.is_over = true,
            _ => {}
        }
    }

    /// Brings out what an ended process has written last.
    fn drain(&mut self) {
        while !self.is_over {
            let mut interest = [PollFd::new(&self.other, PollFlags::IN)];
            if !matches!(poll(&mut interest, Some(&LAST_OUTPUT)), Ok(1)) {
                break;
            }
            self.read_other();
            self.flush();
        }
        self.flush();
    }

    fn flush(&mut self) {
        while !self.to_screen.is_empty() {
            let mut interest = [PollFd::new(&self.screen, PollFlags::OUT)];
            let ready = poll(&mut interest, None);
            let [screen] = interest;
            let is_gone = screen.revents().intersects(PollFlags::ERR | PollFlags::HUP);
            if !matches!(ready, Ok(_) | Err(Errno::INTR)) || is_gone {
                return;
            }
            write_some(self.screen.as_fd(), &mut self.to_screen);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

fn can_be_read(descriptor: BorrowedFd<'_>) -> bool {
    let mut interest = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    matches!(poll(&mut interest, Some(&Timespec::default())), Ok(1))
}

fn read_some(from: BorrowedFd<'_>, to: &mut Vec<u8>) -> Result<usize, Errno> {
    let mut buffer = [0; 16 * 1024];
    let count = rustix::io::read(from, &mut buffer)?;
    to.extend_from_slice(buffer.get(..count).unwrap_or_default());
    Ok(count)
}

/// Writes what is taken; what never will be is thrown away.
fn write_some(to: BorrowedFd<'_>, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    match rustix::io::write(to, bytes) {
        Ok(count) => {
            bytes.drain(..count);
        }
        Err(Errno::AGAIN | Errno::INTR) => {}
        Err(_) => bytes.clear(),
    }
}
