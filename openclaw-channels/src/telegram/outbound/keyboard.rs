//! Buttons under a message.

use openclaw_core::{
    ErrorKind,
    message::{Button, Content},
    serde_json::{Value, json},
};

use super::refuse;
use crate::telegram::error::Failure;

/// How long a button's token may be, in bytes.
const MAX_TOKEN_BYTES: usize = 64;

/// The keyboard of all buttons in `content`; `None` if there are none.
pub(super) fn keyboard(content: &[Content]) -> Result<Option<Value>, Failure> {
    let rows = content.iter().filter_map(|one| match one {
        Content::Buttons { rows } => Some(rows),
        _ => None,
    });
    let rows = rows.flatten().filter(|row| !row.is_empty());
    let rows: Vec<Vec<Value>> =
        rows.map(|row| row.iter().map(button).collect()).collect::<Result<_, Failure>>()?;
    Ok((!rows.is_empty()).then(|| json!({ "inline_keyboard": rows })))
}

fn button(button: &Button) -> Result<Value, Failure> {
    let Button { label, token } = button;
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(refuse(
            ErrorKind::InvalidInput,
            format!(
                "the token of button {label:?} has {} bytes, expected 1 to {MAX_TOKEN_BYTES}",
                token.len()
            ),
        ));
    }
    if label.trim().is_empty() {
        return Err(refuse(ErrorKind::InvalidInput, "a button has no label"));
    }
    Ok(json!({ "text": label, "callback_data": token }))
}
