//! What people are shown: replies, what there is of one while it grows, and that one is being written.

use std::time::Duration;

use super::run::Run;
use crate::{
    delivery::{Messages, Preview, messages},
    error::Result,
    id::{Conversation, ConversationKind, MessageId, OutboundKey, Seq},
    message::{Action, Content},
    store::NewOutbound,
    turn::Entry,
};

/// How often it is shown that an answer is being written: platforms show it for 5 s or longer.
const TYPING_EVERY: Duration = Duration::from_secs(4);

impl Run<'_> {
    /// Queues a reply to the session's own conversation; a message that showed it growing becomes its
    /// first piece.
    pub(super) fn reply(
        &mut self,
        text: &str,
        preview: Option<OutboundKey>,
        answers: Option<MessageId>,
    ) {
        let place = self.key.conversation().clone();
        let base = OutboundKey::derive(self.key, self.session.seq(), 0);
        let first = self.pending.outbox.len();
        self.say(&place, &base, vec![Content::text(text)]);
        if let Some(row) = self.pending.outbox.get_mut(first) {
            as_answer(row, answers);
        }
        if let (Some(preview), Some(row)) = (preview, self.pending.outbox.get_mut(first))
            && let Action::Send { content, .. } = &row.action
        {
            // The message's own id is known once it was sent.
            row.action = Action::Edit { message: MessageId::new(""), content: content.clone() };
            row.edits = Some(preview);
        }
    }

    /// The message that a reply visibly answers: among several people it would not be clear.
    pub(super) fn answers(&self) -> Option<MessageId> {
        let group = self.key.conversation().kind == ConversationKind::Group;
        let turn = self.session.turn().filter(|_| group)?;
        turn.answers().cloned()
    }

    /// How the reply is shown while it grows, if it is.
    pub(super) fn preview(&self) -> Option<Preview> {
        let account = &self.key.conversation().account;
        let preview = self.plan.previews.get(account).copied();
        // Hooks see a reply before anybody does.
        preview.filter(|_| self.plan.hooks.is_empty())
    }

    /// Shows what there is of the reply.
    pub(super) async fn show_growing(&mut self, text: &str, preview: &Preview) -> Result<()> {
        let place = self.key.conversation().clone();
        let Some(limit) = self.plan.capabilities(&place.account).map(|c| c.max_text) else {
            return Ok(());
        };
        if text.chars().count() < preview.min_chars {
            return Ok(());
        }
        let shown = crate::delivery::shown(text, limit);
        let key = self.session.turn().and_then(|turn| turn.preview()).cloned();
        match key {
            Some(key) => self.hub.delivery.grow(&place, key, shown),
            None => {
                let seq = self.session.seq().next();
                let key = OutboundKey::derive(self.key, seq, 0);
                self.record(Entry::Previewed { key: key.clone() })?;
                let (first, answers) = (self.pending.outbox.len(), self.answers());
                self.say(&place, &key, vec![Content::text(shown)]);
                if let Some(row) = self.pending.outbox.get_mut(first) {
                    as_answer(row, answers);
                }
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Queues content to a conversation: as the channel can show it, in pieces that it takes. Places
    /// that no channel serves read their answers elsewhere.
    pub(super) fn say(&mut self, to: &Conversation, base: &OutboundKey, content: Vec<Content>) {
        let Some(capabilities) = self.plan.capabilities(&to.account).cloned() else { return };
        let row = |(index, content): (usize, Vec<Content>)| {
            let key = if index == 0 {
                base.clone()
            } else {
                OutboundKey::digest(&format!("piece\0{base}\0{index}"))
            };
            NewOutbound {
                key: key.clone(),
                conversation: to.clone(),
                session: Some(self.key.clone()),
                action: Action::Send { key, content, reply_to: None },
                group: base.clone(),
                edits: None,
                at: self.hub.now(),
            }
        };
        let Messages { messages, losses } = messages(content, &capabilities);
        if !losses.is_empty() {
            tracing::debug!(conversation = %to, ?losses, "the channel shows less than was said");
        }
        self.pending.outbox.extend(messages.into_iter().enumerate().map(row));
    }

    pub(super) fn tell_owner_poisoned(&mut self, start: Seq) {
        let Some(owner) = self.plan.owner_conversation() else { return };
        if owner == *self.key.conversation() {
            return;
        }
        let key = OutboundKey::digest(&format!("poisoned\0{}\0{start}", self.key));
        let text = format!(
            "Work on a message in {} ended in a crash three times. It is set aside as a dead letter.",
            self.key
        );
        self.say(&owner, &key, vec![Content::text(text)]);
    }

    /// Shows that an answer is being written, where the channel can, and says when to show it again.
    pub(super) fn show_typing(&mut self) {
        let place = self.key.conversation();
        if self.plan.capabilities(&place.account).is_some_and(|capabilities| capabilities.typing) {
            self.hub.delivery.hint(place, Action::Typing);
            self.typing_until = Some(tokio::time::Instant::now() + TYPING_EVERY);
        }
    }
}

/// Makes a message that is sent the answer to another.
fn as_answer(row: &mut NewOutbound, message: Option<MessageId>) {
    if let Action::Send { reply_to, .. } = &mut row.action {
        *reply_to = message;
    }
}
