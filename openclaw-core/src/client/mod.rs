//! A client of a gateway: one connection that is kept up, requests, events, answers that grow.
//!
//! By default it sends no secret before the gateway has proved its key, so a program that pretends to
//! be the gateway, or passes on what is said to the real one, learns nothing that it could use. See
//! `docs/design/0020-mutual-authentication.md`.

mod answer;
mod drive;
mod link;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig as TlsConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject as _},
    },
};

pub use answer::Answer;

use crate::{
    error::{Error, ErrorKind, Result, Retry},
    protocol::{Code, DeviceId, DeviceKey, HelloOk, Role, Scope, Scopes, WireError},
    secret::Secret,
    time::{Cancel, Sources},
};
use drive::{Command, Reply};

/// How long a request may take that is answered once.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting may take, up to the gateway's greeting.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The first pause before a lost connection is made again; it doubles up to [`MAX_PAUSE`].
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause before a lost connection is made again.
pub const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How many events a reader may fall behind before it misses some.
const BACKLOG: usize = 1_024;

/// Whom to connect to, and as what.
///
/// ```no_run
/// use openclaw_core::{
///     client::{ClientConfig, gateway_id},
///     protocol::{DeviceKey, Scope},
///     serde_json::json,
///     time::SystemEntropy,
/// };
///
/// # async fn example() -> openclaw_core::Result<()> {
/// let url = "ws://127.0.0.1:18789";
/// // Kept from an earlier time, or compared with what the gateway says of itself.
/// let gateway = gateway_id(url).await?;
/// let client = ClientConfig::new(url, DeviceKey::generate(&SystemEntropy)?, gateway)
///     .token("the gateway's token")
///     .scopes([Scope::Read, Scope::Write])
///     .connect()
///     .await?;
/// println!("{}", client.request("health", json!({})).await?);
/// println!("{}", client.ask("main", "Hello!").await?.finish().await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientConfig {
    url: String,
    key: DeviceKey,
    /// Whose proof is asked for; none if none is.
    gateway: Option<DeviceId>,
    token: Option<Secret>,
    role: Role,
    scopes: Scopes,
    name: Option<String>,
    sources: Sources,
    roots: Option<Roots>,
}

/// Whose certificates are believed.
#[derive(Clone)]
struct Roots(TlsConnector);

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Roots")
    }
}

impl ClientConfig {
    /// Connects to the gateway whose key is named `gateway`, and to no other. `key` is this device's.
    pub fn new(url: impl Into<String>, key: DeviceKey, gateway: DeviceId) -> Self {
        Self { gateway: Some(gateway), ..Self::without_proof(url, key) }
    }

    /// Connects to whatever answers at `url`, and sends it the token: for gateways that cannot prove a
    /// key. Use it over TLS, or on this machine.
    pub fn without_proof(url: impl Into<String>, key: DeviceKey) -> Self {
        Self {
            url: url.into(),
            key,
            gateway: None,
            token: None,
            role: Role::Operator,
            scopes: Scopes::of([Scope::Read, Scope::Write]),
            name: None,
            sources: Sources::default(),
            roots: None,
        }
    }

    /// Shows this token: the gateway's, or the one that this device was given.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Asks to be allowed this; by default to read and to write.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.scopes = Scopes::of(scopes);
        self
    }

    /// A name for people.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Speaks TLS, for `wss://`, with gateways whose certificates are of these authorities, in PEM.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if they cannot be read.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate =
                certificate.map_err(|_| Error::config("the root certificates are no PEM"))?;
            roots.add(certificate).map_err(|error| Error::wrap(ErrorKind::InvalidConfig, error))?;
        }
        let config = TlsConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::wrap(ErrorKind::InvalidConfig, error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        self.roots = Some(Roots(TlsConnector::from(Arc::new(config))));
        Ok(self)
    }

    /// Takes time and unpredictable bytes from here.
    pub fn sources(mut self, sources: Sources) -> Self {
        self.sources = sources;
        self
    }

    /// Connects. From then on a lost connection is made again until the client is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the gateway is not the one that it should be, or lets this device not
    /// in; [`ErrorKind::Unavailable`] if it cannot be reached.
    pub async fn connect(self) -> Result<Client> {
        let linked = link::connect(&self).await?;
        let (commands, received) = mpsc::channel(256);
        let events = broadcast::Sender::new(BACKLOG);
        let (hello, greeted) = watch::channel(Some(Arc::new(linked.hello.clone())));
        let cancel = Cancel::new();
        let sources = self.sources.clone();
        let driver = drive::Driver {
            config: self,
            commands: received,
            events: events.clone(),
            hello,
            cancel: cancel.clone(),
        };
        tokio::spawn(driver.run(linked));
        let ends = Ends { cancel };
        Ok(Client { commands, events, hello: greeted, sources, ends: Arc::new(ends) })
    }
}

/// Asks what answers at `url` for the name of its key. It proves nothing: compare it with what the
/// gateway's owner says, or keep it as what was met first.
///
/// # Errors
/// It cannot be reached, or has no key that it could prove.
pub async fn gateway_id(url: &str) -> Result<DeviceId> {
    link::gateway_id(url).await
}

/// Ends the connection when the last client is gone.
struct Ends {
    cancel: Cancel,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A connection to a gateway. Cheap to clone; it ends when the last clone is dropped.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<ClientEvent>,
    hello: watch::Receiver<Option<Arc<HelloOk>>>,
    sources: Sources,
    ends: Arc<Ends>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// What a client hears.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The gateway tells of something.
    Event {
        /// Its name.
        name: String,
        /// More of it.
        payload: Arc<Value>,
    },
    /// Events were lost: what was made of them is to be read afresh.
    Gap,
    /// The connection was made again; what happened meanwhile is to be read afresh.
    Connected(Arc<HelloOk>),
    /// The connection was lost, and is being made again.
    Disconnected,
}

/// The events of a client, from when it was asked for them.
#[derive(Debug)]
pub struct ClientEvents(broadcast::Receiver<ClientEvent>);

impl ClientEvents {
    /// The next event; `None` once the client is gone. A reader that falls behind hears of a
    /// [`Gap`](ClientEvent::Gap). Cancel safe.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(ClientEvent::Gap),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Client {
    /// What the gateway greeted with, the last time; `None` while the connection is lost.
    pub fn hello(&self) -> Option<Arc<HelloOk>> {
        self.hello.borrow().clone()
    }

    /// Waits until there is a connection. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if there will be none.
    pub async fn connected(&self) -> Result<Arc<HelloOk>> {
        let mut hello = self.hello.clone();
        let found = hello.wait_for(Option::is_some).await.map_err(|_| gone())?;
        found.clone().ok_or_else(gone)
    }

    /// What happens from now on.
    pub fn events(&self) -> ClientEvents {
        ClientEvents(self.events.subscribe())
    }

    /// Asks the gateway for something, and waits for the answer.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if there is no connection, or it was lost before the answer: then
    /// nobody knows whether it was done. Requests are not repeated.
    pub async fn request(&self, method: &str, params: impl Serialize) -> Result<Value> {
        let (sender, receiver) = oneshot::channel();
        self.send(method, params, Reply::Once(sender)).await?;
        match tokio::time::timeout(REQUEST_TIMEOUT, receiver).await {
            Ok(answer) => answer.map_err(|_| lost())?,
            Err(_) => Err(Error::new(ErrorKind::Timeout, format!("{method} was not answered"))),
        }
    }

    /// Asks for something that is answered twice: when it is accepted, which this waits for, and when
    /// it is done.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn begin(&self, method: &str, params: impl Serialize) -> Result<(Value, Pending)> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        self.send(method, params, Reply::Twice(sender)).await?;
        match tokio::time::timeout(REQUEST_TIMEOUT, receiver.recv()).await {
            Ok(answer) => Ok((answer.ok_or_else(lost)??, Pending(receiver))),
            Err(_) => Err(Error::new(ErrorKind::Timeout, format!("{method} was not answered"))),
        }
    }

    /// Asks an agent something, in the session of this key. When the connection is lost the same is
    /// asked again, and answered once.
    ///
    /// # Errors
    /// It was not accepted.
    pub async fn ask(&self, session: &str, text: &str) -> Result<Answer> {
        Answer::ask(self.clone(), session, text).await
    }

    async fn send(&self, method: &str, params: impl Serialize, reply: Reply) -> Result<()> {
        let params = serde_json::to_value(params)
            .map_err(|error| Error::wrap(ErrorKind::InvalidInput, error))?;
        let command = Command { method: method.to_owned(), params, reply };
        self.commands.send(command).await.map_err(|_| gone())
    }

    fn fresh(&self) -> Result<String> {
        let mut bytes = [0; 16];
        self.sources.entropy.fill(&mut bytes)?;
        let _ = &self.ends;
        Ok(crate::id::hex(&bytes, 16))
    }
}

/// What was accepted and is not done yet.
#[derive(Debug)]
pub struct Pending(mpsc::UnboundedReceiver<Result<Value>>);

impl Pending {
    /// Waits until it is done.
    ///
    /// # Errors
    /// It failed, or the connection was lost: then it goes on all the same.
    pub async fn finish(mut self) -> Result<Value> {
        self.outcome().await.ok_or_else(lost)?
    }

    /// What came of it; `None` if the connection was lost. Cancel safe.
    async fn outcome(&mut self) -> Option<Result<Value>> {
        self.0.recv().await
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Cancelled, "the client was closed")
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection to the gateway was lost before its answer")
}

/// What the gateway said, as an error of ours.
fn refused(error: WireError) -> Error {
    let kind = match error.code {
        Code::Forbidden | Code::NotPaired => ErrorKind::Denied,
        Code::ApprovalNotFound => ErrorKind::NotFound,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::InvalidRequest => match detail(&error) {
            Some(code) if code.starts_with("AUTH_") => ErrorKind::Unauthenticated,
            Some(code) if code.starts_with("DEVICE_AUTH_") => ErrorKind::Unauthenticated,
            _ => ErrorKind::InvalidInput,
        },
    };
    let retry = match (error.retryable, error.retry_after_ms) {
        (Some(true), Some(pause)) => Retry::After(Duration::from_millis(pause)),
        (Some(true), None) => Retry::Backoff,
        _ => Retry::Never,
    };
    let code = detail(&error).map(str::to_owned);
    let mut ours = Error::new(kind, error.message.into_owned()).with_retry(retry);
    if let Some(code) = code {
        ours = ours.with("code", code);
    }
    if let Some(request) = error.details.as_ref().and_then(|details| details.get("requestId")) {
        ours = ours.with("request", request);
    }
    ours
}

fn detail(error: &WireError) -> Option<&str> {
    error.details.as_ref()?.get("code")?.as_str()
}

/// The parameters of a question.
fn question(session: &str, text: &str, key: &str) -> Value {
    json!({ "sessionKey": session, "message": text, "idempotencyKey": key, "deliver": false })
}
