//! Jitter: a delay that spreads schedules of one time, and is the same wherever and whenever it is asked for.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// How far the run of an instant is moved: a part of `jitter`, in whole milliseconds, that follows from the schedule's whole
/// name and the instant alone.
pub fn delay(schedule: &str, at: Timestamp, jitter: SignedDuration) -> SignedDuration {
    let Ok(milliseconds @ 1..) = u64::try_from(jitter.as_millis()) else {
        return SignedDuration::ZERO;
    };
    let mut hash = Sha256::new();
    hash.update(at.as_second().to_be_bytes());
    hash.update(schedule.as_bytes());
    let digest = hash.finalize();
    let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let part = number % milliseconds;
    i64::try_from(part).map_or(SignedDuration::ZERO, SignedDuration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_a_part_of_the_jitter_and_always_the_same_one() {
        let jitter = SignedDuration::from_secs(30);
        let instants: Vec<_> = (0..200).map(|n| Timestamp::from_second(n * 86_400).unwrap()).collect();
        let delays: Vec<_> = instants.iter().map(|at| delay("etl/nightly", *at, jitter)).collect();
        assert!(delays.iter().all(|delay| *delay >= SignedDuration::ZERO && *delay < jitter));
        // Spread over the whole of it, not in one corner.
        assert!(delays.iter().any(|delay| *delay < jitter / 5));
        assert!(delays.iter().any(|delay| *delay > jitter / 5 * 4));
        assert_ne!(delay("etl/nightly", instants[0], jitter), delay("etl/hourly", instants[0], jitter));
        // A delay that a restart or another version moved would run an instant twice, or not at all.
        assert_eq!(delay("etl/nightly", instants[20_000 % 200], jitter), delays[0]);
        assert_eq!(delay("etl/nightly", instants[1], SignedDuration::ZERO), SignedDuration::ZERO);
    }
}
