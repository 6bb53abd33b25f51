//! From the forms of core to those that services share.

use std::borrow::Cow;

use openclaw_core::{
    Error, ErrorKind, Result,
    message::{Content, Media, MediaSource},
    provider::ToolCall,
    serde_json::{self, Value, json},
};

/// Reads what may be absent.
pub(crate) trait At {
    /// The value at a JSON pointer; null if there is none.
    fn at(&self, pointer: &str) -> &Value;
}

impl At for Value {
    fn at(&self, pointer: &str) -> &Value {
        self.pointer(pointer).unwrap_or(&Self::Null)
    }
}

pub(crate) fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("it does not take {what}"))
}

/// Content that is no picture.
pub(crate) fn as_text(content: &Content) -> Result<Cow<'_, str>> {
    Ok(match content {
        Content::Text { text } | Content::Mention { text, .. } => text.into(),
        Content::Location { latitude, longitude, name } => {
            let name = name.as_deref().unwrap_or_default();
            format!("geo:{latitude},{longitude} {name}").trim_end().to_owned().into()
        }
        Content::Contact { name, phone } => format!("{name}, tel:{phone}").into(),
        _ => return Err(unsupported("this kind of content")),
    })
}

/// The base64 of a picture.
pub(crate) fn inline_picture(media: &Media) -> Result<&str> {
    if !media.mime.starts_with("image/") {
        return Err(unsupported(&format!("media of type {}; give it pictures", media.mime)));
    }
    match &media.source {
        MediaSource::Inline { base64 } => Ok(base64),
        _ => Err(unsupported("a picture that is not in the message; fetch it and give it inline")),
    }
}

/// A call's arguments as an object.
///
/// Services refuse the whole conversation for ever if a model once wrote broken JSON, so that is wrapped.
pub(crate) fn arguments(call: &ToolCall) -> Value {
    match serde_json::from_str::<Value>(&call.arguments) {
        Ok(object @ Value::Object(_)) => object,
        _ if call.arguments.trim().is_empty() => json!({}),
        _ => json!({"not_json": call.arguments}),
    }
}

/// By way of its decimal text: 0.7 as `f64` would be written 0.699999988079071.
pub(crate) fn exact(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}
