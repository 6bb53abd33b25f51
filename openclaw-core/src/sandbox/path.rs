//! Where a file is in a box.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;
/// The longest name of a file or folder, in bytes: what Linux takes.
const MAX_NAME_BYTES: usize = 255;

/// A path below a box's folder for work: relative, without `.` and `..`, so that it leads nowhere else.
/// Links are the sandbox's matter.
///
/// ```
/// use openclaw_core::sandbox::SandboxPath;
///
/// assert_eq!(SandboxPath::new("plots/a.png")?.as_str(), "plots/a.png");
/// assert!(SandboxPath::new("../etc/passwd").is_err());
/// # Ok::<(), openclaw_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SandboxPath(String);

impl SandboxPath {
    /// A path of one or more names, with `/` between them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is absolute, leads out or nowhere, is longer than
    /// [`MAX_PATH_BYTES`], or has a character that ends a name on some system.
    pub fn new(path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        let why = if path.is_empty() {
            "it is empty"
        } else if path.len() > MAX_PATH_BYTES {
            "it is too long"
        } else if path.starts_with('/') {
            "it is absolute"
        } else if path.contains(|c: char| c == '\\' || c.is_control()) {
            "it has a backslash or a control character"
        } else if path.split('/').any(|name| name == "..") {
            "it leads out"
        } else if path.split('/').any(|name| name.is_empty() || name == ".") {
            "a name in it is empty or \".\""
        } else if path.split('/').any(|name| name.len() > MAX_NAME_BYTES) {
            "a name in it is too long"
        } else {
            return Ok(Self(path));
        };
        let text = format!(
            "the path {path:?} cannot be used: {why}; expected one below the folder for work, as in \"data/in.csv\""
        );
        Err(Error::new(ErrorKind::InvalidInput, text.clone()).with_public(text))
    }

    /// The folder for work itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The path as text; empty for the folder for work.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SandboxPath {
    type Error = Error;

    fn try_from(path: String) -> Result<Self> {
        if path.is_empty() { Ok(Self::root()) } else { Self::new(path) }
    }
}

impl From<SandboxPath> for String {
    fn from(path: SandboxPath) -> Self {
        path.0
    }
}

impl fmt::Display for SandboxPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_below_is_a_path() {
        for good in ["a", "a/b.txt", "a b/ä", "...", "..a", "a..", ".hidden", "-rf", "~", "$HOME"]
        {
            assert_eq!(SandboxPath::new(good).unwrap().as_str(), good);
        }
        let long = "a/".repeat(600);
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "//a",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "a/../../b",
            ".",
            "./a",
            "a/.",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "..\\a",
            "C:\\a",
            "a\0b",
            "a\nb",
            "a\u{1b}[0m",
            long.as_str(),
        ] {
            let error = SandboxPath::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
        assert!(SandboxPath::new("n".repeat(256)).is_err());
        assert!(serde_json::from_str::<SandboxPath>("\"../a\"").is_err());
        assert_eq!(serde_json::from_str::<SandboxPath>("\"\"").unwrap(), SandboxPath::root());
    }
}
