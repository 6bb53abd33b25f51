//! Secrets, and the references by which configurations name them.

use std::{fmt, fs, io::Read as _, path::PathBuf, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// The longest secret that is read from a file, in bytes.
pub const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A text that must not be seen: `Debug` and `Display` show `***`, and nothing serialises it.
///
/// It has no `==`, which would tell by its duration how much of a guess was right. The memory is not
/// wiped.
///
/// ```
/// use openclaw_core::secret::Secret;
///
/// let key = Secret::from("sk-123");
/// assert_eq!(format!("{key} {key:?}"), "*** Secret(***)");
/// assert_eq!(key.expose(), "sk-123");
/// ```
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps the text as it stands.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself. Give it to what needs it and keep no copy.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret is: what a configuration holds in its place.
///
/// ```
/// use openclaw_core::{secret::SecretRef, serde_json::{from_value, json}};
///
/// let key: SecretRef = from_value(json!({"env": "SHOP_TOKEN"})).unwrap();
/// assert_eq!(key, SecretRef::Env("SHOP_TOKEN".into()));
/// let error = from_value::<SecretRef>(json!("sk-123")).unwrap_err().to_string();
/// assert!(!error.contains("sk-123"), "a value is refused and not repeated");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SecretRef {
    /// In an environment variable of this name.
    Env(String),
    /// In a file, where a line feed at the end does not count.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The derived form would repeat a secret that was written in place of its reference.
        let bad = || {
            de::Error::custom(
                "a secret is given by reference, never by value: \
                 expected {\"env\": \"NAME\"} or {\"file\": \"PATH\"}",
            )
        };
        let Value::Object(map) = Value::deserialize(deserializer)? else { return Err(bad()) };
        let mut fields = map.into_iter();
        let (Some((key, Value::String(text))), None) = (fields.next(), fields.next()) else {
            return Err(bad());
        };
        match key.as_str() {
            "env" => Ok(Self::Env(text)),
            "file" => Ok(Self::File(text.into())),
            _ => Err(bad()),
        }
    }
}

impl SecretRef {
    /// Fetches the secret. Reads a file on the calling thread: for the start of a program.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it is not there, empty, not UTF-8, or a file longer than
    /// [`MAX_SECRET_BYTES`].
    pub fn resolve(&self) -> Result<Secret> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|error| {
                // `VarError` repeats the value if it is not Unicode.
                let why = match error {
                    std::env::VarError::NotPresent => "is not set; set it",
                    std::env::VarError::NotUnicode(_) => "is not UTF-8",
                };
                Error::config(format!("environment variable {name} {why}"))
            })?,
            Self::File(path) => {
                let read = || {
                    let mut text = String::new();
                    fs::File::open(path)?.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text)?;
                    Ok::<_, std::io::Error>(text)
                };
                let text = read().map_err(|error| {
                    Error::wrap(ErrorKind::InvalidConfig, error).with("secret file", path.display())
                })?;
                if text.len() as u64 > MAX_SECRET_BYTES {
                    return Err(Error::config(format!(
                        "the secret file is longer than {MAX_SECRET_BYTES} bytes; is it the right one?"
                    ))
                    .with("secret file", path.display()));
                }
                text.trim_end_matches(['\n', '\r']).to_owned()
            }
        };
        if text.is_empty() {
            return Err(Error::config(format!("the secret in {self} is empty")));
        }
        Ok(Secret::from(text))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn only_references_are_taken_and_values_are_not_repeated() {
        for bad in [
            json!("sk-12345"),
            json!(12345),
            json!({"value": "sk-12345"}),
            json!({"env": "A", "file": "sk-12345"}),
            json!({"env": 12345}),
            json!({}),
        ] {
            let error = from_value::<SecretRef>(bad.clone()).unwrap_err().to_string();
            assert!(!error.contains("12345"), "{bad} -> {error}");
            assert!(error.contains("by reference"), "{bad} -> {error}");
        }
        let kept = SecretRef::File("/run/key".into());
        assert_eq!(from_value::<SecretRef>(json!({"file": "/run/key"})).unwrap(), kept);
        assert_eq!(serde_json::to_value(kept).unwrap(), json!({"file": "/run/key"}));
    }

    #[test]
    fn resolving_says_what_is_missing() {
        let path = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        assert_eq!(SecretRef::Env("CARGO_MANIFEST_DIR".into()).resolve().unwrap().expose(), path);
        let error = SecretRef::Env("OPENCLAW_NO_SUCH_VARIABLE".into()).resolve().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("OPENCLAW_NO_SUCH_VARIABLE is not set"), "{error}");
        let error = SecretRef::File("/no/such/file".into()).resolve().unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
        let manifest = SecretRef::File(format!("{path}/Cargo.toml").into()).resolve().unwrap();
        assert!(manifest.expose().starts_with("[package]") && !manifest.expose().ends_with('\n'));
    }
}
