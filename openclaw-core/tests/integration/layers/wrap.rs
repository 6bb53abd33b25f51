//! The order of layers, and what each of them leaves as it is.

use std::sync::{Arc, Mutex};

use openclaw_core::{
    Result, async_trait,
    layer::{
        AroundStream, Layer, LimitLayer, RetryLayer, TimeoutLayer, TraceLayer, around_stream, wrap,
    },
    provider::{CallContext, CompletionRequest, CompletionStream, ModelInfo, Provider},
    tool::{Effect, Tool},
};

use super::*;

#[derive(Clone)]
struct Noted(&'static str, Arc<Mutex<Vec<&'static str>>>);

#[async_trait]
impl AroundStream for Noted {
    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
        inner: &dyn Provider,
    ) -> Result<CompletionStream> {
        self.1.lock().unwrap().push(self.0);
        inner.stream(cx, request).await
    }
}

impl Layer<dyn Provider> for Noted {
    fn layer(&self, inner: Arc<dyn Provider>) -> Arc<dyn Provider> {
        around_stream(inner, self.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_added_is_outermost() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let layers: [Arc<dyn Layer<dyn Provider>>; 3] =
        ["first", "second", "third"].map(|name| Arc::new(Noted(name, Arc::clone(&seen))) as _);
    let fake = Fake::with_models("fake", [says("hi")], vec![ModelInfo::new("small")]);
    let provider = wrap(fake as Arc<dyn Provider>, &layers);
    assert_eq!(ask(&provider).await.unwrap().text, "hi");
    assert_eq!(*seen.lock().unwrap(), ["first", "second", "third"]);
    assert_eq!(provider.id().as_str(), "fake");
    assert_eq!(provider.models().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_tool_layer_forwards_the_rest_and_calls_once() {
    let layers: [Arc<dyn Layer<dyn Tool>>; 4] = [
        Arc::new(RetryLayer::times(5)),
        Arc::new(TimeoutLayer::new().whole(Duration::from_secs(1))),
        Arc::new(LimitLayer::new().concurrency(1)),
        Arc::new(TraceLayer),
    ];
    for layer in layers {
        for effect in [Effect::Compensable, Effect::Irreversible] {
            let flaky = Flaky::new(effect, 1);
            let tool = layer.layer(flaky.clone());
            assert_eq!(tool.spec().name, "flaky");
            assert_eq!(tool.spec().effect, effect);
            assert_eq!(tool.reconcile(call()).await.unwrap(), Some("found".into()));
            assert_eq!(tool.call(call()).await.unwrap_err().kind(), ErrorKind::Unavailable);
            assert_eq!(flaky.calls(), 1, "an effect of {effect:?} was tried twice");
        }
    }
}
