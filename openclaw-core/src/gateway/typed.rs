//! Answers that fit a type.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Ask, Handle};
use crate::{
    error::{Error, ErrorKind, Result},
    id::{EventKey, PeerId},
    message::Content,
    provider::ResponseFormat,
    turn::Outcome,
};

/// How often an answer that does not fit is sent back to be repaired.
pub const MAX_REPAIRS: u32 = 2;

impl Handle {
    /// Asks for an answer that fits `T`. The provider is given `T`'s JSON Schema; an answer that does
    /// not fit all the same is sent back with what is wrong, [`MAX_REPAIRS`] times.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] if no answer fitted, or the turn's own failure.
    pub async fn ask_typed<T: DeserializeOwned + JsonSchema>(
        &self,
        peer: impl Into<PeerId>,
        text: impl Into<Content>,
    ) -> Result<T> {
        self.ask(peer, text).typed().await
    }
}

impl Ask {
    /// As [`Handle::ask_typed`].
    ///
    /// # Errors
    /// See [`Handle::ask_typed`].
    pub async fn typed<T: DeserializeOwned + JsonSchema>(mut self) -> Result<T> {
        let mut schema = schemars::schema_for!(T).to_value();
        if let Some(object) = schema.as_object_mut() {
            object.remove("$schema");
        }
        let name: String = T::schema_name()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(64)
            .collect();
        self.format = Some(ResponseFormat::JsonSchema { name, schema });
        let mut repairs = 0;
        loop {
            let next = self.copy();
            let reply = self.reply().await?;
            if let Outcome::ModelFailed { error, text } = &reply.outcome {
                return Err(Error::new(*error, format!("the model could not be asked: {text}")));
            }
            let why = match serde_json::from_str::<T>(unfenced(&reply.text)) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if repairs == MAX_REPAIRS || reply.outcome != Outcome::Replied {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    format!("the answer does not fit {}: {why}", T::schema_name()),
                ));
            }
            repairs += 1;
            let text = format!("That does not fit the schema: {why}. Answer with the JSON alone.");
            // A repair is asked once for each answer that it repairs.
            let key = EventKey::event(&format!("repair:{}:{}", reply.session, reply.turn.0));
            self = next.retold(text, key);
        }
    }
}

/// The JSON inside of a code fence, which models like to put around it.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else {
        return text;
    };
    inner.split_once('\n').map_or(inner, |(_, body)| body).trim()
}

#[cfg(test)]
mod tests {
    use super::unfenced;

    #[test]
    fn takes_json_out_of_a_fence() {
        assert_eq!(unfenced("```json\n{\"a\":1}\n```"), "{\"a\":1}");
        assert_eq!(unfenced(" {\"a\":1} "), "{\"a\":1}");
    }
}
