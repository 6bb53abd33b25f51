//! From a JSON Schema to the part of it that answers can be held to.

use openclaw_core::serde_json::{Map, Value};

/// What is taken as it stands.
const KEPT: [&str; 7] = ["$ref", "type", "enum", "const", "required", "description", "title"];

/// The string formats that are known.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// The schema with only what the API takes: bounds of numbers and lengths are left out, objects are
/// closed, and `oneOf` is `anyOf`. Core checks the answer against the whole of what was asked for.
pub(super) fn taken(schema: &Value) -> Value {
    let Some(schema) = schema.as_object() else { return schema.clone() };
    let mut out = Map::new();
    for (key, value) in schema {
        let (key, value) = match (key.as_str(), value) {
            (kept, value) if KEPT.contains(&kept) => (kept, value.clone()),
            ("anyOf" | "oneOf", Value::Array(all)) => ("anyOf", all.iter().map(taken).collect()),
            ("allOf", Value::Array(all)) => ("allOf", all.iter().map(taken).collect()),
            (under @ ("properties" | "$defs"), Value::Object(all)) => {
                (under, all.iter().map(|(name, value)| (name.clone(), taken(value))).collect())
            }
            ("items", value) => ("items", taken(value)),
            ("format", Value::String(name)) if FORMATS.contains(&name.as_str()) => {
                ("format", value.clone())
            }
            _ => continue,
        };
        out.insert(key.to_owned(), value);
    }
    if schema.get("type").is_some_and(|kind| *kind == "object") {
        out.insert("additionalProperties".to_owned(), false.into());
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use openclaw_core::serde_json::json;

    use super::*;

    #[test]
    fn what_the_api_refuses_is_left_out_at_every_depth() {
        let schema = json!({
            "type": "object",
            "title": "Offer",
            "properties": {
                "price": {"type": "integer", "format": "uint32", "minimum": 0},
                "on": {"type": "string", "format": "date", "maxLength": 10},
                "by": {"oneOf": [{"$ref": "#/$defs/Shop"}, {"type": "null"}]},
                "tags": {"type": "array", "items": {"type": "string", "pattern": "a+"}},
            },
            "required": ["price"],
            "$defs": {"Shop": {"type": "object", "properties": {"id": {"const": 1}}}},
        });
        assert_eq!(
            taken(&schema),
            json!({
                "type": "object",
                "title": "Offer",
                "additionalProperties": false,
                "properties": {
                    "price": {"type": "integer"},
                    "on": {"type": "string", "format": "date"},
                    "by": {"anyOf": [{"$ref": "#/$defs/Shop"}, {"type": "null"}]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["price"],
                "$defs": {"Shop": {"type": "object", "additionalProperties": false,
                    "properties": {"id": {"const": 1}}}},
            })
        );
    }
}
