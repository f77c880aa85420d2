//! `cargo xtask deb`: a Debian package that enables Winterop for all users of a machine.
//!
//! Everything lies below `/usr/lib/winterop`, as `target/winterop` has it; `winterop` is linked into
//! `/usr/bin`, `wsl` and `wslpath` come there through alternatives, because Debian has a package with a
//! program `wsl`. The scripts call `winterop enable` and `winterop disable`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::layout::Layout;
use crate::paths;
use crate::progress::Step;

/// Where the package puts the layout.
const HOME: &str = "usr/lib/winterop";

/// Names that come through alternatives.
const ALTERNATIVES: [&str; 2] = ["wsl", "wslpath"];

/// Builds `target/deb/winterop_VERSION_amd64.deb` of what is laid out.
///
/// # Errors
/// If something is missing or `dpkg-deb` fails.
pub(crate) fn build(layout: &Layout) -> Result<PathBuf> {
    let version = env!("CARGO_PKG_VERSION");
    let folder = paths::target().join("deb");
    fs::create_dir_all(&folder)?;
    let _lock = paths::lock(&folder.join("lock"))?;
    let package = folder.join(format!("winterop_{version}_amd64.deb"));
    if is_newer(&package, &layout.stamp()) && is_newer(&package, &std::env::current_exe()?) {
        return Ok(package);
    }
    let step = Step::start("Building the Debian package");
    let tree = tempfile::Builder::new().prefix("tree-").tempdir_in(&folder)?;
    fill(tree.path(), layout, version)?;
    let fresh = folder.join("fresh.deb");
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "--build"]).arg(tree.path()).arg(&fresh);
    let status = command.stdout(Stdio::null()).status().context("dpkg-deb cannot be started")?;
    ensure!(status.success(), "dpkg-deb failed");
    fs::rename(&fresh, &package)?;
    step.done();
    Ok(package)
}

fn is_newer(package: &Path, than: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    time(package).is_some_and(|package| time(than).is_some_and(|than| package > than))
}

fn fill(tree: &Path, layout: &Layout, version: &str) -> Result<()> {
    let home = tree.join(HOME);
    for directory in ["bin", "lib/winterop"] {
        copy_all(&layout.root().join(directory), &home.join(directory))?;
    }
    fs::create_dir_all(tree.join("usr/bin"))?;
    symlink("../lib/winterop/bin/winterop", tree.join("usr/bin/winterop"))?;
    let winterop = layout.winterop();
    write(&tree.join("usr/share/man/man1/winterop.1"), &said(&winterop, &["man"])?, 0o644)?;
    compress(&tree.join("usr/share/man/man1/winterop.1"))?;
    for (shell, place) in [
        ("bash", "usr/share/bash-completion/completions/winterop"),
        ("zsh", "usr/share/zsh/vendor-completions/_winterop"),
        ("fish", "usr/share/fish/vendor_completions.d/winterop.fish"),
    ] {
        write(&tree.join(place), &said(&winterop, &["completions", shell])?, 0o644)?;
    }
    let documents = tree.join("usr/share/doc/winterop");
    write(&documents.join("copyright"), COPYRIGHT.as_bytes(), 0o644)?;
    let changes = format!(
        "winterop ({version}) unstable; urgency=medium\n\n  * This version.\n\n \
         -- Winterop's developers <winterop@localhost>  Thu, 01 Jan 2026 00:00:00 +0000\n"
    );
    write(&documents.join("changelog"), changes.as_bytes(), 0o644)?;
    compress(&documents.join("changelog"))?;
    copy_all(&paths::root().join("docs"), &documents.join("docs"))?;
    control(tree, version)
}

fn control(tree: &Path, version: &str) -> Result<()> {
    let kilobytes = size(tree)?.div_ceil(1024);
    let control = format!(
        "Package: winterop\nVersion: {version}\nArchitecture: amd64\nMaintainer: Winterop's developers \
         <winterop@localhost>\nInstalled-Size: {kilobytes}\nSection: otherosfs\nPriority: optional\n\
         Depends: libc6 (>= 2.36), libgcc-s1\nRecommends: wine64\nDescription: Windows programs that run \
         like Linux programs\n Type ./tool.exe in a shell, a script or a build and it runs, in the shell's \
         place,\n with its pipes, terminal, signals and exit status. Wine is the Windows side.\n .\n \
         Installing this package registers Windows executables with the kernel for all\n users of the \
         machine; each user's programs run as that user.\n"
    );
    let folder = tree.join("DEBIAN");
    write(&folder.join("control"), control.as_bytes(), 0o644)?;
    let (add, remove) = alternatives();
    for (name, script) in [
        ("postinst", POSTINST.replace("@ADD@", &add)),
        ("prerm", PRERM.replace("@REMOVE@", &remove)),
        ("postrm", POSTRM.to_owned()),
    ] {
        write(&folder.join(name), script.as_bytes(), 0o755)?;
    }
    Ok(())
}

fn alternatives() -> (String, String) {
    let add = ALTERNATIVES.map(|name| {
        format!("update-alternatives --install /usr/bin/{name} {name} /{HOME}/bin/{name} 60\n    ")
    });
    let remove = ALTERNATIVES
        .map(|name| format!("update-alternatives --remove {name} /{HOME}/bin/{name}\n    "));
    (add.concat(), remove.concat())
}

/// A first installation enables. An upgrade brings the new interpreter to the kernel, unless root has
/// disabled Winterop meanwhile. A machine that cannot have it, such as a build's chroot, is told why
/// and keeps the package.
const POSTINST: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ]; then
    @ADD@was=0
    if [ -n "$2" ]; then
        winterop status >/dev/null 2>&1 || was=$?
    fi
    if [ "$was" != 3 ]; then
        winterop enable --quiet ||
            echo "winterop: not enabled; call 'winterop enable' when that is mended" >&2
    fi
fi
"#;

/// What removes the package takes everything away while the program is still there.
const PRERM: &str = r#"#!/bin/sh
set -e
case "$1" in
remove | deconfigure)
    winterop disable --quiet
    @REMOVE@;;
esac
"#;

/// Root's settings go with a purge only, and so do the logs, with those that were put aside.
const POSTRM: &str = r#"#!/bin/sh
set -e
if [ "$1" = purge ]; then
    rm -rf /etc/winterop /var/lib/winterop
    rm -f /var/log/winterop.log* /var/log/winterop-audit.log*
fi
"#;

const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Winterop

Files: *
Copyright: Winterop's developers
License: MIT or Apache-2.0
 At your choice under the terms of the MIT licence, or of the Apache License, Version 2.0, which is in
 /usr/share/common-licenses/Apache-2.0 on Debian systems.
";

fn said(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program).args(arguments).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "`winterop {}` failed", arguments.join(" "));
    Ok(output.stdout)
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))?;
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

fn compress(path: &Path) -> Result<()> {
    let status = Command::new("gzip").args(["-9", "-n"]).arg(path).status()?;
    ensure!(status.success(), "gzip failed on {}", path.display());
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let source = from.join(".");
    let status =
        Command::new("cp").arg("-a").arg("--no-preserve=ownership").arg(source).arg(to).status()?;
    ensure!(status.success(), "copying {} failed", from.display());
    Ok(())
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let data = entry?;
        let status = data.path().symlink_metadata()?;
        bytes += if status.is_dir() { size(&data.path())? } else { status.len() };
    }
    Ok(bytes)
}
