//! The HTTP client that providers use unless they are given another.

use std::{
    error::Error as _,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use openclaw_core::{
    Error, ErrorKind, Result, Retry, async_trait,
    bytes::Bytes,
    http::{Request, Response},
    http_client::{Body, HttpClient, NotConnected},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// How long connecting, the TLS handshake included, may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next request.
pub const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// An [`HttpClient`] on reqwest: HTTP/1.1 with kept connections, TLS by rustls and ring.
///
/// It trusts the certificates that the operating system trusts, or Mozilla's where the system has
/// none. It follows no redirect, uses no proxy, keeps no cookie and reads no environment variable.
/// Its errors name the host, never the path or the query. Clones share the connections; the client
/// behind them is made at the first request.
#[derive(Clone, Debug, Default)]
pub struct Reqwest(Arc<OnceLock<reqwest::Client>>);

impl Reqwest {
    /// A client with connections of its own.
    pub fn new() -> Self {
        Self::default()
    }

    fn client(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let client = build()?;
        Ok(self.0.get_or_init(|| client))
    }
}

fn build() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(KEEP_ALIVE)
        .build()
        .map_err(|error| Error::internal(format!("the HTTP client cannot be made: {error}")))
}

fn tls() -> Result<ClientConfig> {
    let start = || {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal(format!("TLS cannot be set up: {error}")))
    };
    Ok(match start()?.with_platform_verifier() {
        Ok(config) => config.with_no_client_auth(),
        // A container without certificates.
        Err(_) => {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
            start()?.with_root_certificates(roots).with_no_client_auth()
        }
    })
}

#[async_trait]
impl HttpClient for Reqwest {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let host = host(&request);
        let request = reqwest::Request::try_from(request).map_err(|error| failed(error, &host))?;
        let mut answer =
            self.client()?.execute(request).await.map_err(|error| failed(error, &host))?;
        let mut response = Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        let body = stream::unfold(Some((answer, host)), async |state| {
            let (mut answer, host) = state?;
            match answer.chunk().await {
                Ok(chunk) => Some((Ok(chunk?), Some((answer, host)))),
                Err(error) => Some((Err(failed(error, &host)), None)),
            }
        });
        Ok(response.map(|()| body.boxed()))
    }
}

/// Host and port of where the request goes, without the rest of its URL.
fn host(request: &Request<Bytes>) -> String {
    let uri = request.uri();
    match (uri.host(), uri.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "an address without a host".to_owned(),
    }
}

fn failed(error: reqwest::Error, host: &str) -> Error {
    let error = error.without_url();
    let (kind, what) = if error.is_builder() {
        (ErrorKind::InvalidInput, "is no address that can be asked")
    } else if error.is_timeout() {
        (ErrorKind::Timeout, "did not answer in time")
    } else if error.is_connect() {
        (ErrorKind::Unavailable, "cannot be connected to")
    } else {
        (ErrorKind::Unavailable, "broke off the connection")
    };
    // The innermost cause is the telling one: "Connection refused", "invalid peer certificate".
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    let why = cause.map_or_else(|| error.to_string(), ToString::to_string);
    let certificate = why.contains("certificate");
    let message = format!("{host} {what}: {why}");
    let failure = match error.is_connect() {
        true => NotConnected::error(kind, message),
        false => Error::new(kind, message),
    };
    if certificate { failure.with_retry(Retry::Never) } else { failure }
}
