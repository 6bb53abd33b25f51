//! A connection from `hello-ok` to its end.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_websockets::Message;

use super::{
    caller::{Caller, Who},
    methods::{self, Answer, Request},
    rates::Use,
    socket::{Socket, part},
    state::Server,
};
use crate::id::SessionKey;
use crate::protocol::{
    ConnectParams, DeviceId, RequestFrame, ResponseFrame, Role, TICK_INTERVAL, WireError, close,
};

/// Something that happened, encoded once for all who are told.
#[derive(Clone)]
pub(super) struct Event {
    /// The frame up to its number.
    head: Bytes,
}

impl Event {
    pub(super) fn new(name: &'static str, payload: &impl Serialize) -> Self {
        let payload = serde_json::to_string(payload).unwrap_or_else(|_| "null".to_owned());
        let head = format!(r#"{{"type":"event","event":"{name}","payload":{payload},"seq":"#);
        Self { head: head.into() }
    }

    fn numbered(&self, seq: u64) -> Message {
        let mut text = Vec::with_capacity(self.head.len() + 21);
        text.extend_from_slice(&self.head);
        text.extend_from_slice(seq.to_string().as_bytes());
        text.push(b'}');
        Message::text(Bytes::from(text))
    }
}

/// Why a socket is closed, and what is told before.
pub(super) struct Farewell {
    pub(super) code: u16,
    pub(super) reason: String,
    /// The answer to the request that caused it.
    pub(super) answer: Option<Box<(String, WireError)>>,
}

impl Farewell {
    pub(super) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), answer: None }
    }
}

/// What a client wants to hear of.
#[derive(Default)]
struct Follows {
    /// The list of sessions.
    sessions: bool,
    /// The messages of these.
    messages: HashSet<SessionKey>,
}

/// What waits to be sent.
enum Out {
    Answer(Bytes),
    Event(Event),
    /// This many events are lost to the client.
    Missed(u64),
}

pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) caller: Caller,
    /// The device that proved its key.
    pub(super) device: Option<DeviceId>,
    pub(super) params: ConnectParams,
    pub(super) since: i64,
    /// True if it hears only of the sessions that it named.
    scoped: bool,
    follows: Mutex<Follows>,
    most: usize,
    queued: AtomicUsize,
    out: mpsc::UnboundedSender<Out>,
    waiting: Mutex<Option<mpsc::UnboundedReceiver<Out>>>,
    closing: Mutex<Option<Farewell>>,
    is_closing: AtomicBool,
    close: Notify,
}

impl Connection {
    pub(super) fn new(
        server: &Server,
        id: String,
        caller: Caller,
        device: Option<DeviceId>,
        mut params: ConnectParams,
    ) -> Arc<Self> {
        // It is not needed any more.
        params.auth = None;
        let scoped = params.caps.iter().any(|cap| cap == "session-scoped-events");
        let (out, waiting) = mpsc::unbounded_channel();
        Arc::new(Self {
            number: server.next(),
            id,
            caller,
            device,
            params,
            since: server.now().as_millis(),
            scoped,
            follows: Mutex::default(),
            most: server.config.limits.buffered_bytes,
            queued: AtomicUsize::new(0),
            out,
            waiting: Mutex::new(Some(waiting)),
            closing: Mutex::new(None),
            is_closing: AtomicBool::new(false),
            close: Notify::new(),
        })
    }

    fn follows<T>(&self, look: impl FnOnce(&mut Follows) -> T) -> T {
        look(&mut self.follows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True if this token let it in.
    pub(super) fn by_token(&self, device: &DeviceId, role: Role) -> bool {
        let by_token = matches!(&self.caller.who, Who::Device(own) if own == device);
        by_token && self.caller.role == role
    }

    /// Whether the client hears what happens in this session: it does unless it wants to hear only of
    /// those that it named.
    pub(super) fn hears(&self, session: &SessionKey) -> bool {
        !self.scoped || self.follows(|follows| follows.messages.contains(session))
    }

    pub(super) fn follow(&self, session: SessionKey) -> bool {
        self.follows(|follows| {
            let room = follows.messages.len() < MAX_FOLLOWED || follows.messages.contains(&session);
            if room {
                follows.messages.insert(session);
            }
            room
        })
    }

    pub(super) fn unfollow(&self, session: &SessionKey) {
        self.follows(|follows| follows.messages.remove(session));
    }

    pub(super) fn follow_sessions(&self) {
        self.follows(|follows| follows.sessions = true);
    }

    pub(super) fn follows_sessions(&self) -> bool {
        self.follows(|follows| follows.sessions)
    }

    /// Sends an event after what waits.
    pub(super) fn send(&self, event: &Event) {
        self.push(event.head.len(), Out::Event(event.clone()));
    }

    /// Lets the client know that it missed events.
    pub(super) fn missed(&self, count: u64) {
        self.push(0, Out::Missed(count));
    }

    pub(super) fn answer(&self, id: &str, answer: Answer) {
        let frame = frame(id, answer);
        self.push(frame.len(), Out::Answer(frame));
    }

    fn push(&self, bytes: usize, out: Out) {
        if self.is_closing.load(Ordering::Relaxed) {
            return;
        }
        let before = self.queued.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.most {
            self.close(Farewell::new(close::POLICY, "slow consumer"));
            return;
        }
        // Fails only when the connection has ended.
        let _ = self.out.send(out);
    }

    /// Ends the connection, whatever it is doing.
    pub(super) fn close(&self, farewell: Farewell) {
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        closing.get_or_insert(farewell);
        self.is_closing.store(true, Ordering::Relaxed);
        self.close.notify_one();
    }
}

fn frame(id: &str, answer: Answer) -> Bytes {
    let text = match answer {
        Ok(payload) => {
            let id = serde_json::to_string(id).unwrap_or_default();
            format!(r#"{{"type":"res","id":{id},"ok":true,"payload":{}}}"#, payload.0)
        }
        Err(error) => {
            serde_json::to_string(&ResponseFrame::<()>::refused(id, error)).unwrap_or_default()
        }
    };
    text.into()
}

/// Takes the connection among those that are told what happens.
pub(super) fn enter(server: &Server, connection: &Arc<Connection>) {
    let mut all = server.connections.write().unwrap_or_else(PoisonError::into_inner);
    all.insert(connection.number, Arc::clone(connection));
    server.moved.notify_one();
}

pub(super) fn leave(server: &Server, connection: &Connection) {
    server.connections.write().unwrap_or_else(PoisonError::into_inner).remove(&connection.number);
    server.moved.notify_one();
}

/// Speaks with a client until it goes or has to.
pub(super) async fn run(server: &Arc<Server>, connection: &Arc<Connection>, mut socket: Socket) {
    let waiting = connection.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut waiting) = waiting {
        let mut work = JoinSet::new();
        let farewell = speak(server, connection, &mut socket, &mut waiting, &mut work).await;
        leave(server, connection);
        connection.is_closing.store(true, Ordering::Relaxed);
        // What it asked for and was not answered is not worked on any more.
        drop(work);
        if let Some(farewell) = farewell {
            part(&mut socket, farewell).await;
        }
    }
}

async fn speak(
    server: &Arc<Server>,
    connection: &Arc<Connection>,
    socket: &mut Socket,
    waiting: &mut mpsc::UnboundedReceiver<Out>,
    work: &mut JoinSet<()>,
) -> Option<Farewell> {
    // Made once: all connections register in the same list.
    let stopping = server.handle.hub.stopping.clone();
    let mut stopped = std::pin::pin!(stopping.cancelled());
    let mut seq = 0_u64;
    let mut heard = Instant::now();
    let mut ticks = tokio::time::interval_at(heard + TICK_INTERVAL, TICK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unauthorized = 0_u32;
    loop {
        tokio::select! {
            () = connection.close.notified() => {
                let mut closing = connection.closing.lock().unwrap_or_else(PoisonError::into_inner);
                return closing.take();
            }
            () = stopped.as_mut() => {
                return Some(Farewell::new(close::RESTART, "service restart"));
            }
            out = waiting.recv() => {
                let mut next = out;
                // What waits together is written together.
                while let Some(out) = next {
                    let message = match out {
                        Out::Answer(frame) => {
                            connection.queued.fetch_sub(frame.len(), Ordering::Relaxed);
                            Some(Message::text(frame))
                        }
                        Out::Event(event) => {
                            connection.queued.fetch_sub(event.head.len(), Ordering::Relaxed);
                            seq += 1;
                            Some(event.numbered(seq))
                        }
                        Out::Missed(count) => {
                            seq += count;
                            None
                        }
                    };
                    if let Some(message) = message
                        && let Err(ended) = write(server, connection, socket.feed(message)).await
                    {
                        return ended;
                    }
                    next = waiting.try_recv().ok();
                }
                if let Err(ended) = write(server, connection, socket.flush()).await {
                    return ended;
                }
            }
            message = socket.next() => {
                heard = Instant::now();
                let message = match message {
                    None => return None,
                    Some(Ok(message)) => message,
                    Some(Err(tokio_websockets::Error::PayloadTooLong { .. })) => {
                        return Some(Farewell::new(close::TOO_BIG, "message too big"));
                    }
                    Some(Err(_)) => {
                        // The library has said why.
                        let _ = write(server, connection, socket.flush()).await;
                        return None;
                    }
                };
                if message.is_binary() {
                    return Some(Farewell::new(close::UNSUPPORTED, "text frames are spoken here"));
                }
                let Some(text) = message.as_text().filter(|_| message.is_text()) else {
                    // A pong that is not taken is not followed by another.
                    if let Err(ended) = write(server, connection, socket.flush()).await {
                        return ended;
                    }
                    continue;
                };
                while work.try_join_next().is_some() {}
                if let Some(farewell) = serve(server, connection, text, work, &mut unauthorized) {
                    return Some(farewell);
                }
            }
            now = ticks.tick() => {
                if now.duration_since(heard) >= 2 * TICK_INTERVAL {
                    return Some(Farewell::new(close::POLICY, "no sign of life"));
                }
                connection.send(&Event::new("tick", &json!({ "ts": server.now().as_millis() })));
                if let Err(ended) = write(server, connection, socket.send(Message::ping(Bytes::new()))).await {
                    return ended;
                }
            }
        }
    }
}

/// Waits for a write, but not for ever, and not if the connection has to end.
async fn write(
    server: &Server,
    connection: &Connection,
    written: impl Future<Output = Result<(), tokio_websockets::Error>>,
) -> Result<(), Option<Farewell>> {
    tokio::select! {
        biased;
        written = written => written.map_err(|_| None),
        () = connection.close.notified() => {
            let mut closing = connection.closing.lock().unwrap_or_else(PoisonError::into_inner);
            Err(closing.take())
        }
        () = tokio::time::sleep(server.config.limits.stalled) => {
            Err(Some(Farewell::new(close::POLICY, "slow consumer")))
        }
    }
}

/// How many sessions a client can follow.
const MAX_FOLLOWED: usize = 1_000;
/// How often a connection may ask for what it may not before it is closed.
const MAX_UNAUTHORIZED: u32 = 10;

/// Takes a request: answers it, or begins to work on it.
fn serve(
    server: &Arc<Server>,
    connection: &Arc<Connection>,
    text: &str,
    work: &mut JoinSet<()>,
    unauthorized: &mut u32,
) -> Option<Farewell> {
    let frame = match RequestFrame::parse(text) {
        Ok(frame) => frame,
        Err(error) => return Some(Farewell::new(close::POLICY, error.message)),
    };
    let refuse = |error| connection.answer(&frame.id, Err(error));
    if frame.expected_profile_id.is_some() {
        let details = json!({ "reason": "EXPECTED_PROFILE_MISMATCH", "execution": "not_started" });
        refuse(WireError::invalid("there are no profiles here").with_details(details));
        return None;
    }
    let Some(method) = methods::find(&frame.method) else {
        refuse(WireError::invalid(format!("unknown method: {}", frame.method)));
        return None;
    };
    if let Err(error) = method.allows(&connection.caller) {
        refuse(error);
        *unauthorized += 1;
        if *unauthorized > MAX_UNAUTHORIZED {
            return Some(Farewell::new(close::POLICY, "repeated unauthorized calls"));
        }
        return None;
    }
    server.metrics.asked(method.name);
    if method.changes {
        let client = match &connection.device {
            Some(device) => device.to_string(),
            None => format!("{:?}", connection.caller.address),
        };
        let most = server.config.limits.changes_per_minute;
        if let Err(pause) = server.rates.take(Use::Method(method.name, client), most) {
            let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1);
            refuse(WireError::busy("this was asked too often within a minute; try later", pause));
            return None;
        }
    }
    let request =
        Request { server, connection, method: method.name, id: &frame.id, params: frame.params };
    match method.run {
        methods::Run::Now(run) => connection.answer(&frame.id, run(request)),
        methods::Run::Later(run) => {
            if work.len() >= server.config.limits.in_flight {
                refuse(WireError::busy(
                    "too many requests of this connection are being worked on",
                    500,
                ));
                return None;
            }
            match run(request) {
                Ok(future) => {
                    let (connection, id) = (Arc::clone(connection), frame.id.into_owned());
                    work.spawn(async move {
                        let answer = future.await;
                        connection.answer(&id, answer);
                    });
                }
                Err(error) => refuse(error),
            }
        }
    }
    None
}
