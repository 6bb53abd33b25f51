//! Services that turn text into vectors.

use async_trait::async_trait;

use super::CallContext;
use crate::{
    error::Result,
    id::{ModelId, ProviderId},
};

/// A vector for a text.
pub type Embedding = Vec<f32>;

/// Turns texts into vectors whose closeness (cosine) tells how alike the texts are.
///
/// # Contract
///
/// - As many vectors as texts, in their order, all of [`dimensions`](Self::dimensions) finite values.
/// - The same text gives the same vector, up to rounding, as long as [`model`](Self::model) is the same.
/// - An empty slice gives no vectors and asks nobody. An empty text gives a vector.
#[async_trait]
pub trait Embedder: Send + Sync + 'static {
    /// Its name.
    fn id(&self) -> &ProviderId;

    /// The model; vectors of different models are never compared.
    fn model(&self) -> &ModelId;

    /// How many values a vector has.
    fn dimensions(&self) -> usize;

    /// How much of `text` the model understands, from 0.0, when its vector says nothing, to 1.0.
    ///
    /// A search trusts a vector of a language that the model was not made for as little as this says.
    /// Quick, and asks nobody. Unless overridden, it understands everything.
    fn coverage(&self, _text: &str) -> f32 {
        1.0
    }

    /// Embeds `texts`.
    ///
    /// # Errors
    /// The service refused or could not be reached; none of the texts was embedded.
    async fn embed(&self, cx: &CallContext, texts: &[&str]) -> Result<Vec<Embedding>>;
}
