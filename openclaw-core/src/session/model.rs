//! Calling the model, and making room for what it must read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tracing::Instrument as _;

use super::{
    context,
    run::{Run, sleep_until},
};
use crate::{
    access::Principal,
    error::{Error, ErrorKind, Result},
    event::EventKind,
    fault::Act,
    gateway::Hub,
    id::{Conversation, EventKey},
    label::Label,
    message::{Content, Part},
    provider::{
        CallContext, Completion, CompletionEvent, CompletionRequest, FinishReason, ToolCall, Usage,
    },
    store::InputId,
    time::Timestamp,
    turn::{Entry, Step},
};

/// How often a prompt that was too long for the model is made shorter and sent again.
const MAX_COMPACTIONS: u32 = 3;

/// Somebody's wish that what was said be summed up.
pub(super) struct Compacting {
    pub(super) id: InputId,
    pub(super) key: EventKey,
    pub(super) from: Conversation,
    pub(super) by: Principal,
    /// When it has taken too long.
    pub(super) until: Timestamp,
}

/// How a model call ended.
enum Called<T = Completion> {
    Done(Result<T>),
    /// The turn is to end: what the model was writing is not wanted.
    Stopped,
}

impl Run<'_> {
    /// Calls the model and records what came of it.
    pub(super) async fn call_model(&mut self) -> Result<()> {
        let mut budget = context::prompt_budget(&self.agent);
        self.read_files().await;
        self.recall().await;
        let mut request = self.request();
        let mut compactions = 0;
        self.show_typing();
        loop {
            if context::request_tokens(&request) > budget && compactions < MAX_COMPACTIONS {
                compactions += 1;
                let compacted = self.compact(&request, budget).await?;
                if self.is_over() {
                    return Ok(());
                }
                if compacted {
                    request = self.request();
                    continue;
                }
            }
            match self.complete(&request, true).await? {
                Called::Stopped => return Ok(()),
                Called::Done(Ok(completion)) => return self.replied(completion),
                Called::Done(Err(error))
                    if error.kind() == ErrorKind::ContextOverflow
                        && compactions < MAX_COMPACTIONS =>
                {
                    // Our guess was too low: what the model can read is less than this.
                    self.emit(EventKind::TextReset);
                    budget = context::request_tokens(&request).min(budget) / 2;
                    compactions += 1;
                    let compacted = self.compact(&request, budget).await?;
                    if self.is_over() {
                        return Ok(());
                    }
                    if !compacted {
                        return self.failed(&error);
                    }
                    request = self.request();
                }
                Called::Done(Err(error)) => return self.failed(&error),
            }
        }
    }

    fn request(&self) -> CompletionRequest {
        context::request(&self.session, &self.agent, &self.files, self.shown_parts())
    }

    /// Replaces the oldest messages by a summary; false if nothing can go or the model did not sum up.
    async fn compact(&mut self, request: &CompletionRequest, budget: u64) -> Result<bool> {
        let Some(cut) = context::to_drop(&self.session, request, budget) else {
            return Ok(false);
        };
        let context::Cut { dropped, kept } = cut;
        let (summary, usage) = match self.sum_up(dropped).await? {
            Called::Stopped => return Ok(false),
            Called::Done(Ok(summed)) => summed,
            // Without a summary the conversation can still go on, and the log keeps what was said.
            Called::Done(Err(error)) => {
                tracing::warn!(session = %self.key, error = ?error, "no summary could be made");
                let text = "(Earlier messages were left out for lack of room.)".to_owned();
                (text, Usage::default())
            }
        };
        self.compacted(dropped, kept, &summary, usage)?;
        Ok(true)
    }

    /// Asks the model for a summary of the first `dropped` messages.
    async fn sum_up(&mut self, dropped: usize) -> Result<Called<(String, Usage)>> {
        // What goes is in the memory first.
        if self.plan.memory.is_some() {
            self.flush().await?;
            self.remember().await;
        }
        let summing = context::summary_request(&self.session, &self.agent, dropped, &self.files)?;
        Ok(match self.complete(&summing, false).await? {
            Called::Stopped => Called::Stopped,
            Called::Done(Ok(summed)) if !summed.text.trim().is_empty() => {
                Called::Done(Ok((summed.text, summed.usage)))
            }
            Called::Done(Ok(_)) => {
                Called::Done(Err(Error::new(ErrorKind::InvalidData, "the summary was empty")))
            }
            Called::Done(Err(error)) => Called::Done(Err(error)),
        })
    }

    fn compacted(
        &mut self,
        dropped: usize,
        kept: Vec<usize>,
        text: &str,
        usage: Usage,
    ) -> Result<()> {
        let history = self.session.history().iter().take(dropped);
        let label = history.fold(Label::neutral(), |all, message| all.join(&message.label()));
        let content = Content::text(format!("Summary of the conversation until here:\n{text}"));
        let summary = Part { content, label };
        self.record(Entry::Compacted { dropped, kept, summary, usage })
    }

    /// Sums up because somebody asked for it, and says what came of it. Nothing is lost if that fails.
    pub(super) async fn compact_now(&mut self) -> Result<()> {
        self.afresh()?;
        let told = match self.try_compacting().await? {
            Ok(dropped) => format!("{dropped} messages are summed up in one."),
            Err(why) => why,
        };
        let Some(Compacting { id, key, from, .. }) = self.compacting.take() else { return Ok(()) };
        self.answer_control(&key, &told);
        self.say(&from, &Hub::control_key(self.key, id), vec![Content::text(told)]);
        self.consume(id);
        self.flush().await
    }

    /// How many messages were summed up, or why none were.
    async fn try_compacting(&mut self) -> Result<std::result::Result<usize, String>> {
        self.read_files().await;
        let request = context::request(&self.session, &self.agent, &self.files, &[]);
        // All but what was said last.
        let Some(cut) = context::to_drop(&self.session, &request, 0) else {
            return Ok(Err("There is nothing to sum up.".to_owned()));
        };
        let history = self.session.id().cloned();
        let (summary, usage) = match self.sum_up(cut.dropped).await? {
            Called::Done(Ok(summed)) => summed,
            Called::Done(Err(error)) => {
                tracing::warn!(session = %self.key, error = ?error, "no summary could be made");
                return Ok(Err(format!("No summary could be made: {}.", error.public_text())));
            }
            Called::Stopped => {
                return Ok(Err("Nothing is summed up: that was stopped.".to_owned()));
            }
        };
        if self.session.id() != history.as_ref() {
            return Ok(Err("Another conversation has begun meanwhile.".to_owned()));
        }
        self.compacted(cut.dropped, cut.kept, &summary, usage)?;
        Ok(Ok(cut.dropped))
    }

    /// Makes a completion, watching for what ends the turn.
    async fn complete(&mut self, request: &CompletionRequest, shown: bool) -> Result<Called> {
        let provider = Arc::clone(&self.agent.provider);
        let mut cx = CallContext::new().with_cancel(self.cancel.child());
        cx.session = self.session.id().map(|id| id.as_str().into());
        cx.agent = Some(self.key.agent().clone());
        let by = self.compacting.as_ref().map(|compacting| compacting.by.clone());
        cx.principal = self.session.turn().map(|turn| turn.principal().clone()).or(by);
        let (hub, key, turn) = (self.hub, self.key, self.session.turn().map(|turn| turn.id()));
        let preview = self.preview().filter(|_| shown);
        let grown = Arc::new(Mutex::new(String::new()));
        let growing = Arc::clone(&grown);
        let tap = move |event: &CompletionEvent| {
            if let (true, CompletionEvent::Text { text }) = (shown, event) {
                hub.emit(key, turn, EventKind::TextDelta { text: text.clone() });
                if preview.is_some() {
                    growing.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
                }
            }
        };
        let span = self.span();
        let completion = self.hub.faults.around(Act::CallModel, async {
            let stream = provider.stream(&cx, request).await?;
            Completion::collect(stream, tap).await
        });
        let completion = completion.instrument(span);
        tokio::pin!(completion);
        let interval = preview.map_or(Duration::MAX, |preview| preview.interval());
        let mut next_preview = tokio::time::Instant::now().checked_add(interval);
        loop {
            let time = self.time_left();
            let wake = self.wake;
            tokio::select! {
                biased;
                result = &mut completion => {
                    if result.is_err() && self.hub.stopping.is_cancelled() {
                        // That is no answer: the run is about to be dropped, and the call made again.
                        std::future::pending::<()>().await;
                    }
                    return Ok(Called::Done(result));
                }
                () = wake.woken() => {
                    self.woken();
                    self.look().await?;
                    self.flush_said().await?;
                }
                () = tokio::time::sleep(time) => self.time_out()?,
                () = sleep_until(self.typing_until) => self.show_typing(),
                () = sleep_until(next_preview) => {
                    let text = grown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    if let Some(preview) = &preview {
                        self.show_growing(&text, preview).await?;
                    }
                    next_preview = tokio::time::Instant::now().checked_add(interval);
                }
            }
            if self.is_ending() {
                return Ok(Called::Stopped);
            }
        }
    }

    fn is_ending(&self) -> bool {
        self.session.turn().map_or_else(|| self.cancel.is_cancelled(), |turn| turn.is_ending())
    }

    /// Whether the model is not to be called any more: a summary may have used up what a turn may use.
    fn is_over(&self) -> bool {
        !matches!(self.session.step(), Step::CallModel)
    }

    fn replied(&mut self, completion: Completion) -> Result<()> {
        let Completion { mut text, calls, reason, usage, state } = completion;
        if text.trim().is_empty() && calls.is_empty() {
            text = match reason {
                FinishReason::Refused => "The model refused to answer this.".to_owned(),
                FinishReason::Length => {
                    "The model had no room left to answer. Start afresh with /new.".to_owned()
                }
                _ => {
                    return self.failed(
                        &Error::new(ErrorKind::InvalidData, "the model's answer was empty")
                            .with_public("its answer was empty"),
                    );
                }
            };
        }
        let label = self.session.context().join(&self.shown_label());
        let cut = reason == FinishReason::Length;
        // Without calls the turn goes on no further with this model's thoughts.
        let state = state.filter(|_| !calls.is_empty());
        let calls = calls.into_iter().map(stated).collect();
        self.record(Entry::Replied { text, calls, label, usage, cut, state })
    }

    fn failed(&mut self, error: &Error) -> Result<()> {
        tracing::warn!(session = %self.key, error = ?error, "the model could not be asked");
        let text = error.public_text().to_owned();
        self.record(Entry::ModelFailed { error: error.kind(), text })
    }
}

/// The call as the log keeps it. What is not JSON stays as the text that the model wrote, and is
/// refused with an explanation when the call is decided.
fn stated(call: ToolCall) -> (String, Value) {
    let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    let arguments =
        serde_json::from_str(text).unwrap_or_else(|_| Value::from(call.arguments.as_str()));
    (call.name, arguments)
}
