//! Events that platforms deliver by HTTP.

use std::sync::Arc;

use axum::{
    RequestExt as _,
    body::Body,
    extract::{Path, Request},
    response::Response,
};
use http::StatusCode;

use super::{body, caller::Caller, state::Server};
use crate::{error::ErrorKind, id::AccountId};

/// The largest event that is read, in bytes: a platform's are far smaller.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Passes the request to the account's channel, which checks the platform's signature.
pub(super) async fn take(server: Arc<Server>, _: Caller, mut request: Request) -> Response {
    let path = request.extract_parts::<Path<(String, String)>>().await;
    let account = path.ok().and_then(|Path((channel, account))| {
        format!("{channel}:{account}").parse::<AccountId>().ok()
    });
    let Some(account) = account else {
        return body::refuse(StatusCode::NOT_FOUND, "there is no such account");
    };
    let (parts, stream) = request.into_parts();
    match server.handle.refuse_webhook(&account, &parts.method, &parts.headers) {
        Ok(None) => {}
        Ok(Some(refusal)) => return refusal.map(Body::from),
        Err(_) => return body::refuse(StatusCode::NOT_FOUND, "there is no such account"),
    }
    let bytes = match body::read(stream, MAX_BYTES, server.config.limits.body).await {
        Ok(bytes) => bytes,
        Err(refusal) => {
            let status = refusal.status();
            let count = server.handle.hub.unread.add(status);
            tracing::warn!(%account, %status, count, "a webhook's body was not read");
            return *refusal;
        }
    };
    match server.handle.webhook(&account, http::Request::from_parts(parts, bytes)).await {
        Ok(answer) => answer.map(Body::from),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            body::refuse(StatusCode::NOT_FOUND, "there is no such account")
        }
        Err(error) => {
            tracing::warn!(%account, %error, "a webhook was not served");
            body::refuse(StatusCode::SERVICE_UNAVAILABLE, "try again")
        }
    }
}
