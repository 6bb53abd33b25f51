//! A model that does as it pleases, on a line that breaks.

use std::{collections::BTreeSet, collections::VecDeque, sync::Arc, time::Duration};

use futures_util::stream;
use openclaw_core::{
    Error, ErrorKind, ProviderId, Result, async_trait,
    message::plain_text,
    provider::{
        CallContext, ChatMessage, CompletionEvent, CompletionRequest, CompletionStream,
        FinishReason, ModelInfo, Provider, ToolCall, ToolChoice, Usage,
    },
};
use serde_json::json;

use super::{
    tools::NAMES,
    world::{Life, World},
};

/// What marks a text that anybody may have written. Whatever the mark is found in must be untrusted.
pub(super) const EVIL: &str = "EVIL";

/// A message that crashes the process each time that the model is asked about it.
pub(super) const POISON: &str = "poison";

pub(super) struct SimProvider {
    pub(super) id: ProviderId,
    pub(super) life: Arc<Life>,
}

enum Beat {
    Event(CompletionEvent),
    Fail,
    Stall,
}

#[async_trait]
impl Provider for SimProvider {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(vec![ModelInfo::new("sim")])
    }

    async fn stream(
        &self,
        _: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let world = &self.life.world;
        check(world, request);
        self.life.step("model").await;
        if is_about_poison(request) {
            self.life.crash("poison").await;
        }
        if world.fault(25) {
            return Err(Error::new(ErrorKind::Unavailable, "the provider fails"));
        }
        if world.fault(60) {
            return Err(Error::new(ErrorKind::ContextOverflow, "too long"));
        }
        let beats = answer(world, request);
        let life = Arc::clone(&self.life);
        Ok(CompletionStream::new(stream::unfold((life, beats), async |(life, mut beats)| {
            let beat = beats.pop_front()?;
            life.step("stream").await;
            let most = if life.world.fault(40) { 30_000 } else { 40 };
            tokio::time::sleep(life.world.millis(most)).await;
            life.step("stream").await;
            let event = match beat {
                Beat::Event(event) => Ok(event),
                Beat::Fail => Err(Error::new(ErrorKind::Unavailable, "the stream breaks")),
                Beat::Stall => std::future::pending().await,
            };
            Some((event, (life, beats)))
        })))
    }
}

/// True if the message that is answered is one that crashes the process.
fn is_about_poison(request: &CompletionRequest) -> bool {
    let last = request.messages.iter().rev().find_map(|message| match message {
        ChatMessage::User { content } => Some(plain_text(content)),
        _ => None,
    });
    last.is_some_and(|text| text.contains(POISON))
}

fn answer(world: &World, request: &CompletionRequest) -> VecDeque<Beat> {
    let read = serde_json::to_string(&request.messages).unwrap();
    // A model that read what anybody may have written says whatever that wants.
    let word = match read.contains(EVIL) {
        true => format!("{EVIL}-{}", world.dice.below(100_000)),
        false => format!("v{}", world.dice.below(100_000)),
    };
    let mut beats = VecDeque::new();
    let mut say = |text: &str| {
        for piece in text.split_inclusive(' ') {
            beats.push_back(Beat::Event(CompletionEvent::Text { text: piece.to_owned() }));
        }
    };
    if request.tool_choice == ToolChoice::None {
        say(&format!("summed up {word}"));
        beats.push_back(finish(FinishReason::Stop));
        return beats;
    }
    let answers = request.messages.iter().rev();
    let depth = answers.take_while(|m| !matches!(m, ChatMessage::User { .. })).count();
    let mut reason = FinishReason::Stop;
    if world.dice.below(8) > depth as u64 {
        if world.chance(3) {
            say(&format!("wait {word}"));
        }
        reason = FinishReason::ToolCalls;
        for index in 0..1 + world.dice.below(3) {
            let name = match world.dice.below(24) {
                // Twice as likely: what brings untrusted text in.
                0..=3 => "fetch",
                4 => "nosuch",
                _ => NAMES[usize::try_from(world.dice.below(NAMES.len() as u64)).unwrap()],
            };
            let arguments = match world.dice.below(20) {
                0 => format!("{{\"value\": \"{word}"),
                1 => "[1]".to_owned(),
                _ => json!({ "value": format!("{word}-{index}") }).to_string(),
            };
            let name = if name == "nosuch" { format!("nosuch-{word}") } else { name.to_owned() };
            let call = ToolCall { id: format!("call_{index}"), name, arguments };
            beats.push_back(Beat::Event(CompletionEvent::ToolCall(call)));
        }
    } else if world.fault(30) {
        // An empty answer.
    } else {
        let more = if world.chance(10) { "and so on ".repeat(60) } else { String::new() };
        say(&format!("answer {word} {more}"));
    }
    match world.dice.below(30) {
        0 if world.fault(1) => {}
        1 if world.fault(1) => beats.push_back(Beat::Fail),
        2 if world.fault(2) => beats.push_back(Beat::Stall),
        _ => beats.push_back(finish(reason)),
    }
    beats
}

fn finish(reason: FinishReason) -> Beat {
    Beat::Event(CompletionEvent::Finish { reason, usage: Usage::new(10, 5) })
}

/// What must hold of every request: each call has its one result right after it, and nothing of what
/// anybody may have written is among the instructions or outside of an envelope.
fn check(world: &World, request: &CompletionRequest) {
    world.log(format!("request of {} messages", request.messages.len()));
    if request.system.contains(EVIL) {
        world.violation("untrusted text in the system prompt");
    }
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for message in &request.messages {
        match message {
            ChatMessage::Tool { call, .. } => {
                if !open.remove(call.as_str()) {
                    world.violation(format!("a result without its call {call}"));
                }
            }
            other => {
                if !open.is_empty() {
                    world.violation(format!("calls without results: {open:?}"));
                }
                open.clear();
                if let ChatMessage::Assistant { calls, .. } = other {
                    open.extend(calls.iter().map(|call| call.id.as_str()));
                }
            }
        }
        if let ChatMessage::User { content } | ChatMessage::Tool { content, .. } = message {
            for text in content.iter().filter_map(|one| one.as_text()) {
                if text.contains(EVIL) && !text.starts_with("[untrusted ") {
                    world.violation(format!("untrusted text without its envelope: {text}"));
                }
            }
        }
    }
    if !open.is_empty() {
        world.violation(format!("calls without results: {open:?}"));
    }
}

/// How long the sim's tools may take.
pub(super) const TOOL_TIMEOUT: Duration = Duration::from_secs(20);
