//! The crates depend on one another in one direction, and core on no client of anything.

use std::process::Command;

/// The crates that `package` with these features is built of, by name.
fn tree(package: &str, features: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "-e", "normal", "--prefix", "none"])
        .args(["-p", package])
        .args(features)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn siblings_depend_on_core_and_never_on_one_another() {
    for package in ["openclaw-channels", "openclaw-memory", "openclaw-providers", "openclaw-tools"]
    {
        let mut ours: Vec<String> = tree(package, &["--all-features"])
            .into_iter()
            .filter(|name| name.starts_with("openclaw-"))
            .collect();
        ours.sort();
        ours.dedup();
        let mut expected = ["openclaw-core", package];
        expected.sort_unstable();
        assert_eq!(ours, expected);
    }
}

#[test]
fn the_turn_knows_no_runtime_and_no_store_but_the_shape_of_its_rows() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/turn");
    let mut folders = vec![std::path::PathBuf::from(folder)];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // Tests.
            if path.ends_with("golden.rs") {
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let code = code.collect::<Vec<_>>().join("\n");
            for foreign in [
                "tokio",
                "async ",
                ".await",
                "crate::gateway",
                "crate::session",
                "std::fs",
                "std::net",
            ] {
                assert!(!code.contains(foreign), "{} has {foreign}", path.display());
            }
            let rows = code.replace("store::InputId", "").replace("store::LogRow", "");
            assert!(!rows.contains("store::"), "{} uses a store", path.display());
        }
    }
    assert!(files >= 5, "{files}");
}

#[test]
fn core_holds_no_client_and_no_database() {
    // `testing` brings hyper, for fake services; `server` axum and TLS.
    for (features, banned) in [
        (
            [].as_slice(),
            ["hyper", "hyper-util", "axum", "rustls", "ed25519-dalek", "opentelemetry"].as_slice(),
        ),
        (&["--features", "testing"], &["axum", "rustls", "tokio-websockets", "opentelemetry"]),
        (&["--features", "opentelemetry"], &["hyper", "reqwest", "rustls", "tonic"]),
        (&["--all-features"], &["reqwest", "rusqlite", "native-tls", "openclaw-memory"]),
    ] {
        let tree = tree("openclaw-core", features);
        for banned in banned {
            assert!(!tree.iter().any(|name| name == banned), "core depends on {banned}");
        }
    }
}
