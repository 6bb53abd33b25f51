//! OpenAI's chat completions, and every service that speaks them: OpenRouter, Groq, vLLM, LM Studio,
//! llama.cpp, Ollama under `/v1`, …

mod config;
mod error;
mod price;
mod stream;
mod wire;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use openclaw_core::{
    Error, ErrorKind, ModelId, ProviderId, Result, async_trait,
    bytes::Bytes,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
    },
    http_client::{Body, HttpClient},
    provider::{CallContext, CompletionRequest, CompletionStream, ModelInfo, Provider},
    secret::Secret,
    serde_json::{self, Value},
};

pub use config::{DEFAULT_BASE_URL, DEFAULT_IDLE_TIMEOUT_S, MaxTokensField, OpenAiConfig};
pub use error::MAX_RETRY_AFTER;
pub use price::PriceTable;
pub use stream::{MAX_ANSWER_BYTES, MAX_EVENT_BYTES};

use crate::http::Reqwest;

/// The longest answer that is not a stream, in bytes: lists of models and errors.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// A [`Provider`] that speaks OpenAI's chat completions.
///
/// ```no_run
/// use openclaw_core::secret::{Secret, SecretRef};
/// use openclaw_providers::openai::OpenAi;
///
/// let key = SecretRef::Env("OPENAI_API_KEY".into()).resolve()?;
/// let openai = OpenAi::new(key).model("gpt-4o-mini");
/// let local = OpenAi::keyless("http://127.0.0.1:8080/v1")?.id("local").model("smollm2");
/// # let _ = (openai, local); Ok::<(), openclaw_core::Error>(())
/// ```
///
/// It never tries again by itself: its errors say whether, and after which wait, that may help.
/// Clones are cheap and share the connections.
#[derive(Clone)]
pub struct OpenAi {
    id: ProviderId,
    base: String,
    key: Option<Secret>,
    model: Option<ModelId>,
    organization: Option<HeaderValue>,
    headers: HeaderMap,
    prices: Option<PriceTable>,
    max_tokens: MaxTokensField,
    idle_timeout: Duration,
    allow_plain_http: bool,
    http: Arc<dyn HttpClient>,
}

impl OpenAi {
    /// OpenAI itself, with this key.
    pub fn new(key: impl Into<Secret>) -> Self {
        Self {
            id: ProviderId::new("openai"),
            base: DEFAULT_BASE_URL.to_owned(),
            key: Some(key.into()),
            model: None,
            organization: None,
            headers: HeaderMap::new(),
            prices: None,
            max_tokens: MaxTokensField::default(),
            idle_timeout: Duration::from_secs(DEFAULT_IDLE_TIMEOUT_S),
            allow_plain_http: false,
            http: Arc::new(Reqwest::new()),
        }
    }

    /// A service at `url` that wants no key.
    ///
    /// # Errors
    /// As of [`base_url`](Self::base_url).
    pub fn keyless(url: &str) -> Result<Self> {
        let mut new = Self::new("").base_url(url)?;
        new.key = None;
        Ok(new)
    }

    /// What the environment variables `OPENAI_API_KEY`, `OPENAI_BASE_URL` and `OPENAI_MODEL` say.
    /// The key may be left out if the address is given. The environment is read here and never again.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], which names the variable that is missing or wrong.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| match std::env::var(name) {
            Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(std::env::VarError::NotPresent) => Ok(None),
            // Without the value, which the error has.
            Err(_) => Err(Error::config(format!("environment variable {name} is not UTF-8"))),
        })
    }

    fn from_variables(get: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let mut new = match (get("OPENAI_API_KEY")?, get("OPENAI_BASE_URL")?) {
            (Some(key), None) => Self::new(key),
            (Some(key), Some(url)) => Self::new(key).base_url(&url)?,
            (None, Some(url)) => Self::keyless(&url)?,
            (None, None) => {
                return Err(Error::config(
                    "neither OPENAI_API_KEY nor OPENAI_BASE_URL is set: set the key for OpenAI, \
                     or the address of a server that needs none, such as http://127.0.0.1:8080/v1",
                ));
            }
        };
        new.model = get("OPENAI_MODEL")?.map(ModelId::from);
        Ok(new)
    }

    /// What a configuration says; its secret is fetched now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], which names the setting.
    pub fn from_config(config: &OpenAiConfig) -> Result<Self> {
        let mut new = match &config.api_key {
            Some(key) => Self::new(key.resolve()?).base_url(&config.base_url)?,
            None => Self::keyless(&config.base_url)?,
        };
        if let Some(organization) = &config.organization {
            new = new.organization(organization)?;
        }
        for (name, value) in &config.headers {
            new = new.header(name, value)?;
        }
        if config.idle_timeout_s == 0 {
            return Err(Error::config("idle_timeout_s is 0; expected at least 1 second"));
        }
        new.id = config.id.clone();
        new.model = config.model.clone();
        new.prices = config.prices.clone();
        new.max_tokens = config.max_tokens_field;
        new.idle_timeout = Duration::from_secs(config.idle_timeout_s);
        new.allow_plain_http = config.allow_plain_http;
        Ok(new)
    }

    /// Asks the service at this address, `/v1` included where it has one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it is no `http` or `https` URL, or has a user, a password or a
    /// query, which would end up in logs.
    pub fn base_url(mut self, url: &str) -> Result<Self> {
        let bad = |why: &str| {
            Err(Error::config(format!(
                "base_url {why}; expected one such as https://api.openai.com/v1"
            )))
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
        Ok(self)
    }

    /// The model for requests whose own is empty.
    #[must_use]
    pub fn model(mut self, model: impl Into<ModelId>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// The model for requests whose own is empty, if there is one.
    pub fn default_model(&self) -> Option<&ModelId> {
        self.model.as_ref()
    }

    /// Another name in the gateway than `openai`.
    #[must_use]
    pub fn id(mut self, id: impl Into<ProviderId>) -> Self {
        self.id = id.into();
        self
    }

    /// Sends this header with each request.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it cannot be a header, or is one that the provider sets.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self> {
        let Ok(key) = HeaderName::try_from(name) else {
            return Err(Error::config(format!("{name:?} cannot be the name of a header")));
        };
        let own =
            [header::AUTHORIZATION, header::CONTENT_TYPE, header::CONTENT_LENGTH, header::HOST];
        if own.contains(&key) {
            return Err(Error::config(format!("header {name} is set by the provider itself")));
        }
        self.headers.insert(key, header_value(name, value)?);
        Ok(self)
    }

    /// The organization that pays.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it cannot be in a header.
    pub fn organization(mut self, organization: &str) -> Result<Self> {
        self.organization = Some(header_value("openai-organization", organization)?);
        Ok(self)
    }

    /// What models cost. Without it OpenAI's list prices hold at OpenAI's own address alone.
    #[must_use]
    pub fn prices(mut self, prices: PriceTable) -> Self {
        self.prices = Some(prices);
        self
    }

    /// How the limit on output tokens is called.
    #[must_use]
    pub fn max_tokens_field(mut self, field: MaxTokensField) -> Self {
        self.max_tokens = field;
        self
    }

    /// How long the service may stay silent, before its answer begins and within it.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Lets the key go over plain HTTP to another machine, where whoever is on the way can read it.
    #[must_use]
    pub fn allow_plain_http(mut self) -> Self {
        self.allow_plain_http = true;
        self
    }

    /// Sends requests with this client.
    #[must_use]
    pub fn http(mut self, client: Arc<dyn HttpClient>) -> Self {
        self.http = client;
        self
    }

    /// True at OpenAI's own address.
    fn is_openai(&self) -> bool {
        self.base == DEFAULT_BASE_URL
    }

    fn price(&self, model: &str) -> Option<openclaw_core::provider::Price> {
        match &self.prices {
            Some(prices) => prices.get(model),
            None if self.is_openai() => PriceTable::openai().get(model),
            None => None,
        }
    }

    fn service(&self) -> Service {
        Service { id: self.id.clone(), key: self.key.clone() }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>> {
        let uri: Uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|_| Error::config("base_url with a path behind it is not a URL"))?;
        let in_clear = uri.scheme_str() == Some("http") && !is_loopback(&uri);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(organization) = &self.organization {
            headers.insert("openai-organization", organization.clone());
        }
        if let Some(key) = &self.key {
            if in_clear && !self.allow_plain_http {
                return Err(Error::config(
                    "the key would go over plain http to another machine; use https, or say \
                     allow_plain_http if the network is trusted",
                ));
            }
            let value = header_value("authorization", &format!("Bearer {}", key.expose()))?;
            headers.insert(header::AUTHORIZATION, value);
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
            let body = read_all(response.body_mut()).await.unwrap_or_default();
            let body = self.service().without_key(&String::from_utf8_lossy(&body));
            Err(error::refused(response.status(), response.headers(), body.as_bytes()))
        };
        self.in_time(exchange).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::time::timeout(self.idle_timeout, work).await.unwrap_or_else(|_| {
            let seconds = self.idle_timeout.as_secs_f32();
            Err(Error::new(ErrorKind::Timeout, format!("it did not answer within {seconds} s")))
        })
    }

    async fn start(&self, cx: &CallContext, request: &CompletionRequest) -> Result<Response<Body>> {
        let model = self.model_of(request)?;
        let body = {
            // Only its text is kept while the answer is waited for: this takes many times as much.
            let mut body = wire::body(request, model, self.max_tokens)?;
            if let Some(session) = cx.session.as_deref().filter(|_| self.is_openai()) {
                // Others may refuse a field that they do not know.
                body.insert("prompt_cache_key".into(), session.into());
            }
            serde_json::to_vec(&body)
                .map_err(|error| Error::internal(format!("a request cannot be written: {error}")))?
        };
        let request = self.request(Method::POST, "/chat/completions", body.into())?;
        let mut response = tokio::select! {
            biased;
            () = cx.cancel.cancelled() => return Err(stream::cancelled()),
            response = self.send(request) => response?,
        };
        let media = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        match media.map(str::to_ascii_lowercase) {
            Some(media) if !media.starts_with("text/event-stream") => {
                let body = self.in_time(read_all(response.body_mut())).await.unwrap_or_default();
                let body = self.service().without_key(&String::from_utf8_lossy(&body));
                // Some services answer an error with 200.
                match serde_json::from_str::<Value>(&body) {
                    Ok(value) if value.get("error").is_some() => Err(error::broken_off(&value)),
                    _ => Err(Error::new(
                        ErrorKind::InvalidData,
                        format!(
                            "it answered with {media}, not with a stream of events; is base_url right?"
                        ),
                    )),
                }
            }
            _ => Ok(response),
        }
    }

    fn model_of<'a>(&'a self, request: &'a CompletionRequest) -> Result<&'a str> {
        match (request.model.as_str(), &self.model) {
            ("", Some(model)) => Ok(model.as_str()),
            ("", None) => Err(Error::new(
                ErrorKind::InvalidInput,
                "the request names no model and the provider has no default one",
            )),
            (model, _) => Ok(model),
        }
    }

    async fn list(&self) -> Result<Vec<ModelInfo>> {
        let request = self.request(Method::GET, "/models", Bytes::new())?;
        let mut response = self.send(request).await?;
        let body = self.in_time(read_all(response.body_mut())).await?;
        let list: Value = serde_json::from_slice(&body).unwrap_or_default();
        let Some(data) = list.get("data").and_then(Value::as_array) else {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "its list of models cannot be understood; is base_url right?",
            ));
        };
        Ok(data.iter().filter_map(|model| self.info(model)).collect())
    }

    fn info(&self, model: &Value) -> Option<ModelInfo> {
        let name = model.get("id")?.as_str()?;
        let mut info = ModelInfo::new(name);
        // OpenRouter, vLLM, Groq; OpenAI does not say.
        info.context_tokens = ["context_length", "max_model_len", "context_window"]
            .iter()
            .find_map(|key| model.get(*key)?.as_u64()?.try_into().ok());
        info.max_output_tokens =
            model.get("max_completion_tokens").and_then(|n| n.as_u64()?.try_into().ok());
        info.price = self.price(name);
        Some(info)
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        self.list().await.map_err(|error| self.service().name(error))
    }

    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let service = self.service();
        let response = self.start(cx, request).await.map_err(|error| service.name(error))?;
        let price = self.price(self.model_of(request)?);
        Ok(stream::read(response.into_body(), price, cx.cancel.clone(), self.idle_timeout, service))
    }
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi")
            .field("id", &self.id)
            .field("base_url", &self.base)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// Whose errors they are.
#[derive(Clone)]
struct Service {
    id: ProviderId,
    key: Option<Secret>,
}

impl Service {
    fn name(&self, error: Error) -> Error {
        error.with("provider", &self.id)
    }

    /// The text without our key, which a service may repeat when it complains of it.
    fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(key) if !key.expose().is_empty() => text.replace(key.expose(), "***"),
            _ => text.to_owned(),
        }
    }
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

async fn read_all(body: &mut Body) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > MAX_BODY_BYTES {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("its answer is longer than {MAX_BODY_BYTES} bytes"),
            ));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
