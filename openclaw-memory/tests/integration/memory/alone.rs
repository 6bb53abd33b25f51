//! A memory needs no network: with none but its own loopback, what is told is found, by words and by meaning.
#![cfg(unix)]

use std::{process::Command, sync::Arc};

use openclaw_core::memory::{Memory as _, Query};
use openclaw_memory::{embed::StaticEmbedder, sqlite::Sqlite};

use super::{fact, scope, texts};
use crate::common::{child, folder, role, skip};

const NAME: &str = "memory::alone::without_a_network_what_is_told_is_found";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_what_is_told_is_found() {
    if let Some(path) = role() {
        let interfaces = std::fs::read_to_string("/proc/self/net/dev").unwrap();
        // Two lines of heads, and the loopback.
        assert_eq!(interfaces.lines().count(), 3, "{interfaces}");
        let store = Sqlite::open(&path).await.unwrap();
        let embedder = Arc::new(StaticEmbedder::builtin());
        let memory = store.memory().embedder(embedder).open().await.unwrap();
        let told = ["I bought a new car yesterday", "bread is baked in the oven", "trà đá ở Huế"];
        memory
            .remember(&scope(), told.iter().map(|text| fact(*text, *text, 1)).collect())
            .await
            .unwrap();
        memory.settled().await;
        for (question, answer) in
            [("automobile purchase", told[0]), ("the oven", told[1]), ("tra da", told[2])]
        {
            assert_eq!(texts(&memory, &Query::new(question, 1)).await, [answer]);
        }
        store.close().await.unwrap();
        return;
    }
    let alone = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(arguments);
        command
    };
    // As root a namespace can be had as such, else in one of the user.
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
    let works = |way: &&&[&str]| {
        let tried = alone(way).arg("true").output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(way) = ways.iter().find(works) else {
        skip(
            "memory::alone::without_a_network_what_is_told_is_found",
            "no namespace can be made here",
        );
        return;
    };
    let (_folder, path) = folder();
    let test = child(NAME, &path.display().to_string());
    let mut command = alone(way);
    command.arg(test.get_program()).args(test.get_args());
    command.envs(test.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}
