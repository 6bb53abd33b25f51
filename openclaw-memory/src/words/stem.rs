//! Stems of words.
//!
//! A folded word in Latin letters has its English stem whatever the language, so that a text and a query
//! always come to the same. A text or query that is clearly in another language has the stems of that one
//! as well.

use std::{borrow::Cow, cell::RefCell};

use rust_stemmers::{Algorithm, Stemmer};

use super::{Token, stop};

/// A language with stems of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// English, or nobody knows.
    Unknown,
    Danish,
    Dutch,
    French,
    German,
    Italian,
    Portuguese,
    Spanish,
    Swedish,
    Vietnamese,
}

impl Language {
    pub(super) const OTHERS: [Self; 9] = [
        Self::Danish,
        Self::Dutch,
        Self::French,
        Self::German,
        Self::Italian,
        Self::Portuguese,
        Self::Spanish,
        Self::Swedish,
        Self::Vietnamese,
    ];

    /// The language whose small words are the most, if it is not English.
    pub(super) fn of(tokens: &[Token]) -> Self {
        let mut hits = [0_usize; 16];
        for token in tokens.iter().take(256) {
            let Token::Word(word) = token else { continue };
            let lists = stop::lists(word);
            if lists != 0 {
                for (place, hits) in hits.iter_mut().enumerate() {
                    *hits += usize::from(lists >> place & 1);
                }
            }
        }
        let [english, others @ ..] = hits;
        // Of those that have as many, the first.
        let all = others.iter().zip(Self::OTHERS).rev();
        match all.max_by_key(|(hits, _)| **hits) {
            Some((hits, language)) if *hits >= 2 && *hits > english => language,
            _ => Self::Unknown,
        }
    }

    /// The stem of a folded word in this language.
    pub(super) fn stem(self, word: &str) -> Option<String> {
        let algorithm = match self {
            Self::Unknown | Self::Vietnamese => return None,
            Self::Danish => Algorithm::Danish,
            Self::Dutch => Algorithm::Dutch,
            Self::French => Algorithm::French,
            Self::German => Algorithm::German,
            Self::Italian => Algorithm::Italian,
            Self::Portuguese => Algorithm::Portuguese,
            Self::Spanish => Algorithm::Spanish,
            Self::Swedish => Algorithm::Swedish,
        };
        word.is_ascii().then(|| Stemmer::create(algorithm).stem(word).into_owned())
    }
}

/// The stem of a folded word by its script.
pub(super) fn stem(word: &str) -> Cow<'_, str> {
    thread_local! {
        static ENGLISH: RefCell<Stemmer> = RefCell::new(Stemmer::create(Algorithm::English));
    }
    let Some(first) = word.chars().next() else { return Cow::Borrowed(word) };
    if word.len() <= 2 || word.bytes().any(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(word);
    }
    let other = match first {
        'a'..='z' if word.is_ascii() => {
            return ENGLISH.with_borrow(|english| Cow::Owned(english.stem(word).into_owned()));
        }
        '\u{370}'..='\u{3ff}' => Algorithm::Greek,
        '\u{400}'..='\u{4ff}' => Algorithm::Russian,
        '\u{600}'..='\u{6ff}' => Algorithm::Arabic,
        _ => return Cow::Borrowed(word),
    };
    Cow::Owned(Stemmer::create(other).stem(word).into_owned())
}
