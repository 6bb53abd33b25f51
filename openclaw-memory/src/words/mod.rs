//! What of a text is looked up by words: folded, in any script, with the words' stems.
//!
//! | text | found by |
//! |---|---|
//! | `Cà phê sữa đá` | `ca phe sua da`, `sữa` |
//! | `Straße` | `strasse`, `STRASSE` |
//! | `東京で会いましょう` | `東京`, `京で` |
//! | `running shoes` | `run`, `shoe` |
//!
//! Terms are kept as hashes of 40 bits: among a million different words, a pair shares one about every
//! second time, and a pair that is not meant to be found together then is. In return no dictionary has
//! to be kept, and nothing of a text can be read from its terms.

mod fold;
mod stem;
mod stop;

use std::collections::BTreeMap;

pub(crate) use fold::fold;

use stem::Language;

/// How many words of a text are looked at; those behind are not found by words.
const MAX_TOKENS: usize = 65_535;
/// How many different terms of a query count: those beyond make it slower and no better.
const MAX_QUERY_TERMS: usize = 64;
/// The longest word that is kept, in characters; of longer ones the beginning.
const LONGEST_WORD: usize = 64;
/// Changes whenever the same text comes to other terms: what was kept by another version is worked out anew.
pub(crate) const VERSION: u32 = 1;

/// How much more a word counts that is there in the very form of the query.
const EXACT: f32 = 0.3;
/// How much a single character of a script without spaces counts beside the pairs.
const SINGLE: f32 = 0.3;

/// A term's hash, below 2^40.
pub(crate) type Term = u64;

/// The terms of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How many words it has.
    pub(crate) length: u16,
    /// Each term, and how often it is there (at most 255), in order.
    pub(crate) counts: Vec<(Term, u8)>,
}

impl Terms {
    /// Of a text that is to be found.
    pub(crate) fn of(text: &str) -> Self {
        let tokens = tokens(text);
        let language = Language::of(&tokens);
        let mut all: Vec<Term> = Vec::with_capacity(2 * tokens.len());
        let mut length = 0_u16;
        let mut add = |term: Term| all.push(term);
        for token in &tokens {
            length = length.saturating_add(1);
            match token {
                Token::Word(word) => forms(word, language, |form, _| add(form)),
                Token::Run(run) => {
                    length = length.saturating_add(u16::try_from(run.len()).unwrap_or(u16::MAX));
                    grams(run, |gram, _| add(gram));
                }
            }
        }
        all.sort_unstable();
        let alike = all.chunk_by(|a, b| a == b);
        let counts = alike.filter_map(|terms| {
            Some((*terms.first()?, u8::try_from(terms.len()).unwrap_or(u8::MAX)))
        });
        Self { length, counts: counts.collect() }
    }

    /// As bytes: the length, then each term with five bytes and its count with one.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + 6 * self.counts.len());
        bytes.extend(self.length.to_le_bytes());
        for (term, count) in &self.counts {
            bytes.extend(term.to_le_bytes().iter().take(5));
            bytes.push(*count);
        }
        bytes
    }

    /// Reads back what [`to_bytes`](Self::to_bytes) wrote, handing each term to `each`; the length, or
    /// `None` if it is no such thing.
    pub(crate) fn read(bytes: &[u8], mut each: impl FnMut(Term, u8)) -> Option<u16> {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (terms, []) = rest.as_chunks::<6>() else { return None };
        for [a, b, c, d, e, count] in terms {
            each(u64::from_le_bytes([*a, *b, *c, *d, *e, 0, 0, 0]), *count);
        }
        Some(u16::from_le_bytes(*length))
    }
}

/// The terms of a query, each with its weight; without words that say nothing, unless there are no
/// others.
pub(crate) fn query(text: &str) -> Vec<(Term, f32)> {
    let tokens = tokens(text);
    let language = Language::of(&tokens);
    let telling = |token: &&Token| match token {
        Token::Word(word) => !stop::is_stop(word, language),
        Token::Run(_) => true,
    };
    let mut asked: Vec<&Token> = tokens.iter().filter(telling).collect();
    if asked.is_empty() {
        asked = tokens.iter().collect();
    }
    let mut terms: BTreeMap<Term, (usize, f32)> = BTreeMap::new();
    for token in asked {
        let mut add = |term: Term, weight: f32| {
            let order = terms.len();
            let known = terms.entry(term).or_insert((order, 0.0));
            known.1 = known.1.max(weight);
        };
        match token {
            Token::Word(word) => forms(word, language, add),
            Token::Run(run) => grams(run, &mut add),
        }
    }
    let mut terms: Vec<(usize, Term, f32)> =
        terms.into_iter().map(|(term, (order, weight))| (order, term, weight)).collect();
    terms.sort_unstable_by_key(|(order, ..)| *order);
    terms.truncate(MAX_QUERY_TERMS);
    terms.into_iter().map(|(_, term, weight)| (term, weight)).collect()
}

/// True if a query asks for what was last, or how things are now.
pub(crate) fn asks_for_time(text: &str) -> bool {
    tokens(text).iter().any(|token| match token {
        Token::Word(word) => stop::is_about_time(word),
        Token::Run(run) => {
            let run: String = run.iter().collect();
            stop::TIME_RUNS.iter().any(|words| run.contains(words))
        }
    })
}

/// A word, or a run of characters of a script that puts no spaces between words.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Run(Vec<char>),
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut letters = 0;
    let mut run: Vec<char> = Vec::new();
    let end_word = |word: &mut String, letters: &mut usize, tokens: &mut Vec<Token>| {
        *letters = 0;
        if !word.is_empty() {
            tokens.push(Token::Word(std::mem::take(word)));
        }
    };
    fold(text, |c| {
        if tokens.len() >= MAX_TOKENS {
            return;
        }
        if fold::is_unspaced(c) {
            end_word(&mut word, &mut letters, &mut tokens);
            run.push(c);
            return;
        }
        if !run.is_empty() {
            tokens.push(Token::Run(std::mem::take(&mut run)));
        }
        if c.is_alphanumeric() || (!word.is_empty() && fold::is_mark(c)) {
            letters += 1;
            if letters <= LONGEST_WORD {
                word.push(c);
            }
        } else {
            end_word(&mut word, &mut letters, &mut tokens);
        }
    });
    end_word(&mut word, &mut letters, &mut tokens);
    if !run.is_empty() {
        tokens.push(Token::Run(run));
    }
    tokens
}

/// The forms of a word: its stem, the stem in the text's own language, and the word itself where that
/// differs.
fn forms(word: &str, language: Language, mut each: impl FnMut(Term, f32)) {
    let stem = stem::stem(word);
    each(hash(b's', &stem), 1.0);
    if *stem != *word {
        each(hash(b'w', word), EXACT);
    }
    if let Some(other) = language.stem(word)
        && other != stem
    {
        each(hash(b's', &other), 1.0);
    }
}

/// The pairs and the single characters of a run.
fn grams(run: &[char], mut each: impl FnMut(Term, f32)) {
    let mut buffer = String::new();
    let single = if run.len() == 1 { 1.0 } else { SINGLE };
    for c in run {
        buffer.clear();
        buffer.push(*c);
        each(hash(b'c', &buffer), single);
    }
    for pair in run.windows(2) {
        buffer.clear();
        buffer.extend(pair);
        each(hash(b'c', &buffer), 1.0);
    }
}

/// FNV-1a of 64 bits, mixed down to 40: the same on every machine, for ever.
fn hash(kind: u8, text: &str) -> Term {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in std::iter::once(kind).chain(text.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash & 0xff_ffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(query_text: &str, text: &str) -> bool {
        let terms = Terms::of(text);
        query(query_text)
            .iter()
            .any(|(term, _)| terms.counts.iter().any(|(known, _)| known == term))
    }

    #[test]
    fn words_are_found_in_every_script() {
        for (asked, text) in [
            ("sua", "Cà phê sữa đá"),
            ("sữa", "ca phe sua da"),
            ("da", "đá"),
            ("Đà Nẵng", "di da nang"),
            ("strasse", "die Straße"),
            ("STRASSE", "straße"),
            ("咖啡", "我喜欢喝咖啡"),
            ("茶", "他喝茶"),
            ("東京", "来週東京で会いましょう"),
            ("커피", "저는 커피를 좋아해요"),
            ("run", "she was running"),
            ("мамы", "мама мыла раму"),
            ("ﬁne", "fine"),
            ("Ｆｕｌｌ", "full width"),
            ("naive", "naïve"),
            ("in den Häusern", "das Haus an der Ecke ist alt und klein"),
        ] {
            assert!(finds(asked, text), "{asked:?} in {text:?}");
        }
        assert!(!finds("tea", "coffee"));
    }

    #[test]
    fn words_that_say_nothing_count_only_alone() {
        assert_eq!(query("what is the tea").len(), query("tea").len());
        assert!(!query("to be or not to be").is_empty());
        assert!(query("  ?! ").is_empty());
    }

    #[test]
    fn terms_survive_as_bytes() {
        let terms = Terms::of("the quick brown fox jumps over the lazy dog 東京 the");
        let mut back = Terms::default();
        let counts = &mut back.counts;
        let length = Terms::read(&terms.to_bytes(), |term, count| counts.push((term, count)));
        back.length = length.unwrap();
        assert_eq!(back, terms);
        assert_eq!(Terms::read(&[1], |_, _| {}), None);
        assert_eq!(Terms::read(&[1, 0, 3], |_, _| {}), None);
    }

    #[test]
    fn long_and_strange_texts_have_terms() {
        Terms::of(&"tea ".repeat(300_000));
        Terms::of(&"x".repeat(1_000_000));
        Terms::of(&"漢".repeat(300_000));
        Terms::of("\0\u{feff}\u{202e}\u{301}");
        assert_eq!(Terms::of("").length, 0);
    }
}
