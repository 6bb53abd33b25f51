//! What the application says of its doors.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;

use super::{Auth, Lockout, TlsIdentity};
use crate::{
    error::{Error, Result},
    protocol::{DeviceKey, MAX_BUFFERED_BYTES, MAX_FRAME_BYTES, Scopes},
};

/// How much the doors take. The defaults are meant to be kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// How many connections there are at once, of all kinds; more are closed as they come.
    pub connections: usize,
    /// How many sockets of one address may not have said who they are.
    pub unauthenticated_per_address: usize,
    /// How many sockets of all addresses may not have said who they are.
    pub unauthenticated: usize,
    /// How long a socket may take to say who it is, and a request to bring its headers.
    pub handshake: Duration,
    /// How long reading a body may take.
    pub body: Duration,
    /// The most bytes of a request's headers.
    pub header_bytes: usize,
    /// The largest frame of an authenticated client, in bytes.
    pub frame_bytes: usize,
    /// How much may wait to be sent to a client before it is closed as too slow, in bytes.
    pub buffered_bytes: usize,
    /// How many requests of a connection may be worked on at once.
    pub in_flight: usize,
    /// How long a connection may take nothing of what is sent to it.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            unauthenticated_per_address: 32,
            unauthenticated: 512,
            handshake: Duration::from_secs(10),
            body: Duration::from_secs(10),
            header_bytes: 32 * 1024,
            frame_bytes: MAX_FRAME_BYTES,
            buffered_bytes: MAX_BUFFERED_BYTES,
            in_flight: 256,
            stalled: Duration::from_secs(30),
        }
    }
}

/// How a gateway's doors are kept.
///
/// ```
/// use openclaw_core::{secret::Secret, server::ServerConfig};
///
/// let config = ServerConfig::token(Secret::from("long and not to be guessed"))
///     .host("claw.example.org")
///     .origin("https://shop.example.org");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerConfig {
    pub(super) auth: Auth,
    pub(super) grant: Scopes,
    pub(super) key: Option<DeviceKey>,
    pub(super) hosts: Vec<String>,
    pub(super) any_host: bool,
    pub(super) origins: Vec<String>,
    pub(super) proxies: Vec<IpNet>,
    pub(super) exposed: bool,
    pub(super) tls: Option<Arc<TlsIdentity>>,
    pub(super) lockout: Lockout,
    pub(super) limits: Limits,
}

impl ServerConfig {
    /// Lets in those whom `auth` says.
    pub fn new(auth: Auth) -> Self {
        Self {
            auth,
            grant: Scopes::all(),
            key: None,
            hosts: Vec::new(),
            any_host: false,
            origins: Vec::new(),
            proxies: Vec::new(),
            exposed: false,
            tls: None,
            lockout: Lockout::default(),
            limits: Limits::default(),
        }
    }

    /// Lets in those who know a token. Use one of at least 32 random characters.
    pub fn token(token: impl Into<crate::secret::Secret>) -> Self {
        Self::new(Auth::Token(token.into()))
    }

    /// Lets in those who know a password.
    pub fn password(password: impl Into<crate::secret::Secret>) -> Self {
        Self::new(Auth::Password(password.into()))
    }

    /// The most that the credential allows; by default everything.
    pub fn grant(mut self, scopes: Scopes) -> Self {
        self.grant = scopes;
        self
    }

    /// The gateway's own key: by it devices know the gateway again, and their tokens are kept. Without
    /// one, each start has a new key, and devices must be let in afresh.
    pub fn key(mut self, key: DeviceKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Answers to this host name too, as in `claw.example.org`. `localhost` and addresses need no word.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into().to_ascii_lowercase());
        self
    }

    /// Answers to every host name: for an application that checks `Host` itself.
    pub fn any_host(mut self) -> Self {
        self.any_host = true;
        self
    }

    /// Lets browsers in from this origin too, as in `https://shop.example.org`. The gateway's own
    /// needs no word.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Believes proxies in this network what they say of who is behind them.
    pub fn trusted_proxy(mut self, network: IpNet) -> Self {
        self.proxies.push(network);
        self
    }

    /// Serves TLS.
    pub fn tls(mut self, identity: TlsIdentity) -> Self {
        self.tls = Some(Arc::new(identity));
        self
    }

    /// Lets [`serve`](super::serve) listen beyond this machine without TLS: credentials and all that is
    /// said can be read on the way.
    pub fn exposed_without_tls(mut self) -> Self {
        self.exposed = true;
        self
    }

    /// When those who guess are locked out.
    pub fn lockout(mut self, lockout: Lockout) -> Self {
        self.lockout = lockout;
        self
    }

    /// How much is taken.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        self.auth.check(&self.proxies)?;
        for origin in &self.origins {
            let url = url::Url::parse(origin).ok();
            if url.is_none_or(|url| url.origin().ascii_serialization() != *origin) {
                return Err(Error::config(format!(
                    "{origin:?} is no origin; expected one as in https://shop.example.org"
                )));
            }
        }
        Ok(())
    }
}
