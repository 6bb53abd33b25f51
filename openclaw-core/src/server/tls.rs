//! TLS of the listener.

use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::error::{Error, ErrorKind, Result};

/// A certificate and its key. `Debug` shows neither.
pub struct TlsIdentity(Arc<ServerConfig>);

impl TlsIdentity {
    /// From PEM: the chain of certificates, the gateway's own first, and its private key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if they cannot be read or do not belong together.
    pub fn pem(certificates: &[u8], key: &[u8]) -> Result<Self> {
        let bad = |error| Error::wrap(ErrorKind::InvalidConfig, error);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| Error::config("the TLS certificates are no PEM"))?;
        // What is wrong with a key is not repeated.
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| Error::config("the TLS key is no private key in PEM"))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(bad)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(bad)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsIdentity(***)")
    }
}
