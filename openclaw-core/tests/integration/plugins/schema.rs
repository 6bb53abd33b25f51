//! The JSON Schema of the file.

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
