//! The entities that the server finds by itself: commands, mentions, hashtags, addresses.

use super::{Entity, sort, utf16_length};

/// `given` and what is found beside it. Nothing is found inside code or links.
pub(super) fn entities(text: &str, given: &[Entity]) -> Vec<Entity> {
    let mut all = given.to_vec();
    let taken = |offset: usize, length: usize| {
        given.iter().any(|entity| {
            let closed =
                matches!(entity.kind.as_str(), "code" | "pre" | "text_link" | "text_mention");
            closed && entity.offset < offset + length && offset < entity.end()
        })
    };
    for (start, word) in words(text) {
        let Some((kind, skip, found)) = kind_of(word) else { continue };
        let offset = utf16_length(text.get(..start + skip).unwrap_or_default());
        let length = utf16_length(found);
        if !taken(offset, length) {
            all.push(Entity::new(kind, offset, length));
        }
    }
    sort(&mut all);
    all
}

/// The words of a text, and where they begin, in bytes.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split(char::is_whitespace).map(move |word| {
        let start = at;
        // The separator is one character, whose length is the distance to the next word.
        at = start + word.len();
        at += text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        (start, word)
    })
}

/// What a word is, how many bytes of it come before, and the part that counts.
fn kind_of(word: &str) -> Option<(&'static str, usize, &str)> {
    let bare = word.trim_start_matches(['(', '[', '"', '\'', ',', ';']);
    let skip = word.len() - bare.len();
    let run = |text: &str, from: usize, wanted: fn(char) -> bool| {
        let rest = text.get(from..).unwrap_or_default();
        from + rest.find(|c| !wanted(c)).unwrap_or(rest.len())
    };
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (kind, end) = match bare.chars().next()? {
        '/' => {
            let end = run(bare, 1, name);
            let at = bare.get(end..).is_some_and(|rest| rest.starts_with('@'));
            let with_bot = if at { run(bare, end + 1, name) } else { end };
            let valid = (2..=65).contains(&end) && !bare.get(end..)?.starts_with('/');
            valid.then_some(("bot_command", if with_bot > end + 1 { with_bot } else { end }))?
        }
        '@' => {
            let end = run(bare, 1, name);
            (4..=33).contains(&end).then_some(("mention", end))?
        }
        '#' => {
            let end = run(bare, 1, |c| c.is_alphanumeric() || c == '_');
            let digits = bare.get(1..end)?.chars().all(|c| c.is_ascii_digit());
            (end > 1 && !digits).then_some(("hashtag", end))?
        }
        _ => {
            let end = bare.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '"', '\'']);
            (address(end)?, end.len())
        }
    };
    Some((kind, skip, bare.get(..end)?))
}

fn address(word: &str) -> Option<&'static str> {
    let host_of = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().contains('.');
    if let Some(rest) = word.strip_prefix("http://").or_else(|| word.strip_prefix("https://")) {
        return host_of(rest).then_some("url");
    }
    let (user, host) = word.split_once('@')?;
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_+".contains(c))
    };
    (plain(user) && plain(host) && host.contains('.') && !host.starts_with('.')).then_some("email")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_people_type() {
        for (text, expected) in [
            ("/start", "bot_command 0 6"),
            ("/start@shop_bot now", "bot_command 0 15"),
            ("😀 hi @ann_w, #news!", "mention 6 6, hashtag 14 5"),
            ("see https://example.com/a. (ok)", "url 4 21"),
            ("write a@example.com", "email 6 13"),
            ("1/2 a@b #1 @me /", ""),
        ] {
            let told: Vec<String> = entities(text, &[])
                .iter()
                .map(|entity| format!("{} {} {}", entity.kind, entity.offset, entity.length))
                .collect();
            assert_eq!(told.join(", "), expected, "{text}");
        }
        let code = [Entity::new("code", 0, 6)];
        assert_eq!(entities("/start", &code), code);
    }
}
