//! Spans.

use std::{collections::BTreeMap, fmt::Debug};

use openclaw_core::layer::{Layer, TraceLayer};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use super::*;

type Fields = BTreeMap<String, String>;

/// Keeps every span with its fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Fields>>>);

struct Visitor<'a>(&'a mut Fields);

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut spans = self.0.lock().unwrap();
        let mut fields = Fields::from([("span".to_owned(), span.metadata().name().to_owned())]);
        span.record(&mut Visitor(&mut fields));
        spans.push(fields);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.0.lock().unwrap();
        let index = usize::try_from(span.into_u64()).unwrap() - 1;
        values.record(&mut Visitor(&mut spans[index]));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The spans that `work` makes.
async fn spans(work: impl Future<Output = ()>) -> Vec<Fields> {
    let spans = Spans::default();
    let guard = tracing::subscriber::set_default(spans.clone());
    work.await;
    drop(guard);
    std::mem::take(&mut *spans.0.lock().unwrap())
}

fn fields(expected: &[(&str, &str)]) -> Fields {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_completion_is_a_span_without_what_was_said() {
    let provider = TraceLayer.layer(Fake::named("acme", [says("a secret")]) as Arc<dyn Provider>);
    let mut request = request();
    request.system = "private".to_owned();
    request.max_output_tokens = Some(50);
    request.temperature = Some(0.5);
    let seen = spans(async {
        let stream = provider.stream(&CallContext::new(), &request).await.unwrap();
        Completion::collect(stream, |_| {}).await.unwrap();
    })
    .await;
    let expected = fields(&[
        ("span", "chat"),
        ("otel.name", "chat small"),
        ("otel.kind", "client"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "acme"),
        ("gen_ai.request.model", "small"),
        ("gen_ai.request.max_tokens", "50"),
        ("gen_ai.request.temperature", "0.5"),
        ("gen_ai.output.type", "text"),
        ("gen_ai.response.finish_reasons", "stop"),
        ("gen_ai.usage.input_tokens", "10"),
        ("gen_ai.usage.cache_read.input_tokens", "0"),
        ("gen_ai.usage.output_tokens", "5"),
    ]);
    assert_eq!(seen, [expected]);
}

#[tokio::test]
async fn failures_are_told_by_their_kind_alone() {
    let answers = [refuses(ErrorKind::RateLimited), fails_midway(ErrorKind::Unavailable)];
    let provider = TraceLayer.layer(Fake::new(answers) as Arc<dyn Provider>);
    let tool = TraceLayer.layer(Flaky::new(Effect::ReadOnly, 1) as Arc<dyn Tool>);
    let seen = spans(async {
        ask(&provider).await.unwrap_err();
        ask(&provider).await.unwrap_err();
        tool.call(call()).await.unwrap_err();
        tool.call(call()).await.unwrap();
    })
    .await;
    let kinds: Vec<_> =
        seen.iter().map(|span| span.get("error.type").map(String::as_str)).collect();
    assert_eq!(kinds, [Some("rate_limited"), Some("unavailable"), Some("unavailable"), None]);
    let expected = fields(&[
        ("span", "execute_tool"),
        ("otel.name", "execute_tool flaky"),
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "flaky"),
        ("gen_ai.tool.type", "function"),
        ("gen_ai.tool.call.id", "call_1_0"),
    ]);
    assert_eq!(seen[3], expected);
}
