//! Cutting text up into words and quoted strings.

use std::ops::Range;

/// A stretch of text between white space, without the punctuation of the sentence around it.
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    /// True if but a single space stands between the word before and this one.
    pub(super) glued: bool,
}

/// The words of `text`, in order.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut clean_end = None;
    let mut rest = 0;
    for raw in text.split_whitespace() {
        let tail = text.get(rest..).unwrap_or_default();
        let start = rest + tail.len() - tail.trim_start().len();
        let word = unwrap(raw);
        let gap = clean_end.and_then(|end: usize| text.get(end..start));
        let spaced = matches!(gap, Some(" " | "\u{a0}" | "\u{2009}" | "\u{202f}"));
        rest = start + raw.len();
        words.push(Word { text: word, glued: spaced && raw.starts_with(word) });
        clean_end = raw.ends_with(word).then_some(rest);
    }
    words
}

const PAIRS: [(char, char); 12] = [
    ('(', ')'),
    ('[', ']'),
    ('{', '}'),
    ('<', '>'),
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('*', '*'),
    ('“', '”'),
    ('„', '“'),
    ('‘', '’'),
    ('«', '»'),
];

/// Takes off what belongs to the sentence and not to the word: the punctuation behind it, what is
/// around it on both sides, and a bracket whose other half is in another word.
fn unwrap(raw: &str) -> &str {
    let mut word = raw;
    // Nobody nests deeper; the bound keeps a long row of brackets from costing its square.
    for _ in 0..8 {
        let before = word;
        word = word.trim_end_matches(['.', ',', ';', ':', '!', '?', '…']);
        word = word.trim_start_matches(['¿', '¡']);
        for (open, close) in PAIRS {
            if let Some(inner) = word.strip_prefix(open).and_then(|w| w.strip_suffix(close)) {
                word = inner;
            }
        }
        for (open, close) in PAIRS.into_iter().take(4) {
            if let Some(inner) = word.strip_prefix(open)
                && !inner.contains(close)
            {
                word = inner;
            }
            if let Some(inner) = word.strip_suffix(close)
                && !inner.contains(open)
            {
                word = inner;
            }
        }
        if word == before {
            break;
        }
    }
    word
}

/// The words of `text` that are not part of a quotation of several, and what is quoted, whole.
pub(super) fn words_and_quotations(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = 0;
    for range in quotations(text) {
        let outside = text.get(rest..range.start).unwrap_or_default();
        found.extend(words(outside).into_iter().map(|word| word.text));
        let quoted = text.get(range.clone()).unwrap_or_default();
        let mut chars = quoted.chars();
        chars.next();
        chars.next_back();
        found.push(chars.as_str());
        rest = range.end;
    }
    found.extend(words(text.get(rest..).unwrap_or_default()).into_iter().map(|word| word.text));
    found
}

/// Where `text` has quotations, with their marks. One begins behind a space or an opening bracket, ends
/// before a space or punctuation, and does not go beyond its line; so an apostrophe is none.
fn quotations(text: &str) -> Vec<Range<usize>> {
    const MARKS: [(char, char); 7] =
        [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('„', '“'), ('‘', '’'), ('«', '»')];
    let mut found = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        // Once no end was found for a mark, there is none for a later one on this line either.
        let mut hopeless = [false; MARKS.len()];
        let mut skip_until = 0;
        let mut before = None;
        for (at, c) in line.char_indices() {
            let previous = before.replace(c);
            if at < skip_until
                || !previous.is_none_or(|p| p.is_whitespace() || "([{,;:=".contains(p))
            {
                continue;
            }
            for ((open, close), hopeless) in MARKS.into_iter().zip(&mut hopeless) {
                if c != open || *hopeless {
                    continue;
                }
                let inner = at + c.len_utf8();
                match line.get(inner..).and_then(|tail| end_of_quotation(tail, close)) {
                    Some(length) => {
                        let end = inner + length + close.len_utf8();
                        found.push(line_start + at..line_start + end);
                        skip_until = end;
                    }
                    None => *hopeless = true,
                }
            }
        }
        line_start += line.len();
    }
    found
}

fn end_of_quotation(tail: &str, close: char) -> Option<usize> {
    if tail.starts_with(char::is_whitespace) {
        return None;
    }
    let mut before = None;
    for (at, c) in tail.char_indices() {
        let after_word = before.replace(c).is_some_and(|p: char| !p.is_whitespace());
        if c != close || !after_word {
            continue;
        }
        let behind = tail.get(at + c.len_utf8()..).unwrap_or_default();
        let behind = behind.strip_prefix([',', '.', ';', ':', '!', '?', ')', ']', '}']);
        let behind = behind.or_else(|| tail.get(at + c.len_utf8()..)).unwrap_or_default();
        if behind.is_empty()
            || behind.starts_with(|n: char| n.is_whitespace() || ".)!?".contains(n))
        {
            return Some(at);
        }
    }
    None
}
