//! From an address to a gateway's greeting.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::value::{RawValue, to_raw_value};
use tokio::net::TcpStream;
use tokio_websockets::{
    ClientBuilder, Connector, Limits, MaybeTlsStream, Message, WebSocketStream,
};

use super::{CONNECT_TIMEOUT, ClientConfig, Roots, refused};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    protocol::{
        Challenge, ClientInfo, ClientMode, ConnectAuth, ConnectDevice, ConnectParams, DeviceId,
        EventFrame, HelloOk, MAX_FRAME_BYTES, PROTOCOL_VERSION, PROVE, ProveParams, ProveResult,
        RequestFrame, ResponseFrame, SIGNATURE_PREFIX, Transcript, decode, encode, is_signed,
    },
    secret::Secret,
};

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection that was greeted.
pub(super) struct Linked {
    pub(super) socket: Socket,
    pub(super) hello: HelloOk,
}

/// Connects within [`CONNECT_TIMEOUT`].
pub(super) async fn connect(config: &ClientConfig) -> Result<Linked> {
    match tokio::time::timeout(CONNECT_TIMEOUT, greet(config)).await {
        Ok(linked) => linked,
        Err(_) => Err(Error::new(ErrorKind::Timeout, "the gateway did not greet in time")),
    }
}

pub(super) async fn gateway_id(url: &str) -> Result<DeviceId> {
    let met = async {
        let mut socket = open(url, None).await?;
        let (challenge, _) = challenged(&mut socket).await?;
        key_of(&challenge).map(|key| DeviceId::of(&key))
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, met).await {
        Ok(met) => met,
        Err(_) => Err(Error::new(ErrorKind::Timeout, "the gateway did not answer in time")),
    }
}

async fn open(url: &str, roots: Option<&Roots>) -> Result<Socket> {
    let connector = match roots {
        Some(Roots(connector)) => Connector::Rustls(connector.clone()),
        None => Connector::Plain,
    };
    if url.starts_with("wss:") && roots.is_none() {
        return Err(Error::config(
            "a wss:// address needs to know whose certificates to believe; name them by \
             `ClientConfig::root_certificates`",
        ));
    }
    let builder = ClientBuilder::new()
        .uri(url)
        .map_err(|error| Error::wrap(ErrorKind::InvalidConfig, error).with("url", url))?
        .connector(&connector)
        .limits(Limits::default().max_payload_len(Some(MAX_FRAME_BYTES)));
    let (socket, _) = builder.connect().await.map_err(broken)?;
    Ok(socket)
}

fn broken(error: tokio_websockets::Error) -> Error {
    Error::wrap(ErrorKind::Unavailable, error)
}

/// The next text.
async fn text(socket: &mut Socket) -> Result<String> {
    loop {
        let message = match socket.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(broken(error)),
            None => return Err(Error::new(ErrorKind::Unavailable, "the gateway hung up")),
        };
        if let Some((code, reason)) = message.as_close() {
            let why = format!("the gateway closed the connection: {reason} ({})", u16::from(code));
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        if let Some(text) = message.as_text().filter(|_| message.is_text()) {
            return Ok(text.to_owned());
        }
    }
}

/// The challenge, and the frame that it came in.
async fn challenged(socket: &mut Socket) -> Result<(Challenge, String)> {
    let frame = text(socket).await?;
    let event: EventFrame<Challenge> = serde_json::from_str(&frame)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "what answers there is no gateway"))?;
    let challenge = event.payload.filter(|_| event.event == "connect.challenge");
    let challenge = challenge
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, "what answers there is no gateway"))?;
    Ok((challenge, frame))
}

fn key_of(challenge: &Challenge) -> Result<[u8; 32]> {
    let key = challenge.gateway.as_ref().and_then(|gateway| decode(&gateway.public_key));
    key.and_then(|key| key.try_into().ok()).ok_or_else(|| {
        Error::new(
            ErrorKind::Denied,
            "the gateway cannot prove who it is; nothing secret was sent. If it is one that cannot, \
             say so by `ClientConfig::without_proof`",
        )
    })
}

async fn greet(config: &ClientConfig) -> Result<Linked> {
    let mut socket = open(&config.url, config.roots.as_ref()).await?;
    let (challenge, frame) = challenged(&mut socket).await?;
    let proven = match &config.gateway {
        None => None,
        Some(expected) => Some(prove(config, expected, &mut socket, &challenge, &frame).await?),
    };
    let mut params = params(config);
    // Only now, when it is known who hears it.
    params.auth = config
        .token
        .clone()
        .map(|token| ConnectAuth { token: Some(token), ..ConnectAuth::default() });
    params.device = Some(match &proven {
        // The gateway's own clock is taken, so that a wrong one here locks nobody out.
        None => config.key.prove(&params, &challenge.nonce, crate::time::Timestamp(challenge.ts)),
        Some((transcript, proof)) => {
            let shown = config.token.as_ref().map_or("", Secret::expose);
            let message = transcript.for_device(proof, challenge.ts, shown);
            ConnectDevice {
                id: config.key.id().to_string(),
                public_key: encode(&config.key.public()),
                signature: format!("{SIGNATURE_PREFIX}{}", encode(&config.key.sign(&message))),
                signed_at: challenge.ts,
                nonce: challenge.nonce.clone(),
            }
        }
    });
    send(&mut socket, "connect", &raw(&params)?).await?;
    let answer: ResponseFrame<HelloOk> = read(&text(&mut socket).await?)?;
    match (answer.payload, answer.error) {
        (Some(hello), None) if hello.protocol == PROTOCOL_VERSION => Ok(Linked { socket, hello }),
        (_, Some(error)) => Err(refused(error)),
        _ => Err(Error::new(ErrorKind::InvalidData, "the gateway's greeting is none")),
    }
}

/// Has the gateway prove its key. Nothing secret has been sent when this fails.
async fn prove(
    config: &ClientConfig,
    expected: &DeviceId,
    socket: &mut Socket,
    challenge: &Challenge,
    frame: &str,
) -> Result<(Transcript, String)> {
    let key = key_of(challenge)?;
    let imposter = |why: String| Err(Error::new(ErrorKind::Denied, why).with_retry(Retry::Never));
    let met = DeviceId::of(&key);
    if met != *expected {
        return imposter(format!(
            "another gateway answers than the one that was expected: it has the key {met}, expected \
             was {expected}; nothing secret was sent"
        ));
    }
    let mut nonce = [0; 32];
    config.sources.entropy.fill(&mut nonce)?;
    let base = params(config);
    let asked = ProveParams {
        protocol: PROTOCOL_VERSION,
        public_key: encode(&config.key.public()),
        nonce: encode(&nonce),
        role: config.role.as_str().to_owned(),
        scopes: base.asked().to_vec(),
        client: base.client,
    };
    let sent = send(socket, PROVE, &raw(&asked)?).await?;
    let transcript = Transcript::new(&key, &challenge.nonce, asked, frame, &sent)?;
    let proof = text(socket).await?;
    let answer: ResponseFrame<ProveResult> = read(&proof)?;
    let signed = answer.payload.as_ref().is_some_and(|result| {
        decode(&result.public_key).is_some_and(|own| own == key)
            && is_signed(&key, &transcript.for_gateway(), &result.signature)
    });
    if !signed {
        return imposter(
            "what answers has not the gateway's key; nothing secret was sent".to_owned(),
        );
    }
    Ok((transcript, proof))
}

fn params(config: &ClientConfig) -> ConnectParams {
    ConnectParams {
        min_protocol: PROTOCOL_VERSION,
        max_protocol: PROTOCOL_VERSION,
        client: ClientInfo {
            id: "gateway-client".to_owned(),
            display_name: config.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build_id: None,
            platform: std::env::consts::OS.to_owned(),
            device_family: None,
            model_identifier: None,
            time_zone: None,
            mode: ClientMode::Backend,
            instance_id: None,
        },
        caps: Vec::new(),
        commands: Vec::new(),
        permissions: std::collections::BTreeMap::new(),
        computer_use: None,
        worker_runs: None,
        model_catalog: None,
        path_env: None,
        role: Some(config.role.as_str().to_owned()),
        scopes: Some(config.scopes.names().into_iter().map(str::to_owned).collect()),
        device: None,
        auth: None,
        locale: None,
        user_agent: Some(concat!("openclaw-core/", env!("CARGO_PKG_VERSION")).to_owned()),
    }
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>> {
    to_raw_value(value).map_err(|error| Error::wrap(ErrorKind::Internal, error))
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| {
        Error::new(ErrorKind::InvalidData, "the gateway's answer cannot be understood")
    })
}

/// Sends a request, and returns its frame.
async fn send(socket: &mut Socket, method: &str, params: &RawValue) -> Result<String> {
    let frame = serde_json::to_string(&RequestFrame::new(method, method, Some(params)))
        .map_err(|error| Error::wrap(ErrorKind::Internal, error))?;
    socket.send(Message::text(frame.clone())).await.map_err(broken)?;
    Ok(frame)
}
