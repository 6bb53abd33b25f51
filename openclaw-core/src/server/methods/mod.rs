//! The table of the protocol's methods. A method exists by standing in it, with who may use it.

mod agents;
mod approvals;
pub(super) mod channels;
mod compact;
mod devices;
mod files;
mod history;
mod labels;
mod messages;
pub(super) mod runs;
mod sessions;
mod setup;
pub(super) mod status;
mod tools;
mod usage;

use std::{collections::BTreeMap, pin::Pin, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

use super::{caller::Caller, connection::Connection, state::Server};
use crate::protocol::{Code, Role, Scope, WireError, parse_params};

/// Who may use a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// Every operator.
    Operator,
    /// Operators that hold the scope.
    Scope(Scope),
    /// Nodes.
    Node,
}

/// A method, as the table has it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MethodInfo {
    /// Its name.
    pub name: &'static str,
    /// Who may use it.
    pub need: Need,
}

/// What came of a request: the text of a JSON value.
pub(super) struct Payload(pub(super) String);

pub(super) type Answer = Result<Payload, WireError>;
pub(super) type Later = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a method is given.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) server: &'a Arc<Server>,
    pub(super) connection: &'a Arc<Connection>,
    pub(super) method: &'static str,
    pub(super) id: &'a str,
    pub(super) params: Option<&'a RawValue>,
}

impl Request<'_> {
    /// Reads the parameters.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        parse_params(self.method, self.params)
    }
}

/// How a method is worked on.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// At once.
    Now(fn(Request<'_>) -> Answer),
    /// Beside what else the connection asks; dropped when it ends.
    Later(fn(Request<'_>) -> Result<Later, WireError>),
}

pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) need: Need,
    pub(super) run: Run,
    /// True if it changes who is let in or what is kept: a client may use it so often and no more.
    pub(super) changes: bool,
}

impl Method {
    const fn changing(self) -> Self {
        Self { changes: true, ..self }
    }

    pub(super) fn allows(&self, caller: &Caller) -> Result<(), WireError> {
        let role = match self.need {
            Need::Node => Role::Node,
            _ => Role::Operator,
        };
        if caller.role != role {
            return Err(WireError::invalid(format!("unauthorized role: {}", caller.role)));
        }
        match self.need {
            Need::Scope(scope) if !caller.may(scope) => Err(missing(scope)),
            _ => Ok(()),
        }
    }
}

/// What somebody is told who lacks a scope.
fn missing(scope: Scope) -> WireError {
    let details = json!({
        "code": "MISSING_SCOPE",
        "missingScope": scope.as_str(),
        "requiredScopes": [scope.as_str()],
    });
    WireError::new(Code::Forbidden, format!("missing scope: {scope}")).with_details(details)
}

/// The fields of a request that its method does not read.
#[derive(Deserialize)]
#[serde(transparent)]
struct Rest(BTreeMap<String, Value>);

impl Rest {
    /// Refuses fields but those that change nothing here: one that is silently ignored would promise
    /// what is not done.
    fn only(&self, method: &str, ignored: &[&str]) -> Result<(), WireError> {
        let empty = |value: &Value| {
            value.is_null()
                || *value == Value::Bool(false)
                || value.as_str().is_some_and(str::is_empty)
        };
        let mut fields = self.0.iter().filter(|(_, value)| !empty(value));
        match fields.find(|(name, _)| !ignored.contains(&name.as_str())) {
            Some((name, _)) => Err(WireError::invalid(format!(
                "invalid {method} params: at /{name}: is not supported here"
            ))),
            None => Ok(()),
        }
    }
}

const READ: Need = Need::Scope(Scope::Read);
const WRITE: Need = Need::Scope(Scope::Write);
const ADMIN: Need = Need::Scope(Scope::Admin);
const APPROVALS: Need = Need::Scope(Scope::Approvals);
const PAIRING: Need = Need::Scope(Scope::Pairing);

const fn now(name: &'static str, need: Need, run: fn(Request<'_>) -> Answer) -> Method {
    Method { name, need, run: Run::Now(run), changes: false }
}

const fn later(
    name: &'static str,
    need: Need,
    run: fn(Request<'_>) -> Result<Later, WireError>,
) -> Method {
    Method { name, need, run: Run::Later(run), changes: false }
}

/// Every method, in order of their names.
static METHODS: &[Method] = &[
    later("agent", WRITE, runs::agent),
    now("agent.identity.get", READ, agents::identity),
    later("agent.wait", WRITE, runs::wait),
    now("agents.list", READ, agents::list),
    later("approval.get", APPROVALS, approvals::describe),
    later("approval.resolve", APPROVALS, approvals::resolve_any),
    later("channels.pairing.approve", PAIRING, channels::pairing_approve).changing(),
    now("channels.pairing.list", PAIRING, channels::pairing_list),
    now("channels.start", ADMIN, channels::start).changing(),
    now("channels.status", READ, channels::status),
    later("channels.stop", ADMIN, channels::stop).changing(),
    later("chat.abort", WRITE, runs::chat_abort),
    later("chat.history", READ, history::history),
    later("chat.inject", ADMIN, messages::inject),
    now("chat.metadata", READ, history::metadata),
    later("chat.send", WRITE, runs::chat_send),
    later("chat.startup", READ, history::startup),
    now("commands.list", READ, agents::commands),
    now("config.get", READ, setup::config),
    now("config.schema", READ, setup::schema),
    later("device.pair.approve", PAIRING, devices::approve).changing(),
    now("device.pair.list", PAIRING, devices::list),
    later("device.pair.reject", PAIRING, devices::reject).changing(),
    later("device.pair.remove", PAIRING, devices::remove).changing(),
    later("device.pair.rename", PAIRING, devices::rename).changing(),
    later("device.token.revoke", PAIRING, devices::revoke).changing(),
    later("device.token.rotate", PAIRING, devices::rotate).changing(),
    later("exec.approval.get", APPROVALS, approvals::get),
    later("exec.approval.list", APPROVALS, approvals::list),
    later("exec.approval.resolve", APPROVALS, approvals::resolve),
    later("exec.approval.waitDecision", APPROVALS, approvals::wait),
    now("gateway.identity.get", READ, devices::gateway),
    now("health", READ, status::health),
    now("logs.tail", READ, setup::logs),
    later("message.action", WRITE, messages::act),
    later("models.list", READ, agents::models),
    now("node.describe", READ, devices::describe),
    now("node.list", READ, devices::nodes),
    later("node.pair.approve", PAIRING, devices::approve).changing(),
    now("node.pair.list", PAIRING, devices::node_list),
    later("node.pair.reject", PAIRING, devices::reject).changing(),
    later("node.pair.remove", PAIRING, devices::remove_node).changing(),
    later("send", WRITE, channels::send),
    later("sessions.abort", WRITE, runs::sessions_abort),
    later("sessions.compact", ADMIN, compact::compact).changing(),
    now("sessions.create", WRITE, sessions::create),
    later("sessions.delete", ADMIN, sessions::delete).changing(),
    later("sessions.describe", READ, sessions::describe),
    later("sessions.get", READ, sessions::describe),
    later("sessions.list", READ, sessions::list),
    now("sessions.messages.subscribe", READ, runs::follow),
    now("sessions.messages.unsubscribe", READ, runs::unfollow),
    later("sessions.patch", WRITE, labels::patch).changing(),
    later("sessions.preview", READ, sessions::preview),
    later("sessions.reset", ADMIN, sessions::reset).changing(),
    later("sessions.resolve", READ, sessions::resolve),
    later("sessions.send", WRITE, runs::sessions_send),
    now("sessions.subscribe", READ, runs::subscribe),
    later("sessions.usage", READ, usage::sessions),
    now("status", READ, status::status),
    now("system-presence", READ, status::presence),
    now("tools.catalog", READ, agents::catalog),
    now("tools.effective", READ, agents::effective),
    later("tools.invoke", WRITE, tools::invoke),
    later("usage.cost", READ, usage::cost),
];

/// The events that there are.
pub(super) const EVENTS: &[&str] = &[
    "agent",
    "chat",
    "connect.challenge",
    "device.pair.requested",
    "device.pair.resolved",
    "exec.approval.requested",
    "exec.approval.resolved",
    "presence",
    "sessions.changed",
    "shutdown",
    "tick",
];

/// Every method that there is.
pub fn methods() -> Vec<MethodInfo> {
    METHODS.iter().map(|method| MethodInfo { name: method.name, need: method.need }).collect()
}

pub(super) fn names() -> Vec<String> {
    METHODS.iter().map(|method| method.name.to_owned()).collect()
}

pub(super) fn find(name: &str) -> Option<&'static Method> {
    let at = METHODS.binary_search_by(|method| method.name.cmp(name)).ok()?;
    METHODS.get(at)
}

/// Encodes what came of a request.
pub(super) fn answer(value: &impl Serialize) -> Answer {
    serde_json::to_string(value)
        .map(Payload)
        .map_err(|_| WireError::new(Code::Unavailable, "internal error"))
}
