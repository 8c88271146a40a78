//! A rhythm in words: `daily at 02:00`, `Mon to Fri at 09:00`, `every 15 minutes`.

use jiff::SignedDuration;

use super::expression::{DaysOfMonth, DaysOfWeek};
use super::field::Set;
use super::{Expression, Rhythm};
use crate::core::time_text::duration_text;

pub(super) const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 13] =
    ["", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// More times of a day than these are said as hours and minutes.
const MAX_TIMES: usize = 4;

/// What a person calls it, without the zone.
pub fn words(rhythm: &Rhythm) -> String {
    match rhythm {
        Rhythm::Every { seconds, .. } => {
            format!("every {}", duration_text(SignedDuration::from_secs(*seconds)))
        }
        Rhythm::Cron { expressions, .. } => {
            expressions.iter().map(of_expression).collect::<Vec<_>>().join("; ")
        }
    }
}

fn of_expression(expression: &Expression) -> String {
    let (times, of_day) = times(expression);
    let mut parts = Vec::new();
    match days(expression) {
        Some(days) => parts.push(days),
        None if of_day => parts.push("daily".to_owned()),
        None => {}
    }
    parts.push(times);
    if !expression.months.any {
        let names: Vec<_> =
            expression.months.numbers().map(|month| MONTHS[usize::from(month)].to_owned()).collect();
        parts.push(format!("in {}", list(&names)));
    }
    parts.join(" ")
}

/// The times, and whether they are times of a day rather than something of each hour.
fn times(expression: &Expression) -> (String, bool) {
    let (hours, minutes, seconds) = (expression.hours, expression.minutes, expression.seconds);
    let on_the_minute = expression.on_the_minute();
    if expression.every_hour() && on_the_minute {
        let text = match step_of(minutes) {
            Some(1) => "every minute".to_owned(),
            Some(step) => format!("every {step} minutes"),
            None if minutes.bits == 1 => "hourly".to_owned(),
            None => format!("hourly at minute {}", list(&numbers(minutes))),
        };
        return (text, false);
    }
    if expression.every_hour() && minutes.bits.count_ones() == 60 {
        let text = match step_of(seconds) {
            Some(1) => "every second".to_owned(),
            Some(step) => format!("every {step} seconds"),
            None => format!("each minute at second {}", list(&numbers(seconds))),
        };
        return (text, false);
    }
    let count = [hours, minutes, seconds].iter().map(|set| set.bits.count_ones() as usize).product::<usize>();
    if count <= MAX_TIMES {
        let mut all = Vec::new();
        for hour in hours.numbers() {
            for minute in minutes.numbers() {
                all.extend(seconds.numbers().map(|second| match on_the_minute {
                    true => format!("{hour:02}:{minute:02}"),
                    false => format!("{hour:02}:{minute:02}:{second:02}"),
                }));
            }
        }
        return (format!("at {}", list(&all)), true);
    }
    let of_minutes = match step_of(minutes) {
        Some(1) => "each minute".to_owned(),
        Some(step) => format!("every {step} minutes"),
        None => format!("at minute {}", list(&numbers(minutes))),
    };
    let of_seconds =
        if on_the_minute { String::new() } else { format!(", second {}", list(&numbers(seconds))) };
    let of_hours =
        if expression.every_hour() { String::new() } else { format!(" in hour {}", list(&numbers(hours))) };
    (format!("{of_minutes}{of_seconds}{of_hours}"), !expression.every_hour())
}

/// The step of a set that divides the hour, or minute, evenly from 0 on.
fn step_of(set: Set) -> Option<u32> {
    let count = set.bits.count_ones();
    if count < 2 || !60u32.is_multiple_of(count) {
        return None;
    }
    let step = 60 / count;
    (0..60).all(|n| set.has(n) == (u32::from(n.unsigned_abs()) % step == 0)).then_some(step)
}

fn days(expression: &Expression) -> Option<String> {
    let of_month = (!expression.days.set.any).then(|| month_days(&expression.days));
    let of_week = (!expression.weekdays.set.any).then(|| week_days(&expression.weekdays));
    match (of_month, of_week) {
        (Some(of_month), Some(of_week)) => Some(format!("{of_month}, or {of_week},")),
        (of_month, of_week) => of_month.or(of_week),
    }
}

fn month_days(days: &DaysOfMonth) -> String {
    let mut parts = Vec::new();
    if days.set.bits != 0 {
        parts.push(format!("day {}", list(&numbers(days.set))));
    }
    if days.nearest_workday.bits != 0 {
        parts.push(format!("the workday nearest to day {}", list(&numbers(days.nearest_workday))));
    }
    if days.last {
        parts.push("the last day".to_owned());
    }
    if days.last_workday {
        parts.push("the last workday".to_owned());
    }
    format!("on {} of the month", list(&parts))
}

fn week_days(days: &DaysOfWeek) -> String {
    let name = |day: u8| WEEKDAYS[usize::from(day)].to_owned();
    let mut parts = Vec::new();
    match days.set.bits {
        0 => {}
        0b011_1110 => parts.push("Mon to Fri".to_owned()),
        // The week of most calendars begins with Monday.
        _ => parts.extend((1..=7).map(|day| day % 7).filter(|day| days.set.bits & (1 << day) != 0).map(name)),
    }
    for (day, which) in (0u8..).zip(days.nth) {
        let ordinals = [(1, "first"), (2, "second"), (3, "third"), (4, "fourth"), (5, "fifth")];
        let named = ordinals.iter().filter(|(n, _)| which & (1 << n) != 0);
        parts.extend(named.map(|(_, ordinal)| format!("the {ordinal} {} of the month", name(day))));
    }
    parts.extend(days.last.numbers().map(|day| format!("the last {} of the month", name(day))));
    list(&parts)
}

fn numbers(set: Set) -> Vec<String> {
    set.ranges(" to ")
}

fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_expressions_are_said_as_people_say_them() {
        for (text, expected) in [
            ("0 2 * * *", "daily at 02:00"),
            ("@hourly", "hourly"),
            ("30 * * * *", "hourly at minute 30"),
            ("*/15 * * * *", "every 15 minutes"),
            ("* * * * *", "every minute"),
            ("* * * * * *", "every second"),
            ("*/10 * * * * *", "every 10 seconds"),
            ("0 9 * * 1-5", "Mon to Fri at 09:00"),
            ("30 6,18 * * sun", "Sun at 06:30 and 18:30"),
            ("0 0 1,15 * *", "on day 1 and 15 of the month at 00:00"),
            ("0 0 L * *", "on the last day of the month at 00:00"),
            ("0 9 15W jan,jul *", "on the workday nearest to day 15 of the month at 09:00 in Jan and Jul"),
            ("0 9 * * 5#2", "the second Fri of the month at 09:00"),
            ("0 9 1 * mon", "on day 1 of the month, or Mon, at 09:00"),
            ("*/20 8-17 * * *", "daily every 20 minutes in hour 8 to 17"),
            ("15 0 2 * * *", "daily at 02:00:15"),
            ("* * * 6 *", "every minute in Jun"),
        ] {
            assert_eq!(of_expression(&Expression::parse(text).unwrap()), expected, "{text}");
        }
        assert_eq!(words(&Rhythm::Every { seconds: 5400, start: None }), "every 1h 30m");
    }
}
