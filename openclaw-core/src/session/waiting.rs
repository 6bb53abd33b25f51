//! Messages that wait for their turn.

use std::collections::VecDeque;

use super::{Input, input::to_message};
use crate::{
    access::Principal,
    label::Label,
    message::{Content, InboundKind, Message, Part},
    store::{InputId, InputRow},
};

/// An input that waits.
pub(super) struct Waiting {
    pub(super) row: InputRow,
    pub(super) input: Input,
    /// Rows that it stands for as well: what it replaced, or what changed it.
    also: Vec<InputId>,
}

impl Waiting {
    /// The rows that are done when this is.
    pub(super) fn rows(&self) -> impl Iterator<Item = InputId> {
        std::iter::once(self.row.id).chain(self.also.iter().copied())
    }

    /// Whose it is, if anybody's.
    pub(super) fn principal(&self) -> Option<&Principal> {
        match &self.input {
            Input::Message { principal, .. } | Input::Control { principal, .. } => Some(principal),
            Input::Note { .. } => None,
        }
    }

    pub(super) fn is_passive(&self) -> bool {
        self.input.is_passive()
    }

    /// The message of the history that it becomes.
    pub(super) fn message(&self) -> Message {
        match &self.input {
            Input::Message { inbound, principal, label, .. } => {
                to_message(inbound, principal, label, self.row.at)
            }
            Input::Note { text } => note(text),
            Input::Control { command, .. } => note(&format!("{command:?}")),
        }
    }
}

fn note(text: &str) -> Message {
    let content = Content::text(text);
    Message::Note { parts: vec![Part { content, label: Label::system() }] }
}

/// Puts an input behind those that wait. One that edits or deletes a message that still waits changes
/// that message: nobody has read it yet.
pub(super) fn put(queue: &mut VecDeque<Waiting>, row: InputRow, input: Input) {
    let new = Waiting { row, input, also: Vec::new() };
    let Some(at) = changed_by(queue, &new) else { return queue.push_back(new) };
    let Some(old) = queue.get_mut(at) else { return queue.push_back(new) };
    let Waiting { row, input, .. } = new;
    let (Input::Message { inbound: change, .. }, Input::Message { inbound, .. }) =
        (input, &mut old.input)
    else {
        return;
    };
    old.also.push(row.id);
    match change.kind {
        InboundKind::Edit { .. } => {
            (inbound.content, inbound.quoted) = (change.content, change.quoted)
        }
        // What is left of it starts no turn.
        kind => {
            inbound.kind = kind;
            inbound.content.clear();
            inbound.quoted.clear();
        }
    }
}

/// The waiting message that `new` changes: the same person's own.
fn changed_by(queue: &VecDeque<Waiting>, new: &Waiting) -> Option<usize> {
    let Input::Message { inbound, .. } = &new.input else { return None };
    let (InboundKind::Edit { of } | InboundKind::Delete { of }) = &inbound.kind else {
        return None;
    };
    queue.iter().rposition(|old| match &old.input {
        Input::Message { inbound, .. } => {
            inbound.kind == InboundKind::Message
                && inbound.message.as_ref() == Some(of)
                && old.principal() == new.principal()
        }
        _ => false,
    })
}
