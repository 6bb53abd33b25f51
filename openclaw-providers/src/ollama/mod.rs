//! Ollama's own API: chat, embeddings, the models that are there, and fetching others.

mod config;
mod embed;
mod pull;
mod stream;
mod wire;

use futures_util::{StreamExt as _, stream as streams};
use openclaw_core::{
    Error, ErrorKind, ModelId, ProviderId, Result, async_trait,
    http::{StatusCode, header},
    provider::{CallContext, CompletionRequest, CompletionStream, ModelInfo, Provider},
    secret::Secret,
    serde_json::{self, Value, json},
};

pub use config::{DEFAULT_BASE_URL, OllamaConfig, Think, ThinkLevel};
pub use embed::OllamaEmbedder;
pub use pull::{Progress, Pull};

use crate::{
    PriceTable,
    service::{
        At as _, Details, Dialect, Service, Settings, completion, kind_of_status, lines, settings,
        variable, written,
    },
};

/// The port that Ollama listens on unless it is told otherwise.
const DEFAULT_PORT: u16 = 11434;

/// How many models are asked about at once.
const SHOWN_AT_ONCE: usize = 4;

static DIALECT: Dialect = Dialect {
    default_url: DEFAULT_BASE_URL,
    key_header: (header::AUTHORIZATION, "Bearer "),
    headers: &[],
    kind,
    list_prices: PriceTable::new,
    default_model: None,
};

/// A [`Provider`] that speaks Ollama's own API.
///
/// ```no_run
/// use futures_util::StreamExt as _;
/// use openclaw_core::provider::CallContext;
/// use openclaw_providers::ollama::Ollama;
///
/// # async fn fetch() -> openclaw_core::Result<()> {
/// let ollama = Ollama::local().model("qwen3:8b").option("num_ctx", 16_384);
/// let mut pull = ollama.pull(&CallContext::new(), "qwen3:8b").await?;
/// while let Some(progress) = pull.next().await {
///     let progress = progress?;
///     println!("{} {:?}/{:?}", progress.status, progress.completed, progress.total);
/// }
/// # Ok(()) }
/// ```
///
/// - It never tries again by itself: its errors say whether that may help. A model that is not there is
///   an error that says how to fetch it.
/// - Ollama cannot be made to call a tool: a request that requires a call only asks for it. A request
///   for one certain tool shows the model no other.
/// - Set `num_ctx` to what the agent's `context_tokens` need: Ollama's default is small, and it cuts off
///   what does not fit without a word.
///
/// Clones are cheap and share the connections.
#[derive(Clone)]
pub struct Ollama {
    service: Service,
    settings: wire::Settings,
}

settings!(Ollama);

impl Ollama {
    /// The Ollama of this machine, at [`DEFAULT_BASE_URL`].
    pub fn local() -> Self {
        let service = Service::new("ollama", &DIALECT, None);
        Self { service, settings: wire::Settings::default() }
    }

    /// The Ollama at `url`.
    ///
    /// # Errors
    /// As of [`base_url`](Self::base_url).
    pub fn new(url: &str) -> Result<Self> {
        Self::local().base_url(url)
    }

    /// Shows this key, which `https://ollama.com` wants.
    #[must_use]
    pub fn key(mut self, key: impl Into<Secret>) -> Self {
        self.service.key = Some(key.into());
        self
    }

    /// What the environment variables `OLLAMA_HOST` (as Ollama's own programs read it: a host, a host
    /// and a port, or a URL), `OLLAMA_API_KEY` and `OLLAMA_MODEL` say; this machine if none is set. The
    /// environment is read here and never again.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], which names the variable that is wrong.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(variable)
    }

    fn from_variables(get: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let mut new = match get("OLLAMA_HOST")? {
            None => Self::local(),
            Some(host) => {
                Self::new(&address(&host)).map_err(|error| error.with("variable", "OLLAMA_HOST"))?
            }
        };
        new.service.key = get("OLLAMA_API_KEY")?.map(Secret::new);
        new.service.model = get("OLLAMA_MODEL")?.map(ModelId::from);
        Ok(new)
    }

    /// What a configuration says; its secret is fetched now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], which names the setting.
    pub fn from_config(config: &OllamaConfig) -> Result<Self> {
        let mut new = Self::local();
        new.service.configure(&Settings {
            id: &config.id,
            base_url: &config.base_url,
            api_key: config.api_key.as_ref(),
            model: config.model.as_ref(),
            headers: &config.headers,
            idle_timeout_s: config.idle_timeout_s,
            prices: config.prices.as_ref(),
            allow_plain_http: config.allow_plain_http,
        })?;
        new.settings = wire::Settings {
            think: config.think.clone(),
            options: config.options.clone(),
            keep_alive: config.keep_alive.clone(),
        };
        Ok(new)
    }

    /// Whether, or how much, the model thinks before it answers.
    #[must_use]
    pub fn think(mut self, think: impl Into<Think>) -> Self {
        self.settings.think = Some(think.into());
        self
    }

    /// An option of the model as Ollama names it, as `num_ctx` or `seed`.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.options.insert(name.into(), value.into());
        self
    }

    /// How long the model stays in memory after a request, as `10m`; `-1` for ever.
    #[must_use]
    pub fn keep_alive(mut self, time: impl Into<String>) -> Self {
        self.settings.keep_alive = Some(time.into());
        self
    }

    /// An embedder at the same service, with a model whose vectors have `dimensions` values.
    pub fn embedder(&self, model: impl Into<ModelId>, dimensions: usize) -> OllamaEmbedder {
        let settings = self.settings.clone();
        OllamaEmbedder::new(self.service.clone(), model.into(), dimensions, settings)
    }

    /// Fetches a model from Ollama's library to where the service runs.
    ///
    /// # Errors
    /// The service refused or could not be reached.
    pub async fn pull(&self, cx: &CallContext, model: &str) -> Result<Pull> {
        let body = written(&json!({"model": model, "stream": true}))?;
        let opened = self.service.open(cx, "/api/pull", body, "application/x-ndjson").await;
        let body = opened.map_err(|error| self.service.name(error))?;
        let frames = lines(body, cx.cancel.clone(), self.service.idle_timeout());
        Ok(Pull::new(frames, self.service.clone(), model.to_owned()))
    }

    async fn start(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let service = &self.service;
        let model = service.needed_model(request)?;
        let body = written(&wire::body(request, model, &service.id, &self.settings)?)?;
        let opened = service.open(cx, "/api/chat", body, "application/x-ndjson").await;
        let body = opened.map_err(|error| explain(error, model))?;
        let frames = lines(body, cx.cancel.clone(), service.idle_timeout());
        let answer = stream::ChatAnswer::new(service.price(model), service.id.clone(), model);
        Ok(completion(answer, frames, service.clone()))
    }

    async fn list(&self) -> Result<Vec<ModelInfo>> {
        let tags = self.service.ask(&CallContext::new(), "/api/tags", None).await?;
        let Some(models) = tags.get("models").and_then(Value::as_array) else {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "its list of models cannot be understood; is base_url right?",
            ));
        };
        let names = models.iter().filter_map(|model| {
            ["model", "name"]
                .iter()
                .find_map(|key| model.get(*key).and_then(Value::as_str).map(str::to_owned))
        });
        let names: Vec<String> = names.collect();
        let infos = streams::iter(names.into_iter().map(|name| self.info(name)));
        Ok(infos.buffered(SHOWN_AT_ONCE).collect().await)
    }

    /// What is known of a model; only its name if it cannot be asked about.
    async fn info(&self, name: String) -> ModelInfo {
        let body = json!({ "model": name });
        let shown = self.service.ask(&CallContext::new(), "/api/show", Some(&body)).await;
        let shown = shown.unwrap_or_default();
        let mut info = ModelInfo::new(name.as_str());
        let facts = shown.at("/model_info").as_object();
        let trained = facts.into_iter().flatten().find_map(|(key, value)| {
            key.ends_with(".context_length").then(|| value.as_u64()).flatten()
        });
        // What the server is told to make room for counts, not what the model was trained for.
        let told = self.settings.options.get("num_ctx").and_then(Value::as_u64);
        let fit = trained.into_iter().chain(told).min();
        info.context_tokens = fit.and_then(|tokens| tokens.try_into().ok());
        if let Some(can) = shown.at("/capabilities").as_array() {
            info.tools = Some(can.iter().any(|one| one == "tools"));
            info.images = Some(can.iter().any(|one| one == "vision"));
        }
        info.price = self.service.price(&name);
        info
    }
}

/// The URL that a value of `OLLAMA_HOST` means, as Ollama's own programs read it: a host, a host and a
/// port, a port, or a URL. What is none of them is not a URL either, which [`Ollama::new`] says.
///
/// ```
/// use openclaw_providers::ollama::address;
///
/// assert_eq!(address("0.0.0.0:11500"), "http://127.0.0.1:11500");
/// assert_eq!(address("gpu.example"), "http://gpu.example:11434");
/// ```
pub fn address(host: &str) -> String {
    let host = host.trim().trim_end_matches('/');
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    // A server that listens everywhere is asked on this machine.
    let rest = rest
        .strip_prefix("0.0.0.0")
        .map_or_else(|| rest.to_owned(), |port| format!("127.0.0.1{port}"));
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest.as_str(), String::new()),
    };
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let authority = match authority {
        "" => format!("127.0.0.1:{DEFAULT_PORT}"),
        port if port.starts_with(':') => format!("127.0.0.1{port}"),
        with_port if has_port || scheme == "https" => with_port.to_owned(),
        host => format!("{host}:{DEFAULT_PORT}"),
    };
    format!("{scheme}://{authority}{path}")
}

/// The kind of a failure. Ollama has no codes: its words count.
fn kind(details: &Details, status: Option<StatusCode>) -> ErrorKind {
    let message = details.message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    if says(&["not found", "file does not exist"])
        && status.is_none_or(|s| s == StatusCode::NOT_FOUND)
    {
        ErrorKind::NotFound
    } else if says(&["context length", "context window", "exceeds the available context size"]) {
        ErrorKind::ContextOverflow
    } else if says(&["does not support"]) {
        ErrorKind::Unsupported
    } else {
        status.map_or(ErrorKind::Unavailable, kind_of_status)
    }
}

/// The error that a line with one means.
fn failed(line: &str, service: &Service, model: &str) -> Error {
    let clean = service.without_key(line);
    let clean: Value = serde_json::from_str(&clean).unwrap_or_default();
    explain(service.broken_off(&clean), model)
}

/// Says what to do about a model that is not there.
fn explain(error: Error, model: &str) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    let text = format!(
        "{error}; fetch it with `ollama pull {model}` where Ollama runs (in a program: `Ollama::pull`)"
    );
    Error::new(ErrorKind::NotFound, text)
}

#[async_trait]
impl Provider for Ollama {
    fn id(&self) -> &ProviderId {
        &self.service.id
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        self.list().await.map_err(|error| self.service.name(error))
    }

    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        self.start(cx, request).await.map_err(|error| self.service.name(error))
    }
}

#[cfg(test)]
mod tests;
