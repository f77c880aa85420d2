//! `wsl` for a Windows program: with Linux's variables, and told to the Windows side how it ended.
//!
//! The Windows `wsl.exe` (`windows/helper/src/wsl.rs`) waits at a port of the loopback interface. This
//! process reports there, and runs itself once more as plain `wsl` with the environment that a Linux
//! program is to have: [`winterop_wine::linux_side`].

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};
use winterop_accounts::release::Release;
use winterop_places::program;
use winterop_shell::session::code_of;
use winterop_translate::command_line::words;
use winterop_wine::linux_side::{self, CALLER_VARIABLE, LINE_VARIABLE};
use winterop_words::{Failure, Words};

/// The option by which the `wsl` that [`run_for_caller`] starts gets it.
const LINE: &str = "--windows-line";

/// The option by which `wsl` is told the text of the command that its words are of, for the shell.
pub const TYPED: &str = "--typed";

/// What stands behind `wsl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The text that a Windows program has written.
    Written(Vec<u8>),
    /// The words that a Linux program has passed.
    Words(Vec<OsString>),
}

impl Line {
    /// What `wsl` was called with; it is written text where [`run_for_caller`] has started it.
    #[must_use]
    pub fn of_process() -> Self {
        match std::env::args_os().skip(1).collect::<Vec<_>>() {
            words if words.len() == 2 && words.first().is_some_and(|option| option == LINE) => {
                Self::Written(words.into_iter().next_back().unwrap_or_default().into_vec())
            }
            words => Self::Words(words),
        }
    }

    /// Its words, those of a text by Windows' rules.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        match self {
            Self::Written(text) => {
                words(text).into_iter().map(|word| OsString::from_vec(word.value)).collect()
            }
            Self::Words(words) => words.clone(),
        }
    }

    /// The text of the last `count` words, as it was written; none of words.
    #[must_use]
    pub fn end(&self, count: usize) -> Option<OsString> {
        let Self::Written(text) = self else { return None };
        let words = words(text);
        let first = words.get(words.len().checked_sub(count)?)?;
        let end = text.get(first.begin..)?.trim_ascii_end();
        Some(OsString::from_vec(end.to_vec()))
    }
}

/// Where the Windows side waits.
#[derive(Debug, PartialEq, Eq)]
struct Caller {
    port: u16,
    token: String,
    wants_errors: bool,
}

impl Caller {
    /// The caller that the environment names; `None` where no Windows program has started this.
    fn of_environment() -> Result<Option<Self>, Words> {
        let Some(value) = std::env::var_os(CALLER_VARIABLE) else { return Ok(None) };
        let value = value.to_string_lossy();
        let unclear = || {
            let error = format!("{CALLER_VARIABLE} is {value:?}, and not a port and a token");
            Failure::WindowsCaller { error: &error }.words()
        };
        Self::parse(&value).ok_or_else(unclear).map(Some)
    }

    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let caller = Self {
            port: words.next()?.parse().ok()?,
            token: words.next()?.to_owned(),
            wants_errors: words.next() == Some("stderr"),
        };
        words.next().is_none().then_some(caller)
    }

    /// A connection for what `kind` says.
    fn connect(&self, kind: u8) -> Result<TcpStream, Words> {
        let lost =
            |error: io::Error| Failure::WindowsSideLost { port: &self.port, error: &error }.words();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map_err(lost)?;
        self.refuse_foreign().map_err(lost)?;
        stream.write_all(self.token.as_bytes()).map_err(lost)?;
        stream.write_all(&[kind]).map_err(lost)?;
        Ok(stream)
    }

    /// Somebody else may have taken the port since: they are not told the token, nor what comes after it.
    fn refuse_foreign(&self) -> io::Result<()> {
        let table = std::fs::read_to_string(CONNECTIONS)?;
        let own = rustix::process::geteuid().as_raw();
        match listener_of(&table, self.port) {
            Some(user) if user == own => Ok(()),
            Some(user) => {
                Err(io::Error::other(format!("uid {user} serves it, not Windows' wsl.exe")))
            }
            None => Err(io::Error::other("it is not served by Windows' wsl.exe any more")),
        }
    }
}

/// The kernel's table of connections over IPv4.
const CONNECTIONS: &str = "/proc/net/tcp";

/// The user who listens at a port of the loopback interface.
fn listener_of(table: &str, port: u16) -> Option<u32> {
    let address = format!("0100007F:{port:04X}");
    let user = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_meant = words.get(1) == Some(&&*address) && words.get(3) == Some(&"0A");
        is_meant.then(|| words.get(7)?.parse().ok()).flatten()
    };
    table.lines().find_map(user)
}

/// Runs `wsl` for a Windows caller, if there is one, and returns its exit status; `None` where it is to go
/// on by itself. `tell` hears why it could not run.
///
/// # Errors
/// In words: the caller cannot be told anything.
pub fn run_for_caller(tell: &dyn Fn(&dyn Display)) -> Result<Option<u8>, Words> {
    let Some(caller) = Caller::of_environment()? else { return Ok(None) };
    let mut report = caller.connect(b's')?;
    let status = run(&caller, &report).unwrap_or_else(|error| {
        tell(&error);
        error.kind.status()
    });
    // The Windows side is gone: then nobody asks.
    let _ = report.write_all(&u32::from(status).to_le_bytes());
    Ok(Some(status))
}

fn run(caller: &Caller, report: &TcpStream) -> Result<u8, Words> {
    let mut command = command()?;
    if caller.wants_errors {
        command.stderr(OwnedFd::from(caller.connect(b'e')?));
    }
    attend(command, report)
        .map_err(|error| Failure::CommandNotStarted { command: &"wsl", error: &error }.words())
}

/// Starts it, and waits for its end.
fn attend(mut command: Command, report: &TcpStream) -> io::Result<u8> {
    // Ctrl-C is for the program, which is in the same process group; this process only waits.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let kinds = [SignalKind::interrupt(), SignalKind::quit()];
    let _taken: Vec<_> = kinds.into_iter().map(signal).collect();
    let mut child = command.spawn()?;
    // Dropped with the child's copy of standard error, which would keep Windows waiting.
    drop(command);
    end_with_caller(&child, report.try_clone()?)?;
    Ok(code_of(child.wait()?))
}

/// The same `wsl` with a Linux program's environment.
fn command() -> Result<Command, Words> {
    let Some(prefix) = std::env::var_os("WINEPREFIX").map(PathBuf::from) else {
        let error = format!("{CALLER_VARIABLE} is set, and WINEPREFIX is not");
        return Err(Failure::WindowsCaller { error: &error }.words());
    };
    let windows: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let distribution = Release::distribution_of_machine();
    let variables = linux_side::variables(&prefix, &distribution, &windows);
    let variables = variables.map_err(|error| Failure::WindowsCaller { error: &error }.words())?;
    let mut command = Command::new(program::own()?);
    command.arg0("wsl").env_clear().envs(variables);
    match std::env::var_os(LINE_VARIABLE) {
        Some(line) => command.arg(LINE).arg(line),
        None => command.args(std::env::args_os().skip(1)),
    };
    if let Some(directory) = directory_of_this_namespace() {
        command.current_dir(directory);
    }
    Ok(command)
}

/// The working directory as this mount namespace has it.
///
/// Wine's server opens directories, in the mount namespace where it was started. In an instance the
/// one that Wine gives us is the right directory by a way that no name leads to.
fn directory_of_this_namespace() -> Option<PathBuf> {
    let name = std::fs::read_link("/proc/self/cwd").ok()?;
    let (own, named) = (std::fs::metadata(".").ok()?, std::fs::metadata(&name).ok()?);
    ((own.dev(), own.ino()) == (named.dev(), named.ino())).then_some(name)
}

/// Hangs up on the program if the Windows side goes before it: that was its terminal, so to say.
fn end_with_caller(child: &Child, mut report: TcpStream) -> io::Result<()> {
    let program = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    thread::spawn(move || {
        // Nothing is ever sent this way; the read ends when the other side does.
        let ended = matches!(report.read(&mut [0]), Ok(0) | Err(_));
        if ended {
            // It has ended by itself meanwhile.
            let _ = pidfd_send_signal(program, Signal::HUP);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_a_port_and_a_token() {
        let caller = |port, token: &str, wants_errors| {
            Some(Caller { port, token: token.to_owned(), wants_errors })
        };
        assert_eq!(Caller::parse("80 ab"), caller(80, "ab", false));
        assert_eq!(Caller::parse("80 ab stderr"), caller(80, "ab", true));
        for wrong in ["", "80", "x ab", "70000 ab", "80 ab stderr more"] {
            assert_eq!(Caller::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_was_written_behind_the_options_is_the_shells() {
        let line = Line::Written(br#" -u me  bash -c "cd sub && rm -f *.txt"  "#.to_vec());
        let words = line.words();
        assert_eq!(words, ["-u", "me", "bash", "-c", "cd sub && rm -f *.txt"]);
        assert_eq!(line.end(3).unwrap(), r#"bash -c "cd sub && rm -f *.txt""#);
        assert_eq!(line.end(0), None);
        assert_eq!(line.end(6), None);
    }

    #[test]
    fn who_listens_at_a_port_is_known() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 5 1\n\
            1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001  0 6 1\n";
        assert_eq!(listener_of(table, 8080), Some(1000));
        assert_eq!(listener_of(table, 8081), None);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let caller = Caller { port, token: String::new(), wants_errors: false };
        caller.refuse_foreign().unwrap();
        drop(listener);
        assert!(caller.refuse_foreign().is_err());
    }
}
