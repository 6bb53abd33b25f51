//! The hub.

pub(crate) mod ingress;

pub use ingress::Ingress;
