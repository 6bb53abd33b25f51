//! How core and its siblings send HTTP without depending on a client.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;

use crate::{egress::EgressPolicy, error::Result};

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
    /// [`Unavailable`](crate::ErrorKind::Unavailable) or [`Timeout`](crate::ErrorKind::Timeout).
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>>;

    /// A client like this one for what is not trusted to choose where it connects: it makes no connection
    /// but to what [`EgressPolicy::allows_address`] allows of what a name resolved to just now. `None` if it
    /// cannot look at that; then tools get no client, unless the policy lets them reach everything.
    fn guarded(&self, policy: &Arc<EgressPolicy>) -> Option<Arc<dyn HttpClient>> {
        let _ = policy;
        None
    }
}
