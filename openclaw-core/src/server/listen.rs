//! A listener of our own, with the limits that only a listener can set.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::TaskTracker;

use super::{
    config::ServerConfig,
    half_open::{HalfOpen, Place},
    patience::Patience,
    routes,
    state::Server,
    tailscale::is_of_tailnet,
};
use crate::{
    error::{Error, ErrorKind, Result},
    gateway::Handle,
    time::Cancel,
};

/// How long [`Serving::stop`] waits for what is being answered.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How much longer than allowed a connection may take nothing of what is sent to it before it is cut.
const WRITE_GRACE: Duration = Duration::from_secs(2);
/// How long accepting rests when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Doors that are open. They close when this is dropped.
#[derive(Debug)]
#[must_use = "the doors close when it is dropped"]
pub struct Serving {
    address: SocketAddr,
    cancel: Cancel,
    tasks: TaskTracker,
}

impl Serving {
    /// Where they are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes nothing more, lets what is being answered go on for a short while, and closes all sockets.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        // A client that never ends its request does not hold up the stop.
        let _ = tokio::time::timeout(STOP_GRACE, self.tasks.wait()).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Opens the doors of the gateway behind `handle` on `listener`.
///
/// # Errors
/// The configuration cannot be used, or asks to be reached from other machines without TLS or a
/// trusted proxy; or the store cannot be read.
pub async fn serve(listener: TcpListener, handle: Handle, config: ServerConfig) -> Result<Serving> {
    let refused = |error| Error::wrap(ErrorKind::InvalidConfig, error);
    let address = listener.local_addr().map_err(refused)?;
    check_exposure(address, &config)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(refused)?;
    let server = Server::start(handle, config).await?;
    let cancel = server.handle.hub.stopping.child();
    let tasks = TaskTracker::new();
    let doors = Doors {
        router: routes::router(Arc::clone(&server)),
        server,
        cancel: cancel.clone(),
        tasks: tasks.clone(),
    };
    tasks.spawn(doors.accept(listener));
    Ok(Serving { address, cancel, tasks })
}

pub(super) fn check_exposure(address: SocketAddr, config: &ServerConfig) -> Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    if matches!(config.auth, super::Auth::None) {
        return Err(Error::config(format!(
            "doors without authentication do not open at {address}, where other machines could \
             reach them; set a token, or listen on 127.0.0.1"
        )));
    }
    // What goes through a tailnet cannot be read on the way.
    let in_tailnet = config.tailscale.is_some() && is_of_tailnet(&address.ip());
    if in_tailnet || config.tls.is_some() || !config.proxies.is_empty() || config.exposed {
        return Ok(());
    }
    Err(Error::config(format!(
        "doors at {address} could be reached by other machines, and what is said there be read on the \
         way; set up TLS or a trusted proxy, listen on 127.0.0.1, or say that it is to be so"
    )))
}

/// A place among the connections; free again when nobody holds it.
#[derive(Clone)]
pub(super) struct Held(#[expect(dead_code, reason = "it is only held")] Arc<OwnedSemaphorePermit>);

struct Doors {
    router: Router,
    server: Arc<Server>,
    cancel: Cancel,
    tasks: TaskTracker,
}

impl Doors {
    async fn accept(self, listener: tokio::net::TcpListener) {
        let places = Arc::new(Semaphore::new(self.server.config.limits.connections));
        let half_open = Arc::new(HalfOpen::default());
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Where there is no place it is closed at once, so that what waits costs nothing.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let held = Held(Arc::new(place));
            let _ = stream.set_nodelay(true);
            let router = self.router.clone();
            let (cancel, limits) = (self.cancel.clone(), self.server.config.limits);
            let tls = self.server.config.tls.as_ref().map(|tls| tls.acceptor());
            let waits = Arc::new(half_open.enter(limits.half_open));
            self.tasks.spawn(async move {
                let said = Arc::clone(&waits);
                let served = async {
                    match tls {
                        None => speak(stream, peer, router, &cancel, limits, said, held).await,
                        Some(tls) => {
                            let hello = tokio::time::timeout(limits.handshake, tls.accept(stream));
                            if let Ok(Ok(stream)) = hello.await {
                                // Beside the rest: few connections are encrypted here, and its state is large.
                                Box::pin(speak(stream, peer, router, &cancel, limits, said, held))
                                    .await;
                            }
                        }
                    }
                };
                tokio::select! {
                    biased;
                    () = served => {}
                    () = waits.told_to_go() => {}
                }
            });
        }
    }
}

/// Speaks HTTP on a connection until it ends or becomes a WebSocket.
async fn speak<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    cancel: &Cancel,
    limits: super::Limits,
    waits: Arc<Place>,
    held: Held,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        waits.over();
        request.extensions_mut().insert(held.clone());
        request.extensions_mut().insert(ConnectInfo(peer));
        hyper::service::Service::call(&service, request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_buf_size(limits.header_bytes.max(8 * 1024))
        .half_close(false);
    // Later than who writes to a socket would say so by itself.
    let stream = Patience::new(stream, limits.stalled + WRITE_GRACE);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        // What a client does wrong is the client's affair.
        _ = connection.as_mut() => return,
        () = cancel.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
