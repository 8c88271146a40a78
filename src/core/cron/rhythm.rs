//! The rhythm of a schedule: the union of its cron expressions in a zone, or an interval from a start.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Expression, Instant, instants};

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq)]
pub enum Rhythm {
    Cron {
        expressions: Vec<Expression>,
        zone: TimeZone,
        /// Nothing comes before it.
        start: Option<Timestamp>,
    },
    Every {
        /// Whole seconds, at least one.
        seconds: i64,
        /// The first instant; without one they are counted from 1970, so that a restart moves nothing.
        start: Option<Timestamp>,
    },
}

impl Rhythm {
    /// The first instant after `after`; none when the calendar ends first.
    pub fn next(&self, after: Timestamp) -> Option<Instant> {
        match self {
            Rhythm::Cron { expressions, zone, start } => {
                // `start` itself may be an instant.
                let before_start = start.map(|start| start.saturating_sub(SignedDuration::from_nanos(1)));
                let after = before_start.and_then(Result::ok).map_or(after, |start| start.max(after));
                let next = |expression| instants::next(expression, zone, after);
                expressions.iter().filter_map(next).min_by_key(|instant| instant.at)
            }
            Rhythm::Every { seconds, start } => {
                let origin = start.map_or(0, Timestamp::as_second);
                let passed = after.as_second() - origin;
                let count = if start.is_some() && passed < 0 { 0 } else { passed.div_euclid(*seconds) + 1 };
                let second = seconds.checked_mul(count)?.checked_add(origin)?;
                Some(Instant { at: Timestamp::from_second(second).ok()?, clocks: None })
            }
        }
    }

    /// The newest instant that is not after `at`, if there is one within the ten years before it.
    pub fn latest(&self, at: Timestamp) -> Option<Instant> {
        // Ever longer stretches of the past, so that frequent schedules cost little and rare ones are found.
        [3_600, 86_400, 32 * 86_400, 366 * 86_400, 10 * 366 * 86_400].iter().find_map(|seconds| {
            let from = at.checked_sub(SignedDuration::from_secs(*seconds)).ok()?;
            self.after(from).take_while(|instant| instant.at <= at).last()
        })
    }

    /// The same rhythm without a start that has no effect after `now`: one that has passed, and from which no interval is counted.
    #[must_use]
    pub fn without_past_start(mut self, now: Timestamp) -> Self {
        match &mut self {
            Rhythm::Cron { start, .. } => *start = start.filter(|start| *start > now),
            Rhythm::Every { seconds, start } => {
                *start = start.filter(|start| *start > now || start.as_second() % *seconds != 0);
            }
        }
        self
    }

    /// The zone of its local times.
    pub fn zone(&self) -> TimeZone {
        match self {
            Rhythm::Cron { zone, .. } => zone.clone(),
            Rhythm::Every { .. } => TimeZone::UTC,
        }
    }

    /// Every instant after `after`, in order.
    pub fn after(&self, after: Timestamp) -> impl Iterator<Item = Instant> {
        std::iter::successors(self.next(after), |last| self.next(last.at))
    }

    /// A distance of two instants of the year after `from` that is not above `limit`, if there is one. Days that have the same
    /// times count once, and only around changes of the clocks instants are walked: a year by the second costs no more than a day.
    pub fn nearer_than(&self, limit: SignedDuration, from: Timestamp) -> Option<SignedDuration> {
        let Rhythm::Cron { expressions, zone, .. } = self else {
            let Rhythm::Every { seconds, .. } = self else { return None };
            return Some(SignedDuration::from_secs(*seconds)).filter(|shortest| *shortest <= limit);
        };
        let is_near = |distance: &SignedDuration| *distance <= limit;
        if limit >= SignedDuration::from_secs(SECONDS_OF_A_DAY) {
            // Two of one day are near enough, and without such a year has few.
            let year =
                self.after(from).map(|instant| instant.at).take_while(|at| at.duration_since(from) <= YEAR);
            let mut distances = year.scan(None, |last: &mut Option<Timestamp>, at| {
                Some(last.replace(at).map_or(SignedDuration::MAX, |last| at.duration_since(last)))
            });
            return distances.find(is_near);
        }
        nearest_of_days(expressions, zone.to_datetime(from).date())
            .filter(is_near)
            .or_else(|| self.nearest_of_changes(zone, limit, from).filter(is_near))
    }

    /// The shortest distance of two instants around a change of the clocks, as far as it may be below `limit`.
    fn nearest_of_changes(
        &self,
        zone: &TimeZone,
        limit: SignedDuration,
        from: Timestamp,
    ) -> Option<SignedDuration> {
        let end = from.saturating_add(YEAR).ok()?;
        let changes = zone.following(from).map(|change| change.timestamp());
        let around = changes.take_while(|change| *change <= end).filter_map(|change| {
            let margin = limit.saturating_add(SignedDuration::from_secs(1));
            let (first, last) = (change.checked_sub(margin).ok()?, change.checked_add(margin).ok()?);
            let instants: Vec<_> =
                self.after(first).map(|instant| instant.at).take_while(|at| *at <= last).collect();
            instants.windows(2).map(|pair| pair[1].duration_since(pair[0])).min()
        });
        around.min()
    }
}

/// How far ahead instants are compared.
const YEAR: SignedDuration = SignedDuration::from_hours(366 * 24);
const SECONDS_OF_A_DAY: i64 = 86_400;

/// The shortest distance of two local times of the year after `first`, whatever the clocks do.
fn nearest_of_days(expressions: &[Expression], first: Date) -> Option<SignedDuration> {
    let days = std::iter::successors(Some(first), |date| date.tomorrow().ok()).take(367);
    let days: Vec<Vec<bool>> =
        days.map(|date| expressions.iter().map(|expression| expression.has_day(date)).collect()).collect();
    let pairs: BTreeSet<_> = days.windows(2).map(|pair| (&pair[0], &pair[1])).collect();
    let times = |day: &[bool]| -> BTreeSet<i64> {
        let own = expressions.iter().zip(day).filter(|(_, has)| **has);
        own.flat_map(|(expression, _)| expression.times_of_day()).collect()
    };
    let nearest = pairs.into_iter().filter_map(|(today, tomorrow)| {
        let next = times(tomorrow).first().map(|first| first + SECONDS_OF_A_DAY);
        let all: Vec<i64> = times(today).into_iter().chain(next).collect();
        all.windows(2).map(|pair| pair[1] - pair[0]).min()
    });
    nearest.min().map(SignedDuration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::zone::named_zone;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(texts: &[&str], zone_name: &str) -> Rhythm {
        Rhythm::Cron {
            expressions: texts.iter().map(|text| Expression::parse(text).unwrap()).collect(),
            zone: named_zone(zone_name).unwrap(),
            start: None,
        }
    }

    fn some(rhythm: &Rhythm, after: &str, count: usize) -> Vec<String> {
        rhythm.after(at(after)).take(count).map(|instant| instant.at.to_string()).collect()
    }

    #[test]
    fn several_expressions_come_at_the_union_of_their_instants() {
        let rhythm = cron(&["0 2 * * *", "0 2,14 * * *"], "UTC");
        assert_eq!(
            some(&rhythm, "2026-01-01T02:00:00Z", 3),
            ["2026-01-01T14:00:00Z", "2026-01-02T02:00:00Z", "2026-01-02T14:00:00Z"]
        );
    }

    #[test]
    fn a_start_is_itself_an_instant_and_nothing_comes_before_it() {
        let mut rhythm = cron(&["0 0 * * *"], "UTC");
        let Rhythm::Cron { start, .. } = &mut rhythm else { unreachable!() };
        *start = Some(at("2026-03-01T00:00:00Z"));
        assert_eq!(
            some(&rhythm, "2026-01-01T00:00:00Z", 2),
            ["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"]
        );

        let every = Rhythm::Every { seconds: 90, start: Some(at("2026-03-01T00:00:10Z")) };
        assert_eq!(some(&every, "2026-01-01T00:00:00Z", 2), ["2026-03-01T00:00:10Z", "2026-03-01T00:01:40Z"]);
    }

    #[test]
    fn a_start_that_has_passed_is_left_out_where_nothing_is_counted_from_it() {
        let now = at("2026-11-28T12:00:00Z");
        let every = |seconds, start: &str| {
            let start = Some(at(start));
            let rhythm = Rhythm::Every { seconds, start }.without_past_start(now);
            rhythm != Rhythm::Every { seconds, start }
        };
        assert!(every(3600, "2026-01-01T00:00:00Z"));
        assert!(!every(3600, "2026-01-01T00:00:10Z"));
        assert!(!every(3600, "2027-01-01T00:00:00Z"));
        let mut cron_from = cron(&["0 0 * * *"], "UTC");
        let Rhythm::Cron { start, .. } = &mut cron_from else { unreachable!() };
        *start = Some(at("2026-03-01T00:00:00Z"));
        assert_eq!(cron_from.without_past_start(now), cron(&["0 0 * * *"], "UTC"));
    }

    #[test]
    fn intervals_without_a_start_are_counted_from_1970() {
        let every = Rhythm::Every { seconds: 7, start: None };
        assert_eq!(
            some(&every, "1970-01-01T00:00:06.5Z", 2),
            ["1970-01-01T00:00:07Z", "1970-01-01T00:00:14Z"]
        );
        assert_eq!(some(&every, "1970-01-01T00:00:07Z", 1), ["1970-01-01T00:00:14Z"]);
        assert_eq!(some(&every, "1969-12-31T23:59:59Z", 1), ["1970-01-01T00:00:00Z"]);
    }

    #[test]
    fn the_shortest_distance_of_a_year_counts_the_changes_of_the_clocks() {
        let from = at("2026-01-01T00:00:00Z");
        // The least limit, in whole seconds, that two instants keep to.
        let shortest = |rhythm: Rhythm| {
            let within = |seconds| rhythm.nearer_than(SignedDuration::from_secs(seconds), from);
            let found =
                within(2 * 3600).and_then(|distance| within(distance.as_secs() - 1).or(Some(distance)));
            assert_eq!(within(found.unwrap().as_secs() - 1), None);
            found.unwrap()
        };
        assert_eq!(shortest(cron(&["0 2,3 * * *"], "Europe/Rome")), SignedDuration::from_hours(1));
        // 01:30 and 02:30: the second comes at 03:00 on the day of the gap, half an hour after the first.
        assert_eq!(shortest(cron(&["30 1,2 * * *"], "Europe/Rome")), SignedDuration::from_mins(30));
        assert_eq!(shortest(Rhythm::Every { seconds: 5, start: None }), SignedDuration::from_secs(5));
        // The last of a day and the first of the next; two expressions that share a day now and then.
        assert_eq!(shortest(cron(&["0 0 * * *", "50 23 * * 5"], "UTC")), SignedDuration::from_mins(10));
        assert_eq!(shortest(cron(&["0 12 1 * *", "59 11 * * 1"], "UTC")), SignedDuration::from_mins(1));
        let apart = cron(&["0 12 1 1 *", "59 11 2 2 *"], "UTC");
        assert_eq!(apart.nearer_than(SignedDuration::from_hours(24), from), None);
        let weekly = cron(&["0 12 * * 1"], "UTC");
        assert_eq!(weekly.nearer_than(SignedDuration::from_hours(167), from), None);
        assert_eq!(weekly.nearer_than(SignedDuration::from_hours(168), from).unwrap().as_hours(), 168);
        // Thirty million instants a year, of which few are looked at.
        assert_eq!(shortest(cron(&["*/3 * * * * *"], "Europe/Rome")), SignedDuration::from_secs(3));
    }

    #[test]
    fn the_latest_instant_is_found_however_rare_it_is() {
        let at = at("2026-11-28T12:00:00Z");
        let latest = |rhythm: Rhythm| rhythm.latest(at).map(|instant| instant.at.to_string());
        assert_eq!(latest(cron(&["*/5 * * * *"], "UTC")).unwrap(), "2026-11-28T12:00:00Z");
        assert_eq!(latest(cron(&["0 2 * * *"], "Europe/Rome")).unwrap(), "2026-11-28T01:00:00Z");
        assert_eq!(latest(cron(&["0 0 29 2 *"], "UTC")).unwrap(), "2024-02-29T00:00:00Z");
        let later = Rhythm::Every { seconds: 60, start: Some("2030-01-01T00:00:00Z".parse().unwrap()) };
        assert_eq!(latest(later), None);
    }
}
