//! The index of one scope: what its rows are, their words, their vectors.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use openclaw_core::{
    label::{Confidentiality, Integrity, Label},
    memory::{FactKind, Query},
    time::Timestamp,
};

use super::fill::Part;
use crate::{
    index::{Bits, Coarse, Doc, Lexical, Rotation, Scratch, VectorIndex as _, Vectors},
    words::Term,
};

/// What a search must know of a row without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(pub(super) u16);

impl Flags {
    const SUPERSEDED: u16 = 1 << 6;
    /// It has told bounds of its truth, which the clock decides about.
    const BOUNDED: u16 = 1 << 7;
    const SUPERSEDED_INT: i64 = 1 << 6;

    pub(super) fn new(kind: FactKind, label: &Label, bounded: bool) -> Self {
        let integrity = match label.integrity {
            Integrity::Untrusted => 0,
            Integrity::User => 1,
            Integrity::System => 2,
        };
        let confidentiality = match label.confidentiality {
            Confidentiality::Public => 0,
            Confidentiality::Private => 1,
            Confidentiality::Secret => 2,
        };
        let kind = kind_number(kind);
        Self(kind | integrity << 2 | confidentiality << 4 | if bounded { Self::BOUNDED } else { 0 })
    }

    /// What is added to the stored number of a row that is superseded.
    pub(super) const fn superseded() -> i64 {
        Self::SUPERSEDED_INT
    }

    pub(super) fn as_superseded(self) -> Self {
        Self(self.0 | Self::SUPERSEDED)
    }

    fn is_superseded(self) -> bool {
        self.0 & Self::SUPERSEDED != 0
    }

    fn is_bounded(self) -> bool {
        self.0 & Self::BOUNDED != 0
    }

    fn kind(self) -> u16 {
        self.0 & 3
    }

    fn integrity(self) -> u16 {
        self.0 >> 2 & 3
    }

    fn confidentiality(self) -> u16 {
        self.0 >> 4 & 3
    }
}

/// A kind as it is stored.
pub(super) fn kind_number(kind: FactKind) -> u16 {
    match kind {
        FactKind::Turn => 0,
        FactKind::Fact => 1,
        FactKind::Chunk => 3,
        _ => 2,
    }
}

/// The kind that is stored so.
pub(super) fn kind_of(number: i64) -> FactKind {
    match number {
        0 => FactKind::Turn,
        1 => FactKind::Fact,
        3 => FactKind::Chunk,
        _ => FactKind::Note,
    }
}

/// A committed change of a scope's rows.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A row was added, or all but its text and its words changed.
    Put(Put),
    /// A row is superseded from then on.
    Superseded { doc: Doc, ends: i64 },
    /// A row's vector is there.
    Embedded { doc: Doc, vector: Arc<Coarse> },
    /// Rows were forgotten.
    Gone { docs: Vec<Doc> },
}

#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) row: Filled,
    pub(super) length: u16,
    pub(super) terms: Arc<[(Term, u8)]>,
}

/// What an index has of a row beside its words and its vector.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    pub(super) doc: Doc,
    pub(super) row: Row,
    pub(super) flags: Flags,
    pub(super) session: i64,
    pub(super) drawn_from: Vec<Doc>,
}

/// When a row was said and is true, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) at: i64,
    pub(super) begins: i64,
    pub(super) ends: i64,
}

const NOBODY: Doc = Doc::MAX;

/// The index of a scope.
pub(super) struct Shelf {
    rows: Vec<Row>,
    flags: Vec<Flags>,
    /// What stands before and behind a row in its conversation.
    beside: Vec<(Doc, Doc)>,
    ends_of_sessions: HashMap<i64, Doc>,
    there: Bits,
    /// There and not superseded.
    current: Bits,
    /// Those of them that have bounds.
    bounded: BTreeSet<Doc>,
    drawn_from: HashMap<Doc, Vec<Doc>>,
    pub(super) lexical: Lexical,
    pub(super) vectors: Vectors,
    /// Since the graph was looked at last.
    #[cfg(feature = "hnsw")]
    pub(super) changed: bool,
    pub(super) scratch: Scratch,
    /// Where a search notes what it made of rows; below nought where it did not.
    pub(super) noted: Vec<f32>,
}

impl Shelf {
    /// Of what was read, the parts in their order.
    pub(super) fn filled(parts: impl IntoIterator<Item = Part>) -> Self {
        let mut shelf = Self::new();
        for (place, part) in parts.into_iter().enumerate() {
            let rows = part.rows.last().map_or(0, |last| last.doc as usize + 1);
            shelf.rows.reserve_exact(rows.saturating_sub(shelf.rows.len()));
            shelf.flags.reserve_exact(rows.saturating_sub(shelf.flags.len()));
            shelf.beside.reserve_exact(rows.saturating_sub(shelf.beside.len()));
            part.rows.into_iter().for_each(|row| shelf.note(row));
            shelf.lexical.append(part.words, part.lengths);
            if place == 0 {
                shelf.vectors.scan = part.vectors;
            } else {
                shelf.vectors.scan.append(part.from, &part.vectors);
            }
        }
        shelf
    }

    fn new() -> Self {
        Self {
            rows: Vec::new(),
            flags: Vec::new(),
            beside: Vec::new(),
            ends_of_sessions: HashMap::new(),
            there: Bits::default(),
            current: Bits::default(),
            bounded: BTreeSet::new(),
            drawn_from: HashMap::new(),
            lexical: Lexical::default(),
            vectors: Vectors::new(0),
            #[cfg(feature = "hnsw")]
            changed: true,
            scratch: Scratch::default(),
            noted: Vec::new(),
        }
    }

    /// Takes note of all of a row but its words.
    fn note(&mut self, put: Filled) {
        let place = put.doc as usize;
        if self.rows.len() <= place {
            self.rows.resize(place + 1, Row::default());
            self.flags.resize(place + 1, Flags(0));
            self.beside.resize(place + 1, (NOBODY, NOBODY));
        }
        if let (Some(row), Some(flags)) = (self.rows.get_mut(place), self.flags.get_mut(place)) {
            (*row, *flags) = (put.row, put.flags);
        }
        let is_new = !self.there.has(put.doc);
        self.there.set(put.doc, true);
        self.current.set(put.doc, !put.flags.is_superseded());
        if put.flags.is_bounded() {
            self.bounded.insert(put.doc);
        } else if !is_new {
            self.bounded.remove(&put.doc);
        }
        if !put.drawn_from.is_empty() {
            self.drawn_from.insert(put.doc, put.drawn_from);
        } else if !is_new {
            self.drawn_from.remove(&put.doc);
        }
        if put.session != 0 && is_new {
            let before = self.ends_of_sessions.insert(put.session, put.doc);
            if let Some(before) = before
                && let Some(beside) = self.beside.get_mut(before as usize)
            {
                beside.1 = put.doc;
                if let Some(beside) = self.beside.get_mut(place) {
                    beside.0 = before;
                }
            }
        }
    }

    pub(super) fn apply(&mut self, change: Change) {
        #[cfg(feature = "hnsw")]
        {
            self.changed = true;
        }
        match change {
            Change::Put(Put { row, length, terms }) => {
                self.lexical.add(row.doc, length, &terms);
                self.note(row);
            }
            Change::Superseded { doc, ends } => {
                if let Some(row) = self.rows.get_mut(doc as usize) {
                    row.ends = ends;
                }
                if let Some(flags) = self.flags.get_mut(doc as usize) {
                    *flags = flags.as_superseded();
                }
                self.current.set(doc, false);
            }
            Change::Embedded { doc, vector } => {
                if self.there.has(doc) {
                    self.vectors.set(doc, &vector);
                }
            }
            Change::Gone { docs } => {
                let many = docs.len() > 64;
                for doc in docs {
                    self.remove(doc);
                }
                if many {
                    self.lexical.compact();
                }
            }
        }
    }

    fn remove(&mut self, doc: Doc) {
        self.there.set(doc, false);
        self.current.set(doc, false);
        self.bounded.remove(&doc);
        self.drawn_from.remove(&doc);
        self.lexical.remove(doc);
        self.vectors.remove(doc);
        let Some(place) = self.beside.get_mut(doc as usize) else { return };
        let (before, behind) = std::mem::replace(place, (NOBODY, NOBODY));
        if let Some(place) = self.beside.get_mut(before as usize) {
            place.1 = behind;
        }
        if let Some(place) = self.beside.get_mut(behind as usize) {
            place.0 = before;
        }
        self.ends_of_sessions.retain(|_, last| {
            if *last == doc && before != NOBODY {
                *last = before;
            }
            *last != doc
        });
    }

    /// The rows that a query may find.
    pub(super) fn among(&self, query: &Query, now: Timestamp) -> Bits {
        let mut among = match query.as_of {
            None => {
                let mut among = self.current.clone();
                for doc in &self.bounded {
                    let valid =
                        self.row(*doc).is_some_and(|row| row.begins <= now.0 && now.0 < row.ends);
                    if !valid {
                        among.set(*doc, false);
                    }
                }
                among
            }
            Some(moment) => {
                let mut among = Bits::default();
                for doc in self.there.iter() {
                    let row = self.row(doc);
                    if row.is_some_and(|row| row.begins <= moment.0 && moment.0 < row.ends) {
                        among.set(doc, true);
                    }
                }
                among
            }
        };
        let kinds: Vec<u16> = query.kinds.iter().map(|kind| kind_number(*kind)).collect();
        let bound =
            Flags::new(FactKind::Note, &Label::new(query.least, query.most, "bound"), false);
        let filtered = !kinds.is_empty()
            || query.most < Confidentiality::Secret
            || query.least > Integrity::Untrusted
            || query.since.is_some()
            || query.until.is_some();
        if filtered {
            let mut kept = Bits::default();
            for doc in among.iter() {
                let (Some(row), Some(flags)) = (self.row(doc), self.flags.get(doc as usize)) else {
                    continue;
                };
                let keep = (kinds.is_empty() || kinds.contains(&flags.kind()))
                    && flags.confidentiality() <= bound.confidentiality()
                    && flags.integrity() >= bound.integrity()
                    && query.since.is_none_or(|since| row.at >= since.0)
                    && query.until.is_none_or(|until| row.at < until.0);
                if keep {
                    kept.set(doc, true);
                }
            }
            among = kept;
        }
        among
    }

    pub(super) fn row(&self, doc: Doc) -> Option<&Row> {
        self.rows.get(doc as usize)
    }

    pub(super) fn is_kind(&self, doc: Doc, kind: FactKind) -> bool {
        self.flags.get(doc as usize).is_some_and(|flags| flags.kind() == kind_number(kind))
    }

    /// What stands before and behind a row in its conversation, so many places to either side: how far away,
    /// and what.
    pub(super) fn beside(
        &self,
        doc: Doc,
        places: usize,
    ) -> impl Iterator<Item = (usize, Doc)> + '_ {
        let next = |doc: Doc| self.beside.get(doc as usize).map(|(_, behind)| *behind);
        let last = |doc: Doc| self.beside.get(doc as usize).map(|(before, _)| *before);
        let real = |doc: &Doc| *doc != NOBODY;
        let behind =
            std::iter::successors(next(doc).filter(real), move |doc| next(*doc).filter(real));
        let before =
            std::iter::successors(last(doc).filter(real), move |doc| last(*doc).filter(real));
        (1..=places).zip(behind).chain((1..=places).zip(before))
    }

    /// The turns that a fact was drawn from.
    pub(super) fn drawn_from(&self, doc: Doc) -> &[Doc] {
        self.drawn_from.get(&doc).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.lexical.rows()
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.flags.capacity() * 2
            + self.beside.capacity() * 8
            + self.there.bytes()
            + self.current.bytes()
            + self.lexical.bytes()
            + self.scratch.bytes()
            + self.noted.capacity() * 4
            + self.vectors.bytes()
    }
}

/// How vectors of the current generation are read.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub(super) id: i64,
    pub(super) rotation: Rotation,
}
