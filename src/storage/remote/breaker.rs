//! Whether a remote is asked at all: after failed requests in a row it is left alone for a while. One for each remote and
//! process, however many runs use it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::core::lock::lock;

/// How many failed requests in a row are made before the remote is off.
const MAX_FAILURES: u32 = 3;
/// How many failures a request is that took all its time.
const TIMEOUT: u32 = 2;
/// How long it is off at first; twice as long each time that it fails again.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// The breaker of one remote.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    /// In a row.
    failures: u32,
    off_until: Option<Instant>,
    /// The last pause.
    pause: Duration,
}

impl Breaker {
    /// The one for the remote at `url`.
    pub fn of(url: &str) -> Arc<Self> {
        static ALL: Mutex<Option<HashMap<String, Arc<Breaker>>>> = Mutex::new(None);
        let mut all = lock(&ALL);
        let all = all.get_or_insert_default();
        all.entry(url.to_owned()).or_default().clone()
    }

    /// Whether a request may be made.
    pub fn admits(&self, now: Instant) -> bool {
        lock(&self.0).off_until.is_none_or(|until| now >= until)
    }

    /// A request was answered.
    pub fn succeeded(&self) {
        *lock(&self.0) = BreakerState::default();
    }

    /// Requests hang for good: no other one is made to see whether it does as well.
    pub fn trip(&self, now: Instant) {
        self.add(MAX_FAILURES, now);
    }

    /// A request failed. A second one that took all its time turns the remote off: a third would cost as much again. After
    /// a pause one failure is enough for the next.
    pub fn failed(&self, now: Instant, is_timeout: bool) {
        self.add(if is_timeout { TIMEOUT } else { 1 }, now);
    }

    fn add(&self, failures: u32, now: Instant) {
        let mut state = lock(&self.0);
        if state.off_until.is_some_and(|until| now < until) {
            // Requests that were under way when the others failed.
            return;
        }
        state.failures += failures;
        if state.failures >= MAX_FAILURES {
            state.pause = if state.pause.is_zero() { FIRST_PAUSE } else { (state.pause * 2).min(MAX_PAUSE) };
            state.off_until = Some(now + state.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_turn_it_off_for_longer_each_time() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        for _ in 0..2 {
            breaker.failed(now, false);
        }
        assert!(breaker.admits(now));
        breaker.succeeded();
        for _ in 0..3 {
            assert!(breaker.admits(now));
            breaker.failed(now, false);
        }
        for pause in [60, 120, 240] {
            // Late ones count for nothing.
            breaker.failed(now, false);
            let end = now + Duration::from_secs(pause);
            assert!(!breaker.admits(end - Duration::from_millis(1)), "{pause}");
            assert!(breaker.admits(end), "{pause}");
            now = end;
            breaker.failed(now, false);
        }
        breaker.succeeded();
        assert!(breaker.admits(now));
        breaker.failed(now, false);
        assert!(breaker.admits(now), "as in the beginning");
    }

    #[test]
    fn two_timeouts_turn_it_off() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(now, true);
        assert!(breaker.admits(now));
        breaker.succeeded();
        breaker.failed(now, true);
        assert!(breaker.admits(now), "they come in a row or count for nothing");
        breaker.failed(now, true);
        assert!(!breaker.admits(now));
    }

    #[test]
    fn one_that_hangs_is_off_at_once() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.trip(now);
        assert!(!breaker.admits(now + FIRST_PAUSE / 2) && breaker.admits(now + FIRST_PAUSE));
    }

    #[test]
    fn each_remote_has_one() {
        let one = Breaker::of("file:///breaker/one");
        assert!(Arc::ptr_eq(&one, &Breaker::of("file:///breaker/one")));
        assert!(!Arc::ptr_eq(&one, &Breaker::of("file:///breaker/two")));
    }
}
