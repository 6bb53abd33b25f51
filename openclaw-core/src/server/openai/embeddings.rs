//! `/v1/embeddings`: vectors of the embedder that the application gave the doors.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, MAX_BYTES, Refused, agent_of, body, invalid};
use crate::{
    provider::CallContext,
    server::{caller::Caller, state::Server},
};

/// How many texts a request can hold.
const MAX_TEXTS: usize = 2_048;

#[derive(Deserialize)]
struct EmbeddingsIn {
    model: String,
    input: Texts,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
    /// Numbers of tokens, which only the model's own tokenizer could tell.
    Tokens(Vec<Value>),
}

pub(in crate::server) async fn embed(server: Arc<Server>, _: Caller, request: Request) -> Response {
    answer(server, request).await.unwrap_or_else(|refused| *refused)
}

async fn answer(server: Arc<Server>, request: Request) -> Result<Response, Refused> {
    let Some(embedder) = server.config.embedding() else {
        let why = "this gateway makes no embeddings; give its doors an embedder";
        return Err(Box::new(body::refuse(StatusCode::NOT_FOUND, why)));
    };
    let headers = request.headers().clone();
    let asked: EmbeddingsIn = body::parse(request, MAX_BYTES, server.config.limits.body).await?;
    if asked.model != embedder.model().as_str() {
        agent_of(&server.handle.hub.plan(), &asked.model, &headers)?;
    }
    let texts = match asked.input {
        Texts::One(text) => vec![text],
        Texts::Many(texts) => texts,
        Texts::Tokens(tokens) => {
            let why = format!("input must be texts; these {} items are none", tokens.len());
            return Err(invalid("input", &why));
        }
    };
    if texts.is_empty() || texts.len() > MAX_TEXTS || texts.iter().any(String::is_empty) {
        let why = format!("input holds 1 to {MAX_TEXTS} texts, none of them empty");
        return Err(invalid("input", &why));
    }
    if asked.dimensions.is_some_and(|asked| asked != embedder.dimensions()) {
        let why = format!("the vectors here have {} dimensions", embedder.dimensions());
        return Err(invalid("dimensions", &why));
    }
    let base64 = match asked.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(invalid("encoding_format", "expected float or base64")),
    };
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let cx = CallContext::new().with_cancel(server.handle.hub.stopping.child());
    let vectors = embedder.embed(&cx, &texts).await.map_err(|error| {
        tracing::warn!(error = ?error, "texts were not embedded");
        Refused::from(Failure::from(error))
    })?;
    let data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let shown = if base64 { packed(vector).into() } else { json!(vector) };
            json!({ "object": "embedding", "index": index, "embedding": shown })
        })
        .collect();
    // What it would count as is not known: the embedder does not say.
    Ok(body::json(
        StatusCode::OK,
        &json!({
            "object": "list", "data": data, "model": asked.model,
            "usage": { "prompt_tokens": 0, "total_tokens": 0 },
        }),
    ))
}

/// The values as clients unpack them: four bytes each, the lowest first.
fn packed(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
