//! What the documents say of the file is what the daemon takes.

use openclaw_core::{
    plugin::Config,
    serde_json::{self, Value, json},
};

use crate::example;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// A mistake, and what it makes of the configuration.
type Mistake = (&'static str, fn(&mut Value));

fn schema() -> Value {
    let output = example("gateway").arg("--schema").output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The file of the guide, without its comments.
fn documented() -> String {
    let text = std::fs::read_to_string(format!("{DOCS}/configuration.md")).unwrap();
    let block = text.split("```jsonc\n").nth(1).unwrap().split("```").next().unwrap();
    let lines = block.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Write it anew with `OPENCLAW_BLESS=1 cargo test -p openclaw-examples schema`.
#[test]
fn the_schema_in_the_documentation_is_that_of_the_daemon() {
    let (path, schema) = (format!("{DOCS}/openclaw.schema.json"), schema());
    if std::env::var_os("OPENCLAW_BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&schema).unwrap() + "\n").unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    // Whatever the order of the keys: it depends on a feature of serde_json.
    assert!(
        serde_json::from_str::<Value>(&written).is_ok_and(|written| written == schema),
        "{path} is out of date: run this test with OPENCLAW_BLESS=1"
    );
}

#[test]
fn the_complete_file_of_the_guide_is_valid_and_complete() {
    let (text, schema) = (documented(), schema());
    let file: Value = serde_json::from_str(&text).unwrap();
    let errors: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&file)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    Config::parse(&text).unwrap();
    let known = schema["properties"].as_object().unwrap();
    // An ephemeral gateway has no store, and a node's name is for several processes.
    let missing: Vec<&String> = known
        .keys()
        .filter(|key| file.get(*key).is_none() && !["ephemeral", "node"].contains(&key.as_str()))
        .collect();
    assert!(missing.is_empty(), "the guide's file does not show {missing:?}");
}

#[test]
fn the_schema_refuses_what_the_daemon_refuses() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let file: Value = serde_json::from_str(&documented()).unwrap();
    let mistakes: [Mistake; 6] = [
        ("a key that is none", |c| c["agnts"] = json!([])),
        ("an agent's key that is none", |c| c["agents"][0]["persna"] = json!("")),
        ("a value of another type", |c| c["agents"][0]["context_tokens"] = json!("many")),
        ("a plugin that is none", |c| c["plugins"][0]["plugin"] = json!("opnai")),
        ("a plugin's key that is none", |c| c["plugins"][0]["config"]["modle"] = json!("x")),
        ("a secret written out", |c| c["plugins"][0]["config"]["api_key"] = json!("sk-4711")),
    ];
    for (what, make) in mistakes {
        let mut wrong = file.clone();
        make(&mut wrong);
        assert!(!validator.is_valid(&wrong), "{what}");
    }
}
