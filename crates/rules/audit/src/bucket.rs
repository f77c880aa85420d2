//! What somebody may take at once, and what of it comes back each second.

use std::time::Instant;

/// How much fits into a bucket, and how fast it is filled.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// How much may be taken at once.
    pub at_once: u32,
    /// How much comes back of it each second.
    pub each_second: u32,
}

/// What is left of a measure.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    left: f64,
    filled: Instant,
}

impl Bucket {
    /// All of it.
    #[must_use]
    pub fn full(measure: Measure, now: Instant) -> Self {
        Self { left: measure.at_once.into(), filled: now }
    }

    /// Puts in what has come since; how much there is then.
    pub fn fill(&mut self, measure: Measure, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left =
            f64::from(measure.at_once).min(self.left + since * f64::from(measure.each_second));
        self.filled = self.filled.max(now);
        self.left
    }

    /// Whether nothing is missing: whoever has all of it again is as one who never came.
    pub fn is_full(&mut self, measure: Measure, now: Instant) -> bool {
        self.fill(measure, now) >= f64::from(measure.at_once)
    }

    /// Takes out what [`Self::fill`] has said is there.
    pub fn take(&mut self, amount: u32) {
        self.left -= f64::from(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_taken_comes_back_and_no_more() {
        let (measure, start) = (Measure { at_once: 10, each_second: 2 }, Instant::now());
        let mut bucket = Bucket::full(measure, start);
        assert!(bucket.is_full(measure, start));
        bucket.take(10);
        assert!(bucket.fill(measure, start) < 1.0);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!((bucket.fill(measure, after(3)) - 6.0).abs() < 0.01);
        // A time before the last one brings nothing back.
        assert!((bucket.fill(measure, after(1)) - 6.0).abs() < 0.01);
        assert!((bucket.fill(measure, after(4)) - 8.0).abs() < 0.01);
        assert!(bucket.is_full(measure, after(100)));
    }
}
