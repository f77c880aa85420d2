//! What distributions cost: a command in one that runs, the start of one, an import.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::figures::{median, milliseconds};
use super::inside::by_turns;
use super::place::{Kind, Place, do_nothing, read_a_byte, write_executable};

/// The distribution's name.
const NAME: &str = "Bench";

/// How long a program may take until it runs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The archive for the import: so many files, of sizes that go round, so many MiB in all.
const FILES: usize = 4000;
const SIZES: [usize; 4] = [700, 6_000, 30_000, 90_000];

/// A root of two programs, and the place whose `wsl` runs it.
struct Root {
    place: Place,
    path: PathBuf,
    /// A name of this run's own for the program that waits.
    waiter: String,
}

impl Root {
    fn make() -> Result<Self> {
        let place = Place::make(Kind::Command)?;
        let path = place.files().join("root");
        let waiter = format!("wait-{}", std::process::id());
        fs::create_dir_all(path.join("bin")).context("make a root")?;
        fs::create_dir_all(path.join("etc")).context("make a root")?;
        write_executable(&path.join("bin/true"), &do_nothing())?;
        write_executable(&path.join("bin").join(&waiter), &read_a_byte())?;
        fs::write(path.join("etc/passwd"), "root:x:0:0::/:/bin/true\n").context("make a root")?;
        // What starts Windows programs is not measured here.
        let started = place.winterop(&["host", "start"]).stdout(Stdio::null()).status();
        ensure!(started.context("start a host")?.success(), "the host does not start");
        Ok(Self { place, path, waiter })
    }

    fn wsl(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.program("wsl");
        command.args(["-d", NAME, "--root"]).arg(&self.path).args(arguments);
        command
    }

    fn time(mut command: Command) -> Result<f64> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let begin = Instant::now();
        let status = command.status().context("start a program")?;
        let time = milliseconds(begin);
        ensure!(status.success(), "{command:?}: {status}");
        Ok(time)
    }

    fn terminate(&self) -> Result<()> {
        Self::time(self.wsl(&["--terminate"])).map(drop)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = self.terminate() {
            eprintln!("the distribution could not be ended: {error:#}");
        }
    }
}

/// Milliseconds of `wsl -e true` and of `nsenter … true` in the same namespaces.
///
/// # Errors
/// If one of them fails.
pub(super) fn command(turns: usize) -> Result<(f64, f64)> {
    let root = Root::make()?;
    let waiter = format!("/bin/{}", root.waiter);
    let mut waiting = root.wsl(&["-e", &waiter]).stdin(Stdio::piped()).spawn();
    let waiting = waiting.as_mut().map_err(|error| anyhow::anyhow!("start wsl: {error}"))?;
    let target = pid_of(&root.waiter)?.to_string();
    let reference = || {
        let mut command = Command::new("nsenter");
        command.args(["--target", &target, "--all", "/bin/true"]);
        Root::time(command)
    };
    let measured = by_turns(turns, || Root::time(root.wsl(&["-e", "/bin/true"])), reference);
    let input = waiting.stdin.take().context("wsl has no input")?.write_all(b"\n");
    input.context("end the program that waits")?;
    waiting.wait().context("wait for wsl")?;
    measured
}

/// The process with this name.
fn pid_of(name: &str) -> Result<u32> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        for entry in fs::read_dir("/proc").context("list /proc")?.flatten() {
            let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            if comm.trim_end() == name
                && let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse().ok())
            {
                return Ok(pid);
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    bail!("the program that waits does not run")
}

/// The median of so many starts of a distribution, from the call of `wsl` to the end of a command that
/// does nothing.
///
/// # Errors
/// If a start fails.
pub(super) fn start(turns: usize) -> Result<f64> {
    let root = Root::make()?;
    let once = || {
        let time = Root::time(root.wsl(&["-e", "/bin/true"]))?;
        root.terminate()?;
        Ok(time)
    };
    Ok(median((0..turns).map(|_| once()).collect::<Result<_>>()?))
}

/// MiB per second of `wsl --import`, and of `tar -x` with everything on the disk as well.
///
/// # Errors
/// If one of them fails.
pub(super) fn import(turns: usize) -> Result<(f64, f64)> {
    let place = Place::make(Kind::Command)?;
    let archive = archive(&place)?;
    let size = fs::metadata(&archive).context("look at the archive")?.len();
    let speed = |time: f64| size as f64 / f64::from(1 << 20) * 1000.0 / time;
    let target = place.files().join("imported");
    let ours = || {
        let mut import = place.program("wsl");
        import.args(["--import", NAME]).arg(&target).arg(&archive).stderr(Stdio::null());
        let time = Root::time(import)?;
        let mut remove = place.program("wsl");
        remove.args(["--unregister", NAME, "--yes"]);
        Root::time(remove)?;
        Ok(time)
    };
    let reference = || {
        fs::create_dir(&target).context("make a folder")?;
        let script = "tar -C \"$1\" -xf \"$2\" && sync -f \"$1\"";
        let mut tar = Command::new("sh");
        tar.args(["-c", script, "sh"]).arg(&target).arg(&archive);
        let time = Root::time(tar)?;
        fs::remove_dir_all(&target).context("remove what was unpacked")?;
        Ok(time)
    };
    let (ours, reference) = by_turns(turns, ours, reference)?;
    Ok((speed(ours), speed(reference)))
}

/// An archive with many small files, as systems have them.
fn archive(place: &Place) -> Result<PathBuf> {
    let folder = place.files().join("source");
    for (number, size) in SIZES.into_iter().cycle().take(FILES).enumerate() {
        let parent = folder.join(format!("usr/share/{}", number / 50));
        if number % 50 == 0 {
            fs::create_dir_all(&parent).context("make a folder")?;
        }
        let content: Vec<u8> = (0..size).map(|at| ((at * 7 + number) % 251) as u8).collect();
        fs::write(parent.join(number.to_string()), content).context("write a file")?;
    }
    let archive = place.files().join("source.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&folder).arg("-cf").arg(&archive).arg(".");
    Root::time(tar)?;
    fs::remove_dir_all::<&Path>(&folder).context("remove what is packed")?;
    Ok(archive)
}
