//! Directories that the environment names: they are used where they are the user's own.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, chown, symlink};
use std::path::PathBuf;
use winterop_tests::{Host, Outcome, Placement, finish, needs_root};

/// Somebody who has no account.
const ALICE: u32 = 64_123;

/// A directory of Alice's, as a login has made it.
fn alices(host: &Host, name: &str) -> PathBuf {
    let path = host.base().join(name);
    fs::DirBuilder::new().mode(0o700).create(&path).expect("a directory");
    chown(&path, Some(ALICE), Some(ALICE)).expect("an owner");
    path
}

/// Runs a command of root's where `/run/user/0` is fresh, and says what is in there then.
fn as_root(host: &Host, variable: &str, value: &str, command: &str) -> Outcome {
    let script = format!(
        "mount -t tmpfs tmpfs /run && mkdir -p -m 755 /run/user && mkdir -m 700 /run/user/0 || exit 9; \
         {command}; s=$?; ls -A /run/user/0; exit $s"
    );
    let mut unshare = host.command("unshare", Placement::InPlace);
    finish(unshare.args(["--mount", "sh", "-c", &script]).env(variable, value))
}

#[test]
fn root_with_another_users_variables_touches_nothing_of_hers() {
    needs_root("only root can have another user's directories");
    let host = Host::new();
    // A runtime directory that `sudo` has kept: root's own is used.
    let runtime = alices(&host, "alice");
    let status =
        as_root(&host, "XDG_RUNTIME_DIR", &runtime.to_string_lossy(), "winterop host status");
    assert_eq!((status.code(), status.text().lines().last()), (3, Some("winterop")), "{status:?}");
    assert_eq!(fs::read_dir(&runtime).expect("hers").count(), 0);
    // One of root's own that she can lead elsewhere.
    let roots = host.base().join("roots");
    fs::DirBuilder::new().mode(0o700).create(&roots).expect("a directory");
    symlink(&roots, runtime.join("link")).expect("a link");
    let link = runtime.join("link/.");
    as_root(&host, "XDG_RUNTIME_DIR", &link.to_string_lossy(), "winterop host status");
    assert_eq!(fs::read_dir(&roots).expect("root's").count(), 0);
    // Data and settings have no other place that anybody would expect.
    for (variable, command) in [
        ("XDG_DATA_HOME", "wsl --set-default a"),
        ("XDG_DATA_HOME", "wsl --list"),
        ("XDG_CONFIG_HOME", "winterop host serve"),
    ] {
        for value in [&runtime, &runtime.join("none"), &link] {
            let outcome = as_root(&host, variable, &value.to_string_lossy(), command);
            outcome.refused(126, &[variable, "uid 64123", "[directory-foreign]"]);
        }
    }
    assert_eq!(fs::read_dir(&runtime).expect("hers").count(), 1);
    assert_eq!(fs::read_dir(&roots).expect("root's").count(), 0);
}

#[test]
fn a_home_that_others_can_change_is_named() {
    let host = Host::new();
    let home = host.base().join("home");
    let script = format!(
        "chmod 777 {0}; unset XDG_DATA_HOME; HOME={0} wsl --list; echo $?; chmod 755 {0}; \
         HOME={0} wsl --list",
        home.display()
    );
    let outcome = finish(host.command("sh", Placement::InPlace).args(["-c", &script]));
    assert!(outcome.text().starts_with("126\n") && outcome.code() == 0, "{outcome:?}");
    assert!(outcome.errors().contains("[directory-way-open]"), "{}", outcome.errors());
}
