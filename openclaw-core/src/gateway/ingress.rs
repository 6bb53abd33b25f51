//! The door that everything comes in by.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{
    channel::Accepted,
    error::{Error, Result},
    message::Inbound,
};

/// What stands behind the door.
#[async_trait]
pub(crate) trait Accept: Send + Sync + 'static {
    /// As [`Ingress::accept`]; one answer an event, in their order.
    async fn accept(&self, batch: Vec<Inbound>) -> Result<Vec<Accepted>>;
}

/// The door of a gateway, as channels have it. Cheap to clone.
#[derive(Clone)]
pub struct Ingress(Arc<dyn Accept>);

impl Ingress {
    /// A door to what `accept` does.
    pub(crate) fn new(accept: Arc<dyn Accept>) -> Self {
        Self(accept)
    }

    /// Takes events in, in their order and in one commit. When it returns, what became of each is
    /// durable, and only then may the platform be told that they were taken.
    ///
    /// Dropping the future leaves it open whether they were accepted: pass them in again, under the
    /// same keys.
    ///
    /// # Errors
    /// Nothing was accepted. The platform must not be told that the events were taken, so that it
    /// gives them again.
    pub async fn accept(&self, batch: Vec<Inbound>) -> Result<Vec<Accepted>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.0.accept(batch).await
    }

    /// Takes one event in; see [`accept`](Self::accept).
    ///
    /// # Errors
    /// See [`accept`](Self::accept).
    pub async fn accept_one(&self, inbound: Inbound) -> Result<Accepted> {
        let accepted = self.accept(vec![inbound]).await?;
        accepted.first().copied().ok_or_else(|| Error::internal("an event got no answer"))
    }
}

impl fmt::Debug for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ingress")
    }
}
