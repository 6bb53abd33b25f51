//! What a configuration can have wrong, and what is said of it.

use openclaw_core::{Error, ErrorKind, Gateway, plugin::Config};

use super::{World, registry};

/// What is said of a text that no gateway can be made of.
async fn refused(text: &str) -> String {
    let error = start(text).await;
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    error.to_string()
}

async fn start(text: &str) -> Error {
    Gateway::builder().config_str(&registry(&World::default()), text).start().await.unwrap_err()
}

/// A text that a gateway can be made of but for what `more` says.
fn with(more: &str) -> String {
    format!(
        "{{\n\"ephemeral\": true,\n\"plugins\": [{{\"plugin\": \"model\", \"config\": {{\"replies\": []}}}}],\n{more}\n}}"
    )
}

#[tokio::test]
async fn broken_json_is_pointed_at() {
    let table = [
        ("", &["line 1", "the configuration is empty"][..]),
        (" \n\t", &["the configuration is empty"]),
        ("{\n \"agents\": [", &["line 2", "ends too soon"]),
        ("{\n \"agents\": [],\n}", &["line 3, column 1", "trailing comma", "Take away the comma"]),
        ("{\n // mine\n}", &["line 2, column 2", "JSON has no comments"]),
        ("{'agents': []}", &["line 1, column 2", "double quotes"]),
        ("{\"agents\": [] \"store\": {}}", &["line 1, column 15"]),
        ("[]", &["line 1", "a configuration is an object"]),
        ("{} {}", &["line 1", "trailing characters"]),
    ];
    for (text, expected) in table {
        let said = refused(text).await;
        for part in expected {
            assert!(said.to_lowercase().contains(&part.to_lowercase()), "{text:?}: {said}");
        }
    }
}

#[tokio::test]
async fn slips_are_pointed_at_with_the_nearest_name() {
    let table = [
        ("\"agent\": []", &["line 4", "unknown field `agent`", "did you mean \"agents\"?"][..]),
        (
            "\"agents\": [{\"id\": \"a\"},\n{\"id\": \"b\", \"toools\": []}]",
            &["line 5", "agents[1]", "did you mean \"tools\"?"],
        ),
        ("\"agents\": [{}]", &["line 4", "agents[0]", "missing field `id`"]),
        ("\"agents\": {}", &["line 4", "agents", "invalid type: map, expected"]),
        ("\"ephemeral\": true", &["line 4", "duplicate field `ephemeral`"]),
        ("\"default_agent\": 7", &["line 4", "default_agent", "expected a string"]),
        (
            "\"access\": {\"telegram:a\": {\"direct\": \"opne\"}}",
            &["line 4", "access.\"telegram:a\"", "did you mean \"open\"?"],
        ),
        ("\"access\": {\"a:b:c\": {}}", &["line 4", "without colons"]),
        ("\"on_unknown\": \"once\"", &["line 4", "at_least_once"]),
        (
            "\"provider_layers\": [{\"retry\": {\"time\": 3}}]",
            &["line 4", "provider_layers[0]", "did you mean \"times\"?"],
        ),
        ("\"tool_layers\": [{\"budget\": {}}]", &["tool_layers[0]", "unknown variant `budget`"]),
        ("\"store\": {\"plugin\": \"ram\", \"confg\": {}}", &["store", "did you mean \"config\"?"]),
        ("\"bindings\": [{\"channel\": \"x\"}]", &["line 4", "names no agent"]),
        ("\"bindings\": [{\"agent\": \"x\"}]", &["line 4", "no agent x", "known are: main"]),
        ("\"default_agent\": \"x\"", &["line 4", "no agent x"]),
        ("\"access\": {\"room:a\": {}}", &["line 4", "no such channel"]),
        (
            "\"agents\": [{\"id\": \"a\", \"provider\": \"x\", \"tools\": [\"y\"]}]",
            &["line 4", "agent a wants provider x, known are: scripted", "names tool \"y\""],
        ),
        ("\"agents\": [{\"id\": \"a\"},\n{\"id\": \"a\"}]", &["line 5", "two agents are named a"]),
        (
            "\"agents\": [{\"id\": \"a\", \"persona_folder\": \"/no/such/folder\"}]",
            &["line 4", "agent a", "/no/such/folder", "SOUL.md"],
        ),
        (
            "\"fallbacks\": [{\"id\": \"f\", \"first\": \"scripted\", \"then\": [{\"provider\": \"x\"}]}]",
            &["line 4", "names provider x, known are: scripted"],
        ),
        (
            "\"models\": {\"fast\": {\"provider\": \"x\", \"model\": \"m\"}}",
            &["line 4", "the model fast is of provider x, known are: scripted"],
        ),
        (
            "\"models\": {\"default\": {\"provider\": \"scripted\", \"model\": \"m\"}}",
            &["line 4", "cannot be called \"default\"", "another name"],
        ),
        (
            "\"models\": {\"fast\": {\"provider\": \"scripted\", \"modell\": \"m\"}}",
            &["line 4", "models.\"fast\"", "did you mean \"model\"?"],
        ),
        (
            "\"fallbacks\": [{\"id\": \"f\", \"first\": \"scripted\", \"then\": [{\"model\": \"x\"}]}]",
            &["line 4", "a link of the chain f names no provider", "models: none"],
        ),
        (
            "\"models\": {\"fast\": {\"provider\": \"scripted\", \"model\": \"m\"}},\n\"agents\": [{\"id\": \"a\", \"provider\": \"x\", \"model\": \"fast\"}]",
            &[
                "line 5",
                "agent a names provider x and the model fast, which is of provider scripted",
            ],
        ),
    ];
    for (more, expected) in table {
        let said = refused(&with(more)).await;
        for part in expected {
            assert!(said.contains(part), "{more}: {said}");
        }
    }
}

#[tokio::test]
async fn a_plugin_that_is_not_there_or_does_not_fit_is_pointed_at() {
    let table = [
        (
            r#"{"plugin": "modle"}"#,
            &["line 2", "no plugin \"modle\"", "coin, dice, model", "did you mean \"model\"?"][..],
        ),
        (r#"{"plugin": "model"}"#, &["line 2", "\"model\"", "missing field `replies`"]),
        (
            "{\"plugin\": \"model\", \"config\": {\"replies\": [\n{\"say\": \"x\"},\n{\"sya\": \"x\"}]}}",
            &["line 4", "replies[1]", "did you mean \"say\"?"],
        ),
        (
            r#"{"plugin": "room", "config": {"account": "a:b:c"}}"#,
            &["line 2", "\"room\"", "without colons"],
        ),
        (
            r#"{"plugin": "dice", "sandbox": "docker"}"#,
            &["line 2", "asks for the sandbox docker", "can only run in this process"],
        ),
        (
            r#"{"plugin": "dice", "limits": {"memory": "512mb"}}"#,
            &["line 2", "asks for limits", "can only run in this process"],
        ),
        (r#"{"plugin": "dice", "sandbox": "dokcer"}"#, &["plugins[0]", "did you mean \"docker\"?"]),
        (
            r#"{"plugin": "model", "config": {"key": {"env": "OPENCLAW_TEST_UNSET"}, "replies": []}}"#,
            &["line 2", "\"model\"", "environment variable OPENCLAW_TEST_UNSET is not set"],
        ),
        (
            r#"{"plugin": "model", "config": {"key": {"file": "/no/such/key"}, "replies": []}}"#,
            &["line 2", "/no/such/key"],
        ),
        (
            r#"{"plugin": "model", "config": {"key": "sk-123", "replies": []}}"#,
            &["line 2", "key", "by reference"],
        ),
        (r#"{"plugin": "model", "config": {"replies": "sk-123"}}"#, &["line 2", "replies"]),
    ];
    for (entry, expected) in table {
        let said = refused(&format!("{{\"ephemeral\": true, \"plugins\": [\n{entry}]}}")).await;
        for part in expected {
            assert!(said.contains(part), "{entry}: {said}");
        }
        assert!(!said.contains("sk-123"), "{said}");
        assert!(!said.contains("there is no provider"), "that comes of the other fault: {said}");
    }
}

#[tokio::test]
async fn the_store_is_said_once_and_on_purpose() {
    let plugins = r#"{"plugin": "model", "config": {"replies": []}}"#;
    let table = [
        (format!(r#"{{"plugins": [{plugins}]}}"#), "there is no store"),
        (
            format!(r#"{{"store": {{"plugin": "ram"}}, "plugins": [{plugins}]}}"#),
            "forgets all when the process ends",
        ),
        (
            format!(
                r#"{{"ephemeral": true, "store": {{"plugin": "dice"}}, "plugins": [{plugins}]}}"#
            ),
            "plugin \"dice\" has no store",
        ),
        (
            format!(
                r#"{{"ephemeral": true, "store": {{"plugin": "ram"}}, "plugins": [{plugins}, {{"plugin": "ram"}}]}}"#
            ),
            "more than one store",
        ),
    ];
    for (text, expected) in table {
        let said = refused(&text).await;
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[tokio::test]
async fn everything_is_said_at_once() {
    let said = refused(
        r#"{
          "store": {"plugin": "ram"},
          "plugins": [
            {"plugin": "modle"},
            {"plugin": "model", "config": {"key": {"env": "OPENCLAW_TEST_UNSET"}, "replies": []}},
            {"plugin": "room", "config": {"acount": "x"}},
            {"plugin": "dice", "sandbox": "docker"}
          ],
          "agents": [{"id": "a"}, {"id": "a"}],
          "bindings": [{"agent": "b"}]
        }"#,
    )
    .await;
    for line in [2, 4, 5, 6, 7, 9, 10] {
        if line == 2 {
            assert!(said.contains("forgets all"), "{said}");
        } else {
            assert!(said.contains(&format!("- line {line}, ")), "line {line}: {said}");
        }
    }

    // Also of what does not even have the right form.
    let said =
        refused("{\n\"agents\": [{\"idd\": 1}],\n\"bindings\": [{\"agnt\": 1}],\n\"acces\": {}}")
            .await;
    for part in ["line 2", "\"id\"", "line 3", "\"agent\"", "line 4", "\"access\""] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_file_is_named_in_what_is_said_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openclaw.json");
    let said = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Config::read(&path).unwrap_err().to_string()
    };
    assert!(said(b"{\n\"agents\": 1}").contains("openclaw.json:2:"));
    let utf8 = said(b"{\n\"node\": \"\xff\"}");
    assert!(utf8.contains("openclaw.json:2:") && utf8.contains("not UTF-8"), "{utf8}");
    let long = vec![b' '; usize::try_from(openclaw_core::plugin::MAX_CONFIG_BYTES).unwrap() + 1];
    assert!(said(&long).contains("longer than"));
    std::fs::write(&path, "\u{feff}{\"node\": \"n\"}").unwrap();
    assert_eq!(
        Config::read(&path).unwrap().node.unwrap().as_str(),
        "n",
        "a byte order mark is no fault"
    );
    std::fs::remove_file(&path).unwrap();
    assert!(Config::read(&path).unwrap_err().to_string().contains("openclaw.json"));
}

#[tokio::test]
async fn a_name_that_is_registered_twice_is_said() {
    let world = World::default();
    let twice = registry(&world).plugin("dice", async |_: openclaw_core::plugin::NoConfig, _| {
        Ok(openclaw_core::plugin::Parts::new())
    });
    let builder = Gateway::builder().config_str(&twice, &with("\"bindings\": []"));
    let error = builder.start().await.unwrap_err().to_string();
    assert!(error.contains("two plugins are registered as \"dice\""), "{error}");
}
