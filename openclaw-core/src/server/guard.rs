//! What is checked before a request is looked at: where it comes from, and for which host it is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{HeaderMap, StatusCode, header, request::Parts};

use super::config::ServerConfig;

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Whose it is: the peer's address, or what a trusted proxy says; `None` if nobody knows.
    pub(super) address: Option<IpAddr>,
    /// True if it was sent on this machine by the program itself, through no proxy.
    pub(super) direct: bool,
    /// True if a trusted proxy sent it.
    pub(super) by_proxy: bool,
    /// True if a browser sent it.
    pub(super) browser: bool,
    /// Who it is, by the word of Tailscale's daemon, if that was asked.
    pub(super) of_tailnet: Option<String>,
}

/// Headers by which proxies say who is behind them.
const FORWARDED: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "tailscale-user-login",
];

impl Origin {
    pub(super) fn of(parts: &Parts, config: &ServerConfig) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(address)| canonical(address.ip()));
        let forwarded = FORWARDED.iter().any(|name| parts.headers.contains_key(*name));
        let trusted = |ip: &IpAddr| config.proxies.iter().any(|network| network.contains(ip));
        let by_proxy = peer.as_ref().is_some_and(trusted);
        let address = match peer {
            Some(peer) if by_proxy => behind(&parts.headers, trusted).or(Some(peer)),
            peer => peer,
        };
        let local = peer.is_some_and(|ip| ip.is_loopback()) && local_host(&parts.headers);
        Self {
            address,
            direct: local && !forwarded && !by_proxy,
            by_proxy,
            browser: parts.headers.contains_key(header::ORIGIN),
            of_tailnet: None,
        }
    }
}

/// IPv4 addresses that are written as IPv6 are IPv4 addresses.
fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// The nearest address that no trusted proxy has: what is left of it could be invented.
fn behind(headers: &HeaderMap, trusted: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").iter();
    let all: Vec<&str> =
        lines.filter_map(|line| line.to_str().ok()).flat_map(|l| l.split(',')).collect();
    for entry in all.iter().rev() {
        let ip = canonical(entry.trim().parse().ok()?);
        if !trusted(&ip) {
            return Some(ip);
        }
    }
    None
}

fn local_host(headers: &HeaderMap) -> bool {
    host(headers).is_some_and(|host| {
        let name = name_of(host);
        name.eq_ignore_ascii_case("localhost")
            || literal(name).is_some_and(|ip| canonical(ip).is_loopback())
    })
}

/// The one `Host` of a request.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().filter(|host| !host.is_empty()),
        _ => None,
    }
}

/// The host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The address that a host is, written as one.
fn literal(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Refuses requests that a web page of somebody else could have caused.
///
/// A page reaches this machine by a name of its own that it lets point here, so names must be the
/// gateway's; an address cannot be somebody's name.
pub(super) fn check(
    headers: &HeaderMap,
    config: &ServerConfig,
) -> Result<(), (StatusCode, &'static str)> {
    let Some(host) = host(headers) else {
        return Err((StatusCode::BAD_REQUEST, "a request names one host"));
    };
    let name = name_of(host).to_ascii_lowercase();
    let ours = config.any_host
        || name == "localhost"
        || literal(&name).is_some()
        || config.hosts.contains(&name);
    if !ours {
        return Err((StatusCode::MISDIRECTED_REQUEST, "this gateway does not answer to that host"));
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next();
    if origins.next().is_some() {
        return Err((StatusCode::FORBIDDEN, "a request has one origin"));
    }
    let listed = match origin {
        None => false,
        Some(origin) => {
            let origin = origin.to_str().unwrap_or_default();
            let listed = config.origins.iter().any(|one| one == origin);
            // The browser sees the gateway at the host that it names, by either scheme.
            let own = origin.split_once("://").is_some_and(|(scheme, rest)| {
                matches!(scheme, "http" | "https") && rest == host && !rest.ends_with('.')
            });
            if !listed && !own {
                return Err((StatusCode::FORBIDDEN, "this origin is not let in"));
            }
            listed
        }
    };
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let site = sites.next().map(|site| site.to_str().unwrap_or_default());
    let fine = matches!(site, None | Some("none" | "same-origin"));
    if sites.next().is_some() || !(fine || listed) {
        return Err((StatusCode::FORBIDDEN, "requests from other sites are not let in"));
    }
    Ok(())
}
