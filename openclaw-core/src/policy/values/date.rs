//! Calendar dates.

use std::collections::HashSet;

use jiff::civil::Date;

use super::words::words;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The date as `2026-11-22`; a time of day with its date stays as it is written.
pub(super) fn canonical(value: &str) -> Option<String> {
    let parts: Vec<&str> = value.split(' ').take(5).collect();
    match parts.as_slice() {
        [word] => in_one_word(word),
        parts => in_words(&bare(parts)?),
    }
}

pub(super) fn dates(text: &str) -> HashSet<String> {
    let words: Vec<&str> = words(text).into_iter().map(|word| word.text).collect();
    let single = words.iter().filter_map(|word| in_one_word(word));
    let runs = [3, 4].into_iter().flat_map(|length| words.windows(length));
    single.chain(runs.filter_map(in_words)).collect()
}

/// Without the comma of `November 22, 2026`.
fn bare<'a>(parts: &[&'a str]) -> Option<Vec<&'a str>> {
    (3..=4)
        .contains(&parts.len())
        .then(|| parts.iter().map(|part| part.strip_suffix(',').unwrap_or(part)).collect())
}

fn in_one_word(word: &str) -> Option<String> {
    if word.len() > 40 || !word.is_ascii() {
        return None;
    }
    if word.len() > 10 {
        let (date, time) = word.split_once(['T', 't'])?;
        iso(date)?;
        return time.starts_with(|c: char| c.is_ascii_digit()).then(|| word.to_ascii_uppercase());
    }
    iso(word).or_else(|| with_slashes(word)).or_else(|| with_dots(word))
}

/// `2026-11-22`, `2026/11/22`, `2026.11.22`.
fn iso(word: &str) -> Option<String> {
    ['-', '/', '.'].into_iter().find_map(|mark| {
        let mut parts = word.split(mark);
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        (year.len() == 4 && month.len() == 2 && day.len() == 2 && parts.next().is_none())
            .then(|| date(year, month, day))?
    })
}

/// `22.11.2026`: the day is first wherever dots are used.
fn with_dots(word: &str) -> Option<String> {
    let [day, month, year] = three(word, '.')?;
    date(year, month, day)
}

/// `11/22/2026` and `22/11/2026`, if only one of the two is a date or both are the same.
fn with_slashes(word: &str) -> Option<String> {
    let [one, two, year] = three(word, '/')?;
    match (date(year, one, two), date(year, two, one)) {
        (Some(a), Some(b)) if a != b => None,
        (a, b) => a.or(b),
    }
}

fn three(word: &str, mark: char) -> Option<[&str; 3]> {
    let parts: Vec<&str> = word.split(mark).collect();
    let parts: [&str; 3] = parts.try_into().ok()?;
    (parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

/// `22 November 2026`, `22nd of Nov. 2026`, `November 22 2026`.
fn in_words(words: &[&str]) -> Option<String> {
    let (day, name, year) = match words {
        [day, of, name, year] if of.eq_ignore_ascii_case("of") => (day, name, year),
        [one, two, year] if month(two).is_some() => (one, two, year),
        [one, two, year] => (two, one, year),
        _ => return None,
    };
    let number = day.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let ending = day.get(number.len()..).unwrap_or_default();
    if !["", "st", "nd", "rd", "th"].contains(&ending) {
        return None;
    }
    date(year, &month(name)?.to_string(), number)
}

fn month(name: &str) -> Option<usize> {
    if !name.is_ascii() || name.len() > 9 {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let short = |full: &str| {
        full.get(..3) == Some(name.as_str()) || (name == "sept" && full == "september")
    };
    MONTHS.iter().position(|full| *full == name || short(full)).map(|index| index + 1)
}

fn date(year: &str, month: &str, day: &str) -> Option<String> {
    let digits = |text: &str, most| text.len() <= most && text.chars().all(|c| c.is_ascii_digit());
    if year.len() != 4 || !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some(date.to_string())
}
