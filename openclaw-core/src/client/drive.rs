//! The task that keeps a client's connection up.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, value::to_raw_value};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::Instant,
};
use tokio_websockets::Message;

use super::{
    ClientConfig, ClientEvent, FIRST_PAUSE, MAX_PAUSE,
    link::{self, Linked},
    refused,
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    protocol::{HelloOk, RequestFrame, WireError},
    time::Cancel,
};

/// Something to ask.
pub(super) struct Command {
    pub(super) method: String,
    pub(super) params: Value,
    pub(super) reply: Reply,
}

/// Where an answer goes.
pub(super) enum Reply {
    Once(oneshot::Sender<Result<Value>>),
    /// One answer says that it was accepted, another how it ended.
    Twice(mpsc::UnboundedSender<Result<Value>>),
}

pub(super) struct Driver {
    pub(super) config: ClientConfig,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: broadcast::Sender<ClientEvent>,
    pub(super) hello: watch::Sender<Option<Arc<HelloOk>>>,
    pub(super) cancel: Cancel,
}

/// A frame that a gateway sends, as far as it is read.
#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    ok: Option<bool>,
    payload: Option<Value>,
    error: Option<WireError>,
    event: Option<String>,
    seq: Option<u64>,
}

impl Driver {
    pub(super) async fn run(mut self, linked: Linked) {
        let mut linked = Some(linked);
        let mut pause = FIRST_PAUSE;
        while !self.cancel.is_cancelled() {
            if let Some(link) = linked.take() {
                let began = Instant::now();
                self.speak(link).await;
                self.hello.send_replace(None);
                // Nobody need be listening.
                let _ = self.events.send(ClientEvent::Disconnected);
                if began.elapsed() > MAX_PAUSE {
                    pause = FIRST_PAUSE;
                }
            }
            if !self.rest(pause).await {
                return;
            }
            pause = (pause * 2).min(MAX_PAUSE);
            match link::connect(&self.config).await {
                Ok(link) => {
                    let hello = Arc::new(link.hello.clone());
                    self.hello.send_replace(Some(Arc::clone(&hello)));
                    let _ = self.events.send(ClientEvent::Connected(hello));
                    linked = Some(link);
                }
                Err(error)
                    if error.retry() == Retry::Never && error.kind() != ErrorKind::InvalidData =>
                {
                    tracing::error!(error = ?error, "the gateway lets this client no longer in");
                    return;
                }
                Err(error) => tracing::warn!(error = ?error, ?pause, "the gateway was not reached"),
            }
        }
    }

    /// Waits, and refuses what is asked meanwhile; false if the client is gone. Pauses differ a
    /// little, so that clients that were parted from together do not come back together.
    async fn rest(&mut self, pause: Duration) -> bool {
        let mut byte = [0_u8];
        let _ = self.config.sources.entropy.fill(&mut byte);
        let pause = pause.mul_f64(0.75 + f64::from(byte[0]) / 510.0);
        let until = tokio::time::sleep(pause);
        tokio::pin!(until);
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return false,
                () = &mut until => return true,
                command = self.commands.recv() => {
                    let Some(command) = command else { return false };
                    let error = Error::new(ErrorKind::Unavailable, "there is no connection to the gateway");
                    settle(command.reply, Err(error));
                }
            }
        }
    }

    /// Speaks with the gateway until the connection ends. Those who wait for an answer then learn that
    /// there will be none, by the end of what they listen to.
    async fn speak(&mut self, linked: Linked) {
        let Linked { mut socket, hello } = linked;
        let silence = Duration::from_millis(hello.policy.tick_interval_ms.max(1_000)) * 2;
        let mut waiting: HashMap<String, Reply> = HashMap::new();
        let (mut next, mut seq) = (0_u64, 0_u64);
        loop {
            let message = tokio::select! {
                biased;
                () = self.cancel.cancelled() => {
                    let _ = socket.close().await;
                    break;
                }
                command = self.commands.recv() => {
                    let Some(Command { method, params, reply }) = command else { break };
                    next += 1;
                    let id = next.to_string();
                    let Ok(params) = to_raw_value(&params) else { continue };
                    let frame = RequestFrame::new(&id, &method, Some(&params));
                    let Ok(frame) = serde_json::to_string(&frame) else { continue };
                    waiting.insert(id, reply);
                    if socket.send(Message::text(Bytes::from(frame))).await.is_err() {
                        break;
                    }
                    continue;
                }
                message = tokio::time::timeout(silence, socket.next()) => message,
            };
            let Ok(Some(Ok(message))) = message else { break };
            let Some(text) = message.as_text().filter(|_| message.is_text()) else {
                if message.is_ping() && socket.flush().await.is_err() {
                    break;
                }
                continue;
            };
            let Ok(frame) = serde_json::from_str::<Frame>(text) else { break };
            match frame.kind.as_str() {
                "res" => answered(&mut waiting, frame),
                "event" => {
                    if let Some(number) = frame.seq {
                        if number > seq + 1 {
                            let _ = self.events.send(ClientEvent::Gap);
                        }
                        seq = seq.max(number);
                    }
                    let name = frame.event.unwrap_or_default();
                    let payload = Arc::new(frame.payload.unwrap_or_default());
                    let _ = self.events.send(ClientEvent::Event { name, payload });
                }
                _ => break,
            }
        }
    }
}

fn answered(waiting: &mut HashMap<String, Reply>, frame: Frame) {
    let Some(id) = frame.id else { return };
    let answer = match (frame.ok, frame.error) {
        (Some(true), _) => Ok(frame.payload.unwrap_or_default()),
        (_, Some(error)) => Err(refused(error)),
        _ => Err(Error::new(ErrorKind::InvalidData, "the gateway's answer cannot be understood")),
    };
    let accepted = answer
        .as_ref()
        .is_ok_and(|payload| payload.get("status").is_some_and(|status| status == "accepted"));
    match waiting.remove(&id) {
        Some(Reply::Twice(sender)) if accepted => {
            let _ = sender.send(answer);
            waiting.insert(id, Reply::Twice(sender));
        }
        Some(reply) => settle(reply, answer),
        None => {}
    }
}

/// Whoever asked may have stopped waiting.
fn settle(reply: Reply, answer: Result<Value>) {
    match reply {
        Reply::Once(sender) => drop(sender.send(answer)),
        Reply::Twice(sender) => drop(sender.send(answer)),
    }
}
