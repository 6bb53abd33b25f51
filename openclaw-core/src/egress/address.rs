//! Which addresses are public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True for an address that anybody on the internet has, by the registries of special-purpose addresses
/// (RFC 6890 and what came after). An address that stands for another one, as by NAT64 or as
/// `::ffff:a.b.c.d`, is what it stands for. One that is not known is not public.
///
/// ```
/// use openclaw_core::egress::is_public;
///
/// assert!(is_public("8.8.8.8".parse()?));
/// assert!(!is_public("100.64.0.1".parse()?));
/// assert!(!is_public("64:ff9b::a9fe:a9fe".parse()?), "NAT64 of 169.254.169.254");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn is_public(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The address that this one stands for.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    match v6.segments() {
        // RFC 6052, the well-known prefix.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => address,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        // This network, private, shared (CGNAT), loopback, link-local with the metadata services.
        [0 | 10 | 127, ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] => true,
        // Protocol assignments, documentation, 6to4 relays, private.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [192, 168, ..] => true,
        // Benchmarks, documentation.
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        // A public address by its number; Azure answers virtual machines by it.
        [168, 63, 129, 16] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Protocol assignments (Teredo, ORCHID, benchmarks), documentation, 6to4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] => false,
        // Documentation, RFC 9637.
        [0x3fff, 0..=0x0fff, ..] => false,
        // Global unicast is all that was ever given out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}
