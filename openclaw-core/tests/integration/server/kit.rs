//! A gateway with open doors, and the simplest clients of it.

use std::net::{SocketAddr, TcpListener};

use futures_util::{SinkExt as _, StreamExt as _};
use openclaw_core::{
    Gateway,
    server::{ServerConfig, Serving, serve},
    testing::{Scripted, Step},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_websockets::{ClientBuilder, MaybeTlsStream, Message, WebSocketStream};

pub(super) const TOKEN: &str = "canary-token-7f3a9c51d2e84b60";

pub(super) struct Doors {
    pub(super) gateway: Gateway,
    pub(super) serving: Serving,
}

impl Doors {
    pub(super) async fn open(config: ServerConfig) -> Self {
        Self::with(Scripted::from_fn(|_| Ok(Step::text("Hello."))), config).await
    }

    pub(super) async fn with(model: Scripted, config: ServerConfig) -> Self {
        let gateway =
            Gateway::builder().provider(model).ephemeral().start().await.expect("it starts");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let serving = serve(listener, gateway.handle(), config).await.expect("the doors open");
        Self { gateway, serving }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// A socket that has not said anything.
    pub(super) async fn socket(&self) -> Client {
        Client::open(self.address()).await
    }

    /// The same with another header line.
    pub(super) async fn socket_by(&self, header: (&'static str, &str)) -> Client {
        self.socket_with(Some(header)).await
    }

    pub(super) async fn socket_with(&self, header: Option<(&'static str, &str)>) -> Client {
        Client::open_with(self.address(), header).await
    }

    /// A socket that is let in with the token and these scopes.
    pub(super) async fn client(&self, scopes: &[&str]) -> Client {
        let mut client = self.socket().await;
        let answer = client.connect(json!({ "token": TOKEN }), scopes).await;
        assert_eq!(answer["ok"], true, "{answer}");
        client
    }

    /// Sends a request as it stands, and returns the whole answer.
    pub(super) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The status of a request with these header lines; `Host` is added unless one is there.
    pub(super) async fn status(&self, method: &str, path: &str, headers: &[&str]) -> u16 {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
            head += &format!("Host: {}\r\n", self.address());
        }
        if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("connection:")) {
            head += "Connection: close\r\n";
        }
        for line in headers {
            head += line;
            head += "\r\n";
        }
        let answer = self.raw(&(head + "\r\n")).await;
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The status of an upgrade with these header lines.
    pub(super) async fn upgrade(&self, headers: &[&str]) -> u16 {
        let mut head = String::from("GET / HTTP/1.1\r\n");
        if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
            head += &format!("Host: {}\r\n", self.address());
        }
        head += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for line in headers {
            head += line;
            head += "\r\n";
        }
        head += "\r\n";
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[9..]).parse().unwrap()
    }
}

/// How a client was parted from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) code: u16,
    pub(super) reason: String,
}

pub(super) struct Client {
    pub(super) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(super) challenge: Value,
    next: u64,
}

impl Client {
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, None).await
    }

    async fn open_with(address: SocketAddr, header: Option<(&'static str, &str)>) -> Self {
        let uri = format!("ws://{address}/");
        let mut builder = ClientBuilder::new().uri(&uri).unwrap();
        if let Some((name, value)) = header {
            let name = http::HeaderName::from_static(name);
            builder = builder.add_header(name, value.parse().unwrap()).unwrap();
        }
        let (socket, _) = builder.connect().await.unwrap();
        let mut client = Self { socket, challenge: Value::Null, next: 0 };
        client.challenge = client.frame().await.expect("it is challenged");
        client
    }

    pub(super) fn params(&self, auth: Value, scopes: &[&str]) -> Value {
        json!({
            "minProtocol": 4, "maxProtocol": 4,
            "client": {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"},
            "caps": [], "role": "operator", "scopes": scopes, "auth": auth,
        })
    }

    /// Says `connect`, and returns the answer.
    pub(super) async fn connect(&mut self, auth: Value, scopes: &[&str]) -> Value {
        let params = self.params(auth, scopes);
        self.request("connect", params).await
    }

    pub(super) async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next text, or how the socket was closed.
    pub(super) async fn frame(&mut self) -> Result<Value, Closed> {
        loop {
            match self.socket.next().await {
                Some(Ok(message)) if message.is_text() => {
                    let frame = serde_json::from_str(message.as_text().unwrap()).unwrap();
                    super::schema::check_sent(&frame);
                    return Ok(frame);
                }
                Some(Ok(message)) if message.is_close() => {
                    let (code, reason) = message.as_close().unwrap();
                    return Err(Closed { code: code.into(), reason: reason.to_owned() });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Closed { code: 1006, reason: String::new() }),
            }
        }
    }

    /// Sends a request and returns the first answer to it, whatever comes between.
    pub(super) async fn request(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next.to_string();
        self.send(&json!({"type": "req", "id": id, "method": method, "params": params})).await;
        loop {
            match self.frame().await {
                Ok(frame) if frame["type"] == "res" && frame["id"] == id => return frame,
                Ok(_) => {}
                Err(closed) => panic!("closed instead of an answer to {method}: {closed:?}"),
            }
        }
    }

    /// Sends a request, and does not wait for its answer.
    pub(super) async fn begin(&mut self, method: &str, params: Value) -> String {
        self.next += 1;
        let id = self.next.to_string();
        self.send(&json!({"type": "req", "id": id, "method": method, "params": params})).await;
        id
    }

    /// The next event of this name, whatever comes between.
    pub(super) async fn event(&mut self, name: &str) -> Value {
        loop {
            let frame = self.frame().await.expect("an event");
            if frame["event"] == name {
                return frame;
            }
        }
    }

    /// How the socket is closed, whatever comes before.
    pub(super) async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.frame().await {
                return closed;
            }
        }
    }
}
