//! As much of HTTP/1.1 as a fake service needs that must not be what is measured.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::Result;

/// A client's connection.
pub struct Connection(BufReader<TcpStream>);

/// What a client asks.
pub struct Asked {
    /// The path, and the query behind it.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Connection {
    /// Of an accepted stream.
    ///
    /// # Errors
    /// The stream is broken.
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The next request; `None` once the client has gone.
    ///
    /// # Errors
    /// What came is no request.
    pub async fn next(&mut self) -> Result<Option<Asked>> {
        let (mut length, mut path, mut line) = (0, String::new(), String::new());
        loop {
            line.clear();
            if self.0.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok(Some(Asked { path, body }))
    }

    /// Answers 200.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn answer(&mut self, media: &str, body: &str) -> Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all((head + body).as_bytes()).await?;
        Ok(())
    }
}
