//! Attempts that wait for a job, and how many of them share one. Knows neither files nor commands; time is given.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::system::JobWish;
use crate::core::chunk::ChunkSize;
use crate::exec::batch::Seat;

/// An attempt that waits for its place in a job.
pub struct SeatRequest {
    /// Those with a lower number go first.
    pub order: u64,
    /// What it works on, as the caller knows it.
    pub work: String,
    /// The node, for people.
    pub label: String,
    /// How long it may take, from what is known of earlier ones.
    pub expected: Option<Duration>,
    pub reply: oneshot::Sender<Seat>,
}

/// Attempts that are to share a job.
pub struct Chunk {
    pub wish: JobWish,
    pub requests: Vec<SeatRequest>,
}

/// All attempts that wait.
#[derive(Default)]
pub struct Waiting {
    lines: Vec<Line>,
    paces: HashMap<String, Pace>,
}

/// Attempts with equal wishes, which may share jobs.
struct Line {
    wish: JobWish,
    since: Instant,
    last: Instant,
    requests: VecDeque<SeatRequest>,
}

/// How long attempts of one kind take.
#[derive(Default)]
struct Pace {
    total: Duration,
    ended: u32,
    /// Single jobs that were made to find out, and when the last was.
    probes: u32,
    probed: Option<Instant>,
}

/// An attempt that comes alone may be the first of many: they are waited for.
const LINGER: Duration = Duration::from_millis(30);
/// Maximum time that others are waited for.
const MAX_LINGER: Duration = Duration::from_secs(1);
/// Attempts that must have ended before several share a job whose size is left open.
const MIN_KNOWN: u32 = 5;
/// Time after which such attempts are known to take long: then each is a job of its own.
const PROBE_TIME: Duration = Duration::from_secs(5);
/// The sum of the limits of a job whose size is left open: a longer one is refused by many sites.
const MAX_LIMIT: Duration = Duration::from_secs(24 * 3600);

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn add(&mut self, wish: JobWish, request: SeatRequest, now: Instant) {
        match self.lines.iter_mut().find(|line| line.wish == wish) {
            Some(line) => {
                line.last = now;
                line.requests.push_back(request);
            }
            None => {
                let requests = VecDeque::from([request]);
                self.lines.push(Line { wish, since: now, last: now, requests });
            }
        }
    }

    /// Gives up all that waits.
    pub fn clear(&mut self) {
        self.lines.clear();
    }

    /// An attempt of a kind took so long.
    pub fn took(&mut self, kind: &str, duration: Duration) {
        let pace = self.paces.entry(kind.to_owned()).or_default();
        (pace.total, pace.ended) = (pace.total + duration, pace.ended + 1);
    }

    /// When another job could be made, where there may be one; none if nothing waits.
    pub fn due(&self) -> Option<Instant> {
        let due = |line: &Line| match self.paces.get(&line.wish.kind).and_then(Pace::held) {
            Some(until) if line.is_unknown() => until,
            _ => line.settled(),
        };
        self.lines.iter().map(due).min()
    }

    /// Makes at most `free` jobs of what waits.
    pub fn take(&mut self, free: usize, now: Instant) -> Vec<Chunk> {
        for line in &mut self.lines {
            line.requests.retain(|request| !request.reply.is_closed());
            line.requests.make_contiguous().sort_by_key(|request| request.order);
        }
        self.lines.retain(|line| !line.requests.is_empty());
        let all: usize = self.lines.iter().map(|line| line.requests.len()).sum();
        let (mut free, share) = (free, all.div_ceil(free.max(1)));
        let mut made = Vec::new();
        for line in &mut self.lines {
            let pace = self.paces.entry(line.wish.kind.clone()).or_default();
            while free > 0
                && let Some(size) = line.next(pace, share, now)
            {
                free -= 1;
                let requests = line.requests.drain(..size).collect();
                made.push(Chunk { wish: line.wish.clone(), requests });
            }
        }
        self.lines.retain(|line| !line.requests.is_empty());
        made
    }
}

impl Line {
    /// How many attempts the next job has; none if it is too early for one. `share` is how many each job would have if
    /// all that waits were spread over all jobs that may be.
    fn next(&self, pace: &mut Pace, share: usize, now: Instant) -> Option<usize> {
        let first = self.requests.front()?;
        let waits = self.requests.len();
        let is_settled = now >= self.settled();
        match self.wish.chunk.size {
            ChunkSize::Of(size) => (is_settled || waits >= size).then(|| size.clamp(1, waits)),
            ChunkSize::Auto => match pace.mean().or(first.expected) {
                None if pace.may_probe(now) => {
                    (pace.probes, pace.probed) = (pace.probes + 1, Some(now));
                    Some(1)
                }
                None => None,
                Some(_) if !is_settled => None,
                Some(mean) => Some(self.wish.fitting(mean).min(share).clamp(1, waits)),
            },
        }
    }

    /// When no more are waited for.
    fn settled(&self) -> Instant {
        (self.last + LINGER).min(self.since + MAX_LINGER)
    }

    /// Whether its size is left open, and nothing is known from earlier runs.
    fn is_unknown(&self) -> bool {
        self.wish.chunk.size == ChunkSize::Auto
            && self.requests.front().is_some_and(|one| one.expected.is_none())
    }
}

impl Pace {
    /// How long one takes, once enough of them are known.
    fn mean(&self) -> Option<Duration> {
        (self.ended >= MIN_KNOWN).then(|| self.total / self.ended)
    }

    /// Until when no more single jobs are made to find out.
    fn held(&self) -> Option<Instant> {
        (self.mean().is_none() && self.probes == MIN_KNOWN).then(|| self.probed.map(|at| at + PROBE_TIME))?
    }

    fn may_probe(&self, now: Instant) -> bool {
        self.held().is_none_or(|until| now >= until)
    }
}

impl JobWish {
    /// How many attempts that take `mean` fit into a job whose size is left open.
    fn fitting(&self, mean: Duration) -> usize {
        let times = |all: Duration, one: Duration| {
            let fit = all.as_micros() / one.as_micros().max(1000);
            usize::try_from(fit).unwrap_or(usize::MAX).saturating_mul(self.chunk.parallel.max(1))
        };
        let by_limit = self.needs.limit.map_or(usize::MAX, |limit| times(MAX_LIMIT, limit));
        times(self.chunk.time, mean).min(self.chunk.max).min(by_limit).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::batch::{Chunking, JobNeeds};

    const SECOND: Duration = Duration::from_secs(1);

    struct Desk {
        waiting: Waiting,
        now: Instant,
        replies: Vec<oneshot::Receiver<Seat>>,
    }

    impl Desk {
        fn new() -> Self {
            Self { waiting: Waiting::default(), now: Instant::now(), replies: Vec::new() }
        }

        fn add(&mut self, count: usize, kind: &str, size: ChunkSize, expected: Option<Duration>) {
            for _ in 0..count {
                let (reply, received) = oneshot::channel();
                self.replies.push(received);
                let chunk = Chunking { size, time: SECOND * 300, max: 500, parallel: 1 };
                let wish = JobWish { kind: kind.into(), chunk, ..JobWish::default() };
                let request = SeatRequest { order: 0, work: "w".into(), label: "n".into(), expected, reply };
                self.waiting.add(wish, request, self.now);
            }
        }

        fn take(&mut self, free: usize) -> Vec<usize> {
            self.waiting.take(free, self.now).iter().map(|chunk| chunk.requests.len()).collect()
        }

        fn wait(&mut self, duration: Duration) {
            self.now += duration;
        }
    }

    #[test]
    fn a_size_that_is_given_is_kept_and_others_are_waited_for() {
        let mut desk = Desk::new();
        desk.add(7, "t", ChunkSize::Of(3), None);
        assert_eq!(desk.take(10), [3, 3], "the last one may not be the last");
        desk.wait(LINGER);
        assert_eq!(desk.take(10), [1]);
        desk.add(2, "t", ChunkSize::Of(1), None);
        assert_eq!(desk.take(10), [1, 1], "single ones wait for nobody");
        assert!(desk.waiting.is_empty());
    }

    #[test]
    fn an_open_size_begins_with_single_jobs_and_then_keeps_all_busy() {
        let mut desk = Desk::new();
        desk.add(1005, "t", ChunkSize::Auto, None);
        assert_eq!(desk.take(100), [1; 5]);
        desk.wait(SECOND);
        assert_eq!(desk.take(100), [0; 0]);
        for _ in 0..5 {
            desk.waiting.took("t", SECOND);
        }
        assert_eq!(desk.take(20), [50; 20]);
        // What takes long is a job of its own.
        desk.add(10, "long", ChunkSize::Auto, Some(SECOND * 200));
        desk.add(10, "short", ChunkSize::Auto, Some(SECOND * 100));
        desk.wait(LINGER);
        assert_eq!(desk.take(2), [1, 1]);
        desk.add(1200, "quick", ChunkSize::Auto, Some(Duration::ZERO));
        desk.wait(LINGER);
        let sizes = desk.take(14);
        assert_eq!(sizes[8..], [3, 3, 3, 1, 87, 87], "{sizes:?}");
    }

    #[test]
    fn what_is_not_known_after_a_while_takes_long() {
        let mut desk = Desk::new();
        desk.add(40, "t", ChunkSize::Auto, None);
        assert_eq!(desk.take(20).len(), 5);
        desk.wait(PROBE_TIME);
        assert_eq!(desk.take(20), [1; 20]);
    }

    #[test]
    fn what_was_given_up_takes_no_place() {
        let mut desk = Desk::new();
        desk.add(3, "t", ChunkSize::Of(1), None);
        desk.replies.remove(0);
        assert_eq!(desk.take(10), [1, 1]);
    }

    #[test]
    fn limits_of_an_open_size_are_not_added_up_for_ever() {
        let chunk = Chunking { size: ChunkSize::Auto, time: SECOND * 300, max: 500, parallel: 1 };
        let needs = JobNeeds { limit: Some(SECOND * 3600), ..JobNeeds::default() };
        let wish = JobWish { chunk, needs, ..JobWish::default() };
        assert_eq!(wish.fitting(SECOND), 24);
        let wish = JobWish { needs: JobNeeds::default(), ..wish };
        assert_eq!(wish.fitting(SECOND), 300);
        assert_eq!(wish.fitting(Duration::ZERO), 500);
    }
}
