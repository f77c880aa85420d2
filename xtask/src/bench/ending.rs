//! How long a caller does not know that its host has died in the middle of its launch.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};

use super::place::{Kind, Place};

/// The longest of so many times in milliseconds, from the host's SIGKILL to the caller's end.
///
/// # Errors
/// If a caller does not report that its host has ended.
pub(super) fn measure(turns: usize) -> Result<f64> {
    let place = Place::make(Kind::Deadly)?;
    let times = (0..turns).map(|_| once(&place)).collect::<Result<Vec<f64>>>()?;
    Ok(times.into_iter().fold(0.0, f64::max))
}

/// One launch, whose program kills its host.
fn once(place: &Place) -> Result<f64> {
    let started = place.winterop(&["host", "start"]).stdout(Stdio::null()).status();
    ensure!(started.context("start a host")?.success(), "the host does not start");
    let noted = |end: &str| place.nothing().with_extension(end);
    fs::write(noted("host"), place.host()?.to_string()).context("tell whom to kill")?;
    let mut command = place.winterop(&["run"]);
    command.env("WINTEROP_PLACEMENT", "hosted").arg(place.image());
    let output = command.stdin(Stdio::null()).output().context("start a program")?;
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("host"), "the caller does not say that its host has ended: {said}");
    let begin = fs::read_to_string(noted("time")).context("read when the host was killed")?;
    let begin = Duration::from_nanos(begin.trim().parse().context("understand that time")?);
    Ok(end.saturating_sub(begin).as_secs_f64() * 1000.0)
}
