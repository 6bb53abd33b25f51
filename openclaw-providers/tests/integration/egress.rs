//! The HTTP client, held to a policy.

use std::sync::Arc;

use openclaw_core::{
    ErrorKind, bytes::Bytes, egress::EgressPolicy, http::Request, http_client::HttpClient,
};
use openclaw_providers::http::Reqwest;

use crate::server::{Act, Server};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";

fn get(address: &str) -> Request<Bytes> {
    Request::get(address).body(Bytes::new()).unwrap()
}

fn guarded(policy: EgressPolicy) -> Arc<dyn HttpClient> {
    Reqwest::new().guarded(&Arc::new(policy)).unwrap()
}

async fn server() -> (Server, String) {
    let server = Server::start(vec![vec![Act::Send(OK.to_vec())]; 4]).await;
    let port = server.url.trim_end_matches("/v1").rsplit(':').next().unwrap().to_owned();
    (server, port)
}

#[tokio::test]
async fn what_is_inside_is_not_asked_in_any_spelling() {
    let (server, port) = server().await;
    let client = guarded(EgressPolicy::default());
    for inside in ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let error = client.send(get(&format!("http://{inside}:{port}/"))).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied, "{inside}: {error}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn what_the_policy_lets_in_is_connected_to() {
    let (server, port) = server().await;
    for policy in [
        EgressPolicy::default().private("localhost").unwrap(),
        EgressPolicy::default().private("localhost").unwrap().private("127.0.0.0/8").unwrap(),
    ] {
        let client = guarded(policy);
        let answer = client.send(get(&format!("http://localhost:{port}/"))).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn the_client_that_is_guarded_stays_as_it_was() {
    let (server, port) = server().await;
    let client = Reqwest::new();
    let _ = client.guarded(&Arc::new(EgressPolicy::default()));
    let answer = client.send(get(&format!("http://127.0.0.1:{port}/"))).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(server.received().len(), 1);
}
