//! Exact typed matches of argument values with the principal's own words.

use crate::{label::Label, tool::ValueKind};

/// What the principal said in this task, in their own words, with the labels of those words.
///
/// A value that occurs here as a whole value of its type was chosen by the principal, whatever else
/// the model has read.
#[derive(Clone, Debug, Default)]
pub struct Task {
    texts: Vec<(String, Label)>,
}

impl Task {
    /// A task in which nothing was said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds words of the principal's own.
    pub fn said(&mut self, text: impl Into<String>, label: Label) {
        self.texts.push((text.into(), label));
    }

    /// The label of `value` if the principal said it as a whole value of this kind.
    pub(super) fn label_of(&self, kind: ValueKind, value: &str) -> Option<Label> {
        if kind == ValueKind::Text {
            return None;
        }
        let wanted = value.trim();
        if wanted.is_empty() {
            return None;
        }
        self.texts
            .iter()
            .find(|(text, _)| {
                text.split_whitespace().any(|word| {
                    word == wanted || word.trim_matches(|c: char| !c.is_alphanumeric()) == wanted
                })
            })
            .map(|(_, label)| label.clone())
    }
}
