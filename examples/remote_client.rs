//! Talks to a gateway that runs elsewhere, and shows its answers while they grow.
//!
//! Run with `OPENCLAW_GATEWAY_TOKEN=… cargo run --example remote_client -- ws://127.0.0.1:18789 "Hello"`.
//! The first time it keeps this device's key, and the name of the gateway's, in this folder; from then
//! on it sends nothing secret to any other gateway.

use std::{io::Write as _, path::Path};

use openclaw_core::{
    Error, ErrorKind, Result,
    client::{Client, ClientConfig, gateway_id},
    protocol::DeviceId,
    secret::SecretRef,
    server::read_key,
};

/// The gateway that was met the first time.
async fn known_gateway(url: &str, file: &Path) -> Result<DeviceId> {
    match std::fs::read_to_string(file) {
        Ok(text) => text.trim().parse(),
        Err(_) => {
            let met = gateway_id(url).await?;
            println!("gateway {met}: compare this with what its owner sees");
            std::fs::write(file, met.as_str())
                .map_err(|error| Error::wrap(ErrorKind::Unavailable, error))?;
            Ok(met)
        }
    }
}

/// Asks, and writes the answer as it grows.
pub(crate) async fn ask(
    client: &Client,
    text: &str,
    out: &mut (impl std::io::Write + ?Sized),
) -> Result<()> {
    let failed = |error| Error::wrap(ErrorKind::Unavailable, error);
    let mut answer = client.ask("main", text).await?;
    let mut shown = String::new();
    while let Some(piece) = answer.next().await {
        out.write_all(piece.as_bytes()).and_then(|()| out.flush()).map_err(failed)?;
        shown.push_str(&piece);
    }
    // What was told while there was no connection is in the whole answer.
    let whole = answer.finish().await?;
    if shown != whole {
        writeln!(out, "\n{whole}").map_err(failed)?;
    }
    writeln!(out).map_err(failed)
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(url), Some(text)) = (words.next(), words.next()) else {
        return Err(Error::config("usage: remote_client URL TEXT"));
    };
    let gateway = known_gateway(&url, Path::new("known-gateway")).await?;
    let key = read_key(Path::new("device.key"))?;
    let token = SecretRef::Env("OPENCLAW_GATEWAY_TOKEN".into()).resolve()?;
    let client = ClientConfig::new(url, key, gateway).token(token).connect().await?;
    ask(&client, &text, &mut std::io::stdout().lock()).await?;
    std::io::stdout().flush().map_err(|error| Error::wrap(ErrorKind::Unavailable, error))
}
