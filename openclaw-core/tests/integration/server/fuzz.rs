//! What is read before anybody is known, against what nobody would send: mutations of a kept corpus, the
//! same in every run.
//!
//! `OPENCLAW_FUZZ_ROUNDS` makes it longer. A failure prints the bytes; they go into `corpus/`.

use openclaw_core::{
    protocol::{ConnectParams, ProveParams, RequestFrame, parse_params},
    server::{Limits, Lockout, ServerConfig},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::kit::{Doors, TOKEN};

/// Frames that were once sent or that once were hard.
fn corpus() -> Vec<Vec<u8>> {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/server/corpus");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "the corpus is kept");
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn rounds(usual: usize) -> usize {
    let asked = std::env::var("OPENCLAW_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok());
    asked.map_or(usual, |factor: usize| usual * factor)
}

/// Chance that is the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    /// Changes `bytes` in one to eight places.
    fn mutate(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        const PIECES: [&[u8]; 16] = [
            b"{",
            b"}",
            b"[[[[[[[[",
            b"\"",
            b"\\u0000",
            b"\\ud800",
            b"null",
            b"-1",
            b"1e400",
            b"18446744073709551616",
            b"\xff",
            b"\xf0\x9f",
            b",",
            b":",
            b"\0",
            b"\"id\":",
        ];
        for _ in 0..=self.below(7) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if !bytes.is_empty() => {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
                1 => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                2 => {
                    let end = (at + self.below(16)).min(bytes.len());
                    bytes.drain(at..end);
                }
                3 => {
                    let end = (at + self.below(64)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                4 => bytes.truncate(at),
                _ => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len() + 1);
                    bytes.splice(at.., other[from..].iter().copied());
                }
            }
        }
    }
}

/// What a frame that was read says is what it said: nothing that another reader would read otherwise.
fn read(text: &str) {
    let Ok(frame) = RequestFrame::parse(text) else { return };
    let value = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => value,
        // Parameters are read when their method is known, and what is wrong in them is found then.
        Err(error) => {
            let refused = parse_params::<ConnectParams>("connect", frame.params).is_err();
            assert!(refused, "{error} in {text}");
            return;
        }
    };
    assert_eq!(value["type"], "req");
    assert_eq!(value["id"], *frame.id);
    assert_eq!(value["method"], *frame.method);
    assert!(!frame.id.is_empty() && !frame.method.is_empty());
    if let Ok(params) = parse_params::<ConnectParams>("connect", frame.params) {
        let again = serde_json::to_string(&params).unwrap();
        serde_json::from_str::<ConnectParams>(&again).expect("what is written is read");
    }
    let _ = parse_params::<ProveParams>("connect.prove", frame.params);
}

#[test]
fn h26_no_text_breaks_what_is_read_before_anybody_is_known() {
    let corpus = corpus();
    let mut chance = Chance(26);
    for text in corpus.iter().filter_map(|bytes| std::str::from_utf8(bytes).ok()) {
        read(text);
        let frame = RequestFrame::parse(text).ok();
        let params =
            frame.and_then(|frame| parse_params::<ConnectParams>("connect", frame.params).ok());
        assert!(!format!("{params:?}").contains("canary"), "{text}");
    }
    for _ in 0..rounds(100_000) {
        let mut bytes = corpus[chance.below(corpus.len())].clone();
        chance.mutate(&mut bytes, &corpus);
        read(&String::from_utf8_lossy(&bytes));
    }
}

/// A frame as a client sends it, from its parts.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length.min(65_535)).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The codes of the frames of a close that are in `heard`; what was said before is passed over.
fn codes(mut heard: &[u8]) -> Vec<u16> {
    let mut codes = Vec::new();
    while let [first, second, rest @ ..] = heard {
        let (length, rest) = match (second & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            (length @ 0..126, rest) => (usize::from(length), rest),
            _ => break,
        };
        if rest.len() < length {
            break;
        }
        if let (8, [a, b, ..]) = (first & 0x0f, &rest[..length]) {
            codes.push(u16::from_be_bytes([*a, *b]));
        }
        heard = &rest[length..];
    }
    codes
}

/// Streams of frames that are broken anywhere: each is closed with a code that is for it, nobody gets in,
/// and the doors stay open.
#[tokio::test]
async fn no_stream_of_frames_breaks_the_door() {
    let mut rule = Lockout::default();
    rule.attempts = u32::MAX;
    let mut limits = Limits::default();
    limits.handshake = std::time::Duration::from_secs(2);
    let doors = Doors::open(ServerConfig::token(TOKEN).lockout(rule).limits(limits)).await;
    let corpus = corpus();
    let mut chance = Chance(27);
    let head = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        doors.address()
    );
    for _ in 0..rounds(400) {
        let mut bytes = Vec::new();
        for _ in 0..=chance.below(3) {
            let payload = &corpus[chance.below(corpus.len())];
            let first = [0x81, 0x01, 0x80, 0x82, 0x89, 0x88, 0x8a][chance.below(7)];
            let most = if first & 8 == 0 { payload.len() } else { payload.len().min(125) };
            bytes.extend(frame(first, &payload[..most]));
        }
        chance.mutate(&mut bytes, &corpus);
        let mut stream = TcpStream::connect(doors.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The gateway may hang up before it has read all.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        let text = String::from_utf8_lossy(&heard);
        assert!(!text.contains("\"connId\""), "somebody got in by {bytes:?}");
        let end = heard.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        for code in codes(&heard[end..]) {
            let known = [1000, 1002, 1003, 1007, 1008, 1009];
            assert!(known.contains(&code), "{code} for {bytes:?}");
        }
    }
    let mut client = doors.client(&["operator.read"]).await;
    assert_eq!(client.request("health", serde_json::json!({})).await["ok"], true);
}
