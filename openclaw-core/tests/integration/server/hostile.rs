//! Frames that no well-behaved client sends, at the real door.

use std::time::Duration;

use openclaw_core::{
    server::{Limits, ServerConfig},
    testing::{Scripted, Step},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::kit::{Doors, TOKEN};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A socket whose frames are written by hand.
struct Raw(TcpStream);

/// A frame as the gateway sent it.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Text(String),
    Pong(Vec<u8>),
    Closed(u16),
    Gone,
}

impl Raw {
    /// A socket that has heard its challenge.
    async fn open(doors: &Doors) -> Self {
        let mut stream = TcpStream::connect(doors.address()).await.unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            doors.address()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 101"), "{answer}");
        assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
        assert!(!answer.contains("sec-websocket-extensions"), "compression is not spoken");
        let mut raw = Self(stream);
        assert!(matches!(raw.hear().await, Heard::Text(_)));
        raw
    }

    /// Sends a frame: its first byte, and its payload.
    async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        // The gateway may have hung up already.
        let _ = self.0.write_all(&frame).await;
    }

    async fn hear(&mut self) -> Heard {
        let Ok(first) = self.0.read_u8().await else { return Heard::Gone };
        let Ok(second) = self.0.read_u8().await else { return Heard::Gone };
        let length = match second {
            126 => usize::from(self.0.read_u16().await.unwrap()),
            127 => usize::try_from(self.0.read_u64().await.unwrap()).unwrap(),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.unwrap();
        match first & 0x0f {
            CLOSE => Heard::Closed(u16::from_be_bytes([payload[0], payload[1]])),
            PONG => Heard::Pong(payload),
            _ => Heard::Text(String::from_utf8(payload).unwrap()),
        }
    }

    /// How the gateway parted from it.
    async fn closed(&mut self) -> u16 {
        loop {
            match self.hear().await {
                Heard::Closed(code) => return code,
                Heard::Gone => panic!("it was not told why"),
                _ => {}
            }
        }
    }
}

fn connect() -> Vec<u8> {
    json!({
        "type": "req", "id": "1", "method": "connect", "params": {
            "minProtocol": 4, "maxProtocol": 4,
            "client": {"id": "cli", "version": "1", "platform": "é", "mode": "cli"},
            "scopes": ["operator.read"], "auth": {"token": TOKEN},
        },
    })
    .to_string()
    .into_bytes()
}

#[tokio::test]
async fn fragments_are_joined_and_pings_between_them_are_answered() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let mut raw = Raw::open(&doors).await;
    let text = connect();
    // In the midst of a character.
    let (first, rest) = text.split_at(text.iter().position(|byte| *byte == 0xa9).unwrap());
    raw.send(TEXT, first).await;
    raw.send(0x80 | PING, b"there?").await;
    raw.send(0x80, rest).await;
    assert_eq!(raw.hear().await, Heard::Pong(b"there?".to_vec()));
    let Heard::Text(hello) = raw.hear().await else { panic!("no greeting") };
    let hello: Value = serde_json::from_str(&hello).unwrap();
    assert_eq!(hello["payload"]["type"], "hello-ok");
}

#[tokio::test]
async fn what_breaks_the_rules_is_closed_with_the_code_for_it() {
    let doors = Doors::open(ServerConfig::token(TOKEN)).await;
    let large = vec![b' '; 64 * 1024 + 1];
    let half = &large[..40 * 1024];
    type Frames<'a> = &'a [(u8, &'a [u8])];
    let cases: [(&str, Frames<'_>, u16); 13] = [
        ("binary", &[(0x80 | BINARY, b"{}")], 1003),
        ("one byte too many", &[(0x80 | TEXT, &large)], 1009),
        ("too many in fragments", &[(TEXT, half), (0x80, half)], 1009),
        ("a reserved bit", &[(0xc0 | TEXT, b"{}")], 1002),
        ("another reserved bit", &[(0x90 | TEXT, b"{}")], 1002),
        ("an unknown opcode", &[(0x80 | 3, b"")], 1002),
        ("a fragment of nothing", &[(0x80, b"{}")], 1002),
        ("a text within a text", &[(TEXT, b"{"), (0x80 | TEXT, b"}")], 1002),
        ("a ping in fragments", &[(PING, b"x")], 1002),
        ("a large ping", &[(0x80 | PING, &large[..126])], 1002),
        ("bad UTF-8", &[(0x80 | TEXT, b"\xff")], 1007),
        ("bad UTF-8, split", &[(TEXT, b"\xf0\x9f"), (0x80, b"\x28")], 1007),
        ("no JSON", &[(0x80 | TEXT, b"hello")], 1008),
    ];
    for (what, frames, code) in cases {
        let mut raw = Raw::open(&doors).await;
        for (first, payload) in frames {
            raw.send(*first, payload).await;
        }
        assert_eq!(raw.closed().await, code, "{what}");
    }
    // Not masked.
    let mut raw = Raw::open(&doors).await;
    raw.0.write_all(&[0x80 | TEXT, 2, b'{', b'}']).await.unwrap();
    assert_eq!(raw.closed().await, 1002);
    // As large as it may be, and no request.
    let mut raw = Raw::open(&doors).await;
    raw.send(0x80 | TEXT, &large[1..]).await;
    assert_eq!(raw.closed().await, 1008);
    // Nothing but pings.
    let mut raw = Raw::open(&doors).await;
    for _ in 0..16 {
        raw.send(0x80 | PING, b"").await;
    }
    assert_eq!(raw.closed().await, 1008);
    // An open bracket for each byte.
    let mut raw = Raw::open(&doors).await;
    let deep =
        format!(r#"{{"type":"req","id":"1","method":"connect","params":{}"#, "[".repeat(60_000));
    raw.send(0x80 | TEXT, deep.as_bytes()).await;
    assert_eq!(raw.closed().await, 1008);
}

#[tokio::test]
async fn after_authentication_a_frame_may_be_larger_and_its_limit_is_held() {
    let mut limits = Limits::default();
    limits.frame_bytes = 100_000;
    let doors = Doors::open(ServerConfig::token(TOKEN).limits(limits)).await;
    for (length, closed) in [(90_000, false), (100_001, true)] {
        let mut raw = Raw::open(&doors).await;
        raw.send(0x80 | TEXT, &connect()).await;
        assert!(matches!(raw.hear().await, Heard::Text(_)));
        let padding = " ".repeat(length - 60);
        let request =
            format!(r#"{{"type":"req","id":"2","method":"health","params":{{}}{padding}}}"#);
        let mut request = request.into_bytes();
        request.resize(length, b' ');
        raw.send(0x80 | TEXT, &request).await;
        if closed {
            assert_eq!(raw.closed().await, 1009);
        } else {
            assert!(matches!(raw.hear().await, Heard::Text(_)));
        }
    }
}

#[tokio::test]
async fn h08_who_does_not_say_who_they_are_is_parted_from() {
    let mut limits = Limits::default();
    limits.handshake = Duration::from_millis(50);
    limits.unauthenticated_per_address = 4;
    let doors = Doors::open(ServerConfig::token(TOKEN).limits(limits)).await;
    let mut silent = Raw::open(&doors).await;
    assert_eq!(silent.closed().await, 1008);
    // Headers that never end.
    let mut slow = TcpStream::connect(doors.address()).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
    // Headers that are too many.
    let many = "X: y\r\n".repeat(20_000);
    let answer = doors.raw(&format!("GET /health HTTP/1.1\r\nHost: x\r\n{many}\r\n")).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn only_some_may_wait_to_say_who_they_are() {
    let mut limits = Limits::default();
    limits.unauthenticated_per_address = 4;
    let doors = Doors::open(ServerConfig::token(TOKEN).limits(limits)).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(Raw::open(&doors).await);
    }
    assert_eq!(doors.upgrade(&[]).await, 503);
    waiting.pop();
    // Its place is free once the gateway has seen that it is gone.
    let mut status = 503;
    while status == 503 {
        tokio::task::yield_now().await;
        status = doors.upgrade(&[]).await;
    }
    assert_eq!(status, 101);
}

#[tokio::test]
async fn more_connections_than_there_are_places_are_closed_at_once() {
    let mut limits = Limits::default();
    limits.connections = 8;
    let doors = Doors::open(ServerConfig::token(TOKEN).limits(limits)).await;
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(TcpStream::connect(doors.address()).await.unwrap());
    }
    let mut closed = 0;
    for stream in &mut open[8..] {
        let mut byte = [0];
        closed += usize::from(matches!(stream.read(&mut byte).await, Ok(0) | Err(_)));
    }
    assert_eq!(closed, 192);
    drop(open);
    let mut status = 0;
    while status != 200 {
        tokio::task::yield_now().await;
        status = doors.status("GET", "/health", &[]).await;
    }
}

#[tokio::test]
async fn the_oldest_of_too_many_that_say_nothing_is_closed() {
    let mut limits = Limits::default();
    limits.half_open = 4;
    // Longer than this test may take.
    limits.handshake = Duration::from_secs(600);
    let doors = Doors::open(ServerConfig::token(TOKEN).limits(limits)).await;
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(doors.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
        open.push(stream);
    }
    for stream in &mut open[..96] {
        let mut byte = [0];
        assert!(matches!(stream.read(&mut byte).await, Ok(0) | Err(_)));
    }
    // Who says what they want is answered, and those that did are no longer counted.
    for _ in 0..8 {
        assert_eq!(doors.status("GET", "/health", &[]).await, 200);
    }
    let mut client = doors.client(&["operator.read"]).await;
    for _ in 0..8 {
        open.push(TcpStream::connect(doors.address()).await.unwrap());
    }
    assert_eq!(client.request("health", json!({})).await["ok"], true);
}

#[tokio::test]
async fn a_socket_is_a_connection_as_long_as_it_lasts() {
    let mut limits = Limits::default();
    limits.connections = 2;
    let doors = Doors::open(ServerConfig::token(TOKEN).limits(limits)).await;
    let first = doors.client(&["operator.read"]).await;
    let second = doors.client(&["operator.read"]).await;
    let mut third = TcpStream::connect(doors.address()).await.unwrap();
    let mut byte = [0];
    assert!(matches!(third.read(&mut byte).await, Ok(0) | Err(_)));
    drop(first);
    let mut status = 0;
    while status != 200 {
        tokio::task::yield_now().await;
        status = doors.status("GET", "/health", &[]).await;
    }
    drop(second);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_parted_from_and_holds_up_nobody() {
    let mut limits = Limits::default();
    limits.buffered_bytes = 4 * 1024 * 1024;
    let talkative = Scripted::from_fn(|_| Ok(Step::text("x".repeat(100_000))));
    let doors = Doors::with(talkative, ServerConfig::token(TOKEN).limits(limits)).await;
    let mut deaf = Raw::open(&doors).await;
    deaf.send(0x80 | TEXT, &connect()).await;
    assert!(matches!(deaf.hear().await, Heard::Text(_)));
    let mut client = doors.client(&["operator.admin"]).await;
    let mut here = 2;
    let mut run = 0;
    while here > 1 {
        // The answer tells everybody of what was said.
        run += 1;
        let said = json!({
            "sessionKey": format!("s{run}"), "message": "hello", "idempotencyKey": run.to_string(),
        });
        client.request("agent", said).await;
        let status = client.request("status", json!({})).await;
        here = status["payload"]["connections"].as_u64().unwrap();
        assert!(run < 20_000, "it is never parted from");
    }
}
