//! The door that everything comes in by.

use crate::{channel::Accepted, error::Result, message::Inbound};

/// The door of a gateway, as channels have it.
#[derive(Clone)]
pub struct Ingress(());

impl Ingress {
    pub(crate) async fn accept_one(&self, _inbound: Inbound) -> Result<Accepted> {
        Err(crate::Error::internal("not connected"))
    }
}
