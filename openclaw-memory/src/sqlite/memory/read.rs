//! Reading memories back.

use openclaw_core::{
    Result,
    memory::{Fact, Page},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params};

use super::shelf::kind_of;
use crate::sqlite::{
    error::{failed, unreadable},
    sessions::count,
};

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
        "SELECT {FACT} FROM memories INDEXED BY memories_versions
         WHERE scope = ?1 AND superseded_by IS NULL AND (?2 IS NULL OR name > ?2)
         ORDER BY name LIMIT ?3"
    );
    let after = format!(
        "SELECT {FACT} FROM memories INDEXED BY memories_versions
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
