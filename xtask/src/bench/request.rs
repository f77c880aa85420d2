//! What building a request costs: the part of a launch that grows with what the caller passes.

use std::hint::black_box;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, anyhow};
use winterop_interpreter::{
    Auxiliary, CallerEnvironment, Invocation, Start, Wishes, request_length,
};

use super::figures::median;

/// How many variables WSLENV lists, each a list of two paths.
const VARIABLES: usize = 100;

/// How many arguments the program is given.
const ARGUMENTS: usize = 1000;

/// The median of building the request for `program`, in milliseconds.
///
/// # Errors
/// If it cannot be built.
pub(super) fn measure(program: &Path, turns: usize) -> Result<f64> {
    let names: Vec<String> = (0..VARIABLES).map(|number| format!("VARIABLE_{number}")).collect();
    let listed: Vec<String> = names.iter().map(|name| format!("{name}/l")).collect();
    let mut entries = vec![format!("WSLENV={}", listed.join(":"))];
    entries.extend(names.iter().map(|name| format!("{name}=/usr/share/{name}:/home/me/{name}")));
    let words: Vec<String> =
        (0..ARGUMENTS).map(|number| format!("argument \"number\" {number}\\")).collect();
    let path = program.as_os_str().as_bytes();
    let start = Start {
        arguments: Vec::new(),
        environment: CallerEnvironment::new(entries.iter().map(|entry| entry.as_bytes())),
        auxiliary: Auxiliary::default(),
    };
    let arguments = words.iter().map(|word| word.as_bytes()).collect();
    let invocation = Invocation { program: path, name: path, arguments };
    let build = || {
        let begin = Instant::now();
        let length = request_length(&start, &invocation, &Wishes::default());
        let length = black_box(length.map_err(|failure| anyhow!(failure.text))?);
        let time = begin.elapsed().as_secs_f64() * 1e3;
        anyhow::ensure!(length > ARGUMENTS, "the request has {length} bytes only");
        Ok(time)
    };
    build()?;
    Ok(median((0..turns).map(|_| build()).collect::<Result<_>>()?))
}
