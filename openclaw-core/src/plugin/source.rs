//! Where in its file something stands.

use std::{collections::HashMap, fmt, sync::Arc};

use serde_json::value::RawValue;

/// One step of the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

/// A place in a file, shown in front of what is wrong there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(Option<String>);

impl fmt::Display for Place {
    /// As `openclaw.json:3:5: `, or nothing if it is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(place) => write!(f, "{place}: "),
            None => Ok(()),
        }
    }
}

/// The text that a configuration was read from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file's name, if it has one.
    name: Option<Arc<str>>,
    text: Arc<str>,
}

impl Source {
    pub(crate) fn new(name: Option<&str>, text: &str) -> Self {
        Self { name: name.map(Into::into), text: text.into() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// A line and a column, both counted from 1.
    pub(crate) fn place(&self, line: usize, column: usize) -> Place {
        Place(Some(match &self.name {
            Some(name) => format!("{name}:{line}:{column}"),
            None => format!("line {line}, column {column}"),
        }))
    }

    /// Where a part of the text begins.
    pub(crate) fn place_of(&self, part: &str) -> Place {
        let (line, column) = self.line_and_column(part);
        self.place(line, column)
    }

    /// The line and column at which a part of the text begins.
    pub(crate) fn line_and_column(&self, part: &str) -> (usize, usize) {
        let start = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let before = self.text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// Where the value at `path` stands, or the innermost one around it that exists.
    pub(crate) fn find(&self, path: &[Segment]) -> Place {
        let Ok(mut here) = serde_json::from_str::<&RawValue>(&self.text) else {
            return Place::default();
        };
        for segment in path {
            let next = match segment {
                Segment::Key(key) => {
                    let map = serde_json::from_str::<HashMap<String, &RawValue>>(here.get());
                    map.ok().and_then(|map| map.get(key).copied())
                }
                Segment::Index(index) => {
                    let list = serde_json::from_str::<Vec<&RawValue>>(here.get());
                    list.ok().and_then(|list| list.get(*index).copied())
                }
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        self.place_of(here.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_values_and_what_is_around_those_that_are_not_there() {
        let source =
            Source::new(Some("x.json"), "{\n  \"ä\": 1, \"a\": [\n    0,\n    {\"b\": true}]\n}");
        let key = |key: &str| Segment::Key(key.into());
        let table = [
            (vec![], "x.json:1:1: "),
            (vec![key("a")], "x.json:2:16: "),
            (vec![key("a"), Segment::Index(1), key("b")], "x.json:4:11: "),
            (vec![key("a"), Segment::Index(1), key("c")], "x.json:4:5: "),
            (vec![key("z")], "x.json:1:1: "),
        ];
        for (path, place) in table {
            assert_eq!(source.find(&path).to_string(), place, "{path:?}");
        }
    }
}
