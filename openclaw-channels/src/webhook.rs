//! What channels that take events by HTTP check alike, before they read anything else.

use openclaw_core::{
    http::{HeaderMap, HeaderName},
    secret::Secret,
};
use subtle::ConstantTimeEq as _;

/// True if the header is there exactly once and holds the secret. How long that takes does not tell how
/// much of a guess was right.
///
/// An empty secret is held by nothing: a service whose secret was forgotten is closed, not open.
///
/// ```
/// use openclaw_channels::webhook::header_holds;
/// use openclaw_core::{http::{HeaderMap, HeaderName}, secret::Secret};
///
/// let (name, secret) = (HeaderName::from_static("x-token"), Secret::from("correct horse"));
/// let mut headers = HeaderMap::new();
/// assert!(!header_holds(&headers, &name, &secret));
/// headers.append(&name, "correct horse".parse().unwrap());
/// assert!(header_holds(&headers, &name, &secret));
/// headers.append(&name, "correct horse".parse().unwrap());
/// assert!(!header_holds(&headers, &name, &secret), "which of the two would count?");
/// ```
pub fn header_holds(headers: &HeaderMap, name: &HeaderName, secret: &Secret) -> bool {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let secret = secret.expose().as_bytes();
    !secret.is_empty() && bool::from(value.as_bytes().ct_eq(secret))
}
