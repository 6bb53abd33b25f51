//! The built-in model: a text's vector is the sum of its pieces' vectors.

use std::{fmt, ops::ControlFlow, sync::Arc};

use openclaw_core::{
    ModelId, ProviderId, Result, async_trait,
    provider::{CallContext, Embedder, Embedding},
};

use super::{MAX_TOKENS, table::Table, wordpiece::words};

static BUILTIN: &[u8] = include_bytes!("builtin.bin");

/// The digest of [`BUILTIN`]; a test compares.
const BUILTIN_SHA256: &str = include_str!("builtin.sha256");

/// An embedder that looks its words up: no file, no network, some microseconds a text.
///
/// Its vectors are the same bits on every processor, and of length one; a text of which no word is
/// known has the zero vector, which is like nothing.
///
/// ```
/// use openclaw_memory::embed::StaticEmbedder;
///
/// let embedder = StaticEmbedder::builtin();
/// let like = |a: &str, b: &str| -> f32 {
///     let (a, b) = (embedder.encode(a).vector, embedder.encode(b).vector);
///     a.iter().zip(&b).map(|(a, b)| a * b).sum()
/// };
/// let memory = "I bought a new car on Monday.";
/// assert!(like(memory, "purchased an automobile") > like(memory, "the soup was too salty"));
/// assert_eq!(embedder.encode("東京").coverage, 0.0, "it knows English");
/// ```
#[derive(Clone)]
pub struct StaticEmbedder(Arc<Inner>);

struct Inner {
    id: ProviderId,
    model: ModelId,
    table: Table,
}

/// What [`StaticEmbedder::encode`] makes of a text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Encoded {
    /// Of length one, or all zeros if nothing of the text is known.
    pub vector: Embedding,
    /// How much of the text is known, from 0 to 1; see [`Embedder::coverage`].
    pub coverage: f32,
}

impl StaticEmbedder {
    /// The model that is part of this crate: English, [`dimensions`](Embedder::dimensions) 256.
    ///
    /// Takes about a millisecond; a clone takes nothing.
    #[must_use]
    pub fn builtin() -> Self {
        #[expect(clippy::expect_used, reason = "the file is part of the crate; a test reads it")]
        let table = Table::read(BUILTIN).expect("the built-in model is whole");
        let digest = BUILTIN_SHA256.get(..8).unwrap_or(BUILTIN_SHA256);
        Self(Arc::new(Inner {
            id: ProviderId::new("builtin"),
            model: ModelId::new(format!("static-{}-{digest}", table.dimensions())),
            table,
        }))
    }

    /// The vector of `text`, and how much of it was understood. Of a text of more than
    /// [`MAX_TOKENS`] tokens the first count.
    #[must_use]
    pub fn encode(&self, text: &str) -> Encoded {
        let table = &self.0.table;
        let mut sum = vec![0_i32; table.dimensions()];
        let mut pieces = Vec::new();
        let mut coverage = Coverage::default();
        let mut left = MAX_TOKENS;
        words(text, |word| {
            pieces.clear();
            let known = table.vocabulary.split(word, &mut pieces);
            coverage.word(word, if known { pieces.len() } else { 0 });
            for piece in pieces.iter().take(left) {
                table.add(*piece, &mut sum);
            }
            // An unknown word counts, too, or a long text of them would be read to its end.
            left = left.saturating_sub(pieces.len().max(1));
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        Encoded { vector: unit(&sum), coverage: coverage.share() }
    }
}

#[async_trait]
impl Embedder for StaticEmbedder {
    fn id(&self) -> &ProviderId {
        &self.0.id
    }

    fn model(&self) -> &ModelId {
        &self.0.model
    }

    fn dimensions(&self) -> usize {
        self.0.table.dimensions()
    }

    fn coverage(&self, text: &str) -> f32 {
        self.encode(text).coverage
    }

    async fn embed(&self, _cx: &CallContext, texts: &[&str]) -> Result<Vec<Embedding>> {
        Ok(texts.iter().map(|text| self.encode(text).vector).collect())
    }
}

impl fmt::Debug for StaticEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StaticEmbedder").field(&self.0.model).finish()
    }
}

/// How many of a text's words the vocabulary knows. A word in two pieces is half known.
#[derive(Default)]
pub(super) struct Coverage {
    words: f32,
    known: f32,
}

impl Coverage {
    /// One more word, in so many pieces; none if it is unknown. Punctuation does not count.
    pub(super) fn word(&mut self, word: &str, pieces: usize) {
        if word.contains(char::is_alphanumeric) {
            self.words += 1.0;
            #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
            let pieces = pieces as f32;
            self.known += if pieces > 0.0 { 1.0 / pieces } else { 0.0 };
        }
    }

    pub(super) fn share(&self) -> f32 {
        if self.words > 0.0 { self.known / self.words } else { 0.0 }
    }
}

/// `sum` scaled to length one. Only operations that IEEE 754 fixes to the last bit, in one order.
fn unit(sum: &[i32]) -> Embedding {
    let length = sum.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
    if length == 0.0 {
        return vec![0.0; sum.len()];
    }
    #[expect(clippy::cast_possible_truncation, reason = "a vector's values are f32, rounded")]
    sum.iter().map(|value| (f64::from(*value) / length) as f32).collect()
}
