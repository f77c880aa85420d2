//! The repairs of a prefix: what keeps modern programs from running.

use std::fs;
use std::path::Path;

use super::error::{Error, file};
use super::files::write;
use crate::forwarder::{self, Forward};
use crate::installation::Installation;
use crate::registry::{self, Key, Value};

const WINDOWS_10: &[(&str, Value)] = &[
    ("CurrentVersion", Value::Text("10.0")),
    ("CurrentMajorVersionNumber", Value::Number(10)),
    ("CurrentMinorVersionNumber", Value::Number(0)),
    ("CSDVersion", Value::Text("")),
    ("CurrentBuild", Value::Text("19045")),
    ("CurrentBuildNumber", Value::Text("19045")),
    ("ProductName", Value::Text("Microsoft Windows 10")),
];

pub(super) const REGISTRY: &[Key] = &[
    Key { path: "Software\\Microsoft\\Windows NT\\CurrentVersion", values: WINDOWS_10 },
    Key {
        path: "Software\\Microsoft\\Windows NT\\CurrentVersion\\AeDebug",
        values: &[("Auto", Value::Text("0")), ("Debugger", Value::Text(""))],
    },
    Key {
        path: "System\\ControlSet001\\Control\\Windows",
        values: &[("CSDVersion", Value::Number(0))],
    },
    Key {
        path: "System\\ControlSet001\\Control\\ProductOptions",
        values: &[("ProductType", Value::Text("WinNT"))],
    },
];

pub(super) fn repair(prefix: &Path, installation: &Installation) -> Result<(), Error> {
    let path = prefix.join("system.reg");
    let registry = fs::read_to_string(&path).map_err(file("read the registry", &path))?;
    write(&path, registry::set(&registry, REGISTRY).as_bytes())?;
    let library = prefix.join("drive_c/windows/system32/bcryptprimitives.dll");
    let own = installation.windows_libraries().join("bcryptprimitives.dll");
    if own.exists() || library.exists() {
        return Ok(());
    }
    let exports = [Forward { name: "ProcessPrng", target: "advapi32.SystemFunction036" }];
    write(&library, &forwarder::build("bcryptprimitives.dll", &exports))
}
