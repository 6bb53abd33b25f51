//! The path of a message, through the public API.

mod access;
mod approvals;
mod asks;
mod bad_input;
mod channels;
mod compacting;
mod conversation;
mod delivery;
mod events;
mod hooks;
mod hostile;
mod limits;
mod means;
mod media;
mod prompts;
mod restarts;
mod sandboxed;
mod tools;

use std::sync::Arc;

use openclaw_core::{
    Gateway, GatewayBuilder, Handle,
    access::Principal,
    gateway::{Ask, Reply},
    provider::CompletionRequest,
    store::InMemory,
    testing::Scripted,
};

/// A gateway over `store`, thinking by `script`.
fn builder(script: &Scripted, store: &InMemory) -> GatewayBuilder {
    Gateway::builder().provider(script.clone()).store(store.clone()).ephemeral()
}

/// The owner asks, in a conversation of their own.
fn owner(handle: &Handle, text: &str) -> Ask {
    handle.ask("ada", text).principal(Principal::Owner)
}

async fn ask(handle: &Handle, text: &str) -> Reply {
    owner(handle, text).reply().await.unwrap()
}

/// All that a request says to the model, in one string.
fn said(request: &CompletionRequest) -> String {
    serde_json::to_string(&request.messages).unwrap()
}

/// A counter that tools of a test share.
type Count = Arc<std::sync::atomic::AtomicUsize>;
