//! From local times to instants: what a zone's clocks do to an expression.
//!
//! The rule. If the hour field leaves hours out, each matching local time comes exactly once: one that the clocks skip comes at the
//! first instant after the gap, one that they repeat comes the first time. If the field takes in all hours, elapsed time counts: a
//! skipped local time does not come, a repeated one comes both times. A day that a zone leaves out is a gap like any other.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::Expression;

/// A moment at which a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instant {
    pub at: Timestamp,
    /// What the clocks did to it, if anything.
    pub clocks: Option<Clocks>,
}

/// What a change of the clocks did to a local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clocks {
    /// The clocks skip this local time, and show `then` next.
    Skipped { local: DateTime, then: DateTime },
    /// The local time comes twice, and this is the first time; `again` when it is the second.
    Repeated { local: DateTime, again: bool },
}

impl Clocks {
    /// The sentence for people.
    pub fn text(self) -> String {
        let clock = |local: DateTime| match local.second() {
            0 => local.strftime("%H:%M").to_string(),
            _ => local.strftime("%H:%M:%S").to_string(),
        };
        match self {
            Clocks::Skipped { local, then } if local.date() == then.date() => {
                format!("{} does not exist on this day", clock(local))
            }
            Clocks::Skipped { local, .. } => format!("{} on {} does not exist", clock(local), local.date()),
            Clocks::Repeated { local, again: false } => {
                format!("{} comes twice on this day: the first time", clock(local))
            }
            Clocks::Repeated { local, again: true } => {
                format!("{} comes twice on this day: the second time", clock(local))
            }
        }
    }
}

/// The first instant of an expression after `after`; none when the calendar ends first.
pub(super) fn next(expression: &Expression, zone: &TimeZone, after: Timestamp) -> Option<Instant> {
    if expression.every_hour() {
        next_elapsed(expression, zone, after)
    } else {
        next_on_the_wall(expression, zone, after)
    }
}

/// Each local time once, at the first instant at which the clocks have reached it. That never goes back from one local time to a later one.
fn next_on_the_wall(expression: &Expression, zone: &TimeZone, after: Timestamp) -> Option<Instant> {
    // The clocks showed this and all before it by `after`: no earlier local time can come later.
    let mut from = zone.to_datetime(after).checked_add(SignedDuration::from_nanos(1)).ok()?;
    loop {
        let local = expression.next_local(from)?;
        let instant = first_reached(zone, local)?;
        if instant.at > after {
            return Some(instant);
        }
        // A local time that came before `after` and is being repeated now.
        from = local.checked_add(SignedDuration::from_secs(1)).ok()?;
    }
}

/// The first instant at which the clocks of `zone` show `local` or later.
fn first_reached(zone: &TimeZone, local: DateTime) -> Option<Instant> {
    let (at, clocks) = match zone.to_ambiguous_zoned(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => (offset.to_timestamp(local).ok()?, None),
        AmbiguousOffset::Fold { before, .. } => {
            (before.to_timestamp(local).ok()?, Some(Clocks::Repeated { local, again: false }))
        }
        AmbiguousOffset::Gap { after, .. } => {
            let before_the_gap = after.to_timestamp(local).ok()?;
            let end = zone
                .following(before_the_gap)
                .map(|change| change.timestamp())
                .find(|&change| zone.to_datetime(change) >= local)?;
            (end, Some(Clocks::Skipped { local, then: zone.to_datetime(end) }))
        }
    };
    Some(Instant { at, clocks })
}

/// Each instant whose local time matches.
fn next_elapsed(expression: &Expression, zone: &TimeZone, after: Timestamp) -> Option<Instant> {
    let mut from = after.checked_add(SignedDuration::from_nanos(1)).ok()?;
    loop {
        // Up to the next change of the clocks, local time and instants go side by side.
        let offset = zone.to_offset(from);
        let change = zone.following(from).next().map(|change| change.timestamp());
        let at =
            expression.next_local(offset.to_datetime(from)).and_then(|local| offset.to_timestamp(local).ok());
        match (at, change) {
            (Some(at), None) => return Some(instant_at(zone, at)),
            (Some(at), Some(change)) if at < change => return Some(instant_at(zone, at)),
            (_, Some(change)) => from = change,
            (None, None) => return None,
        }
    }
}

fn instant_at(zone: &TimeZone, at: Timestamp) -> Instant {
    let local = zone.to_datetime(at);
    let clocks = match zone.to_ambiguous_zoned(local).offset() {
        AmbiguousOffset::Fold { before, .. } => {
            Some(Clocks::Repeated { local, again: zone.to_offset(at) != before })
        }
        _ => None,
    };
    Instant { at, clocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instants(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let (expression, zone) = (Expression::parse(text).unwrap(), TimeZone::get(zone).unwrap());
        let mut at: Timestamp = after.parse().unwrap();
        let mut found = Vec::new();
        for _ in 0..count {
            let Some(instant) = next(&expression, &zone, at) else { break };
            at = instant.at;
            found.push(match instant.clocks {
                Some(clocks) => format!("{at} {}", clocks.text()),
                None => at.to_string(),
            });
        }
        found
    }

    #[test]
    fn a_skipped_local_time_comes_once_at_the_end_of_the_gap() {
        let skipped = "2026-03-29T01:00:00Z 02:00 does not exist on this day";
        for text in ["0,30 2 * * *", "*/30 2 * * *", "0 */2 * * *", "0 1-3 * * *"] {
            let all = instants(text, "Europe/Berlin", "2026-03-29T00:30:00Z", 1);
            assert_eq!(all, [skipped], "{text}");
        }
        // 03:00 is there anyway, and 02:30 does not come a second time.
        let both = instants("0,30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 3);
        assert_eq!(both, [skipped, "2026-03-29T01:30:00Z", "2026-03-30T00:00:00Z"]);
    }

    #[test]
    fn a_day_that_a_zone_leaves_out_is_a_gap_like_any_other() {
        assert_eq!(
            instants("0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z", 2),
            ["2011-12-30T10:00:00Z 12:00 on 2011-12-30 does not exist", "2011-12-30T22:00:00Z"]
        );
    }

    #[test]
    fn a_repeated_local_time_comes_the_first_time_only() {
        assert_eq!(
            instants("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z 02:30 comes twice on this day: the first time", "2026-10-26T01:30:00Z"]
        );
        // Asked between the two times: the second one is none.
        assert_eq!(
            instants("30 2 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", 1),
            ["2026-10-26T01:30:00Z"]
        );
    }

    #[test]
    fn where_every_hour_is_meant_elapsed_time_counts() {
        assert_eq!(
            instants("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3),
            [
                "2026-10-25T00:30:00Z 02:30 comes twice on this day: the first time",
                "2026-10-25T01:30:00Z 02:30 comes twice on this day: the second time",
                "2026-10-25T02:30:00Z",
            ]
        );
        assert_eq!(
            instants("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 2),
            ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]
        );
        // Half an hour is skipped here.
        assert_eq!(
            instants("15 * * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", 2),
            ["2026-10-03T16:15:00Z", "2026-10-03T17:15:00Z"]
        );
    }

    #[test]
    fn the_calendar_ends_without_a_fault() {
        assert_eq!(instants("0 0 1 1 *", "UTC", "9998-06-01T00:00:00Z", 5).len(), 1);
        assert_eq!(instants("0 * 1 1 *", "Europe/Berlin", "9999-01-01T21:30:00Z", 5).len(), 1);
    }
}
