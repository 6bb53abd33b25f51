//! A corpus of addresses: what is inside stays out of reach, however it is spelled.

use super::*;

/// One host each, with the scheme left out; none may be asked by default.
const INSIDE: &str = include_str!("inside.txt");
const PUBLIC: &str = include_str!("public.txt");

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// As a URL with this host.
fn address(host: &str) -> String {
    if host.contains("://") { host.to_owned() } else { format!("http://{host}/") }
}

#[test]
fn the_corpus_is_large() {
    assert!(lines(INSIDE).count() + lines(PUBLIC).count() >= 200);
}

#[test]
fn nothing_inside_is_asked_in_any_spelling() {
    let policy = EgressPolicy::default();
    let asked: Vec<&str> =
        lines(INSIDE).filter(|host| policy.check(&address(host)).is_ok()).collect();
    assert!(asked.is_empty(), "{asked:#?}");
}

#[test]
fn what_is_public_is_asked() {
    let policy = EgressPolicy::default();
    for host in lines(PUBLIC) {
        policy.check(&address(host)).unwrap();
    }
}

#[test]
fn lists_of_hosts_ports_and_schemes_hold() {
    let policy = EgressPolicy::default()
        .host("example.org")
        .unwrap()
        .host("*.shop.example")
        .unwrap()
        .host("9.9.9.0/24")
        .unwrap()
        .port(443)
        .port(8443)
        .scheme_https_only();
    for good in [
        "https://example.org/",
        "https://example.org./",
        "https://EXAMPLE.ORG:8443/",
        "https://a.shop.example/",
        "https://a.b.shop.example/",
        "https://9.9.9.9/",
    ] {
        policy.check(good).unwrap();
    }
    for bad in [
        "http://example.org/",
        "https://example.org:444/",
        "https://a.example.org/",
        "https://shop.example/",
        "https://evilshop.example/",
        "https://example.org.evil.net/",
        "https://example.org@evil.net/",
        "https://evil.net/#example.org",
        "https://8.8.8.8/",
        "https://shop.example.evil.net/",
        "ftp://example.org/",
        "file:///etc/passwd",
    ] {
        assert!(policy.check(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_list_of_hosts_does_not_open_what_is_inside() {
    let policy = EgressPolicy::default().host("localhost").unwrap().host("10.0.0.0/8").unwrap();
    assert!(policy.check("http://localhost/").is_err());
    assert!(policy.check("http://10.1.2.3/").is_err());
}

#[test]
fn what_was_let_in_by_name_or_network_is_asked_and_nothing_beside_it() {
    let policy =
        EgressPolicy::default().private("nas.local").unwrap().private("10.1.0.0/16").unwrap();
    for good in
        ["http://nas.local/", "http://10.1.2.3/", "http://[::ffff:10.1.2.3]/", "http://0x0a010203/"]
    {
        policy.check(good).unwrap();
    }
    for bad in ["http://pc.local/", "http://10.2.0.1/", "http://a.nas.local/", "http://127.0.0.1/"]
    {
        assert!(policy.check(bad).is_err(), "{bad}");
    }
    let to = |host: &str, address: &str| policy.allows_address(host, address.parse().unwrap());
    assert!(to("nas.local", "192.168.0.7"), "the name was let in, wherever it is");
    assert!(to("db.example.org", "10.1.9.9"), "the network was let in, whatever its name");
    assert!(!to("db.example.org", "10.2.0.1"));
}

#[test]
fn a_public_name_may_not_stand_for_an_address_inside() {
    let policy = EgressPolicy::default();
    let to = |address: &str| policy.allows_address("rebind.example.org", address.parse().unwrap());
    assert!(to("93.184.215.14") && to("2606:2800:21f::1"));
    for inside in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "::1",
        "fd00:ec2::254",
        "fe80::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ] {
        assert!(!to(inside), "{inside}");
    }
    assert!(EgressPolicy::anywhere().allows_address("a.example", "127.0.0.1".parse().unwrap()));
}

#[test]
fn patterns_are_read_and_written_back() {
    for text in ["example.org", "*.example.org", "192.0.2.1", "10.0.0.0/8", "fd00::/8", "::1", "*"]
    {
        let pattern: HostPattern = text.parse().unwrap();
        assert_eq!(String::from(pattern), text);
    }
    let idn: HostPattern = "MÜNCHEN.example".parse().unwrap();
    assert_eq!(String::from(idn), "xn--mnchen-3ya.example");
    for bad in ["", "*.", "a.*.b", "**", "http://a.b", "a b", "10.0.0.0/33", "a.b."] {
        assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
    }
}

#[test]
fn refusals_name_the_host_and_not_what_else_the_address_holds() {
    let policy = EgressPolicy::default();
    for address in
        ["http://127.0.0.1/?token=s3cret", "http://me:s3cret@example.org/", "http://s3cret@[::1]/"]
    {
        let error = policy.check(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(
            !format!("{error} {error:?} {}", error.public_text()).contains("s3cret"),
            "{error}"
        );
    }
}
