//! The server of a fake.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use super::faults::{Fault, Faults};
use crate::{
    error::{Error, ErrorKind, Result},
    http_client::{Body, HttpClient},
};

/// How long a request's body may be, in bytes. A longer one is answered with 413.
pub const MAX_BODY_BYTES: usize = 128 * 1024 * 1024;

/// How many requests a [`FakeService`] keeps, unless it is told otherwise.
pub const RECORDED: usize = 10_000;

/// What a fake answers. Its body may come piece by piece, or not end while the client listens.
pub type Answer = Response<Body>;

/// What a fake is.
///
/// It is a closure `async |request| answer`, or a type that also names its requests and words its
/// refusals. Requests are handled at the same time. When a client goes away, the future that
/// answers it is dropped, so a held request ends with its client.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers a request that was read whole.
    async fn call(&self, request: Request<Bytes>) -> Answer;

    /// What a request is called by [`Faults`] and [`Received`]: its path, unless the service has
    /// better names. A path that holds a secret needs one.
    fn name(&self, request: &Request<Bytes>) -> String {
        request.uri().path().to_owned()
    }

    /// How the service says that it did not do what was asked, for [`Fault::Status`],
    /// [`Fault::RateLimited`] and [`Fault::ThenStatus`]: without a body, unless it has better words.
    fn refuse(&self, _: &Request<Bytes>, status: StatusCode, retry_after: Option<u64>) -> Answer {
        let mut answer = answer(status.as_u16(), "text/plain", Bytes::new());
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        answer
    }
}

#[async_trait]
impl<F, A> Service for F
where
    F: Fn(Request<Bytes>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send,
{
    async fn call(&self, request: Request<Bytes>) -> Answer {
        self(request).await
    }
}

/// An answer of known length. A status that is none becomes 500.
pub fn answer(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let mut answer = Response::new(());
    *answer.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    answer.map(|()| stream::iter([Ok(body)]).boxed())
}

/// An answer in JSON.
pub fn json_answer(status: u16, body: &Value) -> Answer {
    answer(status, "application/json", body.to_string())
}

/// A request as it was received. Its `Debug` tells neither path nor headers nor body, which may hold
/// secrets.
#[derive(Clone)]
#[non_exhaustive]
pub struct Received {
    /// What the service calls it.
    pub name: String,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What went wrong with it.
    pub fault: Option<Fault>,
}

impl Received {
    /// The body as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's value, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("method", &self.method)
            .field("name", &self.name)
            .field("bytes", &self.body.len())
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// A fake that runs. It ends when it is dropped, and its connections with it.
pub struct FakeService {
    address: SocketAddr,
    shared: Arc<Shared>,
    faults: Faults,
    log: Arc<Log>,
    task: AbortHandle,
}

struct Log {
    state: Mutex<Records>,
    changed: watch::Sender<()>,
}

struct Records {
    kept: VecDeque<Received>,
    limit: usize,
    counts: HashMap<String, usize>,
}

struct Shared {
    service: Box<dyn Service>,
    faults: Faults,
    log: Arc<Log>,
}

impl FakeService {
    /// Runs the service on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(service: impl Service) -> Result<Self> {
        Self::start_on(0, service).await
    }

    /// Runs the service on this port of 127.0.0.1, as one that comes back after it was away.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the port is taken.
    pub async fn start_on(port: u16, service: impl Service) -> Result<Self> {
        let taken = |error| Error::wrap(ErrorKind::Conflict, error).with("port", port);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let records = Records { kept: VecDeque::new(), limit: RECORDED, counts: HashMap::new() };
        let log = Arc::new(Log { state: Mutex::new(records), changed: watch::Sender::new(()) });
        let faults = Faults::new();
        let shared = Arc::new(Shared {
            service: Box::new(service),
            faults: faults.clone(),
            log: log.clone(),
        });
        let task = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(Self { address, shared, faults, log, task })
    }

    /// Where it listens, as in `http://127.0.0.1:40000`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of it that needs no network, whatever address is asked for: where the clock is paused, a
    /// socket that waits would let it run on. A connection that a fault closes is an error that leaves open
    /// what happened.
    pub fn client(&self) -> Arc<dyn HttpClient> {
        Arc::new(InProcess(self.shared.clone()))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What will go wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The requests, oldest first, in the order in which they were read whole.
    pub fn received(&self) -> Vec<Received> {
        self.log.state().kept.iter().cloned().collect()
    }

    /// How many requests of this name came, also those that are not kept any more.
    pub fn count(&self, name: &str) -> usize {
        self.log.state().counts.get(name).copied().unwrap_or(0)
    }

    /// Waits until so many requests of this name came. Cancel safe.
    pub async fn wait_for(&self, name: &str, count: usize) {
        let mut changes = self.log.changed.subscribe();
        while self.count(name) < count {
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// Keeps only the newest `limit` requests, instead of [`RECORDED`]. 0 keeps none.
    pub fn record(&self, limit: usize) {
        let mut records = self.log.state();
        records.limit = limit;
        let surplus = records.kept.len().saturating_sub(limit);
        records.kept.drain(..surplus);
    }
}

impl Drop for FakeService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for FakeService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeService")
            .field("address", &self.address)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl Log {
    fn state(&self) -> MutexGuard<'_, Records> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, received: Received) {
        let mut records = self.state();
        *records.counts.entry(received.name.clone()).or_default() += 1;
        if records.limit > 0 {
            if records.kept.len() == records.limit {
                records.kept.pop_front();
            }
            records.kept.push_back(received);
        }
        drop(records);
        self.changed.send_replace(());
    }
}

/// Accepts until it is aborted; its connections end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        // What fails here is the connection that was to be accepted.
        if let Ok((socket, _)) = listener.accept().await {
            connections.spawn(connection(socket, shared.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(socket: TcpStream, shared: Arc<Shared>) {
    // Pieces of an answer are to arrive apart.
    let _ = socket.set_nodelay(true);
    let serve = service_fn(|request| handle(shared.clone(), request));
    // A connection that breaks, as faults ask for, concerns its client alone.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), serve).await;
}

type Wire = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>>>>;

/// An error closes the connection.
async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Wire>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return Ok(wire(answer(413, "text/plain", Bytes::new())));
    };
    respond(&shared, Request::from_parts(parts, body.to_bytes())).await.map(wire)
}

/// Answers a request as its fault says. An error closes the connection.
async fn respond(shared: &Shared, request: Request<Bytes>) -> Result<Answer> {
    let broken = || Error::new(ErrorKind::Unavailable, "closed by a fault");
    let service = &shared.service;
    let name = service.name(&request);
    let fault = shared.faults.take(&name);
    shared.log.add(Received {
        name,
        method: request.method().clone(),
        path: request.uri().to_string(),
        headers: request.headers().clone(),
        body: request.body().clone(),
        fault: fault.clone(),
    });
    let status = |status| StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let answer = match fault {
        None | Some(Fault::Pass) => service.call(request).await,
        Some(Fault::Drop) => return Err(broken()),
        Some(Fault::Hold) => std::future::pending().await,
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            service.call(request).await
        }
        Some(Fault::Status(code)) => service.refuse(&request, status(code), None),
        Some(Fault::RateLimited { retry_after }) => {
            service.refuse(&request, StatusCode::TOO_MANY_REQUESTS, Some(retry_after))
        }
        Some(Fault::Slow { bytes, pause }) => {
            service.call(request).await.map(|body| slowly(body, bytes.max(1), pause).boxed())
        }
        Some(Fault::Cut { after }) => {
            service.call(request).await.map(|body| cut(body, after).boxed())
        }
        Some(Fault::ThenStatus(code)) => {
            service.call(request.clone()).await;
            service.refuse(&request, status(code), None)
        }
        Some(Fault::ThenDrop) => {
            service.call(request).await;
            return Err(broken());
        }
    };
    Ok(answer)
}

/// Asks a fake as if it were a function.
struct InProcess(Arc<Shared>);

#[async_trait]
impl HttpClient for InProcess {
    async fn send(&self, request: Request<Bytes>) -> Result<Answer> {
        respond(&self.0, request).await
    }
}

fn wire(answer: Answer) -> Response<Wire> {
    answer.map(|body| StreamBody::new(body.map_ok(Frame::data).boxed()))
}

fn slowly(body: Body, bytes: usize, pause: Duration) -> impl Stream<Item = Result<Bytes>> {
    stream::unfold((body, Bytes::new()), move |(mut body, mut rest)| async move {
        while rest.is_empty() {
            match body.next().await? {
                Ok(more) => rest = more,
                Err(error) => return Some((Err(error), (body, rest))),
            }
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(bytes.min(rest.len()));
        Some((Ok(piece), (body, rest)))
    })
}

/// The first `after` bytes, and then an error, which closes the connection.
fn cut(body: Body, after: usize) -> impl Stream<Item = Result<Bytes>> {
    stream::unfold((body, after), |(mut body, left)| async move {
        if left > 0
            && let Some(Ok(mut piece)) = body.next().await
        {
            piece.truncate(left);
            let left = left - piece.len();
            return Some((Ok(piece), (body, left)));
        }
        // The server sends what it has when the body pauses, not when it fails.
        tokio::task::yield_now().await;
        Some((Err(Error::new(ErrorKind::Unavailable, "cut by a fault")), (body, 0)))
    })
}
