//! A tool that a client asks for by name, outside of any turn.
//!
//! The policy decides as ever, hooks are asked, and the tool has the same means. What a turn's log does for
//! its calls nobody does here, so only what may be done again is done.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::{AgentPlan, Hub, Plan, ToolPlan};
use crate::{
    access::Principal,
    egress::ToolHttp,
    error::{Error, ErrorKind, Result},
    event::EventKind,
    hook::{HookContext, Verdict},
    id::{CallId, Seq, SessionKey},
    label::Label,
    message::Call,
    policy::{Decision, Facts, Task, decide},
    sandbox::{Lease, ToolSandbox},
    session::{TOOL_GRACE, call_tool, memory_scope},
    tool::{Confinement, Means, ToolContext, ToolEnvironment, ToolMemory, ToolOutput},
    turn::DEFAULT_TOOL_TIMEOUT,
};

/// The place in a reply that no model's call has.
const BY_CLIENT: u32 = u32::MAX;

/// Calls `tool` of the session's agent for the owner. `number` tells one call from the next; the same
/// number with the same arguments is the same call.
///
/// # Errors
/// `NotFound` if the agent has no such tool; `Denied` if the policy, the owner's leave or a hook
/// stands before it, or it can be called in a conversation alone; else what the tool says.
pub(crate) async fn invoke(
    hub: &Arc<Hub>,
    session: SessionKey,
    tool: &str,
    arguments: Value,
    number: u64,
) -> Result<ToolOutput> {
    let plan = hub.plan();
    let agent = plan.agent_of(&session)?;
    let found = agent.tools.get(tool).filter(|_| agent.agent.may_use(tool));
    let found = found
        .cloned()
        .ok_or_else(|| said(ErrorKind::NotFound, format!("the agent has no tool {tool:?}")))?;
    if !found.spec.effect.is_repeatable() {
        let why =
            "this tool does what cannot be done again safely; ask the agent in a conversation";
        return Err(said(ErrorKind::Denied, why.to_owned()));
    }
    if !arguments.is_object() {
        return Err(said(ErrorKind::InvalidInput, "a tool's arguments are an object".to_owned()));
    }
    let id = CallId { seq: Seq(number), index: BY_CLIENT };
    let call = Call { id, tool: tool.to_owned(), arguments };
    let cx = permitted(hub, &plan, &agent, &found, &session, &call).await?;
    hub.emit(&session, None, EventKind::ToolStarted { call: id, tool: tool.to_owned() });
    let done = run(hub, &found, cx).await;
    let ok = done.is_ok();
    hub.emit(&session, None, EventKind::ToolFinished { call: id, tool: tool.to_owned(), ok });
    let output = done?;
    if !output.outgoing.is_empty() {
        let why = "the tool wants a message sent, which is done in a conversation alone";
        return Err(said(ErrorKind::Denied, why.to_owned()));
    }
    Ok(output)
}

fn said(kind: ErrorKind, text: String) -> Error {
    Error::new(kind, text.clone()).with_public(text)
}

/// The context of the call, if nobody objects to it.
async fn permitted(
    hub: &Arc<Hub>,
    plan: &Plan,
    agent: &AgentPlan,
    tool: &ToolPlan,
    session: &SessionKey,
    call: &Call,
) -> Result<ToolContext> {
    let principal = Principal::Owner;
    let source = format!("{principal} at {}", session.conversation());
    let label = principal.label(agent.agent.owner_confidentiality, &source);
    let decision = decide(&Facts {
        spec: &tool.spec,
        session,
        call,
        context: &label,
        task: &Task::new(),
        principal: &principal,
        audience: plan.audience(session.conversation(), &principal),
        permission: agent.permission(&call.tool),
    });
    let permit = match decision {
        Decision::Allow(permit) => permit,
        Decision::Ask(_) => {
            let why = "this call needs leave; ask the agent in a conversation";
            return Err(said(ErrorKind::Denied, why.to_owned()));
        }
        Decision::Deny(_) => {
            return Err(said(ErrorKind::Denied, "the policy refuses this call".to_owned()));
        }
    };
    for hook in &plan.hooks {
        let cx = HookContext::new(session, &principal, &label);
        if let Verdict::Refuse(reason) = hook.before_tool(cx, call).await? {
            return Err(said(ErrorKind::Denied, format!("refused: {reason}")));
        }
    }
    let (events, key) = (hub.events.clone(), session.clone());
    let environment = ToolEnvironment {
        session: session.clone(),
        means: means(hub, plan, tool, session, &principal, &label),
        principal,
        context: label,
        attributes: Arc::new(BTreeMap::new()),
        state: Arc::clone(&plan.state),
        clock: Arc::clone(&hub.sources.clock),
        progress: Arc::new(move |call, text: &str| {
            events.emit(&key, None, EventKind::ToolProgress { call, text: text.to_owned() });
        }),
    };
    let timeout = tool.spec.timeout.unwrap_or(DEFAULT_TOOL_TIMEOUT);
    permit.into_context(call, environment, hub.stopping.child(), timeout)
}

fn means(
    hub: &Arc<Hub>,
    plan: &Plan,
    tool: &ToolPlan,
    session: &SessionKey,
    principal: &Principal,
    label: &Label,
) -> Means {
    let spec = &tool.spec;
    let http = match spec.confinement {
        Confinement::Sealed => ToolHttp::Sealed,
        Confinement::InProcess | Confinement::Connected => plan.tool_http.clone(),
    };
    let memory = plan.memory.as_ref().map(|memory| {
        ToolMemory::new(
            Arc::clone(memory),
            memory_scope(session, principal),
            Arc::clone(&hub.sources.clock),
            spec.output.join(label),
            spec.output.confidentiality,
        )
    });
    let sandbox = plan.sandbox.clone().filter(|_| spec.confinement != Confinement::InProcess);
    let sandbox = sandbox.map(|sandbox| {
        let lease = Lease::new(&format!("{session}\0client"), spec.sandbox.clone());
        ToolSandbox::new(sandbox, lease, hub.boxes.clone())
    });
    Means { http, sandbox, memory, secrets: Arc::clone(&tool.secrets) }
}

/// Makes the call in a task of its own, so that a panic is its result, and not for ever.
async fn run(hub: &Arc<Hub>, tool: &ToolPlan, cx: ToolContext) -> Result<ToolOutput> {
    let (cancel, time) = (cx.cancel().clone(), cx.time_left());
    let (tool, faults) = (Arc::clone(&tool.tool), hub.faults.clone());
    let mut task = AbortOnDropHandle::new(tokio::spawn(call_tool(tool, cx, faults)));
    let joined = match tokio::time::timeout(time, &mut task).await {
        Ok(joined) => joined,
        Err(_) => {
            cancel.cancel();
            let ended = tokio::time::timeout(TOOL_GRACE, &mut task).await;
            ended.map_err(|_| said(ErrorKind::Timeout, "the call took too long".to_owned()))?
        }
    };
    joined.unwrap_or_else(|_| Err(said(ErrorKind::Internal, "the tool failed".to_owned())))
}
