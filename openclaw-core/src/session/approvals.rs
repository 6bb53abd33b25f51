//! Asking the owner for leave.

use std::time::Duration;

use super::run::Run;
use crate::{
    access::Principal,
    error::Result,
    event::EventKind,
    gateway::{Directory, approval_token},
    id::{ApprovalId, Conversation, OutboundKey},
    message::{Button, Call, Content},
    policy::{CallHash, Reason, explain},
    tool::ToolSpec,
    turn::{Answer, AskedCall, Entry},
};

/// How long the owner has to answer.
pub const APPROVAL_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// An ask to be put to the owner.
pub(super) struct Ask {
    pub(super) asked: AskedCall,
    text: String,
}

impl Run<'_> {
    /// Makes the ask for a call.
    pub(super) fn ask(
        &self,
        spec: &ToolSpec,
        call: &Call,
        reason: &Reason,
        principal: &Principal,
    ) -> Ask {
        let asked = AskedCall {
            approval: ApprovalId::derive(self.key, call.id),
            call: call.clone(),
            hash: CallHash::of(self.key, call),
            effect: spec.effect,
            expires: self.hub.now().after(APPROVAL_TTL),
            principal: principal.clone(),
            attributes: self
                .session
                .turn()
                .map(|turn| turn.attributes().as_ref().clone())
                .unwrap_or_default(),
        };
        Ask { asked, text: explain(reason, spec, call) }
    }

    /// Puts asks to the owner, all in one message, with the commit that records them.
    pub(super) fn put_asks(&mut self, asks: Vec<Ask>, principal: &Principal) -> Result<()> {
        let Some(first) = asks.first() else { return Ok(()) };
        let base = OutboundKey::digest(&format!("ask\0{}", first.asked.hash.as_str()));
        let mut texts = Vec::new();
        let mut rows = Vec::new();
        for ask in &asks {
            let approval = &ask.asked.approval;
            self.write(Directory::open_approval(approval, self.key)?);
            self.emit(EventKind::ApprovalAsked {
                approval: approval.clone(),
                tool: ask.asked.call.tool.clone(),
            });
            texts.push(format!(
                "{}\n\nTo allow it: `/approve {approval} yes`. To refuse: `/approve {approval} no`.",
                ask.text
            ));
            let button = |label: &str, allow| Button {
                label: format!("{label} {approval}"),
                token: approval_token(approval, allow),
            };
            rows.push(vec![button("Allow", true), button("Refuse", false)]);
        }
        let content = vec![Content::text(texts.join("\n\n---\n\n")), Content::Buttons { rows }];
        let place = self.place_of_asks(principal);
        self.say(&place, &base, content);
        Ok(())
    }

    /// Where the owner is asked: here, if this is their own private conversation; else in theirs.
    fn place_of_asks(&self, principal: &Principal) -> Conversation {
        let here = self.key.conversation();
        let private = here.kind == crate::id::ConversationKind::Direct;
        if principal.is_owner() && private {
            return here.clone();
        }
        self.plan.owner_conversation().unwrap_or_else(|| here.clone())
    }

    /// Closes the asks whose time is over. One that its turn went on without gets a turn that says so,
    /// once no other is open.
    pub(super) fn expire_asks(&mut self) -> Result<()> {
        let now = self.hub.now();
        if self.session.wake_at().is_none_or(|first| first > now) {
            return Ok(());
        }
        for open in self.session.asks().into_iter().filter(|open| open.ask.expires <= now) {
            if open.detached && self.session.turn().is_some() {
                continue;
            }
            self.write(Directory::close_approval(&open.ask.approval));
            if open.detached {
                self.begin_answered(open.ask, Answer::Expired)?;
            } else {
                let approval = open.ask.approval;
                self.record(Entry::Answered { approval, answer: Answer::Expired })?;
            }
        }
        Ok(())
    }
}
