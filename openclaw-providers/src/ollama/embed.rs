//! Vectors from `/api/embed`.

use openclaw_core::{
    ModelId, ProviderId, Result, async_trait,
    provider::{CallContext, Embedder, Embedding},
    serde_json::{Value, json},
};

use super::{explain, wire::Settings};
use crate::service::{Service, Vectors, vector};

/// An [`Embedder`] at Ollama; made by [`Ollama::embedder`](super::Ollama::embedder).
///
/// ```
/// use openclaw_core::provider::Embedder;
/// use openclaw_providers::ollama::Ollama;
///
/// let embedder = Ollama::local().embedder("nomic-embed-text", 768);
/// assert_eq!(embedder.dimensions(), 768);
/// ```
///
/// Many texts go in several requests; if one fails, nothing is given. What is longer than the model
/// reads is cut off by Ollama. An empty text is embedded as a space.
#[derive(Clone)]
pub struct OllamaEmbedder {
    vectors: Vectors,
    settings: Settings,
}

impl OllamaEmbedder {
    pub(super) fn new(
        service: Service,
        model: ModelId,
        dimensions: usize,
        settings: Settings,
    ) -> Self {
        Self { vectors: Vectors { service, model, dimensions }, settings }
    }
}

#[async_trait]
impl Embedder for OllamaEmbedder {
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
            let mut body = json!({"model": vectors.model, "input": batch});
            if let Some(body) = body.as_object_mut() {
                let time = self.settings.keep_alive();
                body.extend(time.map(|time| ("keep_alive".to_owned(), time)));
            }
            body
        };
        let read = |answer: &Value| -> Option<Vec<Embedding>> {
            answer.get("embeddings")?.as_array()?.iter().map(vector).collect()
        };
        let made = vectors.embed(cx, "/api/embed", texts, body, read).await;
        made.map_err(|error| vectors.service.name(explain(error, vectors.model.as_str())))
    }
}

impl std::fmt::Debug for OllamaEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OllamaEmbedder")
            .field("id", &self.vectors.service.id)
            .field("model", &self.vectors.model)
            .field("dimensions", &self.vectors.dimensions)
            .finish_non_exhaustive()
    }
}
