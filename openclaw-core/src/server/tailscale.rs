//! Who somebody in the tailnet is, by the word of Tailscale's daemon on this machine.
//!
//! No header is believed: the daemon is asked about the address that the connection comes from, or that a
//! trusted proxy names.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

/// Where the daemon listens on Linux.
pub const TAILSCALE_SOCKET: &str = "/var/run/tailscale/tailscaled.sock";
/// How long the daemon may take.
const WITHIN: Duration = Duration::from_secs(2);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// Lets people of the tailnet in, by what Tailscale's daemon says of the address that they come from.
///
/// Listen on this machine's address in the tailnet; or let `tailscale serve` pass requests on, and
/// [trust](super::ServerConfig::trusted_proxy) it, which trusts every program of this machine as much.
#[derive(Clone, Debug)]
#[must_use]
pub struct Tailscale {
    socket: PathBuf,
    users: Vec<String>,
}

impl Tailscale {
    /// Lets in those who have one of these login names, as in `ada@example.org`; nobody if there is none.
    pub fn new(users: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let users = users.into_iter().map(Into::into).collect();
        Self { socket: TAILSCALE_SOCKET.into(), users }
    }

    /// Asks the daemon at this socket instead of [`TAILSCALE_SOCKET`].
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.socket = path.into();
        self
    }

    pub(super) fn lets_nobody_in(&self) -> bool {
        self.users.iter().all(|user| user.trim().is_empty())
    }

    /// The login name of whoever comes from this address, if they are let in. What cannot be found out lets
    /// nobody in.
    pub(super) async fn user(&self, address: Option<IpAddr>) -> Option<String> {
        let address = address.filter(is_of_tailnet)?;
        let asked = tokio::time::timeout(WITHIN, who_is(&self.socket, address)).await;
        let login = match asked {
            Ok(Ok(login)) => login?,
            Ok(Err(why)) => {
                tracing::warn!(%why, "Tailscale's daemon was not asked");
                return None;
            }
            Err(_) => {
                tracing::warn!("Tailscale's daemon does not answer");
                return None;
            }
        };
        self.users.contains(&login).then_some(login)
    }
}

/// True for the addresses that Tailscale gives.
pub(super) fn is_of_tailnet(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            a == 100 && b & 0xc0 == 64
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            (a, b, c) == (0xfd7a, 0x115c, 0xa1e0)
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WhoIs {
    node: Option<Node>,
    user_profile: Option<Profile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Profile {
    #[serde(default)]
    login_name: String,
}

impl WhoIs {
    /// The person; machines with tags are nobody's.
    fn person(self) -> Option<String> {
        if self.node?.tags.is_some_and(|tags| !tags.is_empty()) {
            return None;
        }
        Some(self.user_profile?.login_name).filter(|login| login.contains('@'))
    }
}

#[cfg(unix)]
async fn who_is(socket: &Path, address: IpAddr) -> Result<Option<String>, String> {
    use http_body_util::{BodyExt as _, Empty, Limited};
    use hyper_util::rt::TokioIo;

    let stream = tokio::net::UnixStream::connect(socket).await.map_err(|e| e.to_string())?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    let request = http::Request::get(format!("/localapi/v0/whois?addr={address}"))
        .header(http::header::HOST, "local-tailscaled.sock")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| error.to_string())?;
    let asked = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if answer.status() == http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let bytes = body.map_err(|error| error.to_string())?.to_bytes();
        let who: WhoIs = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        Ok(who.person())
    };
    let mut asked = std::pin::pin!(asked);
    tokio::select! {
        biased;
        asked = &mut asked => return asked,
        // What was answered before the end is still to be had.
        _ = connection => {}
    }
    asked.await
}

#[cfg(not(unix))]
async fn who_is(_: &Path, _: IpAddr) -> Result<Option<String>, String> {
    Err("there is no such socket on this system".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_addresses_are_of_the_tailnet() {
        for (text, of) in [
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("100.63.255.255", false),
            ("127.0.0.1", false),
            ("fd7a:115c:a1e0::1", true),
            ("fd7a:115c:a1e1::1", false),
            ("::1", false),
        ] {
            assert_eq!(is_of_tailnet(&text.parse().unwrap()), of, "{text}");
        }
    }
}
