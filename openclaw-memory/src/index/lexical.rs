//! Which rows have which words, and how well rows fit by them (BM25).
//!
//! Most of it is blocks without gaps, a list of rows for each term: a few where it was just read, one later. What was
//! added since is beside them, and put into a new block with them from time to time. Nothing is pruned: adding up all
//! rows of all words of a query takes a fraction of the time in which a disk is asked once.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::{Best, Bits, Doc, block::Block};
use crate::words::Term;

/// How soon another occurrence of a word says little more.
const K1: f32 = 1.2;
/// How much the length of a text counts.
const B: f32 = 0.6;
/// Postings beside the blocks at which a new block is made, if they are more than an eighth of them.
const BESIDE: usize = 65_536;

/// Of texts of fewer words what their length counts is worked out once a search.
const SHORT: usize = 256;
/// When a query's words have one of so many rows or more, all rows are looked at.
const ANY_FROM: usize = 16;

/// Terms are hashes already.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        // The map takes the highest bits as well as the lowest, and a term has 40.
        self.0 = value | value << 40;
    }
}

type ByTerm<T> = HashMap<Term, T, BuildHasherDefault<AsItIs>>;

/// The words of a scope's rows.
#[derive(Default)]
pub(crate) struct Lexical {
    /// Each of rows that come behind those of the one before.
    blocks: Vec<Block>,
    beside: ByTerm<Vec<(Doc, u8)>>,
    beside_count: usize,
    /// Words in each row; nought for one that is not there.
    lengths: Vec<u16>,
    there: Bits,
    rows: usize,
    words: u64,
}

/// What a search writes on, kept from one to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    scores: Vec<f32>,
    /// The rows that have scores; after a search that found very many, any row may have one.
    touched: Vec<Doc>,
    any: bool,
    whole: f32,
}

impl Scratch {
    /// How well a row fits the last search.
    pub(crate) fn score(&self, doc: Doc) -> f32 {
        self.scores.get(doc as usize).copied().unwrap_or_default()
    }

    /// How many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.scores.capacity() * 4 + self.touched.capacity() * 4
    }

    /// What a row of mean length would have had in the last search that has each of its words once.
    pub(crate) fn whole(&self) -> f32 {
        self.whole
    }
}

impl Lexical {
    /// Puts rows behind those that are there.
    pub(crate) fn append(&mut self, blocks: Vec<Block>, lengths: Vec<(Doc, u16)>) {
        let rows = lengths.last().map_or(0, |(doc, _)| *doc as usize + 1);
        self.lengths.reserve_exact(rows.saturating_sub(self.lengths.len()));
        for (doc, length) in lengths {
            self.there(doc, length);
        }
        self.blocks.extend(blocks);
    }

    fn there(&mut self, doc: Doc, length: u16) {
        let row = doc as usize;
        if self.lengths.len() <= row {
            self.lengths.resize(row + 1, 0);
        }
        if let Some(place) = self.lengths.get_mut(row) {
            *place = length;
        }
        self.there.set(doc, true);
        self.rows += 1;
        self.words += u64::from(length);
    }

    /// Adds a row; one that is there stays as it is, since a row's text never changes.
    pub(crate) fn add(&mut self, doc: Doc, length: u16, terms: &[(Term, u8)]) {
        if self.there.has(doc) {
            return;
        }
        self.there(doc, length);
        for (term, count) in terms {
            self.beside.entry(*term).or_default().push((doc, *count));
        }
        self.beside_count += terms.len();
        let in_blocks: usize = self.blocks.iter().map(|block| block.docs.len()).sum();
        if self.beside_count > BESIDE.max(in_blocks / 8) {
            self.compact();
        }
    }

    /// Takes a row away. Its terms, which tell nothing without it, go with the next block.
    pub(crate) fn remove(&mut self, doc: Doc) {
        if !self.there.has(doc) {
            return;
        }
        self.there.set(doc, false);
        self.rows -= 1;
        if let Some(length) = self.lengths.get_mut(doc as usize) {
            self.words = self.words.saturating_sub(u64::from(std::mem::take(length)));
        }
    }

    /// Makes one block of all, without what was removed.
    pub(crate) fn compact(&mut self) {
        let mut beside = std::mem::take(&mut self.beside);
        self.beside_count = 0;
        let blocks = std::mem::take(&mut self.blocks);
        let mut terms: Vec<Term> = beside.keys().copied().collect();
        terms.extend(blocks.iter().flat_map(|block| &block.terms));
        terms.sort_unstable();
        terms.dedup();
        let mut new = Block::default();
        for term in terms {
            let before = new.docs.len();
            let rows = blocks.iter().flat_map(|block| block.rows(term));
            let added = beside.remove(&term).into_iter().flatten();
            for (doc, count) in rows.chain(added).filter(|(doc, _)| self.there.has(*doc)) {
                new.docs.push(doc);
                new.counts.push(count);
            }
            if new.docs.len() > before {
                new.terms.push(term);
                new.begins.push(u32::try_from(before).unwrap_or(u32::MAX));
            }
        }
        new.begins.push(u32::try_from(new.docs.len()).unwrap_or(u32::MAX));
        new.docs.shrink_to_fit();
        new.counts.shrink_to_fit();
        self.blocks = vec![new];
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The best `count` rows of `among` for a query, best first; each row's score is then in `scratch`.
    pub(crate) fn search(
        &self,
        query: &[(Term, f32)],
        among: &Bits,
        count: usize,
        scratch: &mut Scratch,
    ) -> Vec<(Doc, f32)> {
        self.score(query, scratch);
        let scores = &scratch.scores;
        let score = |doc: Doc| scores.get(doc as usize).copied().unwrap_or_default();
        let mut best = Best::above(0.0, count);
        if scratch.any {
            for (place, scores) in scores.chunks(64).enumerate() {
                let mut word = among.word(place) & self.there.word(place);
                let from = place * 64;
                while word != 0 {
                    let bit = word.trailing_zeros() as usize;
                    word &= word - 1;
                    if let Some(score) = scores.get(bit)
                        && let Ok(doc) = Doc::try_from(from + bit)
                    {
                        best.add(doc, *score);
                    }
                }
            }
        } else {
            for doc in &scratch.touched {
                if among.has(*doc) && self.there.has(*doc) {
                    best.add(*doc, score(*doc));
                }
            }
        }
        best.sorted()
    }

    /// Adds up what rows have of a query's terms.
    #[expect(clippy::cast_precision_loss, reason = "counts of rows and words")]
    fn score(&self, query: &[(Term, f32)], scratch: &mut Scratch) {
        if std::mem::take(&mut scratch.any) {
            scratch.scores.fill(0.0);
        }
        for doc in scratch.touched.drain(..) {
            if let Some(score) = scratch.scores.get_mut(doc as usize) {
                *score = 0.0;
            }
        }
        scratch.scores.resize(self.lengths.len(), 0.0);
        scratch.whole = 0.0;
        let rows = self.rows as f32;
        let mean = (self.words as f32 / rows.max(1.0)).max(1.0);
        let norm = |length: usize| K1 * (1.0 - B + B * length as f32 / mean);
        let norms: Vec<f32> = (0..SHORT).map(norm).collect();
        let norm = |length: u16| {
            let length = usize::from(length);
            norms.get(length).copied().unwrap_or_else(|| norm(length))
        };
        let beside = |term: Term| self.beside.get(&term).map(Vec::as_slice).unwrap_or_default();
        let in_blocks = |term: Term| self.blocks.iter().map(move |block| block.of(term).0.len());
        let having = |term: Term| in_blocks(term).sum::<usize>() + beside(term).len();
        // To note which rows are touched takes longer than to look at all, if they are many.
        let sum: usize = query.iter().map(|(term, _)| having(*term)).sum();
        scratch.any = sum > self.lengths.len() / ANY_FROM;
        for (term, weight) in query {
            let having = having(*term) as f32;
            // Never nought: a word that all have still tells a text from one without words.
            let rarity =
                ((rows - having + 0.5).max(0.5) / (having + 0.5)).ln_1p().max(1e-4) * weight;
            scratch.whole += rarity;
            let Scratch { scores, touched, any, .. } = &mut *scratch;
            let any = *any;
            let mut add = |doc: Doc, times: u8| {
                let row = doc as usize;
                if let (Some(length), Some(score)) = (self.lengths.get(row), scores.get_mut(row)) {
                    if !any && *score == 0.0 {
                        touched.push(doc);
                    }
                    let times = f32::from(times);
                    *score += rarity * times * (K1 + 1.0) / (times + norm(*length));
                }
            };
            for block in &self.blocks {
                block.rows(*term).for_each(|(doc, times)| add(doc, times));
            }
            beside(*term).iter().for_each(|(doc, times)| add(*doc, *times));
        }
    }

    /// How many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let block = |block: &Block| {
            block.terms.capacity() * 8
                + block.begins.capacity() * 4
                + block.docs.capacity() * 4
                + block.counts.capacity()
        };
        let beside: usize = self.beside.values().map(|rows| 48 + rows.capacity() * 8).sum();
        self.blocks.iter().map(block).sum::<usize>()
            + beside
            + self.lengths.capacity() * 2
            + self.there.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Loading;
    use crate::words::{self, Terms};

    fn index(texts: &[&str]) -> (Lexical, Bits) {
        let mut index = Lexical::default();
        let mut all = Bits::default();
        for (doc, text) in (0..).zip(texts) {
            let terms = Terms::of(text);
            index.add(doc, terms.length, &terms.counts);
            all.set(doc, true);
        }
        (index, all)
    }

    #[test]
    fn a_block_finds_what_was_found_beside_it() {
        let texts =
            ["green tea in the morning", "black tea", "a car", "tea and a car in the garage"];
        let (mut index, all) = index(&texts);
        let query = words::query("tea car");
        let mut scratch = Scratch::default();
        let before = index.search(&query, &all, 10, &mut scratch);
        index.compact();
        assert_eq!(index.search(&query, &all, 10, &mut scratch), before);
        assert_eq!(before[0].0, 3);
        // Of one part, and of two.
        let load = |ends: &[Doc]| {
            let mut loaded = Lexical::default();
            let mut from = 0;
            for end in ends {
                let part = std::mem::replace(&mut from, *end)..*end;
                let mut loading = Loading::with_capacity(4);
                for (doc, text) in (0..).zip(texts).filter(|(doc, _)| part.contains(doc)) {
                    let terms = Terms::of(text);
                    loading.row(doc);
                    loading.length(terms.length);
                    terms.counts.iter().for_each(|(term, n)| loading.posting(*term, *n));
                }
                let (blocks, lengths) = loading.blocks();
                loaded.append(blocks, lengths);
            }
            loaded
        };
        let (mut one, mut two) = (load(&[4]), load(&[2, 4]));
        assert_eq!(one.search(&query, &all, 10, &mut scratch), before);
        assert_eq!(two.search(&query, &all, 10, &mut scratch), before);
        for one in [&mut index, &mut one, &mut two] {
            one.remove(3);
            let after = one.search(&query, &all, 10, &mut scratch);
            assert_eq!(after.iter().map(|(doc, _)| *doc).collect::<Vec<_>>(), [2, 1, 0]);
            one.compact();
            assert_eq!(one.search(&query, &all, 10, &mut scratch).len(), 3);
        }
    }

    #[test]
    fn a_filter_takes_no_place() {
        let (index, _) = index(&["tea", "tea", "tea", "something about tea"]);
        let mut only = Bits::default();
        only.set(3, true);
        let found = index.search(&words::query("tea"), &only, 1, &mut Scratch::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, 3);
    }
}
