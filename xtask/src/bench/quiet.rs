//! Waits for a moment in which the machine does nothing else.

use std::fs;
use std::thread;
use std::time::Duration;

/// How long one look at the processors takes.
const LOOK: Duration = Duration::from_millis(150);

/// The share of the processors' time that may be in use for the machine to count as quiet.
const QUIET: f64 = 0.1;

/// Patience with a busy machine, to be used up over a whole run.
#[derive(Debug)]
pub(super) struct Quiet {
    looks_left: u32,
}

impl Quiet {
    /// A run that waits for `patience` in all.
    pub(super) fn with_patience(patience: Duration) -> Self {
        let looks = patience.as_millis() / LOOK.as_millis();
        Self { looks_left: u32::try_from(looks).unwrap_or(u32::MAX) }
    }

    /// Waits until the machine is quiet, or patience is used up; returns how busy it was at last, as
    /// a share of its processors' time. Programs that have just ended need a moment, too.
    pub(super) fn wait(&mut self) -> f64 {
        loop {
            let busy = busy();
            if busy <= QUIET || self.looks_left == 0 {
                return busy;
            }
            self.looks_left -= 1;
        }
    }
}

/// The share of the processors' time that is in use during one look.
fn busy() -> f64 {
    let before = Ticks::now();
    thread::sleep(LOOK);
    let after = Ticks::now();
    let all = after.all.saturating_sub(before.all).max(1);
    let idle = after.idle.saturating_sub(before.idle);
    1.0 - (idle as f64 / all as f64).min(1.0)
}

/// The processors' time since the machine was started, in the kernel's ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    /// What it is now; nothing where the kernel does not say.
    fn now() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// Reads the first line of `/proc/stat`: `cpu` and user, nice, system, idle, iowait, irq, softirq
    /// and steal; what follows is counted in these already.
    fn parse(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let numbers = line.split_whitespace().skip(1).take(8);
        let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
        Self { all: numbers.iter().sum(), idle: numbers.iter().skip(3).take(2).sum() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_disks_is_idle_and_guests_are_not_counted_twice() {
        let text = "cpu  10 1 5 100 20 2 3 4 7 7\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(Ticks::parse(text), Ticks { all: 145, idle: 120 });
        assert_eq!(Ticks::parse(""), Ticks::default());
    }
}
