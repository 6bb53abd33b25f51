//! What happens in the gateway, as clients are told it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use serde_json::{Value, json};

use super::{connection::Event, keys, state::Server};
use crate::{
    event::{Event as Happening, EventKind, Next, Subscription},
    gateway::Approval,
    id::{SessionKey, TurnId},
    protocol::{Role, Scope},
    turn::Outcome,
};

/// A turn that clients hear of.
struct Live {
    run: String,
    turn: Option<TurnId>,
    /// The number of its last event.
    seq: u64,
    began: i64,
    text: String,
}

/// Tells clients what happens, for as long as there are doors and a gateway.
pub(super) async fn follow(server: Weak<Server>, mut events: Subscription) {
    let mut live: HashMap<SessionKey, Live> = HashMap::new();
    while let Some(next) = events.next().await {
        let Some(server) = server.upgrade() else { return };
        match next {
            Next::Event(event) => {
                server.metrics.happened(&server.handle.hub.plan(), &event);
                if server.is_watched() {
                    tell(&server, &mut live, &event).await;
                } else {
                    // Those who come later begin with the next turn.
                    live.remove(&event.session);
                }
            }
            Next::Missed(count) => server.each(|connection| connection.missed(count)),
        }
    }
}

async fn tell(server: &Arc<Server>, live: &mut HashMap<SessionKey, Live>, event: &Happening) {
    let now = server.now().as_millis();
    let session = &event.session;
    if let EventKind::TurnStarted { keys } = &event.kind {
        let run = server.runs.of(session, keys).map(|run| run.id.clone());
        let run = run.unwrap_or_else(|| unnamed(session, event.turn));
        let new = Live { run, turn: event.turn, seq: 0, began: now, text: String::new() };
        live.insert(session.clone(), new);
    }
    let known = live.get(session).is_some_and(|one| one.turn == event.turn || event.turn.is_none());
    if !known {
        let run = unnamed(session, event.turn);
        let new = Live { run, turn: event.turn, seq: 0, began: now, text: String::new() };
        live.insert(session.clone(), new);
    }
    let Some(one) = live.get_mut(session) else { return };
    let teller = Teller { server, session, now };
    match &event.kind {
        EventKind::TurnStarted { .. } => {
            teller.agent(one, "lifecycle", json!({ "phase": "start", "startedAt": now }));
        }
        EventKind::TextDelta { text } => {
            one.text.push_str(text);
            teller.agent(one, "assistant", json!({ "text": one.text, "delta": text }));
            let chat = json!({
                "state": "delta", "deltaText": text, "message": message(&one.text, now),
            });
            teller.chat(one, chat);
        }
        EventKind::TextReset => {
            one.text.clear();
            teller.agent(one, "assistant", json!({ "text": "", "delta": "", "replace": true }));
            teller.chat(one, json!({ "state": "delta", "deltaText": "", "replace": true }));
        }
        EventKind::ToolStarted { call, tool } => {
            let data = json!({ "phase": "start", "name": tool, "toolCallId": call.to_string() });
            teller.agent(one, "tool", data);
        }
        EventKind::ToolProgress { call, text } => {
            let data =
                json!({ "phase": "update", "toolCallId": call.to_string(), "partialResult": text });
            teller.agent(one, "tool", data);
        }
        EventKind::ToolFinished { call, tool, ok } => {
            let data = json!({
                "phase": "result", "name": tool, "toolCallId": call.to_string(), "isError": !ok,
            });
            teller.agent(one, "tool", data);
            // What follows is another text.
            one.text.clear();
        }
        EventKind::TurnEnded { outcome, reply, usage } => {
            let data = json!({ "outputTokens": usage.output_tokens });
            teller.agent(one, "usage", data);
            teller.ended(one, outcome, reply.as_deref());
            live.remove(session);
            teller.changed();
            if let Some(turn) = event.turn {
                server.runs.told(session, turn);
            }
        }
        EventKind::ApprovalAsked { approval, .. } => {
            if let Ok(open) = server.handle.approvals(session).await
                && let Some(open) = open.iter().find(|open| open.ask.approval == *approval)
            {
                let event = Event::new("exec.approval.requested", &asked(open, now));
                server.tell_some(&event, |one| one.caller.may(Scope::Approvals));
            }
        }
        _ => {}
    }
}

/// The name of a turn that no client asked for.
fn unnamed(session: &SessionKey, turn: Option<TurnId>) -> String {
    format!("{session}#{}", turn.map_or(0, |turn| turn.0.0))
}

struct Teller<'a> {
    server: &'a Arc<Server>,
    session: &'a SessionKey,
    now: i64,
}

impl Teller<'_> {
    fn agent(&self, live: &mut Live, stream: &str, data: Value) {
        live.seq += 1;
        let payload = json!({
            "runId": live.run,
            "sessionKey": keys::shown(self.session),
            "agentId": self.session.agent(),
            "stream": stream,
            "data": data,
            "seq": live.seq,
            "ts": self.now,
        });
        self.tell("agent", &payload);
    }

    fn chat(&self, live: &Live, mut more: Value) {
        if let Some(map) = more.as_object_mut() {
            map.insert("runId".to_owned(), live.run.clone().into());
            map.insert("sessionKey".to_owned(), keys::shown(self.session).into());
            map.insert("agentId".to_owned(), self.session.agent().as_str().into());
            map.insert("seq".to_owned(), live.seq.into());
        }
        self.tell("chat", &more);
    }

    fn ended(&self, live: &mut Live, outcome: &Outcome, reply: Option<&str>) {
        let aborted = matches!(outcome, Outcome::Cancelled | Outcome::Superseded);
        let stop = stop_reason(outcome);
        let text = reply.unwrap_or_default();
        let failed = !aborted && *outcome != Outcome::Replied;
        let mut data = json!({
            "phase": if failed { "error" } else { "end" },
            "startedAt": live.began,
            "endedAt": self.now,
            "aborted": aborted,
            "stopReason": stop,
        });
        if let (true, Some(map)) = (failed, data.as_object_mut()) {
            map.insert("error".to_owned(), notice(outcome).into());
        }
        self.agent(live, "lifecycle", data);
        let chat = if failed {
            json!({
                "state": "error", "errorMessage": notice(outcome), "errorKind": error_kind(outcome),
            })
        } else if aborted {
            json!({ "state": "aborted", "stopReason": stop, "message": message(&live.text, self.now) })
        } else {
            json!({ "state": "final", "stopReason": stop, "message": message(text, self.now) })
        };
        self.chat(live, chat);
    }

    /// Those who follow the list of sessions hear that this one is another.
    fn changed(&self) {
        let payload = json!({
            "sessionKey": keys::shown(self.session), "reason": "turn", "ts": self.now,
        });
        let event = Event::new("sessions.changed", &payload);
        self.server.tell_some(&event, |one| one.follows_sessions() && one.caller.may(Scope::Read));
    }

    fn tell(&self, name: &'static str, payload: &Value) {
        let event = Event::new(name, payload);
        self.server.tell_some(&event, |one| {
            one.caller.role == Role::Operator
                && one.caller.may(Scope::Read)
                && one.hears(self.session)
        });
    }
}

/// A message as clients show it.
pub(super) fn message(text: &str, at: i64) -> Value {
    json!({ "role": "assistant", "content": [{ "type": "text", "text": text }], "timestamp": at })
}

pub(super) fn stop_reason(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Replied => "stop",
        Outcome::Cancelled => "aborted",
        Outcome::Superseded => "superseded",
        Outcome::TooLong => "timeout",
        _ => "error",
    }
}

/// What those are told who asked.
pub(super) fn notice(outcome: &Outcome) -> String {
    outcome.notice().unwrap_or_else(|| "The turn failed.".to_owned())
}

fn error_kind(outcome: &Outcome) -> &'static str {
    use crate::error::ErrorKind;
    match outcome {
        Outcome::TooLong => "timeout",
        Outcome::ModelFailed { error: ErrorKind::RateLimited, .. } => "rate_limit",
        Outcome::ModelFailed { error: ErrorKind::ContextOverflow, .. } => "context_length",
        Outcome::ModelFailed { error: ErrorKind::Timeout, .. } => "timeout",
        Outcome::ModelFailed { error: ErrorKind::Denied, .. } => "refusal",
        _ => "unknown",
    }
}

/// An ask, as clients show it.
pub(super) fn asked(open: &Approval, now: i64) -> Value {
    json!({
        "id": open.ask.approval,
        "request": {
            "command": command(open),
            "agentId": open.session.agent(),
            "sessionKey": keys::shown(&open.session),
            "allowedDecisions": ["allow-once", "deny"],
        },
        "createdAtMs": now,
        "expiresAtMs": open.ask.expires,
    })
}

/// The whole call, as one line.
pub(super) fn command(open: &Approval) -> String {
    let arguments = &open.ask.call.arguments;
    format!("{} {}", open.ask.call.tool, serde_json::to_string(arguments).unwrap_or_default())
}
