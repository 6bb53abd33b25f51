//! Memories, as SQL.

use std::sync::Arc;

use openclaw_core::{
    Error, ErrorKind, Result,
    memory::{Fact, Scope},
};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params};

use super::{
    shelf::{Change, Filled, Flags, Put, Row, kind_number},
    tallies::{self, count_source, sources, uncount},
};
use crate::{
    index::Doc,
    sqlite::{
        error::{failed, unreadable},
        writer::Tx,
    },
    words::{Term, Terms},
};

/// A scope's rows have `scope << 32 | number` for an id.
const DOC_BITS: u32 = 32;

pub(super) fn id(scope: i64, doc: Doc) -> i64 {
    scope << DOC_BITS | i64::from(doc)
}

pub(super) fn doc(id: i64) -> Doc {
    Doc::try_from(id & i64::from(Doc::MAX)).unwrap_or(Doc::MAX)
}

/// The ids that a scope's rows can have.
pub(super) fn ids(scope: i64) -> (i64, i64) {
    (id(scope, 0), id(scope, Doc::MAX))
}

/// A fact with all that can be made of it before the transaction.
pub(super) struct Prepared {
    fact: Fact,
    label: String,
    drawn_from: Option<String>,
    source: String,
    terms: Vec<u8>,
    counts: Arc<[(Term, u8)]>,
    length: u16,
    session: i64,
}

impl Prepared {
    pub(super) fn new(fact: Fact) -> Result<Self> {
        let label = serde_json::to_string(&fact.label).map_err(|e| unreadable("label", e))?;
        let drawn_from = match fact.of.as_slice() {
            [] => None,
            turns => Some(serde_json::to_string(turns).map_err(|e| unreadable("list", e))?),
        };
        let terms = Terms::of(&fact.text);
        let sources: Vec<&str> = fact.label.sources().collect();
        Ok(Self {
            label,
            drawn_from,
            source: sources.join(","),
            terms: terms.to_bytes(),
            counts: terms.counts.into(),
            length: terms.length,
            session: fact.session.as_deref().map_or(0, session_number),
            fact,
        })
    }

    fn flags(&self) -> Flags {
        let bounded = self.fact.valid_from.is_some() || self.fact.valid_to.is_some();
        Flags::new(self.fact.kind, &self.fact.label, bounded)
    }
}

/// A conversation's name as a number that is not nought.
pub(super) fn session_number(session: &str) -> i64 {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(session);
    let bytes = digest.first_chunk::<8>().copied().unwrap_or_default();
    i64::from_le_bytes(bytes) | 1
}

/// A scope's id, and its newest row's number.
pub(super) fn find_scope(conn: &Connection, scope: &Scope) -> Result<Option<(i64, Doc)>> {
    let mut statement = conn
        .prepare_cached("SELECT id, last FROM memory_scopes WHERE agent = ?1 AND part = ?2")
        .map_err(failed)?;
    statement
        .query_row([scope.agent.as_str(), &scope.part], |row| {
            Ok((row.get(0)?, doc(row.get::<_, i64>(1)?)))
        })
        .optional()
        .map_err(failed)
}

/// What is known of a version.
struct Version {
    id: i64,
    begins: i64,
    valid_to: Option<i64>,
}

fn version_at(row: &SqlRow<'_>) -> rusqlite::Result<Version> {
    Ok(Version { id: row.get(0)?, begins: row.get(1)?, valid_to: row.get(2)? })
}

/// How facts are stored.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    /// The most that the texts of one source may take, in bytes.
    pub(super) most_of_source: Option<u64>,
    /// They were stored before: each belongs where it was, and what is there already is left alone.
    pub(super) as_history: bool,
}

/// Stores facts; the scope's id and what changed for its index.
pub(super) fn store(
    tx: &mut Tx<'_>,
    scope: &Scope,
    facts: &[Prepared],
    terms: Told,
) -> Result<(i64, Vec<Change>)> {
    let (scope_id, mut last) = tallies::newest(tx, scope)?;
    let mut changes = Vec::with_capacity(facts.len());
    for fact in facts {
        store_one(tx, scope_id, fact, &mut last, terms, &mut changes)?;
    }
    tallies::set_newest(tx, scope, last);
    Ok((scope_id, changes))
}

fn store_one(
    tx: &mut Tx<'_>,
    scope: i64,
    new: &Prepared,
    last: &mut Doc,
    terms: Told,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let fact = &new.fact;
    let most_of_source = terms.most_of_source;
    if terms.as_history {
        let known = tx
            .prepare("SELECT 1 FROM memories WHERE scope = ?1 AND name = ?2 AND begins = ?3 AND text = ?4")?
            .exists(params![scope, fact.id, fact.begins().0, fact.text])
            .map_err(failed)?;
        if known {
            return Ok(());
        }
    }
    let current = tx
        .prepare(
            "SELECT id, begins, valid_to, text = ?3 AND kind = ?4 FROM memories
             WHERE scope = ?1 AND name = ?2 AND superseded_by IS NULL",
        )?
        .query_row(params![scope, fact.id, fact.text, kind_number(fact.kind)], |row| {
            Ok((version_at(row)?, row.get::<_, bool>(3)?))
        })
        .optional()
        .map_err(failed)?;
    let mut begins = fact.begins().0;
    let mut ends = fact.valid_to.map(|to| to.0);
    let mut superseded_by = None;
    if let Some((version, same)) = current {
        if same {
            // The same again: only what is said about it changes.
            changes.push(restate(tx, scope, &version, new)?);
            return Ok(());
        }
        let number = next(last)?;
        if (terms.as_history || fact.valid_from.is_some()) && begins < version.begins {
            // It was so before: between what is known to have been true before it and after it.
            let (earlier, later) = neighbours(tx, scope, &fact.id, begins)?;
            if let Some(earlier) = earlier {
                changes.push(close(tx, &earlier, id(scope, number), begins)?);
            }
            if let Some(later) = later {
                ends = Some(ends.map_or(later.begins, |ends| ends.min(later.begins)));
                superseded_by = Some(later.id);
            }
        } else {
            begins = begins.max(version.begins);
            changes.push(close(tx, &version, id(scope, number), begins)?);
        }
        return insert(
            tx,
            scope,
            new,
            number,
            Truth { begins, ends, superseded_by },
            most_of_source,
            changes,
        );
    }
    let number = next(last)?;
    insert(tx, scope, new, number, Truth { begins, ends, superseded_by }, most_of_source, changes)
}

fn next(last: &mut Doc) -> Result<Doc> {
    if *last >= Doc::MAX - 1 {
        return Err(Error::new(
            ErrorKind::Exhausted,
            "the scope holds 4 billion memories; use another scope",
        ));
    }
    *last += 1;
    Ok(*last)
}

/// The versions between which one that begins then belongs.
fn neighbours(
    tx: &Tx<'_>,
    scope: i64,
    name: &str,
    begins: i64,
) -> Result<(Option<Version>, Option<Version>)> {
    let find = |sql: &str| {
        tx.prepare(sql)?
            .query_row(params![scope, name, begins], version_at)
            .optional()
            .map_err(failed)
    };
    let earlier = find(
        "SELECT id, begins, valid_to FROM memories
         WHERE scope = ?1 AND name = ?2 AND begins <= ?3 ORDER BY begins DESC, id DESC LIMIT 1",
    )?;
    let later = find(
        "SELECT id, begins, valid_to FROM memories
         WHERE scope = ?1 AND name = ?2 AND begins > ?3 ORDER BY begins, id LIMIT 1",
    )?;
    Ok((earlier, later))
}

/// Marks a version as superseded by another from then on.
fn close(tx: &Tx<'_>, version: &Version, by: i64, from: i64) -> Result<Change> {
    let ends = version.valid_to.map_or(from, |ends| ends.min(from));
    tx.execute(
        "UPDATE memories SET superseded_by = ?2, valid_to = ?3 WHERE id = ?1",
        params![version.id, by, ends],
    )?;
    tx.execute(
        "UPDATE memory_index SET flags = flags | ?2, ends = ?3 WHERE id = ?1",
        params![version.id, Flags::superseded(), ends],
    )?;
    Ok(Change::Superseded { doc: doc(version.id), ends })
}

/// Updates what is said about a row whose text stays.
fn restate(tx: &mut Tx<'_>, scope: i64, version: &Version, new: &Prepared) -> Result<Change> {
    let fact = &new.fact;
    let begins = fact.begins().0.min(version.begins);
    let flags = new.flags();
    let drawn_from = turns(tx, scope, &fact.of)?;
    let before: String = tx
        .prepare("SELECT label FROM memories WHERE id = ?1")?
        .query_row([version.id], |row| row.get(0))
        .map_err(failed)?;
    let size = size(fact);
    uncount(tx, scope, &sources(&before)?, 1, size)?;
    count_source(tx, scope, &new.source, size, None)?;
    tx.execute(
        "UPDATE memories SET label = ?2, at = ?3, begins = ?4, valid_from = ?5, valid_to = ?6,
         session = ?7, place = ?8, drawn_from = ?9 WHERE id = ?1",
        params![
            version.id,
            new.label,
            fact.at.0,
            begins,
            fact.valid_from.map(|from| from.0),
            fact.valid_to.map(|to| to.0),
            fact.session,
            place(fact),
            new.drawn_from,
        ],
    )?;
    let row = Row { at: fact.at.0, begins, ends: fact.valid_to.map_or(i64::MAX, |to| to.0) };
    tx.execute(
        "UPDATE memory_index SET flags = ?2, at = ?3, begins = ?4, ends = ?5, session = ?6,
         drawn_from = ?7 WHERE id = ?1",
        params![
            version.id,
            flags.0,
            row.at,
            row.begins,
            row.ends,
            new.session,
            docs_to_bytes(&drawn_from)
        ],
    )?;
    Ok(put(doc(version.id), new, flags, row, drawn_from))
}

fn place(fact: &Fact) -> i64 {
    i64::try_from(fact.place).unwrap_or(i64::MAX)
}

fn size(fact: &Fact) -> i64 {
    i64::try_from(fact.text.len()).unwrap_or(i64::MAX)
}

struct Truth {
    begins: i64,
    ends: Option<i64>,
    superseded_by: Option<i64>,
}

fn insert(
    tx: &mut Tx<'_>,
    scope: i64,
    new: &Prepared,
    number: Doc,
    truth: Truth,
    most_of_source: Option<u64>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let fact = &new.fact;
    let row_id = id(scope, number);
    count_source(tx, scope, &new.source, size(fact), most_of_source)?;
    tx.execute(
        "INSERT INTO memories (id, scope, name, kind, text, label, at, created, begins, valid_from,
         valid_to, superseded_by, session, place, drawn_from)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        params![
            row_id,
            scope,
            fact.id,
            kind_number(fact.kind),
            fact.text,
            new.label,
            fact.at.0,
            tx.now.0,
            truth.begins,
            fact.valid_from.map(|from| from.0),
            truth.ends,
            truth.superseded_by,
            fact.session,
            place(fact),
            new.drawn_from,
        ],
    )?;
    let mut flags = new.flags();
    if truth.superseded_by.is_some() {
        flags = flags.as_superseded();
    }
    let drawn_from = turns(tx, scope, &fact.of)?;
    let row = Row { at: fact.at.0, begins: truth.begins, ends: truth.ends.unwrap_or(i64::MAX) };
    tx.execute(
        "INSERT INTO memory_index (id, flags, at, begins, ends, session, drawn_from, terms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            row_id,
            flags.0,
            row.at,
            row.begins,
            row.ends,
            new.session,
            docs_to_bytes(&drawn_from),
            new.terms,
        ],
    )?;
    changes.push(put(number, new, flags, row, drawn_from));
    Ok(())
}

fn put(doc: Doc, new: &Prepared, flags: Flags, row: Row, drawn_from: Vec<Doc>) -> Change {
    Change::Put(Put {
        row: Filled { doc, row, flags, session: new.session, drawn_from },
        length: new.length,
        terms: Arc::clone(&new.counts),
    })
}

/// The numbers of turns; of those that are there.
fn turns(tx: &Tx<'_>, scope: i64, names: &[String]) -> Result<Vec<Doc>> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let known = tx
            .prepare(
                "SELECT id FROM memories WHERE scope = ?1 AND name = ?2 AND superseded_by IS NULL",
            )?
            .query_row(params![scope, name], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        found.extend(known.map(doc));
    }
    Ok(found)
}

fn docs_to_bytes(docs: &[Doc]) -> Option<Vec<u8>> {
    (!docs.is_empty()).then(|| docs.iter().flat_map(|doc| doc.to_le_bytes()).collect())
}

pub(super) fn docs_from_bytes(bytes: &[u8]) -> Vec<Doc> {
    bytes.as_chunks::<4>().0.iter().map(|doc| Doc::from_le_bytes(*doc)).collect()
}

/// What a row's index must say.
pub(super) struct Indexed {
    pub(super) flags: u16,
    pub(super) at: i64,
    pub(super) begins: i64,
    pub(super) ends: i64,
    pub(super) session: i64,
    pub(super) drawn_from: Option<Vec<u8>>,
}

/// What the index of a stored row must say.
pub(super) fn indexed(tx: &Tx<'_>, id: i64, fact: &Fact) -> Result<Indexed> {
    let (begins, valid_to, superseded): (i64, Option<i64>, bool) = tx
        .prepare("SELECT begins, valid_to, superseded_by IS NOT NULL FROM memories WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .map_err(failed)?;
    // A bound that superseding set is none that the clock decides about.
    let bounded = fact.valid_from.is_some() || fact.valid_to.is_some() && !superseded;
    let flags = Flags::new(fact.kind, &fact.label, bounded);
    let flags = if superseded { flags.as_superseded() } else { flags };
    Ok(Indexed {
        flags: flags.0,
        at: fact.at.0,
        begins,
        ends: valid_to.unwrap_or(i64::MAX),
        session: fact.session.as_deref().map_or(0, session_number),
        drawn_from: docs_to_bytes(&turns(tx, id >> DOC_BITS, &fact.of)?),
    })
}
