//! Filters over dates and datetimes, which reach expressions as text (`2026-01-31`, RFC 3339), and over durations, which reach them in
//! seconds. Their result is a datetime again.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{RoundMode, SignedDuration, Span, Timestamp, Unit, Zoned, ZonedRound};
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, Value};

use super::arguments::{failed, wrong};
use crate::core::inert::quote;
use crate::core::time_text::parse_date;
use crate::core::zone::named_zone;
use crate::workflow::jinja::describe;

pub fn add(environment: &mut Environment) {
    environment.add_filter("date", date);
    environment.add_filter("plus", plus);
    environment.add_filter("minus", minus);
    environment.add_filter("truncate_to", truncate_to);
    environment.add_filter("timestamp", timestamp);
}

fn instant(filter: &str, value: &Value) -> Result<Timestamp, Error> {
    let read = value.as_str().and_then(|text| text.parse().ok());
    read.ok_or_else(|| wrong(filter, "a datetime such as 2026-01-31T08:00:00Z", value))
}

/// The instant on the clocks of the option `timezone`.
fn zoned(filter: &str, value: &Value, options: &Kwargs) -> Result<Zoned, Error> {
    let zone = match options.get::<Option<&str>>("timezone")? {
        None => TimeZone::UTC,
        Some(name) => named_zone(name).map_err(|problem| failed(format!("`{filter}`: {problem}")))?,
    };
    options.assert_all_used()?;
    Ok(instant(filter, value)?.to_zoned(zone))
}

/// A date or a datetime, as the text that expressions see of it.
enum Time {
    Day(Date),
    Instant(Zoned),
}

/// Reads what `filter` was given; a day takes no time zone.
fn time(filter: &str, value: &Value, options: &Kwargs) -> Result<Time, Error> {
    match value.as_str().and_then(parse_date) {
        None => zoned(filter, value, options).map(Time::Instant),
        Some(_) if options.has("timezone") => {
            Err(failed(format!("`{filter}`: a date has no time zone: remove `timezone`")))
        }
        Some(day) => options.assert_all_used().map(|()| Time::Day(day)),
    }
}

fn date(value: &Value, format: &str, options: Kwargs) -> Result<String, Error> {
    let text = match time("date", value, &options)? {
        Time::Day(day) => jiff::fmt::strtime::format(format, day),
        Time::Instant(zoned) => jiff::fmt::strtime::format(format, &zoned),
    };
    text.map_err(|error| failed(format!("`date` cannot use the format {}: {error}", quote(format))))
}

fn plus(value: &Value, amount: &Value, options: Kwargs) -> Result<String, Error> {
    moved("plus", value, amount, &options, false)
}

fn minus(value: &Value, amount: &Value, options: Kwargs) -> Result<String, Error> {
    moved("minus", value, amount, &options, true)
}

fn moved(filter: &str, value: &Value, amount: &Value, options: &Kwargs, back: bool) -> Result<String, Error> {
    let time = time(filter, value, options)?;
    let span = match (amount.as_str().map(str::parse::<Span>), amount.is_number()) {
        (Some(Ok(span)), _) => Ok(span),
        (None, true) => Err(SignedDuration::try_from_secs_f64(f64::try_from(amount.clone())?)),
        _ => return Err(wrong(filter, "a duration such as '1d' or '1h30m', or seconds", amount)),
    };
    let moved = match (time, span) {
        (Time::Instant(zoned), Ok(span)) if back => {
            zoned.checked_sub(span).map(|to| to.timestamp().to_string())
        }
        (Time::Instant(zoned), Ok(span)) => zoned.checked_add(span).map(|to| to.timestamp().to_string()),
        (Time::Instant(zoned), Err(seconds)) => seconds
            .and_then(|seconds| zoned.checked_add(if back { -seconds } else { seconds }))
            .map(|to| to.timestamp().to_string()),
        (Time::Day(day), span) => {
            let days = whole_days(span).ok_or_else(|| {
                failed(format!(
                    "`{filter}` by {}: a date moves by whole days; for parts of a day make it a datetime: \
                     `day ~ 'T00:00:00Z'`",
                    describe(amount)
                ))
            })?;
            if back { day.checked_sub(days) } else { day.checked_add(days) }.map(|to| to.to_string())
        }
    };
    moved.map_err(|_| {
        failed(format!("`{filter}` by {} leads out of the years -9999 to 9999", describe(amount)))
    })
}

/// The amount in days and larger units, if nothing smaller remains.
fn whole_days(amount: Result<Span, Result<SignedDuration, jiff::Error>>) -> Option<Span> {
    const DAY: i64 = 86_400;
    let rest = match &amount {
        Err(seconds) => *seconds.as_ref().ok()?,
        Ok(span) => {
            let nothing = Span::new();
            let days = nothing.years(span.get_years()).months(span.get_months());
            let days = days.weeks(span.get_weeks()).days(span.get_days());
            let hours = nothing.hours(span.get_hours()).minutes(span.get_minutes());
            let hours = hours.seconds(span.get_seconds()).milliseconds(span.get_milliseconds());
            let hours = hours.microseconds(span.get_microseconds()).nanoseconds(span.get_nanoseconds());
            let rest = SignedDuration::try_from(hours).ok()?;
            if rest.is_zero() {
                return Some(days);
            }
            if !days.is_zero() {
                return None;
            }
            rest
        }
    };
    let is_whole = rest.subsec_nanos() == 0 && rest.as_secs() % DAY == 0;
    is_whole.then(|| Span::new().try_days(rest.as_secs() / DAY).ok()).flatten()
}

fn truncate_to(value: &Value, unit: &str, options: Kwargs) -> Result<String, Error> {
    const UNITS: [&str; 7] = ["year", "month", "week", "day", "hour", "minute", "second"];
    let monday = |weekday: Weekday| Span::new().try_days(i64::from(weekday.since(Weekday::Monday)));
    if !UNITS.contains(&unit) {
        let (found, units) = (quote(unit), UNITS.join(", "));
        return Err(failed(format!("`truncate_to` takes one of {units}, found {found}")));
    }
    let zoned = match time("truncate_to", value, &options)? {
        Time::Instant(zoned) => zoned,
        Time::Day(day) => {
            let start = match unit {
                "year" => Ok(day.first_of_year()),
                "month" => Ok(day.first_of_month()),
                "week" => monday(day.weekday()).and_then(|span| day.checked_sub(span)),
                _ => Ok(day),
            };
            return start
                .map(|day| day.to_string())
                .map_err(|error| failed(format!("`truncate_to`: {error}")));
        }
    };
    let round = |unit| zoned.round(ZonedRound::new().smallest(unit).mode(RoundMode::Floor));
    let start = match unit {
        "year" => zoned.first_of_year().and_then(|day| day.start_of_day()),
        "month" => zoned.first_of_month().and_then(|day| day.start_of_day()),
        "week" => monday(zoned.weekday())
            .and_then(|span| zoned.checked_sub(span))
            .and_then(|day| day.start_of_day()),
        "day" => zoned.start_of_day(),
        "hour" => round(Unit::Hour),
        "minute" => round(Unit::Minute),
        _ => round(Unit::Second),
    };
    let start = start.map_err(|error| failed(format!("`truncate_to`: {error}")))?;
    Ok(start.timestamp().to_string())
}

fn timestamp(value: &Value) -> Result<i64, Error> {
    Ok(instant("timestamp", value)?.as_nanosecond().div_euclid(1_000_000_000) as i64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{expect, expect_errors};

    #[test]
    fn dates() {
        expect(&[
            ("day | date('%Y-%m-%d')", "'2026-03-29'"),
            ("'2026-01-31T23:30:00Z' | date('%d %H:%M', timezone='Europe/Berlin')", "'01 00:30'"),
            ("'2026-01-31T23:30:00+01:00' | date('%H')", "'22'"),
            ("day | plus('1d')", "'2026-03-30T00:30:15.5Z'"),
            ("day | plus('1d', timezone='Europe/Berlin')", "'2026-03-29T23:30:15.5Z'"),
            ("day | minus('36h')", "'2026-03-27T12:30:15.5Z'"),
            ("day | minus('1mo')", "'2026-02-28T00:30:15.5Z'"),
            ("day | plus(90)", "'2026-03-29T00:31:45.5Z'"),
            ("day | minus(0.5)", "'2026-03-29T00:30:15Z'"),
            ("day | truncate_to('second')", "'2026-03-29T00:30:15Z'"),
            ("day | truncate_to('minute')", "'2026-03-29T00:30:00Z'"),
            ("day | truncate_to('hour')", "'2026-03-29T00:00:00Z'"),
            ("day | truncate_to('day')", "'2026-03-29T00:00:00Z'"),
            ("day | truncate_to('day', timezone='Europe/Berlin')", "'2026-03-28T23:00:00Z'"),
            ("day | truncate_to('week')", "'2026-03-23T00:00:00Z'"),
            ("day | truncate_to('month')", "'2026-03-01T00:00:00Z'"),
            ("day | truncate_to('year', timezone='Asia/Tokyo')", "'2025-12-31T15:00:00Z'"),
            ("'1970-01-01T00:01:00Z' | timestamp", "60"),
            ("'1969-12-31T23:59:58.5Z' | timestamp", "-2"),
            ("[day] | map('date', '%j')", "['088']"),
        ]);
    }

    #[test]
    fn days() {
        expect(&[
            ("'2026-01-31' | date('%d.%m.%Y')", "'31.01.2026'"),
            ("'2026-01-31' | plus('1d')", "'2026-02-01'"),
            ("'2026-01-31' | plus('1mo')", "'2026-02-28'"),
            ("'2026-01-31' | minus('1y2w')", "'2025-01-17'"),
            ("'2026-01-31' | plus(86400)", "'2026-02-01'"),
            ("'2026-01-31' | minus('48h')", "'2026-01-29'"),
            ("'2026-01-31' | truncate_to('week')", "'2026-01-26'"),
            ("'2026-01-31' | truncate_to('month')", "'2026-01-01'"),
            ("('2026-01-31' ~ 'T00:00:00Z') | plus('3h')", "'2026-01-31T03:00:00Z'"),
        ]);
        expect_errors(&[
            ("'2026-01-31' | plus('3h')", "a date moves by whole days"),
            ("'2026-01-31' | plus('1d3h')", "a date moves by whole days"),
            ("'2026-01-31' | plus(90)", "a date moves by whole days"),
            ("'2026-01-31' | plus('1d', timezone='UTC')", "a date has no time zone"),
            ("'2026-01-31' | minus('19000y')", "out of the years"),
            ("'2026-01-31' | timestamp", "`timestamp` takes a datetime"),
        ]);
    }

    #[test]
    fn what_they_do_not_take_is_named() {
        expect_errors(&[
            (
                "'today' | date('%Y')",
                "`date` takes a datetime such as 2026-01-31T08:00:00Z, found the text \"today\"",
            ),
            ("none | date('%Y')", "found none"),
            ("day | date", "missing argument; it is written `date(format, timezone='UTC')`"),
            ("day | date('%!')", "`date` cannot use the format \"%!\""),
            ("day | date('%Y', timezone='Berlin')", "\"Berlin\" is no time zone"),
            ("day | date('%Y', tz='UTC')", "tz"),
            (
                "day | plus('soon')",
                "`plus` takes a duration such as '1d' or '1h30m', or seconds, found the text",
            ),
            ("day | plus(none)", "found none"),
            ("day | plus(1e300)", "out of the years"),
            ("day | minus('19000y')", "out of the years"),
            ("day | truncate_to('fortnight')", "one of year, month, week, day, hour, minute, second"),
            ("3 | timestamp", "`timestamp` takes a datetime"),
        ]);
    }
}
