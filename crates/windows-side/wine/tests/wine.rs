//! Runs programs with the real Wine through `winterop_wine`.
//!
//! The prepared template is kept in cargo's folder for tests, so that only the first run makes one;
//! every test works in a prefix of its own, copied from it. Without Wine the tests fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::io::FdFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use winterop_drives::DriveFolder;
use winterop_host::hosted::HostedProgram;
use winterop_host::request::LaunchRequest;
use winterop_host::{Execution, Mark};
use winterop_wine::command::{Launch, Request, build, image_on_z};
use winterop_wine::display::Display;
use winterop_wine::environment::REPORT_VARIABLE;
use winterop_wine::installation::{Installation, Search};
use winterop_wine::launches::Page;
use winterop_wine::prefix;
use winterop_wine::server::Server;
use winterop_wine::surroundings::Surroundings;
use winterop_wine::user::WineUser;

/// The installed Wine, which `cargo xtask test` installs.
fn installation() -> Installation {
    Search::from_env().run().unwrap().installation
}

/// A program for Windows, which `cargo xtask windows` builds.
fn test_program(name: &str) -> PathBuf {
    let path = workspace().join("target/windows").join(name);
    assert!(path.exists(), "{name} is not built (cargo xtask windows)");
    path
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

/// The library to preload, built once.
fn preload() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("preload");
        let status = Command::new(env!("CARGO"))
            .args(["rustc", "--quiet", "--release", "--locked", "-p", "winterop-preload"])
            .arg("--target-dir")
            .arg(&target)
            .args(["--", "-C", "panic=abort"])
            .current_dir(workspace())
            .status()
            .unwrap();
        assert!(status.success());
        target.join("release/libwinterop_preload.so")
    };
    LIBRARY.get_or_init(build).clone()
}

/// A prefix of a test's own with a warm server, all of it gone when this is dropped.
struct Warm {
    surroundings: Surroundings,
    server: Option<Server>,
    _page: Page,
    folder: tempfile::TempDir,
}

impl Warm {
    fn new(installation: Installation) -> Self {
        Self::with_loader(installation, |_, loader| loader)
    }

    /// Prepares the prefix with Wine's loader, and uses what `change` makes of it, given a folder.
    fn with_loader(
        mut installation: Installation,
        change: impl FnOnce(&Path, PathBuf) -> PathBuf,
    ) -> Self {
        let user = WineUser::current();
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wine");
        prefix::prepare(&installation, &user, &data, None, &mut |_| {}).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prefix");
        prefix::copy(&data, &path).unwrap();
        let page = Page::create(&folder.path().join("launches")).unwrap();
        installation.loader = change(folder.path(), installation.loader);
        let surroundings = Surroundings {
            installation,
            prefix: path,
            user,
            preload: Some(preload()),
            launches: Some(page.path().to_owned()),
            starter: None,
        };
        let server = Server::start(&surroundings, &Display::default()).unwrap();
        Self { surroundings, server: Some(server), _page: page, folder }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Runs a Windows program with its command line; the outcome and the 32-bit exit code.
    fn run(&self, program: &Program, line: &str) -> (Output, Option<u32>) {
        let line: Vec<u16> = line.encode_utf16().collect();
        self.run_units(program, &line, &[])
    }

    /// Waits until the services run once; while one starts another it is there twice, as its fork.
    fn wait_for_one_set_of_services(&self) {
        wait_until("one services.exe", || {
            let running = processes_of(&self.surroundings.prefix);
            running.iter().filter(|line| line.contains("services.exe")).count() == 1
        });
    }

    fn run_units(
        &self,
        program: &Program,
        line: &[u16],
        variables: &[(OsString, OsString)],
    ) -> (Output, Option<u32>) {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut launch = build(
            &self.surroundings,
            &Request {
                program: &program.start,
                image: &program.image,
                command_line: line,
                variables,
                display: &Display::default(),
            },
        )
        .unwrap();
        assert!(launch.exact);
        launch.environment.set(REPORT_VARIABLE, writer.as_raw_fd().to_string());
        rustix::io::fcntl_setfd(&reader, FdFlags::CLOEXEC).unwrap();
        let output = command(&launch).output().unwrap();
        let mut code = [0; 4];
        let read = fs::File::from(reader).read_exact(&mut code);
        (output, read.ok().map(|()| u32::from_le_bytes(code)))
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown();
        }
        assert_eq!(processes_of(&self.surroundings.prefix), Vec::<String>::new());
        assert!(self.folder.path().exists());
    }
}

struct Program {
    start: OsString,
    image: Vec<u16>,
}

impl Program {
    fn unix(path: &Path) -> Self {
        Self { start: path.into(), image: image_on_z(path) }
    }

    fn cmd() -> Self {
        let path = "C:\\windows\\system32\\cmd.exe";
        Self { start: path.into(), image: path.encode_utf16().collect() }
    }
}

fn command(launch: &Launch) -> Command {
    let mut command = Command::new(&launch.program);
    command.args(launch.arguments.iter().skip(1)).env_clear().envs(launch.environment.iter());
    command.stdin(Stdio::null()).current_dir("/tmp");
    command
}

/// The processes that belong to a prefix and have not ended, by their command lines.
fn processes_of(prefix: &Path) -> Vec<String> {
    let wanted = format!("WINEPREFIX={}\0", prefix.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(&wanted) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

/// Waits until a condition holds, at most 20 s.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::yield_now();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_prefix_is_found_prepared_and_says_windows_10() {
    let installation = installation();
    let warm = Warm::new(installation.clone());
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wine");
    let mut steps = Vec::new();
    let user = WineUser::current();
    let found = prefix::prepare(&installation, &user, &data, None, &mut |step| steps.push(step));
    assert!(!found.unwrap().outdated);
    assert_eq!(steps, []);
    let (output, _) = warm.run(&Program::cmd(), "cmd.exe /c ver");
    assert!(text(&output).contains("10.0"), "{}", text(&output));
    let read = DriveFolder::of_prefix(&warm.surroundings.prefix).read().unwrap();
    let letters: Vec<char> = read.iter().map(|drive| drive.letter.upper()).collect();
    assert_eq!(letters, ['C', 'Z']);
}

#[test]
fn an_outdated_prefix_is_brought_up_to_date_and_keeps_what_is_in_it() {
    let installation = installation();
    // It makes the template that is copied here.
    let warm = Warm::new(installation.clone());
    let data = tempfile::tempdir().unwrap();
    let user = WineUser::current();
    let first = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wine");
    prefix::copy(&first, &data.path().join("template")).unwrap();
    let path = prefix::copy(&first, &data.path().join("prefix")).unwrap().path;
    fs::write(path.join("drive_c/mine.txt"), "kept").unwrap();
    fs::write(path.join(".winterop"), "an older recipe").unwrap();
    let own = installation.windows_libraries().join("kernel32.dll");
    let before = fs::metadata(&own).unwrap().modified().unwrap();
    let mut steps = Vec::new();
    let mut note = |step| steps.push(step);
    let found = prefix::prepare(&installation, &user, data.path(), None, &mut note).unwrap();
    assert!(!found.outdated);
    assert!(steps.contains(&prefix::Step::Slimming));
    assert_eq!(fs::read(path.join("drive_c/mine.txt")).unwrap(), b"kept");
    assert_eq!(fs::read_link(path.join("drive_c/windows/system32/kernel32.dll")).unwrap(), own);
    assert_eq!(fs::metadata(&own).unwrap().modified().unwrap(), before);
    let mut names: Vec<_> =
        fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["prefix", "prefix.lock", "template"]);
    drop(warm);
}

#[test]
fn a_link_makes_a_distribution_reachable() {
    let installation = installation();
    let warm = Warm::new(installation);
    fs::write(warm.folder.path().join("seen.txt"), "through the link\r\n").unwrap();
    let drives = DriveFolder::of_prefix(&warm.surroundings.prefix);
    drives.link_distribution("here", warm.folder.path()).unwrap();
    let line = "cmd.exe /c type \\\\wsl.localhost\\here\\seen.txt";
    let (output, code) = warm.run(&Program::cmd(), line);
    assert_eq!(text(&output), "through the link");
    assert_eq!(code, Some(0));
}

#[test]
fn all_32_bits_of_an_exit_code_arrive() {
    let installation = installation();
    let warm = Warm::new(installation);
    for code in [0i32, 1, 3, 255, 256, 259, 300, 512, 65_536, -1, -1_073_741_819, i32::MIN] {
        let (output, reported) = warm.run(&Program::cmd(), &format!("cmd.exe /c exit {code}"));
        assert_eq!(reported, Some(code as u32), "exit {code}");
        assert_eq!(output.status.success(), code == 0, "exit {code}");
    }
}

#[test]
fn a_crash_ends_with_its_exception_code_and_no_words() {
    let (installation, path) = (installation(), test_program("crash.exe"));
    let warm = Warm::new(installation);
    let (output, reported) = warm.run(&Program::unix(&path), "crash.exe access-violation");
    assert_eq!(reported, Some(0xc000_0005));
    assert_eq!(text(&output), "");
}

#[test]
fn every_command_line_arrives_exactly() {
    let (installation, path) = (installation(), test_program("argv-report.exe"));
    let warm = Warm::new(installation);
    let program = Program::unix(&path);
    let image = String::from_utf16_lossy(&program.image);
    let mut lines: Vec<Vec<u16>> = [
        format!("\"{image}\""),
        format!("\"{image}\" a \"b c\" \"\" \\\"d\\\" \"e \\\\\""),
        format!("\"{image}\" \u{e4}\u{4e2d}\u{1f600} x\ny"),
        "argv-report".to_owned(),
        "argv-report.exe a  b \"ab\" ".to_owned(),
        "argv-report.exe \"a\"\"b\" \\\\\\\"".to_owned(),
        format!("argv-report.exe {}", "\u{e4}".repeat(32_000)),
    ]
    .iter()
    .map(|line| line.encode_utf16().collect())
    .collect();
    lines.push([&[0x61, 0x20, 0xd800, 0x20][..], &[0xdc01, 0x21]].concat());
    for line in lines {
        let (output, _) = warm.run_units(&program, &line, &[]);
        let units: String = line.iter().map(|unit| format!("{unit:04x}")).collect();
        let seen = text(&output).replace([' ', ','], "").to_lowercase();
        assert!(seen.contains(&units), "{units} not in {seen}");
    }
}

#[test]
fn a_program_sees_only_what_it_is_meant_to() {
    let installation = installation();
    let warm = Warm::new(installation);
    let line: Vec<u16> = "cmd.exe /c set".encode_utf16().collect();
    let variables: Vec<(OsString, OsString)> = [("SHARED", "yes"), ("PATH", "C:\\first")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    let (output, _) = warm.run_units(&Program::cmd(), &line, &variables);
    let text = text(&output);
    let get = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.trim_end().split_once('='));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
    };
    assert_eq!(get("SHARED").as_deref(), Some("yes"));
    let path = get("PATH").unwrap();
    assert!(path.starts_with("C:\\first;") && path.contains("system32"), "{path}");
    for name in ["LD_PRELOAD", "HOME", "WINEARCH", "TMPDIR", "CARGO", "WINELOADERNOEXEC"] {
        assert_eq!(get(name), None);
    }
    assert!(!text.contains("WINTEROP_") && !text.contains("libwinterop"), "{text}");
    // Children are started with the environment the program sees.
    let (output, code) = warm.run(&Program::cmd(), "cmd.exe /c cmd.exe /c exit 300");
    assert_eq!((output.status.code(), code), (Some(44), Some(300)));
}

#[test]
fn a_program_sees_the_affinity_of_its_caller() {
    let (installation, path) = (installation(), test_program("affinity-report.exe"));
    let warm = Warm::new(installation);
    // Neither this process nor Wine's server is confined; the process that asks is.
    let own = sched_getaffinity(None).unwrap();
    let last = (0..CpuSet::MAX_CPU).rev().find(|processor| own.is_set(*processor)).unwrap();
    assert!(own.count() > 1, "there is one processor, and two are needed");
    let mut one = CpuSet::new();
    one.set(last);
    let mut caller = Command::new("sleep").arg("1000").spawn().unwrap();
    sched_setaffinity(Some(Pid::from_child(&caller)), &one).unwrap();
    let line: Vec<u16> = "affinity-report.exe".encode_utf16().collect();
    let program = Program::unix(&path);
    let launch = build(
        &warm.surroundings,
        &Request {
            program: &program.start,
            image: &program.image,
            command_line: &line,
            variables: &[],
            display: &Display::default(),
        },
    )
    .unwrap();
    let own = |(name, value): (&OsStr, &OsStr)| (name.to_owned(), value.to_owned());
    let execution = Execution {
        program: launch.program.clone(),
        arguments: launch.arguments.clone(),
        environment: launch.environment.iter().map(own).collect(),
        directory: "/".into(),
        ..Execution::default()
    };
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut request = LaunchRequest::default();
    request.peer.pid = caller.id().cast_signed();
    request.endpoints.standard = [None, Some(writer.into()), None];
    let _running = HostedProgram::start(&execution, request, Mark::new(1), None, None).unwrap();
    let mut report = String::new();
    reader.read_to_string(&mut report).unwrap();
    caller.kill().unwrap();
    caller.wait().unwrap();
    let expected = format!("process {:x}", 1_u64 << last);
    assert_eq!(report.lines().next().map(str::trim_end), Some(&*expected), "{report}");
}

#[test]
fn a_server_that_dies_is_started_again_with_its_services() {
    let installation = installation();
    let warm = Warm::new(installation);
    let first = warm.server().pid().unwrap();
    let pid = rustix::process::Pid::from_raw(first.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_until("a new server", || warm.server().pid().is_some_and(|pid| pid != first));
    assert!(warm.server().is_alive());
    assert_eq!(warm.server().starts(), 2);
    let (_, code) = warm.run(&Program::cmd(), "cmd.exe /c exit 7");
    assert_eq!(code, Some(7));
    // What the first server left is gone; the same services run once.
    warm.wait_for_one_set_of_services();
}

#[test]
fn a_released_server_is_taken_over_and_ended_by_the_next() {
    let installation = installation();
    let mut warm = Warm::new(installation);
    let first = warm.server().pid();
    warm.server.take().unwrap().release();
    let next = Server::start(&warm.surroundings, &Display::default()).unwrap();
    assert_eq!((next.pid(), next.starts()), (first, 0));
    warm.server = Some(next);
}

#[test]
fn somebody_elses_server_is_used_and_left_alone() {
    let installation = installation();
    let warm = Warm::new(installation);
    let second = Server::start(&warm.surroundings, &Display::default()).unwrap();
    assert_eq!((second.pid(), second.starts()), (warm.server().pid(), 0));
    second.shutdown();
    assert!(warm.server().is_alive());
}

#[test]
fn services_hold_nothing_of_a_callers() {
    let installation = installation();
    let warm = Warm::new(installation);
    // The program's standard output is a pipe, and its reader must see its end at once.
    let begin = Instant::now();
    let (output, _) = warm.run(&Program::cmd(), "cmd.exe /c echo end");
    assert_eq!(text(&output), "end");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

/// A loader that fails without a word as often as `failures` says, as Wine's now and then does.
fn failing_loader(folder: &Path, loader: &Path, failures: usize) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let (path, tries) = (folder.join("loader"), folder.join("tries"));
    let script = format!(
        "#!/bin/sh\necho >>'{0}'\n[ $(wc -l <'{0}') -gt {failures} ] || exit 1\nexec '{1}' \"$@\"\n",
        tries.display(),
        loader.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn services_hold_nothing_of_a_callers_after_starts_that_failed() {
    let installation = installation();
    let real = installation.loader.clone();
    let mut warm =
        Warm::with_loader(installation, |folder, loader| failing_loader(folder, &loader, 2));
    warm.surroundings.installation.loader = real;
    let tries = fs::read(warm.folder.path().join("tries")).unwrap();
    assert_eq!(tries.len(), 3, "two failed, the third did not");
    warm.wait_for_one_set_of_services();
    // It ends only when nobody holds the pipe any more.
    let (output, _) = warm.run(&Program::cmd(), "cmd.exe /c echo end");
    assert_eq!(text(&output), "end");
}

#[test]
fn a_server_that_dies_while_its_services_start_is_noticed_and_started_again() {
    let warm = Warm::new(installation());
    // A server is noted before its services start.
    let note = warm.surroundings.prefix.join(".winterop-server");
    let noted = || {
        let note = fs::read_to_string(&note).unwrap_or_default();
        Pid::from_raw(note.split(' ').next()?.parse().ok()?)
    };
    let first = noted().unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    wait_until("a second server", || noted().is_some_and(|pid| pid != first));
    rustix::process::kill_process(noted().unwrap(), rustix::process::Signal::KILL).unwrap();
    wait_until("a third server", || warm.server().starts() == 3 && warm.server().pid().is_some());
    let (_, code) = warm.run(&Program::cmd(), "cmd.exe /c exit 7");
    assert_eq!(code, Some(7));
    warm.wait_for_one_set_of_services();
}

#[test]
fn a_first_program_that_always_fails_is_said() {
    let installation = installation();
    let mut warm = Warm::new(installation);
    warm.server.take().unwrap().shutdown();
    let mut surroundings = warm.surroundings.clone();
    surroundings.installation.loader = "/bin/false".into();
    let error = Server::start(&surroundings, &Display::default()).unwrap_err().to_string();
    assert!(error.contains("first program fails") && error.contains("exit status: 1"), "{error}");
}

#[test]
fn windows_programs_give_the_library_to_their_children() {
    let installation = installation();
    // A 32-bit loader could not load the library: then it is not given on.
    let is_given_on = !installation.runs_32_bit;
    let warm = Warm::new(installation);
    let name = preload().canonicalize().unwrap();
    // The services are children of the children of the first program.
    let holds = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let maps = fs::read_to_string(entry.path().join("maps")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("services.exe")
            && maps.contains(name.to_str().unwrap())
            && fs::read(entry.path().join("environ")).is_ok_and(|environment| {
                let prefix = format!("WINEPREFIX={}\0", warm.surroundings.prefix.display());
                String::from_utf8_lossy(&environment).contains(&prefix)
            })
    };
    if is_given_on {
        wait_until("services.exe with the library", || {
            fs::read_dir("/proc").unwrap().flatten().filter(holds).count() == 1
        });
    } else {
        assert_eq!(fs::read_dir("/proc").unwrap().flatten().filter(holds).count(), 0);
    }
    // No Windows program sees the variables that do it.
    let (output, _) = warm.run(&Program::cmd(), "cmd.exe /c cmd.exe /c set");
    let set = text(&output);
    assert!(set.contains("WINEPREFIX") && !set.contains("WINTEROP_"), "{set}");
    assert!(!set.contains("LD_PRELOAD"), "{set}");
}

#[test]
fn a_folder_that_cannot_be_written_is_said() {
    let installation = installation();
    let user = WineUser::current();
    let data = Path::new("/proc/winterop");
    let error = prefix::prepare(&installation, &user, data, None, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("/proc/winterop"), "{error}");
}

#[test]
fn wineboot_that_fails_leaves_nothing_and_says_why() {
    let mut installation = installation();
    installation.loader = "/bin/false".into();
    let data = tempfile::tempdir().unwrap();
    let user = WineUser::current();
    let error = prefix::prepare(&installation, &user, data.path(), None, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("wineboot"), "{error}");
    assert!(!data.path().join("prefix").exists());
    assert!(!data.path().join("template").exists());
}
