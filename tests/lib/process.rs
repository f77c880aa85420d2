//! Processes: run to their end with a deadline, or looked at from outside.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// After this a process counts as hanging. Long, because many tests share few processors.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a process ended and what it wrote.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Outcome {
    /// The exit status; for an end by a signal 128 and its number, as in a shell.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().or(self.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    }

    /// Standard output as text, carriage returns left out.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).replace('\r', "")
    }

    /// Standard error as text, carriage returns left out.
    #[must_use]
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).replace('\r', "")
    }

    /// Asserts success without a word on standard error.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn clean(self) -> Self {
        assert!(
            self.status.success() && self.stderr.is_empty(),
            "{:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.text(),
            self.errors()
        );
        self
    }

    /// Asserts an exit status and one line on standard error that holds all of `words`.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn refused(&self, code: i32, words: &[&str]) {
        let errors = self.errors();
        let as_said = self.status.code() == Some(code)
            && errors.lines().count() == 1
            && words.iter().all(|word| errors.contains(word));
        assert!(
            as_said,
            "wanted status {code} and one line with {words:?}, got {:?}\n--- stdout\n{}\n--- stderr\n{errors}",
            self.status,
            self.text()
        );
    }
}

/// Runs `command` to its end, without input.
#[must_use]
pub fn finish(command: &mut Command) -> Outcome {
    finish_with(command, Vec::new())
}

/// Runs `command` to its end with `input` through a pipe; reads what it writes all the while.
///
/// # Panics
/// Where it cannot be started, or does not end in two minutes.
#[track_caller]
#[must_use]
pub fn finish_with(command: &mut Command, input: Vec<u8>) -> Outcome {
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
    let writer = child.stdin.take().map(|mut pipe| {
        thread::spawn(move || {
            // A program may end without having read all of it.
            let _ = pipe.write_all(&input);
        })
    });
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let status = wait(&mut child);
    if status.is_none() {
        let _ = child.kill();
    }
    let Some(status) = status.or_else(|| child.wait().ok()) else { panic!("no exit status") };
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    let outcome = Outcome { status, stdout: text(stdout), stderr: text(stderr) };
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    assert_ne!(
        outcome.status.signal(),
        Some(9),
        "{command:?} was killed, or did not end in {PATIENCE:?}: {}{}",
        outcome.text(),
        outcome.errors()
    );
    outcome
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits for a child's end; `None` where it does not come.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let process = Process(i32::try_from(child.id()).ok()?);
    process.ends_within(PATIENCE).then(|| child.wait().ok()).flatten()
}

/// How long something may take that has been brought about.
const SOON: Duration = Duration::from_secs(30);

/// How long is waited between two looks: long enough to leave the processor to what is waited for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Looks at something again and again until it is `Some`: for what the kernel has no event for.
///
/// # Panics
/// Where that does not happen in half a minute.
#[track_caller]
pub fn expect_soon<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    match happens_within(SOON, look) {
        Some(found) => found,
        None => panic!("this did not happen: {what}"),
    }
}

/// The same for whoever says more of what did not happen: what was found in this time, if it was.
pub fn happens_within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        // The last look is one behind the deadline: on a busy machine the one before may be long ago.
        let is_over = Instant::now() >= deadline;
        match look() {
            Some(found) => return Some(found),
            None if is_over => return None,
            None => thread::sleep(BETWEEN_LOOKS),
        }
    }
}

/// A process, looked at from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub i32);

impl Process {
    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }

    /// Whether it ends in this time; also if it had ended before.
    #[must_use]
    pub fn ends_within(self, patience: Duration) -> bool {
        let Some(pid) = Pid::from_raw(self.0) else { return true };
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
        let deadline = Instant::now() + patience;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let rest = Timespec {
                tv_sec: rest.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: rest.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&rest)) {
                Ok(count) => return count > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Whether it exists and has not ended.
    #[must_use]
    pub fn is_alive(self) -> bool {
        !self.ends_within(Duration::ZERO)
    }

    /// The words it was started with.
    #[must_use]
    pub fn command_line(self) -> String {
        let bytes = fs::read(self.file("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned()
    }

    /// Its environment, as it was at its start.
    #[must_use]
    pub fn environment(self) -> String {
        String::from_utf8_lossy(&fs::read(self.file("environ")).unwrap_or_default()).into_owned()
    }

    /// A line of its `status`, without the name.
    #[must_use]
    pub fn status(self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.file("status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| line.trim().to_owned())
    }

    /// What a descriptor of it is: `pipe:[1234]`, or a path.
    #[must_use]
    pub fn descriptor(self, number: u32) -> Option<OsString> {
        fs::read_link(self.file(&format!("fd/{number}"))).ok().map(PathBuf::into_os_string)
    }

    /// Everything that it has open.
    #[must_use]
    pub fn open_files(self) -> Vec<OsString> {
        let entries = fs::read_dir(self.file("fd")).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .map(PathBuf::into_os_string)
            .collect()
    }

    /// The processors on which threads of it run at this moment, one for each such thread.
    #[must_use]
    pub fn running_on(self) -> Vec<u32> {
        let threads = fs::read_dir(self.file("task")).into_iter().flatten().flatten();
        let texts =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        let processor = |text: String| {
            // The state is the first field behind the name, the processor the 37th.
            let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
            (fields.next()? == "R").then_some(())?;
            fields.nth(35)?.parse().ok()
        };
        texts.filter_map(processor).collect()
    }

    /// The program that it runs.
    #[must_use]
    pub fn executable(self) -> PathBuf {
        fs::read_link(self.file("exe")).unwrap_or_default()
    }

    /// Whether it is process 1 of a pid namespace below this one.
    #[must_use]
    pub fn is_first_in_its_namespace(self) -> bool {
        let numbers = self.status("NSpid").unwrap_or_default();
        let numbers: Vec<_> = numbers.split_whitespace().collect();
        numbers.len() > 1 && numbers.last() == Some(&"1")
    }

    /// Its parent.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        self.status("PPid")?.parse().ok().map(Self)
    }

    /// Whether `other` is its parent, or a parent's parent, and so on.
    #[must_use]
    pub fn is_below(self, other: Self) -> bool {
        let mut parents = std::iter::successors(self.parent(), |process| process.parent());
        parents.any(|process| process == other)
    }
}

/// All processes that run now.
#[must_use]
pub fn processes() -> BTreeSet<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Process)).collect()
}
