//! The HTTP client of tools.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, header::HOST};

use super::{EgressPolicy, refusal};
use crate::{
    error::{Error, ErrorKind, Result},
    http_client::{Body, HttpClient},
};

/// An [`HttpClient`] that sends only what a policy lets out, in the normal form that was looked at.
pub(crate) struct Egress {
    policy: Arc<EgressPolicy>,
    inner: Arc<dyn HttpClient>,
}

impl Egress {
    pub(crate) fn new(policy: Arc<EgressPolicy>, inner: Arc<dyn HttpClient>) -> Self {
        Self { policy, inner }
    }
}

#[async_trait]
impl HttpClient for Egress {
    async fn send(&self, mut request: http::Request<Bytes>) -> Result<http::Response<Body>> {
        if *request.method() == Method::CONNECT {
            return Err(refusal(ErrorKind::Denied, "tunnels are not allowed here".into()));
        }
        // Another host in the header than in the address reaches another site behind the same server.
        if request.headers().contains_key(HOST) {
            let text = "a request names its host by its address alone: take out the header Host";
            return Err(refusal(ErrorKind::InvalidInput, text.into()));
        }
        let url = self.policy.check(&request.uri().to_string())?;
        *request.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|_| refusal(ErrorKind::InvalidInput, "no address that can be asked".into()))?;
        self.inner.send(request).await
    }

    fn guarded(&self, policy: &Arc<EgressPolicy>) -> Option<Arc<dyn HttpClient>> {
        let inner = self.inner.guarded(policy)?;
        Some(Arc::new(Self { policy: Arc::clone(&self.policy), inner }))
    }
}

/// What a gateway has for tools to send HTTP with.
#[derive(Clone, Default)]
pub(crate) enum ToolHttp {
    /// The application gave no client.
    #[default]
    Missing,
    /// The application's client cannot be held to the policy.
    Unguarded,
    /// The tool is sealed.
    Sealed,
    /// This one.
    Client(Arc<dyn HttpClient>),
}

impl ToolHttp {
    /// The application's client, held to `policy`.
    pub(crate) fn new(client: Option<&Arc<dyn HttpClient>>, policy: EgressPolicy) -> Self {
        let Some(client) = client else { return Self::Missing };
        let policy = Arc::new(policy);
        let guarded = if policy.allows_all_addresses() {
            Some(Arc::clone(client))
        } else {
            client.guarded(&policy)
        };
        match guarded {
            Some(inner) => Self::Client(Arc::new(Egress::new(policy, inner))),
            None => Self::Unguarded,
        }
    }

    /// The client, or why there is none.
    pub(crate) fn client(&self) -> Result<&dyn HttpClient> {
        match self {
            Self::Client(client) => Ok(client.as_ref()),
            Self::Missing => {
                Err(Error::config("no HTTP client: add one with `Gateway::builder().http(..)`"))
            }
            Self::Unguarded => Err(Error::config(
                "the gateway's HTTP client cannot be held to what tools may reach, as `HttpClient::guarded` \
                 says: give one that can to `Gateway::builder().http(..)`, or let tools reach everything with \
                 `.egress(EgressPolicy::anywhere())` or \"egress\": {\"private\": [\"*\"]}",
            )),
            Self::Sealed => Err(Error::new(
                ErrorKind::Denied,
                "a tool that is declared to be sealed has no HTTP client",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes down where it was sent.
    #[derive(Clone, Default)]
    struct Sent(Arc<Mutex<Vec<String>>>);

    #[async_trait]
    impl HttpClient for Sent {
        async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>> {
            self.0.lock().unwrap().push(request.uri().to_string());
            Ok(http::Response::new(Box::pin(futures_util::stream::empty())))
        }
    }

    /// The same, as one that looks at what it connects to.
    struct Guarded(Sent);

    #[async_trait]
    impl HttpClient for Guarded {
        async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>> {
            self.0.send(request).await
        }

        fn guarded(&self, _: &Arc<EgressPolicy>) -> Option<Arc<dyn HttpClient>> {
            Some(Arc::new(self.0.clone()))
        }
    }

    fn request(address: &str) -> http::request::Builder {
        http::Request::get(address)
    }

    #[tokio::test]
    async fn only_what_is_let_out_is_sent_and_as_it_was_looked_at() {
        let sent = Sent::default();
        let client: Arc<dyn HttpClient> = Arc::new(Guarded(sent.clone()));
        let http = ToolHttp::new(Some(&client), EgressPolicy::default());
        let http = http.client().unwrap();
        let plain = |builder: http::request::Builder| builder.body(Bytes::new()).unwrap();
        assert!(http.send(plain(request("http://EXAMPLE.org:80/a?b"))).await.is_ok());
        for bad in [
            request("http://0177.0.0.1/"),
            request("http://127.1/"),
            request("http://user@example.org/"),
            request("http://example.org/").header(HOST, "internal.example.org"),
            request("example.org:443").method(Method::CONNECT),
        ] {
            assert!(http.send(plain(bad)).await.is_err());
        }
        assert_eq!(*sent.0.lock().unwrap(), ["http://example.org/a?b"]);
    }

    #[test]
    fn a_client_that_cannot_look_is_not_given_out_unless_all_is_open() {
        let client: Arc<dyn HttpClient> = Arc::new(Sent::default());
        let closed = ToolHttp::new(Some(&client), EgressPolicy::default());
        let error = closed.client().err().unwrap();
        assert!(error.to_string().contains("HttpClient::guarded"), "{error}");
        assert!(ToolHttp::new(Some(&client), EgressPolicy::anywhere()).client().is_ok());
        let error = ToolHttp::new(None, EgressPolicy::default()).client().err().unwrap();
        assert!(error.to_string().contains(".http(..)"), "{error}");
    }
}
