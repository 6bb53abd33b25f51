//! Turning texts into vectors, in batches.

use openclaw_core::{
    Error, ErrorKind, ModelId, Result,
    provider::{CallContext, Embedding},
    serde_json::Value,
};

use super::Service;

/// How many texts one request has at most.
const BATCH: usize = 256;

/// A model of a service that makes vectors.
#[derive(Clone)]
pub(crate) struct Vectors {
    pub(crate) service: Service,
    pub(crate) model: ModelId,
    pub(crate) dimensions: usize,
}

impl Vectors {
    /// Asks for the vectors of `texts`, a batch after the other. `body` writes a request, `read` finds
    /// the vectors in its answer, in order.
    pub(crate) async fn embed(
        &self,
        cx: &CallContext,
        path: &str,
        texts: &[&str],
        body: impl Fn(&[&str]) -> Value,
        read: impl Fn(&Value) -> Option<Vec<Embedding>>,
    ) -> Result<Vec<Embedding>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            // Services refuse an empty text, or leave it out.
            let batch: Vec<&str> =
                batch.iter().map(|text| if text.is_empty() { " " } else { text }).collect();
            let answer = self.service.ask(cx, path, Some(&body(&batch))).await?;
            let found = read(&answer).ok_or_else(|| {
                wrong("its answer has no vectors of finite numbers; is base_url right?".to_owned())
            })?;
            if found.len() != batch.len() {
                return Err(wrong(format!("{} vectors for {} texts", found.len(), batch.len())));
            }
            if let Some(odd) = found.iter().find(|vector| vector.len() != self.dimensions) {
                return Err(wrong(format!(
                    "the vectors of {} have {} values, and {} were expected; say how many it has",
                    self.model,
                    odd.len(),
                    self.dimensions
                )));
            }
            vectors.extend(found);
        }
        Ok(vectors)
    }
}

/// A vector of finite numbers.
pub(crate) fn vector(value: &Value) -> Option<Embedding> {
    #[expect(clippy::cast_possible_truncation, reason = "models compute with no more than `f32`")]
    let number = |value: &Value| value.as_f64().map(|number| number as f32);
    let numbers = value.as_array()?.iter().map(number);
    numbers.map(|number| number.filter(|number| number.is_finite())).collect()
}

fn wrong(text: String) -> Error {
    Error::new(ErrorKind::InvalidData, text)
}
