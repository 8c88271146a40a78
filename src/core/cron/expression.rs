//! A cron expression: which local times it matches. Knows the calendar, and neither zones nor clocks.

use jiff::civil::{Date, DateTime, Weekday};

use super::CronError;
use super::field::{self, Piece, Set};

/// A parsed cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    pub(super) seconds: Set,
    pub(super) minutes: Set,
    pub(super) hours: Set,
    pub(super) days: DaysOfMonth,
    pub(super) months: Set,
    pub(super) weekdays: DaysOfWeek,
}

/// What the day-of-month field takes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DaysOfMonth {
    pub(super) set: Set,
    /// `L`
    pub(super) last: bool,
    /// `LW`
    pub(super) last_workday: bool,
    /// `15W`: bit n stands for the workday nearest to day n.
    pub(super) nearest_workday: Set,
}

/// What the day-of-week field takes in; Sunday is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DaysOfWeek {
    pub(super) set: Set,
    /// `5#2`: for each weekday, bit n stands for the n-th of a month.
    pub(super) nth: [u8; 7],
    /// `5L`: the last one of a month.
    pub(super) last: Set,
}

const NOTHING: Set = Set { bits: 0, any: false };

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Longer text than this is no expression that anybody wrote.
const LONGEST: usize = 1000;

impl Expression {
    /// Reads an expression of five fields, of six with the seconds first, or one like `@daily`.
    ///
    /// # Errors
    /// What is not understood, out of range, or can never come, with its place in `text`.
    pub fn parse(text: &str) -> Result<Expression, CronError> {
        Self::read(text).map_err(|error| error.visible_in(text))
    }

    fn read(text: &str) -> Result<Expression, CronError> {
        if text.len() > LONGEST {
            return Err(CronError {
                span: 0..text.len(),
                message: format!("the expression is longer than {LONGEST} bytes"),
                help: None,
            });
        }
        let fields = fields_of(text);
        if let [only] = fields.as_slice()
            && only.text.starts_with('@')
        {
            return nickname(*only);
        }
        let (seconds, rest) = match fields.as_slice() {
            [seconds, rest @ ..] if rest.len() == 5 => (Some(*seconds), rest),
            rest if rest.len() == 5 => (None, rest),
            other => return Err(wrong_count(text, other)),
        };
        let plain = |unit, piece| field::parse(unit, piece, |_| None);
        let expression = Expression {
            seconds: match seconds {
                Some(piece) => plain(&field::SECOND, piece)?,
                None => Set { bits: 1, any: false },
            },
            minutes: plain(&field::MINUTE, rest[0])?,
            hours: plain(&field::HOUR, rest[1])?,
            days: parse_days(rest[2])?,
            months: plain(&field::MONTH, rest[3])?,
            weekdays: parse_weekdays(rest[4])?,
        };
        if expression.never_comes() {
            return Err(CronError {
                span: rest[2].start..rest[3].span().end,
                message: "this never comes: no month that is meant has such a day".to_owned(),
                help: Some("`L` is the last day of a month, whatever its length".to_owned()),
            });
        }
        Ok(expression)
    }

    /// Whether the hour field takes in all hours: then elapsed time counts where the clocks change.
    pub fn every_hour(&self) -> bool {
        self.hours.bits == (1 << 24) - 1
    }

    /// Whether it comes at whole minutes only.
    pub fn on_the_minute(&self) -> bool {
        self.seconds.bits == 1
    }

    /// Whether both day fields say something: a day that fits either one fits.
    pub fn two_day_fields(&self) -> bool {
        !self.days.set.any && !self.weekdays.set.any
    }

    /// Whether a day is one of this expression's.
    pub fn has_day(&self, date: Date) -> bool {
        if !self.months.has(date.month()) {
            return false;
        }
        match (self.days.set.any, self.weekdays.set.any) {
            (true, true) => true,
            (false, true) => self.days.has(date),
            (true, false) => self.weekdays.has(date),
            (false, false) => self.days.has(date) || self.weekdays.has(date),
        }
    }

    /// Its times on one of its days, in seconds since midnight.
    pub fn times_of_day(&self) -> impl Iterator<Item = i64> {
        let minutes = self.hours.numbers().flat_map(|hour| {
            self.minutes.numbers().map(move |minute| i64::from(hour) * 3600 + i64::from(minute) * 60)
        });
        minutes.flat_map(|minute| self.seconds.numbers().map(move |second| minute + i64::from(second)))
    }

    /// The first matching local time that is not before `from`; none when the calendar ends first.
    pub fn next_local(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut earliest = from.time();
        if from.subsec_nanosecond() > 0 {
            let whole = from.with().subsec_nanosecond(0).build().ok()?;
            let next = whole.checked_add(jiff::SignedDuration::from_secs(1)).ok()?;
            (date, earliest) = (next.date(), next.time());
        }
        loop {
            if !self.months.has(date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                earliest = jiff::civil::Time::midnight();
                continue;
            }
            if self.has_day(date)
                && let Some((hour, minute, second)) = self.time_from(earliest)
            {
                return Some(date.at(hour, minute, second, 0));
            }
            date = date.tomorrow().ok()?;
            earliest = jiff::civil::Time::midnight();
        }
    }

    /// The first matching time of a day that is not before `earliest`.
    fn time_from(&self, earliest: jiff::civil::Time) -> Option<(i8, i8, i8)> {
        let (first_minute, first_second) = (self.minutes.at_least(0)?, self.seconds.at_least(0)?);
        if self.hours.has(earliest.hour()) {
            let same_hour = || {
                if self.minutes.has(earliest.minute())
                    && let Some(second) = self.seconds.at_least(earliest.second())
                {
                    return Some((earliest.minute(), second));
                }
                Some((self.minutes.at_least(earliest.minute() + 1)?, first_second))
            };
            if let Some((minute, second)) = same_hour() {
                return Some((earliest.hour(), minute, second));
            }
        }
        let hour = self.hours.at_least(earliest.hour() + 1)?;
        Some((hour, first_minute, first_second))
    }

    /// Only a day of the month can be one that no month has; weekdays come in each.
    fn never_comes(&self) -> bool {
        let days = &self.days;
        if days.set.any || !self.weekdays.set.any || days.last || days.last_workday {
            return false;
        }
        let longest = |month: u8| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        !self
            .months
            .numbers()
            .any(|month| (days.set.bits | days.nearest_workday.bits) & ((2 << longest(month)) - 1) != 0)
    }
}

impl DaysOfMonth {
    fn has(&self, date: Date) -> bool {
        self.set.has(date.day())
            || (self.last && date == date.last_of_month())
            || (self.last_workday && date == last_workday(date))
            || self.nearest_workday.numbers().any(|day| nearest_workday(date, day as i8) == Some(date))
    }
}

impl DaysOfWeek {
    fn has(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        let nth = (date.day() - 1) / 7 + 1;
        self.set.has(weekday)
            || self.nth[weekday as usize] & (1 << nth) != 0
            || (self.last.has(weekday) && date.day() + 7 > date.days_in_month())
    }
}

fn is_workday(date: Date) -> bool {
    !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn last_workday(date: Date) -> Date {
    let last = date.last_of_month();
    let back = match last.weekday() {
        Weekday::Saturday => 1,
        Weekday::Sunday => 2,
        _ => 0,
    };
    date.with().day(last.day() - back).build().unwrap_or(last)
}

/// The workday nearest to a day of `within`'s month, in that month; none where the month has no such day.
fn nearest_workday(within: Date, day: i8) -> Option<Date> {
    let wanted = within.with().day(day).build().ok()?;
    if is_workday(wanted) {
        return Some(wanted);
    }
    let moved = match wanted.weekday() {
        Weekday::Saturday if day == 1 => 3,
        Weekday::Saturday => day - 1,
        _ if day == within.days_in_month() => day - 2,
        _ => day + 1,
    };
    within.with().day(moved).build().ok()
}

fn fields_of(text: &str) -> Vec<Piece<'_>> {
    text.split_ascii_whitespace()
        // Both are parts of one text: the distance of their beginnings is the place.
        .map(|part| Piece { text: part, start: part.as_ptr() as usize - text.as_ptr() as usize })
        .collect()
}

fn nickname(piece: Piece<'_>) -> Result<Expression, CronError> {
    match NICKNAMES.iter().find(|(name, _)| piece.text.eq_ignore_ascii_case(name)) {
        Some((_, meaning)) => Expression::read(meaning),
        None => Err(CronError {
            span: piece.span(),
            message: format!("`{}` is not known", piece.text),
            help: Some(if piece.text.eq_ignore_ascii_case("@reboot") {
                "a schedule goes by the clock; to run at the start of the machine use its service manager"
                    .to_owned()
            } else {
                "there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly".to_owned()
            }),
        }),
    }
}

fn wrong_count(text: &str, fields: &[Piece<'_>]) -> CronError {
    let help = "five fields: minute, hour, day of month, month, day of week; or six, with the second first";
    match fields {
        [] => CronError {
            span: 0..text.len(),
            message: "the expression is empty".to_owned(),
            help: Some(help.to_owned()),
        },
        [_, _, _, _, _, _, extra, ..] => CronError {
            span: extra.start..fields[fields.len() - 1].span().end,
            message: format!("there are {} fields: the seventh has no meaning", fields.len()),
            help: Some(help.to_owned()),
        },
        few => CronError {
            span: few[0].start..few[few.len() - 1].span().end,
            message: format!("there {} only", count_of(few.len())),
            help: Some(help.to_owned()),
        },
    }
}

fn count_of(fields: usize) -> String {
    if fields == 1 { "is 1 field".to_owned() } else { format!("are {fields} fields") }
}

fn parse_days(piece: Piece<'_>) -> Result<DaysOfMonth, CronError> {
    let (mut last, mut last_workday, mut nearest) = (false, false, NOTHING);
    let set = field::parse(&field::DAY_OF_MONTH, piece, |item| {
        if item.text.eq_ignore_ascii_case("l") {
            last = true;
        } else if item.text.eq_ignore_ascii_case("lw") {
            last_workday = true;
        } else {
            let day = item.text.strip_suffix(['w', 'W'])?;
            match field::parse_number(&field::DAY_OF_MONTH, Piece { text: day, ..item }) {
                Ok(day) => nearest.bits |= 1 << day,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(()))
    })?;
    Ok(DaysOfMonth { set, last, last_workday, nearest_workday: nearest })
}

fn parse_weekdays(piece: Piece<'_>) -> Result<DaysOfWeek, CronError> {
    let (mut nth, mut last) = ([0u8; 7], NOTHING);
    let set = field::parse(&field::DAY_OF_WEEK, piece, |item| {
        if let Some((day, which)) = item.text.split_once('#') {
            let which = match which.parse::<u8>() {
                Ok(which @ 1..=5) if which.to_string().len() == 1 => which,
                _ => {
                    return Some(Err(
                        item.error("behind `#` stands which one of the month: 1 to 5".to_owned())
                    ));
                }
            };
            return Some(weekday(Piece { text: day, ..item }).map(|day| nth[day] |= 1 << which));
        }
        let day = item.text.strip_suffix(['l', 'L'])?;
        Some(weekday(Piece { text: day, ..item }).map(|day| last.bits |= 1 << day))
    })?;
    Ok(DaysOfWeek { set, nth, last })
}

/// A day of the week from 0, Sunday.
fn weekday(piece: Piece<'_>) -> Result<usize, CronError> {
    field::parse_number(&field::DAY_OF_WEEK, piece).map(|day| usize::from(day % 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faulty piece of an expression, what is said of it, and the help.
    fn fault(text: &str) -> (String, String, String) {
        let error = Expression::parse(text).unwrap_err();
        (text[error.span].to_owned(), error.message, error.help.unwrap_or_default())
    }

    #[test]
    fn a_fault_has_its_place_what_was_expected_and_what_to_write() {
        for (text, place, message, help) in [
            ("0 22-2 * * *", "22-2", "ends before it begins", "write `22-23,0-2`"),
            ("0 0 * * 5-0", "5-0", "ends before it begins", "write `5-7`"),
            ("0 0 * * 6-2", "6-2", "ends before it begins", "write `6-6,0-2`"),
            ("5/15 * * * *", "5/15", "a step needs a range", "write `5-59/15`"),
            ("*/0 * * * *", "0", "never moves on", ""),
            ("*/90 * * * *", "90", "longer than the minute field (0-59)", "`every`"),
            ("60 * * * *", "60", "out of range: the minute field takes 0 to 59", ""),
            ("0 0 0 * *", "0", "the day of month field takes 1 to 31", ""),
            ("0 0 * 13 *", "13", "the month field takes 1 to 12", ""),
            ("0 0 * foo *", "foo", "not a value of the month field", "a name from `jan` to `dec`"),
            ("1,,2 * * * *", ",,", "a part of the minute field is empty", "a comma"),
            ("-5 * * * *", "-", "a number of the minute field is missing", ""),
            ("+5 * * * *", "+5", "not a value of the minute field", ""),
            ("? * * * *", "?", "not a value of the minute field", ""),
            ("0 0 * * 5#6", "5#6", "which one of the month: 1 to 5", ""),
            ("0 0 32W * *", "32", "takes 1 to 31", ""),
            ("0 0 W * *", " W", "a number of the day of month field is missing", ""),
            ("@reboot", "@reboot", "not known", "service manager"),
            ("@dayly", "@dayly", "not known", "@daily"),
            ("0 0 31 2,4 *", "31 2,4", "this never comes", "`L`"),
            ("0 0 30W 2 *", "30W 2", "this never comes", "`L`"),
            ("* * * *", "* * * *", "there are 4 fields only", "five fields"),
            ("0 * * * * * 2030", "2030", "the seventh has no meaning", "five fields"),
            ("   ", "   ", "is empty", "five fields"),
        ] {
            let (found, said, helped) = fault(text);
            assert!(said.contains(message) && helped.contains(help), "{text}: {said}; {helped}");
            assert!(found.trim() == place.trim() || found.contains(place.trim()), "{text}: {found:?}");
        }
        assert!(Expression::parse(&"1,".repeat(600)).is_err());
    }

    #[test]
    fn days_are_found_by_either_day_field_and_by_their_names() {
        let days = |text: &str| {
            let expression = Expression::parse(text).unwrap();
            let mut date = jiff::civil::date(2026, 2, 1);
            let mut found = Vec::new();
            while date.month() == 2 {
                if expression.has_day(date) {
                    found.push(date.day());
                }
                date = date.tomorrow().unwrap();
            }
            found
        };
        // 1 February 2026 is a Sunday.
        assert_eq!(days("0 0 L * *"), [28]);
        assert_eq!(days("0 0 LW * *"), [27]);
        assert_eq!(days("0 0 1W * *"), [2]);
        assert_eq!(days("0 0 28W * *"), [27]);
        assert_eq!(days("0 0 31W * *"), [0i8; 0]);
        assert_eq!(days("0 0 * * 7"), [1, 8, 15, 22]);
        assert_eq!(days("0 0 * * FriL,mon#1"), [2, 27]);
        assert_eq!(days("0 0 * * fri-sun"), [1, 6, 7, 8, 13, 14, 15, 20, 21, 22, 27, 28]);
        assert_eq!(days("0 0 10 * tue"), [3, 10, 17, 24]);
        assert_eq!(days("0 0 10 * ?"), [10]);
        assert_eq!(days("0 0 10 3 *"), [0i8; 0]);
    }
}
