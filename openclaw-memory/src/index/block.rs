//! Lists of rows, a list for each term, in one block without gaps; and how one is made of what is read.

use super::Doc;
use crate::words::Term;

/// The lists.
#[derive(Default)]
pub(super) struct Block {
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

/// Numbers for terms, in the order in which they come. One look at memory a term, where a map of the library takes two:
/// filling an index is little else.
#[derive(Default)]
struct Ids {
    /// A power of two of them, at most half of them taken.
    slots: Vec<(Term, u32)>,
    len: u32,
}

/// No term: those are below 2^40.
const FREE: Term = Term::MAX;

impl Ids {
    fn of(&mut self, term: Term) -> u32 {
        if self.len as usize * 2 >= self.slots.len() {
            let before = std::mem::take(&mut self.slots);
            self.slots = vec![(FREE, 0); (before.len() * 4).max(4_096)];
            for (term, id) in before.into_iter().filter(|(term, _)| *term != FREE) {
                *self.slot(term) = (term, id);
            }
        }
        let next = self.len;
        let slot = self.slot(term);
        if slot.0 == FREE {
            *slot = (term, next);
            self.len += 1;
            return next;
        }
        slot.1
    }

    /// Where the term stands, or would.
    #[expect(
        clippy::indexing_slicing,
        reason = "masked to the length, and there is always a free one"
    )]
    fn slot(&mut self, term: Term) -> &mut (Term, u32) {
        let mask = self.slots.len() - 1;
        let mut place = term as usize & mask;
        while self.slots[place].0 != FREE && self.slots[place].0 != term {
            place = (place + 1) & mask;
        }
        &mut self.slots[place]
    }

    fn all(&self) -> impl Iterator<Item = (Term, u32)> + '_ {
        self.slots.iter().copied().filter(|(term, _)| *term != FREE)
    }
}

/// Rows that are to be put into a block, in the order of their numbers.
#[derive(Default)]
pub(crate) struct Loading {
    ids: Ids,
    counts: Vec<u32>,
    postings: Vec<Posting>,
    pub(super) lengths: Vec<(Doc, u16)>,
    /// What comes behind, with the numbers that its terms have here.
    behind: Vec<(Vec<u32>, Vec<Posting>)>,
}

/// The term's number, the row, the count.
type Posting = (u32, Doc, u8);

impl Loading {
    /// For about so many rows.
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            postings: Vec::with_capacity(rows * 16),
            lengths: Vec::with_capacity(rows),
            ..Self::default()
        }
    }

    fn count(&mut self, term: Term, rows: u32) -> u32 {
        let id = self.ids.of(term);
        match self.counts.get_mut(id as usize) {
            Some(count) => *count += rows,
            None => self.counts.push(rows),
        }
        id
    }

    pub(crate) fn posting(&mut self, doc: Doc, term: Term, count: u8) {
        let id = self.count(term, 1);
        self.postings.push((id, doc, count));
    }

    pub(crate) fn row(&mut self, doc: Doc, length: u16) {
        self.lengths.push((doc, length));
    }

    /// Puts another behind it, all rows of which come later.
    pub(crate) fn append(&mut self, other: Self) {
        let mut numbers = vec![0; other.counts.len()];
        for (term, id) in other.ids.all() {
            let rows = other.counts.get(id as usize).copied().unwrap_or_default();
            if let Some(number) = numbers.get_mut(id as usize) {
                *number = self.count(term, rows);
            }
        }
        self.behind.push((numbers, other.postings));
        self.lengths.extend(other.lengths);
    }

    pub(super) fn block(self) -> Block {
        let mut terms: Vec<(Term, u32)> = self.ids.all().collect();
        terms.sort_unstable();
        let mut begins = Vec::with_capacity(terms.len() + 1);
        let mut next = vec![0_u32; self.counts.len()];
        let mut sum = 0;
        for (_, id) in &terms {
            begins.push(sum);
            if let (Some(next), Some(count)) =
                (next.get_mut(*id as usize), self.counts.get(*id as usize))
            {
                *next = sum;
                sum += count;
            }
        }
        begins.push(sum);
        let mut docs = vec![0; sum as usize];
        let mut counts = vec![0; sum as usize];
        let mut put = |id: u32, doc: Doc, count: u8| {
            let Some(place) = next.get_mut(id as usize) else { return };
            if let (Some(d), Some(c)) =
                (docs.get_mut(*place as usize), counts.get_mut(*place as usize))
            {
                (*d, *c) = (doc, count);
            }
            *place += 1;
        };
        self.postings.into_iter().for_each(|(id, doc, count)| put(id, doc, count));
        for (numbers, postings) in self.behind {
            for (id, doc, count) in postings {
                if let Some(id) = numbers.get(id as usize) {
                    put(*id, doc, count);
                }
            }
        }
        Block { terms: terms.into_iter().map(|(term, _)| term).collect(), begins, docs, counts }
    }
}
