//! The JSON Schema of the file.

use openclaw_core::plugin::Registry;
use serde_json::{Value, json};

use super::{World, registry};

#[test]
fn each_plugin_is_in_the_schema_with_its_configuration() {
    let schema = registry(&World::default()).schema();
    let entries = schema.pointer("/$defs/PluginEntry/anyOf").unwrap().as_array().unwrap();
    let names: Vec<&Value> =
        entries.iter().map(|entry| entry.pointer("/properties/plugin/const").unwrap()).collect();
    assert_eq!(names, ["coin", "dice", "model", "ram", "room", "stamp"]);
    let room = &entries[4];
    assert_eq!(room.pointer("/properties/config/properties/account/type"), Some(&json!("string")));
    assert_eq!(room["required"], json!(["plugin", "config"]));
    assert_eq!(entries[0]["required"], json!(["plugin"]), "a coin needs no configuration");
    assert_eq!(room["additionalProperties"], json!(false));
    // What plugins refer to is there.
    let text = schema.to_string();
    let references = text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next());
    for name in references {
        assert!(schema["$defs"].get(name).is_some(), "{name} is referred to and not defined");
    }
}

/// Write it anew with `OPENCLAW_BLESS=1 cargo test -p openclaw-core schema`.
#[test]
fn the_schema_in_the_documentation_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openclaw.schema.json");
    let schema = Registry::new().schema();
    if std::env::var_os("OPENCLAW_BLESS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&schema).unwrap() + "\n").unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    // Whatever the order of the keys: it depends on a feature of serde_json.
    assert!(
        serde_json::from_str::<Value>(&written).is_ok_and(|written| written == schema),
        "{path} is out of date: run this test with OPENCLAW_BLESS=1"
    );
}
