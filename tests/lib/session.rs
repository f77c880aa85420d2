//! A shell in an instance, which a test talks to.

use crate::{Host, Placement, Process};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// Ends the output of each command; no program here prints it.
const END: &str = "\u{1}end of command";

/// A shell in an instance of its own, until it is dropped.
#[derive(Debug)]
pub struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    socket: PathBuf,
}

impl Session {
    pub(crate) fn start(host: &Host, placement: Placement) -> Self {
        let mut command = host.script(placement, "while read -r line; do eval \"$line\"; done");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("winterop shell");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut session = Self::of(child, input, output);
        session.socket = session.eval("echo $WSL_INTEROP").trim().into();
        session
    }

    /// A shell that reads lines of `input`, evaluates them and prints to `output`.
    pub(crate) fn of(child: Child, input: ChildStdin, output: BufReader<ChildStdout>) -> Self {
        Self { child, input: Some(input), output, socket: PathBuf::new() }
    }

    /// Runs one line without input and returns what it prints, carriage returns left out; `$?`
    /// survives to the next one.
    ///
    /// # Panics
    /// Where the shell has ended.
    #[track_caller]
    pub fn eval(&mut self, line: &str) -> String {
        self.send(line);
        let mut text = String::new();
        loop {
            let next = self.line();
            // What was printed before may lack the end of its line.
            match next.trim_end().strip_suffix(END) {
                Some(last) => return text + last,
                None => text.push_str(&next),
            }
        }
    }

    /// Sends one line; [`Session::line`] reads what comes of it.
    pub fn send(&mut self, line: &str) {
        assert!(!line.contains('\n'), "one line at a time");
        // The shell reads lines: the group goes as one.
        let separator = if line.ends_with('&') { "" } else { ";" };
        let line = format!("{{ {line} {separator} }} </dev/null; echo '{END}'\n");
        let input = self.input.as_mut().expect("the shell's input");
        input.write_all(line.as_bytes()).expect("the shell");
    }

    /// Reads one line of what the shell's commands print.
    ///
    /// # Panics
    /// At the end of the shell.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut bytes = Vec::new();
        let count = self.output.read_until(b'\n', &mut bytes).expect("the shell's output");
        assert_ne!(count, 0, "the shell has ended");
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// The shell's process.
    #[must_use]
    pub fn process(&self) -> Process {
        Process(self.child.id().cast_signed())
    }

    /// The instance's init.
    #[must_use]
    pub fn init(&self) -> Process {
        let name = self.socket.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let pid = name.strip_suffix("_interop").and_then(|pid| pid.parse().ok());
        Process(pid.expect("a pid in the socket's name"))
    }

    /// The instance's socket, as it is named inside.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The instance's socket, as it is reached from outside.
    #[must_use]
    pub fn socket_from_outside(&self) -> PathBuf {
        let inside = self.socket.strip_prefix("/").unwrap_or(&self.socket);
        Path::new(&format!("/proc/{}/root", self.init().0)).join(inside)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without input the shell ends.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
