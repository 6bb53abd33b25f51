//! A reply is shown while it grows.

use std::sync::Arc;

use openclaw_core::{
    ProviderId, Result,
    access::Access,
    async_trait,
    delivery::Preview,
    provider::{
        CallContext, CompletionEvent, CompletionRequest, CompletionStream, FinishReason, ModelInfo,
        Provider, Usage,
    },
};
use tokio::sync::Semaphore;

use super::gateway::{Stage, account, app};

/// A model that says each of its words only when it may.
struct Slow {
    id: ProviderId,
    may: Arc<Semaphore>,
}

#[async_trait]
impl Provider for Slow {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(Vec::new())
    }

    async fn stream(&self, _: &CallContext, _: &CompletionRequest) -> Result<CompletionStream> {
        let said = |text: &str| CompletionEvent::Text { text: text.to_owned() };
        let end = CompletionEvent::Finish { reason: FinishReason::Stop, usage: Usage::new(1, 1) };
        let events = vec![said("one two three"), said(" four five six"), said(" seven"), end];
        let may = Arc::clone(&self.may);
        let events = futures_util::stream::unfold(events.into_iter(), move |mut events| {
            let may = Arc::clone(&may);
            async move {
                let event = events.next()?;
                may.acquire().await.unwrap().forget();
                Some((Ok(event), events))
            }
        });
        Ok(CompletionStream::new(events))
    }
}

#[tokio::test]
async fn a_reply_is_shown_while_it_grows() {
    let stage = Stage::new().await;
    let may = Arc::new(Semaphore::new(0));
    let model = Slow { id: "slow".into(), may: Arc::clone(&may) };
    let preview = Preview { min_chars: 10, interval_ms: 1 };
    let gateway = app(&stage.channel, model, &stage.ada, Access::open());
    let gateway = gateway.preview(account(), preview).start().await.unwrap();
    stage.chat.say("talk").unwrap();
    let shown = |text: &'static str| {
        stage.chat.until(move |all| all.iter().find(|one| one.text == text).cloned())
    };
    may.add_permits(1);
    let first = shown("one two three").await;
    assert_eq!(first.edits, 0);
    may.add_permits(1);
    let more = shown("one two three four five six").await;
    assert_eq!((more.id, more.edits), (first.id, 1));
    may.add_permits(2);
    let whole = shown("one two three four five six seven").await;
    assert_eq!(whole.id, first.id);
    assert!(whole.edits >= 2, "{}", whole.edits);
    assert_eq!(stage.chat.bot_messages().len(), 1);
    gateway.shutdown().await.unwrap();
}
