//! `env-report [--null | NAME…]`: prints its environment as UTF-8, sorted, one variable a line.
//!
//! With `--null` each ends with a NUL instead of a line feed. With names, prints one line for each:
//! NAME=VALUE, or NAME alone if it is not set.
#![forbid(unsafe_code)]

use std::env;
use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let names: Vec<_> = env::args().skip(1).collect();
    let end = if names.first().is_some_and(|name| name == "--null") { '\0' } else { '\n' };
    let mut lines = if names.is_empty() || end == '\0' {
        let all = env::vars_os();
        all.map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
    } else {
        names.iter().map(|name| one(name)).collect::<Vec<_>>()
    };
    if names.is_empty() || end == '\0' {
        lines.sort_unstable();
    }
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| write!(out, "{line}{end}"))?;
    out.flush()
}

fn one(name: &str) -> String {
    match env::var_os(name) {
        Some(value) => format!("{name}={}", value.display()),
        None => name.to_owned(),
    }
}
