//! Texts to word pieces, as BERT's uncased models do it.

use std::{borrow::Cow, ops::ControlFlow};

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// Words of more characters than this are unknown.
const LONGEST_WORD: usize = 100;

/// The known pieces; those that do not begin a word start with `##`.
pub(super) struct Vocabulary {
    pieces: Cow<'static, str>,
    /// Where each piece is, and its number; sorted by the piece.
    order: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    end: u32,
    number: u32,
}

impl Vocabulary {
    /// One piece a line, numbered from 0. `None` if the text has 4 GiB or more.
    pub(super) fn new(pieces: impl Into<Cow<'static, str>>) -> Option<Self> {
        let pieces = pieces.into();
        let mut order = Vec::new();
        let mut start = 0_u32;
        for (number, line) in (0..).zip(pieces.lines()) {
            let end = start.checked_add(u32::try_from(line.len()).ok()?)?;
            order.push(Entry { start, end, number });
            start = end.checked_add(1)?;
        }
        let mut vocabulary = Self { pieces, order: Vec::new() };
        order.sort_unstable_by(|a, b| vocabulary.text(*a).cmp(vocabulary.text(*b)));
        vocabulary.order = order;
        Some(vocabulary)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The number of `piece`.
    pub(super) fn find(&self, piece: &str) -> Option<u32> {
        let place = self.order.binary_search_by(|entry| self.text(*entry).cmp(piece)).ok()?;
        self.order.get(place).map(|entry| entry.number)
    }

    fn text(&self, entry: Entry) -> &str {
        self.pieces.get(entry.start as usize..entry.end as usize).unwrap_or_default()
    }

    /// Adds the pieces of `word`, longest first from its start. False, with nothing added, if it
    /// cannot be made of known ones.
    pub(super) fn split(&self, word: &str, pieces: &mut Vec<u32>) -> bool {
        if word.chars().count() > LONGEST_WORD {
            return false;
        }
        let before = pieces.len();
        let mut rest = word;
        let mut marked = String::new();
        while !rest.is_empty() {
            let first = rest.len() == word.len();
            let found = rest.char_indices().rev().find_map(|(at, c)| {
                let (head, tail) = rest.split_at(at + c.len_utf8());
                let number = if first {
                    self.find(head)
                } else {
                    marked.clear();
                    marked.push_str("##");
                    marked.push_str(head);
                    self.find(&marked)
                };
                number.map(|number| (number, tail))
            });
            let Some((number, tail)) = found else {
                pieces.truncate(before);
                return false;
            };
            pieces.push(number);
            rest = tail;
        }
        true
    }
}

/// Calls `each` with every word of `text` in lower case without marks, punctuation and ideographs
/// on their own, until it breaks.
pub(super) fn words(text: &str, mut each: impl FnMut(&str) -> ControlFlow<()>) {
    let mut word = String::new();
    let mut flush = |word: &mut String| {
        if word.is_empty() {
            return ControlFlow::Continue(());
        }
        let answer = each(word);
        word.clear();
        answer
    };
    for c in text.nfd() {
        let step = match kind(c) {
            Kind::Nothing => ControlFlow::Continue(()),
            Kind::Space => flush(&mut word),
            // A word without end would be collected whole only to be unknown.
            Kind::Letter if word.len() > 4 * LONGEST_WORD => ControlFlow::Continue(()),
            Kind::Letter => {
                word.extend(c.to_lowercase());
                ControlFlow::Continue(())
            }
            Kind::Alone => match flush(&mut word) {
                ControlFlow::Continue(()) => {
                    word.push(c);
                    flush(&mut word)
                }
                stop => stop,
            },
        };
        if step.is_break() {
            return;
        }
    }
    // The last word: whether `each` wants more no longer matters.
    let _: ControlFlow<()> = flush(&mut word);
}

enum Kind {
    /// Left out: controls, formatting, marks.
    Nothing,
    Space,
    Letter,
    /// A word of its own: punctuation, ideographs.
    Alone,
}

fn kind(c: char) -> Kind {
    if c.is_ascii_alphanumeric() {
        return Kind::Letter;
    }
    if c.is_whitespace() {
        return Kind::Space;
    }
    if c.is_ascii_punctuation() || ideograph(c) {
        return Kind::Alone;
    }
    if c == '\u{fffd}' || c.general_category() == GeneralCategory::NonspacingMark {
        return Kind::Nothing;
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Other => Kind::Nothing,
        GeneralCategoryGroup::Punctuation => Kind::Alone,
        _ => Kind::Letter,
    }
}

/// Whether BERT takes `c` for a word: Chinese characters and Japanese kanji, not kana or hangul.
fn ideograph(c: char) -> bool {
    matches!(
        c,
        '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{2a6df}'
            | '\u{2a700}'..='\u{2ceaf}'
            | '\u{2f800}'..='\u{2fa1f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        words(text, |word| {
            all.push(word.to_owned());
            ControlFlow::Continue(())
        });
        all
    }

    #[test]
    fn words_are_folded_and_punctuation_stands_alone() {
        assert_eq!(split("Hello, World!"), ["hello", ",", "world", "!"]);
        assert_eq!(split("Café\u{0}déjà-vu\u{200b}"), ["cafedeja", "-", "vu"]);
        assert_eq!(split("我喝coffee。"), ["我", "喝", "coffee", "。"]);
        assert_eq!(split(" \t\n"), Vec::<String>::new());
    }

    #[test]
    fn the_longest_known_piece_is_taken() {
        let vocabulary = Vocabulary::new("un\nunder\n##stand\n##s\n##t\n##and").expect("small");
        let mut pieces = Vec::new();
        assert!(vocabulary.split("understands", &mut pieces));
        assert_eq!(pieces, [1, 2, 3]);
        assert!(!vocabulary.split("underx", &mut pieces), "x is in no piece");
        assert!(!vocabulary.split(&"un".repeat(200), &mut pieces), "too long");
        assert_eq!(pieces.len(), 3, "an unknown word leaves nothing");
    }

    #[test]
    fn a_text_ends_where_the_caller_says() {
        let mut seen = 0;
        words("one two three", |_| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(seen, 2);
    }
}
