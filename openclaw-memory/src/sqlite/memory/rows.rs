//! Memories, as SQL.

use std::{collections::BTreeMap, sync::Arc};

use openclaw_core::{
    Error, ErrorKind, Result,
    memory::{Fact, Forget, Page, Scope},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params};

use super::shelf::{Change, Flags, Put, Row, kind_number, kind_of};
use crate::{
    index::Doc,
    sqlite::{
        error::{failed, unreadable},
        sessions::{count, scrub},
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
    tx: &Tx<'_>,
    scope: &Scope,
    facts: &[Prepared],
    terms: Told,
) -> Result<(i64, Vec<Change>)> {
    let (scope_id, mut last) = match find_scope(tx.conn, scope)? {
        Some(found) => found,
        None => {
            tx.execute(
                "INSERT INTO memory_scopes (agent, part) VALUES (?1, ?2)",
                [scope.agent.as_str(), &scope.part],
            )?;
            (tx.conn.last_insert_rowid(), 0)
        }
    };
    let before = last;
    let mut changes = Vec::with_capacity(facts.len());
    for fact in facts {
        store_one(tx, scope_id, fact, &mut last, terms, &mut changes)?;
    }
    if last != before {
        tx.execute(
            "UPDATE memory_scopes SET last = ?2 WHERE id = ?1",
            params![scope_id, i64::from(last)],
        )?;
    }
    Ok((scope_id, changes))
}

fn store_one(
    tx: &Tx<'_>,
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
fn restate(tx: &Tx<'_>, scope: i64, version: &Version, new: &Prepared) -> Result<Change> {
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
    tx: &Tx<'_>,
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
        doc,
        row,
        flags,
        session: new.session,
        drawn_from,
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

/// Counts a row for its source, if there is room for it.
fn count_source(
    tx: &Tx<'_>,
    scope: i64,
    source: &str,
    bytes: i64,
    most: Option<u64>,
) -> Result<()> {
    let sum: i64 = tx
        .prepare(
            "INSERT INTO memory_usage (scope, source, rows, bytes) VALUES (?1, ?2, 1, ?3)
             ON CONFLICT (scope, source) DO UPDATE SET rows = rows + 1, bytes = bytes + ?3
             RETURNING bytes",
        )?
        .query_row(params![scope, source, bytes], |row| row.get(0))
        .map_err(failed)?;
    match most {
        Some(most) if u64::try_from(sum).unwrap_or_default() > most => Err(Error::new(
            ErrorKind::Exhausted,
            format!(
                "what {source:?} said already takes its {most} bytes of this memory; forget some of it or raise the quota"
            ),
        )),
        _ => Ok(()),
    }
}

fn uncount(tx: &Tx<'_>, scope: i64, source: &str, rows: i64, bytes: i64) -> Result<()> {
    tx.execute(
        "UPDATE memory_usage SET rows = rows - ?3, bytes = bytes - ?4
         WHERE scope = ?1 AND source = ?2",
        params![scope, source, rows, bytes],
    )?;
    tx.execute(
        "DELETE FROM memory_usage WHERE scope = ?1 AND source = ?2 AND rows <= 0",
        params![scope, source],
    )?;
    Ok(())
}

/// The sources that a stored label names, as they are counted.
pub(super) fn sources(label: &str) -> Result<String> {
    let label: openclaw_core::label::Label =
        serde_json::from_str(label).map_err(|e| unreadable("label", e))?;
    Ok(label.sources().collect::<Vec<_>>().join(","))
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

const FACT: &str = "name, kind, text, label, at, valid_from, valid_to, session, place, drawn_from";

fn fact_at(row: &SqlRow<'_>) -> rusqlite::Result<(Fact, String, Option<String>)> {
    let (name, text): (String, String) = (row.get(0)?, row.get(2)?);
    let label = openclaw_core::label::Label::default();
    let mut fact = Fact::new(name, text, label, Timestamp(row.get(4)?)).kind(kind_of(row.get(1)?));
    fact.valid_from = row.get::<_, Option<i64>>(5)?.map(Timestamp);
    fact.valid_to = row.get::<_, Option<i64>>(6)?.map(Timestamp);
    fact.session = row.get(7)?;
    fact.place = u64::try_from(row.get::<_, i64>(8)?).unwrap_or_default();
    Ok((fact, row.get(3)?, row.get(9)?))
}

fn whole((mut fact, label, of): (Fact, String, Option<String>)) -> Result<Fact> {
    fact.label = serde_json::from_str(&label).map_err(|e| unreadable("label", e))?;
    if let Some(of) = of {
        fact.of = serde_json::from_str(&of).map_err(|e| unreadable("list of turns", e))?;
    }
    Ok(fact)
}

/// A row by its id.
pub(super) fn fact(conn: &Connection, id: i64) -> Result<Option<Fact>> {
    let sql = format!("SELECT {FACT} FROM memories WHERE id = ?1");
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let found = statement.query_row([id], fact_at).optional().map_err(failed)?;
    found.map(whole).transpose()
}

/// What ids mean now, in their order.
pub(super) fn list(conn: &Connection, scope: i64, page: &Page) -> Result<Vec<Fact>> {
    // Anything is above no text at all.
    let sql = format!(
        "SELECT {FACT} FROM memories INDEXED BY memories_current
         WHERE scope = ?1 AND superseded_by IS NULL AND (?2 IS NULL OR name > ?2)
         ORDER BY name LIMIT ?3"
    );
    let after = format!(
        "SELECT {FACT} FROM memories INDEXED BY memories_current
         WHERE scope = ?1 AND superseded_by IS NULL AND name > ?2 ORDER BY name LIMIT ?3"
    );
    let sql = if page.after.is_some() { after } else { sql };
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let rows = statement
        .query_map(params![scope, page.after, count(page.limit)], fact_at)
        .map_err(failed)?;
    rows.map(|row| whole(row.map_err(failed)?)).collect()
}

/// All that an id meant, oldest first.
pub(super) fn versions(conn: &Connection, scope: i64, name: &str) -> Result<Vec<Fact>> {
    let sql =
        format!("SELECT {FACT} FROM memories WHERE scope = ?1 AND name = ?2 ORDER BY begins, id");
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let rows = statement.query_map(params![scope, name], fact_at).map_err(failed)?;
    rows.map(|row| whole(row.map_err(failed)?)).collect()
}

/// Forgets rows and all of their versions, and overwrites what they were in the file. The scope, the
/// numbers of the rows, and of how many ids they were.
pub(super) fn forget(
    tx: &mut Tx<'_>,
    scope: &Scope,
    what: &Forget,
) -> Result<(i64, Vec<Doc>, u64)> {
    let Some((scope_id, _)) = find_scope(tx.conn, scope)? else { return Ok((0, Vec::new(), 0)) };
    let mut rows: Vec<(i64, String, i64, String)> = Vec::new();
    {
        let read = |row: &SqlRow<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let columns = "SELECT id, label, length(CAST(text AS BLOB)), name FROM memories WHERE";
        match what {
            Forget::Ids(names) => {
                let mut find = tx.prepare(&format!("{columns} scope = ?1 AND name = ?2"))?;
                for name in names {
                    let found = find.query_map(params![scope_id, name], read).map_err(failed)?;
                    for row in found {
                        rows.push(row.map_err(failed)?);
                    }
                }
            }
            Forget::All => {
                let (from, to) = ids(scope_id);
                let mut find = tx.prepare(&format!("{columns} id BETWEEN ?1 AND ?2"))?;
                for row in find.query_map([from, to], read).map_err(failed)? {
                    rows.push(row.map_err(failed)?);
                }
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "this memory does not know what to forget",
                ));
            }
        }
    }
    if rows.is_empty() {
        return Ok((scope_id, Vec::new(), 0));
    }
    rows.sort_unstable();
    rows.dedup_by_key(|(id, ..)| *id);
    let conn = tx.conn;
    let secure = |value| conn.pragma_update(None, "secure_delete", value).map_err(failed);
    secure("ON")?;
    let gone = delete(tx, scope_id, &rows);
    let scrubbed = gone.is_ok().then(|| scrub(tx)).transpose();
    secure("FAST")?;
    gone?;
    scrubbed?;
    tx.counters.erased = true;
    let names: std::collections::BTreeSet<&str> =
        rows.iter().map(|(.., name)| name.as_str()).collect();
    let names = u64::try_from(names.len()).unwrap_or(u64::MAX);
    Ok((scope_id, rows.iter().map(|(id, ..)| doc(*id)).collect(), names))
}

fn delete(tx: &Tx<'_>, scope: i64, rows: &[(i64, String, i64, String)]) -> Result<()> {
    let mut usage: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (id, label, bytes, _) in rows {
        for sql in [
            "DELETE FROM memories WHERE id = ?1",
            "DELETE FROM memory_index WHERE id = ?1",
            "DELETE FROM memory_vectors WHERE id = ?1",
        ] {
            tx.execute(sql, [id])?;
        }
        let sum = usage.entry(sources(label)?).or_default();
        sum.0 += 1;
        sum.1 += bytes;
    }
    for (source, (rows, bytes)) in usage {
        uncount(tx, scope, &source, rows, bytes)?;
    }
    Ok(())
}
