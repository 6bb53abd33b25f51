//! Services as they answer when all is well: what our providers are tested on, and what other people's
//! clients must be able to talk to.

pub(crate) mod anthropic;
pub(crate) mod ollama;
pub(crate) mod openai;

use openclaw_core::serde_json::{Value, json};

/// The key that the services want.
pub(crate) const KEY: &str = "sk-test-key";

/// A vector that the text alone decides.
fn vector(text: &str, dimensions: usize) -> Value {
    let mut vector = vec![0.1; dimensions];
    for (place, byte) in text.bytes().enumerate() {
        vector[(place * 31 + usize::from(byte)) % dimensions] += f64::from(byte) / 256.0;
    }
    json!(vector)
}

/// The texts that are to be embedded: one or many.
fn inputs(body: &Value) -> Vec<String> {
    match &body["input"] {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
        other => panic!("{other} cannot be embedded"),
    }
}
