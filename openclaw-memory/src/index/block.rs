//! Lists of rows, a list for each term, in one block without gaps; and how they are made of what is read.

use super::Doc;
use crate::words::Term;

/// The lists.
#[derive(Default)]
pub(crate) struct Block {
    /// In order.
    pub(super) terms: Vec<Term>,
    /// Where each term's rows begin; one more than terms.
    pub(super) begins: Vec<u32>,
    pub(super) docs: Vec<Doc>,
    pub(super) counts: Vec<u8>,
}

impl Block {
    /// A term's rows, and how often it is in each.
    pub(super) fn of(&self, term: Term) -> (&[Doc], &[u8]) {
        let range = self.terms.binary_search(&term).ok().and_then(|place| {
            let begin = *self.begins.get(place)? as usize;
            let end = *self.begins.get(place + 1)? as usize;
            Some(begin..end)
        });
        let range = range.unwrap_or(0..0);
        let docs = self.docs.get(range.clone()).unwrap_or_default();
        (docs, self.counts.get(range).unwrap_or_default())
    }

    pub(super) fn rows(&self, term: Term) -> impl Iterator<Item = (Doc, u8)> + '_ {
        let (docs, counts) = self.of(term);
        docs.iter().copied().zip(counts.iter().copied())
    }
}

/// Rows that are to be put into blocks, in the order of their numbers.
pub(crate) struct Loading {
    blocks: Vec<Block>,
    /// The first row of the block that is made.
    from: Doc,
    /// Each a term, a row and a count in one number, so that sorting brings the rows of a term together: that takes
    /// less time than looking each term up in a table that is larger than the processor's caches.
    postings: Vec<u64>,
    lengths: Vec<(Doc, u16)>,
}

/// How many bits of a posting tell the row, from the first of its block on. Before it are the 40 of a term, behind it
/// the eight of the count.
const ROW_BITS: u32 = 16;
const COUNT_BITS: u32 = 8;

impl Loading {
    /// For about so many rows.
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            blocks: Vec::new(),
            from: 0,
            postings: Vec::with_capacity(rows.min(1 << ROW_BITS) * 16),
            lengths: Vec::with_capacity(rows),
        }
    }

    /// Adds a row, before its terms.
    pub(crate) fn row(&mut self, doc: Doc) {
        if (doc - self.from) >> ROW_BITS > 0 {
            self.cut();
            self.from = doc;
        }
        self.lengths.push((doc, 0));
    }

    /// Adds a term of the last row, and how often it is there.
    pub(crate) fn posting(&mut self, term: Term, count: u8) {
        let row = self.lengths.last().map_or(0, |(doc, _)| doc - self.from);
        let place = term << ROW_BITS | u64::from(row);
        self.postings.push(place << COUNT_BITS | u64::from(count));
    }

    /// Says how many words the last row has.
    pub(crate) fn length(&mut self, length: u16) {
        if let Some(last) = self.lengths.last_mut() {
            last.1 = length;
        }
    }

    /// Makes a block of what is there.
    fn cut(&mut self) {
        if self.postings.is_empty() {
            return;
        }
        self.postings.sort_unstable();
        let mut block = Block::default();
        block.docs.reserve_exact(self.postings.len());
        block.counts.reserve_exact(self.postings.len());
        for posting in self.postings.drain(..) {
            let term = posting >> (ROW_BITS + COUNT_BITS);
            if block.terms.last() != Some(&term) {
                block.terms.push(term);
                block.begins.push(u32::try_from(block.docs.len()).unwrap_or(u32::MAX));
            }
            let [count, low, high, ..] = posting.to_le_bytes();
            block.docs.push(self.from + Doc::from(u16::from_le_bytes([low, high])));
            block.counts.push(count);
        }
        block.begins.push(u32::try_from(block.docs.len()).unwrap_or(u32::MAX));
        block.terms.shrink_to_fit();
        block.begins.shrink_to_fit();
        self.blocks.push(block);
    }

    /// The blocks, and how many words each row has.
    pub(crate) fn blocks(mut self) -> (Vec<Block>, Vec<(Doc, u16)>) {
        self.cut();
        (self.blocks, self.lengths)
    }
}
