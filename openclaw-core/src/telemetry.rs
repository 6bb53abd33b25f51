//! Spans for a collector, by OpenTelemetry's protocol over HTTP (feature `opentelemetry`).
//!
//! What is sent are the spans of target `openclaw::gen_ai`: a turn (`invoke_agent`), and what
//! [`TraceLayer`](crate::layer::TraceLayer) makes of completions (`chat`) and tool calls (`execute_tool`), named as
//! OpenTelemetry's conventions for generative AI have it. They hold names, numbers and kinds of errors: never what was
//! said, nor arguments, nor results, nor who asked, nor lines of the log.
//!
//! Nothing is sent but to the address that the application gives, by the client that it gives.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::HttpError;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanLimits,
    },
};
use tracing::{Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, Filtered, filter_fn},
    registry::LookupSpan,
};
use url::Url;

use crate::{
    error::{Error, ErrorKind, Result},
    http_client::HttpClient,
    plugin::TelemetryEntry,
    secret::Secret,
};

/// The target of the spans that are sent.
const TARGET: &str = "openclaw::gen_ai";
/// How many spans wait to be sent; more are dropped.
const MAX_WAITING: usize = 2_048;
/// How many spans are sent together.
const AT_ONCE: usize = 256;
/// After how long what waits is sent.
const EVERY: Duration = Duration::from_secs(5);
/// How long sending may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How much of a collector's answer is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// What sends spans to a collector. It belongs to the application: add [`layer`](Self::layer) to its subscriber, and
/// [`stop`](Self::stop) it at the end.
///
/// Spans wait in a queue of bounded length; when the collector is slow or away they are dropped, and nothing else is
/// held up.
///
/// ```no_run
/// use std::sync::Arc;
/// use openclaw_core::{Result, http_client::HttpClient, plugin::TelemetryEntry, telemetry::Telemetry};
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// async fn run(http: Arc<dyn HttpClient>) -> Result<()> {
///     let to = TelemetryEntry::new("http://127.0.0.1:4318/v1/traces");
///     let telemetry = Telemetry::start(&to, http)?;
///     let subscriber = tracing_subscriber::registry().with(telemetry.layer());
///     tracing::subscriber::set_global_default(subscriber).ok();
///     // … the gateway's life …
///     telemetry.stop().await;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "what is sent is sent by it"]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

/// The layer of a subscriber that hands spans to a [`Telemetry`].
pub type SpanLayer<S> =
    Filtered<OpenTelemetryLayer<S, SdkTracer>, FilterFn<fn(&Metadata<'_>) -> bool>, S>;

impl Telemetry {
    /// Begins to send to the collector that `entry` names, by `client`. Must be called within a Tokio runtime, which
    /// sends.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`]: the address or a header cannot be one, or a secret is missing.
    pub fn start(entry: &TelemetryEntry, client: Arc<dyn HttpClient>) -> Result<Self> {
        let endpoint = address(&entry.endpoint)?;
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| Error::wrap(ErrorKind::InvalidConfig, error))?;
        let sender = Sender { client, runtime, headers: headers(entry)? };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(WITHIN)
            .build()
            .map_err(|error| Error::wrap(ErrorKind::InvalidConfig, error))?;
        let batch = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_WAITING)
            .with_max_export_batch_size(AT_ONCE)
            .with_scheduled_delay(EVERY)
            .build();
        let resource = Resource::builder_empty().with_service_name(entry.service.clone()).build();
        // All is said here, so that nothing is left to the environment.
        let provider = SdkTracerProvider::builder()
            .with_span_processor(
                BatchSpanProcessor::builder(exporter).with_batch_config(batch).build(),
            )
            .with_sampler(Sampler::AlwaysOn)
            .with_span_limits(SpanLimits::default())
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// A layer for the application's subscriber: it takes the spans that are sent, and nothing else.
    pub fn layer<S>(&self) -> SpanLayer<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let is_ours: fn(&Metadata<'_>) -> bool =
            |metadata| metadata.is_span() && metadata.target() == TARGET;
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_ours))
    }

    /// Sends what waits, for ten seconds at most, and nothing more after.
    pub async fn stop(self) {
        let provider = self.provider;
        // It waits for the thread that sends, which waits for this runtime.
        let stopping = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(WITHIN));
        if let Ok(Err(error)) = stopping.await {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

fn address(text: &str) -> Result<String> {
    let url = Url::parse(text).ok().filter(|url| {
        let bare = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && bare
    });
    let url = url.ok_or_else(|| {
        Error::config(
            "the endpoint of telemetry is no address of a collector; expected one without credentials, as \
             in http://127.0.0.1:4318/v1/traces",
        )
    })?;
    Ok(url.into())
}

fn headers(entry: &TelemetryEntry) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &entry.headers {
        let refused = |what| {
            Error::config(format!("a header of telemetry has {what} that no header can have"))
                .with("header", name)
        };
        let value: Secret = value.resolve()?;
        let name = HeaderName::try_from(name).map_err(|_| refused("a name"))?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| refused("a value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Sends on the application's runtime: what asks it to has none.
struct Sender {
    client: Arc<dyn HttpClient>,
    runtime: tokio::runtime::Handle,
    headers: HeaderMap,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

#[async_trait]
impl opentelemetry_http::HttpClient for Sender {
    async fn send_bytes(
        &self,
        mut request: http::Request<Bytes>,
    ) -> std::result::Result<http::Response<Bytes>, HttpError> {
        // Others that the library found in the environment are not for this collector.
        let kind = request.headers_mut().remove(header::CONTENT_TYPE);
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
        let client = Arc::clone(&self.client);
        let sent = async move { tokio::time::timeout(WITHIN, exchange(client, request)).await };
        Ok(self.runtime.spawn(sent).await???)
    }
}

async fn exchange(
    client: Arc<dyn HttpClient>,
    request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>> {
    let (head, mut body) = client.send(request).await?.into_parts();
    let mut answer = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if answer.len() + piece.len() > MAX_ANSWER {
            break;
        }
        answer.extend_from_slice(&piece);
    }
    Ok(http::Response::from_parts(head, answer.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_without_credentials() {
        assert_eq!(
            address("http://127.0.0.1:4318/v1/traces").unwrap(),
            "http://127.0.0.1:4318/v1/traces"
        );
        for bad in ["", "collector", "ftp://x/", "http://", "https://ada:secret@example.org/"] {
            let error = address(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{bad}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
