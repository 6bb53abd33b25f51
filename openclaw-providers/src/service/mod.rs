//! What all providers have in common: an address with its key, requests, refusals, streams.

mod convert;
#[cfg(any(feature = "openai", feature = "ollama"))]
mod embed;
mod read;
mod refusal;
mod settings;
mod stream;

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc, time::Duration};

use openclaw_core::{
    Error, ErrorKind, ModelId, ProviderId, Result,
    bytes::Bytes,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
    },
    http_client::{Body, HttpClient},
    provider::{CallContext, CompletionRequest, Price},
    secret::{Secret, SecretRef},
    serde_json::{self, Value},
};
use serde::Serialize;

pub(crate) use convert::{At, arguments, as_text, exact, inline_picture, unsupported};
#[cfg(any(feature = "openai", feature = "ollama"))]
pub(crate) use embed::{Vectors, vector};
#[cfg(feature = "ollama")]
pub(crate) use read::Frames;
#[cfg(any(feature = "openai", feature = "anthropic"))]
pub(crate) use read::events;
pub(crate) use read::invalid;
#[cfg(feature = "ollama")]
pub(crate) use read::lines;
pub use read::{MAX_ANSWER_BYTES, MAX_BODY_BYTES, MAX_EVENT_BYTES};
pub use refusal::MAX_RETRY_AFTER;
pub(crate) use refusal::{Details, broken_off, kind_of_status};
pub(crate) use settings::settings;
pub(crate) use stream::{Answer, Calls, Ended, completion, cut_short};

use crate::{http::Reqwest, price::PriceTable};

/// How long a service may stay silent unless it is told otherwise, before its answer begins and within
/// it, in seconds.
pub const DEFAULT_IDLE_TIMEOUT_S: u64 = 180;

/// What one API does differently from the others.
pub(crate) struct Dialect {
    /// The service's own address.
    pub(crate) default_url: &'static str,
    /// The header that has the key, and what stands before the key in it.
    pub(crate) key_header: (HeaderName, &'static str),
    /// Headers that each request has.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// What a refusal means; without a status it stood in a stream.
    pub(crate) kind: fn(&Details, Option<StatusCode>) -> ErrorKind,
    /// The list prices of the service at its own address.
    pub(crate) list_prices: fn() -> PriceTable,
    /// The model at the service's own address where nobody names one.
    pub(crate) default_model: Option<&'static str>,
}

/// A service at an address.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) id: ProviderId,
    pub(crate) base: String,
    pub(crate) key: Option<Secret>,
    pub(crate) model: Option<ModelId>,
    headers: HeaderMap,
    prices: Option<PriceTable>,
    idle_timeout: Duration,
    allow_plain_http: bool,
    http: Arc<dyn HttpClient>,
    dialect: &'static Dialect,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.usual_model().unwrap_or("a model"), self.base)
    }
}

/// What configurations of all services say.
pub(crate) struct Settings<'a> {
    pub(crate) id: &'a ProviderId,
    pub(crate) base_url: &'a str,
    pub(crate) api_key: Option<&'a SecretRef>,
    pub(crate) model: Option<&'a ModelId>,
    pub(crate) headers: &'a BTreeMap<String, String>,
    pub(crate) idle_timeout_s: u64,
    pub(crate) prices: Option<&'a PriceTable>,
    pub(crate) allow_plain_http: bool,
}

impl Service {
    pub(crate) fn new(id: &str, dialect: &'static Dialect, key: Option<Secret>) -> Self {
        Self {
            id: ProviderId::new(id),
            base: dialect.default_url.to_owned(),
            key,
            model: None,
            headers: HeaderMap::new(),
            prices: None,
            idle_timeout: Duration::from_secs(DEFAULT_IDLE_TIMEOUT_S),
            allow_plain_http: false,
            http: Arc::new(Reqwest::new()),
            dialect,
        }
    }

    /// What a configuration says; its secret is fetched now.
    pub(crate) fn configure(&mut self, settings: &Settings<'_>) -> Result<()> {
        if settings.idle_timeout_s == 0 {
            return Err(Error::config("idle_timeout_s is 0; expected at least 1 second"));
        }
        self.key = settings.api_key.map(SecretRef::resolve).transpose()?;
        self.set_base(settings.base_url)?;
        for (name, value) in settings.headers {
            self.set_header(name, value)?;
        }
        self.id = settings.id.clone();
        self.model = settings.model.cloned();
        self.prices = settings.prices.cloned();
        self.idle_timeout = Duration::from_secs(settings.idle_timeout_s);
        self.allow_plain_http = settings.allow_plain_http;
        Ok(())
    }

    pub(crate) fn set_base(&mut self, url: &str) -> Result<()> {
        let bad = |why: &str| {
            let example = self.dialect.default_url;
            Err(Error::config(format!("base_url {why}; expected one such as {example}")))
        };
        let Ok(uri) = url.parse::<Uri>() else { return bad("is not a URL") };
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return bad("is not a whole http or https URL");
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return bad("has a user or a password in it");
        }
        if uri.query().is_some() || url.contains('#') {
            return bad("has a query or a fragment");
        }
        url.trim_end_matches('/').clone_into(&mut self.base);
        Ok(())
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &str) -> Result<()> {
        let Ok(key) = HeaderName::try_from(name) else {
            return Err(Error::config(format!("{name:?} cannot be the name of a header")));
        };
        let own = [
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::CONTENT_LENGTH,
            header::HOST,
            self.dialect.key_header.0.clone(),
        ];
        if own.contains(&key) {
            return Err(Error::config(format!("header {name} is set by the provider itself")));
        }
        self.headers.insert(key, header_value(name, value)?);
        Ok(())
    }

    pub(crate) fn set_prices(&mut self, prices: PriceTable) {
        self.prices = Some(prices);
    }

    pub(crate) fn set_idle_timeout(&mut self, timeout: Duration) {
        self.idle_timeout = timeout;
    }

    pub(crate) fn allow_plain_http(&mut self) {
        self.allow_plain_http = true;
    }

    pub(crate) fn set_http(&mut self, client: Arc<dyn HttpClient>) {
        self.http = client;
    }

    /// True at the service's own address.
    pub(crate) fn is_original(&self) -> bool {
        self.base == self.dialect.default_url
    }

    /// What a model costs. List prices hold at the service's own address alone.
    pub(crate) fn price(&self, model: &str) -> Option<Price> {
        match &self.prices {
            Some(prices) => prices.get(model),
            None if self.is_original() => (self.dialect.list_prices)().get(model),
            None => None,
        }
    }

    /// The model that a request means: its own, the provider's, the service's; `None` if none of them
    /// says.
    pub(crate) fn model_of<'a>(&'a self, request: &'a CompletionRequest) -> Option<&'a str> {
        request.named_model().map(ModelId::as_str).or_else(|| self.usual_model())
    }

    fn usual_model(&self) -> Option<&str> {
        let own = self.dialect.default_model.filter(|_| self.is_original());
        self.model.as_ref().map(ModelId::as_str).or(own)
    }

    /// As [`model_of`](Self::model_of), of a service that has to be told.
    #[cfg(any(feature = "anthropic", feature = "ollama"))]
    pub(crate) fn needed_model<'a>(&'a self, request: &'a CompletionRequest) -> Result<&'a str> {
        self.model_of(request).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "the request names no model and the provider has no default one: name one in the \
                 agent or in the provider",
            )
        })
    }

    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Bytes>> {
        let uri: Uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|_| Error::config("base_url with a path behind it is not a URL"))?;
        let in_clear = uri.scheme_str() == Some("http") && !is_loopback(&uri);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        for (name, value) in self.dialect.headers {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers.extend(self.headers.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.key {
            if in_clear && !self.allow_plain_http {
                return Err(Error::config(
                    "the key would go over plain http to another machine; use https, or say \
                     allow_plain_http if the network is trusted",
                ));
            }
            let (name, before) = &self.dialect.key_header;
            let value = header_value(name.as_str(), &format!("{before}{}", key.expose()))?;
            headers.insert(name, value);
        }
        Ok(request)
    }

    /// Sends a request and waits for the head of a good answer.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let exchange = async {
            let mut response = self.http.send(request).await?;
            if response.status() == StatusCode::OK {
                return Ok(response);
            }
            // What cannot be read of an error's text does not hide the error.
            let body = read::all(response.body_mut()).await.unwrap_or_default();
            let body = self.without_key(&String::from_utf8_lossy(&body));
            let (status, headers) = (response.status(), response.headers());
            Err(refusal::refused(self.dialect.kind, status, headers, body.as_bytes()))
        };
        self.in_time(exchange).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::time::timeout(self.idle_timeout, work).await.unwrap_or_else(|_| {
            let seconds = self.idle_timeout.as_secs_f32();
            Err(Error::new(ErrorKind::Timeout, format!("it did not answer within {seconds} s")))
        })
    }

    /// Asks for something that is answered in one piece of JSON.
    pub(crate) async fn ask(
        &self,
        cx: &CallContext,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let request = match body {
            Some(body) => self.request(Method::POST, path, written(body)?)?,
            None => self.request(Method::GET, path, Bytes::new())?,
        };
        let exchange = async {
            let mut response = self.send(request).await?;
            self.in_time(read::all(response.body_mut())).await
        };
        let body = tokio::select! {
            biased;
            () = cx.cancel.cancelled() => return Err(read::cancelled()),
            body = exchange => body?,
        };
        serde_json::from_slice(&body).map_err(|_| {
            Error::new(
                ErrorKind::InvalidData,
                "it answered with what is no JSON; is base_url right?",
            )
        })
    }

    /// Asks for a stream of this media type, and waits for it to begin. The body is text already: what
    /// it is made of takes many times as much memory, and is not kept while the answer is waited for.
    pub(crate) async fn open(
        &self,
        cx: &CallContext,
        path: &str,
        body: Bytes,
        media_type: &str,
    ) -> Result<Body> {
        let request = self.request(Method::POST, path, body)?;
        let mut response = tokio::select! {
            biased;
            () = cx.cancel.cancelled() => return Err(read::cancelled()),
            response = self.send(request) => response?,
        };
        let media = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        match media.map(str::to_ascii_lowercase) {
            Some(media) if !media.starts_with(media_type) => {
                let body = self.in_time(read::all(response.body_mut())).await.unwrap_or_default();
                let body = self.without_key(&String::from_utf8_lossy(&body));
                // Some services answer an error with 200.
                match serde_json::from_str::<Value>(&body) {
                    Ok(value) if value.get("error").is_some_and(|error| !error.is_null()) => {
                        Err(self.broken_off(&value))
                    }
                    _ => Err(Error::new(
                        ErrorKind::InvalidData,
                        format!(
                            "it answered with {media}, not with {media_type}; is base_url right?"
                        ),
                    )),
                }
            }
            _ => Ok(response.into_body()),
        }
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// The error that an error object in a stream means.
    pub(crate) fn broken_off(&self, value: &Value) -> Error {
        broken_off(self.dialect.kind, value)
    }

    pub(crate) fn name(&self, error: Error) -> Error {
        error.with("provider", &self.id)
    }

    /// The text without our key, which a service may repeat when it complains of it.
    pub(crate) fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(key) if !key.expose().is_empty() => text.replace(key.expose(), "***"),
            _ => text.to_owned(),
        }
    }
}

/// The environment variable, if it is set to something.
pub(crate) fn variable(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        // Without the value, which the error has.
        Err(_) => Err(Error::config(format!("environment variable {name} is not UTF-8"))),
    }
}

/// The text of a body.
pub(crate) fn written(body: &impl Serialize) -> Result<Bytes> {
    let body = serde_json::to_vec(body)
        .map_err(|error| Error::internal(format!("a request cannot be written: {error}")))?;
    Ok(body.into())
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(value).map_err(|_| {
        Error::config(format!("the value of header {name} has characters that no header can have"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
