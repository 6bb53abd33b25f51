//! Deciding about calls and making them.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::{approvals::Ask, media::keep_all, run::Run};
use crate::{
    error::{Error, Result},
    event::EventKind,
    fault::{Act, Faults},
    gateway::ToolPlan,
    hook::{HookContext, Verdict as HookVerdict},
    id::{AccountId, CallId, OutboundKey},
    label::Label,
    message::{Call, Content, Part},
    policy::{Decision, Facts, Permit, Verdict, decide, redeem},
    time::Cancel,
    tool::{Capability, Outgoing, Tool, ToolContext, ToolMemory, ToolOutput},
    turn::{CallDecision, DEFAULT_TOOL_TIMEOUT, Entry},
};

/// How long a call has to end after it was cancelled.
pub const TOOL_GRACE: Duration = Duration::from_secs(5);
/// The longest text of a result that goes into the history, in bytes; the rest is left out.
pub const MAX_RESULT_BYTES: usize = 64 * 1024;

/// How a call ended.
pub(super) struct ToolEnd {
    call: CallId,
    result: Ended,
    /// Of what the call recalled, if it could.
    recalled: Label,
}

enum Ended {
    /// The tool answered.
    Answered(Result<ToolOutput>),
    /// It was aborted, or the process died over it.
    Unknown,
}

impl ToolEnd {
    fn of(call: CallId, result: Ended) -> Self {
        Self { call, result, recalled: Label::neutral() }
    }

    fn with(call: CallId, result: Ended, memory: Option<&ToolMemory>) -> Self {
        let recalled = memory.map_or_else(Label::neutral, ToolMemory::label);
        Self { call, result, recalled }
    }
}

impl Run<'_> {
    /// Decides about calls, all at once, so that their asks are one message.
    pub(super) fn decide(&mut self, calls: &[CallId]) -> Result<()> {
        let mut decisions = Vec::new();
        let mut asks: Vec<Ask> = Vec::new();
        let mut misfits = Vec::new();
        let (principal, agent) = (self.principal()?, Arc::clone(&self.agent));
        for &id in calls {
            let call = self.call(id)?;
            let Some(plan) = agent.tools.get(&call.tool) else {
                misfits.push((id, self.unknown_tool(&call.tool)));
                continue;
            };
            if !call.arguments.is_object() {
                misfits.push((id, not_an_object(&call.arguments)));
                continue;
            }
            let decision = self.with_facts(plan, &call, decide);
            let ask = match &decision {
                Decision::Ask(reason) => Some(self.ask(&plan.spec, &call, reason, &principal)),
                _ => None,
            };
            decisions.push(CallDecision {
                call: id,
                effect: plan.spec.effect,
                verdict: decision.verdict(),
                ask: ask.as_ref().map(|ask| ask.asked.clone()),
            });
            asks.extend(ask);
        }
        if !decisions.is_empty() {
            self.record(Entry::Decided { decisions })?;
        }
        // These texts repeat what the model wrote.
        let label = self.session.context();
        for (call, text) in misfits {
            self.finish(call, true, vec![Content::text(text)], &label, false)?;
        }
        self.put_asks(asks, &principal)
    }

    /// Begins calls. Each is decided again now, with the owner's leave if there is one, and its
    /// beginning is durable before it begins.
    pub(super) async fn start(&mut self, calls: &[CallId]) -> Result<()> {
        let agent = Arc::clone(&self.agent);
        let mut permitted: Vec<(Call, &ToolPlan, Permit)> = Vec::new();
        for &id in calls {
            let call = self.call(id)?;
            let Some(plan) = agent.tools.get(&call.tool) else {
                let (text, label) = (self.unknown_tool(&call.tool), self.session.context());
                self.finish(id, true, vec![Content::text(text)], &label, false)?;
                continue;
            };
            match self.permit(plan, &call) {
                Decision::Allow(permit) => {
                    if let Some(reason) = self.refused_by_hook(&call).await? {
                        self.finish(
                            id,
                            true,
                            vec![Content::text(reason)],
                            &Label::system(),
                            false,
                        )?;
                        continue;
                    }
                    permitted.push((call, plan, permit));
                }
                // The policy or the call's surroundings changed since it was decided.
                Decision::Ask(reason) => {
                    let principal = self.principal()?;
                    let ask = self.ask(&plan.spec, &call, &reason, &principal);
                    self.record(Entry::Decided {
                        decisions: vec![CallDecision {
                            call: id,
                            effect: plan.spec.effect,
                            verdict: Verdict::Ask { reason },
                            ask: Some(ask.asked.clone()),
                        }],
                    })?;
                    self.put_asks(vec![ask], &principal)?;
                }
                Decision::Deny(reason) => self.record(Entry::Decided {
                    decisions: vec![CallDecision {
                        call: id,
                        effect: plan.spec.effect,
                        verdict: Verdict::Deny { reason },
                        ask: None,
                    }],
                })?,
            }
        }
        for (call, ..) in &permitted {
            self.record(Entry::ToolStarted { call: call.id })?;
        }
        self.flush().await?;
        for (call, plan, permit) in permitted {
            self.launch(&call, plan, permit)?;
        }
        Ok(())
    }

    /// Takes up calls that had begun when the process died.
    pub(super) async fn recover(&mut self, calls: &[CallId]) -> Result<()> {
        let agent = Arc::clone(&self.agent);
        for &id in calls {
            let call = self.call(id)?;
            let repeatable = self
                .session
                .turn()
                .and_then(|turn| turn.effect(id))
                .is_some_and(crate::tool::Effect::is_repeatable);
            let Some(plan) = agent.tools.get(&call.tool) else {
                self.finished(ToolEnd::of(id, Ended::Unknown))?;
                continue;
            };
            // What it began may still be at work there.
            if let Err(error) = self.reap(plan).await {
                tracing::warn!(session = %self.key, call = %id, error = ?error, "a box could not be ended");
                let result = if repeatable { Ended::Answered(Err(error)) } else { Ended::Unknown };
                self.finished(ToolEnd::of(id, result))?;
                continue;
            }
            let Decision::Allow(permit) = self.permit(plan, &call) else {
                self.finished(ToolEnd::of(id, Ended::Unknown))?;
                continue;
            };
            if repeatable {
                self.record(Entry::ToolStarted { call: id })?;
                self.flush().await?;
                self.launch(&call, plan, permit)?;
                continue;
            }
            let (cx, memory) = self.tool_context(&call, plan, permit)?;
            let found = self.hub.faults.around(Act::Reconcile, plan.tool.reconcile(cx)).await;
            let result = match found {
                Ok(Some(output)) => Ended::Answered(Ok(output)),
                Ok(None) => Ended::Unknown,
                Err(error) => {
                    tracing::warn!(session = %self.key, call = %id, error = ?error, "a call could not be reconciled");
                    Ended::Unknown
                }
            };
            self.finished(ToolEnd::with(id, result, memory.as_ref()))?;
        }
        Ok(())
    }

    /// True unless a shutdown cut the call short and it can be made again, or nobody knows.
    pub(super) fn is_final(&self, end: &ToolEnd) -> bool {
        let repeatable = || {
            let effect = self.session.turn().and_then(|turn| turn.effect(end.call));
            effect.is_some_and(crate::tool::Effect::is_repeatable)
        };
        match &end.result {
            Ended::Answered(Ok(_)) => true,
            Ended::Answered(Err(_)) => !repeatable(),
            Ended::Unknown => false,
        }
    }

    /// Records how a call ended. What it wants sent is committed with that.
    pub(super) fn finished(&mut self, end: ToolEnd) -> Result<()> {
        let ToolEnd { call: id, result, recalled } = end;
        let call = self.call(id)?;
        let agent = Arc::clone(&self.agent);
        let spec = agent.tools.get(&call.tool).map(|plan| &plan.spec);
        // A tool cannot launder what it was given: its result has the context's label too.
        let label = spec
            .map_or_else(Label::default, |spec| spec.output.clone())
            .join(&self.session.context())
            .join(&recalled);
        let communicates = spec.is_some_and(|spec| spec.capability == Capability::Communicate);
        match result {
            // The policy saw only what the tool declares.
            Ended::Answered(Ok(output)) if !output.outgoing.is_empty() && !communicates => {
                tracing::error!(tool = call.tool, "a tool sends without declaring `Communicate`");
                let text = "Refused: this tool sends messages without declaring that it does.";
                self.finish(id, true, vec![Content::text(text)], &Label::system(), false)
            }
            Ended::Answered(Ok(output)) => {
                let ToolOutput { content, outgoing, shown, question } = output;
                // A message to nowhere must not count as sent.
                let nowhere = |out: &&Outgoing| self.plan.capabilities(&out.to.account).is_none();
                if let Some(out) = outgoing.iter().find(nowhere) {
                    let text = self.unknown_account(&out.to.account);
                    return self.finish(id, true, vec![Content::text(text)], &label, false);
                }
                for (index, out) in outgoing.into_iter().enumerate() {
                    let key = OutboundKey::digest(&format!("tool\0{}\0{id}\0{index}", self.key));
                    self.say(&out.to, &key, out.content);
                }
                if !shown.is_empty() {
                    let key = OutboundKey::digest(&format!("shown\0{}\0{id}", self.key));
                    let place = self.key.conversation().clone();
                    self.say(&place, &key, shown);
                }
                if let Some(question) = question {
                    let key = OutboundKey::digest(&format!("question\0{}\0{id}", self.key));
                    let place = self.key.conversation().clone();
                    self.say(&place, &key, question);
                    return self.finish(id, false, Vec::new(), &label, true);
                }
                self.finish(id, false, bounded(content), &label, false)
            }
            Ended::Answered(Err(error)) => {
                tracing::debug!(session = %self.key, tool = call.tool, error = ?error, "a call failed");
                let text = format!("The call failed: {}", error.public_text());
                self.finish(id, true, vec![Content::text(text)], &label, false)
            }
            Ended::Unknown => {
                let text = format!(
                    "The outcome of this call of {:?} is unknown: it may have been done or not. Do not repeat it; tell the user.",
                    call.tool
                );
                self.tell_owner_unknown(&call);
                self.finish(id, true, vec![Content::text(text)], &Label::system(), false)
            }
        }
    }

    pub(super) fn finish(
        &mut self,
        call: CallId,
        failed: bool,
        content: Vec<Content>,
        label: &Label,
        asks_user: bool,
    ) -> Result<()> {
        let parts =
            content.into_iter().map(|content| Part { content, label: label.clone() }).collect();
        let tool = self.call(call)?.tool;
        self.record(Entry::ToolFinished { call, failed, parts, asks_user })?;
        self.emit(EventKind::ToolFinished { call, tool, ok: !failed });
        Ok(())
    }

    fn tell_owner_unknown(&mut self, call: &Call) {
        let Some(owner) = self.plan.owner_conversation() else { return };
        if owner == *self.key.conversation() {
            return;
        }
        let key = OutboundKey::digest(&format!("unknown\0{}\0{}", self.key, call.id));
        let text = format!(
            "I was stopped while calling {} in {}. Whether it was done is unknown; it is not repeated.",
            call.tool, self.key
        );
        self.say(&owner, &key, vec![Content::text(text)]);
    }

    fn principal(&self) -> Result<crate::access::Principal> {
        self.session
            .turn()
            .map(|turn| turn.principal().clone())
            .ok_or_else(|| Error::internal("a call without a turn"))
    }

    fn call(&self, id: CallId) -> Result<Call> {
        self.session
            .turn()
            .and_then(|turn| turn.call(id))
            .cloned()
            .ok_or_else(|| Error::internal(format!("{id} is not of the open turn")))
    }

    fn unknown_tool(&self, name: &str) -> String {
        let known: Vec<&str> = self.agent.definitions.iter().map(|d| d.name.as_str()).collect();
        format!("There is no tool {name:?}. The tools are: {}.", known.join(", "))
    }

    fn unknown_account(&self, account: &AccountId) -> String {
        let mut known: Vec<&str> = self.plan.channels.keys().map(AccountId::as_str).collect();
        known.sort_unstable();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        format!("Not sent: there is no account {account}. The accounts are: {known}.")
    }

    /// Decides now, with the owner's leave if the call has it.
    fn permit(&self, plan: &ToolPlan, call: &Call) -> Decision {
        let leave = self.session.turn().and_then(|turn| turn.leave(call.id)).cloned();
        self.with_facts(plan, call, |facts| match &leave {
            Some(hash) => redeem(facts, hash),
            None => decide(facts),
        })
    }

    fn with_facts(
        &self,
        plan: &ToolPlan,
        call: &Call,
        decide: impl FnOnce(&Facts<'_>) -> Decision,
    ) -> Decision {
        let context = self.session.context();
        let nothing = crate::policy::Task::new();
        let nobody = crate::access::Principal::Gateway;
        let turn = self.session.turn();
        let principal = turn.map_or(&nobody, |turn| turn.principal());
        decide(&Facts {
            spec: &plan.spec,
            session: self.key,
            call,
            context: &context,
            task: turn.map_or(&nothing, |turn| turn.task()),
            principal,
            audience: self.plan.audience(self.key.conversation(), principal),
            permission: self.agent.permission(&call.tool),
        })
    }

    async fn refused_by_hook(&self, call: &Call) -> Result<Option<String>> {
        let (principal, label) = (self.principal()?, self.session.context());
        for hook in &self.plan.hooks {
            let cx = HookContext::new(self.key, &principal, &label);
            match hook.before_tool(cx, call).await {
                Ok(HookVerdict::Continue) => {}
                Ok(HookVerdict::Refuse(reason)) => return Ok(Some(format!("Refused: {reason}"))),
                Err(error) => {
                    tracing::warn!(session = %self.key, error = ?error, "a hook failed; the call is refused");
                    return Ok(Some("Refused: a check of it failed.".to_owned()));
                }
            }
        }
        Ok(None)
    }

    fn launch(&mut self, call: &Call, plan: &ToolPlan, permit: Permit) -> Result<()> {
        let (cx, memory) = self.tool_context(call, plan, permit)?;
        self.emit(EventKind::ToolStarted { call: call.id, tool: call.tool.clone() });
        let (tool, id, faults) = (Arc::clone(&plan.tool), call.id, self.hub.faults.clone());
        let timeout = plan.spec.timeout.unwrap_or(DEFAULT_TOOL_TIMEOUT);
        let blobs = self.hub.blobs.clone();
        let made = async move {
            let mut result = attend(tool, cx, timeout, faults.clone()).await;
            if let Ended::Answered(Ok(output)) = &mut result {
                keep_all(blobs.as_deref(), &faults, output.all_content()).await;
            }
            ToolEnd::with(id, result, memory.as_ref())
        };
        let span = self.span();
        self.running.spawn(made.instrument(span));
        Ok(())
    }
}

/// Makes a call.
pub(crate) async fn call_tool(
    tool: Arc<dyn Tool>,
    cx: ToolContext,
    faults: Faults,
) -> Result<ToolOutput> {
    faults.around(Act::CallTool, tool.call(cx)).await
}

/// Makes a call in a task of its own: a panic becomes its result, and a call that must stop is told so
/// and given time to end before it is aborted.
async fn attend(tool: Arc<dyn Tool>, cx: ToolContext, timeout: Duration, faults: Faults) -> Ended {
    let cancel: Cancel = cx.cancel().clone();
    let mut task =
        AbortOnDropHandle::new(tokio::spawn(call_tool(tool, cx, faults).in_current_span()));
    let timed_out = tokio::select! {
        biased;
        joined = &mut task => return answer(joined),
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(timeout) => true,
    };
    cancel.cancel();
    match tokio::time::timeout(TOOL_GRACE, &mut task).await {
        Ok(joined) => answer(joined),
        Err(_) => {
            tracing::warn!(timed_out, "a call did not end when it was cancelled and is aborted");
            Ended::Unknown
        }
    }
}

fn answer(joined: Result<Result<ToolOutput>, tokio::task::JoinError>) -> Ended {
    match joined {
        Ok(result) => Ended::Answered(result),
        Err(error) => {
            // How far it got is unknown, as with a crash.
            tracing::error!(error = %error, "a call panicked");
            Ended::Unknown
        }
    }
}

fn not_an_object(arguments: &Value) -> String {
    match arguments {
        Value::String(text) => {
            format!(
                "Not made: the arguments are not valid JSON. Give a JSON object. You wrote: {text}"
            )
        }
        _ => "Not made: the arguments must be a JSON object.".to_owned(),
    }
}

/// Cuts texts that are too long for the history.
fn bounded(content: Vec<Content>) -> Vec<Content> {
    content
        .into_iter()
        .map(|one| match one {
            Content::Text { text } if text.len() > MAX_RESULT_BYTES => {
                let end = text.floor_char_boundary(MAX_RESULT_BYTES);
                let kept = text.get(..end).unwrap_or_default();
                Content::text(format!("{kept}\n(left out: {} more bytes)", text.len() - end))
            }
            other => other,
        })
        .collect()
}
