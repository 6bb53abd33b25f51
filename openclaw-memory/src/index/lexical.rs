//! Which rows have which words, and how well rows fit by them (BM25).
//!
//! Most of it is one block without gaps, a list of rows for each term; what was added since is beside it, and
//! put into a new block from time to time. Nothing is pruned: adding up all rows of all words of a query
//! takes a fraction of the time in which a disk is asked once.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::{
    Bits, Doc,
    block::{Block, Loading},
};
use crate::words::Term;

/// How soon another occurrence of a word says little more.
const K1: f32 = 1.2;
/// How much the length of a text counts.
const B: f32 = 0.6;
/// Postings beside the block at which a new block is made, if they are more than an eighth of it.
const BESIDE: usize = 65_536;

/// Of texts of fewer words what their length counts is worked out once a search.
const SHORT: usize = 256;
/// When a query's words have one of so many rows or more, all rows are looked at.
const ANY_FROM: usize = 16;

/// The best of what is added to it.
struct Best {
    count: usize,
    /// What has no more is not among them.
    least: f32,
    found: Vec<(Doc, f32)>,
}

impl Best {
    fn add(&mut self, doc: Doc, score: f32) {
        self.found.push((doc, score));
        if self.found.len() >= 4 * self.count.max(16) {
            self.cut();
            self.least = self.found.last().map_or(0.0, |(_, score)| score.next_down());
        }
    }

    fn cut(&mut self) {
        let best_first = |a: &(Doc, f32), b: &(Doc, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.found.len() > self.count && self.count > 0 {
            self.found.select_nth_unstable_by(self.count - 1, best_first);
            self.found.truncate(self.count);
        }
        self.found.sort_unstable_by(best_first);
    }

    fn sorted(mut self) -> Vec<(Doc, f32)> {
        self.cut();
        self.found
    }
}

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
    block: Block,
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
    /// Of rows that were read in the order of their numbers.
    pub(crate) fn load(mut loading: Loading) -> Self {
        let mut new = Self::default();
        let lengths = std::mem::take(&mut loading.lengths);
        new.lengths.reserve_exact(lengths.last().map_or(0, |(doc, _)| *doc as usize + 1));
        for (doc, length) in lengths {
            new.there(doc, length);
        }
        new.block = loading.block();
        new
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
        if self.beside_count > BESIDE.max(self.block.docs.len() / 8) {
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
        let beside = std::mem::take(&mut self.beside);
        self.beside_count = 0;
        let block = std::mem::take(&mut self.block);
        let mut added: Vec<(Term, Vec<(Doc, u8)>)> = beside.into_iter().collect();
        added.sort_unstable_by_key(|(term, _)| *term);
        let mut new = Block::default();
        let mut added = added.into_iter().peekable();
        let mut push = |term: Term, rows: &mut dyn Iterator<Item = (Doc, u8)>| {
            let before = new.docs.len();
            for (doc, count) in rows.filter(|(doc, _)| self.there.has(*doc)) {
                new.docs.push(doc);
                new.counts.push(count);
            }
            if new.docs.len() > before {
                new.terms.push(term);
                new.begins.push(u32::try_from(before).unwrap_or(u32::MAX));
            }
        };
        for term in &block.terms {
            while let Some((other, rows)) = added.next_if(|(other, _)| other < term) {
                push(other, &mut rows.into_iter());
            }
            let rows = added.next_if(|(other, _)| other == term).map(|(_, rows)| rows);
            push(*term, &mut block.rows(*term).chain(rows.into_iter().flatten()));
        }
        for (other, rows) in added {
            push(other, &mut rows.into_iter());
        }
        new.begins.push(u32::try_from(new.docs.len()).unwrap_or(u32::MAX));
        new.docs.shrink_to_fit();
        new.counts.shrink_to_fit();
        self.block = new;
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
        let mut best = Best { count, least: 0.0, found: Vec::new() };
        if scratch.any {
            for (place, scores) in scores.chunks(64).enumerate() {
                let mut word = among.word(place) & self.there.word(place);
                let from = place * 64;
                while word != 0 {
                    let bit = word.trailing_zeros() as usize;
                    word &= word - 1;
                    if let Some(score) = scores.get(bit)
                        && *score > best.least
                        && let Ok(doc) = Doc::try_from(from + bit)
                    {
                        best.add(doc, *score);
                    }
                }
            }
        } else {
            for doc in &scratch.touched {
                if among.has(*doc) && self.there.has(*doc) && score(*doc) > best.least {
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
        let having = |term: Term| self.block.of(term).0.len() + beside(term).len();
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
            self.block.rows(*term).for_each(|(doc, times)| add(doc, times));
            beside(*term).iter().for_each(|(doc, times)| add(*doc, *times));
        }
    }

    /// How many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let block = &self.block;
        let beside: usize = self.beside.values().map(|rows| 48 + rows.capacity() * 8).sum();
        block.terms.capacity() * 8
            + block.begins.capacity() * 4
            + block.docs.capacity() * 4
            + block.counts.capacity()
            + beside
            + self.lengths.capacity() * 2
            + self.there.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let mut loading = Loading::default();
        for (doc, text) in (0..).zip(texts) {
            let terms = Terms::of(text);
            loading.row(doc, terms.length);
            terms.counts.iter().for_each(|(term, count)| loading.posting(doc, *term, *count));
        }
        let mut first = Loading::default();
        let mut second = Loading::default();
        for (doc, text) in (0..).zip(texts) {
            let terms = Terms::of(text);
            let half = if doc < 2 { &mut first } else { &mut second };
            half.row(doc, terms.length);
            terms.counts.iter().for_each(|(term, count)| half.posting(doc, *term, *count));
        }
        first.append(second);
        let joined = Lexical::load(first);
        assert_eq!(joined.search(&query, &all, 10, &mut scratch), before);
        let mut loaded = Lexical::load(loading);
        assert_eq!(loaded.search(&query, &all, 10, &mut scratch), before);
        for one in [&mut index, &mut loaded] {
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
