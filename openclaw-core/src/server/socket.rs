//! A WebSocket from the upgrade to `hello-ok`.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::json;
use tokio_websockets::{CloseCode, Config, Limits, Message, ServerBuilder, WebSocketStream};

use super::{
    admission::{Admitted, Proof, Turned, admit},
    body,
    caller::Caller,
    connection::{self, Connection, Farewell},
    guard,
    guard::Origin,
    health,
    listen::Held,
    methods,
    state::{Place, Server},
};
use crate::protocol::{
    CLIENT_IDS, Challenge, ClientMode, ConnectParams, EventFrame, Features, GatewayIdentity,
    HelloAuth, HelloOk, MAX_UNAUTHENTICATED_BYTES, MIN_PROBE_VERSION, MUTUAL_AUTH,
    PROTOCOL_VERSION, PROVE, Policy, ProveParams, RequestFrame, ResponseFrame, Role, ServerInfo,
    Snapshot, StateVersion, TICK_INTERVAL, WireError, answer_proof, close, encode, parse_params,
    read_proof,
};
use crate::{secret::Secret, time::Timestamp};

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How many frames a client may send before its `connect`: pings.
const MAX_EARLY_FRAMES: usize = 8;
/// How long a client may take to hear why it is closed.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Opens a socket, or says that there is nothing here.
pub(super) async fn open(server: Arc<Server>, mut request: Request) -> Response {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    // A socket is a connection as long as it lasts.
    let held = request.extensions_mut().remove::<Held>();
    let (parts, _) = request.into_parts();
    let key = parts.headers.get(header::SEC_WEBSOCKET_KEY);
    let (Some(upgrade), Some(key), true) = (upgrade, key, is_upgrade(&parts.headers)) else {
        return body::refuse(StatusCode::NOT_FOUND, "there is nothing here");
    };
    if parts.method != http::Method::GET {
        return body::refuse(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened by GET");
    }
    let origin = Origin::of(&parts, &server.config);
    if let Err((status, why)) = guard::check(&parts.headers, &server.config) {
        return body::refuse(status, why);
    }
    if parts.headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut response = body::refuse(StatusCode::UPGRADE_REQUIRED, "version 13 is spoken here");
        let version = HeaderValue::from_static("13");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, version);
        return response;
    }
    let Some(place) = server.place(origin.address) else {
        let why = "too many sockets have not said who they are; try later";
        return body::refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let accept = accept_key(key.as_bytes());
    let hub = Arc::clone(&server.handle.hub);
    let stopping = hub.stopping.clone();
    // Beside the tasks that the gateway waits for: a client does not hold up its shutdown.
    tokio::spawn(async move {
        let serving = async {
            if let Ok(upgraded) = upgrade.await {
                attend(server, parts.headers, origin, place, upgraded).await;
            }
        };
        tokio::select! {
            biased;
            () = Box::pin(serving) => {}
            () = async { stopping.cancelled().await; tokio::time::sleep(2 * CLOSE_GRACE).await } => {}
        }
        drop(held);
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(word)))
    };
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket")
}

/// What RFC 6455 asks a server to answer to a client's key.
fn accept_key(key: &[u8]) -> HeaderValue {
    let mut digest = sha1_smol::Sha1::from(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let text = STANDARD.encode(digest.digest().bytes());
    // Base64 is always a header's value.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn refusing(code: u16, id: &str, error: WireError) -> Farewell {
    let reason = error.message.to_string();
    Farewell { code, reason, answer: Some(Box::new((id.to_owned(), error))) }
}

async fn attend(
    server: Arc<Server>,
    headers: HeaderMap,
    mut origin: Origin,
    place: Place,
    upgraded: Upgraded,
) {
    server.identify(&mut origin).await;
    let limits = Limits::default().max_payload_len(Some(MAX_UNAUTHENTICATED_BYTES));
    let mut socket: Socket =
        ServerBuilder::new().limits(limits).config(Config::default()).serve(TokioIo::new(upgraded));
    let handshake = handshake(&server, &mut socket, &headers, &origin);
    let greeted = match tokio::time::timeout(server.config.limits.handshake, handshake).await {
        Ok(greeted) => greeted,
        Err(_) => Err(Some(Farewell::new(close::POLICY, "connect timeout"))),
    };
    drop((place, headers));
    let connection = match greeted {
        Ok(connection) => connection,
        Err(None) => return,
        Err(Some(farewell)) => return part(&mut socket, farewell).await,
    };
    socket.limits_mut().set_max_payload_len(Some(server.config.limits.frame_bytes));
    connection::run(&server, &connection, socket).await;
}

/// Says why, and closes.
pub(super) async fn part(socket: &mut Socket, farewell: Farewell) {
    let closing = async {
        if let Some(refused) = farewell.answer {
            let (id, error) = *refused;
            let answer = ResponseFrame::<()>::refused(id, error);
            let _ = socket.send(text(&answer)).await;
        }
        let code = CloseCode::try_from(farewell.code).unwrap_or(CloseCode::POLICY_VIOLATION);
        let _ = socket.send(Message::close(Some(code), cut(&farewell.reason))).await;
        // What the client still sends is read and dropped, so that it hears the close before a reset.
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = tokio::time::timeout(CLOSE_GRACE, closing).await;
}

/// The first 123 bytes: more does not fit into a close frame.
fn cut(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(123)).unwrap_or_default()
}

fn text(frame: &impl Serialize) -> Message {
    Message::text(encoded(frame))
}

fn encoded(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).unwrap_or_default()
}

/// What a client asks who wants the gateway to prove its key first.
fn asks_for_proof(frame: &Message) -> Result<Option<(String, ProveParams)>, Option<Farewell>> {
    let request = RequestFrame::parse(frame.as_text().unwrap_or_default())
        .map_err(|error| Some(Farewell::new(close::POLICY, error.message)))?;
    if request.method != PROVE {
        return Ok(None);
    }
    let params = read_proof(request.params)
        .map_err(|error| Some(refusing(close::POLICY, &request.id, error)))?;
    Ok(Some((request.id.into_owned(), params)))
}

fn prove(
    server: &Server,
    nonce: &str,
    challenge: &str,
    frame: &Message,
    (id, params): (String, ProveParams),
) -> Result<Proof, Option<Farewell>> {
    let asked = frame.as_text().unwrap_or_default();
    let (transcript, result) = answer_proof(&server.key, nonce, params, challenge, asked)
        .map_err(|error| Some(refusing(close::POLICY, &id, error.into())))?;
    Ok(Proof { transcript, frame: encoded(&ResponseFrame::done(id, result)) })
}

/// `Err(None)`: the client is gone, or was told already.
async fn handshake(
    server: &Arc<Server>,
    socket: &mut Socket,
    headers: &HeaderMap,
    origin: &Origin,
) -> Result<Arc<Connection>, Option<Farewell>> {
    let internal = |_| Some(Farewell::new(close::INTERNAL, "internal error"));
    let nonce = server.fresh().map_err(internal)?;
    let challenge = Challenge {
        nonce: nonce.clone(),
        ts: server.now().as_millis(),
        capabilities: vec![MUTUAL_AUTH.to_owned()],
        gateway: Some(GatewayIdentity { public_key: encode(&server.key.public()) }),
    };
    let challenge = encoded(&EventFrame::new("connect.challenge", challenge));
    socket.send(Message::text(challenge.clone())).await.map_err(|_| None)?;
    let mut frame = first(socket).await?;
    let mut proof = None;
    if let Some(asked) = asks_for_proof(&frame)? {
        let given = prove(server, &nonce, &challenge, &frame, asked)?;
        socket.send(Message::text(given.frame.clone())).await.map_err(|_| None)?;
        proof = Some(given);
        frame = first(socket).await?;
    }
    let request = RequestFrame::parse(frame.as_text().unwrap_or_default())
        .map_err(|error| Some(Farewell::new(close::POLICY, error.message)))?;
    let refuse = |code, error| Some(refusing(code, &request.id, error));
    if request.method != "connect" {
        let why = "invalid handshake: first request must be connect";
        return Err(refuse(close::POLICY, WireError::invalid(why)));
    }
    let params: ConnectParams =
        parse_params("connect", request.params).map_err(|error| refuse(close::POLICY, error))?;
    let role = check(&params).map_err(|(code, error)| refuse(code, error))?;
    let admitted = admit(server, &params, role, &nonce, proof.as_ref(), headers, origin).await;
    let admitted = admitted.map_err(|Turned { code, reason, error }| {
        let mut farewell = refusing(code, &request.id, error);
        if let Some(reason) = reason {
            farewell.reason = reason;
        }
        Some(farewell)
    })?;
    let Admitted { who, role, scopes, device, token } = admitted;
    let connection_id = server.fresh().map_err(internal)?;
    let caller = Caller::new(who, role, scopes, origin);
    let connection = Connection::new(server, connection_id, caller, device, params);
    let hello = hello(server, &connection, token);
    // Known before it is greeted, so that nothing that happens after is missed.
    connection::enter(server, &connection);
    let greeting = text(&ResponseFrame::done(request.id.into_owned(), hello));
    if socket.send(greeting).await.is_err() {
        connection::leave(server, &connection);
        return Err(None);
    }
    Ok(connection)
}

/// The client's first text.
async fn first(socket: &mut Socket) -> Result<Message, Option<Farewell>> {
    for _ in 0..MAX_EARLY_FRAMES {
        match socket.next().await {
            None => return Err(None),
            Some(Err(tokio_websockets::Error::PayloadTooLong { .. })) => {
                return Err(Some(Farewell::new(close::TOO_BIG, "message too big")));
            }
            // The library has said why.
            Some(Err(_)) => {
                let _ = tokio::time::timeout(CLOSE_GRACE, socket.flush()).await;
                return Err(None);
            }
            Some(Ok(message)) if message.is_text() => return Ok(message),
            Some(Ok(message)) if message.is_binary() => {
                return Err(Some(Farewell::new(close::UNSUPPORTED, "text frames are spoken here")));
            }
            Some(Ok(_)) => {}
        }
    }
    Err(Some(Farewell::new(close::POLICY, "connect was expected")))
}

/// What can be told of `connect` without knowing who it is.
fn check(params: &ConnectParams) -> Result<Role, (u16, WireError)> {
    let invalid =
        |why: &str| (close::POLICY, WireError::invalid(format!("invalid connect params: {why}")));
    let lowest = match params.client.mode {
        ClientMode::Probe => MIN_PROBE_VERSION,
        _ => PROTOCOL_VERSION,
    };
    let spoken = params.min_protocol <= params.max_protocol
        && params.max_protocol >= lowest
        && params.min_protocol <= PROTOCOL_VERSION;
    if !spoken {
        let details = json!({
            "code": "PROTOCOL_MISMATCH",
            "clientMinProtocol": params.min_protocol,
            "clientMaxProtocol": params.max_protocol,
            "expectedProtocol": PROTOCOL_VERSION,
            "minimumProbeProtocol": MIN_PROBE_VERSION,
        });
        let error = WireError::invalid("protocol mismatch").with_details(details);
        return Err((close::PROTOCOL, error));
    }
    if !CLIENT_IDS.contains(&params.client.id.as_str()) {
        return Err(invalid("at /client/id: must be a known client"));
    }
    let client = &params.client;
    let blank = [
        Some(&client.version),
        Some(&client.platform),
        client.display_name.as_ref(),
        client.build_id.as_ref(),
        client.device_family.as_ref(),
        client.model_identifier.as_ref(),
        client.time_zone.as_ref(),
        client.instance_id.as_ref(),
        params.role.as_ref(),
    ];
    if blank.into_iter().flatten().any(|text| text.is_empty() || text.len() > 512) {
        return Err(invalid("a text is empty or has more than 512 bytes"));
    }
    let lists = [params.caps.as_slice(), &params.commands, params.asked()];
    if lists.iter().any(|list| list.len() > 512 || list.iter().any(String::is_empty)) {
        return Err(invalid("a list has an empty text or more than 512"));
    }
    params.role().ok_or_else(|| invalid("at /role: must be operator or node"))
}

fn hello(server: &Server, connection: &Connection, token: Option<(Secret, Timestamp)>) -> HelloOk {
    let (device_token, issued_at_ms) = token.map(|(token, at)| (token, at.as_millis())).unzip();
    let Caller { role, scopes, .. } = connection.caller;
    let limits = &server.config.limits;
    let snapshot = Snapshot {
        presence: methods::status::everybody(server),
        health: health::snapshot(server),
        state_version: StateVersion::default(),
        uptime_ms: u64::try_from(server.now().since(server.started).as_millis()).unwrap_or(0),
    };
    HelloOk {
        protocol: PROTOCOL_VERSION,
        server: ServerInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build_id: None,
            boot_id: Some(server.boot_id.clone()),
            conn_id: connection.id.clone(),
        },
        features: Features {
            methods: methods::names(),
            events: methods::EVENTS.iter().map(|name| (*name).to_owned()).collect(),
            capabilities: vec![MUTUAL_AUTH.to_owned()],
        },
        snapshot: serde_json::to_value(snapshot).unwrap_or_default(),
        auth: HelloAuth { role, scopes, device_token, issued_at_ms },
        policy: Policy {
            max_payload: limits.frame_bytes,
            max_buffered_bytes: limits.buffered_bytes,
            tick_interval_ms: u64::try_from(TICK_INTERVAL.as_millis()).unwrap_or(u64::MAX),
        },
    }
}
