//! The values of a call and what each is trusted for.
//!
//! - A value has the context's label: whatever the model had read may have chosen it.
//! - A critical value that the principal said themselves, whole and of the declared kind, also has the
//!   label of those words; of two true labels the better counts, in each respect.
//! - An array counts by its elements, so each is shown with its own source. An object never matches.
//! - A property that the input schema does not name, and input that is no object, is critical free text.
//! - An absent or null argument is the tool's own default, the word of whoever wrote the tool. But if a
//!   consequential call has no critical value at all, nothing ties it to the principal's words, and the
//!   context's label decides.

use serde_json::Value;

use super::Facts;
use crate::{
    label::Label,
    tool::{Critical, ToolSpec, ValueKind},
};

/// A value of a call, whole.
pub(super) struct Argument<'a> {
    /// The property's name; an element of an array has its index behind it, as in `to[0]`.
    pub(super) name: String,
    pub(super) value: &'a Value,
    /// What it may match as; none if it is not critical.
    pub(super) kinds: Vec<ValueKind>,
    pub(super) label: Label,
}

impl Argument<'_> {
    pub(super) fn is_critical(&self) -> bool {
        !self.kinds.is_empty()
    }
}

/// The values of a call with their labels.
pub(super) fn arguments<'a>(facts: &Facts<'a>) -> Vec<Argument<'a>> {
    let mut arguments = split(facts.spec, &facts.call.arguments, facts.context);
    for argument in &mut arguments {
        for kind in &argument.kinds {
            for own in facts.task.labels_of(*kind, argument.value) {
                argument.label = better(own, &argument.label);
            }
        }
    }
    arguments
}

/// The values of `input`, all with the label `context`.
pub(super) fn split<'a>(spec: &ToolSpec, input: &'a Value, context: &Label) -> Vec<Argument<'a>> {
    let argument = |name, value, kinds| Argument { name, value, kinds, label: context.clone() };
    let members = match input {
        Value::Null => return Vec::new(),
        Value::Object(members) => members,
        other => return vec![argument("input".to_owned(), other, vec![ValueKind::Text])],
    };
    let mut arguments = Vec::with_capacity(members.len());
    for (name, value) in members {
        let kinds = kinds(spec, name);
        match value {
            Value::Null => {}
            Value::Array(items) if !items.is_empty() && !kinds.is_empty() => {
                arguments.extend(items.iter().enumerate().map(|(index, item)| {
                    argument(format!("{name}[{index}]"), item, kinds.clone())
                }));
            }
            whole => arguments.push(argument(name.clone(), whole, kinds)),
        }
    }
    arguments
}

/// As what a property is critical; as nothing if it is declared and not critical.
fn kinds(spec: &ToolSpec, name: &str) -> Vec<ValueKind> {
    let Critical::These(declared) = &spec.critical else { return vec![ValueKind::Text] };
    let kinds: Vec<ValueKind> =
        declared.iter().filter(|arg| arg.name == name).map(|arg| arg.kind).collect();
    if kinds.is_empty() && !names(&spec.input_schema, name) { vec![ValueKind::Text] } else { kinds }
}

/// True if the schema has a property of this name, in whichever of its variants.
fn names(schema: &Value, name: &str) -> bool {
    schema.get("properties").is_some_and(|properties| properties.get(name).is_some())
        || ["anyOf", "oneOf", "allOf"]
            .into_iter()
            .filter_map(|word| schema.get(word)?.as_array())
            .flatten()
            .any(|variant| names(variant, name))
}

/// Both labels are true of the same value: it is as trusted and as open as the better one says.
fn better(own: &Label, other: &Label) -> Label {
    let mut label = if own.integrity >= other.integrity { own } else { other }.clone();
    label.integrity = own.integrity.max(other.integrity);
    label.confidentiality = own.confidentiality.min(other.confidentiality);
    label
}
