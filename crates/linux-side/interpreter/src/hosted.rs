//! Waits for a program that the host runs: passes signals and sizes on, and takes its exit status.

use crate::ending::ExitCode;
use crate::response::HostedProgram;
use crate::signals::Watch;
use crate::terminal::{Back, Terminal};
use crate::words::{FailedLaunch, Why, system_error};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Signal, getpid, kill_process};
use winterop_channel::unix::{Read, ReceiveError, read_into, send};
use winterop_channel::{Frame, Inbox};
use winterop_wire::{
    ErrorNotice, ExitStatus, Features, Header, Message, MessageType, Signal as SignalMessage, Tag,
    WindowSize,
};

/// The interpreter's side of a hosted program.
#[derive(Debug)]
pub(crate) struct Hosted<'a> {
    /// The connection on which the host sends the exit status.
    pub connection: &'a OwnedFd,
    /// What has arrived on it already.
    pub inbox: Inbox,
    /// What the host said of the program.
    pub running: HostedProgram,
    /// The terminal, where the program is interactive.
    pub terminal: Option<&'a Terminal>,
    /// The signal after which the program did not end within its time.
    pub overdue: Option<Signal>,
    /// Where the program's exit code arrives too, if the host has sent it.
    report: Option<OwnedFd>,
    /// The program, for messages.
    program: &'a str,
    counter: u32,
}

impl<'a> Hosted<'a> {
    /// Begins to wait, with what has arrived so far.
    #[must_use]
    pub(crate) fn new(
        connection: &'a OwnedFd,
        inbox: Inbox,
        running: HostedProgram,
        terminal: Option<&'a Terminal>,
    ) -> Self {
        let terminal = terminal.filter(|_| !running.graphical);
        let (overdue, report, program) = (None, None, "the program");
        Self { connection, inbox, running, terminal, overdue, report, program, counter: 0 }
    }

    /// Takes the program's name, for messages.
    #[must_use]
    pub(crate) fn named(self, program: &'a str) -> Self {
        Self { program, ..self }
    }

    /// Takes what came with the host's answer: the descriptor on which the program reports its end.
    #[must_use]
    pub(crate) fn with_report(mut self, attached: Vec<OwnedFd>) -> Self {
        self.report = attached.into_iter().next();
        self
    }

    /// Waits for the exit status.
    ///
    /// The wait is for the program's end and has no deadline; the host's end is noticed at once.
    ///
    /// # Errors
    /// The connection ended first, or what came on it is no message.
    pub(crate) fn wait(&mut self, watch: &Watch) -> Result<ExitCode, FailedLaunch> {
        loop {
            while let Some(frame) = self.next_frame()? {
                if let Some(code) = self.understand(&frame)? {
                    return Ok(code);
                }
            }
            let mut interest =
                [PollFd::new(self.connection, PollFlags::IN), PollFd::new(watch, PollFlags::IN)];
            // EINTR and every other result lead to a look at both.
            let patience = watch.patience(self.running.grace, self.terminal);
            let _ = poll(&mut interest, patience.as_ref());
            if self.terminal.is_some_and(Terminal::is_away) {
                self.give();
            }
            if watch.is_over(self.running.grace) {
                watch.forget_time();
                self.overdue = watch.demanded();
                self.send_signal(Signal::KILL);
            }
            let [connection, signals] = interest.map(|fd| !fd.revents().is_empty());
            if signals {
                self.pass_signals_on(watch);
            }
            if connection && !self.read()? {
                return self.outlive_host(watch);
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, FailedLaunch> {
        self.inbox.next_frame().map_err(|error| self.broken(&error.into()))
    }

    /// Waits for the end of a program whose host has ended: its own report says how.
    ///
    /// Signals cannot be passed on any more; they end this process as they would any other.
    fn outlive_host(&self, watch: &Watch) -> Result<ExitCode, FailedLaunch> {
        let lost = || FailedLaunch::from(Why::HostEnded { program: &self.program });
        let report = self.report.as_ref().ok_or_else(lost)?;
        watch.release();
        let mut code = [0_u8; 4];
        match rustix::io::retry_on_intr(|| rustix::io::read(report, &mut code)) {
            Ok(4) => Ok(ExitCode(u32::from_le_bytes(code))),
            _ => Err(lost()),
        }
    }

    /// Reads what has arrived; false at the connection's end.
    fn read(&mut self) -> Result<bool, FailedLaunch> {
        match read_into(self.connection, &mut self.inbox).map_err(|error| self.broken(&error))? {
            Read::Data(_) | Read::NotYet => Ok(true),
            Read::End => {
                self.inbox.end().map_err(|error| self.broken(&error.into()))?;
                Ok(false)
            }
        }
    }

    /// Takes one message; the exit code where it is the exit status.
    fn understand(&mut self, frame: &Frame) -> Result<Option<ExitCode>, FailedLaunch> {
        let program = self.program;
        let bad = |error: winterop_wire::DecodeError| {
            let error = format!("what is no message: {error}");
            FailedLaunch::from(Why::WrongWord { program: &program, error: &error })
        };
        let message = Message::parse(&frame.bytes).map_err(bad)?;
        match message.header.message_type {
            MessageType::EXIT_STATUS => {
                let status = ExitStatus::decode(&message).map_err(bad)?;
                // As in WSL, the status goes back as it came, as acknowledgement. Whoever does not
                // wait for it may be gone already.
                let _ = send(self.connection, &frame.bytes, &[]);
                Ok(Some(ExitCode(status.code.cast_unsigned())))
            }
            MessageType::ERROR_NOTICE => {
                let notice = ErrorNotice::decode(&message).map_err(bad)?;
                if let Some(text) = notice.extensions.get(Tag::ERROR_TEXT) {
                    crate::say(text);
                }
                Ok(None)
            }
            other => {
                let error = format!("{other} where an exit status was due");
                Err(Why::WrongWord { program: &program, error: &error }.into())
            }
        }
    }

    fn broken(&self, error: &ReceiveError) -> FailedLaunch {
        let text = match error {
            ReceiveError::System(error) => system_error(*error).to_string(),
            other => other.to_string(),
        };
        Why::HostLost { program: &self.program, error: &text }.into()
    }

    fn pass_signals_on(&mut self, watch: &Watch) {
        while let Some(arrival) = watch.next() {
            match arrival.signal {
                Signal::CHILD => {}
                Signal::WINCH => self.send_size(),
                Signal::TSTP => self.stop(),
                Signal::CONT => self.go_on(),
                signal => self.send_signal(signal),
            }
        }
    }

    fn send_size(&mut self) {
        let Some(size) = self.terminal.and_then(Terminal::current_size) else { return };
        let message = WindowSize { rows: size.rows, columns: size.columns };
        let header = self.header(MessageType::WINDOW_SIZE_CHANGED);
        self.send_message(|bytes| message.encode(&header, bytes).is_ok());
    }

    fn send_signal(&mut self, signal: Signal) {
        if !self.running.features.contains(Features::SIGNALS) {
            // WSL's way: whoever closes the connection ends the program.
            if matches!(
                signal,
                Signal::INT | Signal::TERM | Signal::HUP | Signal::QUIT | Signal::KILL
            ) {
                let _ = rustix::net::shutdown(self.connection, rustix::net::Shutdown::Write);
            }
            return;
        }
        let message = SignalMessage { number: signal.as_raw() };
        let header = self.header(MessageType::SIGNAL);
        self.send_message(|bytes| message.encode(&header, bytes).is_ok());
    }

    /// Stops the program and this process with it; both go on together.
    fn stop(&mut self) {
        self.send_signal(Signal::TSTP);
        if let Some(terminal) = self.terminal {
            terminal.take_back();
        }
        let _ = kill_process(getpid(), Signal::STOP);
        self.go_on();
    }

    /// After a stop.
    fn go_on(&mut self) {
        self.give();
        self.send_signal(Signal::CONT);
    }

    fn give(&mut self) {
        if self.terminal.map(Terminal::give) == Some(Back::Resized) {
            self.send_size();
        }
    }

    fn header(&mut self, kind: MessageType) -> Header {
        self.counter = self.counter.wrapping_add(1);
        Header::plain(kind, self.counter)
    }

    fn send_message(&self, encode: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut bytes = Vec::new();
        if encode(&mut bytes) {
            // A host that is gone is noticed where its answer is read.
            let _ = send(self.connection, &bytes, &[]);
        }
    }
}
