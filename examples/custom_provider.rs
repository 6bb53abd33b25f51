//! A provider of your own: here a rule instead of a model, so it needs no key and no network.
//!
//! Run with: `examples/run custom_provider`, or
//!
//! ```sh
//! cargo run -p openclaw-examples --example custom_provider
//! ```

use openclaw_channels::terminal::Terminal;
use openclaw_core::{
    Gateway, GatewayBuilder, ProviderId, Result, async_trait,
    gateway::{IntoChannel, IntoStore},
    message::plain_text,
    provider::{
        CallContext, ChatMessage, CompletionEvent, CompletionRequest, CompletionStream,
        FinishReason, ModelInfo, Provider, Usage,
    },
};
use openclaw_memory::sqlite::Sqlite;

/// Answers every statement with a question.
pub(crate) struct Therapist {
    id: ProviderId,
}

impl Therapist {
    pub(crate) fn new() -> Self {
        Self { id: ProviderId::new("therapist") }
    }
}

#[async_trait]
impl Provider for Therapist {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(vec![ModelInfo::new("eliza")])
    }

    async fn stream(
        &self,
        _cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let said = request.messages.iter().rev().find_map(|message| match message {
            ChatMessage::User { content } => Some(plain_text(content)),
            _ => None,
        });
        let answer = answer(&said.unwrap_or_default());
        // A word at a time, as a model would; then the end, without which it counts as cut short.
        let words =
            answer.split_inclusive(' ').map(|word| CompletionEvent::Text { text: word.into() });
        let end = CompletionEvent::Finish { reason: FinishReason::Stop, usage: Usage::default() };
        let events: Vec<Result<CompletionEvent>> = words.chain([end]).map(Ok).collect();
        Ok(CompletionStream::new(futures_util::stream::iter(events)))
    }
}

fn answer(said: &str) -> String {
    let said = said.trim().trim_end_matches(['.', '!', '?']);
    let mine = |word: &str| match word.to_lowercase().as_str() {
        "i" => "you".to_owned(),
        "am" => "are".to_owned(),
        "my" => "your".to_owned(),
        "me" => "you".to_owned(),
        _ => word.to_owned(),
    };
    let turned: Vec<String> = said.split_whitespace().map(mine).collect();
    match turned.is_empty() {
        true => "Please go on.".to_owned(),
        false => format!("Why do you say that {}?", turned.join(" ")),
    }
}

pub(crate) fn app(channel: impl IntoChannel, store: impl IntoStore) -> GatewayBuilder {
    Gateway::builder().provider(Therapist::new()).channel(channel).store(store)
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    eprintln!("I think with a rule of this program's own. Ctrl-D ends this.");
    let store = Sqlite::open(openclaw_examples::folder()?.join("custom_provider.db")).await?;
    let gateway = app(Terminal::new(), store.clone()).start().await?;
    gateway.idle().await;
    gateway.shutdown().await?;
    store.close().await
}
