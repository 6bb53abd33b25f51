//! What people can say to the gateway itself.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, ApprovalId};

/// A word to the gateway. Commands are taken from those who were let in; the owner's alone are marked
/// so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum Command {
    /// `/new`: another history begins.
    New,
    /// `/compact`: what was said but for the last of it becomes a summary.
    Compact,
    /// `/stop`: the open turn ends.
    Stop,
    /// `/status`: what the session is doing.
    Status,
    /// `/usage`: what it used.
    Usage,
    /// `/help`.
    Help,
    /// `/agent [name]`: another agent answers here. The owner's.
    Agent { name: Option<AgentId> },
    /// `/approve ID [yes|no]`. The owner's.
    Approve { approval: ApprovalId, allow: bool },
    /// `/pair CODE`. The owner's.
    Pair { code: String },
}

/// Names and purposes of the commands, for channels that can register them and for `/help`.
pub const COMMANDS: [(&str, &str); 9] = [
    ("new", "Start a new conversation"),
    ("compact", "Sum up what was said, to make room"),
    ("stop", "Stop what I am doing"),
    ("status", "Say what I am doing"),
    ("usage", "Say what this conversation used"),
    ("agent", "Show the agents, or let another one answer here: /agent NAME"),
    ("approve", "Give or refuse leave: /approve ID yes, /approve ID no"),
    ("pair", "Let somebody in: /pair CODE"),
    ("help", "Show this"),
];

/// Reads a command; `None` if the text is none, and is then a message like any other.
pub(crate) fn parse(text: &str) -> Option<Command> {
    let mut words = text.trim().strip_prefix('/')?.split_whitespace();
    // Groups address one of several bots: `/status@name`.
    let name = words.next()?.split('@').next()?.to_ascii_lowercase();
    let (first, second) = (words.next(), words.next());
    if words.next().is_some() {
        return None;
    }
    Some(match (name.as_str(), first, second) {
        ("new" | "reset", None, None) => Command::New,
        ("compact", None, None) => Command::Compact,
        ("stop", None, None) => Command::Stop,
        ("status", None, None) => Command::Status,
        ("usage", None, None) => Command::Usage,
        ("help", None, None) => Command::Help,
        ("agent", name, None) => Command::Agent { name: name.map(AgentId::from) },
        ("approve", Some(id), answer) => Command::Approve {
            approval: ApprovalId::from(id.to_ascii_lowercase()),
            allow: match answer.map(str::to_ascii_lowercase).as_deref() {
                None | Some("yes" | "y" | "allow") => true,
                Some("no" | "n" | "deny") => false,
                Some(_) => return None,
            },
        },
        ("pair", Some(code), None) => Command::Pair { code: code.to_ascii_uppercase() },
        _ => return None,
    })
}

/// The token of a button that answers an ask.
pub(crate) fn approval_token(approval: &ApprovalId, allow: bool) -> String {
    format!("approve:{approval}:{}", if allow { "yes" } else { "no" })
}

/// Reads a button's token as a command.
pub(crate) fn parse_token(token: &str) -> Option<Command> {
    let (approval, answer) = token.strip_prefix("approve:")?.rsplit_once(':')?;
    let allow = match answer {
        "yes" => true,
        "no" => false,
        _ => return None,
    };
    Some(Command::Approve { approval: approval.into(), allow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_commands_and_leaves_the_rest_alone() {
        assert_eq!(parse("/new"), Some(Command::New));
        assert_eq!(parse(" /Status@my_bot "), Some(Command::Status));
        let approve = |allow| Some(Command::Approve { approval: "k7q2m".into(), allow });
        assert_eq!(parse("/approve K7Q2M"), approve(true));
        assert_eq!(parse("/approve k7q2m no"), approve(false));
        assert_eq!(parse_token(&approval_token(&"k7q2m".into(), false)), approve(false));
        for text in ["new", "/", "/approve", "/approve x maybe", "/etc/passwd", "/new thing", ""] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse_token("approve:x:maybe"), None);
    }
}
