//! Filters and functions over lists and over anything.
//!
//! minijinja's own run behind a check: they would take a text for a list of characters, order values of
//! different kinds, and cut the longer of two lists.

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, filters};

use super::arguments::{elements, expect_list, failed, wrong};
use crate::workflow::jinja::{as_file, describe};

/// Maximum elements that `range` makes.
const MAX_RANGE: i128 = 100_000;

pub fn add(environment: &mut Environment) {
    environment.add_function("range", range);
    environment.add_function("coalesce", coalesce);
    environment.add_filter("default", default);
    environment.add_filter("flatten", flatten);
    environment.add_filter("compact", compact);
    environment.add_filter("enumerate", enumerate);
    environment.add_filter("zip", zip);
    environment.add_filter("list", list);
    environment.add_filter("unique", unique);
    environment.add_filter("sort", sort);
    environment.add_filter("min", min);
    environment.add_filter("max", max);
    environment.add_filter("sum", sum);
    environment.add_filter("map", map);
    environment.add_filter("select", select);
    environment.add_filter("reject", reject);
    environment.add_filter("selectattr", selectattr);
    environment.add_filter("rejectattr", rejectattr);
    environment.add_filter("slice", slice);
    environment.add_filter("batch", batch);
    environment.add_filter("chain", chain);
}

/// minijinja's own overflows at the ends of 64 bits.
fn range(first: i64, second: Option<i64>, step: Option<i64>) -> Result<Vec<i64>, Error> {
    let (from, to) = second.map_or((0, first), |to| (first, to));
    let (from, to, step) = (i128::from(from), i128::from(to), i128::from(step.unwrap_or(1)));
    if step == 0 {
        return Err(failed("`range` takes a step other than 0"));
    }
    let count = ((to - from + step - step.signum()) / step).max(0);
    if count > MAX_RANGE {
        return Err(failed(format!("`range` makes at most {MAX_RANGE} elements, not {count}")));
    }
    Ok((0..count).filter_map(|i| i64::try_from(from + i * step).ok()).collect())
}

/// Files stay what they are, since no value is made anew.
fn coalesce(values: Rest<Value>) -> Result<Value, Error> {
    if values.is_empty() {
        return Err(failed("`coalesce` takes one value or more"));
    }
    Ok(values.0.into_iter().find(|value| !is_nothing(value)).unwrap_or_else(|| Value::from(())))
}

fn is_nothing(value: &Value) -> bool {
    value.is_none() || value.is_undefined()
}

/// minijinja's lets none pass, which here is the only way in which a value can be missing.
fn default(value: &Value, other: Value, or_false: Option<bool>) -> Value {
    let missing = is_nothing(value) || or_false.unwrap_or(false) && !value.is_true();
    if missing { other } else { value.clone() }
}

fn flatten(state: &State, value: &Value) -> Result<Vec<Value>, Error> {
    let mut flat = Vec::new();
    for inner in elements(state, "flatten", value)? {
        if !matches!(inner.kind(), ValueKind::Seq | ValueKind::Iterable) {
            return Err(wrong("flatten", "a list of lists", &inner));
        }
        flat.extend(elements(state, "flatten", &inner)?);
    }
    Ok(flat)
}

fn compact(state: &State, value: &Value) -> Result<Vec<Value>, Error> {
    Ok(elements(state, "compact", value)?.into_iter().filter(|element| !is_nothing(element)).collect())
}

fn enumerate(state: &State, value: &Value, start: Option<i64>) -> Result<Vec<Value>, Error> {
    let start = i128::from(start.unwrap_or(0));
    let elements = elements(state, "enumerate", value)?.into_iter();
    Ok((start..).zip(elements).map(|(i, element)| Value::from(vec![Value::from(i), element])).collect())
}

fn zip(state: &State, first: &Value, others: Rest<Value>) -> Result<Vec<Value>, Error> {
    let lists: Vec<_> = std::iter::once(first)
        .chain(others.iter())
        .map(|list| elements(state, "zip", list))
        .collect::<Result<_, _>>()?;
    let lengths: Vec<_> = lists.iter().map(Vec::len).collect();
    if lengths.iter().any(|length| *length != lengths[0]) {
        return Err(failed(format!("`zip` takes lists of equal length, found lengths {lengths:?}")));
    }
    Ok((0..lengths[0])
        .map(|i| lists.iter().filter_map(|list| list.get(i).cloned()).collect::<Vec<_>>().into())
        .collect())
}

fn list(state: &State, value: Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Map {
        expect_list("list", &value)?;
    }
    filters::list(state, value)
}

/// minijinja's takes `A` and `a` for the same.
fn unique(state: &State, value: Value) -> Result<Value, Error> {
    expect_list("unique", &value)?;
    let exactly = Kwargs::from_iter([("case_sensitive", Value::from(true))]);
    filters::unique(state, value, exactly)
}

fn sort(state: &State, value: Value, options: Kwargs) -> Result<Value, Error> {
    expect_order(state, "sort", &value, &options)?;
    filters::sort(state, value, options)
}

fn min(state: &State, value: Value, options: Kwargs) -> Result<Value, Error> {
    expect_order(state, "min", &value, &options)?;
    filters::min(state, value, options)
}

fn max(state: &State, value: Value, options: Kwargs) -> Result<Value, Error> {
    expect_order(state, "max", &value, &options)?;
    filters::max(state, value, options)
}

/// Refuses elements that have no order among themselves.
fn expect_order(state: &State, filter: &str, value: &Value, options: &Kwargs) -> Result<(), Error> {
    let keys = match options.has("attribute") {
        true => options.get::<String>("attribute")?.split(',').map(|key| key.trim().to_owned()).collect(),
        false => vec![String::new()],
    };
    let all = elements(state, filter, value)?;
    for key in keys {
        let mut first: Option<Value> = None;
        for element in &all {
            let element = attribute(filter, element, &key)?;
            let kind = rank(&element)
                .ok_or_else(|| failed(format!("`{filter}` has no order for {}", describe(&element))))?;
            match &first {
                Some(first) if rank(first) != Some(kind) => {
                    let (first, other) = (describe(first), describe(&element));
                    return Err(failed(format!("`{filter}` cannot compare {first} with {other}")));
                }
                Some(_) => {}
                None => first = Some(element),
            }
        }
    }
    Ok(())
}

/// Values of the same rank have an order.
fn rank(value: &Value) -> Option<u8> {
    match value.kind() {
        ValueKind::Bool => Some(0),
        ValueKind::Number => Some(1),
        ValueKind::String => Some(2),
        ValueKind::Seq => Some(3),
        _ => as_file(value).map(|_| 4),
    }
}

/// The part of `value` at a dotted path; an empty path is the value itself.
fn attribute(filter: &str, value: &Value, path: &str) -> Result<Value, Error> {
    path.split('.').filter(|name| !name.is_empty()).try_fold(value.clone(), |value, name| {
        let inner = value.get_attr(name)?;
        if !inner.is_undefined() {
            return Ok(inner);
        }
        Err(failed(format!("`{filter}` found no `{name}` in {}", describe(&value))))
    })
}

fn sum(state: &State, value: Value, options: Kwargs) -> Result<Value, Error> {
    expect_list("sum", &value)?;
    filters::sum(state, value, None, None, options)
}

fn map(state: &mut State, value: Value, what: Rest<ValueOrKwargs>) -> Result<Vec<Value>, Error> {
    expect_list("map", &value)?;
    filters::map(state, value, what)
}

fn select(
    state: &mut State,
    value: Value,
    test: Option<&str>,
    arguments: Rest<ValueOrKwargs>,
) -> Result<Vec<Value>, Error> {
    expect_list("select", &value)?;
    filters::select(state, value, test.map(Into::into), arguments)
}

fn reject(
    state: &mut State,
    value: Value,
    test: Option<&str>,
    arguments: Rest<ValueOrKwargs>,
) -> Result<Vec<Value>, Error> {
    expect_list("reject", &value)?;
    filters::reject(state, value, test.map(Into::into), arguments)
}

fn selectattr(
    state: &mut State,
    value: Value,
    name: &str,
    test: Option<&str>,
    arguments: Rest<ValueOrKwargs>,
) -> Result<Vec<Value>, Error> {
    expect_list("selectattr", &value)?;
    filters::selectattr(state, value, name.into(), test.map(Into::into), arguments)
}

fn rejectattr(
    state: &mut State,
    value: Value,
    name: &str,
    test: Option<&str>,
    arguments: Rest<ValueOrKwargs>,
) -> Result<Vec<Value>, Error> {
    expect_list("rejectattr", &value)?;
    filters::rejectattr(state, value, name.into(), test.map(Into::into), arguments)
}

fn slice(state: &State, value: Value, count: usize, fill: Option<Value>) -> Result<Value, Error> {
    expect_list("slice", &value)?;
    filters::slice(state, value, count, fill)
}

fn batch(state: &State, value: Value, size: usize, fill: Option<Value>) -> Result<Value, Error> {
    expect_list("batch", &value)?;
    filters::batch(state, value, size, fill)
}

fn chain(state: &State, first: &Value, others: Rest<Value>) -> Result<Vec<Value>, Error> {
    let mut all = elements(state, "chain", first)?;
    for other in others.iter() {
        all.extend(elements(state, "chain", other)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{expect, expect_errors};

    #[test]
    fn lists() {
        expect(&[
            ("[[1], [], [2, [3]]] | flatten", "[1, 2, [3]]"),
            ("[1, none, 2] | compact", "[1, 2]"),
            ("['a', 'b'] | enumerate", "[[0, 'a'], [1, 'b']]"),
            ("['a'] | enumerate(1)", "[[1, 'a']]"),
            ("[1, 2] | zip(['a', 'b'], [3, 4])", "[[1, 'a', 3], [2, 'b', 4]]"),
            ("range(3)", "[0, 1, 2]"),
            ("range(5, 0, -2)", "[5, 3, 1]"),
            ("range(1, 8, 3)", "[1, 4, 7]"),
            ("range(5, 0)", "[]"),
            ("range(0, 3, 9223372036854775807)", "[0]"),
            ("['b', 'A', 'a'] | sort", "['A', 'a', 'b']"),
            ("[3, 1.5] | sort(reverse=true)", "[3, 1.5]"),
            ("[{'n': 2}, {'n': 1}] | sort(attribute='n') | map(attribute='n')", "[1, 2]"),
            ("['a', 'A', 'a'] | unique", "['a', 'A']"),
            ("[1, 2] | sum", "3"),
            ("[{'n': 2}, {'n': 1}] | sum(attribute='n')", "3"),
            ("[4, 9] | max - [4, 9] | min", "5"),
            ("[1, 2, 3] | select('odd') | list", "[1, 3]"),
            ("[1, 2, 3] | reject('>', 1)", "[1]"),
            ("[{'n': 2}, {'n': 1}] | selectattr('n', 'eq', 1) | length", "1"),
            ("[{'n': 2}, {'n': 1}] | rejectattr('n', 'eq', 1) | map(attribute='n') | first", "2"),
            ("[1, 2, 3] | batch(2)", "[[1, 2], [3]]"),
            ("[1, 2, 3] | slice(2)", "[[1, 2], [3]]"),
            ("[1] | chain([2], [3])", "[1, 2, 3]"),
            ("[1, 2] | reverse | first", "2"),
            ("{'b': 1, 'a': 2} | list", "['a', 'b']"),
            ("fs | map('basename') | sort", "['a.csv', 'b.tar.gz']"),
            ("fs | sort | map('stem')", "['a', 'b.tar']"),
            ("(fs + [f]) | unique | length", "2"),
        ]);
    }

    #[test]
    fn what_is_missing_is_replaced() {
        expect(&[
            ("coalesce(none, 2, 3)", "2"),
            ("coalesce(none, none)", "None"),
            ("coalesce(none, false)", "False"),
            ("coalesce(none, f) == f", "True"),
            ("none | default(4)", "4"),
            ("[] | first | default(4)", "4"),
            ("0 | default(4)", "0"),
            ("0 | default(4, true)", "4"),
            ("f | default(none) == f", "True"),
        ]);
    }

    #[test]
    fn what_they_do_not_take_is_named() {
        expect_errors(&[
            ("[1, [2]] | flatten", "`flatten` takes a list of lists, found the number 1"),
            ("'abc' | compact", "`compact` takes a list, found the text \"abc\""),
            ("none | map('upper')", "`map` takes a list, found none"),
            ("'abc' | sort", "`sort` takes a list"),
            ("'abc' | list", "`list` takes a list"),
            ("[1] | zip([1, 2])", "`zip` takes lists of equal length, found lengths [1, 2]"),
            ("[1, 'a'] | sort", "`sort` cannot compare the number 1 with the text \"a\""),
            ("[1, none] | max", "`max` has no order for none"),
            ("[{'n': 1}, {}] | sort(attribute='n')", "`sort` found no `n`"),
            ("[1, none] | sum", "can only sum numbers, got none"),
            ("[1] | sort(revers=true)", "revers"),
            ("none | length", "none"),
            ("none | first", "first"),
            ("range(1, 5, 0)", "`range` takes a step other than 0"),
            ("coalesce()", "`coalesce` takes one value"),
            ("[1, 2] | batch(0)", "count"),
            ("none | default", "missing argument; it is written `default(other"),
        ]);
    }
}
