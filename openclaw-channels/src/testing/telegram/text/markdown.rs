//! MarkdownV2 as the server parses it: every reserved character is markup or escaped.
//!
//! Rules and error texts follow `parse_markdown_v2` of TDLib.

use super::{Entity, Styled, link, sort};

const RESERVED: &str = "_*[]()~`>#+-=|{}.!\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Bold,
    Italic,
    Underline,
    Strikethrough,
    Spoiler,
    Code,
    Pre,
    Link,
    Emoji,
    Quote,
}

impl Mark {
    /// The Bot API's name of it.
    fn kind(self) -> &'static str {
        match self {
            Self::Bold => "bold",
            Self::Italic => "italic",
            Self::Underline => "underline",
            Self::Strikethrough => "strikethrough",
            Self::Spoiler => "spoiler",
            Self::Code => "code",
            Self::Pre => "pre",
            Self::Link => "text_link",
            Self::Emoji => "custom_emoji",
            Self::Quote => "blockquote",
        }
    }

    /// TDLib's name of it, as in errors.
    fn name(self) -> &'static str {
        match self {
            Self::Bold => "Bold",
            Self::Italic => "Italic",
            Self::Underline => "Underline",
            Self::Strikethrough => "Strikethrough",
            Self::Spoiler => "Spoiler",
            Self::Code => "Code",
            Self::Pre => "Pre",
            Self::Link => "TextUrl",
            Self::Emoji => "CustomEmoji",
            Self::Quote => "BlockQuote",
        }
    }

    /// What ends it.
    fn end(self) -> &'static str {
        match self {
            Self::Bold => "*",
            Self::Italic => "_",
            Self::Underline => "__",
            Self::Strikethrough => "~",
            Self::Spoiler => "||",
            Self::Code => "`",
            Self::Pre => "```",
            Self::Link | Self::Emoji => "]",
            Self::Quote => "\n",
        }
    }

    fn is_code(self) -> bool {
        matches!(self, Self::Code | Self::Pre)
    }
}

struct Open {
    mark: Mark,
    language: String,
    offset: usize,
    /// Where it stands in the input.
    at: usize,
    /// Where its text begins in the result.
    position: usize,
}

struct Parser<'a> {
    input: &'a str,
    at: usize,
    text: String,
    units: usize,
    open: Vec<Open>,
    entities: Vec<Entity>,
    in_quote: bool,
    /// True at the begin of a line.
    quote_may_begin: bool,
}

/// Text and entities, or what is wrong.
pub(super) fn parse(input: &str) -> Result<Styled, String> {
    let mut parser = Parser {
        input,
        at: 0,
        text: String::with_capacity(input.len()),
        units: 0,
        open: Vec::new(),
        entities: Vec::new(),
        in_quote: false,
        quote_may_begin: true,
    };
    while let Some(character) = parser.rest().chars().next() {
        parser.step(character)?;
    }
    parser.finish()?;
    sort(&mut parser.entities);
    Ok(Styled { text: parser.text, entities: parser.entities })
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn mark(&self) -> Option<Mark> {
        self.open.last().map(|open| open.mark)
    }

    fn push(&mut self, character: char) {
        self.text.push(character);
        self.units += character.len_utf16();
        if character != '\r' {
            self.quote_may_begin = character == '\n';
        }
    }

    fn step(&mut self, character: char) -> Result<(), String> {
        let escaped = self.rest().strip_prefix('\\').and_then(|rest| rest.chars().next());
        if let Some(escaped) = escaped.filter(|escaped| matches!(escaped, '\u{1}'..='~')) {
            self.at += 1 + escaped.len_utf8();
            self.push(escaped);
            return Ok(());
        }
        let in_code = self.mark().is_some_and(Mark::is_code);
        let reserved = if in_code { character == '`' } else { RESERVED.contains(character) };
        if !reserved {
            self.at += character.len_utf8();
            self.push(character);
            return Ok(());
        }
        if self.is_end(character) { self.end(character) } else { self.begin(character) }
    }

    fn is_end(&self, character: char) -> bool {
        let Some(mark) = self.mark() else { return false };
        let rest = self.rest();
        if self.in_quote && character == '\n' && !rest.starts_with("\n>") {
            return true;
        }
        match mark {
            Mark::Italic => character == '_' && !rest.starts_with("__"),
            Mark::Quote => false,
            _ => rest.starts_with(mark.end()),
        }
    }

    fn begin(&mut self, character: char) -> Result<(), String> {
        let rest = self.rest();
        let mark = match character {
            '_' if rest.starts_with("__") => Mark::Underline,
            '_' => Mark::Italic,
            '*' => Mark::Bold,
            '~' => Mark::Strikethrough,
            '|' if rest.starts_with("||") => Mark::Spoiler,
            '[' => Mark::Link,
            '!' if rest.starts_with("![") => Mark::Emoji,
            '`' if rest.starts_with("```") => Mark::Pre,
            '`' => Mark::Code,
            '\n' => {
                self.at += 1;
                self.push('\n');
                return Ok(());
            }
            '>' if self.quote_may_begin && self.in_quote => {
                self.at += 1;
                return Ok(());
            }
            '>' if self.quote_may_begin => Mark::Quote,
            _ => {
                return Err(format!(
                    "Character '{character}' is reserved and must be escaped with the preceding '\\'"
                ));
            }
        };
        let at = self.at;
        self.at += match mark {
            Mark::Underline | Mark::Spoiler | Mark::Emoji => 2,
            Mark::Pre => 3,
            _ => 1,
        };
        let language = if mark == Mark::Pre { self.language() } else { String::new() };
        self.in_quote |= mark == Mark::Quote;
        self.open.push(Open { mark, language, offset: self.units, at, position: self.text.len() });
        Ok(())
    }

    /// The word behind the fence, and one line's end.
    fn language(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '`').unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let language = match rest.get(end..).and_then(|rest| rest.chars().next()) {
            Some(next) if next != '`' => word.to_owned(),
            _ => String::new(),
        };
        self.at += language.len();
        let rest = self.rest();
        let line_end = ["\r\n", "\n\r", "\n", "\r"].into_iter().find(|end| rest.starts_with(end));
        self.at += line_end.map_or(0, str::len);
        language
    }

    fn unfinished(open: &Open) -> String {
        format!("Can't find end of {} entity at byte offset {}", open.mark.name(), open.at)
    }

    fn end(&mut self, character: char) -> Result<(), String> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        if character == '\n' && self.in_quote && !open.mark.is_code() {
            return self.end_quote(open);
        }
        self.at += open.mark.end().len();
        let mut entity = None;
        if matches!(open.mark, Mark::Link | Mark::Emoji) {
            let address = self.address()?;
            let length = self.units - open.offset;
            entity = match (open.mark, address) {
                (Mark::Emoji, None) => {
                    return Err("The entity must contain a tg://emoji or tg://time URL".to_owned());
                }
                (Mark::Emoji, Some(address)) => {
                    let id: Option<i64> =
                        address.strip_prefix("tg://emoji?id=").and_then(|id| id.parse().ok());
                    let id = id.ok_or("Invalid tg://emoji or tg://time URL specified")?;
                    Some(
                        Entity::new("custom_emoji", open.offset, length)
                            .with("custom_emoji_id", id.to_string()),
                    )
                }
                (_, address) => {
                    let text = self.text.get(open.position..).unwrap_or_default();
                    link(&address.unwrap_or_else(|| text.to_owned()), open.offset, length)
                }
            };
        } else {
            let length = self.units - open.offset;
            let mut plain = Entity::new(open.mark.kind(), open.offset, length);
            if !open.language.is_empty() {
                plain = plain.with("language", open.language);
            }
            entity.replace(plain);
        }
        self.entities.extend(entity.filter(|entity| entity.length > 0));
        Ok(())
    }

    /// The address in parentheses behind a link's text, if there is one.
    fn address(&mut self) -> Result<Option<String>, String> {
        if !self.rest().starts_with('(') {
            return Ok(None);
        }
        self.at += 1;
        let begin = self.at;
        let mut address = String::new();
        let mut escaped = false;
        for character in self.rest().to_owned().chars() {
            self.at += character.len_utf8();
            match character {
                ')' if !escaped => return Ok(Some(address)),
                '\\' if !escaped => escaped = true,
                other => {
                    address.push(other);
                    escaped = false;
                }
            }
        }
        Err(format!("Can't find end of a URL at byte offset {begin}"))
    }

    /// At the end of a quote's last line. A quote that ends with `||` is expandable.
    fn end_quote(&mut self, open: Open) -> Result<(), String> {
        let (quote, kind) = self.quote(open, self.at)?;
        self.in_quote = false;
        self.at += 1;
        self.push('\n');
        self.entities.push(Entity::new(kind, quote.offset, self.units - quote.offset));
        Ok(())
    }

    fn quote(&mut self, open: Open, end: usize) -> Result<(Open, &'static str), String> {
        match open.mark {
            Mark::Quote => Ok((open, "blockquote")),
            Mark::Spoiler if open.at + 2 == end => match self.open.pop() {
                Some(quote) if quote.mark == Mark::Quote => Ok((quote, "expandable_blockquote")),
                Some(other) => Err(Self::unfinished(&other)),
                None => Err(Self::unfinished(&open)),
            },
            _ => Err(Self::unfinished(&open)),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        if !self.in_quote {
            return Err(Self::unfinished(&open));
        }
        let (quote, kind) = self.quote(open, self.input.len())?;
        let length = self.units - quote.offset;
        if length > 0 {
            self.entities.push(Entity::new(kind, quote.offset, length));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_entities() {
        for (input, text, kinds) in [
            ("*a _b_*", "a b", "bold 0 3, italic 2 1"),
            ("__a__ ~b~ ||c||", "a b c", "underline 0 1, strikethrough 2 1, spoiler 4 1"),
            ("`a*b`", "a*b", "code 0 3"),
            ("```rust\nlet a;\n```", "let a;\n", "pre 0 7 rust"),
            ("```\nx```", "x", "pre 0 1"),
            (r"1\.5\*2", "1.5*2", ""),
            ("[x](https://example.com/a\\)b)", "x", "text_link 0 1 https://example.com/a)b"),
            ("[x](tg://user?id=7)", "x", "text_mention 0 1"),
            ("![😀](tg://emoji?id=5)", "😀", "custom_emoji 0 2"),
            (">a\n>b\nc", "a\nb\nc", "blockquote 0 4"),
            (">a\n>b||", "a\nb", "expandable_blockquote 0 3"),
        ] {
            let styled = parse(input).unwrap();
            assert_eq!(styled.text, text, "{input}");
            assert_eq!(styled.told(), kinds, "{input}");
        }
    }

    #[test]
    fn errors_are_the_servers() {
        for (input, error) in [
            ("a.", "Character '.' is reserved and must be escaped with the preceding '\\'"),
            ("a|b", "Character '|' is reserved and must be escaped with the preceding '\\'"),
            ("a > b", "Character '>' is reserved and must be escaped with the preceding '\\'"),
            ("*a", "Can't find end of Bold entity at byte offset 0"),
            ("a `b", "Can't find end of Code entity at byte offset 2"),
            ("[a](b", "Can't find end of a URL at byte offset 4"),
            ("![a](b)", "Invalid tg://emoji or tg://time URL specified"),
        ] {
            assert_eq!(parse(input).unwrap_err(), error, "{input}");
        }
    }
}
