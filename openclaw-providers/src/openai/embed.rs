//! Vectors from `/embeddings`.

use openclaw_core::{
    ModelId, ProviderId, Result, async_trait,
    provider::{CallContext, Embedder, Embedding},
    serde_json::{Value, json},
};

use crate::service::{At as _, Service, Vectors, vector};

/// An [`Embedder`] at a service that speaks OpenAI's `/embeddings`; made by
/// [`OpenAi::embedder`](super::OpenAi::embedder).
///
/// ```
/// use openclaw_core::provider::Embedder;
/// use openclaw_providers::openai::OpenAi;
///
/// let local = OpenAi::keyless("http://127.0.0.1:8080/v1")?;
/// let embedder = local.embedder("nomic-embed-text", 768);
/// assert_eq!(embedder.dimensions(), 768);
/// # Ok::<(), openclaw_core::Error>(())
/// ```
///
/// Many texts go in several requests; if one fails, nothing is given. An empty text is embedded as a
/// space, as services take none that is empty.
#[derive(Clone)]
pub struct OpenAiEmbedder {
    vectors: Vectors,
    shortened: bool,
}

impl OpenAiEmbedder {
    pub(super) fn new(service: Service, model: ModelId, dimensions: usize) -> Self {
        Self { vectors: Vectors { service, model, dimensions }, shortened: false }
    }

    /// Asks the model to cut its vectors to the dimensions, which `text-embedding-3` and later can.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        self.shortened = true;
        self
    }
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    fn id(&self) -> &ProviderId {
        &self.vectors.service.id
    }

    fn model(&self) -> &ModelId {
        &self.vectors.model
    }

    fn dimensions(&self) -> usize {
        self.vectors.dimensions
    }

    async fn embed(&self, cx: &CallContext, texts: &[&str]) -> Result<Vec<Embedding>> {
        let vectors = &self.vectors;
        let body = |batch: &[&str]| {
            let mut body =
                json!({"model": vectors.model, "input": batch, "encoding_format": "float"});
            if let Some(body) = body.as_object_mut().filter(|_| self.shortened) {
                body.insert("dimensions".into(), vectors.dimensions.into());
            }
            body
        };
        vectors
            .embed(cx, "/embeddings", texts, body, read)
            .await
            .map_err(|error| vectors.service.name(error))
    }
}

/// The vectors in the order of the texts, which their indexes say.
fn read(answer: &Value) -> Option<Vec<Embedding>> {
    let mut data: Vec<&Value> = answer.get("data")?.as_array()?.iter().collect();
    data.sort_by_key(|item| item.at("/index").as_u64());
    data.into_iter().map(|item| vector(item.get("embedding")?)).collect()
}

impl std::fmt::Debug for OpenAiEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAiEmbedder")
            .field("id", &self.vectors.service.id)
            .field("model", &self.vectors.model)
            .field("dimensions", &self.vectors.dimensions)
            .finish_non_exhaustive()
    }
}
