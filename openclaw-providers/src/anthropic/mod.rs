//! Anthropic's Messages API, and every service that speaks it.

mod config;
mod error;
mod schema;
mod stream;
mod wire;

use openclaw_core::{
    Error, ErrorKind, ModelId, ProviderId, Result, async_trait,
    http::HeaderName,
    provider::{CallContext, CompletionRequest, CompletionStream, ModelInfo, Provider},
    secret::Secret,
    serde_json::Value,
};

pub use config::{
    AnthropicConfig, DEFAULT_BASE_URL, DEFAULT_MAX_TOKENS, DEFAULT_MODEL, Effort,
    MIN_THINKING_TOKENS, Thinking,
};

use crate::{
    PriceTable,
    service::{
        At as _, Dialect, Service, Settings, completion, events, settings, variable, written,
    },
};

/// The version of the API that is spoken: what every service speaks, and the one that knows a
/// temperature. A configured header of this name goes before it.
const VERSION: &str = "2023-06-01";

/// How many pages of models are read at most.
const MAX_PAGES: usize = 20;

static DIALECT: Dialect = Dialect {
    default_url: DEFAULT_BASE_URL,
    key_header: (HeaderName::from_static("x-api-key"), ""),
    headers: &[("anthropic-version", VERSION)],
    kind: error::kind,
    list_prices: PriceTable::anthropic,
    default_model: Some(DEFAULT_MODEL),
};

/// A [`Provider`] that speaks Anthropic's Messages.
///
/// ```no_run
/// use openclaw_core::secret::SecretRef;
/// use openclaw_providers::anthropic::{Anthropic, Thinking};
///
/// let key = SecretRef::Env("ANTHROPIC_API_KEY".into()).resolve()?;
/// let claude = Anthropic::new(key)
///     .model("claude-haiku-4-5")
///     .thinking(Thinking::Enabled { budget_tokens: 4_096 })?;
/// # let _ = claude; Ok::<(), openclaw_core::Error>(())
/// ```
///
/// - It never tries again by itself: its errors say whether, and after which wait, that may help.
/// - Tools, system prompt and the last two messages to the model end in cache marks, unless
///   [`prompt_cache`](Self::prompt_cache) is off. Tokens that the service kept count as
///   [`cache_write_input_tokens`](openclaw_core::provider::Usage::cache_write_input_tokens).
/// - Signed thoughts are the completion's [state](openclaw_core::provider::ProviderState) and go back
///   with the calls. Where they are missing, as after a fallback, a model with a thinking budget does
///   not think until the turn ends.
/// - Beside thinking the API takes no temperature: it is left out.
///
/// Clones are cheap and share the connections.
#[derive(Clone)]
pub struct Anthropic {
    service: Service,
    options: wire::Options,
}

settings!(Anthropic);

impl Anthropic {
    /// Anthropic itself, with this key.
    pub fn new(key: impl Into<Secret>) -> Self {
        Self::at(Service::new("anthropic", &DIALECT, Some(key.into())))
    }

    fn at(service: Service) -> Self {
        let options = wire::Options {
            max_tokens: DEFAULT_MAX_TOKENS,
            thinking: None,
            effort: None,
            prompt_cache: true,
        };
        Self { service, options }
    }

    /// A service at `url` that wants no key, as a gateway of one's own.
    ///
    /// # Errors
    /// As of [`base_url`](Self::base_url).
    pub fn keyless(url: &str) -> Result<Self> {
        Self::at(Service::new("anthropic", &DIALECT, None)).base_url(url)
    }

    /// What the environment variables `ANTHROPIC_API_KEY`, `ANTHROPIC_BASE_URL` and `ANTHROPIC_MODEL`
    /// say. The key may be left out if the address is given. The environment is read here and never
    /// again.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], which names the variable that is missing or wrong.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(variable)
    }

    fn from_variables(get: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let mut new = match (get("ANTHROPIC_API_KEY")?, get("ANTHROPIC_BASE_URL")?) {
            (Some(key), None) => Self::new(key),
            (Some(key), Some(url)) => Self::new(key).base_url(&url)?,
            (None, Some(url)) => Self::keyless(&url)?,
            (None, None) => {
                return Err(Error::config(
                    "ANTHROPIC_API_KEY is not set: set it to a key from console.anthropic.com, or \
                     ANTHROPIC_BASE_URL to the address of a server that needs none",
                ));
            }
        };
        new.service.model = get("ANTHROPIC_MODEL")?.map(ModelId::from);
        Ok(new)
    }

    /// What a configuration says; its secret is fetched now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], which names the setting.
    pub fn from_config(config: &AnthropicConfig) -> Result<Self> {
        let mut service = Service::new("anthropic", &DIALECT, None);
        service.configure(&Settings {
            id: &config.id,
            base_url: &config.base_url,
            api_key: config.api_key.as_ref(),
            model: config.model.as_ref(),
            headers: &config.headers,
            idle_timeout_s: config.idle_timeout_s,
            prices: config.prices.as_ref(),
            allow_plain_http: config.allow_plain_http,
        })?;
        let mut new = Self::at(service).max_tokens(config.max_tokens)?;
        if let Some(thinking) = config.thinking {
            new = new.thinking(thinking)?;
        }
        new.options.effort = config.effort;
        Ok(new.prompt_cache(config.prompt_cache))
    }

    /// How many tokens an answer has at most where the request does not say, thoughts included.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it is 0.
    pub fn max_tokens(mut self, tokens: u32) -> Result<Self> {
        if tokens == 0 {
            return Err(Error::config("max_tokens is 0; expected at least 1"));
        }
        self.options.max_tokens = tokens;
        Ok(self)
    }

    /// Whether and how the model thinks before it answers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it is a budget below [`MIN_THINKING_TOKENS`].
    pub fn thinking(mut self, thinking: Thinking) -> Result<Self> {
        if let Thinking::Enabled { budget_tokens: budget @ ..MIN_THINKING_TOKENS } = thinking {
            return Err(Error::config(format!(
                "budget_tokens of thinking is {budget}; expected at least {MIN_THINKING_TOKENS}"
            )));
        }
        self.options.thinking = Some(thinking);
        Ok(self)
    }

    /// How much effort the model makes.
    #[must_use]
    pub fn effort(mut self, effort: Effort) -> Self {
        self.options.effort = Some(effort);
        self
    }

    /// Whether the service may keep the stable beginning of prompts for five minutes.
    #[must_use]
    pub fn prompt_cache(mut self, on: bool) -> Self {
        self.options.prompt_cache = on;
        self
    }

    async fn start(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let service = &self.service;
        let model = service.needed_model(request)?;
        let body = written(&wire::body(request, model, &service.id, self.options)?)?;
        let body = service.open(cx, "/v1/messages", body, "text/event-stream").await?;
        let frames = events(body, cx.cancel.clone(), service.idle_timeout());
        let answer = stream::MessageAnswer::new(service.price(model), service.id.clone(), model);
        Ok(completion(answer, frames, service.clone()))
    }

    async fn list(&self) -> Result<Vec<ModelInfo>> {
        let mut models = Vec::new();
        let mut path = "/v1/models?limit=1000".to_owned();
        for _ in 0..MAX_PAGES {
            let page = self.service.ask(&CallContext::new(), &path, None).await?;
            let Some(data) = page.get("data").and_then(Value::as_array) else {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "its list of models cannot be understood; is base_url right?",
                ));
            };
            models.extend(data.iter().filter_map(|model| self.info(model)));
            match page.at("/last_id").as_str().filter(|_| *page.at("/has_more") == true) {
                Some(last) => path = format!("/v1/models?limit=1000&after_id={last}"),
                None => break,
            }
        }
        Ok(models)
    }

    fn info(&self, model: &Value) -> Option<ModelInfo> {
        let name = model.get("id")?.as_str()?;
        let tokens = |key: &str| {
            model.get(key).and_then(Value::as_u64).and_then(|count| count.try_into().ok())
        };
        let mut info = ModelInfo::new(name);
        info.context_tokens = tokens("max_input_tokens");
        info.max_output_tokens = tokens("max_tokens");
        info.images = model.at("/capabilities/image_input/supported").as_bool();
        info.price = self.service.price(name);
        Some(info)
    }
}

#[async_trait]
impl Provider for Anthropic {
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
