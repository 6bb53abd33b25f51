//! A request that brings its own tools: one completion of the agent's model, with its persona.
//!
//! Nothing is done here but asking the model: the client calls the tools, keeps the conversation and
//! goes on with it. So there is no session, and no tool of the agent's.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use http::StatusCode;

use super::{Failure, Piece, Pieces, Question, Refused, Said, body, invalid};
use crate::{
    access::Principal,
    error::{Error, ErrorKind, Retry},
    message::Content,
    provider::{CallContext, ChatMessage, CompletionEvent, CompletionRequest},
    server::state::Server,
};

pub(super) async fn ask(server: &Arc<Server>, question: Question) -> Result<Pieces, Refused> {
    let hub = &server.handle.hub;
    if hub.draining.is_cancelled() {
        let why = "the gateway is shutting down and accepts nothing";
        return Err(Box::new(body::refuse(StatusCode::SERVICE_UNAVAILABLE, why)));
    }
    let Question { agent, said, tools, choice, format, temperature, max_output_tokens, .. } =
        question;
    let plan = hub.plan();
    let found = plan.agents.get(&agent).cloned();
    let found = found.ok_or_else(|| super::no_model(agent.as_str()))?;
    let (system, messages) = conversation(&found.agent.persona, said)?;
    let mut request = CompletionRequest::new(found.agent.model.clone(), messages);
    request.system = system;
    request.tools = tools.into();
    request.tool_choice = choice;
    request.response_format = format;
    request.temperature = temperature.or(found.agent.temperature);
    // Who asks may ask for less than the agent may write, not for more.
    request.max_output_tokens = match (max_output_tokens, found.agent.max_output_tokens) {
        (Some(asked), Some(most)) => Some(asked.min(most)),
        (asked, most) => asked.or(most),
    };
    let cancel = hub.stopping.child();
    let cx = CallContext::new().with_cancel(cancel).on_behalf_of(agent, Principal::Owner);
    let provider = Arc::clone(&found.provider);
    let stream = provider.stream(&cx, &request).await.map_err(|error| {
        tracing::warn!(error = ?error, "the model could not be asked");
        Refused::from(Failure::from(error))
    })?;
    let pieces = stream::unfold(Some(stream), |stream| async {
        let mut stream = stream?;
        loop {
            let piece = match stream.next().await {
                Some(Ok(CompletionEvent::Text { text })) => Piece::Text(text),
                Some(Ok(CompletionEvent::ToolCall(call))) => Piece::Call(call),
                Some(Ok(CompletionEvent::Finish { reason, usage })) => {
                    return Some((Ok(Piece::End { reason, usage }), None));
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => {
                    tracing::warn!(error = ?error, "the model's answer broke off");
                    return Some((Err(error.into()), None));
                }
                None => return Some((Err(cut().into()), None)),
            };
            return Some((Ok(piece), Some(stream)));
        }
    });
    Ok(pieces.boxed())
}

fn cut() -> Error {
    Error::new(ErrorKind::InvalidData, "a completion ended before its finish event")
        .with_public("the model's answer was cut short")
        .with_retry(Retry::Backoff)
}

/// The system prompt, and the conversation as providers are given it.
fn conversation(persona: &str, said: Vec<Said>) -> Result<(String, Vec<ChatMessage>), Refused> {
    let mut system = vec![persona.trim().to_owned()];
    let mut messages = Vec::with_capacity(said.len());
    for one in said {
        match one {
            Said::System(text) => system.push(text),
            Said::User(content) => messages.push(ChatMessage::User { content }),
            Said::Assistant { text, calls } => {
                messages.push(ChatMessage::Assistant { text, calls, state: None });
            }
            Said::Tool { call, content } => {
                if !asked_for(&messages, &call) {
                    let why = format!("no assistant's message before it has the call {call:?}");
                    return Err(invalid("messages", &why));
                }
                let content = if content.is_empty() { vec![Content::text("")] } else { content };
                messages.push(ChatMessage::Tool { call, failed: false, content });
            }
        }
    }
    if messages.is_empty() {
        return Err(invalid("messages", "nothing is said"));
    }
    system.retain(|text| !text.trim().is_empty());
    Ok((system.join("\n\n"), messages))
}

fn asked_for(messages: &[ChatMessage], id: &str) -> bool {
    messages.iter().any(|message| match message {
        ChatMessage::Assistant { calls, .. } => calls.iter().any(|call| call.id == id),
        _ => false,
    })
}
