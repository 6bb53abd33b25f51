//! E-mail addresses, phone numbers, bank accounts and web addresses.

use std::collections::HashSet;

use iban::{Iban, IbanLike as _};
use url::Url;

use super::{
    super::invisible::is_invisible,
    words::{Word, words},
};

/// `local@domain`; the domain in lower case, the local part as written.
pub(super) fn email(value: &str) -> Option<String> {
    let (local, domain) = value.split_once('@')?;
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c);
    let atoms = |text: &str| text.split('.').all(|part| !part.is_empty() && part.chars().all(atom));
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    (atoms(local) && domain.split('.').all(label))
        .then(|| format!("{local}@{}", domain.to_lowercase()))
}

pub(super) fn emails(text: &str) -> HashSet<String> {
    let between = |c: char| c.is_whitespace() || "<>()[]{},;:\"“”„«»|`".contains(c);
    text.split(between)
        .filter(|word| word.contains('@'))
        .filter_map(|word| {
            let word = word.trim_end_matches(['.', '!', '?', '…']);
            let quoted = ['\'', '*', '‘']
                .into_iter()
                .zip(['\'', '*', '’'])
                .find_map(|(open, close)| word.strip_prefix(open)?.strip_suffix(close));
            email(quoted.unwrap_or(word))
        })
        .collect()
}

/// The digits, behind a `+` if one was written.
pub(super) fn phone(value: &str) -> Option<String> {
    let international = value.starts_with('+');
    let rest = value.strip_prefix('+').unwrap_or(value);
    if !rest.chars().all(|c| c.is_ascii_digit() || " -./()".contains(c)) {
        return None;
    }
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    (3..=15)
        .contains(&digits.len())
        .then(|| if international { format!("+{digits}") } else { digits })
}

/// Numbers that stand side by side on a line count as one: any other reading would be a part.
pub(super) fn phones(text: &str) -> HashSet<String> {
    let part_of_number = |c: char| c.is_ascii_digit() || " -./()+\u{a0}".contains(c);
    let mut found = HashSet::new();
    let mut before = None;
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == '+' || c == '(') {
        let (outside, run) = rest.split_at(start);
        before = outside.chars().next_back().or(before);
        let end = run.find(|c| !part_of_number(c)).unwrap_or(run.len());
        let (run, behind) = run.split_at(end);
        let after = behind.chars().next();
        let attached = |c: Option<char>| {
            c.is_some_and(|c| {
                c.is_alphanumeric() || "@_#$%=&€£¥:*-./".contains(c) || is_invisible(c)
            })
        };
        let trimmed = run.trim_end_matches([' ', '-', '.', '/', '(', '\u{a0}']);
        let cut = run.get(trimmed.len()..).unwrap_or_default();
        let loose_end = cut.contains([' ', '\u{a0}', ')']) || !attached(after);
        let loose_start = !attached(before);
        // A `+` begins another number.
        let mut starts: Vec<usize> = trimmed.match_indices('+').map(|(at, _)| at).collect();
        if starts.first() != Some(&0) {
            starts.insert(0, 0);
        }
        let ends = starts.iter().skip(1).copied().chain([trimmed.len()]);
        let count = starts.len();
        for (index, (from, to)) in starts.iter().copied().zip(ends).enumerate() {
            let whole = (index > 0 || loose_start) && (index + 1 < count || loose_end);
            let number = trimmed.get(from..to).unwrap_or_default().replace('\u{a0}', " ");
            let spaced =
                from == 0 || trimmed.get(..from).is_some_and(|t| t.ends_with([' ', '/', '(']));
            if whole && spaced {
                found.extend(phone(number.trim().trim_end_matches([' ', '(', '/'])));
            }
        }
        before = run.chars().next_back();
        rest = behind;
    }
    found
}

/// The account in the electronic form: no spaces, upper case; country, length and checksum hold.
pub(super) fn iban(value: &str) -> Option<String> {
    if !value.is_ascii() || value.len() > 64 {
        return None;
    }
    let bare: String = value.chars().filter(|c| *c != ' ').collect();
    let account: Iban = bare.to_ascii_uppercase().parse().ok()?;
    Some(account.electronic_str().to_owned())
}

pub(super) fn ibans(text: &str) -> HashSet<String> {
    let words = words(text);
    let mut found = HashSet::new();
    let mut at = 0;
    while let Some(rest) = words.get(at..).filter(|rest| !rest.is_empty()) {
        at += match first_iban(rest) {
            Some((account, length)) => {
                found.insert(account);
                length
            }
            None => 1,
        };
    }
    found
}

/// The account that `words` begin with, in groups or not, and how many words it takes.
fn first_iban(words: &[Word<'_>]) -> Option<(String, usize)> {
    const LENGTHS: std::ops::RangeInclusive<usize> = 15..=34;
    let head = words.first()?.text.as_bytes();
    let letter_or_digit = |(at, byte): (usize, &u8)| match at {
        0 | 1 => byte.is_ascii_alphabetic(),
        _ => byte.is_ascii_digit(),
    };
    if head.len() < 4 || !head.iter().take(4).enumerate().all(letter_or_digit) {
        return None;
    }
    let mut joined = String::new();
    for (index, word) in words.iter().enumerate() {
        if (index > 0 && !word.glued)
            || joined.len() + word.text.len() > *LENGTHS.end()
            || !word.text.chars().all(|c| c.is_ascii_alphanumeric())
        {
            return None;
        }
        joined.push_str(word.text);
        if LENGTHS.contains(&joined.len())
            && let Some(account) = iban(&joined)
        {
            return Some((account, index + 1));
        }
    }
    None
}

/// The address as the WHATWG standard writes it; none if that form hides what was written.
pub(super) fn url(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once("://")?;
    if value.contains(['\\', ' ', '<', '>', '"', '`']) {
        return None;
    }
    let path_start = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(path_start);
    let path = tail.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let path = path.replace("%2e", ".");
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return None;
    }
    let parsed = Url::parse(value).ok()?;
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host =
        host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(h, _)| h);
    if host.is_ascii() {
        // The parser resolves numbers, escapes and the like: whoever wrote it plainly did not need that.
        let plain = parsed.host_str().unwrap_or_default() == host.to_ascii_lowercase();
        (plain && (!host.is_empty() || scheme.eq_ignore_ascii_case("file")))
            .then(|| parsed.as_str().to_owned())
    } else {
        Some(format!("{parsed} {}", host.to_lowercase()))
    }
}

pub(super) fn urls(text: &str) -> HashSet<String> {
    let between = |c: char| c.is_whitespace() || "<>\"`“”„«»".contains(c);
    let mut found = HashSet::new();
    for word in text.split(between) {
        if let Some(address) = url_in(word) {
            found.extend(url(address));
        } else if let Some(start) = word.find(|c: char| !"([{'*".contains(c))
            && let Some(address) = word.get(start..)
            && address.get(..4).is_some_and(|www| www.eq_ignore_ascii_case("www."))
        {
            found.extend(url(&format!("https://{}", trim_sentence(address))));
        }
    }
    found
}

/// The address in a word, from its scheme on. What stands inside of an address is a part of it.
fn url_in(word: &str) -> Option<&str> {
    let at = word.find("://")?;
    let before = word.get(..at)?;
    let scheme_char = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let start = before.trim_end_matches(scheme_char).len();
    let stands_free = before.get(..start)?.chars().next_back();
    let stands_free = stands_free.is_none_or(|c| "([{'*|,;:‘".contains(c));
    stands_free.then(|| trim_sentence(word.get(start..).unwrap_or_default()))
}

/// Takes off the punctuation behind an address, and brackets that were opened before it.
fn trim_sentence(address: &str) -> &str {
    let mut open: [isize; 3] = [('(', ')'), ('[', ']'), ('{', '}')].map(|(open, close)| {
        address.chars().fold(0, |n, c| n + isize::from(c == open) - isize::from(c == close))
    });
    let mut rest = address;
    while let Some(last) = rest.chars().next_back() {
        let excess = match last {
            ')' => open.first_mut(),
            ']' => open.get_mut(1),
            '}' => open.get_mut(2),
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '’' | '*' | '…' => None,
            _ => break,
        };
        match excess {
            Some(n) if *n < 0 => *n += 1,
            Some(_) => break,
            None => {}
        }
        rest = rest.strip_suffix(last).unwrap_or_default();
    }
    rest
}
