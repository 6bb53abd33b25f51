//! How core and its siblings send HTTP without depending on a client.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;

use crate::{
    egress::EgressPolicy,
    error::{Error, ErrorKind, Result},
};

/// The body of a response as it arrives.
pub type Body = BoxStream<'static, Result<Bytes>>;

/// An HTTP client. Implemented with a real one outside of core, replaced by layers and tests.
///
/// # Contract
///
/// - Returns once the response's head has arrived, whatever its status.
/// - Redirects are not followed.
/// - Dropping the future or the body closes the request.
#[async_trait]
pub trait HttpClient: Send + Sync + 'static {
    /// Sends `request`.
    ///
    /// # Errors
    /// No response came: unreachable, refused, broken, too slow. The kind is
    /// [`Unavailable`](crate::ErrorKind::Unavailable) or [`Timeout`](crate::ErrorKind::Timeout). If
    /// there was no connection to send it on, the error is a [`NotConnected`].
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>>;

    /// A client like this one for what is not trusted to choose where it connects: it makes no connection
    /// but to what [`EgressPolicy::allows_address`] allows of what a name resolved to just now. `None` if it
    /// cannot look at that; then tools get no client, unless the policy lets them reach everything.
    fn guarded(&self, policy: &Arc<EgressPolicy>) -> Option<Arc<dyn HttpClient>> {
        let _ = policy;
        None
    }
}

/// The mark of an error of [`HttpClient::send`] that says that nothing was sent: no connection was made.
/// Who sends what must not happen twice may then send it again.
///
/// ```
/// use openclaw_core::{Error, ErrorKind, http_client::NotConnected};
///
/// let error = NotConnected::error(ErrorKind::Unavailable, "shop.example: connection refused");
/// assert!(NotConnected::is(&error) && error.is_transient());
/// assert!(!NotConnected::is(&Error::new(ErrorKind::Unavailable, "the connection broke")));
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotConnected(String);

impl NotConnected {
    /// An error that bears the mark.
    pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::wrap(kind, Self(message.into()))
    }

    /// True if the error bears the mark.
    pub fn is(error: &Error) -> bool {
        std::error::Error::source(error).is_some_and(|source| source.is::<Self>())
    }
}
