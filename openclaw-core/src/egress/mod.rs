//! Where tools may reach by HTTP.
//!
//! A tool's addresses often come from a model, and a model's from anybody's text. So tools do not get the
//! gateway's HTTP client but one behind an [`EgressPolicy`]: by default it reaches public addresses and
//! nothing of this machine, its networks or its cloud, however the address is spelled and whatever its
//! name resolves to. Channels and providers, whose addresses the application configured, keep the plain
//! client.

mod address;
mod client;

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub use address::is_public;
pub(crate) use client::ToolHttp;

use crate::error::{Error, ErrorKind, Result};

/// Which addresses tools may reach.
///
/// ```
/// use openclaw_core::egress::EgressPolicy;
///
/// let policy = EgressPolicy::default();
/// assert!(policy.check("https://example.org/a?b").is_ok());
/// for inside in ["http://127.0.0.1/", "http://0x7f.1/", "http://[::ffff:169.254.169.254]/", "http://nas.local/"] {
///     assert!(policy.check(inside).is_err(), "{inside}");
/// }
///
/// let shop = EgressPolicy::default().host("*.shop.example")?.scheme_https_only();
/// assert!(shop.check("https://api.shop.example/").is_ok());
/// assert!(shop.check("https://example.org/").is_err());
/// # Ok::<(), openclaw_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EgressPolicy {
    /// The schemes.
    pub schemes: BTreeSet<Scheme>,
    /// The hosts, if not all: names, addresses, networks, or `*.example.org` for what is below a name.
    pub hosts: Option<BTreeSet<HostPattern>>,
    /// The ports, if not all.
    pub ports: Option<BTreeSet<u16>>,
    /// What may be reached although it is not public, as in `nas.local` or `10.1.0.0/16`; `*` for
    /// everything.
    pub private: BTreeSet<HostPattern>,
}

/// A scheme of an address.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Encrypted.
    Https,
    /// Plain.
    Http,
}

impl Default for EgressPolicy {
    /// Every public address, by `https` and `http`.
    fn default() -> Self {
        Self {
            schemes: BTreeSet::from([Scheme::Https, Scheme::Http]),
            hosts: None,
            ports: None,
            private: BTreeSet::new(),
        }
    }
}

impl EgressPolicy {
    /// Everything: what a tool asks for is not looked at.
    pub fn anywhere() -> Self {
        Self { private: BTreeSet::from([HostPattern(Pattern::Any)]), ..Self::default() }
    }

    /// Adds a host; with the first one, all that are not added are out of reach.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it is none.
    pub fn host(mut self, pattern: &str) -> Result<Self> {
        self.hosts.get_or_insert_default().insert(pattern.parse()?);
        Ok(self)
    }

    /// Adds a port; with the first one, all that are not added are out of reach.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.ports.get_or_insert_default().insert(port);
        self
    }

    /// Lets what is not public be reached.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it is no host.
    pub fn private(mut self, pattern: &str) -> Result<Self> {
        self.private.insert(pattern.parse()?);
        Ok(self)
    }

    /// Takes out `http`.
    #[must_use]
    pub fn scheme_https_only(mut self) -> Self {
        self.schemes = BTreeSet::from([Scheme::Https]);
        self
    }

    /// The address in its one normal form, if it may be asked. What the host's name resolves to is to be
    /// [checked](Self::allows_address) when it is connected to.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is no address, [`ErrorKind::Denied`] if it may not be asked. The
    /// public text says why, and names no more than the host.
    pub fn check(&self, address: &str) -> Result<String> {
        let url = Url::parse(address).map_err(|error| {
            refusal(ErrorKind::InvalidInput, format!("no address that can be asked: {error}"))
        })?;
        self.check_url(&url)?;
        Ok(url.into())
    }

    fn check_url(&self, url: &Url) -> Result<()> {
        let denied = |text: String| Err(refusal(ErrorKind::Denied, text));
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => return denied(format!("addresses of the scheme {other:?} cannot be asked")),
        };
        if !self.schemes.contains(&scheme) {
            return denied(format!("{} is not allowed here", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return denied("an address with a user or a password in it is not asked".into());
        }
        let Some(host) = url.host() else {
            return denied("an address without a host cannot be asked".into());
        };
        if let Some((ports, port)) = self.ports.as_ref().zip(url.port_or_known_default())
            && !ports.contains(&port)
        {
            return denied(format!("port {port} is not allowed here"));
        }
        let host = Name::of(&host);
        if let Some(hosts) = &self.hosts
            && !hosts.iter().any(|pattern| pattern.fits(&host))
        {
            return denied(format!("{host} is not among the hosts that are allowed here"));
        }
        if !host.may_be_public() && !self.is_private(&host) {
            return denied(format!("{host} is not public, so it is not asked"));
        }
        Ok(())
    }

    /// True if a connection to `address` may be made for the sake of `host`, the name in the URL. For the
    /// client that connects: only there is known what a name stands for just now.
    pub fn allows_address(&self, host: &str, address: IpAddr) -> bool {
        let plain = Name::Address(address::plain(address));
        if is_public(address) || self.is_private(&plain) {
            return true;
        }
        Host::parse(host).is_ok_and(|host| self.is_private(&Name::of(&host)))
    }

    /// True if addresses need no check when they are connected to.
    pub fn allows_all_addresses(&self) -> bool {
        self.private.contains(&HostPattern(Pattern::Any))
    }

    fn is_private(&self, host: &Name<'_>) -> bool {
        self.private.iter().any(|pattern| pattern.fits(host))
    }
}

fn refusal(kind: ErrorKind, text: String) -> Error {
    Error::new(kind, text.clone()).with_public(text)
}

/// A host as a URL names it, without a dot at its end.
enum Name<'a> {
    Domain(&'a str),
    Address(IpAddr),
}

impl<'a> Name<'a> {
    fn of<S: AsRef<str>>(host: &'a Host<S>) -> Self {
        match host {
            Host::Domain(name) => {
                let name = name.as_ref();
                Self::Domain(name.strip_suffix('.').unwrap_or(name))
            }
            Host::Ipv4(address) => Self::Address(address::plain((*address).into())),
            Host::Ipv6(address) => Self::Address(address::plain((*address).into())),
        }
    }

    /// A name without a dot, or of a zone that is never public, is of this machine or its network.
    fn may_be_public(&self) -> bool {
        const INSIDE: [&str; 9] = [
            "localhost",
            "local",
            "internal",
            "intranet",
            "lan",
            "home",
            "corp",
            "localdomain",
            "home.arpa",
        ];
        match self {
            Self::Address(address) => is_public(*address),
            Self::Domain(name) => {
                let inside = |zone: &&str| is_below(name, zone);
                name.contains('.') && !INSIDE.iter().any(inside)
            }
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// True for `a.zone` and any name below it; not for the zone itself.
fn is_below(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

/// Hosts: one name, all names below one, an address, a network, or all.
///
/// As text: `example.org`, `*.example.org`, `192.0.2.1`, `192.0.2.0/24`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Pattern {
    Any,
    Name(String),
    Below(String),
    Network(IpNet),
}

impl HostPattern {
    fn fits(&self, host: &Name<'_>) -> bool {
        match (&self.0, host) {
            (Pattern::Any, _) => true,
            (Pattern::Name(name), Name::Domain(host)) => name == host,
            (Pattern::Below(zone), Name::Domain(host)) => is_below(host, zone),
            (Pattern::Network(network), Name::Address(address)) => network.contains(address),
            _ => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::config(format!(
                "{text:?} is no host: expected one as in \"example.org\", \"*.example.org\", \
                 \"192.0.2.1\", \"192.0.2.0/24\" or \"*\""
            ))
        };
        if text == "*" {
            return Ok(Self(Pattern::Any));
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self(Pattern::Network(network.trunc())));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self(Pattern::Network(address::plain(address).into())));
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(zone) => (true, zone),
            None => (false, text),
        };
        match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.contains('*') && !name.ends_with('.') => {
                Ok(Self(if below { Pattern::Below(name) } else { Pattern::Name(name) }))
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        match pattern.0 {
            Pattern::Any => "*".into(),
            Pattern::Name(name) => name,
            Pattern::Below(zone) => format!("*.{zone}"),
            Pattern::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().to_string()
            }
            Pattern::Network(network) => network.to_string(),
        }
    }
}

impl JsonSchema for HostPattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HostPattern".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A host: `example.org`, `*.example.org`, `192.0.2.1`, `192.0.2.0/24`, or `*` for all.",
        })
    }
}

#[cfg(test)]
mod tests;
