//! The conformance of channels.
//!
//! [`suite`] holds a [`Channel`] to its contract: each bullet of the trait's documentation is a case
//! or several, chosen by what the channel declares. Its [`Platform`] is the other side: a fake of the
//! messaging service that the test controls.

mod cases;
mod faulty;
mod loopback;
mod recording;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    channel::Channel,
    http_client::HttpClient,
    id::{Conversation, MessageId},
};

pub use cases::suite;
pub use faulty::{Fault, Faulty};
pub use recording::{RecordingIngress, context};

/// The fake service behind a channel under test, and its controls. One for each case.
///
/// A control that the service has no equivalent of returns false, and its case is skipped.
#[async_trait]
pub trait Platform: Send + Sync + 'static {
    /// The channel under test; the same one at every call.
    fn channel(&self) -> Arc<dyn Channel>;

    /// The HTTP client that the channel is given, if it needs one.
    fn http(&self) -> Option<Arc<dyn HttpClient>> {
        None
    }

    /// The conversation number `index`, each another place; `None` if there are not so many. There
    /// is always number 0.
    fn conversation(&self, index: usize) -> Option<Conversation>;

    /// Somebody says `text` there. Returns once the service has it; the channel may not run yet.
    async fn say(&self, to: &Conversation, text: &str);

    /// How many events the service was told that were taken; `None` if it is never told.
    async fn acknowledged(&self) -> Option<usize>;

    /// Delivers again what it delivered last.
    async fn redeliver(&self) -> bool;

    /// Breaks the link that `run` holds, once.
    async fn cut(&self) -> bool;

    /// Makes the next action fail, without effect and so that the channel can tell.
    async fn refuse_next(&self) -> bool;

    /// Lets the next action happen, but loses the answer.
    async fn lose_next_answer(&self) -> bool;

    /// What stands there of the account's messages, in order.
    async fn shown(&self, to: &Conversation) -> Vec<Message>;

    /// The account's reaction to a message; asked only of channels that react.
    async fn reaction(&self, to: &Conversation, message: &MessageId) -> Option<String>;

    /// How often the account was shown to be typing; asked only of channels that do.
    async fn typing(&self, to: &Conversation) -> usize;

    /// Somebody presses the button with this label; asked only of channels with buttons.
    async fn press(&self, to: &Conversation, label: &str);

    /// The request by which the service delivers that somebody says `text` there; asked only of channels
    /// that take webhooks. `None` if it has no such event.
    async fn webhook(&self, to: &Conversation, text: &str) -> Option<http::Request<Bytes>> {
        let _ = (to, text);
        None
    }

    /// What is not of the service and looks like it, each to be refused: a wrong, a short and no signature,
    /// another account's, another body under a signature that is over the body.
    async fn forged_webhooks(&self, to: &Conversation) -> Vec<http::Request<Bytes>> {
        let _ = to;
        Vec::new()
    }

    /// Puts a file of these bytes on the service and returns its handle; asked only of channels that fetch
    /// media.
    async fn upload(&self, bytes: Bytes) -> Option<String> {
        let _ = bytes;
        None
    }

    /// Makes the account's credentials worthless; asked only of channels that check them.
    async fn revoke(&self) -> bool {
        false
    }
}

/// A message of the account, as the service shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The service's id, if it has any.
    pub id: Option<MessageId>,
    /// What it says.
    pub text: String,
}
