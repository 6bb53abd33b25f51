//! Where the daemon connects to, by the system's own account.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    clients::{HOOKS, TOKEN, open_as, peer},
    world::{Daemon, World},
};

/// Sends a request, and waits for the whole answer.
async fn post(address: &str, path: &str, token: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The process that the tracer runs.
fn traced(tracer: &Daemon) -> String {
    let id = tracer.child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    children.split_whitespace().next().unwrap().to_owned()
}

fn port(url: &str) -> String {
    url.trim_end_matches('/').rsplit(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_daemon_connects_nowhere_that_is_not_configured() {
    const TEST: &str = "the_daemon_connects_nowhere_that_is_not_configured";
    let Some(strace) = peer(TEST, "OPENCLAW_PEER_STRACE") else { return };
    let world = World::new().await;
    let trace = world.folder.path().join("connects");
    let (daemon, address) = open_as(&world, |inner| {
        let mut command = Command::new(strace);
        command.args(["-f", "-qq", "-e", "trace=connect", "-o"]).arg(&trace);
        command.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    })
    .await;
    // It works with what it has, and is told of addresses that it must not care for.
    let said = "read http://203.0.113.9/ and ws://198.51.100.9:18789";
    let chat = format!(
        r#"{{"model": "openclaw", "messages": [{{"role": "user", "content": "{said}"}}]}}"#
    );
    let answer = post(&address, "/v1/chat/completions", TOKEN, &chat).await;
    assert!(answer.contains("answer 1, so"), "{answer}");
    let hook = format!(r#"{{"message": "{said}", "waitForCompletion": true}}"#);
    let answer = post(&address, "/hooks/agent", HOOKS, &hook).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let id = traced(&daemon);
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    let (_, log) = daemon.end().await;

    let text = std::fs::read_to_string(&trace).unwrap();
    let calls = text.lines().filter(|line| line.contains("connect("));
    let targets: BTreeSet<String> = calls
        .map(|line| {
            let port = line.split("htons(").nth(1).and_then(|rest| rest.split(')').next());
            let local = line.contains(r#"inet_addr("127.0.0.1")"#);
            match port.filter(|_| local) {
                Some(port) => port.to_owned(),
                None => panic!("{line}\n{log}"),
            }
        })
        .collect();
    let configured = BTreeSet::from([port(&world.models.url()), port(&world.telegram.url())]);
    assert_eq!(targets, configured, "{text}\n{log}");
}
