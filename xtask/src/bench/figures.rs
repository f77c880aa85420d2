//! What is measured, how two sides become a ratio, and how it is shown.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    /// What we add to a program that does nothing, against 1 ms.
    OurShare,
    /// What server, switches and a policy add to a launch, against 0.2 ms.
    ServerShare,
    /// Building a request with 100 variables in WSLENV and 1,000 arguments, against 1 ms.
    Request,
    /// Translating a path with 200 mounts, against 2 µs.
    TranslatePath,
    /// `./hello.exe` against `wine64 hello.exe` with a server that runs.
    HelloWarm,
    /// `./hello.exe` against `wine64 hello.exe` with loader and server on one processor.
    HelloPinned,
    /// `./hello.exe` against `wine64 hello.exe` with nothing running.
    HelloCold,
    /// 8 launches at once.
    #[value(name = "at-once-8")]
    #[serde(rename = "at-once-8")]
    AtOnce8,
    /// 64 launches at once.
    #[value(name = "at-once-64")]
    #[serde(rename = "at-once-64")]
    AtOnce64,
    /// The processor time of a launch, loader and server together, with 64 at once.
    #[value(name = "processor-time-64")]
    #[serde(rename = "processor-time-64")]
    ProcessorTime64,
    /// How often a launch asks Wine's server something, against 400 times.
    Requests,
    /// What a program writes to stdout, through a pipe.
    StdoutPipe,
    /// What we add to the time from a key to its echo, against 1 ms.
    KeyEcho,
    /// A terminal's new size to the program's notice, against 50 ms.
    NewSize,
    /// A program that cannot run, from exec to exit, against 5 ms.
    Refusal,
    /// `winterop doctor`, against 2 s.
    Doctor,
    /// The longest time from a host's death in the middle of a launch to the caller's end, against
    /// 1 s.
    HostDeath,
    /// A launch through the machine's init while another user attacks it and the hosts, against the same
    /// without.
    Attacked,
    /// What `wsl -e true` in a running distribution takes more than `nsenter … true` in the same
    /// namespaces, against 5 ms.
    WslCommand,
    /// The start of a distribution with a command that does nothing, against 150 ms.
    WslStart,
    /// `wsl --import` of an archive, against `tar -x` and `sync`.
    WslImport,
    /// What a waiting interpreter has resident, in place and hosted, whichever is more.
    InterpreterResident,
    /// What server and host have resident more for each launch in flight, in place.
    LaunchInPlace,
    /// The same, hosted.
    LaunchHosted,
}

impl Subject {
    /// All lines, in the table's order.
    pub(crate) const ALL: [Self; 24] = [
        Self::OurShare,
        Self::ServerShare,
        Self::Request,
        Self::TranslatePath,
        Self::HelloWarm,
        Self::HelloPinned,
        Self::HelloCold,
        Self::AtOnce8,
        Self::AtOnce64,
        Self::ProcessorTime64,
        Self::Requests,
        Self::StdoutPipe,
        Self::KeyEcho,
        Self::NewSize,
        Self::Refusal,
        Self::Doctor,
        Self::HostDeath,
        Self::Attacked,
        Self::WslCommand,
        Self::WslStart,
        Self::WslImport,
        Self::InterpreterResident,
        Self::LaunchInPlace,
        Self::LaunchHosted,
    ];

    /// Whether it is measured from outside, and not in an instance.
    pub(crate) fn is_outside(self) -> bool {
        matches!(
            self,
            Self::HostDeath | Self::Attacked | Self::WslCommand | Self::WslStart | Self::WslImport
        )
    }

    /// Whether it starts Windows programs; what does not is measured with the launcher `command`.
    pub(crate) fn needs_wine(self) -> bool {
        !matches!(self, Self::OurShare | Self::ServerShare | Self::Request | Self::TranslatePath)
    }

    /// The most that the ratio may be.
    fn limit(self) -> f64 {
        match self {
            Self::HelloPinned => 1.15,
            Self::Attacked => 2.0,
            Self::HelloCold => 0.1,
            Self::WslImport => 1.0 / 0.9,
            // At least 0.95 of the throughput without us.
            Self::AtOnce8 | Self::StdoutPipe => 1.0 / 0.95,
            Self::AtOnce64 => 0.85,
            Self::ProcessorTime64 => 0.8,
            _ => 1.0,
        }
    }

    /// What the ratio is wanted to be, where that is less than the limit.
    fn goal(self) -> Option<f64> {
        match self {
            Self::OurShare => Some(0.5),
            Self::HelloWarm | Self::ProcessorTime64 => Some(0.6),
            _ => None,
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::OurShare
            | Self::ServerShare
            | Self::Request
            | Self::HelloWarm
            | Self::HelloPinned
            | Self::HelloCold
            | Self::ProcessorTime64
            | Self::KeyEcho
            | Self::NewSize
            | Self::Refusal
            | Self::Doctor
            | Self::HostDeath
            | Self::Attacked
            | Self::WslCommand
            | Self::WslStart => Unit::Milliseconds,
            Self::TranslatePath => Unit::Microseconds,
            Self::Requests => Unit::Requests,
            Self::AtOnce8 | Self::AtOnce64 => Unit::LaunchesPerSecond,
            Self::StdoutPipe | Self::WslImport => Unit::MebibytesPerSecond,
            Self::InterpreterResident | Self::LaunchInPlace | Self::LaunchHosted => Unit::Kibibytes,
        }
    }

    /// What stands on the two sides, for people.
    fn words(self) -> &'static str {
        match self {
            Self::OurShare => "added to a do-nothing program | promised",
            Self::ServerShare => "added by server, switches and a policy | promised",
            Self::Request => "a request with 100 variables, 1000 arguments | promised",
            Self::TranslatePath => "a path, with 200 mounts | promised",
            Self::HelloWarm => "./hello.exe | wine64 hello.exe, server running",
            Self::HelloPinned => "./hello.exe | wine64 and server on one processor",
            Self::HelloCold => "./hello.exe | wine64 hello.exe, nothing running",
            Self::AtOnce8 => "8 at once | 8 wine64 at once",
            Self::AtOnce64 => "64 at once | 64 wine64 at once",
            Self::ProcessorTime64 => "processor time of one of 64 | of one of 64 wine64",
            Self::Requests => "a launch's questions to Wine's server | promised",
            Self::StdoutPipe => "stdout into a pipe | wine64's",
            Self::KeyEcho => "a key to its echo, added to wine64's | promised",
            Self::NewSize => "a terminal's new size to the program | promised",
            Self::Refusal => "a program that cannot run, exec to exit | promised",
            Self::Doctor => "winterop doctor | promised",
            Self::HostDeath => "a host's death to its caller's end, the longest | promised",
            Self::Attacked => "a user's launch while another attacks | alone",
            Self::WslCommand => "added by wsl -e true to nsenter true | promised",
            Self::WslStart => "a distribution's start, to a command's end | promised",
            Self::WslImport => "wsl --import | tar -x, and sync",
            Self::InterpreterResident => "a waiting interpreter | promised",
            Self::LaunchInPlace => "server and host per launch, in place | promised",
            Self::LaunchHosted => "server and host per launch, hosted | promised",
        }
    }

    /// Its name, as `--only` and the JSON have it.
    pub(crate) fn name(self) -> String {
        use clap::ValueEnum as _;
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What the two sides are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Milliseconds,
    Microseconds,
    LaunchesPerSecond,
    MebibytesPerSecond,
    Kibibytes,
    Requests,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::LaunchesPerSecond => "1/s",
            Self::MebibytesPerSecond => "MiB/s",
            Self::Kibibytes => "KiB",
            Self::Requests => "",
        }
    }

    /// Whether more is better.
    fn is_throughput(self) -> bool {
        matches!(self, Self::LaunchesPerSecond | Self::MebibytesPerSecond)
    }
}

/// One measured line, in the unit of its subject.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) subject: Subject,
    pub(crate) ours: f64,
    pub(crate) reference: f64,
    /// How busy the machine was with other things just before, as a share of its processors' time.
    pub(crate) busy: f64,
}

/// A line of `bench.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    name: String,
    ours: f64,
    reference: f64,
    unit: &'static str,
    ratio: f64,
    limit: f64,
}

impl Figure {
    /// The cost: ours over the reference, or for a throughput the reference over ours.
    fn ratio(&self) -> f64 {
        match self.subject.unit().is_throughput() {
            true => self.reference / self.ours,
            false => self.ours / self.reference,
        }
    }

    /// The figure as it is written to `bench.json`.
    pub(crate) fn line(&self) -> Line {
        Line {
            name: self.subject.name(),
            ours: rounded(self.ours),
            reference: rounded(self.reference),
            unit: self.subject.unit().name(),
            ratio: rounded(self.ratio()),
            limit: rounded(self.subject.limit()),
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.ratio(), self.subject.goal()) {
            (ratio, _) if ratio.is_nan() || ratio > self.subject.limit() => "over the limit",
            (ratio, Some(goal)) if ratio > goal => "within the limit, not the goal",
            (_, Some(_)) => "goal reached",
            (_, None) => "within the limit",
        }
    }
}

/// Four decimals: more would be noise, and infinity is no JSON.
fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 10_000.0).round() / 10_000.0 } else { f64::MAX }
}

/// The table for people.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut lines = vec![format!(
        "{:<21} {:>10} {:>10} {:<6} {:>6} {:>6}  {:<30} {}",
        "name", "ours", "reference", "unit", "ratio", "limit", "", "ours | reference"
    )];
    lines.extend(figures.iter().map(|figure| {
        format!(
            "{:<21} {:>10.2} {:>10.2} {:<6} {:>6.3} {:>6.3}  {:<30} {}",
            figure.subject.name(),
            figure.ours,
            figure.reference,
            figure.subject.unit().name(),
            figure.ratio(),
            figure.subject.limit(),
            figure.verdict(),
            figure.subject.words(),
        )
    }));
    let busiest = figures.iter().map(|figure| figure.busy).fold(0.0, f64::max) * 100.0;
    lines.push(String::new());
    lines.push(format!("the processors were up to {busiest:.0} % busy before a line was measured"));
    lines.join("\n")
}

/// The median of `turns` samples of `batch` calls each, in seconds a call: one call alone is shorter
/// than what the clock can tell.
///
/// # Errors
/// A call fails; `wrong` says what that means.
pub(super) fn median_of_batches(
    turns: usize,
    batch: u32,
    wrong: &'static str,
    call: impl Fn() -> bool,
) -> Result<f64> {
    let sample = |_| {
        let begin = Instant::now();
        let all = (0..batch).all(|_| black_box(call()));
        let took = begin.elapsed().as_secs_f64() / f64::from(batch);
        ensure!(all, wrong);
        Ok(took)
    };
    Ok(median((0..turns).map(sample).collect::<Result<_>>()?))
}

/// The middle one of `values`; of an even number the mean of the two in the middle. Not a number
/// where there are none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|at| values.get(at)).copied();
    (upper + lower.unwrap_or(f64::NAN)) / 2.0
}

/// How long it has been since `begin`, in milliseconds.
pub(super) fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_ratio_is_a_cost_for_times_and_for_throughputs() {
        let time = Figure { subject: Subject::HelloWarm, ours: 10.0, reference: 20.0, busy: 0.0 };
        assert_eq!(time.line().ratio, 0.5);
        assert_eq!(time.verdict(), "goal reached");
        let throughput =
            Figure { subject: Subject::AtOnce8, ours: 50.0, reference: 100.0, busy: 0.0 };
        assert_eq!(throughput.line().ratio, 2.0);
        assert_eq!(throughput.verdict(), "over the limit");
    }

    #[test]
    fn every_line_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Subject::ALL.iter().map(|s| s.name()).collect();
        assert_eq!(names.len(), Subject::ALL.len());
        assert!(names.contains("at-once-64") && names.contains("our-share"));
    }
}
