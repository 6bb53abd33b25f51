//! The contract of [`Memory`] as cases, and a simple memory to test applications with.
//!
//! ```
//! use std::sync::Arc;
//! use openclaw_core::testing::{MemoryDouble, memory::suite};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! suite("double", MemoryDouble::new).assert().await;
//! # }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

pub use super::memory_faulty::{FaultyMemory, MemoryFault};
use super::{Suite, Verdict};
use crate::{
    error::{Error, ErrorKind, Result},
    label::{Confidentiality, Integrity, Label},
    memory::{Fact, FactKind, Forget, Memory, Page, Query, Recalled, Scope},
    time::Timestamp,
};

/// How the suite gets memories. A closure that makes an empty one will do.
#[async_trait]
pub trait MemoryFixture: Send + Sync + 'static {
    /// An empty memory.
    ///
    /// # Errors
    /// It could not be made.
    async fn open(&self) -> Result<Arc<dyn Memory>>;

    /// Lets go of `memory` and opens what it stored again, as a restarted process would. `None` if
    /// nothing survives it; the case is then skipped.
    ///
    /// # Errors
    /// It could not be opened.
    async fn reopen(&self, memory: Arc<dyn Memory>) -> Result<Option<Arc<dyn Memory>>> {
        drop(memory);
        Ok(None)
    }
}

#[async_trait]
impl<M: Memory, F: Fn() -> M + Send + Sync + 'static> MemoryFixture for F {
    async fn open(&self) -> Result<Arc<dyn Memory>> {
        Ok(Arc::new(self()))
    }
}

/// A memory in this process that finds a fact by the words that it shares with the query, in lower
/// case. Clones share what they hold. It knows no clock: what is true now is what nothing superseded.
#[derive(Clone, Debug, Default)]
pub struct MemoryDouble(Arc<Mutex<Facts>>);

/// What each id meant, oldest first.
type Facts = BTreeMap<(Scope, String), Vec<Fact>>;

impl MemoryDouble {
    /// An empty memory.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Facts) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Adds what an id means from now on.
fn supersede(versions: &mut Vec<Fact>, fact: Fact) {
    if let Some(last) = versions.last_mut() {
        if last.text == fact.text {
            *last = fact;
            return;
        }
        last.valid_to = Some(fact.begins().max(last.begins()));
    }
    versions.push(fact);
}

/// What was true at `moment`, or is now.
fn valid(versions: &[Fact], moment: Option<Timestamp>) -> Option<&Fact> {
    let Some(moment) = moment else { return versions.last() };
    versions.iter().rev().find(|fact| {
        fact.begins() <= moment && fact.valid_to.is_none_or(|valid_to| moment < valid_to)
    })
}

#[async_trait]
impl Memory for MemoryDouble {
    async fn remember(&self, scope: &Scope, facts: Vec<Fact>) -> Result<()> {
        self.with(|all| {
            for fact in facts {
                supersede(all.entry((scope.clone(), fact.id.clone())).or_default(), fact);
            }
        });
        Ok(())
    }

    async fn recall(&self, scope: &Scope, query: &Query) -> Result<Vec<Recalled>> {
        let asked = words(&query.text);
        let mut found: Vec<Recalled> = self.with(|all| {
            all.iter()
                .filter(|((owner, _), _)| owner == scope)
                .filter_map(|(_, versions)| valid(versions, query.as_of))
                .filter(|fact| query.admits(fact))
                .filter_map(|fact| {
                    let shared = words(&fact.text).intersection(&asked).count();
                    let share = u16::try_from(shared).unwrap_or(u16::MAX);
                    (share > 0).then(|| Recalled::new(fact.clone(), f32::from(share)))
                })
                .collect()
        });
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(query.limit);
        Ok(found)
    }

    async fn list(&self, scope: &Scope, page: &Page) -> Result<Vec<Fact>> {
        Ok(self.with(|all| {
            all.iter()
                .filter(|((owner, id), _)| {
                    owner == scope && page.after.as_ref().is_none_or(|after| id > after)
                })
                .take(page.limit)
                .filter_map(|(_, versions)| versions.last().cloned())
                .collect()
        }))
    }

    async fn forget(&self, scope: &Scope, what: &Forget) -> Result<u64> {
        Ok(self.with(|all| {
            let before = all.len();
            all.retain(|(owner, id), _| {
                let named = match what {
                    Forget::All => true,
                    Forget::Ids(ids) => ids.contains(id),
                };
                owner != scope || !named
            });
            u64::try_from(before - all.len()).unwrap_or(u64::MAX)
        }))
    }
}

/// The cases that the memories of `fixture` are held to.
pub fn suite(name: impl Into<String>, fixture: impl MemoryFixture) -> Suite {
    let fixture: Arc<dyn MemoryFixture> = Arc::new(fixture);
    let case = |run: fn(Arc<dyn Memory>) -> BoxedCase| {
        let fixture = Arc::clone(&fixture);
        move || {
            let fixture = Arc::clone(&fixture);
            async move { run(fixture.open().await?).await }
        }
    };
    let durable = {
        let fixture = Arc::clone(&fixture);
        move || survives_a_restart(Arc::clone(&fixture))
    };
    Suite::new(name)
        .case("recalls_what_was_remembered", case(|m| Box::pin(recalls_what_was_remembered(m))))
        .case("a_batch_is_remembered_whole", case(|m| Box::pin(a_batch_is_remembered_whole(m))))
        .case("the_same_id_replaces", case(|m| Box::pin(the_same_id_replaces(m))))
        .case("what_was_replaced_was_true_then", case(|m| Box::pin(was_true_then(m))))
        .case("filters_hold_inside_the_search", case(|m| Box::pin(filters_hold_inside(m))))
        .case("kinds_and_times_are_told_apart", case(|m| Box::pin(kinds_and_times(m))))
        .case("labels_and_times_survive", case(|m| Box::pin(labels_and_times_survive(m))))
        .case("recall_keeps_to_its_limit", case(|m| Box::pin(recall_keeps_to_its_limit(m))))
        .case("recall_is_best_first", case(|m| Box::pin(recall_is_best_first(m))))
        .case("scopes_never_leak", case(|m| Box::pin(scopes_never_leak(m))))
        .case("list_is_ordered_and_paged", case(|m| Box::pin(list_is_ordered_and_paged(m))))
        .case("what_was_forgotten_is_gone", case(|m| Box::pin(what_was_forgotten_is_gone(m))))
        .case("forgetting_twice_is_no_error", case(|m| Box::pin(forgetting_twice_is_no_error(m))))
        .case(
            "forgetting_all_keeps_other_scopes",
            case(|m| Box::pin(forgetting_all_keeps_others(m))),
        )
        .case("can_be_told_again", case(|m| Box::pin(can_be_told_again(m))))
        .case("any_text_will_do", case(|m| Box::pin(any_text_will_do(m))))
        .case("nothing_is_no_error", case(|m| Box::pin(nothing_is_no_error(m))))
        .case("many_at_once_lose_nothing", case(|m| Box::pin(many_at_once_lose_nothing(m))))
        .case("survives_a_restart", durable)
}

type BoxedCase = std::pin::Pin<Box<dyn Future<Output = Result<Verdict>> + Send>>;

fn ada() -> Scope {
    Scope { agent: "ada".into(), part: "p1".to_owned() }
}

fn fact(id: &str, text: &str) -> Fact {
    let label = Label::new(Integrity::Untrusted, Confidentiality::Secret, "test:mail");
    Fact::new(id, text, label, Timestamp(1_700_000_000_123))
}

/// Fails with `what` unless `holds`.
fn check(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(ErrorKind::Internal, what())) }
}

async fn recalled(memory: &Arc<dyn Memory>, scope: &Scope, text: &str) -> Result<Vec<String>> {
    let found = memory.recall(scope, &Query::new(text, 50)).await?;
    Ok(found.into_iter().map(|recalled| recalled.fact.id).collect())
}

/// The ids of a whole scope, a page of two at a time.
async fn listed(memory: &Arc<dyn Memory>, scope: &Scope) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    loop {
        let page = Page { after: ids.last().cloned(), limit: 2 };
        let facts = memory.list(scope, &page).await?;
        check(facts.len() <= 2, || format!("a page of 2 has {}", facts.len()))?;
        if facts.is_empty() {
            return Ok(ids);
        }
        ids.extend(facts.into_iter().map(|fact| fact.id));
        check(ids.len() < 1_000, || "paging never ends".to_owned())?;
    }
}

async fn recalls_what_was_remembered(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let facts = vec![fact("1", "Ada likes green tea"), fact("2", "The car is in the garage")];
    memory.remember(&ada(), facts).await?;
    let found = recalled(&memory, &ada(), "green tea").await?;
    check(found.first().is_some_and(|id| id == "1"), || {
        format!("asked for \"green tea\", first found {found:?}, not \"1\"")
    })?;
    Ok(Verdict::Passed)
}

async fn a_batch_is_remembered_whole(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let ids: Vec<String> = (0..50).map(|n| format!("fact-{n:02}")).collect();
    let facts = ids.iter().map(|id| fact(id, "one of many")).collect();
    memory.remember(&ada(), facts).await?;
    let found = listed(&memory, &ada()).await?;
    check(found == ids, || format!("of 50 facts of one batch, {} are listed", found.len()))?;
    Ok(Verdict::Passed)
}

async fn the_same_id_replaces(memory: Arc<dyn Memory>) -> Result<Verdict> {
    memory.remember(&ada(), vec![fact("1", "lives in Paris")]).await?;
    memory.remember(&ada(), vec![fact("1", "lives in Rome")]).await?;
    let all = memory.list(&ada(), &Page { after: None, limit: 10 }).await?;
    let texts: Vec<&str> = all.iter().map(|fact| fact.text.as_str()).collect();
    check(texts == ["lives in Rome"], || format!("after an upsert: {texts:?}"))?;
    let found = memory.recall(&ada(), &Query::new("Paris", 10)).await?;
    check(found.iter().all(|found| !found.fact.text.contains("Paris")), || {
        "what was replaced is recalled".to_owned()
    })?;
    Ok(Verdict::Passed)
}

async fn was_true_then(memory: Arc<dyn Memory>) -> Result<Verdict> {
    for (at, city) in [(1_000, "Paris"), (2_000, "Rome"), (3_000, "Oslo")] {
        let told = Fact { at: Timestamp(at), ..fact("1", &format!("lives in {city}")) };
        memory.remember(&ada(), vec![told]).await?;
    }
    for (moment, expected) in [
        (999, None),
        (1_000, Some("lives in Paris")),
        (1_999, Some("lives in Paris")),
        (2_000, Some("lives in Rome")),
        (2_500, Some("lives in Rome")),
        (9_999, Some("lives in Oslo")),
    ] {
        let query = Query::new("lives in", 10).as_of(Timestamp(moment));
        let found = memory.recall(&ada(), &query).await?;
        let texts: Vec<&str> = found.iter().map(|found| found.fact.text.as_str()).collect();
        check(texts == expected.into_iter().collect::<Vec<_>>(), || {
            format!("as of {moment}: {texts:?}, not {expected:?}")
        })?;
    }
    Ok(Verdict::Passed)
}

async fn filters_hold_inside(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let mut facts: Vec<Fact> =
        (0..20).map(|n| fact(&format!("secret-{n}"), "the key of the blue door")).collect();
    let open = Label::new(Integrity::User, Confidentiality::Public, "test:mail");
    facts.push(Fact { label: open, ..fact("open", "something about a key") });
    memory.remember(&ada(), facts).await?;
    for query in [
        Query::new("key of the blue door", 1).most(Confidentiality::Private),
        Query::new("key of the blue door", 1).least(Integrity::User),
    ] {
        let found = memory.recall(&ada(), &query).await?;
        let ids: Vec<&str> = found.iter().map(|found| found.fact.id.as_str()).collect();
        check(ids == ["open"], || format!("of what may be seen, recalled {ids:?}"))?;
    }
    Ok(Verdict::Passed)
}

async fn kinds_and_times(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let facts = FactKind::ALL.into_iter().zip(1_000..).map(|(kind, at)| {
        Fact { at: Timestamp(at), ..fact(&format!("{kind:?}"), "tea at five") }
            .kind(kind)
            .in_session("s", 7)
    });
    let facts: Vec<Fact> = facts.collect();
    memory.remember(&ada(), facts.clone()).await?;
    let ids = |found: Vec<Recalled>| -> Vec<Fact> { found.into_iter().map(|f| f.fact).collect() };
    for told in &facts {
        let query = Query::new("tea", 10).kinds([told.kind]);
        let found = ids(memory.recall(&ada(), &query).await?);
        check(found == [told.clone()], || format!("of kind {:?}: {found:?}", told.kind))?;
        let after = Timestamp(told.at.0 + 1);
        let query = Query::new("tea", 10).since(told.at).until(after);
        let found = ids(memory.recall(&ada(), &query).await?);
        check(found == [told.clone()], || format!("of {:?}: {found:?}", told.at))?;
    }
    Ok(Verdict::Passed)
}

async fn labels_and_times_survive(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let told = fact("1", "the password of the safe");
    memory.remember(&ada(), vec![told.clone()]).await?;
    let found = memory.recall(&ada(), &Query::new("password safe", 1)).await?;
    check(found.iter().map(|found| &found.fact).eq([&told]), || {
        format!("told {told:?}, recalled {found:?}")
    })?;
    let all = memory.list(&ada(), &Page { after: None, limit: 10 }).await?;
    check(all == [told], || "the listing differs from what was told".to_owned())?;
    Ok(Verdict::Passed)
}

async fn recall_keeps_to_its_limit(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let facts = (0..20).map(|n| fact(&n.to_string(), "tea in the morning")).collect();
    memory.remember(&ada(), facts).await?;
    for limit in [1, 7] {
        let found = memory.recall(&ada(), &Query::new("tea", limit)).await?;
        check(found.len() == limit, || {
            format!("20 facts fit, the limit is {limit}, recalled {}", found.len())
        })?;
    }
    Ok(Verdict::Passed)
}

async fn recall_is_best_first(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let facts = vec![
        fact("a", "a note about birds"),
        fact("b", "the spare key is under the blue flower pot"),
        fact("c", "the key"),
        fact("d", "a blue sky"),
    ];
    memory.remember(&ada(), facts).await?;
    let found =
        memory.recall(&ada(), &Query::new("spare key under the blue flower pot", 10)).await?;
    let best = found.first().map(|found| found.fact.id.as_str());
    check(best == Some("b"), || format!("the best is {best:?}, not the one with all words"))?;
    let falls = found.windows(2).all(|pair| match pair {
        [one, next] => one.score >= next.score,
        _ => true,
    });
    check(falls && found.iter().all(|found| found.score.is_finite()), || {
        "scores rise down the list, or are no numbers".to_owned()
    })?;
    Ok(Verdict::Passed)
}

async fn scopes_never_leak(memory: Arc<dyn Memory>) -> Result<Verdict> {
    memory.remember(&ada(), vec![fact("1", "likes tea")]).await?;
    let others = [
        Scope { agent: "bob".into(), part: "p1".to_owned() },
        Scope { agent: "ada".into(), part: "p2".to_owned() },
        Scope { agent: "ada".into(), part: "p".to_owned() },
        Scope::agent("ada"),
        Scope::agent("adap1"),
    ];
    for other in &others {
        let found = recalled(&memory, other, "likes tea").await?;
        let all = listed(&memory, other).await?;
        check(found.is_empty() && all.is_empty(), || format!("{other:?} sees what is ada's"))?;
        memory.remember(other, vec![fact("1", "likes coffee")]).await?;
        memory.forget(other, &Forget::Ids(vec!["1".to_owned()])).await?;
    }
    let all = memory.list(&ada(), &Page { after: None, limit: 10 }).await?;
    check(all == [fact("1", "likes tea")], || "another scope changed what is ada's".to_owned())?;
    Ok(Verdict::Passed)
}

async fn list_is_ordered_and_paged(memory: Arc<dyn Memory>) -> Result<Verdict> {
    for id in ["m", "10", "a", "9", "z", "B"] {
        memory.remember(&ada(), vec![fact(id, "something")]).await?;
    }
    let ids = listed(&memory, &ada()).await?;
    check(ids == ["10", "9", "B", "a", "m", "z"], || format!("listed {ids:?}"))?;
    let page = Page { after: Some("c".to_owned()), limit: 10 };
    let rest = memory.list(&ada(), &page).await?;
    check(rest.iter().map(|fact| fact.id.as_str()).eq(["m", "z"]), || {
        "a page after an id that is not there does not begin at the next one".to_owned()
    })?;
    Ok(Verdict::Passed)
}

async fn what_was_forgotten_is_gone(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let facts = vec![fact("1", "old address"), fact("2", "new address"), fact("3", "address")];
    memory.remember(&ada(), facts).await?;
    let what = Forget::Ids(vec!["1".to_owned(), "3".to_owned(), "unknown".to_owned()]);
    let count = memory.forget(&ada(), &what).await?;
    check(count == 2, || format!("2 of 3 named facts were there, forgot {count}"))?;
    let (found, all) =
        (recalled(&memory, &ada(), "address").await?, listed(&memory, &ada()).await?);
    check(all == ["2"] && found == ["2"], || format!("still recalls {found:?}, lists {all:?}"))?;
    Ok(Verdict::Passed)
}

async fn forgetting_twice_is_no_error(memory: Arc<dyn Memory>) -> Result<Verdict> {
    memory.remember(&ada(), vec![fact("1", "a secret")]).await?;
    for what in [Forget::Ids(vec!["1".to_owned()]), Forget::All] {
        memory.forget(&ada(), &what).await?;
        let again = memory.forget(&ada(), &what).await?;
        check(again == 0, || format!("forgot {again} for the second time"))?;
    }
    Ok(Verdict::Passed)
}

async fn forgetting_all_keeps_others(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let other = Scope::agent("ada");
    for scope in [&ada(), &other] {
        memory.remember(scope, vec![fact("1", "tea"), fact("2", "milk")]).await?;
    }
    let count = memory.forget(&ada(), &Forget::All).await?;
    check(count == 2, || format!("the scope had 2 facts, forgot {count}"))?;
    check(listed(&memory, &ada()).await?.is_empty(), || "something is left".to_owned())?;
    let left = recalled(&memory, &other, "tea").await?;
    check(left == ["1"], || format!("of the other scope, {left:?} is left"))?;
    Ok(Verdict::Passed)
}

async fn can_be_told_again(memory: Arc<dyn Memory>) -> Result<Verdict> {
    for what in [Forget::Ids(vec!["1".to_owned()]), Forget::All] {
        memory.remember(&ada(), vec![fact("1", "tea")]).await?;
        memory.forget(&ada(), &what).await?;
        memory.remember(&ada(), vec![fact("1", "tea")]).await?;
        let found = recalled(&memory, &ada(), "tea").await?;
        check(found == ["1"], || format!("told again after {what:?}, recalls {found:?}"))?;
    }
    Ok(Verdict::Passed)
}

async fn any_text_will_do(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let texts = [
        "it's \"quoted\" -- and; DROP TABLE facts",
        "100% of a_b* OR (NEAR AND NOT ^x) {col}:y",
        "Nguyễn Thị Minh Khai thích cà phê",
        "東京で会いましょう 👩‍👩‍👧",
        "line\nfeed\ttab \u{202e}turned",
        "",
    ];
    for (index, text) in texts.iter().enumerate() {
        memory.remember(&ada(), vec![fact(&format!("{index} {text}"), text)]).await?;
        // Found or not, it is no error.
        memory.recall(&ada(), &Query::new(*text, 5)).await?;
    }
    let long = "tea ".repeat(20_000);
    memory.remember(&ada(), vec![fact("long", &long)]).await?;
    memory.recall(&ada(), &Query::new(long.as_str(), 5)).await?;
    let all = memory.list(&ada(), &Page { after: None, limit: 100 }).await?;
    let kept: BTreeSet<&str> = all.iter().map(|fact| fact.text.as_str()).collect();
    let told: BTreeSet<&str> = texts.into_iter().chain([long.as_str()]).collect();
    check(kept == told, || "a text came back changed, or did not come back".to_owned())?;
    Ok(Verdict::Passed)
}

async fn nothing_is_no_error(memory: Arc<dyn Memory>) -> Result<Verdict> {
    memory.remember(&ada(), Vec::new()).await?;
    let found = recalled(&memory, &ada(), "anything").await?;
    let count = memory.forget(&ada(), &Forget::Ids(Vec::new())).await?;
    let all = memory.list(&ada(), &Page { after: None, limit: 5 }).await?;
    check(found.is_empty() && all.is_empty() && count == 0, || {
        "an empty memory holds something".to_owned()
    })?;
    Ok(Verdict::Passed)
}

async fn many_at_once_lose_nothing(memory: Arc<dyn Memory>) -> Result<Verdict> {
    let scope = ada();
    let told = (0..16).map(|n| {
        let fact = fact(&format!("{n:02}"), "told together");
        let (memory, scope) = (&memory, &scope);
        async move { memory.remember(scope, vec![fact]).await }
    });
    for result in futures_util::future::join_all(told).await {
        result?;
    }
    let all = listed(&memory, &scope).await?;
    check(all.len() == 16, || format!("16 told at once, {} are listed", all.len()))?;
    Ok(Verdict::Passed)
}

async fn survives_a_restart(fixture: Arc<dyn MemoryFixture>) -> Result<Verdict> {
    let memory = fixture.open().await?;
    memory.remember(&ada(), vec![fact("1", "likes tea"), fact("2", "likes cake")]).await?;
    memory.forget(&ada(), &Forget::Ids(vec!["2".to_owned()])).await?;
    let Some(memory) = fixture.reopen(memory).await? else {
        return Ok(Verdict::Skipped("the fixture says that nothing survives".to_owned()));
    };
    let (found, all) = (recalled(&memory, &ada(), "likes").await?, listed(&memory, &ada()).await?);
    check(found == ["1"] && all == ["1"], || {
        format!("after a restart recalls {found:?} and lists {all:?}, not \"1\"")
    })?;
    Ok(Verdict::Passed)
}
