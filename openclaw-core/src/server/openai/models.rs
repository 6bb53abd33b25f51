//! `/v1/models`: the agents.

use std::sync::Arc;

use axum::{RequestExt as _, extract::Path, extract::Request, response::Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::{MODEL, body, no_model};
use crate::server::{caller::Caller, state::Server};

pub(in crate::server) async fn list(server: Arc<Server>, _: Caller, _: Request) -> Response {
    let data: Vec<Value> = names(&server).iter().map(|name| shown(&server, name)).collect();
    body::json(StatusCode::OK, &json!({ "object": "list", "data": data }))
}

/// One of them. A name has a slash in it, which clients write as it is or as `%2F`.
pub(in crate::server) async fn one(
    server: Arc<Server>,
    _: Caller,
    mut request: Request,
) -> Response {
    let path = request.extract_parts::<Path<String>>().await;
    let Ok(Path(name)) = path else {
        return body::refuse(StatusCode::NOT_FOUND, "there is no such model");
    };
    if names(&server).contains(&name) {
        return body::json(StatusCode::OK, &shown(&server, &name));
    }
    *no_model(&name)
}

fn names(server: &Server) -> Vec<String> {
    let agents = server.handle.agents().into_iter().map(|agent| format!("{MODEL}/{agent}"));
    let general = [MODEL.to_owned(), format!("{MODEL}/default")];
    let mut names: Vec<String> = general.into_iter().chain(agents).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn shown(server: &Server, name: &str) -> Value {
    let created = server.started.as_millis() / 1000;
    json!({ "id": name, "object": "model", "created": created, "owned_by": MODEL })
}
