//! Texts to word pieces, as BERT's uncased models do it.

use std::{borrow::Cow, ops::ControlFlow};

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// Words of more characters than this are unknown.
const LONGEST_WORD: usize = 100;

/// The known pieces; those that do not begin a word start with `##`.
pub(super) struct Vocabulary {
    pieces: Cow<'static, str>,
    /// Where each piece is, by its number.
    places: Vec<(u32, u32)>,
    /// Numbers of pieces, each at the place of its hash or behind it; [`EMPTY`] where there is none. A power of two
    /// of them, at most half full.
    slots: Vec<u32>,
    /// How long the longest piece is, in bytes.
    longest: usize,
}

const EMPTY: u32 = u32::MAX;
/// Stands before pieces that do not begin a word.
const MARK: &str = "##";

/// FNV-1a: the hash of a beginning is a step on the way to the hash of the whole.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    fn add(self, text: &str) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(text.bytes().fold(self.0, step))
    }

    /// The first place to look at.
    fn place(self) -> usize {
        // The high bits have seen every byte.
        #[expect(clippy::cast_possible_truncation, reason = "as many bits as there are")]
        let place = (self.0 ^ self.0 >> 32) as usize;
        place
    }
}

impl Vocabulary {
    /// One piece a line, numbered from 0. `None` if the text has 4 GiB or more.
    pub(super) fn new(pieces: impl Into<Cow<'static, str>>) -> Option<Self> {
        let pieces = pieces.into();
        let mut places = Vec::new();
        let mut start = 0_u32;
        for line in pieces.lines() {
            let end = start.checked_add(u32::try_from(line.len()).ok()?)?;
            places.push((start, end));
            start = end.checked_add(1)?;
        }
        let size = (places.len() * 2).next_power_of_two();
        let longest = pieces.lines().map(str::len).max().unwrap_or_default();
        let mut vocabulary = Self { pieces, places, slots: vec![EMPTY; size], longest };
        for number in 0..u32::try_from(vocabulary.places.len()).ok()? {
            let mut place = Hash::NEW.add(vocabulary.text(number)).place();
            // Of two that are the same the first is found.
            while let Some(slot) = vocabulary.slots.get_mut(place % size) {
                if *slot == EMPTY {
                    *slot = number;
                    break;
                }
                place += 1;
            }
        }
        Some(vocabulary)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The number of `piece`.
    #[cfg(feature = "onnx")]
    pub(super) fn find(&self, piece: &str) -> Option<u32> {
        self.look(Hash::NEW.add(piece), "", piece)
    }

    /// The number of the piece of this hash that is `mark` and `rest` behind it.
    fn look(&self, hash: Hash, mark: &str, rest: &str) -> Option<u32> {
        let mut place = hash.place();
        loop {
            // A length that is a power of two is no division.
            let number = *self.slots.get(place & (self.slots.len() - 1))?;
            if number == EMPTY {
                return None;
            }
            if self.text(number).strip_prefix(mark) == Some(rest) {
                return Some(number);
            }
            place = place.wrapping_add(1);
        }
    }

    fn text(&self, number: u32) -> &str {
        let place = self.places.get(number as usize);
        let text = place.and_then(|(start, end)| self.pieces.get(*start as usize..*end as usize));
        text.unwrap_or_default()
    }

    /// Adds the pieces of `word`, longest first from its start. False, with nothing added, if it
    /// cannot be made of known ones.
    pub(super) fn split(&self, word: &str, pieces: &mut Vec<u32>) -> bool {
        if word.len() > LONGEST_WORD && word.chars().count() > LONGEST_WORD {
            return false;
        }
        let before = pieces.len();
        let mut rest = word;
        // Each beginning's end and hash.
        let mut beginnings: Vec<(usize, Hash)> = Vec::with_capacity(word.len());
        while !rest.is_empty() {
            let mark = if rest.len() == word.len() { "" } else { MARK };
            beginnings.clear();
            let mut hash = Hash::NEW.add(mark);
            for (at, c) in rest.char_indices() {
                let end = at + c.len_utf8();
                if end + mark.len() > self.longest {
                    break;
                }
                hash = hash.add(rest.get(at..end).unwrap_or_default());
                beginnings.push((end, hash));
            }
            let found = beginnings.iter().rev().find_map(|(end, hash)| {
                let (head, tail) = rest.split_at_checked(*end)?;
                Some((self.look(*hash, mark, head)?, tail))
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
pub(super) fn words(text: &str, each: impl FnMut(&str) -> ControlFlow<()>) {
    let mut split = Split { word: String::new(), each };
    let stopped = if text.is_ascii() {
        // Most texts: there is nothing to take apart.
        text.bytes().try_for_each(|byte| split.character(char::from(byte)))
    } else {
        text.nfd().try_for_each(|c| split.character(c))
    };
    if stopped.is_continue() {
        // The last word: whether `each` wants more no longer matters.
        let _: ControlFlow<()> = split.flush();
    }
}

struct Split<F> {
    word: String,
    each: F,
}

impl<F: FnMut(&str) -> ControlFlow<()>> Split<F> {
    fn character(&mut self, c: char) -> ControlFlow<()> {
        match kind(c) {
            Kind::Nothing => ControlFlow::Continue(()),
            Kind::Space => self.flush(),
            // A word without end would be collected whole only to be unknown.
            Kind::Letter if self.word.len() > 4 * LONGEST_WORD => ControlFlow::Continue(()),
            Kind::Letter if c.is_ascii() => {
                self.word.push(c.to_ascii_lowercase());
                ControlFlow::Continue(())
            }
            Kind::Letter => {
                self.word.extend(c.to_lowercase());
                ControlFlow::Continue(())
            }
            Kind::Alone => {
                self.flush()?;
                self.word.push(c);
                self.flush()
            }
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        if self.word.is_empty() {
            return ControlFlow::Continue(());
        }
        let answer = (self.each)(&self.word);
        self.word.clear();
        answer
    }
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
        // The same words whether a text is ASCII throughout or not.
        let ascii = "It's 3:00\u{1} o'clock,\u{b}isn't it? \u{7f}A_b";
        let mut words = split(&format!("{ascii} é"));
        assert_eq!(words.pop().as_deref(), Some("e"));
        assert_eq!(split(ascii), words);
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
