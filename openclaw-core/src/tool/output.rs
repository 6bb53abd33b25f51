//! What a tool gives back.

use serde::{Deserialize, Serialize};

use crate::{id::Conversation, message::Content};

/// A message that a tool wants sent. It is committed together with the tool's result, so it is sent
/// exactly if the call counts as done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Where to.
    pub to: Conversation,
    /// What.
    pub content: Vec<Content>,
}

/// What a tool gives back. Plain text converts into it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolOutput {
    /// For the model. The gateway labels it.
    pub content: Vec<Content>,
    /// Messages to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outgoing: Vec<Outgoing>,
    /// For the people of this conversation: it goes where the reply goes, with the call's result, and tells
    /// nobody anything that the reply could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<Content>,
    /// A question to the user of this conversation: the call stays open, without holding anything,
    /// until its next message, which is the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Vec<Content>>,
}

impl ToolOutput {
    /// Text for the model.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::text(text)], ..Self::default() }
    }

    /// A value for the model, as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the value has no JSON form.
    pub fn json(value: &impl Serialize) -> crate::Result<Self> {
        serde_json::to_string(value)
            .map(Self::text)
            .map_err(|e| crate::Error::wrap(crate::ErrorKind::Internal, e))
    }

    /// A question to the user, whose next message is the answer.
    pub fn ask(question: impl Into<Content>) -> Self {
        Self { question: Some(vec![question.into()]), ..Self::default() }
    }

    /// All that it made, wherever it goes.
    pub(crate) fn all_content(&mut self) -> impl Iterator<Item = &mut Content> {
        let sent = self.outgoing.iter_mut().flat_map(|out| &mut out.content);
        self.content
            .iter_mut()
            .chain(sent)
            .chain(&mut self.shown)
            .chain(self.question.iter_mut().flatten())
    }

    /// Adds something for the people of this conversation, such as a picture.
    #[must_use]
    pub fn show(mut self, content: impl Into<Content>) -> Self {
        self.shown.push(content.into());
        self
    }

    /// Adds a message to send.
    #[must_use]
    pub fn send(mut self, to: Conversation, content: impl Into<Content>) -> Self {
        self.outgoing.push(Outgoing { to, content: vec![content.into()] });
        self
    }
}

impl From<&str> for ToolOutput {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for ToolOutput {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Content> for ToolOutput {
    fn from(content: Content) -> Self {
        Self { content: vec![content], ..Self::default() }
    }
}
