//! Cron expressions and intervals in the words of the system's own timers: a line of a crontab, and systemd's `OnCalendar`.
//!
//! Neither can say everything. What cannot be said is refused by its name, never said nearly.

use super::field::{Set, Unit};
use super::words::WEEKDAYS;
use super::{Expression, Rhythm, field};

/// What of an expression has no words there, such as `15W`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsayable(pub String);

/// The times of each line of a crontab that a rhythm takes, without the zone.
///
/// # Errors
/// What cron cannot say.
pub fn crontab_times(rhythm: &Rhythm) -> Result<Vec<String>, Unsayable> {
    match rhythm {
        Rhythm::Cron { start: Some(_), .. } | Rhythm::Every { start: Some(_), .. } => Err(start()),
        Rhythm::Cron { expressions, .. } => expressions.iter().map(of_expression).collect(),
        Rhythm::Every { seconds, .. } => match interval(*seconds) {
            Some(Interval::Minutes(step)) => Ok(vec![format!("*/{step} * * * *")]),
            Some(Interval::Hours(step)) => Ok(vec![format!("0 */{step} * * *")]),
            Some(Interval::Day) => Ok(vec!["0 0 * * *".to_owned()]),
            Some(Interval::Seconds(_)) => Err(Unsayable("seconds".to_owned())),
            None => Err(Unsayable("an interval that is no even part of an hour or a day".to_owned())),
        },
    }
}

/// The values of `OnCalendar` that a rhythm takes, with the zone; for an interval that they cannot say, nothing.
///
/// # Errors
/// What systemd cannot say.
pub fn on_calendar(rhythm: &Rhythm, zone: &str) -> Result<Vec<String>, Unsayable> {
    match rhythm {
        Rhythm::Cron { start: Some(_), .. } | Rhythm::Every { start: Some(_), .. } => Err(start()),
        Rhythm::Cron { expressions, .. } => {
            let mut all = Vec::new();
            for expression in expressions {
                all.extend(calendar_of(expression)?.into_iter().map(|text| format!("{text} {zone}")));
            }
            Ok(all)
        }
        Rhythm::Every { seconds, .. } => Ok(match interval(*seconds) {
            Some(Interval::Seconds(step)) => vec![format!("*-*-* *:*:0/{step} UTC")],
            Some(Interval::Minutes(step)) => vec![format!("*-*-* *:0/{step}:00 UTC")],
            Some(Interval::Hours(step)) => vec![format!("*-*-* 0/{step}:00:00 UTC")],
            Some(Interval::Day) => vec!["*-*-* 00:00:00 UTC".to_owned()],
            None => Vec::new(),
        }),
    }
}

fn start() -> Unsayable {
    Unsayable("`start`".to_owned())
}

/// An interval that divides the next larger unit, so that it comes at the same times of each.
enum Interval {
    Seconds(i64),
    Minutes(i64),
    Hours(i64),
    Day,
}

fn interval(seconds: i64) -> Option<Interval> {
    match seconds {
        86_400 => Some(Interval::Day),
        _ if seconds % 3_600 == 0 && 24 % (seconds / 3_600) == 0 => Some(Interval::Hours(seconds / 3_600)),
        _ if seconds % 60 == 0 && 60 % (seconds / 60) == 0 => Some(Interval::Minutes(seconds / 60)),
        _ if seconds < 60 && 60 % seconds == 0 => Some(Interval::Seconds(seconds)),
        _ => None,
    }
}

fn of_expression(expression: &Expression) -> Result<String, Unsayable> {
    let Expression { minutes, hours, days, months, weekdays, .. } = expression;
    if !expression.on_the_minute() {
        return Err(Unsayable("seconds".to_owned()));
    }
    special_days(expression)?;
    if days.last {
        return Err(Unsayable("`L`, the last day of a month".to_owned()));
    }
    if let Some(day) = weekdays.last.numbers().next() {
        return Err(Unsayable(format!("`{day}L`, the last {} of a month", WEEKDAYS[usize::from(day)])));
    }
    let (mut days, mut weekdays) = (days.set, weekdays.set);
    if expression.two_day_fields()
        && (takes_all(days, &field::DAY_OF_MONTH) || takes_all(weekdays, &field::DAY_OF_WEEK))
    {
        // One of the two takes every day, so each day fits. As a `*` it would leave the choice to the other.
        (days.any, weekdays.any) = (true, true);
    }
    // Numbers and ranges alone: in some crons a step in a day field counts as `*`, and a week does not end with `sun`.
    let fields = [
        (*minutes, &field::MINUTE),
        (*hours, &field::HOUR),
        (days, &field::DAY_OF_MONTH),
        (*months, &field::MONTH),
        (weekdays, &field::DAY_OF_WEEK),
    ];
    Ok(fields.map(|(set, unit)| numbers(set, unit)).join(" "))
}

/// What neither of the two can say.
fn special_days(expression: &Expression) -> Result<(), Unsayable> {
    let Expression { days, weekdays, .. } = expression;
    if days.last_workday {
        return Err(Unsayable("`LW`, the last workday of a month".to_owned()));
    }
    if let Some(day) = days.nearest_workday.numbers().next() {
        return Err(Unsayable(format!("`{day}W`, the workday nearest to a day")));
    }
    if let Some((day, nth)) = weekdays.nth.iter().enumerate().find(|(_, nth)| **nth != 0) {
        let which = nth.trailing_zeros();
        let name = WEEKDAYS[day];
        return Err(Unsayable(format!("`{day}#{which}`, the {name} of that number in a month")));
    }
    Ok(())
}

/// A field of a crontab.
fn numbers(set: Set, unit: &Unit) -> String {
    match set.any || takes_all(set, unit) {
        true => "*".to_owned(),
        false => set.ranges("-").join(","),
    }
}

/// Whether a set holds every number of its field.
fn takes_all(set: Set, unit: &Unit) -> bool {
    let last = if unit.max == 7 { 6 } else { unit.max };
    set.numbers().count() == usize::from(last - unit.min) + 1
}

/// One for each day field that says something: a day that fits either one fits.
fn calendar_of(expression: &Expression) -> Result<Vec<String>, Unsayable> {
    special_days(expression)?;
    let Expression { seconds, minutes, hours, days, months, weekdays } = expression;
    let list = |set: Set, count: u32| match set.bits.count_ones() == count {
        true => "*".to_owned(),
        false => set.ranges("..").join(","),
    };
    let month = list(*months, 12);
    let time = format!("{}:{}:{}", list(*hours, 24), list(*minutes, 60), list(*seconds, 60));
    let mut all = Vec::new();
    if days.set.any && weekdays.set.any {
        all.push(format!("*-{month}-* {time}"));
    }
    if !days.set.any {
        if days.set.bits != 0 {
            all.push(format!("*-{month}-{} {time}", list(days.set, 31)));
        }
        if days.last {
            all.push(format!("*-{month}~01 {time}"));
        }
    }
    if !weekdays.set.any {
        let names =
            |set: Set| set.numbers().map(|day| WEEKDAYS[usize::from(day)]).collect::<Vec<_>>().join(",");
        if weekdays.set.bits != 0 {
            all.push(format!("{} *-{month}-* {time}", names(weekdays.set)));
        }
        if weekdays.last.bits != 0 {
            all.push(format!("{} *-{month}~07/1 {time}", names(weekdays.last)));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn cron(text: &str) -> Rhythm {
        let expressions = vec![Expression::parse(text).unwrap()];
        Rhythm::Cron { expressions, zone: TimeZone::UTC, start: None }
    }

    fn every(seconds: i64) -> Rhythm {
        Rhythm::Every { seconds, start: None }
    }

    #[test]
    fn what_cron_can_say_is_said_in_numbers() {
        for (rhythm, expected) in [
            (cron("30 2 * * *"), "30 2 * * *"),
            (cron("@hourly"), "0 * * * *"),
            (cron("*/15 8-17 * * MON-FRI"), "0,15,30,45 8-17 * * 1-5"),
            (cron("0 5 ? * fri-sun"), "0 5 * * 0,5,6"),
            // As steps, some crons would take the two days together.
            (cron("0 5 */10 * mon"), "0 5 1,11,21,31 * 1"),
            // A day that fits either field fits, so these come each day.
            (cron("0 5 1-31 * mon"), "0 5 * * *"),
            (cron("0 5 15 * 0-6"), "0 5 * * *"),
            (every(900), "*/15 * * * *"),
            (every(21_600), "0 */6 * * *"),
            (every(86_400), "0 0 * * *"),
        ] {
            assert_eq!(crontab_times(&rhythm), Ok(vec![expected.to_owned()]));
        }
        for (rhythm, expected) in [
            (cron("10 0 2 * * *"), "seconds"),
            (cron("0 9 15W * *"), "`15W`"),
            (cron("0 9 LW * *"), "`LW`"),
            (cron("0 9 L * *"), "`L`"),
            (cron("0 9 * * 5#2"), "`5#2`"),
            (cron("0 9 * * 5L"), "`5L`"),
            (every(5_400), "an interval"),
            (every(10), "seconds"),
        ] {
            let Unsayable(what) = crontab_times(&rhythm).unwrap_err();
            assert!(what.contains(expected), "{what}");
        }
    }

    #[test]
    fn what_systemd_can_say_has_its_zone() {
        let berlin = |rhythm: Rhythm| on_calendar(&rhythm, "Europe/Berlin");
        for (rhythm, expected) in [
            (cron("30 2 * * *"), vec!["*-*-* 2:30:0 Europe/Berlin"]),
            (cron("10 0 9 L jan,jul *"), vec!["*-1,7~01 9:0:10 Europe/Berlin"]),
            (cron("0 9 * * 5L"), vec!["Fri *-*~07/1 9:0:0 Europe/Berlin"]),
            (cron("0 9 1 * mon"), vec!["*-*-1 9:0:0 Europe/Berlin", "Mon *-*-* 9:0:0 Europe/Berlin"]),
            (cron("*/20 8-17 * * *"), vec!["*-*-* 8..17:0,20,40:0 Europe/Berlin"]),
            (every(15), vec!["*-*-* *:*:0/15 UTC"]),
            (every(5_400), vec![]),
        ] {
            assert_eq!(berlin(rhythm).unwrap(), expected);
        }
        for (text, expected) in [("0 9 15W * *", "`15W`"), ("0 9 * * 5#2", "`5#2`"), ("0 9 LW * *", "`LW`")] {
            let Unsayable(what) = berlin(cron(text)).unwrap_err();
            assert!(what.contains(expected), "{what}");
        }
    }
}
