//! Checks that go the whole way: the program that was asked about, and a trial launch.

use crate::context::Context;
use crate::finding::{Finding, Mishap, allow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, MemfdFlags, StatVfsMountFlags, access, memfd_create, statvfs};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;
use winterop_places::{program, user};
use winterop_registration::BINFMT_MISC;
use winterop_registration::table::{Table, head};
use winterop_settings::machine::EntryName;
use winterop_settings::{SwitchPlaces, Switches};
use winterop_wine::installation::Search;
use winterop_wine::pe::diagnose_with;

/// A program of Wine's own that does next to nothing.
const TRIAL: &str = "hostname.exe";

/// How long it may take: the first launch makes a prefix.
const PATIENCE: Timespec = Timespec { tv_sec: 50, tv_nsec: 0 };

/// The most that is read of what it writes.
const LARGEST: u64 = 64 * 1024;

pub(crate) fn program(context: &Context) -> Finding {
    let Some(program) = &context.program else {
        return Finding::skipped("name one: `winterop doctor ./tool.exe`");
    };
    let shown = program.display();
    let file = match File::open(program) {
        Ok(file) => file,
        Err(error) => {
            return Finding::wrong(
                format!("{shown}: {error}"),
                "check its name and its permissions",
            );
        }
    };
    let abilities = Search::from_env().run().map(|found| found.installation.abilities());
    let diagnosis = diagnose_with(|offset, buffer| file.read_at(buffer, offset));
    match (diagnosis, abilities) {
        (Err(error), _) => {
            return Finding::wrong(format!("{shown}: it cannot be read: {error}"), "get it again");
        }
        (Ok(diagnosis), Ok(abilities)) => {
            if let Err(unfit) = diagnosis.check(abilities) {
                return Finding::error(&unfit.words(shown));
            }
        }
        _ => {}
    }
    if access(program, Access::EXEC_OK).is_ok() {
        return Finding::good(format!("{shown} is a Windows program that can run here"));
    }
    let flags = statvfs(program).map(|status| status.f_flag);
    if flags.is_ok_and(|flags| flags.contains(StatVfsMountFlags::NOEXEC)) {
        let says = format!("{shown} lies on a file system that is mounted noexec");
        return Finding::wrong(says, "copy it elsewhere, or `winterop run` it");
    }
    Finding::wrong(format!("{shown} is not executable"), allow("+x", program))
}

pub(crate) fn trial(context: &Context) -> Finding {
    if !context.uses_wine() {
        return Finding::skipped(
            "the settings start programs with a command, which may not have any",
        );
    }
    if Switches::new(SwitchPlaces::of_user()).check().is_err() {
        return Finding::skipped("Windows programs are switched off");
    }
    let Ok(found) = Search::from_env().run() else {
        return Finding::skipped("there is no Wine");
    };
    let program = found.installation.windows_libraries().join(TRIAL);
    match start(&program, &context.entry) {
        Err(error) => Finding::wrong(format!("it could not be started: {error}"), "see above"),
        Ok(trial) => judge(&trial),
    }
}

/// A launch, and which way it went.
struct Trial {
    way: &'static str,
    status: ExitStatus,
    output: String,
    errors: String,
    milliseconds: u128,
}

/// Starts a program by the kernel where an entry of ours takes it, else as `winterop run` does.
fn start(program: &Path, entry: &EntryName) -> Result<Trial, Mishap> {
    let copy = Copy::of(program)?;
    let (way, mut command) = if is_taken(&copy.0, entry) {
        ("by the kernel", Command::new(&copy.0))
    } else {
        let mut command = Command::new(program::own()?);
        command.arg("run").arg(&copy.0);
        ("by `winterop run`", command)
    };
    let (output, errors) = (memory("output")?, memory("errors")?);
    // Not pipes: a host that does not answer has been passed their ends, and keeps them open.
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(errors.try_clone()?);
    let begin = Instant::now();
    let mut child = command.spawn().map_err(at(&copy.0))?;
    let status = wait(&mut child)?;
    let milliseconds = begin.elapsed().as_millis();
    Ok(Trial { way, status, output: text(output)?, errors: text(errors)?, milliseconds })
}

/// A refusal of the system's, with the file that it is about.
fn at(path: &Path) -> impl FnOnce(io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

fn memory(name: &str) -> Result<File, Mishap> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// What was written, without carriage returns.
fn text(mut file: File) -> Result<String, Mishap> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
}

fn wait(child: &mut Child) -> Result<ExitStatus, Mishap> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut interest = [PollFd::new(&process, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut interest, Some(&PATIENCE)))? == 0 {
        child.kill()?;
        child.wait()?;
        return Err(format!("it did not end in {} s, and was ended", PATIENCE.tv_sec).into());
    }
    Ok(child.wait()?)
}

fn is_taken(program: &Path, entry: &EntryName) -> bool {
    let Ok(table) = Table::read(Path::new(BINFMT_MISC)) else { return false };
    let Ok(head) = head(program) else { return false };
    table.taker(program, &head).is_some_and(|taker| taker.name == entry.as_str())
        && access(program, Access::EXEC_OK).is_ok()
}

/// A copy that may be executed, as Wine's own files may not; removed with this.
struct Copy(PathBuf);

impl Copy {
    fn of(program: &Path) -> Result<Self, Mishap> {
        let copy = Self(user::runtime()?.join(format!("doctor-{}.exe", std::process::id())));
        fs::copy(program, &copy.0).map_err(at(program))?;
        fs::set_permissions(&copy.0, fs::Permissions::from_mode(0o700))?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.0);
    }
}

fn judge(trial: &Trial) -> Finding {
    let Trial { way, status, output, errors, milliseconds } = trial;
    if status.success() && !output.trim().is_empty() {
        return Finding::good(format!("{TRIAL} ran {way}, in {milliseconds} ms"));
    }
    let lines: Vec<String> = errors.lines().map(str::to_owned).collect();
    let id = lines.iter().find_map(|line| identifier(line));
    let says = format!("{TRIAL} did not run {way}: {status}");
    if id.as_deref().is_some_and(|id| id.starts_with("policy-refuses")) {
        return Finding::skipped(format!("the policy refuses {TRIAL}")).with_details(lines);
    }
    let mend = match &id {
        Some(id) => format!("winterop explain {id}"),
        None => "WINTEROP_LOG=debug winterop host serve shows what happens".to_owned(),
    };
    Finding { error: id, ..Finding::wrong(says, mend).with_details(lines) }
}

/// The identifier at the end of a message.
fn identifier(line: &str) -> Option<String> {
    let start = line.rfind('[')?;
    let id = line.get(start + 1..)?.split(']').next()?;
    winterop_words::find(id).map(|entry| entry.id.to_owned())
}
