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

/// The guide says of each part of the builder whether a file can say it, too.
#[test]
fn the_guide_says_what_only_code_can_say() {
    let read = |path: &str| {
        std::fs::read_to_string(format!("{}/src/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let (builder, guide) = (read("gateway/builder.rs"), read("guide/configuration.md"));
    let methods = builder.split("    pub fn ").skip(1);
    let methods: Vec<&str> = methods.map(|rest| rest.split(['(', '<']).next().unwrap()).collect();
    assert!(methods.len() >= 25, "{methods:?}");
    // The first makes the builder, the others are the way to the file.
    let others = methods.iter().filter(|name| !["new", "config", "config_str"].contains(name));
    let untold: Vec<_> = others.filter(|name| !guide.contains(&format!("`.{name}("))).collect();
    assert!(untold.is_empty(), "the guide says nothing of {untold:?}");
    let schema = Registry::new().schema();
    let keys = schema["properties"].as_object().unwrap().keys();
    let untold: Vec<&String> =
        keys.filter(|key| !guide.contains(&format!("| `{key}` |"))).collect();
    assert!(untold.is_empty(), "the guide's table lacks {untold:?}");
}
