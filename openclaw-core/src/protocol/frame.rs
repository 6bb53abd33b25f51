//! The three kinds of frames. Unknown fields, missing ones and doubled ones are refused.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::error::WireError;

/// The longest id and method name of a request, in bytes.
const MAX_NAME_BYTES: usize = 512;

/// What a client asks. It borrows from the text of its frame.
///
/// ```
/// use openclaw_core::protocol::RequestFrame;
///
/// let frame = RequestFrame::parse(r#"{"type":"req","id":"1","method":"health"}"#).unwrap();
/// assert_eq!((frame.id.as_ref(), frame.method.as_ref()), ("1", "health"));
/// assert!(RequestFrame::parse(r#"{"type":"req","id":"1","method":"health","x":1}"#).is_err());
/// ```
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestFrame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    /// What the answer is told apart by.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// What to do.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// With what: the text of a JSON value.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub params: Option<&'a RawValue>,
    /// A W3C trace context that the work belongs to.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Cow<'a, str>>,
    /// The profile that the request is meant for. There are no profiles here, so it is refused.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub expected_profile_id: Option<Cow<'a, str>>,
}

impl<'a> RequestFrame<'a> {
    /// A request to send.
    pub fn new(id: &'a str, method: &'a str, params: Option<&'a RawValue>) -> Self {
        Self {
            kind: "req".into(),
            id: id.into(),
            method: method.into(),
            params,
            traceparent: None,
            expected_profile_id: None,
        }
    }

    /// Reads the text of a frame.
    ///
    /// # Errors
    /// It is no request; the text says why and repeats nothing of the frame.
    pub fn parse(text: &'a str) -> Result<Self, WireError> {
        let frame: Self =
            serde_json::from_str(text).map_err(|error| invalid("request frame", &error))?;
        let bad = |what| Err(WireError::invalid(format!("invalid request frame: {what}")));
        if frame.kind != "req" {
            return bad("at /type: must be \"req\"");
        }
        for (what, name) in [("at /id", &frame.id), ("at /method", &frame.method)] {
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return bad(&*format!("{what}: must have 1 to {MAX_NAME_BYTES} bytes"));
            }
        }
        if frame.traceparent.as_ref().is_some_and(|text| text.len() > 128) {
            return bad("at /traceparent: must have at most 128 bytes");
        }
        Ok(frame)
    }
}

/// An answer to a request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseFrame<P> {
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    /// The request's id.
    pub id: String,
    /// Whether it was done.
    pub ok: bool,
    /// What came of it.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub payload: Option<P>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}

fn none<P>() -> Option<P> {
    None
}

impl<P> ResponseFrame<P> {
    /// It was done.
    pub fn done(id: impl Into<String>, payload: P) -> Self {
        Self { kind: "res".into(), id: id.into(), ok: true, payload: Some(payload), error: None }
    }

    /// It was refused.
    pub fn refused(id: impl Into<String>, error: WireError) -> Self {
        Self { kind: "res".into(), id: id.into(), ok: false, payload: None, error: Some(error) }
    }
}

/// Something happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventFrame<P> {
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    /// What.
    pub event: Cow<'static, str>,
    /// More of it.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub payload: Option<P>,
    /// Its place among the events of this connection, from 1. One that is missing was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// How often presence and health have changed since the gateway started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_version: Option<StateVersion>,
}

/// How often what is in a snapshot has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateVersion {
    /// Changes of who is connected.
    pub presence: u64,
    /// Changes of health.
    pub health: u64,
}

impl<P> EventFrame<P> {
    /// An event without a place among the others.
    pub fn new(event: &'static str, payload: P) -> Self {
        let event = Cow::Borrowed(event);
        Self { kind: "event".into(), event, payload: Some(payload), seq: None, state_version: None }
    }
}

/// Reads the parameters of `method`; none are an empty object.
///
/// # Errors
/// They do not fit; the text says where, and repeats no value.
pub fn parse_params<T: DeserializeOwned>(
    method: &str,
    params: Option<&RawValue>,
) -> Result<T, WireError> {
    let text = params.map_or("{}", RawValue::get);
    let mut from = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string().replace('.', "/");
        let at = if path == "/" { String::new() } else { format!("at /{path}: ") };
        let why = plain(&error.into_inner());
        WireError::invalid(format!("invalid {method} params: {at}{why}"))
    })
}

fn invalid(what: &str, error: &serde_json::Error) -> WireError {
    WireError::invalid(format!("invalid {what}: {}", plain(error)))
}

/// What is wrong, without the place in the text, and without the value that serde quotes: it may be a
/// secret in the wrong field.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    if let Some((kind, rest)) = text.split_once(": ")
        && (kind == "invalid type" || kind == "invalid value")
        && let Some((_, expected)) = rest.rsplit_once(", expected ")
    {
        return format!("must be {expected}");
    }
    if let Some(rest) = text.strip_prefix("missing field ") {
        return format!("must have required property {}", rest.replace('`', "'"));
    }
    match text.split_once('`') {
        // The name of an unknown field or variant is the client's own text.
        Some((before, _)) if text.starts_with("unknown") => {
            format!("must NOT have an {}", before.trim_end())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_strict() {
        let ok =
            r#"{"type":"req","id":"a\"b","method":"x","params":{"deep":[1]},"traceparent":"00"}"#;
        let frame = RequestFrame::parse(ok).unwrap();
        assert_eq!(frame.id, "a\"b");
        assert_eq!(frame.params.unwrap().get(), r#"{"deep":[1]}"#);
        for bad in [
            "",
            "null",
            "[]",
            r#"{"type":"res","id":"1","method":"x"}"#,
            r#"{"id":"1","method":"x"}"#,
            r#"{"type":"req","id":"","method":"x"}"#,
            r#"{"type":"req","id":1,"method":"x"}"#,
            r#"{"type":"req","id":"1","id":"2","method":"x"}"#,
            r#"{"type":"req","id":"1","method":"x","extra":1}"#,
            r#"{"type":"req","id":"1","method":"x"} x"#,
            r#"{"type":"req","id":"1","method":null}"#,
        ] {
            assert!(RequestFrame::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_repeat_no_value() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its form matters")]
        struct Params {
            key: String,
            count: u32,
        }
        for (text, expected) in [
            ("{}", "invalid m params: must have required property 'key'"),
            (r#"{"key":7}"#, "invalid m params: at /key: must be a string"),
            (r#"{"key":"k","count":"sk-123"}"#, "invalid m params: at /count: must be u32"),
            (r#"{"sk-123":1}"#, "invalid m params: at /sk-123: must NOT have an unknown field"),
        ] {
            let raw = serde_json::from_str::<&RawValue>(text).unwrap();
            let error = parse_params::<Params>("m", Some(raw)).unwrap_err();
            assert_eq!(error.message, expected, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert!(parse_params::<serde_json::Value>("m", serde_json::from_str(&deep).ok()).is_err());
    }
}
