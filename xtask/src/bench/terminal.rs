//! Measures a program on a terminal: a key to its echo, a new size to the program's notice.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long an answer may take.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Wide enough that no line of keys comes to its end.
const WIDE: (u16, u16) = (30, 2000);

/// Keys that occur in no escape sequence of Wine's.
const KEYS: &[u8] = b"wxyz";

/// A program on a terminal of its own; ended when it is dropped.
pub(super) struct Terminal {
    controller: File,
    child: Child,
    keys: std::iter::Cycle<std::slice::Iter<'static, u8>>,
}

impl Terminal {
    /// Starts `command` as the leader of a session on a new terminal, and waits until it says
    /// "ready".
    pub(super) fn start(command: &Command) -> Result<Self> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .context("open a terminal")?;
        grantpt(&controller).context("grant the terminal")?;
        unlockpt(&controller).context("unlock the terminal")?;
        let name = ptsname(&controller, Vec::new()).context("name the terminal")?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let side = || rustix::fs::open(&*name, flags, Mode::empty()).context("open its other side");
        let controller = File::from(controller);
        resize(&controller, WIDE)?;
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            session.env(name, value.unwrap_or_default());
        }
        let child = session
            .stdin(Stdio::from(side()?))
            .stdout(Stdio::from(side()?))
            .stderr(Stdio::from(side()?))
            .spawn()
            .context("start setsid")?;
        let mut terminal = Self { controller, child, keys: KEYS.iter().cycle() };
        terminal.read_until(b"ready")?;
        Ok(terminal)
    }

    /// Milliseconds from a key to its echo.
    pub(super) fn key(&mut self) -> Result<f64> {
        let key = *self.keys.next().unwrap_or(&b'w');
        let begin = Instant::now();
        self.controller.write_all(&[key]).context("type a key")?;
        self.read_until(&[key])?;
        Ok(super::figures::milliseconds(begin))
    }

    /// Milliseconds from a new size to what the program says of it.
    pub(super) fn new_size(&mut self, size: (u16, u16)) -> Result<f64> {
        let begin = Instant::now();
        resize(&self.controller, size)?;
        self.read_until(format!("resized {} {}", size.1, size.0).as_bytes())?;
        Ok(super::figures::milliseconds(begin))
    }

    fn read_until(&mut self, wanted: &[u8]) -> Result<()> {
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while !read.windows(wanted.len()).any(|part| part == wanted) {
            let mut interest = [PollFd::new(&self.controller, PollFlags::IN)];
            let count = poll(&mut interest, Some(&PATIENCE)).context("wait for an answer")?;
            let wanted = String::from_utf8_lossy(wanted);
            ensure!(count > 0, "no {wanted:?} came, only {:?}", String::from_utf8_lossy(&read));
            let length = self.controller.read(&mut buffer).context("read from the terminal")?;
            read.extend(buffer.iter().take(length));
        }
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What was started by it ends with it, or with its terminal.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: &File, (rows, columns): (u16, u16)) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).context("give the terminal a size")
}
