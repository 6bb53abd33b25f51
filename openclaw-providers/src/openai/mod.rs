//! OpenAI's chat completions and Responses, and every service that speaks them: OpenRouter, Groq, vLLM,
//! LM Studio, llama.cpp, Ollama under `/v1`, …

mod chat;
mod config;
mod embed;
mod error;
mod responses;
mod strict;

use openclaw_core::{
    Error, ErrorKind, ModelId, ProviderId, Result, async_trait,
    http::header,
    provider::{CallContext, CompletionRequest, CompletionStream, ModelInfo, Provider, ToolCall},
    secret::Secret,
    serde_json::{self, Value},
};

pub use config::{DEFAULT_BASE_URL, DEFAULT_MODEL, MaxTokensField, OpenAiApi, OpenAiConfig};
pub use embed::OpenAiEmbedder;

use crate::{
    PriceTable,
    service::{Dialect, Service, Settings, completion, events, settings, variable, written},
};

static DIALECT: Dialect = Dialect {
    default_url: DEFAULT_BASE_URL,
    key_header: (header::AUTHORIZATION, "Bearer "),
    headers: &[],
    kind: error::kind,
    list_prices: PriceTable::openai,
    default_model: Some(DEFAULT_MODEL),
};

/// A [`Provider`] that speaks OpenAI's chat completions, or its Responses.
///
/// ```no_run
/// use openclaw_core::secret::{Secret, SecretRef};
/// use openclaw_providers::openai::{OpenAi, OpenAiApi};
///
/// let key = SecretRef::Env("OPENAI_API_KEY".into()).resolve()?;
/// let openai = OpenAi::new(key).model("gpt-5-mini").api(OpenAiApi::Responses);
/// let local = OpenAi::keyless("http://127.0.0.1:8080/v1")?.id("local").model("smollm2");
/// # let _ = (openai, local); Ok::<(), openclaw_core::Error>(())
/// ```
///
/// - It never tries again by itself: its errors say whether, and after which wait, that may help.
/// - Chat completions are what all these services speak. Responses keep a reasoning model's thoughts
///   between the calls of a turn: their encrypted form is the completion's
///   [state](openclaw_core::provider::ProviderState). Nothing is stored at the service.
/// - Where nobody names a model, OpenAI is asked for [`DEFAULT_MODEL`]; a server that is not OpenAI's is
///   left the choice, as it may have one model only.
///
/// Clones are cheap and share the connections.
#[derive(Clone)]
pub struct OpenAi {
    service: Service,
    api: OpenAiApi,
    max_tokens: MaxTokensField,
}

settings!(OpenAi);

impl OpenAi {
    /// OpenAI itself, with this key.
    pub fn new(key: impl Into<Secret>) -> Self {
        Self::at(Service::new("openai", &DIALECT, Some(key.into())))
    }

    fn at(service: Service) -> Self {
        Self { service, api: OpenAiApi::default(), max_tokens: MaxTokensField::default() }
    }

    /// A service at `url` that wants no key.
    ///
    /// # Errors
    /// As of [`base_url`](Self::base_url).
    pub fn keyless(url: &str) -> Result<Self> {
        Self::at(Service::new("openai", &DIALECT, None)).base_url(url)
    }

    /// What the environment variables `OPENAI_API_KEY`, `OPENAI_BASE_URL` and `OPENAI_MODEL` say.
    /// The key may be left out if the address is given. The environment is read here and never again.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], which names the variable that is missing or wrong.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(variable)
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
        new.service.model = get("OPENAI_MODEL")?.map(ModelId::from);
        Ok(new)
    }

    /// What a configuration says; its secret is fetched now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], which names the setting.
    pub fn from_config(config: &OpenAiConfig) -> Result<Self> {
        let mut service = Service::new("openai", &DIALECT, None);
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
        let mut new = Self::at(service);
        if let Some(organization) = &config.organization {
            new = new.organization(organization)?;
        }
        new.api = config.api;
        new.max_tokens = config.max_tokens_field;
        Ok(new)
    }

    /// The organization that pays.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it cannot be in a header.
    pub fn organization(mut self, organization: &str) -> Result<Self> {
        self.service.set_header("openai-organization", organization)?;
        Ok(self)
    }

    /// Which of the two APIs is asked.
    #[must_use]
    pub fn api(mut self, api: OpenAiApi) -> Self {
        self.api = api;
        self
    }

    /// How the limit on output tokens is called in chat completions.
    #[must_use]
    pub fn max_tokens_field(mut self, field: MaxTokensField) -> Self {
        self.max_tokens = field;
        self
    }

    /// An embedder at the same service, with a model whose vectors have `dimensions` values.
    pub fn embedder(&self, model: impl Into<ModelId>, dimensions: usize) -> OpenAiEmbedder {
        OpenAiEmbedder::new(self.service.clone(), model.into(), dimensions)
    }

    async fn start(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let service = &self.service;
        let model = service.model_of(request);
        // Others may refuse a field that they do not know.
        let session = cx.session.as_deref().filter(|_| service.is_original());
        let cache_key = session.map(|session| ("prompt_cache_key".to_owned(), session.into()));
        let (path, body) = match self.api {
            OpenAiApi::ChatCompletions => {
                let mut body = chat::body(request, model, self.max_tokens)?;
                body.settings.extend(cache_key);
                ("/chat/completions", written(&body)?)
            }
            OpenAiApi::Responses => {
                let mut body = responses::body(request, model, &service.id)?;
                body.extend(cache_key);
                ("/responses", written(&body)?)
            }
        };
        let body = service.open(cx, path, body, "text/event-stream").await?;
        let frames = events(body, cx.cancel.clone(), service.idle_timeout());
        let price = model.and_then(|model| service.price(model));
        Ok(match self.api {
            OpenAiApi::ChatCompletions => {
                completion(chat::ChatAnswer::new(price), frames, service.clone())
            }
            OpenAiApi::Responses => {
                let answer = responses::ResponseAnswer::new(
                    price,
                    service.id.clone(),
                    model.unwrap_or_default(),
                );
                completion(answer, frames, service.clone())
            }
        })
    }

    async fn list(&self) -> Result<Vec<ModelInfo>> {
        let list = self.service.ask(&CallContext::new(), "/models", None).await?;
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
        info.price = self.service.price(name);
        Some(info)
    }
}

#[async_trait]
impl Provider for OpenAi {
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

/// A call's arguments as the text of an object; the model's own text where it is one.
fn arguments_text(call: &ToolCall) -> String {
    match serde_json::from_str::<Value>(&call.arguments) {
        Ok(Value::Object(_)) => call.arguments.clone(),
        _ => crate::service::arguments(call).to_string(),
    }
}

#[cfg(test)]
mod tests;
