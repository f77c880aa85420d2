//! Builds `windows/`, the programs that run on the Windows side.
//!
//! Where rustup has the target, its toolchain builds them. Elsewhere Debian's Rust does: Debian
//! has the standard library's source and a linker, but no library built for Windows, so that is
//! built once into a folder which then serves as the compiler's `--sysroot`.
//!
//! Besides the programs there is a script, `cargo`, that calls cargo as they were built with; what
//! wants to build something else for Windows calls it and need not know which toolchain it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian::{self, Purpose};
use crate::progress::{self, Step};
use crate::{paths, sources};

const TARGET: &str = "x86_64-pc-windows-gnu";

/// The linker's name, as rustc calls it.
const LINKER: &str = "x86_64-w64-mingw32-gcc";

/// Debian's compiler, which must not be mixed with rustup's: the library's source fits only it.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_RUSTDOC: &str = "/usr/bin/rustdoc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// Changes when what this module makes changes, so that it is made anew.
const RECIPE: &str = "1";

/// The package with the programs that do without the standard library, and its profile.
const BARE_PACKAGE: &str = "winterop-testprogs-bare";
const BARE_PROFILE: &str = "bare";

/// Builds everything in `windows/` and returns the folder with the programs.
///
/// Does nothing where that is up to date.
///
/// # Errors
/// If tools are missing and cannot be installed, or the build fails.
pub(crate) fn build() -> Result<PathBuf> {
    let places = Places::new();
    let stamp = Stamp::of_sources(&places.sources)?;
    if stamp.is_current(&places.programs) {
        return Ok(places.programs);
    }
    let _lock = paths::lock(&places.lock)?;
    // Somebody else may have built it while we waited.
    if stamp.is_current(&places.programs) {
        return Ok(places.programs);
    }
    let toolchain = Toolchain::find(&places)?;
    let step = Step::start("Building the programs for Windows");
    for selection in selections() {
        let mut cargo = toolchain.cargo();
        cargo.args(["build", "--locked"]).args(selection);
        cargo.arg("--target-dir").arg(&places.build).current_dir(&places.sources);
        progress::run(&step, &mut cargo)?;
    }
    let programs = collect(&places)?;
    write_script(&toolchain, &places)?;
    stamp.write(&places.programs, &programs)?;
    step.done();
    Ok(places.programs)
}

/// What has to be installed to build for Windows here, for who wants to install all at once.
pub(crate) fn purpose() -> Purpose<'static> {
    if Toolchain::rustup().is_some() { Purpose::WindowsLinker } else { Purpose::Windows }
}

/// The target folder for checks: programs are built elsewhere, so that neither waits for the other.
const CHECKED: &str = "windows-check";

/// cargo for Windows, to check something with. `None` where there is neither rustup's library for Windows
/// nor what builds one of Debian's source: a check installs nothing.
///
/// # Errors
/// If the library cannot be built although everything for that is there.
pub(crate) fn checker() -> Result<Option<Command>> {
    let places = Places::new();
    let toolchain = match Toolchain::rustup() {
        Some(toolchain) => toolchain,
        None if Toolchain::debian_is_installed() => {
            let _lock = paths::lock(&places.lock)?;
            Toolchain::debian(&places)?
        }
        None => return Ok(None),
    };
    let mut cargo = toolchain.cargo();
    cargo.env("CARGO_TARGET_DIR", paths::target().join(CHECKED));
    Ok(Some(cargo))
}

/// Clippy for `windows/` with the toolchain that builds it: its folder, and for each part of it a command
/// and its arguments.
///
/// # Errors
/// If tools are missing and cannot be installed.
pub(crate) fn clippy() -> Result<(PathBuf, Vec<(Command, String)>)> {
    let places = Places::new();
    let _lock = paths::lock(&places.lock)?;
    let toolchain = Toolchain::find(&places)?;
    if toolchain.sysroot.is_some() {
        debian::ensure(Purpose::WindowsLints)?;
    }
    let parts = selections().map(|selection| {
        let mut command = toolchain.clippy();
        command.env("CARGO_TARGET_DIR", &places.build);
        // Programs without the standard library have no tests.
        let targets = if selection.contains(&"--workspace") { "--all-targets " } else { "" };
        let selection = selection.join(" ");
        (command, format!("clippy --locked {selection} {targets}-- -D warnings"))
    });
    Ok((places.sources, parts.into()))
}

/// What is built in one go: the programs that do without the standard library have a profile of their own.
fn selections() -> [&'static [&'static str]; 2] {
    [
        &["--release", "--workspace", "--exclude", BARE_PACKAGE],
        &["--profile", BARE_PROFILE, "--package", BARE_PACKAGE],
    ]
}

/// The script that calls cargo for Windows, once [`build`] has run.
///
/// It takes cargo's arguments and builds for Windows without being told so. The target folder is
/// its own unless `CARGO_TARGET_DIR` names another.
pub(crate) fn cargo_script() -> PathBuf {
    Places::new().script()
}

/// Where the parts of this build lie.
struct Places {
    sources: PathBuf,
    /// What is handed out: the programs, the script, the stamp.
    programs: PathBuf,
    /// cargo's target folder.
    build: PathBuf,
    sysroot: PathBuf,
    lock: PathBuf,
}

impl Places {
    fn new() -> Self {
        let target = paths::target();
        Self {
            sources: paths::root().join("windows"),
            programs: target.join("windows"),
            build: target.join("windows-build"),
            sysroot: target.join("windows-sysroot"),
            lock: target.join("windows.lock"),
        }
    }

    fn script(&self) -> PathBuf {
        self.programs.join("cargo")
    }
}

/// Which state of the sources was built: their hash, then one line for each program.
struct Stamp(String);

impl Stamp {
    const FILE: &str = "stamp";

    /// The stamp for the sources as they are now.
    fn of_sources(sources: &Path) -> Result<Self> {
        let roots = [sources.to_owned()];
        Ok(Self(sources::digest(&roots, &["target", "fixtures"], &[RECIPE])?))
    }

    fn is_current(&self, programs: &Path) -> bool {
        let Ok(written) = fs::read_to_string(programs.join(Self::FILE)) else { return false };
        let mut lines = written.lines();
        lines.next() == Some(&self.0) && lines.all(|name| programs.join(name).exists())
    }

    fn write(&self, programs: &Path, names: &[String]) -> Result<()> {
        let file = programs.join(Self::FILE);
        let text = format!("{}\n{}\ncargo\n", self.0, names.join("\n"));
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    }
}

/// A way to build for Windows on this machine.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    rustdoc: PathBuf,
    /// Where the library for Windows is, if not at the compiler's own place.
    sysroot: Option<PathBuf>,
}

impl Toolchain {
    fn find(places: &Places) -> Result<Self> {
        if let Some(toolchain) = Self::rustup() {
            if !has_linker() {
                debian::ensure(Purpose::WindowsLinker)?;
            }
            return Ok(toolchain);
        }
        debian::ensure(Purpose::Windows).with_context(|| {
            format!(
                "Rust here has no target {TARGET}. Where rustup can fetch one, `rustup target add \
                 {TARGET}` adds it; elsewhere Debian's packages do"
            )
        })?;
        Self::debian(places)
    }

    /// Debian's compiler with the library that is built for it.
    fn debian(places: &Places) -> Result<Self> {
        ensure_sysroot(&places.sysroot)?;
        Ok(Self {
            cargo: DEBIAN_CARGO.into(),
            rustc: DEBIAN_RUSTC.into(),
            rustdoc: DEBIAN_RUSTDOC.into(),
            sysroot: Some(places.sysroot.clone()),
        })
    }

    fn debian_is_installed() -> bool {
        debian::missing(&Purpose::Windows.packages()).is_ok_and(|missing| missing.is_empty())
    }

    /// The toolchain that runs this program, if it has the target.
    fn rustup() -> Option<Self> {
        let said = progress::output(Command::new("rustc").args(["--print", "sysroot"])).ok()?;
        let home = PathBuf::from(said.trim_end());
        let library = home.join("lib/rustlib").join(TARGET).join("lib");
        let bin = home.join("bin");
        library.exists().then(|| Self {
            cargo: bin.join("cargo"),
            rustc: bin.join("rustc"),
            rustdoc: bin.join("rustdoc"),
            sysroot: None,
        })
    }

    /// cargo, told to build for Windows with this toolchain whatever the environment says.
    fn cargo(&self) -> Command {
        self.command(&self.cargo)
    }

    /// This toolchain's clippy, told the same. Called by cargo it could be another one's.
    fn clippy(&self) -> Command {
        let mut command = self.command(&self.cargo.with_file_name("cargo-clippy"));
        command.env("CARGO", &self.cargo);
        command
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for name in FOREIGN_VARIABLES {
            command.env_remove(name);
        }
        command.envs(self.environment());
        command
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut environment = vec![
            ("RUSTC", text(&self.rustc)),
            ("RUSTDOC", text(&self.rustdoc)),
            ("CARGO_BUILD_TARGET", TARGET.to_owned()),
        ];
        if let Some(sysroot) = &self.sysroot {
            // The encoded form, because a folder's name may contain spaces.
            let flags = format!("--sysroot\x1f{}", text(sysroot));
            environment.push(("CARGO_ENCODED_RUSTFLAGS", flags.clone()));
            environment.push(("CARGO_ENCODED_RUSTDOCFLAGS", flags));
        }
        environment
    }
}

/// What the cargo that runs us, or its user, may have set for another toolchain.
const FOREIGN_VARIABLES: [&str; 8] = [
    "CARGO",
    "CARGO_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_ENCODED_RUSTDOCFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

fn has_linker() -> bool {
    progress::output(Command::new(LINKER).arg("--version")).is_ok()
}

/// Builds the standard library for Windows into `sysroot`, unless Debian's compiler of now did.
fn ensure_sysroot(sysroot: &Path) -> Result<()> {
    let compiler = progress::output(Command::new(DEBIAN_RUSTC).arg("-vV"))?;
    let stamp = format!("recipe {RECIPE}\n{compiler}");
    let stamp_file = sysroot.join("compiler");
    if fs::read_to_string(&stamp_file).is_ok_and(|written| written == stamp) {
        return Ok(());
    }
    let step = Step::start("Building Rust's standard library for Windows (once)");
    let work = tempfile::Builder::new()
        .prefix("windows-sysroot-")
        .tempdir_in(paths::target())
        .context("make a folder to build the standard library in")?;
    let deps = build_library(&step, work.path())?;
    let ready = work.path().join("ready");
    let library = ready.join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&library).with_context(|| format!("create {}", library.display()))?;
    move_libraries(&deps, &library)?;
    compile_startup_objects(&step, &ready, &library)?;
    fs::write(ready.join("compiler"), stamp).context("write the stamp of the library")?;
    if sysroot.exists() {
        fs::remove_dir_all(sysroot).with_context(|| format!("remove {}", sysroot.display()))?;
    }
    fs::rename(&ready, sysroot).with_context(|| format!("move to {}", sysroot.display()))?;
    step.done();
    Ok(())
}

/// The crate whose build brings the standard library's with it.
const EMPTY_CRATE: &str = "[package]\nname = \"empty\"\nedition = \"2024\"\n\n[workspace]\n";

/// Builds the standard library in `work` and returns the folder with its parts.
fn build_library(step: &Step, work: &Path) -> Result<PathBuf> {
    fs::create_dir(work.join("src"))
        .and_then(|()| fs::write(work.join("Cargo.toml"), EMPTY_CRATE))
        .and_then(|()| fs::write(work.join("src/lib.rs"), "#![no_std]\n"))
        .with_context(|| format!("write an empty crate in {}", work.display()))?;
    let toolchain = Toolchain {
        cargo: DEBIAN_CARGO.into(),
        rustc: DEBIAN_RUSTC.into(),
        rustdoc: DEBIAN_RUSTDOC.into(),
        sysroot: None,
    };
    let target = work.join("target");
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "-Z", "build-std=std,test,panic_abort,panic_unwind"]);
    cargo.arg("--target-dir").arg(&target).current_dir(work);
    // The compiler is a stable one, and this way to build the library is not.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    progress::run(step, &mut cargo)?;
    Ok(target.join(TARGET).join("release/deps"))
}

fn move_libraries(deps: &Path, library: &Path) -> Result<()> {
    let mut moved = 0;
    for name in names_with_suffix(deps, ".rlib")? {
        if name.starts_with("libempty-") {
            continue;
        }
        let from = deps.join(&name);
        fs::rename(&from, library.join(&name))
            .with_context(|| format!("move {}", from.display()))?;
        moved += 1;
    }
    if moved == 0 {
        bail!("the build of the standard library left nothing in {}", deps.display());
    }
    Ok(())
}

/// Compiles the two objects that rustc links every program for this target with.
fn compile_startup_objects(step: &Step, sysroot: &Path, library: &Path) -> Result<()> {
    let home = progress::output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]))?;
    let sources = Path::new(home.trim_end()).join("lib/rustlib/src/rust/library/rtstartup");
    for name in ["rsbegin", "rsend"] {
        let mut rustc = Command::new(DEBIAN_RUSTC);
        rustc.args(["--target", TARGET, "--emit=obj", "--sysroot"]).arg(sysroot);
        rustc.arg("-o").arg(library.join(format!("{name}.o")));
        rustc.arg(sources.join(format!("{name}.rs")));
        progress::run(step, rustc.env("RUSTC_BOOTSTRAP", "1"))?;
    }
    Ok(())
}

/// Puts the programs just built where they are handed out, removes older ones, returns the names.
fn collect(places: &Places) -> Result<Vec<String>> {
    let to = &places.programs;
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let mut collected = Vec::new();
    for profile in ["release", BARE_PROFILE] {
        let from = places.build.join(TARGET).join(profile);
        for name in names_with_suffix(&from, ".exe")? {
            replace(&from.join(&name), &to.join(&name))?;
            collected.push(name);
        }
    }
    for name in names_with_suffix(to, ".exe")? {
        if !collected.contains(&name) {
            let stale = to.join(name);
            fs::remove_file(&stale).with_context(|| format!("remove {}", stale.display()))?;
        }
    }
    collected.sort_unstable();
    Ok(collected)
}

/// Copies a program over another one that may be running: that one keeps its own file.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let beside = to.with_extension("exe.new");
    fs::copy(from, &beside)
        .and_then(|_| fs::rename(&beside, to))
        .with_context(|| format!("copy {} to {}", from.display(), to.display()))
}

fn names_with_suffix(folder: &Path, suffix: &str) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.ends_with(suffix)).collect())
}

fn write_script(toolchain: &Toolchain, places: &Places) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = places.script();
    let text = script(toolchain, &places.build);
    fs::write(&file, text)
        .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("write {}", file.display()))
}

fn script(toolchain: &Toolchain, build: &Path) -> String {
    let kept = FOREIGN_VARIABLES.iter().filter(|name| **name != "CARGO_TARGET_DIR");
    let foreign = kept.copied().collect::<Vec<_>>().join(" ");
    let mut text = format!(
        "#!/bin/sh\n# Written by `cargo xtask windows`: cargo, as it builds for Windows here.\n\
         unset {foreign}\n[ -n \"$CARGO_TARGET_DIR\" ] || CARGO_TARGET_DIR={}\nexport CARGO_TARGET_DIR\n",
        quoted(&build.to_string_lossy()),
    );
    for (name, value) in toolchain.environment() {
        text.push_str(&format!("export {name}={}\n", quoted(&value)));
    }
    let cargo = quoted(&toolchain.cargo.to_string_lossy());
    text.push_str(&format!("exec {cargo} \"$@\"\n"));
    text
}

/// `text` as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain() -> Toolchain {
        Toolchain {
            cargo: "/opt/a b/it's/cargo".into(),
            rustc: "/opt/rustc".into(),
            rustdoc: "/opt/rustdoc".into(),
            sysroot: Some("/tmp/sys root".into()),
        }
    }

    #[test]
    fn the_script_is_one_a_shell_understands() {
        let folder = tempfile::tempdir().unwrap();
        let cargo = folder.path().join("it's cargo");
        fs::write(&cargo, "#!/bin/sh\nprintf '%s|' \"$CARGO_TARGET_DIR\" \"$CARGO_BUILD_TARGET\" \"$CARGO_ENCODED_RUSTFLAGS\" \"$@\"\n").unwrap();
        let toolchain = Toolchain { cargo: "/bin/sh".into(), ..toolchain() };
        let text = script(&toolchain, Path::new("/tmp/it's \"$HOME\" here"));
        let run = |command: &mut Command| {
            progress::output(command.args(["-c", &text, "sh"]).arg(&cargo).arg("a b")).unwrap()
        };
        let flags = "--sysroot\x1f/tmp/sys root";
        assert_eq!(
            run(Command::new("sh").env_remove("CARGO_TARGET_DIR")),
            format!("/tmp/it's \"$HOME\" here|{TARGET}|{flags}|a b|")
        );
        assert_eq!(
            run(Command::new("sh").env("CARGO_TARGET_DIR", "/else where")),
            format!("/else where|{TARGET}|{flags}|a b|")
        );
    }

    #[test]
    fn a_stamp_holds_until_a_source_changes_or_a_program_goes() {
        let sources = tempfile::tempdir().unwrap();
        let programs = tempfile::tempdir().unwrap();
        fs::write(sources.path().join("a.rs"), "one").unwrap();
        let stamp = Stamp::of_sources(sources.path()).unwrap();
        assert!(!stamp.is_current(programs.path()));
        for name in ["cargo", "a.exe"] {
            fs::write(programs.path().join(name), "").unwrap();
        }
        stamp.write(programs.path(), &["a.exe".to_owned()]).unwrap();
        assert!(stamp.is_current(programs.path()));
        fs::write(sources.path().join("a.rs"), "two").unwrap();
        assert!(!Stamp::of_sources(sources.path()).unwrap().is_current(programs.path()));
        fs::remove_file(programs.path().join("a.exe")).unwrap();
        assert!(!stamp.is_current(programs.path()));
    }

    #[test]
    fn what_is_not_built_does_not_count() {
        let sources = tempfile::tempdir().unwrap();
        fs::write(sources.path().join("a.rs"), "one").unwrap();
        let before = Stamp::of_sources(sources.path()).unwrap();
        for folder in ["target", "fixtures"] {
            fs::create_dir(sources.path().join(folder)).unwrap();
            fs::write(sources.path().join(folder).join("b.rs"), "").unwrap();
        }
        assert_eq!(Stamp::of_sources(sources.path()).unwrap().0, before.0);
    }
}
