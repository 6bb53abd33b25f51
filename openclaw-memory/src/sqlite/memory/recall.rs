//! Searching: words and meaning, each on its own scale from 0 to 1, added with a weight for meaning; then what
//! stands beside a turn, what facts point to, and what repeats.

use std::{cmp::Ordering, collections::BTreeMap};

use openclaw_core::{
    Result,
    memory::{Explain, FactKind, Query, Recalled},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _};

use super::{DEFAULT_WEIGHT, read, rows, shelf::Shelf};
use crate::{
    index::{Bits, Coarse, Doc, VectorIndex as _},
    sqlite::error::failed,
    words::{self, Term},
};

/// Of each half, how many rows are looked at for each that is wanted, and at least.
const CANDIDATES_EACH: usize = 4;
const LEAST_CANDIDATES: usize = 100;
/// How much a turn has of the scores of those that stand up to [`BESIDE_PLACES`] before and behind it.
const BESIDE: f32 = 0.25;
const BESIDE_PLACES: usize = 2;
/// How much it has of the best score up to [`AROUND_PLACES`] away, its own included: what a conversation is about
/// is said in few of its turns.
const AROUND: f32 = 0.4;
const AROUND_PLACES: usize = 6;
/// Which share of what is returned the best by words keep, at most; from how much of what is asked one of them must
/// have, and from how much on all of that share. Chosen by the tuning part of the generated questions.
const KEPT: f32 = 0.8;
const KEPT_FROM: f32 = 0.2;
const KEPT_ALL_FROM: f32 = 0.6;
/// How much newer counts where the query asks for what is new.
const RECENCY: f32 = 0.15;
/// From this closeness on two rows say the same.
const SAME: f32 = 0.97;
/// What is left of the score of a row that says what one before it said.
const REPEATED: f32 = 0.5;

/// A query with all that can be made of it before the search.
pub(super) struct Asked {
    pub(super) query: Query,
    pub(super) now: Timestamp,
    terms: Vec<(Term, f32)>,
    meaning: Option<Meaning>,
}

/// A query's vector and how much it counts.
pub(super) struct Meaning {
    pub(super) vector: Vec<f32>,
    pub(super) coarse: Coarse,
    pub(super) weight: f32,
}

struct Hit {
    doc: Doc,
    score: f32,
    why: Explain,
    through: Option<Doc>,
}

impl Asked {
    pub(super) fn new(query: Query, now: Timestamp, meaning: Option<Meaning>) -> Self {
        let terms = words::query(&query.text);
        Self { query, now, terms, meaning }
    }

    /// What fits, best first.
    pub(super) fn search(
        &self,
        conn: &Connection,
        scope: i64,
        shelf: &mut Shelf,
    ) -> Result<Vec<Recalled>> {
        // One look at the file for all that is read: each would lock it anew.
        let _look = conn.unchecked_transaction().map_err(failed)?;
        let among = shelf.among(&self.query, self.now);
        let wanted = (self.query.limit * CANDIDATES_EACH).max(LEAST_CANDIDATES);
        let by_words = {
            let Shelf { lexical, scratch, .. } = shelf;
            lexical.search(&self.terms, &among, wanted, scratch)
        };
        let most = by_words.first().map_or(0.0, |(_, score)| *score);
        let by_meaning = self.by_meaning(conn, scope, shelf, &among, wanted)?;
        let scale = self.scale(shelf, &by_meaning);
        let mut closeness = by_meaning.clone();
        closeness.sort_unstable_by_key(|(doc, _)| *doc);
        let mut candidates = Bits::default();
        for (doc, _) in by_words.iter().chain(&by_meaning) {
            candidates.set(*doc, true);
            if shelf.is_kind(*doc, FactKind::Turn) {
                for (_, beside) in
                    shelf.beside(*doc, BESIDE_PLACES).filter(|(_, doc)| among.has(*doc))
                {
                    candidates.set(beside, true);
                }
            }
        }
        let candidates: Vec<(Doc, (f32, f32))> = candidates
            .iter()
            .map(|doc| (doc, self.halves(shelf, doc, most, &closeness, scale)))
            .collect();
        let mut noted = std::mem::take(&mut shelf.noted);
        let end = candidates.last().map_or(0, |(doc, _)| *doc as usize + 1);
        noted.resize(noted.len().max(end), -1.0);
        for (doc, (words, meaning)) in &candidates {
            if let Some(place) = noted.get_mut(*doc as usize) {
                *place = words + meaning;
            }
        }
        let hit = |(doc, (words, meaning)): &(Doc, (f32, f32))| {
            let context = self.context(shelf, *doc, words + meaning, &noted);
            let score = words + meaning + context;
            let mut why = Explain::default();
            (why.words, why.meaning, why.context) = (*words, *meaning, context);
            (score > 0.0).then_some((*doc, Hit { doc: *doc, score, why, through: None }))
        };
        let mut hits: BTreeMap<Doc, Hit> = candidates.iter().filter_map(hit).collect();
        for (doc, _) in &candidates {
            if let Some(place) = noted.get_mut(*doc as usize) {
                *place = -1.0;
            }
        }
        shelf.noted = noted;
        through_facts(shelf, &among, &mut hits);
        let mut hits: Vec<Hit> = hits.into_values().collect();
        if words::asks_for_time(&self.query.text) {
            prefer_new(shelf, &mut hits);
        }
        sort(shelf, &mut hits);
        if self.meaning.is_some() {
            self.keep_the_best_by_words(shelf, &by_words, most, &mut hits);
        }
        // Some more than wanted, in place of what repeats.
        hits.truncate(self.query.limit + self.query.limit / 2 + 4);
        self.read(conn, scope, shelf, hits)
    }

    /// Where the best row by words has much of what is asked, the best of them stay among what is returned, whatever
    /// means the same: in place of the last of the others.
    fn keep_the_best_by_words(
        &self,
        shelf: &Shelf,
        by_words: &[(Doc, f32)],
        most: f32,
        hits: &mut Vec<Hit>,
    ) {
        let whole = shelf.scratch.whole();
        let evidence = if whole > 0.0 { most / whole } else { 0.0 };
        let sure = ((evidence - KEPT_FROM) / (KEPT_ALL_FROM - KEPT_FROM)).clamp(0.0, 1.0);
        // Who gives meaning more than the usual weight wants less of it.
        let weight = self.meaning.as_ref().map_or(0.0, |meaning| meaning.weight);
        let words = ((1.0 - weight) / (1.0 - DEFAULT_WEIGHT)).min(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "at most the limit"
        )]
        let kept = (self.query.limit as f32 * KEPT * sure * words).round() as usize;
        let best: Vec<Doc> = by_words.iter().take(kept).map(|(doc, _)| *doc).collect();
        let mut end = self.query.limit.min(hits.len());
        for doc in best.iter().rev() {
            let Some(from) = hits.iter().position(|hit| hit.doc == *doc) else { continue };
            if from < self.query.limit {
                continue;
            }
            // The last that is none of them makes room.
            let Some(to) = hits.iter().take(end).rposition(|hit| !best.contains(&hit.doc)) else {
                return;
            };
            let score = hits.get(to).map_or(0.0, |hit| hit.score);
            let mut hit = hits.remove(from);
            hit.score = score;
            hits.insert(to, hit);
            end = to;
        }
    }

    /// What closeness counts for nothing, and what for all: the mean of the scope, which any text has, and the
    /// best.
    fn scale(&self, shelf: &Shelf, found: &[(Doc, f32)]) -> (f32, f32) {
        let high = found.first().map_or(1.0, |(_, close)| *close);
        let mean =
            self.meaning.as_ref().map(|meaning| shelf.vectors.scan.mean_closeness(&meaning.coarse));
        (mean.unwrap_or(0.0).min(high - 0.1), high)
    }

    /// What a row has by its words and by its meaning.
    fn halves(
        &self,
        shelf: &Shelf,
        doc: Doc,
        most: f32,
        closeness: &[(Doc, f32)],
        (low, high): (f32, f32),
    ) -> (f32, f32) {
        let words = if most > 0.0 { shelf.scratch.score(doc) / most } else { 0.0 };
        let Some(meaning) = &self.meaning else { return (words, 0.0) };
        let place = closeness.binary_search_by_key(&doc, |(doc, _)| *doc).ok();
        let close = place.and_then(|place| closeness.get(place)).map(|(_, close)| *close);
        let close = close.or_else(|| shelf.vectors.closeness(&meaning.coarse, doc));
        // A row that has no vector yet counts by its words alone.
        let close = close.map_or(words, |close| ((close - low) / (high - low)).clamp(0.0, 1.0));
        ((1.0 - meaning.weight) * words, meaning.weight * close)
    }

    /// What a turn has of those around it, as far as they were looked at.
    fn context(&self, shelf: &Shelf, doc: Doc, own: f32, noted: &[f32]) -> f32 {
        if !shelf.is_kind(doc, FactKind::Turn) {
            return 0.0;
        }
        let (mut near, mut best, mut alone) = (0.0, own, true);
        for (places, other) in shelf.beside(doc, AROUND_PLACES) {
            alone = false;
            let score = noted.get(other as usize).copied().unwrap_or(-1.0);
            best = best.max(score);
            if places <= BESIDE_PLACES && score > 0.0 {
                near += score;
            }
        }
        // Without a conversation there is nothing around it.
        if alone { 0.0 } else { BESIDE * near + AROUND * best }
    }

    fn by_meaning(
        &self,
        conn: &Connection,
        scope: i64,
        shelf: &Shelf,
        among: &Bits,
        wanted: usize,
    ) -> Result<Vec<(Doc, f32)>> {
        let Some(meaning) = self.meaning.as_ref().filter(|meaning| meaning.weight > 0.0) else {
            return Ok(Vec::new());
        };
        let mut found = shelf.vectors.search(&meaning.coarse, among, wanted);
        // The best once more by their whole values; some more than wanted, since the order may change.
        let best = (self.query.limit + self.query.limit / 2 + 4).min(found.len());
        for (doc, close) in found.iter_mut().take(best) {
            if let Some(exact) = exact(conn, rows::id(scope, *doc), &meaning.vector)? {
                *close = exact;
            }
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok(found)
    }

    /// Reads the rows, and puts those behind that say what one before them said.
    fn read(
        &self,
        conn: &Connection,
        scope: i64,
        shelf: &Shelf,
        hits: Vec<Hit>,
    ) -> Result<Vec<Recalled>> {
        let mut found: Vec<(Doc, Recalled)> = Vec::with_capacity(hits.len());
        for mut hit in hits {
            // Those behind have no better score, and none can get one.
            let better = found.iter().filter(|(_, recalled)| recalled.score >= hit.score);
            if better.count() >= self.query.limit {
                break;
            }
            // Forgotten just now.
            let Some(fact) = read::fact(conn, rows::id(scope, hit.doc))? else { continue };
            if let Some(through) = hit.through {
                hit.why.through = read::fact(conn, rows::id(scope, through))?.map(|fact| fact.id);
            }
            let repeats = found.iter().any(|(doc, earlier)| {
                !earlier.why.repeats
                    && earlier.fact.kind == fact.kind
                    && (earlier.fact.text == fact.text || same(shelf, *doc, hit.doc))
            });
            let mut recalled = Recalled::new(fact, hit.score);
            recalled.why = hit.why;
            if repeats {
                recalled.why.repeats = true;
                recalled.score *= REPEATED;
            }
            found.push((hit.doc, recalled));
        }
        // Keeps the order of those that have the same score.
        found.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
        found.truncate(self.query.limit);
        Ok(found.into_iter().map(|(_, recalled)| recalled).collect())
    }
}

/// The cosine of a stored vector and another.
fn exact(conn: &Connection, id: i64, query: &[f32]) -> Result<Option<f32>> {
    let mut statement =
        conn.prepare_cached("SELECT vector FROM memory_vectors WHERE id = ?1").map_err(failed)?;
    let cosine = statement
        .query_row([id], |row| {
            let bytes = row.get_ref(0)?.as_blob()?;
            Ok(cosine(bytes, query))
        })
        .optional()
        .map_err(failed)?;
    Ok(cosine.flatten())
}

/// In double precision and one order, so that it is the same on every machine.
fn cosine(bytes: &[u8], query: &[f32]) -> Option<f32> {
    let (values, []) = bytes.as_chunks::<4>() else { return None };
    if values.len() != query.len() {
        return None;
    }
    let (mut product, mut length, mut other) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (a, b) in values.iter().zip(query) {
        let (a, b) = (f64::from(f32::from_le_bytes(*a)), f64::from(*b));
        product += a * b;
        length += a * a;
        other += b * b;
    }
    let cosine = product / (length * other).sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "from -1 to 1")]
    cosine.is_finite().then_some(cosine as f32)
}

fn same(shelf: &Shelf, a: Doc, b: Doc) -> bool {
    shelf.vectors.scan.likeness(a, b).is_some_and(|close| close >= SAME)
}

/// Facts give their score to the turns that they were drawn from, and step back for them.
fn through_facts(shelf: &Shelf, among: &Bits, hits: &mut BTreeMap<Doc, Hit>) {
    let facts: Vec<(Doc, f32)> = hits
        .values()
        .filter(|hit| !shelf.drawn_from(hit.doc).is_empty())
        .map(|hit| (hit.doc, hit.score))
        .collect();
    for (fact, score) in facts {
        let mut told = false;
        for turn in shelf.drawn_from(fact) {
            if !among.has(*turn) {
                continue;
            }
            told = true;
            let hit = hits.entry(*turn).or_insert_with(|| Hit {
                doc: *turn,
                score: 0.0,
                why: Explain::default(),
                through: None,
            });
            if score > hit.score {
                (hit.score, hit.through) = (score, Some(fact));
            }
        }
        if told {
            hits.remove(&fact);
        }
    }
}

/// Adds to what is new, between the oldest and the newest of what was found.
#[expect(clippy::cast_precision_loss, reason = "shares of a span of time")]
fn prefer_new(shelf: &Shelf, hits: &mut [Hit]) {
    let at = |hit: &Hit| shelf.row(hit.doc).map_or(0, |row| row.at);
    let (Some(oldest), Some(newest)) = (hits.iter().map(at).min(), hits.iter().map(at).max())
    else {
        return;
    };
    let span = newest.saturating_sub(oldest);
    for hit in hits.iter_mut().filter(|_| span > 0) {
        let share = (at(hit).saturating_sub(oldest) as f64 / span as f64) as f32;
        hit.why.recency = RECENCY * share;
        hit.score += hit.why.recency;
    }
}

/// Best first; of those that fit as well the newest.
fn sort(shelf: &Shelf, hits: &mut [Hit]) {
    let at = |hit: &Hit| shelf.row(hit.doc).map_or(0, |row| row.at);
    hits.sort_unstable_by(|a, b| match b.score.total_cmp(&a.score) {
        Ordering::Equal => at(b).cmp(&at(a)).then(b.doc.cmp(&a.doc)),
        other => other,
    });
}
