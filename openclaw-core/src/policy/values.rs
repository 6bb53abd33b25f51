//! Exact typed matches of argument values with the principal's own words.
//!
//! The words are trusted, the value is not: a model that obeys somebody else chose it. So what counts
//! is what the principal wrote as *one whole value* of the kind. A value that is part of a longer one,
//! looks alike, or would need a guess does not match, and the owner is asked.
//!
//! Both sides are brought to one canonical text by kind ([`canonical`], [`spans`]) and compared for
//! equality. The words are cut up once for each kind that is asked for, in time linear in their length.

mod address;
mod amount;
mod date;
mod name;
mod words;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use super::invisible::is_invisible;
use crate::{label::Label, tool::ValueKind};

/// What the principal said in this task, in their own words, with the labels of those words.
///
/// A value that occurs here as a whole value of its type was chosen by the principal, whatever else
/// the model has read. What is matched:
///
/// | kind | equal are | never equal |
/// |---|---|---|
/// | e-mail | the domain in upper and lower case | part of an address; the local part in another case |
/// | phone | digits grouped otherwise | with and without `+`; part of a number |
/// | IBAN | with and without spaces, upper and lower case; checksum and length hold | anything else |
/// | URL | host in another case, default port, `www.…` said without `https://` | another path, query or user; host or dot segments in disguise |
/// | path | the exact text; with spaces only if said in quotes | a prefix; a bare word |
/// | id | the exact text; `#4711` and `@ann` also without the sign | part of a word |
/// | amount | `1500`, `1,500.00`, `1.500,00`; a bare number for `$20` | another or an added currency; `1.500`, which may mean two numbers |
/// | date | `2026-11-22`, `22.11.2026`, `22 November 2026`, `11/22/2026` | `1/2/2026`, which may mean two days; no year |
/// | text | nothing | |
///
/// Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct Task {
    said: Vec<Arc<Said>>,
}

struct Said {
    text: String,
    label: Label,
    spans: [OnceLock<HashSet<String>>; 8],
}

impl fmt::Debug for Said {
    /// Leaves out the words: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {}", self.text.len(), self.label)
    }
}

impl Task {
    /// A task in which nothing was said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds words of the principal's own.
    pub fn said(&mut self, text: impl Into<String>, label: Label) {
        let said = Said { text: text.into(), label, spans: Default::default() };
        self.said.push(Arc::new(said));
    }

    /// The labels of the words in which the principal said `value` as a whole value of this kind.
    pub(super) fn labels_of<'a>(
        &'a self,
        kind: ValueKind,
        value: &Value,
    ) -> impl Iterator<Item = &'a Label> + use<'a> {
        let wanted = match value {
            Value::String(text) => canonical(kind, text),
            Value::Number(number) => match kind {
                ValueKind::Amount => amount::of_number(number),
                ValueKind::Id | ValueKind::Phone => canonical(kind, &number.to_string()),
                _ => None,
            },
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let slot = slot(kind);
        self.said.iter().filter_map(move |said| {
            let spans = said.spans.get(slot?)?.get_or_init(|| spans(kind, &said.text));
            spans.contains(wanted.as_deref()?).then_some(&said.label)
        })
    }
}

fn slot(kind: ValueKind) -> Option<usize> {
    Some(match kind {
        ValueKind::Email => 0,
        ValueKind::Phone => 1,
        ValueKind::Iban => 2,
        ValueKind::Url => 3,
        ValueKind::Path => 4,
        ValueKind::Id => 5,
        ValueKind::Amount => 6,
        ValueKind::Date => 7,
        ValueKind::Text => return None,
    })
}

/// The one form of all ways to write `value`; none if it is no value of this kind or could mislead
/// whoever looks at it.
fn canonical(kind: ValueKind, value: &str) -> Option<String> {
    let misleads = |c: char| c.is_control() || is_invisible(c) || (c.is_whitespace() && c != ' ');
    if value.starts_with(' ') || value.ends_with(' ') || value.contains(misleads) {
        return None;
    }
    match kind {
        ValueKind::Email => address::email(value),
        ValueKind::Phone => address::phone(value),
        ValueKind::Iban => address::iban(value),
        ValueKind::Url => address::url(value),
        ValueKind::Path => name::path(value),
        ValueKind::Id => name::id(value),
        ValueKind::Amount => amount::canonical(value),
        ValueKind::Date => date::canonical(value),
        ValueKind::Text => None,
    }
}

/// The canonical forms of all values of this kind in the principal's words.
fn spans(kind: ValueKind, text: &str) -> HashSet<String> {
    match kind {
        ValueKind::Email => address::emails(text),
        ValueKind::Phone => address::phones(text),
        ValueKind::Iban => address::ibans(text),
        ValueKind::Url => address::urls(text),
        ValueKind::Path => name::paths(text),
        ValueKind::Id => name::ids(text),
        ValueKind::Amount => amount::amounts(text),
        ValueKind::Date => date::dates(text),
        ValueKind::Text => HashSet::new(),
    }
}
