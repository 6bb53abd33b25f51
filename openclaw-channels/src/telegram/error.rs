//! What Telegram's refusals mean.

use std::time::Duration;

use openclaw_core::{Error, ErrorKind, Retry, message::Sent};
use serde::Deserialize;

/// A call that brought no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// Telegram refused it: it did not happen.
    Refused(Refusal),
    /// It never left this machine: it did not happen.
    NotSent(Error),
    /// Nobody knows whether it happened.
    Lost(Error),
}

/// Telegram's word for why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) description: String,
    pub(super) parameters: Parameters,
}

/// What Telegram adds to a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Parameters {
    /// The group goes on as a supergroup under this id.
    pub(super) migrate_to_chat_id: Option<i64>,
    /// In seconds.
    pub(super) retry_after: Option<u64>,
}

impl Refusal {
    /// True if the description has this text, in whatever case.
    fn says(&self, text: &str) -> bool {
        self.description.to_ascii_lowercase().contains(text)
    }

    /// The message already reads so.
    pub(super) fn is_not_modified(&self) -> bool {
        self.says("message is not modified")
    }

    /// The message that was to be taken away is not there.
    pub(super) fn is_already_deleted(&self) -> bool {
        self.says("message to delete not found") || self.says("message_id_invalid")
    }

    /// The message is a file with a caption, not a text.
    pub(super) fn is_caption(&self) -> bool {
        self.says("there is no text in the message to edit")
    }

    /// Our HTML was not understood.
    pub(super) fn is_unparsable(&self) -> bool {
        self.says("can't parse entities") || self.says("can't parse caption")
    }

    /// What was sent as a picture cannot be shown as one.
    pub(super) fn is_no_picture(&self) -> bool {
        self.says("photo_invalid_dimensions") || self.says("image_process_failed")
    }

    /// Somebody else reads the bot's updates.
    pub(super) fn is_conflict(&self) -> bool {
        self.code == 409
    }

    /// The token is not valid, or not any more.
    pub(super) fn is_unauthorized(&self) -> bool {
        // A token of another form is answered by 404, as is a bot that was deleted.
        self.code == 401 || (self.code == 404 && self.description == "Not Found")
    }

    fn kind(&self) -> ErrorKind {
        match self.code {
            _ if self.is_unauthorized() => ErrorKind::Unauthenticated,
            403 => ErrorKind::Denied,
            409 => ErrorKind::Conflict,
            413 => ErrorKind::Exhausted,
            429 => ErrorKind::RateLimited,
            404 => ErrorKind::NotFound,
            _ if self.says("too big") || self.says("too long") || self.says("too large") => {
                ErrorKind::Exhausted
            }
            _ if self.says("not found") => ErrorKind::NotFound,
            _ if self.says("not enough rights") || self.says("have no rights") => ErrorKind::Denied,
            _ if self.says("reaction_invalid") => ErrorKind::Unsupported,
            _ => ErrorKind::InvalidInput,
        }
    }

    fn public(&self) -> Option<&'static str> {
        Some(match self.code {
            403 if self.says("blocked by the user") => "they have blocked the bot",
            403 if self.says("kicked") || self.says("not a member") => {
                "the bot is not a member of that chat"
            }
            403 if self.says("deactivated") => "their account does not exist any more",
            403 if self.says("initiate") => {
                "they have never written to the bot, so it may not begin"
            }
            403 => "the bot may not write there",
            400 if self.says("chat not found") => "there is no such chat, or the bot is not in it",
            400 if self.says("message thread not found") => "the topic does not exist any more",
            400 if self.says("topic_closed") => "the topic is closed",
            400 if self.says("not enough rights") => {
                "the bot has not the rights for that in that chat"
            }
            400 if self.says("can't be edited") => "the message cannot be edited any more",
            400 if self.says("can't be deleted") => "the message cannot be deleted any more",
            _ => return None,
        })
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let (code, text) = (refusal.code, &refusal.description);
        let error = if refusal.is_unauthorized() {
            Error::new(
                ErrorKind::Unauthenticated,
                format!(
                    "Telegram refuses the bot's token ({code}: {text}): it is wrong or was revoked; get \
                     one from @BotFather with /token, set it, and start the channel again"
                ),
            )
        } else if refusal.is_conflict() {
            // It ends when the other one does.
            Error::new(
                ErrorKind::Conflict,
                format!(
                    "another program takes this bot's updates, or sets its webhook ({code}: {text}): stop it, \
                     or give each a bot of its own"
                ),
            )
            .with_retry(Retry::Backoff)
        } else {
            Error::new(refusal.kind(), format!("Telegram refused: {code}: {text}"))
        };
        let error = match (code, refusal.parameters.retry_after) {
            (429, Some(seconds)) => error.with_retry(Retry::After(Duration::from_secs(seconds))),
            _ => error,
        };
        match refusal.public() {
            Some(public) => error.with_public(public),
            None => error,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::NotSent(error) | Failure::Lost(error) => error,
        }
    }
}

/// What delivery is told: an error if it did not happen.
pub(super) fn outcome(done: Result<Sent, Failure>) -> openclaw_core::Result<Sent> {
    match done {
        Ok(sent) => Ok(sent),
        Err(Failure::Lost(error)) => Ok(Sent::Unknown(error)),
        Err(failure) => Err(failure.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16, description: &str) -> Refusal {
        Refusal { code, description: description.into(), parameters: Parameters::default() }
    }

    #[test]
    fn refusals_say_what_to_do() {
        use ErrorKind::*;
        let table = [
            (401, "Unauthorized", Unauthenticated, None),
            (404, "Not Found", Unauthenticated, None),
            (
                403,
                "Forbidden: bot was blocked by the user",
                Denied,
                Some("they have blocked the bot"),
            ),
            (
                403,
                "Forbidden: bot was kicked from the supergroup chat",
                Denied,
                Some("the bot is not a member of that chat"),
            ),
            (
                403,
                "Forbidden: user is deactivated",
                Denied,
                Some("their account does not exist any more"),
            ),
            (
                403,
                "Forbidden: bot can't initiate conversation with a user",
                Denied,
                Some("they have never written to the bot, so it may not begin"),
            ),
            (
                400,
                "Bad Request: chat not found",
                NotFound,
                Some("there is no such chat, or the bot is not in it"),
            ),
            (400, "Bad Request: message to edit not found", NotFound, None),
            (
                400,
                "Bad Request: message thread not found",
                NotFound,
                Some("the topic does not exist any more"),
            ),
            (
                400,
                "Bad Request: not enough rights to send text messages to the chat",
                Denied,
                Some("the bot has not the rights for that in that chat"),
            ),
            (400, "Bad Request: message is too long", Exhausted, None),
            (400, "Bad Request: REACTION_INVALID", Unsupported, None),
            (400, "Bad Request: wrong file identifier", InvalidInput, None),
            (409, "Conflict: terminated by other getUpdates request", Conflict, None),
            (413, "Request Entity Too Large", Exhausted, None),
            (429, "Too Many Requests: retry after 7", RateLimited, None),
        ];
        for (code, description, kind, public) in table {
            let error = Error::from(refusal(code, description));
            assert_eq!(error.kind(), kind, "{description}");
            let transient = matches!(kind, RateLimited | Conflict);
            assert_eq!(error.is_transient(), transient, "{description}");
            assert_eq!(error.public_text(), public.unwrap_or(kind.public_text()), "{description}");
            assert!(error.to_string().contains(description), "{error}");
        }
    }

    #[test]
    fn the_wait_is_telegrams() {
        let mut refused = refusal(429, "Too Many Requests: retry after 7");
        refused.parameters.retry_after = Some(7);
        assert_eq!(Error::from(refused).retry(), Retry::After(Duration::from_secs(7)));
    }
}
