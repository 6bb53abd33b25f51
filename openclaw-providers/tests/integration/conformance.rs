//! Each provider and each embedder against the suites, on the services that others' clients can talk to.

use openclaw_core::testing::{
    embedder,
    provider::{ProviderFixture, suite},
};
use openclaw_providers::{
    anthropic::{Anthropic, Thinking},
    ollama::Ollama,
    openai::{OpenAi, OpenAiApi},
};

use super::{
    emulators::{self, KEY},
    server::{Act, Received, Server},
};

/// The service, which does not go on where it is asked to hang.
async fn server(service: fn(&Received) -> Vec<Act>) -> Server {
    Server::answering(service).await
}

/// The same, whatever is asked, hanging in the middle.
async fn stalling(service: fn(&Received) -> Vec<Act>, content: &'static str) -> Server {
    Server::answering(move |request| {
        let mut request = request.clone();
        let said = openclaw_core::serde_json::json!([{"role": "user", "content": content}]);
        for key in ["messages", "input"] {
            if request.body[key].is_array() {
                request.body[key] = said.clone();
            }
        }
        service(&request)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_keeps_the_contract() {
    let good = server(emulators::anthropic::service).await;
    let stuck = stalling(emulators::anthropic::service, "stall").await;
    let at = |url: &str, key: &'static str| {
        let url = url.to_owned();
        move || {
            let thinking = Thinking::Enabled { budget_tokens: 2_000 };
            let anthropic = Anthropic::new(key).base_url(&url).unwrap();
            anthropic.model("claude-haiku-4-5").thinking(thinking).unwrap()
        }
    };
    let fixture = ProviderFixture::new("claude-haiku-4-5", at(&good.url, KEY))
        .expecting("Hello, Ada.")
        .with_usage()
        .with_tools(at(&good.url, KEY))
        .with_state(at(&good.url, KEY))
        .with_stall(at(&stuck.url, KEY))
        .with_refusal(at(&good.url, "sk-other"))
        .counting(stuck.open());
    no_skips(suite("anthropic", fixture).run().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_keeps_the_contract() {
    let good = server(emulators::ollama::service).await;
    let stuck = stalling(emulators::ollama::service, "stall").await;
    let nobody = Server::answering(|_| super::server::answer("403 Forbidden", "", "{}")).await;
    let at = |url: &str| {
        let url = url.to_owned();
        move || Ollama::new(&url).unwrap().model("qwen3:8b")
    };
    let fixture = ProviderFixture::new("qwen3:8b", at(&good.url))
        .expecting("Hello, Ada.")
        .with_usage()
        .with_tools(at(&good.url))
        .with_state(at(&good.url))
        .with_stall(at(&stuck.url))
        .with_refusal(at(&nobody.url))
        .counting(stuck.open());
    no_skips(suite("ollama", fixture).run().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_keeps_the_contract_by_both_apis() {
    for api in [OpenAiApi::ChatCompletions, OpenAiApi::Responses] {
        let good = server(emulators::openai::service).await;
        let stuck = stalling(emulators::openai::service, "stall").await;
        let at = |url: &str, key: &'static str| {
            let url = format!("{url}/v1");
            move || OpenAi::new(key).base_url(&url).unwrap().api(api)
        };
        let mut fixture = ProviderFixture::new("gpt-5-mini", at(&good.url, KEY))
            .expecting("Hello, Ada.")
            .with_usage()
            .with_tools(at(&good.url, KEY))
            .with_stall(at(&stuck.url, KEY))
            .with_refusal(at(&good.url, "sk-other"))
            .counting(stuck.open());
        if api == OpenAiApi::Responses {
            fixture = fixture.with_state(at(&good.url, KEY));
        }
        let report = suite(format!("{api:?}"), fixture).run().await;
        assert_eq!(report.failed().count(), 0, "{report}");
        let skipped = usize::from(api == OpenAiApi::ChatCompletions);
        assert_eq!(report.skipped().count(), skipped, "{report}");
    }
}

fn no_skips(report: openclaw_core::testing::suite::Report) {
    assert_eq!(report.failed().count(), 0, "{report}");
    assert_eq!(report.skipped().count(), 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn embedders_keep_the_contract() {
    let openai = server(emulators::openai::service).await;
    let service = OpenAi::new(KEY).base_url(&format!("{}/v1", openai.url)).unwrap();
    let embedder = service.embedder("text-embedding-3-small", emulators::openai::DIMENSIONS);
    embedder::suite("openai", move || embedder.clone()).assert().await;
    let cut = service.embedder("text-embedding-3-small", 5).shortened();
    embedder::suite("openai, shortened", move || cut.clone()).assert().await;

    let ollama = server(emulators::ollama::service).await;
    let embedder = Ollama::new(&ollama.url)
        .unwrap()
        .embedder("nomic-embed-text", emulators::ollama::DIMENSIONS);
    embedder::suite("ollama", move || embedder.clone()).assert().await;
}

#[tokio::test]
async fn vectors_of_another_length_and_refusals_are_told() {
    use openclaw_core::{
        ErrorKind,
        provider::{CallContext, Embedder as _},
        time::Cancel,
    };
    let openai = server(emulators::openai::service).await;
    let service = OpenAi::new(KEY).base_url(&format!("{}/v1", openai.url)).unwrap();
    let cx = CallContext::new();
    let error = service.embedder("m", 3).embed(&cx, &["a"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("have 8 values, and 3 were expected"), "{error}");
    // More texts than one request has.
    let many = vec!["text"; 300];
    let embedder = service.embedder("m", emulators::openai::DIMENSIONS);
    assert_eq!(embedder.embed(&cx, &many).await.unwrap().len(), 300);
    assert_eq!(openai.received().len(), 3);

    let refused = OpenAi::new("sk-other").base_url(&format!("{}/v1", openai.url)).unwrap();
    let error = refused.embedder("m", 8).embed(&cx, &["a"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");

    let ollama = server(emulators::ollama::service).await;
    let service = Ollama::new(&ollama.url).unwrap();
    let error = service.embedder("absent", 3).embed(&cx, &["a"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("ollama pull absent"), "{error}");
    let cancel = Cancel::new();
    cancel.cancel();
    let cx = CallContext::new().with_cancel(cancel);
    let error = service.embedder("nomic-embed-text", 12).embed(&cx, &["a"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}
