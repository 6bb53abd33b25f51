//! The simplest client of HTTP.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The data of the events that came.
    pub(super) fn events(&self) -> Vec<Value> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }
}

/// Sends a request; `headers` are whole lines.
pub(super) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        head += &format!("Host: {address}\r\n");
    }
    for line in headers {
        head += line;
        head += "\r\n";
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(address).await.unwrap();
    // One that is refused may not be read to its end.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length, 16) else { break };
        whole += rest.get(..length).unwrap_or(rest);
        body = rest.get(length + 2..).unwrap_or("");
    }
    whole
}

/// Sends JSON with the client's token.
pub(super) async fn post(address: SocketAddr, path: &str, value: &Value) -> Answer {
    post_with(address, path, &[], value).await
}

/// The same with more header lines.
pub(super) async fn post_with(
    address: SocketAddr,
    path: &str,
    more: &[&str],
    value: &Value,
) -> Answer {
    let token = format!("Authorization: Bearer {}", super::kit::TOKEN);
    let mut headers = vec!["Content-Type: application/json"];
    if !more.iter().any(|line| line.starts_with("Authorization")) {
        headers.push(&token);
    }
    headers.extend(more);
    send(address, "POST", path, &headers, value.to_string().as_bytes()).await
}

pub(super) async fn get(address: SocketAddr, path: &str) -> Answer {
    let token = format!("Authorization: Bearer {}", super::kit::TOKEN);
    send(address, "GET", path, &[&token], b"").await
}
