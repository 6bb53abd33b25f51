//! What a call is given to act with.

use std::sync::Arc;

use super::{remember::scope, run::Run};
use crate::{
    access::Principal,
    egress::ToolHttp,
    error::{Error, Result},
    event::EventKind,
    gateway::ToolPlan,
    label::Label,
    message::Call,
    policy::Permit,
    sandbox::{Lease, ToolSandbox},
    tool::{Confinement, Means, ToolContext, ToolEnvironment, ToolMemory},
    turn::DEFAULT_TOOL_TIMEOUT,
};

impl Run<'_> {
    /// The box of this history that tools of this kind share.
    fn sandbox(&self, plan: &ToolPlan) -> Option<ToolSandbox> {
        if plan.spec.confinement == Confinement::InProcess {
            return None;
        }
        let sandbox = self.plan.sandbox.clone()?;
        let history = self.session.id().map(ToString::to_string).unwrap_or_default();
        let lease = Lease::new(&format!("{}\0{history}", self.key), plan.spec.sandbox.clone());
        Some(ToolSandbox::new(sandbox, lease, self.hub.boxes.clone()))
    }

    /// Ends what an earlier call of the tool may have left at work.
    pub(super) async fn reap(&self, plan: &ToolPlan) -> Result<()> {
        match self.sandbox(plan) {
            Some(sandbox) => sandbox.reap().await,
            None => Ok(()),
        }
    }

    fn means(&self, plan: &ToolPlan, label: &Label, principal: &Principal) -> Means {
        let http = match plan.spec.confinement {
            Confinement::Sealed => ToolHttp::Sealed,
            Confinement::InProcess | Confinement::Connected => self.plan.tool_http.clone(),
        };
        let memory = self.plan.memory.as_ref().map(|memory| {
            ToolMemory::new(
                Arc::clone(memory),
                scope(self.key, principal),
                Arc::clone(&self.hub.sources.clock),
                plan.spec.output.join(label),
                plan.spec.output.confidentiality,
            )
        });
        Means { http, sandbox: self.sandbox(plan), memory, secrets: Arc::clone(&plan.secrets) }
    }

    /// The context of a call, and the memory in it.
    pub(super) fn tool_context(
        &self,
        call: &Call,
        plan: &ToolPlan,
        permit: Permit,
    ) -> Result<(ToolContext, Option<ToolMemory>)> {
        let (events, key, turn) =
            (self.hub.events.clone(), self.key.clone(), self.session.turn().map(|turn| turn.id()));
        let turn_state =
            self.session.turn().ok_or_else(|| Error::internal("a call without a turn"))?;
        let context = self.session.context();
        let means = self.means(plan, &context, turn_state.principal());
        let memory = means.memory.clone();
        let environment = ToolEnvironment {
            session: self.key.clone(),
            principal: turn_state.principal().clone(),
            context,
            means,
            attributes: Arc::clone(turn_state.attributes()),
            state: Arc::clone(&self.plan.state),
            clock: Arc::clone(&self.hub.sources.clock),
            progress: Arc::new(move |call, text: &str| {
                events.emit(&key, turn, EventKind::ToolProgress { call, text: text.to_owned() });
            }),
        };
        let timeout = plan.spec.timeout.unwrap_or(DEFAULT_TOOL_TIMEOUT);
        let cx = permit.into_context(call, environment, self.cancel.child(), timeout)?;
        Ok((cx, memory))
    }
}
