//! Facts that a model draws from turns: further keys to them, made beside, for as much as it may cost.
//!
//! How far each scope is, and what the day's work used, stands in the file and is written with the facts, so a crash
//! costs one question at most. An answer that cannot be used costs its turns their facts and nothing else.

mod ask;
mod store;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use openclaw_core::{
    Error, ErrorKind, ModelId, Result,
    gateway::IntoProvider,
    memory::{Fact, Memory as _},
    provider::{CallContext, Completion, DEFAULT_MODEL, Provider},
};

use rusqlite::Connection;

use super::{Inner, Progress, SqliteMemory};
use crate::sqlite::writer::write;
use store::Batch;

/// How many tokens a day's facts may use unless it is said otherwise.
pub const DEFAULT_TOKENS_A_DAY: u64 = 200_000;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
const DAY_MS: i64 = 86_400_000;
/// How often it is looked whether another day has begun.
const NEXT_LOOK: Duration = Duration::from_secs(600);

/// What draws facts from turns; given to [`MemoryBuilder::extraction`](super::MemoryBuilder::extraction).
///
/// The model is shown what is remembered word for word, so take one that may see it. What it answers has the label of
/// all that it was shown, and is text to be found, never an instruction.
#[derive(Clone)]
#[must_use]
pub struct Extraction {
    pub(super) provider: Arc<dyn Provider>,
    model: ModelId,
    tokens_a_day: u64,
}

impl Extraction {
    /// By the provider's own choice of a model.
    pub fn new(provider: impl IntoProvider) -> Self {
        Self {
            provider: provider.into_provider(),
            model: ModelId::new(DEFAULT_MODEL),
            tokens_a_day: DEFAULT_TOKENS_A_DAY,
        }
    }

    /// By this model.
    pub fn model(mut self, model: impl Into<ModelId>) -> Self {
        self.model = model.into();
        self
    }

    /// How many tokens a day (in UTC) it may use, read and written; [`DEFAULT_TOKENS_A_DAY`] unless said otherwise.
    /// The question that reaches it is the last of the day. A provider that does not say what it used is counted by
    /// four bytes a token.
    pub fn tokens_a_day(mut self, tokens: u64) -> Self {
        self.tokens_a_day = tokens;
        self
    }
}

impl fmt::Debug for Extraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extraction")
            .field("provider", self.provider.id())
            .field("model", &self.model)
            .field("tokens_a_day", &self.tokens_a_day)
            .finish()
    }
}

/// How a step ended.
enum Step {
    /// There may be more.
    Done,
    /// Nothing is left.
    Nothing,
    /// The day's tokens are used up.
    Spent,
}

/// Draws facts from what was said, whenever there is something, as long as the memory is open.
pub(super) async fn work(memory: Weak<Inner>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(inner) = memory.upgrade().filter(|inner| !inner.is_closed()) else { return };
        let news = Arc::clone(&inner.extracting.news);
        // First: news that come while the turns are read must count.
        let waiting = news.notified();
        match step(&inner).await {
            Ok(Step::Done) => pause = FIRST_PAUSE,
            Ok(Step::Nothing) => {
                inner.extracting.progress.send_replace(Progress::Idle);
                drop(inner);
                waiting.await;
            }
            Ok(Step::Spent) => {
                inner.extracting.progress.send_replace(Progress::Idle);
                drop(inner);
                tokio::time::sleep(NEXT_LOOK).await;
            }
            Err(_) if inner.is_closed() => return,
            Err(error) => {
                tracing::warn!(%error, ?pause, "no facts could be drawn from what was said; it is found without");
                inner.extracting.progress.send_replace(Progress::Failing);
                drop(inner);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Draws facts from some turns.
async fn step(inner: &Arc<Inner>) -> Result<Step> {
    let Some(extraction) = inner.extraction.clone() else { return Ok(Step::Nothing) };
    let day = inner.clock.now().0.div_euclid(DAY_MS);
    let most = extraction.tokens_a_day;
    let read = inner.readers.read(move |conn| {
        let spent = store::spent(conn, day)? >= most;
        Ok((spent, store::next(conn)?))
    });
    let (spent, Some(batch)) = read.await? else { return Ok(Step::Nothing) };
    if spent {
        return Ok(Step::Spent);
    }
    let batch = Arc::new(batch);
    if batch.turns.is_empty() {
        let passed = Arc::clone(&batch);
        write(&inner.store.jobs, move |tx| store::passed(tx, &passed, day, 0)).await?;
        return Ok(Step::Done);
    }
    let request = ask::request(&extraction.model, &batch.turns);
    let asked = extraction.provider.stream(&CallContext::new(), &request).await;
    let answer = match asked {
        Ok(stream) => Completion::collect(stream, |_| ()).await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.kind() == ErrorKind::ContextOverflow => {
            tracing::warn!(%error, "turns are too long for the model that draws facts; they have none");
            let passed = Arc::clone(&batch);
            write(&inner.store.jobs, move |tx| store::passed(tx, &passed, day, 0)).await?;
            return Ok(Step::Done);
        }
        Err(error) => return Err(error),
    };
    let used = ask::used(&request, &answer);
    let facts = match ask::facts(&batch.turns, &answer.text) {
        Some(facts) => facts,
        None => {
            tracing::warn!("the model that draws facts answered with what is no list of facts");
            Vec::new()
        }
    };
    let facts = known(inner, &batch, facts).await?;
    if !facts.is_empty() {
        let memory = SqliteMemory(Arc::clone(inner));
        memory.remember(&batch.scope, facts).await?;
    }
    write(&inner.store.jobs, move |tx| store::passed(tx, &batch, day, used)).await?;
    Ok(Step::Done)
}

/// The facts with what their ids mean already: the same fact, said again, has the turns of both.
async fn known(inner: &Arc<Inner>, batch: &Batch, facts: Vec<Fact>) -> Result<Vec<Fact>> {
    let memory = SqliteMemory(Arc::clone(inner));
    let mut merged: Vec<Fact> = Vec::with_capacity(facts.len());
    for mut fact in facts {
        if let Some(twin) = merged.iter_mut().find(|other| other.id == fact.id) {
            merge(twin, &fact);
            continue;
        }
        if let Some(before) = memory.versions(&batch.scope, &fact.id).await?.pop() {
            let now = std::mem::replace(&mut fact, before);
            merge(&mut fact, &now);
        }
        merged.push(fact);
    }
    Ok(merged)
}

fn merge(fact: &mut Fact, other: &Fact) {
    for turn in &other.of {
        if !fact.of.contains(turn) {
            fact.of.push(turn.clone());
        }
    }
    fact.at = fact.at.max(other.at);
    fact.label = fact.label.join(&other.label);
}

impl SqliteMemory {
    /// Waits until facts were drawn from every turn, or the day's tokens are used up. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the model could not be asked; it is tried again later.
    pub async fn extracted(&self) -> Result<()> {
        let mut progress = self.0.extracting.progress.subscribe();
        let Some(most) = self.0.extraction.as_ref().map(|extraction| extraction.tokens_a_day)
        else {
            return Ok(());
        };
        loop {
            // An error would mean that the sender is gone, but it is in `self`.
            let found = progress.wait_for(|progress| *progress != Progress::Working).await;
            if found.is_ok_and(|found| *found == Progress::Failing) {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "the model that draws facts could not be asked; it is tried again",
                ));
            }
            let day = self.0.clock.now().0.div_euclid(DAY_MS);
            let left = move |conn: &Connection| {
                Ok(store::is_behind(conn)? && store::spent(conn, day)? < most)
            };
            if !self.0.readers.read(left).await? {
                return Ok(());
            }
            // It was idle before the last commit.
            tokio::task::yield_now().await;
        }
    }
}
