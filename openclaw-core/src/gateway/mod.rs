//! The hub.

mod ingress;

pub use ingress::Ingress;
