//! Looking into the memory, adding to it, taking from it.

use jiff::{Timestamp as Moment, civil::Date, tz::TimeZone};
use openclaw_core::{
    Error, ErrorKind, Result,
    label::{Confidentiality, Integrity},
    memory::{Fact, Forget, Query},
    schemars,
    time::Timestamp,
    tool::{Capability, Effect, ToolContext, ToolOutput, ToolSpec, TypedTool, ValueKind},
};

/// How many memories a search shows unless it asks for another number, and at most.
const FOUND: usize = 8;
const MOST_FOUND: usize = 30;
/// The longest piece of a memory that is shown, in characters.
const LONGEST: usize = 2_000;

/// The tool `memory_search`: looks for what was said or saved before, of whoever's turn it is.
///
/// What it finds has the labels that it was stored with, and so has the model's context after it. It may be
/// private, so the result counts as such.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemorySearch;

/// The input.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// What to look for: words, or a question.
    query: String,
    /// How many at most.
    #[serde(default)]
    limit: Option<usize>,
    /// A day as YYYY-MM-DD: what was true at its end. Left out: what is true now.
    #[serde(default)]
    as_of: Option<String>,
}

impl TypedTool for MemorySearch {
    type Input = Search;

    fn spec(&self) -> ToolSpec {
        ToolSpec::read_only(
            "memory_search",
            "Searches what was said in earlier conversations and what was saved, by words and meaning.",
        )
        .capability(Capability::ReadPrivate)
        // The query goes no further than the memory.
        .accepts(Confidentiality::Secret)
        .output(Integrity::System, Confidentiality::Private)
    }

    async fn run(&self, cx: ToolContext, search: Search) -> Result<ToolOutput> {
        if search.query.trim().is_empty() {
            return Err(misfit("The query is empty: say what to look for.".to_owned()));
        }
        let limit = search.limit.unwrap_or(FOUND).clamp(1, MOST_FOUND);
        let mut query = Query::new(search.query, limit);
        if let Some(day) = search.as_of {
            query = query.as_of(end_of(&day)?);
        }
        let found = cx.memory()?.recall(&query).await?;
        if found.is_empty() {
            return Ok("Nothing is stored that fits.".into());
        }
        let lines: Vec<String> = found.iter().map(|found| line(&found.fact)).collect();
        Ok(lines.join("\n").into())
    }
}

/// A memory as the model sees it: its id, when it was said, and what.
fn line(fact: &Fact) -> String {
    let day = Moment::from_millisecond(fact.at.as_millis())
        .map(|moment| moment.to_zoned(TimeZone::UTC).date().to_string());
    let text: String = fact.text.chars().take(LONGEST).collect();
    let more = if text.len() < fact.text.len() { " …" } else { "" };
    format!("- id {:?}, {}: {text}{more}", fact.id, day.unwrap_or_default())
}

fn end_of(day: &str) -> Result<Timestamp> {
    let misfit =
        || misfit(format!("{day:?} is no day: give one as YYYY-MM-DD, such as 2026-03-31."));
    let date: Date = day.trim().parse().map_err(|_| misfit())?;
    let next =
        date.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC)).map_err(|_| misfit())?;
    Ok(Timestamp(next.timestamp().as_millisecond() - 1))
}

/// The tool `memory_save`: remembers a fact.
///
/// A fact that is saved under a name takes the place of what the name meant; that stays to be found as of
/// then. It has the label of all that the model had read, and can get no better one.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemorySave;

/// The input.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Save {
    /// The fact, as a whole sentence that can be understood by itself.
    text: String,
    /// A short name of what it is about, such as \"home address\". A new fact under the same name replaces the
    /// old one. Left out: it stands beside all others.
    #[serde(default)]
    name: Option<String>,
}

impl TypedTool for MemorySave {
    type Input = Save;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "memory_save",
            "Saves a fact for later conversations. What is said in this one is remembered anyway.",
        )
        .capability(Capability::WriteReversible)
        // Under the same id it is the same fact.
        .effect(Effect::Idempotent)
        .accepts(Confidentiality::Secret)
        .output(Integrity::System, Confidentiality::Public)
    }

    async fn run(&self, cx: ToolContext, save: Save) -> Result<ToolOutput> {
        if save.text.trim().is_empty() {
            return Err(misfit("The text is empty: say what to remember.".to_owned()));
        }
        let name = save.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let id = match name {
            Some(name) => format!("note {}", name.to_lowercase()),
            None => format!("note {}", cx.key()),
        };
        cx.memory()?.remember(id.as_str(), save.text).await?;
        Ok(format!("Saved, id {id:?}.").into())
    }
}

/// The tool `memory_forget`: forgets memories for good, with all that their ids ever meant.
///
/// It cannot be undone, so the owner is asked unless their own words name the ids.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryForget;

/// The input.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// The ids, as memory_search shows them.
    ids: Vec<String>,
}

impl TypedTool for MemoryForget {
    type Input = Ids;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "memory_forget",
            "Forgets memories for good. Look for their ids with memory_search first.",
        )
        .capability(Capability::WriteIrreversible)
        // What was forgotten is forgotten also the second time.
        .effect(Effect::Idempotent)
        .critical("ids", ValueKind::Id)
        .accepts(Confidentiality::Secret)
        .output(Integrity::System, Confidentiality::Public)
    }

    async fn run(&self, cx: ToolContext, input: Ids) -> Result<ToolOutput> {
        if input.ids.is_empty() {
            return Err(misfit("No id is given: look for them with memory_search.".to_owned()));
        }
        let asked = input.ids.len();
        let gone = cx.memory()?.forget(&Forget::Ids(input.ids)).await?;
        Ok(format!("Forgot {gone} of {asked}.").into())
    }
}

fn misfit(text: String) -> Error {
    Error::new(ErrorKind::InvalidInput, text.clone()).with_public(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openclaw_core::{
        label::Label,
        message::plain_text,
        testing::{
            TestCall, TestClock,
            memory::MemoryDouble,
            tool::{ToolFixture, suite},
        },
        tool::Tool,
    };
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keep_the_contract_of_tools() {
        let memory = || Arc::new(MemoryDouble::new());
        let with = |memory: Arc<MemoryDouble>| move |call: TestCall| call.memory(memory.clone());
        let fixture = ToolFixture::new(|| MemorySearch)
            .prepare(with(memory()))
            .good(json!({ "query": "tea" }))
            .bad(json!({ "query": " " }))
            .bad(json!({ "query": "tea", "as_of": "yesterday" }));
        suite("memory_search", fixture).assert().await;
        let fixture = ToolFixture::new(|| MemorySave)
            .prepare(with(memory()))
            .good(json!({ "text": "likes tea" }))
            .bad(json!({ "text": "" }));
        suite("memory_save", fixture).assert().await;
        let fixture = ToolFixture::new(|| MemoryForget)
            .prepare(with(memory()))
            .good(json!({ "ids": ["a"] }))
            .bad(json!({ "ids": [] }));
        suite("memory_forget", fixture).assert().await;
    }

    #[tokio::test]
    async fn a_saved_fact_is_found_replaced_found_as_of_then_and_forgotten() {
        let memory = Arc::new(MemoryDouble::new());
        let call = async |tool: &dyn Tool, arguments: Value, day: i64| {
            let clock = TestClock::at(Timestamp(day * 86_400_000));
            let call = TestCall::new(&tool.spec().name, arguments)
                .label(Label::user("owner"))
                .clock(Arc::new(clock))
                .memory(memory.clone());
            plain_text(&tool.call(call.context()).await.unwrap().content)
        };
        let save = |text: &str| json!({ "text": text, "name": "Home" });
        call(&MemorySave, save("lives in Paris"), 10).await;
        let saved = call(&MemorySave, save("lives in Rome"), 20).await;
        assert_eq!(saved, "Saved, id \"note home\".");
        let found = call(&MemorySearch, json!({ "query": "lives" }), 30).await;
        assert_eq!(found, "- id \"note home\", 1970-01-21: lives in Rome");
        let then = json!({ "query": "lives", "as_of": "1970-01-15" });
        assert!(call(&MemorySearch, then, 30).await.ends_with("lives in Paris"));
        let gone = call(&MemoryForget, json!({ "ids": ["note home", "other"] }), 30).await;
        assert_eq!(gone, "Forgot 1 of 2.");
        let found = call(&MemorySearch, json!({ "query": "lives" }), 30).await;
        assert_eq!(found, "Nothing is stored that fits.");
    }
}
