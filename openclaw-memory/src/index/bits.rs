//! A set of row numbers.

use super::Doc;

/// A set of row numbers, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn set(&mut self, doc: Doc, value: bool) {
        let word = (doc / 64) as usize;
        if self.0.len() <= word {
            if !value {
                return;
            }
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            let bit = 1 << (doc % 64);
            *word = if value { *word | bit } else { *word & !bit };
        }
    }

    pub(crate) fn has(&self, doc: Doc) -> bool {
        self.0.get((doc / 64) as usize).is_some_and(|word| word >> (doc % 64) & 1 == 1)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The numbers, from the lowest.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Doc> + '_ {
        self.0.iter().zip(0_u32..).flat_map(|(word, place)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(place * 64 + bit)
            })
        })
    }

    /// The numbers that are not in `other`, from the lowest.
    #[cfg(feature = "hnsw")]
    pub(crate) fn iter_without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Doc> + 'a {
        let words = self.0.iter().enumerate().zip(0_u32..);
        words.flat_map(move |((place, word), number)| {
            let mut left = *word & !other.word(place);
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(number * 64 + bit)
            })
        })
    }

    /// The 64 numbers from `64 * place` on, a bit each.
    pub(crate) fn word(&self, place: usize) -> u64 {
        self.0.get(place).copied().unwrap_or_default()
    }

    /// Puts other numbers behind those below `from`, a multiple of 64.
    pub(crate) fn append(&mut self, from: Doc, other: &Self) {
        self.0.resize((from / 64) as usize, 0);
        self.0.extend_from_slice(&other.0);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}
