//! The doors, as a configuration says them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Auth, ServerConfig, Tailscale, TlsIdentity, listen::check_exposure};
use crate::{
    error::{Error, ErrorKind, Result},
    protocol::DeviceKey,
    secret::SecretRef,
    time::SystemEntropy,
};

/// Where clients connect unless it is said otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:18789";
/// The largest file of certificates, in bytes.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// The gateway's doors for clients, as data: [`ServerConfig`] without code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ServerEntry {
    /// Where to listen; `127.0.0.1:18789` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// By what clients prove that they may come in.
    pub auth: AuthEntry,
    /// The file of the gateway's own key; made at the first start. Without it devices have to be let
    /// in again after each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Host names by which the gateway is reached, besides `localhost` and addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Origins of web pages that may connect, as in `https://shop.example.org`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Networks of proxies that are believed what they say of who is behind them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// What to serve TLS with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsEntry>,
    /// Listens beyond this machine without TLS: what is said, credentials included, can be read on the
    /// way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exposed_without_tls: bool,
    /// The token of programs that report by `/hooks/agent` and `/hooks/wake`, another one than that of the
    /// clients. Without it there are no hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<SecretRef>,
    /// People of a tailnet who are let in without another credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tailscale: Option<TailscaleEntry>,
}

/// Whom Tailscale's daemon on this machine vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TailscaleEntry {
    /// Their login names, as in `ada@example.org`.
    pub users: Vec<String>,
    /// Where the daemon listens, if not at `/var/run/tailscale/tailscaled.sock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

/// By what clients prove that they may come in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "mode", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum AuthEntry {
    /// They know a token.
    Token {
        /// Where it is.
        token: SecretRef,
    },
    /// They know a password.
    Password {
        /// Where it is.
        password: SecretRef,
    },
    /// A trusted proxy says who they are.
    TrustedProxy {
        /// The header in which it says so.
        user_header: String,
        /// Who is let in.
        allow_users: Vec<String>,
    },
    /// Everybody on this machine is let in.
    None,
}

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsEntry {
    /// The chain of certificates in PEM, the gateway's own first.
    pub certificates: PathBuf,
    /// The private key in PEM.
    pub key: SecretRef,
}

impl ServerEntry {
    /// The secrets that it refers to.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        let of_auth = match &self.auth {
            AuthEntry::Token { token } => Some(token),
            AuthEntry::Password { password } => Some(password),
            _ => None,
        };
        let of_tls = self.tls.as_ref().map(|tls| &tls.key);
        of_auth.into_iter().chain(of_tls).chain(&self.hooks).collect()
    }

    /// Where to listen.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it is no address.
    pub fn address(&self) -> Result<SocketAddr> {
        let text = self.listen.as_deref().unwrap_or(DEFAULT_ADDRESS);
        text.parse().map_err(|_| {
            Error::config(format!(
                "server.listen: {text:?} is no address; expected one as in {DEFAULT_ADDRESS}"
            ))
        })
    }

    /// Finds out whether a start could open these doors, without opening them or making a key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] as of [`address`](Self::address), [`load`](Self::load) and
    /// [`serve`](super::serve).
    pub fn check(&self) -> Result<()> {
        let address = self.address()?;
        let mut entry = self.clone();
        // A key that is not there yet is made at the first start, in a folder that is.
        if let Some(file) = entry.key_file.take_if(|file| !file.exists()) {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                return Err(Error::config("server.key_file: its folder is not there; make it")
                    .with("folder", folder.display()));
            }
        }
        let config = entry.load()?;
        config.check()?;
        check_exposure(address, &config)
    }

    /// The same in code. Fetches secrets and reads files on the calling thread: for the start of a
    /// program.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if something that it refers to is not there or cannot be used.
    pub fn load(&self) -> Result<ServerConfig> {
        let auth = match &self.auth {
            AuthEntry::Token { token } => Auth::Token(token.resolve()?),
            AuthEntry::Password { password } => Auth::Password(password.resolve()?),
            AuthEntry::TrustedProxy { user_header, allow_users } => Auth::TrustedProxy {
                user_header: user_header.clone(),
                allow_users: allow_users.clone(),
            },
            AuthEntry::None => Auth::None,
        };
        let mut config = ServerConfig::new(auth);
        config = self.hosts.iter().fold(config, |config, host| config.host(host));
        config = self.origins.iter().fold(config, |config, origin| config.origin(origin));
        config = self.trusted_proxies.iter().fold(config, |config, net| config.trusted_proxy(*net));
        if let Some(file) = &self.key_file {
            config = config.key(read_key(file)?);
        }
        if let Some(tls) = &self.tls {
            let mut certificates = Vec::new();
            let read = fs::File::open(&tls.certificates)
                .and_then(|file| file.take(MAX_PEM_BYTES).read_to_end(&mut certificates));
            read.map_err(|error| bad_file(&tls.certificates, error))?;
            let key = tls.key.resolve()?;
            config = config.tls(TlsIdentity::pem(&certificates, key.expose().as_bytes())?);
        }
        if let Some(token) = &self.hooks {
            config = config.hooks(token.resolve()?);
        }
        if let Some(TailscaleEntry { users, socket }) = &self.tailscale {
            let tailscale = Tailscale::new(users.clone());
            config = config.tailscale(match socket {
                Some(socket) => tailscale.socket(socket),
                None => tailscale,
            });
        }
        if self.exposed_without_tls {
            config = config.exposed_without_tls();
        }
        Ok(config)
    }
}

fn bad_file(path: &Path, error: std::io::Error) -> Error {
    Error::wrap(ErrorKind::InvalidConfig, error).with("file", path.display())
}

/// Reads a key from its file, and makes both if the file is not there. Nobody but its owner may read
/// it.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`] if it can be read by others, holds no key, or cannot be made.
pub fn read_key(path: &Path) -> Result<DeviceKey> {
    match fs::File::open(path) {
        Ok(file) => {
            private(path, &file)?;
            let mut text = String::new();
            file.take(1024).read_to_string(&mut text).map_err(|error| bad_file(path, error))?;
            let seed = URL_SAFE_NO_PAD.decode(text.trim()).ok();
            let seed = seed.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let seed = seed.ok_or_else(|| {
                Error::config("the file holds no key: expected 32 bytes in base64url")
                    .with("file", path.display())
            })?;
            Ok(DeviceKey::from_seed(&seed))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = DeviceKey::generate(&SystemEntropy)?;
            let text = URL_SAFE_NO_PAD.encode(key.seed());
            make(path, text.as_bytes()).map_err(|error| bad_file(path, error))?;
            Ok(key)
        }
        Err(error) => Err(bad_file(path, error)),
    }
}

#[cfg(unix)]
fn private(path: &Path, file: &fs::File) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = file.metadata().map_err(|error| bad_file(path, error))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::config(format!(
            "others than its owner can read the key (mode {mode:o}); make it 600"
        ))
        .with("file", path.display()));
    }
    Ok(())
}

#[cfg(not(unix))]
fn private(_: &Path, _: &fs::File) -> Result<()> {
    Ok(())
}

fn make(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}
