//! How a fake calls back.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{
    egress::EgressPolicy,
    error::{Error, ErrorKind, Result},
    http_client::{Body, HttpClient, NotConnected},
};

/// An [`HttpClient`] for tests that reaches the loopback network alone, without TLS. Clones share
/// its connections.
#[derive(Clone)]
pub struct LoopbackClient(Client<HttpConnector, Full<Bytes>>);

impl LoopbackClient {
    /// A client with connections of its own.
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }
}

impl Default for LoopbackClient {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LoopbackClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopbackClient")
    }
}

#[async_trait]
impl HttpClient for LoopbackClient {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        if !is_loopback(request.uri()) {
            let why = "expected http:// and an address of the loopback network";
            return Err(Error::new(ErrorKind::InvalidInput, why));
        }
        let failed = |why: String| Error::new(ErrorKind::Unavailable, why);
        let response = self.0.request(request.map(Full::new)).await;
        let response = response.map_err(|error| {
            // The innermost cause is the telling one: "Connection refused".
            let mut cause: &dyn std::error::Error = &error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            match error.is_connect() {
                true => NotConnected::error(ErrorKind::Unavailable, cause.to_string()),
                false => failed(cause.to_string()),
            }
        })?;
        Ok(response.map(|body| {
            body.into_data_stream().map_err(move |error| failed(error.to_string())).boxed()
        }))
    }

    /// Itself, if the policy lets the loopback network be reached: it reaches no other.
    fn guarded(&self, policy: &Arc<EgressPolicy>) -> Option<Arc<dyn HttpClient>> {
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        policy.allows_address("localhost", here).then(|| Arc::new(self.clone()) as _)
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    loopback && uri.scheme_str() == Some("http")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_this_machine() {
        for (uri, ours) in [
            ("http://127.0.0.1:1/a", true),
            ("http://[::1]:1/a", true),
            ("http://localhost/a", true),
            ("https://127.0.0.1/a", false),
            ("http://127.0.0.1.example.com/a", false),
            ("/a", false),
        ] {
            assert_eq!(is_loopback(&uri.parse().unwrap()), ours, "{uri}");
        }
    }
}
