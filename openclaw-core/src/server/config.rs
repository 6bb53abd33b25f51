//! What the application says of its doors.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use serde_json::Value;

use super::{Auth, Lockout, LogTail, Tailscale, TlsIdentity};
use crate::{
    error::{Error, Result},
    protocol::{DeviceKey, MAX_BUFFERED_BYTES, MAX_FRAME_BYTES, Scopes},
    provider::Embedder,
    secret::Secret,
};

/// How much the doors take. The defaults are meant to be kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// How many connections there are at once, of all kinds; more are closed as they come.
    pub connections: usize,
    /// How many connections may not have said what they want; for one more the oldest is closed.
    pub half_open: usize,
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
    /// How many requests by HTTP that need a scope or the token of the hooks one address may send within a minute.
    pub requests_per_minute: u32,
    /// How often within a minute one client may use one method that changes who is let in, or what is kept.
    pub changes_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            half_open: 512,
            unauthenticated_per_address: 32,
            unauthenticated: 512,
            handshake: Duration::from_secs(10),
            body: Duration::from_secs(10),
            header_bytes: 32 * 1024,
            frame_bytes: MAX_FRAME_BYTES,
            buffered_bytes: MAX_BUFFERED_BYTES,
            in_flight: 256,
            stalled: Duration::from_secs(30),
            requests_per_minute: 1_200,
            changes_per_minute: 30,
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
    pub(super) hooks: Option<Secret>,
    embedder: Option<EmbedderPart>,
    pub(super) logs: Option<LogTail>,
    pub(super) tailscale: Option<Tailscale>,
    setup: Option<SetupPart>,
}

/// How the gateway is set up, as `config.get` and `config.schema` show it to those who may read. No secret
/// may be in it.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Where the configuration is, for people.
    pub path: String,
    /// The configuration.
    pub config: Value,
    /// The JSON Schema of a configuration.
    pub schema: Value,
}

/// Tells how the gateway is set up now.
#[derive(Clone)]
struct SetupPart(Arc<dyn Fn() -> Option<Setup> + Send + Sync>);

impl std::fmt::Debug for SetupPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SetupPart")
    }
}

/// What makes the vectors of `/v1/embeddings`.
#[derive(Clone)]
struct EmbedderPart(Arc<dyn Embedder>);

impl std::fmt::Debug for EmbedderPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.id())
    }
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
            hooks: None,
            embedder: None,
            logs: None,
            tailscale: None,
            setup: None,
        }
    }

    /// Lets in those who know a token. Use one of at least 32 random characters.
    pub fn token(token: impl Into<Secret>) -> Self {
        Self::new(Auth::Token(token.into()))
    }

    /// Lets in those who know a password.
    pub fn password(password: impl Into<Secret>) -> Self {
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

    /// Takes what other programs report, by `/hooks/agent` and `/hooks/wake`, from those who know this
    /// token. It lets nobody in elsewhere, and what they say is untrusted.
    pub fn hooks(mut self, token: impl Into<Secret>) -> Self {
        self.hooks = Some(token.into());
        self
    }

    /// Answers `/v1/embeddings` by this.
    pub fn embedder(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = Some(EmbedderPart(embedder));
        self
    }

    /// Lets people of a tailnet in who show no other credential; see [`Tailscale`].
    pub fn tailscale(mut self, tailscale: Tailscale) -> Self {
        self.tailscale = Some(tailscale);
        self
    }

    /// Shows these lines by `logs.tail`.
    pub fn logs(mut self, tail: LogTail) -> Self {
        self.logs = Some(tail);
        self
    }

    /// Shows by `config.get` and `config.schema` what this says, which is asked each time; `None` if there
    /// is no configuration now.
    pub fn setup(mut self, setup: impl Fn() -> Option<Setup> + Send + Sync + 'static) -> Self {
        self.setup = Some(SetupPart(Arc::new(setup)));
        self
    }

    pub(super) fn shown_setup(&self) -> Option<Setup> {
        self.setup.as_ref().and_then(|part| (part.0)())
    }

    /// What makes vectors.
    pub(super) fn embedding(&self) -> Option<&dyn Embedder> {
        self.embedder.as_ref().map(|part| part.0.as_ref())
    }

    pub(super) fn check(&self) -> Result<()> {
        self.auth.check(&self.proxies)?;
        if self.tailscale.as_ref().is_some_and(Tailscale::lets_nobody_in) {
            return Err(Error::config("people of the tailnet are let in by name; name them"));
        }
        if let Some(token) = &self.hooks {
            if token.expose().trim().is_empty() {
                return Err(Error::config("the token of the hooks is empty; give it one"));
            }
            if self.auth.is(token) {
                return Err(Error::config(
                    "the token of the hooks is that of the clients; give it one of its own",
                ));
            }
        }
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
