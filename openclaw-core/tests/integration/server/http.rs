//! Requests by HTTP, and what is checked before an upgrade.

use openclaw_core::server::{Access, Lockout, ServerConfig, http_routes};

use super::kit::{Doors, TOKEN};

fn config() -> ServerConfig {
    ServerConfig::token(TOKEN).hooks("canary-hooks-5b1d")
}

#[tokio::test]
async fn says_without_a_credential_that_it_lives_and_nothing_more() {
    let doors = Doors::open(config()).await;
    for path in ["/health", "/healthz"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(doors.raw(&head).await.ends_with(r#"{"ok":true,"status":"live"}"#));
    }
    assert_eq!(doors.status("GET", "/ready", &[]).await, 200);
    doors.gateway.handle().drain();
    assert_eq!(doors.status("GET", "/ready", &[]).await, 503);
    assert_eq!(doors.status("GET", "/health", &[]).await, 200);
    assert_eq!(doors.status("GET", "/nowhere", &[]).await, 404);
}

/// Whoever adds a route says here who may use it.
#[tokio::test]
async fn every_route_asks_for_what_its_entry_says() {
    const PUBLIC: [&str; 6] = ["/health", "/healthz", "/ready", "/readyz", "/startup", "/startupz"];
    const OWN: [&str; 3] = ["/hooks/agent", "/hooks/wake", "/webhooks/{channel}/{account}"];
    let mut rule = Lockout::default();
    rule.attempts = u32::MAX;
    let doors = Doors::open(config().lockout(rule)).await;
    let wrong = "Authorization: Bearer wrong";
    for route in http_routes() {
        let method = if route.method == "*" { "POST" } else { route.method };
        match route.access {
            Access::Public => assert!(PUBLIC.contains(&route.path), "{route:?} is public"),
            Access::Own => {
                assert!(OWN.contains(&route.path), "{route:?} has its own credential");
                // Neither none, nor a wrong one, nor that of clients.
                let right = format!("Authorization: Bearer {TOKEN}");
                for header in [None, Some(wrong), Some(right.as_str())] {
                    let headers: Vec<&str> = header.into_iter().collect();
                    let status = doors.status(method, route.path, &headers).await;
                    assert!(matches!(status, 401 | 404), "{route:?} with {header:?} -> {status}");
                }
            }
            Access::Scope(_) => {
                let right = format!("Authorization: Bearer {TOKEN}");
                let low = [right.as_str(), "x-openclaw-scopes: operator.talk.secrets"];
                assert_eq!(doors.status(method, route.path, &[]).await, 401, "{route:?}");
                assert_eq!(doors.status(method, route.path, &[wrong]).await, 401, "{route:?}");
                assert_eq!(doors.status(method, route.path, &low).await, 403, "{route:?}");
                let status = doors.status(method, route.path, &[&right]).await;
                assert!(!matches!(status, 401 | 403), "{route:?} -> {status}");
            }
            other => panic!("{other:?} is not tested"),
        }
    }
}

#[tokio::test]
async fn h01_only_known_origins_open_a_socket() {
    let doors = Doors::open(config().origin("https://shop.example.org")).await;
    let own = format!("Origin: http://{}", doors.address());
    assert_eq!(doors.upgrade(&[]).await, 101);
    assert_eq!(doors.upgrade(&[&own]).await, 101);
    assert_eq!(doors.upgrade(&["Origin: https://shop.example.org"]).await, 101);
    for bad in [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: ",
        "Origin: https://SHOP.example.org",
        "Origin: https://shop.example.org.",
        "Origin: https://shop.example.org:444",
        "Origin: http://shop.example.org",
        "Origin: https://shop.example.org.evil.example",
        "Origin: https://xn--shp-0na.example.org",
        "Origin: http://127.0.0.1:1",
        "Origin: https://shop.example.org\r\nOrigin: https://evil.example",
        "Origin: https://shop.example.org\r\nOrigin: https://shop.example.org",
    ] {
        assert_eq!(doors.upgrade(&[bad]).await, 403, "{bad}");
    }
}

#[tokio::test]
async fn h02_only_the_gateways_own_hosts_are_answered() {
    let doors = Doors::open(config().host("Claw.example.org")).await;
    for good in [
        "localhost:9",
        "127.0.0.1",
        "[::1]:18789",
        "192.0.2.7",
        "claw.example.org",
        "CLAW.example.org:443",
    ] {
        assert_eq!(doors.upgrade(&[&format!("Host: {good}")]).await, 101, "{good}");
    }
    for bad in [
        "attacker.example",
        "localhost.attacker.example:80",
        "127.0.0.1.nip.example",
        "localhost.",
        "claw.example.org.evil.example",
        "0x7f.1",
    ] {
        assert_eq!(doors.upgrade(&[&format!("Host: {bad}")]).await, 421, "{bad}");
    }
    assert_eq!(doors.upgrade(&["Host: localhost", "Host: evil.example"]).await, 400);
}

#[tokio::test]
async fn h03_what_another_site_caused_is_refused() {
    let doors = Doors::open(config().origin("https://shop.example.org")).await;
    for (site, status) in
        [("cross-site", 403), ("same-site", 403), ("x", 403), ("none", 101), ("same-origin", 101)]
    {
        assert_eq!(doors.upgrade(&[&format!("Sec-Fetch-Site: {site}")]).await, status, "{site}");
    }
    let listed = ["Origin: https://shop.example.org", "Sec-Fetch-Site: cross-site"];
    assert_eq!(doors.upgrade(&listed).await, 101);
}

#[tokio::test]
async fn doors_open_beyond_this_machine_only_on_an_explicit_word() {
    let open = async |config: ServerConfig| {
        let gateway = openclaw_core::Gateway::builder()
            .provider(openclaw_core::testing::Scripted::replies(["x"]))
            .ephemeral()
            .start()
            .await
            .unwrap();
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        openclaw_core::server::serve(listener, gateway.handle(), config).await.map(drop)
    };
    let error = open(config()).await.unwrap_err().to_string();
    assert!(error.contains("TLS") && !error.contains(TOKEN), "{error}");
    assert!(open(config().exposed_without_tls()).await.is_ok());
    let nobody = ServerConfig::new(openclaw_core::server::Auth::None).exposed_without_tls();
    assert!(open(nobody).await.is_err());
    assert!(open(ServerConfig::token("  ")).await.is_err(), "a blank token is none");
}
