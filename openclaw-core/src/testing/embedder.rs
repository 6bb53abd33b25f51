//! The contract of [`Embedder`] as cases, and an embedder without a model.

use std::sync::Arc;

use async_trait::async_trait;
use futures_core::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use super::{Suite, Verdict};
use crate::{
    error::{Error, Result},
    id::{ModelId, ProviderId},
    provider::{CallContext, Embedder, Embedding},
};

/// An [`Embedder`] that hashes words: texts with words in common are alike, and nothing else is.
///
/// ```
/// use openclaw_core::testing::embedder::{HashEmbedder, suite};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// suite("hash", || HashEmbedder::new(64)).assert().await;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HashEmbedder {
    id: ProviderId,
    model: ModelId,
    dimensions: usize,
}

impl HashEmbedder {
    /// One whose vectors have this many values, at least one.
    pub fn new(dimensions: usize) -> Self {
        let dimensions = dimensions.max(1);
        Self {
            id: ProviderId::new("hash"),
            model: ModelId::new(format!("hash-{dimensions}")),
            dimensions,
        }
    }

    fn vector(&self, text: &str) -> Embedding {
        let mut vector = vec![0.0_f32; self.dimensions];
        // The constant keeps an empty text from being no direction at all.
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        for word in std::iter::once("").chain(words) {
            let digest = Sha256::digest(word.to_lowercase());
            let hash = digest.iter().take(8).fold(0_u64, |hash, b| (hash << 8) | u64::from(*b));
            let place = usize::try_from(hash % self.dimensions as u64).unwrap_or_default();
            if let Some(value) = vector.get_mut(place) {
                *value += if word.is_empty() { 0.1 } else { 1.0 };
            }
        }
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.iter().map(|value| value / length).collect()
    }
}

#[async_trait]
impl Embedder for HashEmbedder {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    async fn embed(&self, _cx: &CallContext, texts: &[&str]) -> Result<Vec<Embedding>> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }
}

/// What a [`FaultyEmbedder`] does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmbedderFault {
    /// Answers in the opposite order.
    Reverses,
    /// Leaves out empty texts.
    DropsEmpty,
    /// Vectors are longer than it says.
    WrongLength,
    /// Some values are not numbers.
    NotFinite,
    /// The place in the batch gets into the vector.
    Unstable,
    /// Answers when it was asked nothing.
    Invents,
}

impl EmbedderFault {
    /// Every fault.
    pub const ALL: [Self; 6] = [
        Self::Reverses,
        Self::DropsEmpty,
        Self::WrongLength,
        Self::NotFinite,
        Self::Unstable,
        Self::Invents,
    ];
}

/// A [`HashEmbedder`] with a fault.
#[derive(Clone, Debug)]
pub struct FaultyEmbedder(HashEmbedder, EmbedderFault);

impl FaultyEmbedder {
    /// One that has `fault`.
    pub fn new(fault: EmbedderFault) -> Self {
        Self(HashEmbedder::new(16), fault)
    }
}

#[async_trait]
impl Embedder for FaultyEmbedder {
    fn id(&self) -> &ProviderId {
        self.0.id()
    }

    fn model(&self) -> &ModelId {
        self.0.model()
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    async fn embed(&self, cx: &CallContext, texts: &[&str]) -> Result<Vec<Embedding>> {
        let kept: Vec<&str> = match self.1 {
            EmbedderFault::DropsEmpty => {
                texts.iter().copied().filter(|text| !text.is_empty()).collect()
            }
            EmbedderFault::Invents if texts.is_empty() => vec!["something"],
            _ => texts.to_vec(),
        };
        let mut vectors = self.0.embed(cx, &kept).await?;
        match self.1 {
            EmbedderFault::Reverses => vectors.reverse(),
            EmbedderFault::WrongLength => vectors.iter_mut().for_each(|vector| vector.push(0.0)),
            EmbedderFault::NotFinite => {
                vectors.iter_mut().for_each(|vector| vector.fill(f32::NAN));
            }
            EmbedderFault::Unstable => {
                let count = vectors.len();
                for vector in vectors.iter_mut().skip(1) {
                    vector.rotate_left(count % self.0.dimensions);
                }
            }
            EmbedderFault::DropsEmpty | EmbedderFault::Invents => {}
        }
        Ok(vectors)
    }
}

/// Texts of many kinds, all different.
const TEXTS: [&str; 5] = ["The cat sleeps.", "", "Xin chào thế giới", "価格は百円です", "a b c"];

type Make = Arc<dyn Fn() -> Arc<dyn Embedder> + Send + Sync>;

/// The cases of [`Embedder`]'s contract, for what `make` makes.
pub fn suite<E: Embedder>(
    name: impl Into<String>,
    make: impl Fn() -> E + Send + Sync + 'static,
) -> Suite {
    let make: Make = Arc::new(move || Arc::new(make()));
    let case = |run: fn(Make) -> BoxFuture<'static, _>| {
        let make = make.clone();
        move || run(make.clone())
    };
    Suite::new(name)
        .case("one_vector_a_text", case(|make| Box::pin(one_vector_a_text(make))))
        .case("vectors_have_the_said_form", case(|make| Box::pin(vectors_have_the_said_form(make))))
        .case("each_text_has_its_own_vector", case(|make| Box::pin(each_has_its_own(make))))
        .case("nothing_gives_nothing", case(|make| Box::pin(nothing_gives_nothing(make))))
}

async fn one_vector_a_text(make: Make) -> Result<Verdict> {
    let vectors = make().embed(&CallContext::new(), &TEXTS).await?;
    check(vectors.len() == TEXTS.len(), || {
        format!("{} vectors for {} texts", vectors.len(), TEXTS.len())
    })
}

async fn vectors_have_the_said_form(make: Make) -> Result<Verdict> {
    let embedder = make();
    for vector in embedder.embed(&CallContext::new(), &TEXTS).await? {
        let (said, is) = (embedder.dimensions(), vector.len());
        check(said == is, || format!("a vector of {is} values; it says {said}"))?;
        check(vector.iter().all(|value| value.is_finite()), || {
            "a value is no finite number".to_owned()
        })?;
    }
    Ok(Verdict::Passed)
}

/// In a batch or alone, now or later, in the order of the texts.
async fn each_has_its_own(make: Make) -> Result<Verdict> {
    let (one, other) = (make(), make());
    let batch = one.embed(&CallContext::new(), &TEXTS).await?;
    for (text, together) in TEXTS.iter().zip(&batch) {
        let alone = other.embed(&CallContext::new(), &[text]).await?;
        let Some(alone) = alone.first() else {
            return Err(Error::internal(format!("no vector for {text:?} alone")));
        };
        let distance: f32 = alone.iter().zip(together).map(|(a, b)| (a - b).abs()).sum();
        let size: f32 = alone.iter().map(|value| value.abs()).sum();
        check(distance <= size * 1e-2, || {
            format!("{text:?} has another vector alone than in a batch; or the order is wrong")
        })?;
    }
    Ok(Verdict::Passed)
}

async fn nothing_gives_nothing(make: Make) -> Result<Verdict> {
    let vectors = make().embed(&CallContext::new(), &[]).await?;
    check(vectors.is_empty(), || format!("{} vectors for no text", vectors.len()))
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<Verdict> {
    if holds { Ok(Verdict::Passed) } else { Err(Error::internal(what())) }
}
