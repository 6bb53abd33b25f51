//! A request that an agent answers: with its tools, memory and session.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use tokio::sync::mpsc;

use super::{Failure, Piece, Pieces, Question, Refused, Said, body, invalid};
use crate::{
    access::Principal,
    channel::MAX_INBOUND_BYTES,
    error::ErrorKind,
    event::EventKind,
    gateway::{Reply, ReplyStream},
    message::{Content, plain_text},
    provider::FinishReason,
    server::{caller::Caller, events, methods::runs, state::Server},
    turn::Outcome,
};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Accepts the question. What is answered comes bit by bit.
pub(super) async fn ask(
    server: &Arc<Server>,
    caller: &Caller,
    question: Question,
) -> Result<Pieces, Refused> {
    let Question { session, key, known, said, format, .. } = question;
    let (content, quoted) = message(said, known)?;
    let text = plain_text(&content);
    runs::permitted(caller, &text).map_err(|error| {
        Refused::from(Failure { status: StatusCode::FORBIDDEN, text: error.message.into_owned() })
    })?;
    if text.len() + plain_text(&quoted).len() > MAX_INBOUND_BYTES / 2 {
        let why = "the conversation is too long for one message; let a session keep it, by `user`";
        return Err(Box::new(body::refuse(StatusCode::PAYLOAD_TOO_LARGE, why)));
    }
    let peer = session.conversation().peer.clone();
    let mut ask = server
        .handle
        .ask(peer, "")
        .saying(content)
        .quoting(quoted)
        .in_form(format)
        .in_session(session.clone())
        .principal(Principal::Owner);
    let again = key.is_some();
    if let Some(key) = key {
        ask = ask.key(key);
    }
    let answer = ask.stream().await.map_err(|error| {
        tracing::warn!(error = ?error, "a request was not accepted");
        Refused::from(Failure::from(error))
    })?;
    let hub = Arc::clone(&server.handle.hub);
    // Hooks may change or withhold what the model writes.
    let holds = !hub.plan().hooks.is_empty();
    let growing = Growing { answer, told: String::new(), holds, breaks: false };
    let (told, pieces) = mpsc::unbounded_channel();
    let server = Arc::clone(server);
    // In a task of its own: a client that reads slowly misses nothing.
    hub.spawn(async move {
        let telling = tell(growing, &told);
        let gone = tokio::select! {
            biased;
            () = telling => false,
            () = told.closed() => true,
            () = tokio::time::sleep(ANSWER_WITHIN) => {
                let text = "the answer takes too long; ask again with the same Idempotency-Key".to_owned();
                let _ = told.send(Err(Failure { status: StatusCode::GATEWAY_TIMEOUT, text }));
                false
            }
        };
        // Nobody can have the answer any more.
        if gone && !again && let Err(error) = runs::stop(&server, &session).await {
            tracing::warn!(%session, error = %error.message, "a turn was not stopped");
        }
    });
    let pieces =
        stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
    Ok(pieces.boxed())
}

/// What is said to the agent: the application's words and what the person says now; and what is shown with it.
///
/// What the client says was said before is nobody's own word: an earlier answer may hold what a page said.
fn message(said: Vec<Said>, known: bool) -> Result<(Vec<Content>, Vec<Content>), Refused> {
    let last = said.iter().rposition(|one| matches!(one, Said::Assistant { .. }));
    let now = last.map_or(0, |last| last + 1);
    let (mut system, mut content, mut before) = (Vec::new(), Vec::new(), Vec::new());
    let mut pictures = Vec::new();
    for (index, one) in said.into_iter().enumerate() {
        match one {
            Said::System(text) if !text.trim().is_empty() => system.push(Content::text(text)),
            Said::User(parts) if index >= now => content.extend(parts),
            Said::User(parts) => {
                before.push(format!("User: {}", plain_text(&parts)));
                pictures.extend(parts.into_iter().filter(|one| matches!(one, Content::Media(_))));
            }
            Said::Assistant { text, .. } if !text.is_empty() => before.push(format!("You: {text}")),
            Said::Tool { .. } => {
                return Err(invalid(
                    "messages",
                    "results of tools come with the tools that gave them",
                ));
            }
            _ => {}
        }
    }
    if content.is_empty() {
        return Err(invalid("messages", "the last message must be a user's"));
    }
    let mut quoted = Vec::new();
    if !known && !before.is_empty() {
        quoted
            .push(Content::text(format!("The conversation until now:\n\n{}", before.join("\n\n"))));
        quoted.extend(pictures);
    }
    system.append(&mut content);
    Ok((system, quoted))
}

/// An answer while it grows.
struct Growing {
    answer: ReplyStream,
    /// What was told of the text that the model writes now.
    told: String,
    /// True if what was told is void, or may be changed yet: the rest waits for the whole.
    holds: bool,
    /// True if what follows is another text.
    breaks: bool,
}

impl Growing {
    /// The next bit; `None` once the turn is over.
    async fn next(&mut self) -> Option<String> {
        loop {
            let event = self.answer.next().await?;
            match &event.kind {
                EventKind::TextDelta { text } if !self.holds => {
                    let mut bit = text.clone();
                    if self.breaks {
                        self.breaks = false;
                        self.told.clear();
                        bit.insert_str(0, "\n\n");
                    }
                    self.told.push_str(text);
                    return Some(bit);
                }
                EventKind::TextReset if !self.told.is_empty() => self.holds = true,
                EventKind::ToolStarted { .. } => self.breaks = !self.told.is_empty(),
                _ => {}
            }
        }
    }

    /// What is left to tell of the whole answer.
    fn rest(told: &str, breaks: bool, text: &str) -> String {
        match text.strip_prefix(told) {
            Some(rest) if !breaks => rest.to_owned(),
            _ if text.is_empty() || text == told => String::new(),
            _ => format!("\n\n{text}"),
        }
    }
}

async fn tell(mut growing: Growing, to: &mpsc::UnboundedSender<Result<Piece, Failure>>) {
    while let Some(text) = growing.next().await {
        // Fails only when nobody reads any more; that is seen elsewhere.
        let _ = to.send(Ok(Piece::Text(text)));
    }
    let Growing { answer, told, breaks, .. } = growing;
    match answer.finish().await {
        Ok(reply) => {
            let end = ended(&reply);
            if end.is_ok() {
                let rest = Growing::rest(&told, breaks, &reply.text);
                if !rest.is_empty() {
                    let _ = to.send(Ok(Piece::Text(rest)));
                }
            }
            let _ = to.send(end);
        }
        Err(error) => drop(to.send(Err(error.into()))),
    }
}

fn ended(reply: &Reply) -> Result<Piece, Failure> {
    let reason = match &reply.outcome {
        Outcome::Replied => FinishReason::Stop,
        Outcome::ModelFailed { error, .. } => return Err(failed(*error, &reply.outcome)),
        Outcome::Cancelled | Outcome::Superseded => {
            return Err(failed(ErrorKind::Cancelled, &reply.outcome));
        }
        Outcome::TooLong => return Err(failed(ErrorKind::Timeout, &reply.outcome)),
        Outcome::Poisoned => return Err(failed(ErrorKind::Internal, &reply.outcome)),
        // The notice is the answer.
        _ => FinishReason::Length,
    };
    Ok(Piece::End { reason, usage: reply.usage })
}

fn failed(kind: ErrorKind, outcome: &Outcome) -> Failure {
    Failure { status: body::status_of(kind), text: events::notice(outcome) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_told_is_told_at_the_end() {
        assert_eq!(Growing::rest("", false, "all"), "all");
        assert_eq!(Growing::rest("al", false, "all"), "l");
        assert_eq!(Growing::rest("all", false, "all"), "");
        assert_eq!(Growing::rest("void", false, "all"), "\n\nall");
        assert_eq!(Growing::rest("let me look", true, "all"), "\n\nall");
        assert_eq!(Growing::rest("let me look", true, ""), "");
    }

    #[test]
    fn what_was_said_before_is_nobodys_word() {
        let user = |text: &str| Said::User(vec![Content::text(text)]);
        let answer = Said::Assistant { text: "Hi.".into(), calls: Vec::new() };
        let said = vec![Said::System("Be brief.".into()), user("hello"), answer, user("and now?")];
        let (content, quoted) = message(said.clone(), false).map_err(|_| ()).unwrap();
        assert_eq!(plain_text(&content), "Be brief.\nand now?");
        let before = "The conversation until now:\n\nUser: hello\n\nYou: Hi.";
        assert_eq!(plain_text(&quoted), before);
        let (_, quoted) = message(said, true).map_err(|_| ()).unwrap();
        assert!(quoted.is_empty(), "the session knows it");
        assert!(message(vec![Said::System("x".into())], false).is_err());
    }
}
