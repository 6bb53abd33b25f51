mod envelope;
mod explain;
mod properties;
mod rules;
mod table;
mod values;

use serde_json::{Value, json};

use super::*;
use crate::{
    access::Principal,
    id::{AccountId, AgentId, CallId, Conversation, Seq},
    label::Integrity,
    tool::{Capability, ToolSpec, ValueKind},
};

/// Facts that own what they are made of.
#[derive(Clone, Debug)]
struct Case {
    spec: ToolSpec,
    call: Call,
    session: SessionKey,
    context: Label,
    task: Task,
    principal: Principal,
    audience: Confidentiality,
    permission: Permission,
}

fn session() -> SessionKey {
    let account = AccountId::new("terminal", "local").unwrap();
    SessionKey::new(AgentId::new("main"), Conversation::direct(account, "owner"))
}

impl Case {
    fn new(spec: ToolSpec, arguments: Value) -> Self {
        let session = session();
        Self {
            call: Call { id: CallId { seq: Seq(7), index: 0 }, tool: spec.name.clone(), arguments },
            spec,
            session,
            context: Label::user("owner"),
            task: Task::new(),
            principal: Principal::Owner,
            audience: Confidentiality::Private,
            permission: Permission::Rules,
        }
    }

    /// The owner said this, and then the model read something private that anybody may have written.
    fn after_reading(mut self, said: &str) -> Self {
        self.task.said(said, Label::user("owner"));
        self.context = Label::user("owner").join(&Label::untrusted("web:evil.example"));
        self
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            spec: &self.spec,
            session: &self.session,
            call: &self.call,
            context: &self.context,
            task: &self.task,
            principal: &self.principal,
            audience: self.audience,
            permission: self.permission,
        }
    }

    fn verdict(&self) -> Verdict {
        decide(&self.facts()).verdict()
    }

    fn rule(&self) -> Option<Rule> {
        match self.verdict() {
            Verdict::Allow => None,
            Verdict::Ask { reason } | Verdict::Deny { reason } => Some(reason.rule),
        }
    }
}

/// A tool with one critical argument `value` and one that is not, `note`.
fn spec(capability: Capability, kind: ValueKind) -> ToolSpec {
    ToolSpec::new("tool", "A tool")
        .capability(capability)
        .critical("value", kind)
        .accepts(Confidentiality::Private)
        .input_schema(json!({"properties": {"value": {}, "note": {}}}))
}
