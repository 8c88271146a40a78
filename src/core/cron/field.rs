//! One field of a cron expression: numbers, names, ranges and steps as a set of bits.
//!
//! Knows nothing of dates. What only a day field may say (`L`, `15W`, `5#2`) is handed to the caller item by item.

use std::ops::Range;

use super::CronError;

/// What a field counts, and the numbers and names it takes.
pub(super) struct Unit {
    /// As messages call it.
    pub name: &'static str,
    pub min: u8,
    pub max: u8,
    /// Three letters each; the first of them means `first_name`.
    pub names: &'static [&'static str],
    pub first_name: u8,
    /// Whether `?` stands for `*`.
    pub question_mark: bool,
}

pub(super) const SECOND: Unit = plain("second", 0, 59);
pub(super) const MINUTE: Unit = plain("minute", 0, 59);
pub(super) const HOUR: Unit = plain("hour", 0, 23);
pub(super) const DAY_OF_MONTH: Unit = Unit { question_mark: true, ..plain("day of month", 1, 31) };
pub(super) const MONTH: Unit = Unit {
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    first_name: 1,
    ..plain("month", 1, 12)
};
/// 0 and 7 are both Sunday; a set holds it as 0.
pub(super) const DAY_OF_WEEK: Unit = Unit {
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    question_mark: true,
    ..plain("day of week", 0, 7)
};

const fn plain(name: &'static str, min: u8, max: u8) -> Unit {
    Unit { name, min, max, names: &[], first_name: 0, question_mark: false }
}

/// The numbers that a field takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// Bit n stands for the number n.
    pub bits: u64,
    /// Whether the field said `*` (or `?`) and nothing else.
    pub any: bool,
}

impl Set {
    pub fn has(self, number: i8) -> bool {
        number >= 0 && self.bits & (1 << number) != 0
    }

    /// The smallest number of the set that is at least `number`.
    pub fn at_least(self, number: i8) -> Option<i8> {
        let rest = self.bits & (u64::MAX.checked_shl(u32::try_from(number.max(0)).ok()?)?);
        (rest != 0).then(|| rest.trailing_zeros() as i8)
    }

    /// Its numbers, with three or more in a row as a range: `0`, `8-17`.
    pub fn ranges(self, between: &str) -> Vec<String> {
        let numbers: Vec<_> = self.numbers().collect();
        let runs = numbers.chunk_by(|a, b| a + 1 == *b);
        runs.flat_map(|run| match run {
            [first, .., last] if run.len() > 2 => vec![format!("{first}{between}{last}")],
            few => few.iter().map(u8::to_string).collect(),
        })
        .collect()
    }

    pub fn numbers(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |n| self.bits & (1 << n) != 0)
    }
}

/// A piece of an expression and where it stands in it.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub text: &'a str,
    pub start: usize,
}

impl<'a> Piece<'a> {
    pub fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn split(self, separator: char) -> impl Iterator<Item = Piece<'a>> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let piece = Piece { text, start };
            start += text.len() + separator.len_utf8();
            piece
        })
    }

    fn split_once(self, separator: char) -> Option<(Piece<'a>, Piece<'a>)> {
        let (left, right) = self.text.split_once(separator)?;
        let right_start = self.start + left.len() + separator.len_utf8();
        Some((Piece { text: left, start: self.start }, Piece { text: right, start: right_start }))
    }

    pub fn error(&self, message: String) -> CronError {
        CronError { span: self.span(), message, help: None }
    }
}

/// The set that a field's text means. `special` gets each item of the list first, and answers `None` where it is no special one.
///
/// # Errors
/// The first item that is none of `*`, `n`, `a-b`, `*/n`, `a-b/n`, or is out of range.
pub(super) fn parse(
    unit: &Unit,
    field: Piece<'_>,
    mut special: impl FnMut(Piece<'_>) -> Option<Result<(), CronError>>,
) -> Result<Set, CronError> {
    let mut set = Set { bits: 0, any: false };
    for item in field.split(',') {
        if let Some(result) = special(item) {
            result?;
            continue;
        }
        if is_star(unit, item) {
            set.any |= field.text.len() == 1;
        }
        set.bits |= parse_item(unit, item)?;
    }
    if unit.max == 7 {
        // Both of its numbers are Sunday.
        set.bits = (set.bits | set.bits >> 7) & 0x7f;
    }
    Ok(set)
}

fn is_star(unit: &Unit, item: Piece<'_>) -> bool {
    item.text == "*" || (item.text == "?" && unit.question_mark)
}

fn parse_item(unit: &Unit, item: Piece<'_>) -> Result<u64, CronError> {
    if item.text.is_empty() {
        return Err(CronError {
            span: item.start.saturating_sub(1)..item.start + 1,
            message: format!("a part of the {} field is empty", unit.name),
            help: Some("a comma stands between two values".to_owned()),
        });
    }
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(parse_step(unit, step)?)),
        None => (item, None),
    };
    let (first, last) = if is_star(unit, range) {
        // Day 7 of the week would count Sunday twice.
        (unit.min, unit.max.min(if unit.max == 7 { 6 } else { u8::MAX }))
    } else if let Some((first, last)) = range.split_once('-') {
        parse_range(unit, range, first, last)?
    } else {
        let number = parse_number(unit, range)?;
        if let Some(step) = step {
            return Err(CronError {
                span: item.span(),
                message: format!("a step needs a range before it, and `{}` is one number", range.text),
                help: Some(format!("write `{number}-{}/{step}`", unit.max)),
            });
        }
        (number, number)
    };
    Ok((first..=last).step_by(usize::from(step.unwrap_or(1))).fold(0, |bits, number| bits | 1 << number))
}

fn parse_step(unit: &Unit, step: Piece<'_>) -> Result<u8, CronError> {
    let number = digits(step.text).ok_or_else(|| step.error("a step is a whole number".to_owned()))?;
    if number == 0 {
        return Err(step.error("a step of 0 never moves on".to_owned()));
    }
    match u8::try_from(number) {
        Ok(step) if step <= unit.max => Ok(step),
        _ => Err(CronError {
            span: step.span(),
            message: format!(
                "a step of {} is longer than the {} field ({}-{})",
                step.text, unit.name, unit.min, unit.max
            ),
            help: Some("for other intervals use `every`, such as `every = \"90m\"`".to_owned()),
        }),
    }
}

fn parse_range(
    unit: &Unit,
    range: Piece<'_>,
    first: Piece<'_>,
    last: Piece<'_>,
) -> Result<(u8, u8), CronError> {
    let from = parse_number(unit, first)?;
    let mut to = parse_number(unit, last)?;
    if unit.max == 7 && to == 0 && last.text.eq_ignore_ascii_case("sun") {
        // The week may end with Sunday as well as begin with it.
        to = 7;
    }
    if from <= to {
        return Ok((from, to));
    }
    let help = if unit.max == 7 && to == 0 {
        format!("write `{from}-7`")
    } else {
        let end = if unit.max == 7 { 6 } else { unit.max };
        format!("write `{from}-{end},{}-{to}`", unit.min)
    };
    Err(CronError {
        span: range.span(),
        message: format!("the range `{}` ends before it begins", range.text),
        help: Some(help),
    })
}

/// A number or name of a field.
///
/// # Errors
/// Text that is neither, or a number out of range.
pub(super) fn parse_number(unit: &Unit, piece: Piece<'_>) -> Result<u8, CronError> {
    if let Some(at) = unit.names.iter().position(|name| piece.text.eq_ignore_ascii_case(name)) {
        return Ok(unit.first_name + at as u8);
    }
    let Some(number) = digits(piece.text) else {
        return Err(not_a_value(unit, piece));
    };
    match u8::try_from(number) {
        Ok(number) if (unit.min..=unit.max).contains(&number) => Ok(number),
        _ => Err(piece.error(format!(
            "{} is out of range: the {} field takes {} to {}",
            piece.text, unit.name, unit.min, unit.max
        ))),
    }
}

fn not_a_value(unit: &Unit, piece: Piece<'_>) -> CronError {
    let names = match unit.names {
        [] => String::new(),
        [first, .., last] | [first @ last] => format!(", or a name from `{first}` to `{last}`"),
    };
    if piece.text.is_empty() {
        return CronError {
            span: piece.start.saturating_sub(1)..piece.start + 1,
            message: format!("a number of the {} field is missing here", unit.name),
            help: None,
        };
    }
    CronError {
        span: piece.span(),
        message: format!("`{}` is not a value of the {} field", piece.text, unit.name),
        help: Some(format!(
            "expected `*`, a number from {} to {}{names}, or a list, range or step of those",
            unit.min, unit.max
        )),
    }
}

fn digits(text: &str) -> Option<u32> {
    // `parse` alone would take a sign.
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
