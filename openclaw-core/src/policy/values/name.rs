//! Paths and ids: compared as they are written.

use std::collections::HashSet;

use super::words::words_and_quotations;

/// The path, if that is what it looks like. A bare word is none: every sentence is full of them.
pub(super) fn path(value: &str) -> Option<String> {
    let named = value.contains(char::is_alphanumeric);
    let looks = value.contains(['/', '\\']) || has_extension(value);
    (named && looks).then(|| value.to_owned())
}

fn has_extension(value: &str) -> bool {
    value.rsplit_once('.').is_some_and(|(_, extension)| {
        !extension.is_empty() && extension.chars().all(char::is_alphanumeric)
    })
}

pub(super) fn paths(text: &str) -> HashSet<String> {
    words_and_quotations(text).into_iter().filter_map(path).collect()
}

/// The id; anything with a letter or a digit.
pub(super) fn id(value: &str) -> Option<String> {
    value.contains(char::is_alphanumeric).then(|| value.to_owned())
}

pub(super) fn ids(text: &str) -> HashSet<String> {
    let mut ids = HashSet::new();
    for word in words_and_quotations(text) {
        ids.extend(id(word));
        ids.extend(word.strip_prefix(['#', '@']).and_then(id));
    }
    ids
}
