//! The one error of this workspace, and what it says about trying again.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was. Callers match on it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong; the program must be changed before it can start.
    InvalidConfig,
    /// The input is wrong; the same input fails again.
    InvalidInput,
    /// The credentials are missing, wrong or revoked.
    Unauthenticated,
    /// Policy, access control or the other side refused.
    Denied,
    /// What was named does not exist.
    NotFound,
    /// Somebody else holds it, or it changed since it was read.
    Conflict,
    /// The other side asks for fewer requests.
    RateLimited,
    /// A quota, a budget, a disk or a queue is full.
    Exhausted,
    /// The input is longer than the model's context.
    ContextOverflow,
    /// The other side is unreachable or failing.
    Unavailable,
    /// It took longer than allowed.
    Timeout,
    /// The work was cancelled.
    Cancelled,
    /// An answer or stored data cannot be understood, or ended too soon.
    InvalidData,
    /// The part cannot do what was asked.
    Unsupported,
    /// A fault in this program.
    Internal,
}

impl ErrorKind {
    /// The kind's fixed text for chats and models: no names, no paths, no payloads.
    pub fn public_text(self) -> &'static str {
        match self {
            Self::InvalidConfig => "the configuration is not valid",
            Self::InvalidInput => "the input is not valid",
            Self::Unauthenticated => "the credentials were not accepted",
            Self::Denied => "this is not allowed",
            Self::NotFound => "not found",
            Self::Conflict => "it changed in the meantime",
            Self::RateLimited => "too many requests; try again later",
            Self::Exhausted => "a limit is reached",
            Self::ContextOverflow => "the conversation is too long for the model",
            Self::Unavailable => "the service is not available",
            Self::Timeout => "it took too long",
            Self::Cancelled => "cancelled",
            Self::InvalidData => "the answer could not be understood",
            Self::Unsupported => "this is not supported",
            Self::Internal => "an internal error occurred",
        }
    }

    /// The advice that an error of this kind gives unless it says otherwise.
    pub fn default_retry(self) -> Retry {
        match self {
            Self::RateLimited | Self::Unavailable | Self::Timeout => Retry::Backoff,
            _ => Retry::Never,
        }
    }
}

/// Whether trying the same again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// The same call fails again.
    Never,
    /// It may work after growing pauses.
    Backoff,
    /// It may work after this long, by the other side's word.
    After(Duration),
}

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// A failure: its kind, whether a retry helps, a text for operators and one for the public.
///
/// `Display`, `Debug` and `source` are for operators. Only [`public_text`](Self::public_text) may
/// reach a chat or a model: it is the kind's fixed text unless the author wrote another. Never put a
/// secret into any of them.
///
/// ```
/// use openclaw_core::{Error, ErrorKind, Retry};
///
/// let error = Error::new(ErrorKind::RateLimited, "shop answered 429").with_public("the shop is busy");
/// assert_eq!(error.retry(), Retry::Backoff);
/// assert_eq!(error.to_string(), "shop answered 429");
/// assert_eq!(error.public_text(), "the shop is busy");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: Cow<'static, str>,
    public: Option<Cow<'static, str>>,
    context: Vec<(&'static str, String)>,
    source: Option<Source>,
}

impl Error {
    /// A failure without a cause of its own.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: kind.default_retry(),
            message: message.into(),
            public: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// A failure caused by another error, which becomes its message and [`source`](StdError::source).
    pub fn wrap(kind: ErrorKind, source: impl Into<Source>) -> Self {
        let source = source.into();
        let mut error = Self::new(kind, source.to_string());
        error.0.source = Some(source);
        error
    }

    /// A wrong configuration.
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidConfig, message)
    }

    /// A fault in this program: what must not happen, did.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Replaces the advice on trying again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Sets the text that may reach a chat or a model.
    #[must_use]
    pub fn with_public(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.0.public = Some(text.into());
        self
    }

    /// Adds what was being worked on, for operators.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying the same again may help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// True unless the advice is [`Retry::Never`].
    pub fn is_transient(&self) -> bool {
        self.0.retry != Retry::Never
    }

    /// The text that may reach a chat or a model.
    pub fn public_text(&self) -> &str {
        self.0.public.as_deref().unwrap_or_else(|| self.0.kind.public_text())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (index, (key, value)) in self.0.context.iter().enumerate() {
            f.write_str(if index == 0 { " (" } else { ", " })?;
            write!(f, "{key}: {value}")?;
        }
        if self.0.context.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match &self.0.source {
            Some(source) if source.to_string() != self.0.message => {
                write!(f, "; caused by {source}")
            }
            _ => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Gives a foreign error its kind, so that `?` works on it.
///
/// ```
/// use openclaw_core::{ErrorKind, Result, error::ResultExt as _};
///
/// fn read(text: &str) -> Result<u32> {
///     text.parse::<u32>().kind(ErrorKind::InvalidInput)
/// }
/// assert_eq!(read("x").unwrap_err().kind(), ErrorKind::InvalidInput);
/// ```
pub trait ResultExt<T> {
    /// Wraps the error, keeping it as the source.
    ///
    /// # Errors
    /// The wrapped error, if `self` was one.
    fn kind(self, kind: ErrorKind) -> Result<T>;
}

impl<T, E: Into<Source>> ResultExt<T> for Result<T, E> {
    fn kind(self, kind: ErrorKind) -> Result<T> {
        self.map_err(|source| Error::wrap(kind, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_pointer_and_sendable() {
        fn sendable<T: Send + Sync + 'static>() {}
        sendable::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn the_public_text_holds_nothing_of_the_operators_text() {
        let error =
            Error::new(ErrorKind::Internal, "row 7 of /var/db is odd").with("table", "inbox");
        assert_eq!(error.to_string(), "row 7 of /var/db is odd (table: inbox)");
        assert_eq!(error.public_text(), "an internal error occurred");
    }
}
