//! By what a client proves that it may come in.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, header};
use ipnet::IpNet;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{
    caller::{Caller, Who},
    guard::Origin,
    state::Server,
};
use crate::{
    error::{Error, Result},
    protocol::{ConnectAuth, DeviceId, Role, Scopes},
    secret::Secret,
};

/// The header by which a caller asks for less than it could have.
pub(super) const SCOPES_HEADER: &str = "x-openclaw-scopes";
/// The header in which programs may show the token of the hooks.
const HOOK_HEADER: &str = "x-openclaw-token";

/// By what a client proves that it may come in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Auth {
    /// It knows a token.
    Token(Secret),
    /// It knows a password.
    Password(Secret),
    /// A [trusted proxy](super::ServerConfig::trusted_proxy) has authenticated it, and says who it is
    /// in a header that the proxy itself sets.
    TrustedProxy {
        /// The header's name.
        user_header: String,
        /// Who is let in; nobody if empty.
        allow_users: Vec<String>,
    },
    /// Everybody on this machine, without any proof: every program and every user of it. Others are
    /// refused.
    None,
}

impl Auth {
    /// Its name on the wire.
    pub(super) fn mode(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Password(_) => "password",
            Self::TrustedProxy { .. } => "trusted-proxy",
            Self::None => "none",
        }
    }

    /// True if this is its secret.
    pub(super) fn is(&self, other: &Secret) -> bool {
        match self {
            Self::Token(secret) | Self::Password(secret) => {
                secret.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
            }
            Self::TrustedProxy { .. } | Self::None => false,
        }
    }

    pub(super) fn check(&self, proxies: &[IpNet]) -> Result<()> {
        match self {
            Self::Token(secret) | Self::Password(secret) if secret.expose().trim().is_empty() => {
                Err(Error::config(format!("the gateway's {} is empty; give it one", self.mode())))
            }
            Self::TrustedProxy { user_header, allow_users } => {
                if http::HeaderName::from_bytes(user_header.as_bytes()).is_err() {
                    return Err(Error::config(format!(
                        "{user_header:?} is no name of a header that a proxy could set"
                    )));
                }
                if proxies.is_empty() || allow_users.iter().all(|user| user.trim().is_empty()) {
                    return Err(Error::config(
                        "authentication by a proxy lets nobody in unless trusted proxies and users \
                         are named; name them",
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Compares without telling by its duration how much of a guess was right, or how long the secret is.
pub(super) struct Comparer([u8; 32]);

impl Comparer {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A keyed hash of `text`: what may be stored of a secret.
    pub(super) fn digest(&self, text: &str) -> [u8; 32] {
        // A key of any length is taken.
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("every length is taken");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// True if `digest`, in hexadecimal, is of `text`.
    pub(super) fn is_digest(&self, text: &str, digest: &str) -> bool {
        let found = crate::id::hex(&self.digest(text), 32);
        found.as_bytes().ct_eq(digest.as_bytes()).into()
    }

    pub(super) fn same(&self, guess: &str, secret: &str) -> bool {
        self.digest(guess).ct_eq(&self.digest(secret)).into()
    }
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No credential of the kind that is asked for.
    Missing,
    /// A wrong one.
    Mismatch,
    /// Too many wrong ones before.
    Locked { retry_after_ms: u64 },
    /// Not from where the mode allows.
    NotFromHere,
}

impl Server {
    /// Who sent an HTTP request.
    pub(super) fn authenticate(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
    ) -> Result<Caller, Refusal> {
        let presented = bearer(headers);
        let who = self.judge(headers, origin, presented.as_slice(), &mut |_| None)?;
        Ok(Caller::new(who, Role::Operator, self.grant(headers), origin))
    }

    /// Finds out who of the tailnet it is, where such people are let in.
    pub(super) async fn identify(&self, origin: &mut Origin) {
        if let Some(tailscale) = &self.config.tailscale {
            origin.of_tailnet = tailscale.user(origin.address).await;
        }
    }

    /// Whether a request has the token of the hooks.
    pub(super) fn authenticate_hook(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
        token: &Secret,
    ) -> Result<(), Refusal> {
        let now = self.now();
        if let Some(retry_after_ms) = self.lockouts.locked(origin, now) {
            return Err(Refusal::Locked { retry_after_ms });
        }
        let own = headers.get_all(HOOK_HEADER).iter().map(|text| text.to_str().unwrap_or("?"));
        let presented = bearer(headers).into_iter().chain(own).filter(|one| !one.is_empty());
        let presented: Vec<&str> = presented.collect();
        if presented.is_empty() {
            return Err(Refusal::Missing);
        }
        // Two that differ are no credential.
        if presented.iter().all(|one| self.comparer.same(one, token.expose())) {
            return Ok(());
        }
        self.lockouts.failed(origin, now);
        Err(Refusal::Mismatch)
    }

    /// Who opened a socket, and the most that they may be allowed.
    pub(super) fn authenticate_socket(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
        auth: Option<&ConnectAuth>,
        device: Option<&DeviceId>,
        role: Role,
    ) -> Result<(Who, Scopes), Refusal> {
        let mut presented: Vec<&str> = Vec::new();
        if let Some(auth) = auth {
            // Clients send the shared secret in either field.
            let fields = [&auth.token, &auth.password, &auth.device_token];
            presented.extend(fields.into_iter().flatten().map(Secret::expose));
        }
        let grant = self.grant(headers);
        let mut by_token = None;
        let mut of_device = |token: &str| {
            let allowed = self.devices.allowed_by(&self.comparer, device?, role, token);
            by_token = by_token.or(allowed);
            allowed.and(device).map(|device| Who::Device(device.clone()))
        };
        let who = self.judge(headers, origin, &presented, &mut of_device)?;
        let grant = match (&who, by_token) {
            (Who::Device(_), Some(allowed)) => allowed.and(grant),
            _ => grant,
        };
        Ok((who, grant))
    }

    /// The most that the shared credential allows, or the less that a header asks for.
    fn grant(&self, headers: &HeaderMap) -> Scopes {
        let mut lines = headers.get_all(SCOPES_HEADER).iter().peekable();
        if lines.peek().is_none() {
            return self.config.grant;
        }
        let names = lines.flat_map(|line| line.to_str().unwrap_or_default().split([',', ' ']));
        self.config.grant.intersect(names.map(str::trim))
    }

    fn judge(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
        presented: &[&str],
        other: &mut dyn FnMut(&str) -> Option<Who>,
    ) -> Result<Who, Refusal> {
        let secret = match &self.config.auth {
            Auth::Token(secret) | Auth::Password(secret) => secret,
            Auth::None if origin.direct => return Ok(Who::Anyone),
            Auth::None => return Err(Refusal::NotFromHere),
            Auth::TrustedProxy { user_header, allow_users } => {
                if !origin.by_proxy {
                    return Err(Refusal::NotFromHere);
                }
                let mut values = headers.get_all(user_header).iter();
                let (Some(user), None) = (values.next(), values.next()) else {
                    return Err(Refusal::Missing);
                };
                let user = user.to_str().unwrap_or_default().trim();
                let known = !user.is_empty() && allow_users.iter().any(|one| one == user);
                return if known { Ok(Who::User(user.to_owned())) } else { Err(Refusal::Mismatch) };
            }
        };
        let now = self.now();
        if let Some(retry_after_ms) = self.lockouts.locked(origin, now) {
            return Err(Refusal::Locked { retry_after_ms });
        }
        let presented: Vec<&&str> = presented.iter().filter(|one| !one.is_empty()).collect();
        if presented.is_empty() {
            // Whoever shows a credential is judged by that.
            let user = origin.of_tailnet.clone();
            return user.map(Who::User).ok_or(Refusal::Missing);
        }
        // All are compared, so that nothing is told by which one it was.
        let right = presented
            .iter()
            .fold(false, |found, one| found | self.comparer.same(one, secret.expose()));
        if right {
            return Ok(Who::Shared);
        }
        if let Some(who) = presented.iter().find_map(|one| other(one)) {
            return Ok(who);
        }
        self.lockouts.failed(origin, now);
        Err(Refusal::Mismatch)
    }
}

/// The one bearer token of a request; nothing if there are several.
fn bearer(headers: &HeaderMap) -> Vec<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Vec::new() };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => vec![token.trim()],
        _ => Vec::new(),
    }
}
