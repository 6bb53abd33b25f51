//! What is looked for when something is forgotten, and taking it out of JSON texts.

use std::collections::{HashMap, HashSet};

use openclaw_core::memory::FORGOTTEN;

/// So many bytes of a pattern are looked up.
const WINDOW: usize = 8;
/// What is shorter could be a part of anything, so it is taken out only where it is the whole of a text.
const LEAST: usize = 16;
/// Long texts are quoted by their beginnings: in requests by one, in results of tools by the other.
const QUOTED: [usize; 2] = [1_000, 2_000];
/// Names of values that say what an entry is, never what somebody said.
const STRUCTURE: [&str; 8] =
    ["entry", "cause", "outcome", "answer", "role", "kind", "type", "effect"];

/// Texts to find: whole, by their lines and by their beginnings, as they stand in JSON and in text within that.
pub(super) struct Needles {
    /// By their first bytes; of those that begin alike the longest first.
    patterns: HashMap<[u8; WINDOW], Vec<Box<[u8]>>>,
    /// A bit for each hash of a beginning, so that most places are passed over at once.
    beginnings: Vec<u64>,
    /// Texts that are too short to be looked for within others.
    whole: HashSet<String>,
}

impl Needles {
    /// Finds these texts.
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut needles =
            Self { patterns: HashMap::new(), beginnings: vec![0; 1 << 10], whole: HashSet::new() };
        for text in texts {
            needles.add(text);
            text.lines()
                .map(str::trim)
                .filter(|line| line.len() >= LEAST)
                .for_each(|line| needles.add(line));
            for characters in QUOTED {
                if let Some((end, _)) = text.char_indices().nth(characters) {
                    needles.add(text.get(..end).unwrap_or_default());
                }
            }
        }
        for patterns in needles.patterns.values_mut() {
            patterns.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
            patterns.dedup();
        }
        needles
    }

    fn add(&mut self, text: &str) {
        let text = text.trim();
        let once = escaped(text);
        if text.len() < LEAST {
            if !text.is_empty() {
                self.whole.insert(once);
            }
            return;
        }
        let twice = escaped(&once);
        for pattern in [text.to_owned(), once, twice] {
            let Some(first) = pattern.as_bytes().first_chunk::<WINDOW>() else { continue };
            let (word, bit) = place(*first);
            if let Some(word) = self.beginnings.get_mut(word) {
                *word |= bit;
            }
            let patterns = self.patterns.entry(*first).or_default();
            patterns.push(pattern.into_bytes().into());
        }
    }

    /// Where the first of them stands that begins at `from` or behind it.
    fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        let rest = bytes.get(from..)?;
        rest.windows(WINDOW).enumerate().find_map(|(at, window)| {
            let first = window.first_chunk::<WINDOW>()?;
            let (word, bit) = place(*first);
            if self.beginnings.get(word).is_none_or(|word| word & bit == 0) {
                return None;
            }
            let here = rest.get(at..)?;
            let found =
                self.patterns.get(first)?.iter().find(|pattern| here.starts_with(pattern))?;
            Some((from + at, from + at + found.len()))
        })
    }

    /// True if one of them that is not short stands in `bytes`.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        self.find(bytes, 0).is_some()
    }

    /// `json` with [`FORGOTTEN`] in place of each; `None` if none of them is in it. `own` is all that the entry
    /// itself was forgotten for: its texts go whatever their length.
    pub(super) fn redact(&self, json: &str, own: &[String]) -> Option<String> {
        if self.whole.is_empty() && own.is_empty() && !self.are_in(json.as_bytes()) {
            return None;
        }
        let mut redacted = String::new();
        let mut copied = 0;
        let mut replace = |from: usize, to: usize| {
            redacted.push_str(json.get(copied..from).unwrap_or_default());
            redacted.push_str(FORGOTTEN);
            copied = to;
        };
        let mut key = "";
        for Quoted { from, to, is_key } in (Strings { json, at: 0 }) {
            let value = json.get(from..to).unwrap_or_default();
            if is_key {
                key = value;
            } else if key == "text" && (self.whole.contains(value) || is_of(value, own)) {
                replace(from, to);
            } else if !STRUCTURE.contains(&key) {
                let bytes = json.as_bytes().get(..to).unwrap_or_default();
                let mut at = from;
                while let Some((begin, end)) = self.find(bytes, at) {
                    // Behind an odd number of backslashes it begins with the rest of an escape.
                    let before = bytes.get(from..begin).unwrap_or_default();
                    let escapes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
                    if escapes % 2 == 1 {
                        at = begin + 1;
                    } else {
                        replace(begin, end);
                        at = end;
                    }
                }
            }
        }
        if copied == 0 {
            return None;
        }
        redacted.push_str(json.get(copied..).unwrap_or_default());
        Some(redacted)
    }
}

/// True if a value of a JSON text, as it stands there, is a part of what is forgotten of the entry itself.
fn is_of(value: &str, own: &[String]) -> bool {
    if own.is_empty() || value == FORGOTTEN {
        return false;
    }
    let text: Option<String> = serde_json::from_str(&format!("\"{value}\"")).ok();
    text.is_some_and(|text| !text.trim().is_empty() && own.iter().any(|own| own.contains(&text)))
}

/// A text as it stands between the quotation marks in JSON.
fn escaped(text: &str) -> String {
    // A string has a JSON form always.
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

fn place(first: [u8; WINDOW]) -> (usize, u64) {
    let hash = u64::from_le_bytes(first).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    ((hash >> 6) as usize, 1 << (hash & 63))
}

/// The addresses of files that a JSON text names.
pub(super) fn blobs(json: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut key = "";
    for Quoted { from, to, is_key } in (Strings { json, at: 0 }) {
        let value = json.get(from..to).unwrap_or_default();
        if is_key {
            key = value;
        } else if key == "id" && openclaw_core::blobs::BlobId::parse(value).is_ok() {
            found.push(value.to_owned());
        }
    }
    found
}

/// What stands between two quotation marks.
struct Quoted {
    from: usize,
    to: usize,
    is_key: bool,
}

/// The strings of a JSON text, in order.
struct Strings<'a> {
    json: &'a str,
    at: usize,
}

impl Iterator for Strings<'_> {
    type Item = Quoted;

    fn next(&mut self) -> Option<Quoted> {
        let bytes = self.json.as_bytes();
        let rest = |at: usize| bytes.get(at..).unwrap_or_default();
        let from = self.at + rest(self.at).iter().position(|byte| *byte == b'"')? + 1;
        let mut to = from;
        loop {
            to += rest(to).iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            match bytes.get(to) {
                Some(b'\\') => to += 2,
                _ => break,
            }
        }
        self.at = to + 1;
        let next = rest(self.at).iter().find(|byte| !byte.is_ascii_whitespace());
        Some(Quoted { from, to, is_key: next == Some(&b':') })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn redacted(texts: &[&str], value: &Value) -> Option<Value> {
        let found = Needles::new(texts.iter().copied()).redact(&value.to_string(), &[]);
        found.map(|text| serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
    }

    #[test]
    fn a_text_goes_wherever_it_stands_and_nothing_else() {
        let text = "the \"pass phrase\"\nis héliotrope \\ marmalade";
        let value = json!({
            "entry": "started", "text": text, "n": [1, 2.5, null],
            "parts": [{ "text": format!("He said: {text}. Really.") }],
            "nested": json!({ "quoted": text }).to_string(),
            "line": "is héliotrope \\ marmalade, I think", "other": "the pass phrase is not said",
        });
        let found = redacted(&[text], &value).unwrap();
        assert_eq!(
            found,
            json!({
                "entry": "started", "text": FORGOTTEN, "n": [1, 2.5, null],
                "parts": [{ "text": "He said: [forgotten]. Really." }],
                "nested": "{\"quoted\":\"[forgotten]\"}",
                "line": "[forgotten], I think", "other": "the pass phrase is not said",
            })
        );
        assert_eq!(redacted(&[text], &found), None, "once more there is nothing to do");
    }

    #[test]
    fn short_texts_go_only_as_wholes_and_structure_stays() {
        let value =
            json!({ "entry": "ok", "role": "ok", "text": "ok", "more": "ok, then", "k": "ok" });
        let found = redacted(&["ok"], &value).unwrap();
        assert_eq!(found["text"], FORGOTTEN);
        assert_eq!(
            (&found["entry"], &found["more"], &found["k"]),
            (&json!("ok"), &json!("ok, then"), &json!("ok"))
        );
        assert_eq!(redacted(&["cancel_requested"], &json!({ "entry": "cancel_requested" })), None);
    }

    #[test]
    fn an_escape_is_never_cut() {
        // The pattern begins with an n that is the end of an escape there.
        let value = json!({ "text": "a line\nnight falls over the sea" });
        let text = value.to_string().replace("\\nnight", "\\night");
        let needles = Needles::new(["night falls over the sea"]);
        assert_eq!(needles.redact(&text, &[]), None);
        let long = "word ".repeat(500);
        let quoted: String = long.chars().take(1_000).collect();
        assert_eq!(
            redacted(&[long.trim()], &json!({ "x": quoted.trim() })).unwrap()["x"],
            FORGOTTEN
        );
    }

    #[test]
    fn an_entry_loses_its_own_texts_whatever_their_length() {
        let needles = Needles::new([]);
        let value =
            json!({ "text": "hi", "parts": [{ "text": "and more" }, { "text": "not this" }] });
        let found = needles.redact(&value.to_string(), &["hi\nand more".to_owned()]).unwrap();
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found["text"], FORGOTTEN);
        assert_eq!(found["parts"], json!([{ "text": FORGOTTEN }, { "text": "not this" }]));
    }

    #[test]
    fn files_are_found_by_their_addresses() {
        let id = "ab".repeat(32);
        let json = json!({ "source": { "kind": "blob", "id": id }, "digest": id, "id": "x" });
        assert_eq!(blobs(&json.to_string()), [id]);
    }
}
