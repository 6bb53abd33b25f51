//! Saying what is wrong with a configuration, all at once and so that it can be mended.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{error::Category, value::RawValue};

use super::{
    config::{Config, FallbackEntry, ModelAlias, OwnerEntry, TelemetryEntry},
    entry::PluginEntry,
    layers::{ProviderLayer, ToolLayer},
    source::Source,
};
use crate::{access::Access, agent::Agent, delivery::Preview, gateway::Binding};

/// From which Jaro-Winkler similarity on one name is taken for a slip of another.
const ALIKE: f64 = 0.8;

/// How alike two names are, if one may be a slip of the other.
fn likeness(a: &str, b: &str) -> Option<f64> {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let length = a.chars().count().max(b.chars().count());
    let slips = strsim::damerau_levenshtein(&a, &b);
    let alike = strsim::jaro_winkler(&a, &b);
    let few = slips < length && slips <= (length / 3).max(1);
    (few || alike >= ALIKE).then(|| alike.max(strsim::normalized_damerau_levenshtein(&a, &b)))
}

/// The name most like `name`, if one is alike at all.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter_map(|known| Some((likeness(name, known)?, known)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// `; did you mean "x"?`, or nothing.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|known| format!("; did you mean {known:?}?")).unwrap_or_default()
}

/// What a deserializer said, without the place, without the value that was found (it may be a secret)
/// and with the nearest name where it did not know one.
pub(crate) fn explain(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let said = without_value(said.strip_suffix(&place).unwrap_or(&said));
    if !said.starts_with("unknown ") {
        return said;
    }
    // serde writes "unknown field `a`, expected one of `b`, `c`".
    let mut names = said.split('`').skip(1).step_by(2);
    let Some(unknown) = names.next() else { return said };
    let known: Vec<&str> = names.collect();
    let hint = did_you_mean(unknown, known);
    said + &hint
}

/// Leaves out the value in "invalid type: string \"x\", expected ..".
fn without_value(said: &str) -> String {
    match (said.find("string \""), said.rfind("\", expected ")) {
        (Some(from), Some(to)) if from < to && said.starts_with("invalid ") => {
            let (before, after) = (said.get(..from), said.get(to + 1..));
            format!("{}a string{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => said.to_owned(),
    }
}

/// All that is wrong with a text that was refused with `error`.
pub(super) fn faults(source: &Source, error: &serde_json::Error) -> Vec<String> {
    let first = format!("{}{}", source.place(error.line(), error.column()), explain(error));
    match error.classify() {
        Category::Data => {
            let mut found = Found { source, faults: Vec::new() };
            found.look();
            if found.faults.is_empty() { vec![first] } else { found.faults }
        }
        _ => vec![format!("{first}{}", syntax_hint(source.text(), error))],
    }
}

/// What people write that JSON does not have.
fn syntax_hint(text: &str, error: &serde_json::Error) -> &'static str {
    if text.trim().is_empty() {
        return ". The configuration is empty; the smallest one is {}";
    }
    if error.is_eof() {
        return ". It ends too soon: is it cut off, or is a closing bracket missing?";
    }
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let at = line.chars().nth(error.column().saturating_sub(1));
    match at {
        Some('/' | '#') => ". JSON has no comments",
        Some('\'') => ". JSON's texts stand in double quotes",
        _ if error.to_string().starts_with("trailing comma") => {
            ". Take away the comma before the closing bracket"
        }
        _ => "",
    }
}

/// Looks at each part of a configuration by itself.
struct Found<'a> {
    source: &'a Source,
    faults: Vec<String>,
}

impl Found<'_> {
    fn look(&mut self) {
        let parts = serde_json::from_str::<BTreeMap<String, &RawValue>>(self.source.text());
        // The whole not being an object is the one fault, which the caller has.
        for (name, part) in parts.into_iter().flatten() {
            match name.as_str() {
                "plugins" => self.items::<PluginEntry>(&name, part),
                "agents" => self.items::<Agent>(&name, part),
                "bindings" => self.items::<Binding>(&name, part),
                "owners" => self.items::<OwnerEntry>(&name, part),
                "provider_layers" => self.items::<ProviderLayer>(&name, part),
                "tool_layers" => self.items::<ToolLayer>(&name, part),
                "fallbacks" => self.items::<FallbackEntry>(&name, part),
                "models" => self.values::<ModelAlias>(&name, part),
                "access" => self.values::<Access>(&name, part),
                "previews" => self.values::<Preview>(&name, part),
                "store" => self.one::<Option<PluginEntry>>(&name, part),
                "telemetry" => self.one::<Option<TelemetryEntry>>(&name, part),
                _ => self.other(&name, part),
            }
        }
    }

    fn items<T: DeserializeOwned>(&mut self, name: &str, list: &RawValue) {
        match serde_json::from_str::<Vec<&RawValue>>(list.get()) {
            Err(error) => self.fault(name, list, &error),
            Ok(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    self.one::<T>(&format!("{name}[{index}]"), item);
                }
            }
        }
    }

    fn values<T: DeserializeOwned>(&mut self, name: &str, map: &RawValue) {
        match serde_json::from_str::<BTreeMap<String, &RawValue>>(map.get()) {
            Err(error) => self.fault(name, map, &error),
            Ok(values) => {
                for (key, value) in values {
                    if let Err(error) = key.parse::<crate::AccountId>() {
                        self.faults
                            .push(format!("{}{name}: {error}", self.source.place_of(value.get())));
                    }
                    self.one::<T>(&format!("{name}.{key:?}"), value);
                }
            }
        }
    }

    fn one<T: DeserializeOwned>(&mut self, name: &str, part: &RawValue) {
        if let Err(error) = serde_json::from_str::<T>(part.get()) {
            self.fault(name, part, &error);
        }
    }

    /// A setting by itself, or a name that nothing has.
    fn other(&mut self, name: &str, part: &RawValue) {
        let alone = format!("{{{}:{}}}", serde_json::Value::from(name), part.get());
        if let Err(error) = serde_json::from_str::<Config>(&alone) {
            let place = self.source.place_of(part.get());
            self.faults.push(format!("{place}{name}: {}", explain(&error)));
        }
    }

    fn fault(&mut self, name: &str, part: &RawValue, error: &serde_json::Error) {
        let (line, column) = self.source.line_and_column(part.get());
        let column = if error.line() <= 1 { column - 1 + error.column() } else { error.column() };
        let place = self.source.place(line + error.line().saturating_sub(1), column);
        self.faults.push(format!("{place}{name}: {}", explain(error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_named_and_a_stranger_is_not() {
        assert_eq!(did_you_mean("opnai", ["openai", "sqlite"]), "; did you mean \"openai\"?");
        assert_eq!(did_you_mean("sya", ["call", "say"]), "; did you mean \"say\"?");
        assert_eq!(did_you_mean("zzz", ["openai", "sqlite"]), "");
    }

    #[test]
    fn values_are_left_out() {
        let error = serde_json::from_str::<Vec<u8>>(r#"["sk-\", expected 1"]"#).unwrap_err();
        assert_eq!(explain(&error), "invalid type: a string, expected u8");
        let error = serde_json::from_str::<u8>("300").unwrap_err();
        assert_eq!(explain(&error), "invalid value: integer `300`, expected u8");
    }
}
