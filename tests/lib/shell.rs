//! A shell on a real pseudo-terminal.

use std::fs::File;
use std::process::Command;

use rexpect::session::{PtySession, spawn_command};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Termios, Winsize, tcgetattr, tcgetpgrp, tcsetwinsize};

use crate::{Host, Placement, expect_soon};

/// How long a shell may take to answer, in milliseconds.
const PATIENCE: u64 = 30_000;

/// A shell on a terminal of 30 rows and 100 columns, and what the terminal shows.
pub struct Shell {
    session: PtySession,
    terminal: File,
    winterop: String,
    /// The shell's own process group.
    group: Option<Pid>,
    screen: vt100::Parser,
    written: String,
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Shell {
    /// Starts one of the shells of Unix, and waits until it answers.
    ///
    /// # Panics
    /// Where that does not happen; so with everything here.
    #[must_use]
    pub fn start(host: &Host, placement: Placement, words: &[&str]) -> Self {
        let mut command = host.command(words[0], placement);
        command.args(&words[1..]).env("PS1", "");
        let mut shell = Self::of(host, placement, command);
        shell.does("echo be''gun", "begun");
        // A shell with job control makes a group of its own.
        shell.group = tcgetpgrp(&shell.terminal).ok();
        shell
    }

    /// Starts any command on a terminal; nothing is waited for.
    #[must_use]
    pub fn of(host: &Host, placement: Placement, mut command: Command) -> Self {
        command.env("TERM", "xterm-256color");
        let session = spawn_command(command, Some(PATIENCE)).expect("a command");
        let terminal = session.process().get_file_handle().expect("its terminal");
        let winterop = host.winterop(placement, &[]);
        let winterop = winterop.get_program().to_str().expect("UTF-8").to_owned();
        let screen = vt100::Parser::new(30, 100, 0);
        let written = String::new();
        let shell = Self { session, terminal, winterop, group: None, screen, written };
        shell.resize(30, 100);
        shell
    }

    /// bash without a line editor: it leaves the terminal's modes alone.
    #[must_use]
    pub fn bash(host: &Host, placement: Placement) -> Self {
        Self::start(host, placement, &["bash", "--norc", "--noprofile", "--noediting", "-i"])
    }

    /// bash as people use it: it reads keys.
    #[must_use]
    pub fn editing_bash(host: &Host, placement: Placement) -> Self {
        Self::start(host, placement, &["bash", "--norc", "--noprofile", "-i"])
    }

    /// Starts a Windows program in the foreground.
    pub fn runs(&mut self, words: &str) {
        let line = format!("{} run {words}", self.winterop);
        self.types(&format!("{line}\r"));
    }

    /// Types keys.
    pub fn types(&mut self, keys: &str) {
        self.session.send(keys).expect("a terminal");
        self.session.flush().expect("a terminal");
    }

    /// Types a key with Ctrl.
    pub fn key(&mut self, key: char) {
        self.session.send_control(key).expect("a terminal");
    }

    /// Reads up to this text.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        match self.session.exp_string(text) {
            Ok(before) => {
                self.written.push_str(&before);
                self.written.push_str(text);
                self.screen.process(before.as_bytes());
                self.screen.process(text.as_bytes());
            }
            Err(error) => panic!("{text:?} was expected: {error}"),
        }
    }

    /// Types a line and reads up to the answer.
    #[track_caller]
    pub fn does(&mut self, line: &str, answer: &str) {
        self.types(&format!("{line}\r"));
        self.expect(answer);
    }

    /// The terminal's modes.
    #[must_use]
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.terminal).expect("a terminal")
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).expect("a size");
    }

    /// What the terminal shows, as far as it was read.
    #[must_use]
    pub fn screen(&self) -> &vt100::Screen {
        self.screen.screen()
    }

    /// Everything that was read.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The process group that has the terminal.
    #[must_use]
    pub fn foreground(&self) -> Pid {
        tcgetpgrp(&self.terminal).expect("a terminal")
    }

    /// Waits until another group than the shell's has the terminal.
    pub fn wait_for_job(&self) {
        self.wait_for_group(|group| Some(group) != self.group);
    }

    /// Waits until the shell has the terminal again.
    pub fn wait_for_prompt(&self) {
        self.wait_for_group(|group| Some(group) == self.group);
    }

    fn wait_for_group(&self, is_it: impl Fn(Pid) -> bool) {
        expect_soon("the terminal is given on", || is_it(self.foreground()).then_some(()));
    }

    /// Waits for the end of the command, and of everything that had the terminal; says what it shows
    /// then.
    #[must_use]
    pub fn end(mut self) -> String {
        let rest = self.session.exp_eof().expect("an end");
        self.screen.process(rest.as_bytes());
        self.screen().contents()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // An interactive shell ignores what rexpect would end it with.
        if let Some(group) = self.group {
            let _ = kill_process(group, Signal::KILL);
        }
    }
}
