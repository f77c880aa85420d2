//! What WSL's own interpreter sent, as far as it is translation: paths and `WSLENV`.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

use std::collections::BTreeMap;
use winterop_translate::wslenv::{self, Direction};
use winterop_translate::wslpath::{self, Context, Mode, ResolveError};
use winterop_translate::{LinuxPath, MountTable, Translator};

const MOUNTS: &[u8] = b"\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
20 1 0:50 / /mnt/c rw - 9p none rw,aname=drvfs;path=C:\\134;uid=0;gid=0
21 1 0:51 / /mnt/d rw - drvfs D:/ rw
22 1 0:52 / /mnt/share rw - 9p  rw,aname=drvfs;path=UNC\\134server\\134share
";

#[test]
fn recorded_requests() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../vectors/create_process_vm.json");
    let text = std::fs::read_to_string(path).unwrap();
    let recorded: serde_json::Value = serde_json::from_str(&text).unwrap();
    for case in recorded["cases"].as_array().unwrap() {
        check(case);
    }
}

fn check(case: &serde_json::Value) {
    let name = case["name"].as_str().unwrap();
    let variables: BTreeMap<String, String> = serde_json::from_value(case["env"].clone()).unwrap();
    let distribution = variables["WSL_DISTRO_NAME"].as_bytes();
    let translator =
        Translator::new(MountTable::parse(MOUNTS)).with_distribution(distribution, b"/");
    let windows = |path: &str| {
        let path = translator.to_windows(LinuxPath(path.as_bytes())).unwrap();
        String::from_utf8(path.into_bytes()).unwrap()
    };

    let expected = &case["expect"];
    let cwd = case["cwd"].as_str().unwrap();
    assert_eq!(windows(cwd), expected["working_directory"].as_str().unwrap(), "{name}");
    let executable = case["argv"][1].as_str().unwrap();
    assert_eq!(windows(executable), expected["filename"].as_str().unwrap(), "{name}");

    // Of the paths in the variables only `sub/dir` did not exist.
    let resolve = |path: &[u8]| match LinuxPath(path).is_absolute() {
        true => Ok(path.to_vec()),
        false => Err(ResolveError::NotFound),
    };
    let context = Context { translator: &translator, cwd: cwd.as_bytes(), resolve: &resolve };
    let entries = wslenv::translate(
        variables.get("WSLENV").map(String::as_bytes),
        Direction::ToWindows,
        |name| variables.get(std::str::from_utf8(name).ok()?).map(String::as_bytes),
        |path| wslpath::translate(path, Mode::Windows, false, &context).ok(),
    );
    let entries: Vec<String> =
        entries.into_iter().map(|entry| String::from_utf8(entry).unwrap()).collect();
    let environment: Vec<String> = serde_json::from_value(expected["environment"].clone()).unwrap();
    assert_eq!(entries, environment, "{name}");
}
