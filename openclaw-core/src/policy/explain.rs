//! What the owner reads when leave is asked for.

use std::fmt::{self, Write as _};

use super::{Reason, Rule, arguments::split, invisible::visible};
use crate::{
    label::{Integrity, Label},
    message::Call,
    tool::{Capability, Effect, ToolSpec, ValueKind},
};

/// The text with which the owner is asked for leave: what the tool does, why it is asked, and the
/// call in full, each value with where it came from.
///
/// The values are those of `call` itself. Nothing is shortened, and nothing is hidden: control,
/// invisible and look-alike characters are made visible, and no value can draw as anything but one line of its
/// own. What a tool says about itself is left out, for whoever wrote it is not asked.
pub fn explain(reason: &Reason, spec: &ToolSpec, call: &Call) -> String {
    let mut listing = String::new();
    let _ = writeln!(listing, "{}", quoted_unless_plain(&call.tool));
    let arguments = split(spec, &call.arguments, &Label::default());
    for (index, argument) in arguments.into_iter().enumerate() {
        let value = argument.value.to_string();
        // Both lists are of the same call in the same order, unless the reason is of another call.
        let provenance = reason
            .provenance
            .get(index)
            .filter(|p| p.argument == argument.name && p.value == value);
        let _ =
            writeln!(listing, "  {} = {}", quoted_unless_plain(&argument.name), visible(&value));
        match provenance {
            Some(p) => {
                let _ = writeln!(listing, "      {}", origin(&p.label));
                for rule in &p.because {
                    let _ = writeln!(listing, "      ! {rule}");
                }
            }
            None => listing.push_str("      from an unknown source\n"),
        }
        if let Some(letters) = lookalikes(&argument.kinds, argument.value.as_str()) {
            let _ = writeln!(listing, "      ! not plain letters: {letters}");
        }
    }

    let mut text = format!("May I do this? It {}.\n\n", power(spec));
    let fence = "`".repeat(3.max(1 + longest_run(&listing, '`')));
    let _ = write!(text, "{fence}\n{listing}{fence}\n\nI ask because {reason}");
    text
}

impl fmt::Display for Reason {
    /// Why, in a sentence that ends with a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule)?;
        for rule in &self.also {
            write!(f, "; {rule}")?;
        }
        f.write_str(".")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongTool => "the call names another tool",
            Self::NotPermitted => "this agent may not use the tool",
            Self::ConfigureFromUntrusted => {
                "settings may not be changed in a conversation that holds text from elsewhere"
            }
            Self::ConfigureByOther => "only the owner may change settings",
            Self::TooConfidential => "it would give the tool more confidential data than it may receive",
            Self::AudienceTooWide => {
                "what it finds may be more confidential than those who read this conversation may see"
            }
            Self::CriticalFromUntrusted => {
                "it cannot be undone, and you did not give every value on which it depends"
            }
            Self::ReadCarriesOut => "the request could carry private data out",
            Self::ExecuteUnsealed => "it runs code outside of a sealed sandbox",
            Self::PermissionAsks => "this agent has to ask before it uses the tool",
        })
    }
}

fn power(spec: &ToolSpec) -> String {
    let what = match spec.capability {
        Capability::ReadPublic => "reads what is public",
        Capability::ReadPrivate => "reads what is yours",
        Capability::WriteReversible => "writes",
        Capability::WriteIrreversible => "writes for good",
        Capability::Communicate => "tells somebody something",
        Capability::Execute => "runs code",
        Capability::Spend => "spends money",
        Capability::Configure => "changes how I work",
    };
    let undone = if spec.effect == Effect::Irreversible { ", and cannot be undone" } else { "" };
    format!("{what}{undone}")
}

fn origin(label: &Label) -> String {
    let who = match label.integrity {
        Integrity::System => "fixed by this program",
        Integrity::User => "given by you",
        Integrity::Untrusted => "may come from anybody",
    };
    let sources: Vec<String> = label.sources().map(quoted_unless_plain).collect();
    let read =
        if sources.is_empty() { String::new() } else { format!("; from {}", sources.join(", ")) };
    format!("{who}, {}{read}", format!("{:?}", label.confidentiality).to_lowercase())
}

/// Names that could draw as something else are shown as JSON strings.
fn quoted_unless_plain(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:/@+[]".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        visible(&serde_json::Value::from(name).to_string())
    }
}

/// The letters beyond ASCII in a value that people compare by eye.
fn lookalikes(kinds: &[ValueKind], value: Option<&str>) -> Option<String> {
    let by_eye = |kind: &ValueKind| {
        matches!(kind, ValueKind::Email | ValueKind::Url | ValueKind::Iban | ValueKind::Phone)
    };
    let value = value.filter(|value| kinds.iter().any(by_eye) && !value.is_ascii())?;
    let letters = value.chars().filter(|c| !c.is_ascii());
    Some(letters.map(|c| c.escape_unicode().to_string()).collect::<Vec<_>>().join(" "))
}

fn longest_run(text: &str, wanted: char) -> usize {
    let runs = text.split(|c| c != wanted).map(str::len);
    runs.max().unwrap_or(0)
}
