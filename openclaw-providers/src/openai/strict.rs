//! Which schemas OpenAI holds an answer to.

use openclaw_core::serde_json::{Map, Value};

/// True if the service can hold its answer to the schema. OpenAI refuses the request if `strict` is set on
/// any other: objects must have all of their properties and no more, and few keywords are known
/// (<https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>).
pub(super) fn is_strict(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object") && fits(schema)
}

fn fits(schema: &Value) -> bool {
    let Some(schema) = schema.as_object() else { return false };
    let within = |value: &Value| match value {
        Value::Object(named) => named.values().all(fits),
        Value::Array(list) => list.iter().all(fits),
        _ => false,
    };
    let known = schema.iter().all(|(keyword, value)| match keyword.as_str() {
        "properties" | "$defs" | "anyOf" => within(value),
        "items" => fits(value),
        "format" => value.as_str().is_some_and(|format| FORMATS.contains(&format)),
        other => KEYWORDS.contains(&other),
    });
    let is_object = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        kind => kind.is_some_and(|kind| kind == "object"),
    };
    known && (!is_object || is_closed(schema))
}

/// True if an object has all of the properties and no others.
fn is_closed(schema: &Map<String, Value>) -> bool {
    let required = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let listed = |name: &String| required.iter().any(|one| one == name);
    schema.get("additionalProperties") == Some(&Value::Bool(false))
        && schema
            .get("properties")
            .and_then(Value::as_object)
            .is_none_or(|all| all.keys().all(listed))
}

const KEYWORDS: [&str; 17] = [
    "$schema",
    "$ref",
    "title",
    "description",
    "type",
    "required",
    "additionalProperties",
    "enum",
    "const",
    "pattern",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
];
const FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];
