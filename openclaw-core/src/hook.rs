//! Decisions of the application at the points that matter.
//!
//! Layers wrap parts, hooks decide. All hooks are asked in the order in which they were added; the
//! first refusal stands, and a hook that fails refuses.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    access::Principal, error::Result, id::SessionKey, label::Label, message::Call, message::Inbound,
};

/// Where a hook is asked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HookContext<'a> {
    /// The session.
    pub session: &'a SessionKey,
    /// Whose message or turn it is.
    pub principal: &'a Principal,
    /// The join of all that is known there.
    pub label: &'a Label,
}

impl<'a> HookContext<'a> {
    pub(crate) fn new(session: &'a SessionKey, principal: &'a Principal, label: &'a Label) -> Self {
        Self { session, principal, label }
    }
}

/// Whether something may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// As far as this hook is concerned.
    Continue,
    /// No; the reason may reach the model.
    Refuse(String),
}

/// What becomes of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum ReplyVerdict {
    /// It is sent as it is.
    Send,
    /// This is sent instead. Later hooks see it.
    Replace(String),
    /// Nothing is sent.
    Withhold,
}

/// Decides. Override what is of interest.
///
/// A hook must not keep a [`Gateway`](crate::gateway::Gateway): the gateway owns its hooks, and
/// neither would ever be dropped. A [`Handle`](crate::gateway::Handle) is fine.
#[async_trait]
pub trait Hook: Send + Sync + 'static {
    /// Before an inbound event is accepted, after access control. A refusal is final: the platform is
    /// told that the event was taken. An error makes the platform deliver it again.
    ///
    /// # Errors
    /// The event is not accepted.
    async fn on_inbound(&self, cx: HookContext<'_>, inbound: &Inbound) -> Result<Verdict> {
        let _ = (cx, inbound);
        Ok(Verdict::Continue)
    }

    /// Before a tool call that the policy allowed.
    ///
    /// # Errors
    /// The call is refused.
    async fn before_tool(&self, cx: HookContext<'_>, call: &Call) -> Result<Verdict> {
        let _ = (cx, call);
        Ok(Verdict::Continue)
    }

    /// Before a reply is committed to be sent.
    ///
    /// # Errors
    /// The reply is withheld.
    async fn before_reply(&self, cx: HookContext<'_>, text: &str) -> Result<ReplyVerdict> {
        let _ = (cx, text);
        Ok(ReplyVerdict::Send)
    }
}

/// What is left of a reply once all hooks have seen it; `None` if nothing is to be sent.
pub(crate) async fn filter_reply(
    hooks: &[Arc<dyn Hook>],
    cx: HookContext<'_>,
    mut text: String,
) -> Option<String> {
    for hook in hooks {
        match hook.before_reply(cx, &text).await {
            Ok(ReplyVerdict::Send) => {}
            Ok(ReplyVerdict::Replace(other)) => text = other,
            Ok(ReplyVerdict::Withhold) => return None,
            Err(error) => {
                tracing::warn!(session = %cx.session, error = ?error, "a hook failed; the reply is withheld");
                return None;
            }
        }
    }
    Some(text)
}
