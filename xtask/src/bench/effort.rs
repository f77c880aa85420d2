//! What launches cost beside time: processor time, and questions to Wine's server.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Pid;

/// The kernel tells processor time in these, on every x86-64.
const MILLISECONDS_PER_TICK: f64 = 10.0;

/// The processor time that the server and this process's ended children have had until now, with theirs,
/// in milliseconds.
///
/// # Errors
/// If the kernel does not say.
pub(super) fn processor_time(server: Pid) -> Result<f64> {
    let children = ticks("self", [15, 16])?;
    let server = ticks(&server.as_raw_nonzero().to_string(), [13, 14])?;
    Ok((children + server) as f64 * MILLISECONDS_PER_TICK)
}

/// The sum of two numbers in a process's `stat`, counted from 0.
fn ticks(process: &str, places: [usize; 2]) -> Result<u64> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    sum_of(&stat, places).with_context(|| format!("{path} is not as it should be"))
}

fn sum_of(stat: &str, places: [usize; 2]) -> Option<u64> {
    // The name, the second word, is in parentheses and may hold any.
    let (_, rest) = stat.rsplit_once(')')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    places.into_iter().map(|at| words.get(at.checked_sub(2)?)?.parse::<u64>().ok()).sum()
}

/// How often a launch asks Wine's server something.
///
/// # Errors
/// If it does not run, or nothing is seen of it.
pub(super) fn requests(program: &Path) -> Result<f64> {
    let log = tempfile::NamedTempFile::new().context("make a file")?;
    let mut command = Command::new("strace");
    command.args(["-qq", "-f", "-e", "trace=write,writev", "-o"]).arg(log.path()).arg(program);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.context("start strace")?;
    ensure!(status.success(), "strace {}: {status}", program.display());
    let text = fs::read_to_string(log.path()).context("read what strace has seen")?;
    let count = text.lines().filter(|line| is_request(line)).count();
    ensure!(count > 0, "{} asks nothing", program.display());
    Ok(count as f64)
}

/// Whether a line of strace's is a request: 64 bytes, alone or with data behind them.
fn is_request(line: &str) -> bool {
    line.contains(" write(") && line.ends_with(", 64) = 64")
        || line.contains(" writev(") && line.contains(", iov_len=64}, {")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15";
        assert_eq!(sum_of(stat, [13, 14]), Some(11 + 12));
        assert_eq!(sum_of(stat, [15, 16]), Some(13 + 14));
        assert_eq!(sum_of(stat, [15, 40]), None);
        assert_eq!(sum_of("7 (a", [13, 14]), None);
    }

    #[test]
    fn requests_are_told_from_other_output() {
        assert!(is_request(r#"12 write(6, "\1\0"..., 64) = 64"#));
        let with_data =
            r#"12 writev(6, [{iov_base="x", iov_len=64}, {iov_base="y", iov_len=4}], 2) = 68"#;
        assert!(is_request(with_data));
        assert!(!is_request(r#"12 write(1, "hello\n", 6) = 6"#));
        assert!(!is_request(r#"12 writev(6, [{iov_base="x", iov_len=60}], 1) = 60"#));
    }
}
