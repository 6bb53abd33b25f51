//! HTML as the server parses it: its own tags alone, each closed, and nothing forgiven.
//!
//! Rules and error texts follow `parse_html` of TDLib.

use super::{Entity, Styled, link, sort};

const TAGS: &[&str] = &[
    "a",
    "b",
    "strong",
    "i",
    "em",
    "s",
    "strike",
    "del",
    "u",
    "ins",
    "tg-spoiler",
    "tg-emoji",
    "span",
    "pre",
    "code",
    "blockquote",
];

/// A start tag whose end is still to come.
struct Open {
    tag: String,
    /// `href`, the language, or what else the tag's one attribute says.
    argument: String,
    /// Where its text begins, in UTF-16 units and in bytes of the result.
    offset: usize,
    position: usize,
}

struct Parser<'a> {
    input: &'a str,
    at: usize,
    text: String,
    units: usize,
    open: Vec<Open>,
    entities: Vec<Entity>,
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
    };
    while let Some(character) = parser.peek() {
        match character {
            '<' if parser.rest().starts_with("</") => parser.end_tag()?,
            '<' => parser.start_tag()?,
            '&' => {
                let character = parser.reference().unwrap_or_else(|| {
                    parser.at += 1;
                    '&'
                });
                parser.push(character);
            }
            other => {
                parser.at += other.len_utf8();
                parser.push(other);
            }
        }
    }
    if let Some(open) = parser.open.last() {
        let tag = &open.tag;
        return Err(format!("Can't find end tag corresponding to start tag \"{tag}\""));
    }
    for entity in parser.entities.iter_mut().filter(|entity| entity.kind == "code") {
        entity.extra.remove("language");
    }
    sort(&mut parser.entities);
    Ok(Styled { text: parser.text, entities: parser.entities })
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn push(&mut self, character: char) {
        self.text.push(character);
        self.units += character.len_utf16();
    }

    /// The longest run of characters that satisfy `wanted`.
    fn run(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|character| !wanted(character)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn spaces(&mut self) {
        self.run(is_space);
    }

    /// A character reference at this place; nothing moves if it is none.
    fn reference(&mut self) -> Option<char> {
        let rest = self.rest().strip_prefix('&')?;
        let (name, character) = if let Some(number) = rest.strip_prefix('#') {
            let hex = number.starts_with('x');
            let digits = number.get(usize::from(hex)..)?;
            let radix = if hex { 16 } else { 10 };
            let length = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
            let code = u32::from_str_radix(digits.get(..length)?, radix).ok()?;
            // The whole reference, `&` and `#` included, is shorter than ten characters.
            let length = 1 + usize::from(hex) + length;
            if code == 0 || length + 1 >= 10 {
                return None;
            }
            (length, char::from_u32(code)?)
        } else {
            let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let character = match rest.get(..length)? {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                _ => return None,
            };
            (length, character)
        };
        self.at += 1 + name;
        if self.peek() == Some(';') {
            self.at += 1;
        }
        Some(character)
    }

    fn start_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        self.at += 1;
        let tag = self.run(|c| !is_space(c) && c != '>').to_lowercase();
        let unclosed = || format!("Unclosed start tag at byte offset {begin}");
        if self.rest().is_empty() {
            return Err(unclosed());
        }
        if !TAGS.contains(&tag.as_str()) {
            return Err(format!("Unsupported start tag \"{tag}\" at byte offset {begin}"));
        }
        let mut argument = String::new();
        loop {
            self.spaces();
            match self.peek() {
                Some('>') => break,
                None => return Err(unclosed()),
                Some(_) => {}
            }
            let name = self.run(|c| !is_space(c) && !matches!(c, '=' | '>' | '/' | '"' | '\''));
            if name.is_empty() {
                return Err(format!(
                    "Empty attribute name in the tag \"{tag}\" at byte offset {begin}"
                ));
            }
            self.spaces();
            let value = if self.peek() == Some('=') {
                self.at += 1;
                self.spaces();
                self.value()?
            } else {
                String::new()
            };
            if self.rest().is_empty() {
                return Err(format!("Unclosed start tag \"{tag}\" at byte offset {begin}"));
            }
            match (tag.as_str(), name) {
                ("a", "href") | ("tg-emoji", "emoji-id") => argument = value,
                ("code", "class") if value.starts_with("language-") => {
                    argument = value.replacen("language-", "", 1);
                }
                ("span", "class") if value.starts_with("tg-") => {
                    argument = value.replacen("tg-", "", 1);
                }
                ("blockquote", "expandable") => argument = "1".to_owned(),
                _ => {}
            }
        }
        self.at += 1;
        if tag == "span" && argument != "spoiler" {
            return Err(format!(
                "Tag \"span\" must have class \"tg-spoiler\" at byte offset {begin}"
            ));
        }
        self.open.push(Open { tag, argument, offset: self.units, position: self.text.len() });
        Ok(())
    }

    /// An attribute's value, with or without quotes.
    fn value(&mut self) -> Result<String, String> {
        let begin = self.at;
        let Some(quote @ ('"' | '\'')) = self.peek() else {
            let token = self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
            return match self.peek() {
                Some(next) if !is_space(next) && next != '>' => {
                    Err(format!("Unexpected end of name token at byte offset {begin}"))
                }
                _ => Ok(token.to_lowercase()),
            };
        };
        self.at += 1;
        let mut value = String::new();
        while let Some(character) = self.peek() {
            if character == quote {
                self.at += 1;
                break;
            }
            let reference = (character == '&').then(|| self.reference()).flatten();
            value.push(reference.unwrap_or_else(|| {
                self.at += character.len_utf8();
                character
            }));
        }
        Ok(value)
    }

    fn end_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        let Some(open) = self.open.pop() else {
            return Err(format!("Unexpected end tag at byte offset {begin}"));
        };
        self.at += 2;
        let name = self.run(|c| !is_space(c) && c != '>').to_lowercase();
        self.spaces();
        if self.peek() != Some('>') {
            return Err(format!("Unclosed end tag at byte offset {begin}"));
        }
        self.at += 1;
        let tag = &open.tag;
        if !name.is_empty() && name != *tag {
            return Err(format!(
                "Unmatched end tag at byte offset {begin}, expected \"</{tag}>\", found \"</{name}>\""
            ));
        }
        if self.units > open.offset {
            self.entity(&open)?;
        }
        Ok(())
    }

    fn entity(&mut self, open: &Open) -> Result<(), String> {
        let (offset, length) = (open.offset, self.units - open.offset);
        let plain = |kind| Some(Entity::new(kind, offset, length));
        let same = |entity: &&mut Entity, kind: &str| {
            entity.kind == kind && entity.offset == offset && entity.length == length
        };
        let entity = match open.tag.as_str() {
            "b" | "strong" => plain("bold"),
            "i" | "em" => plain("italic"),
            "u" | "ins" => plain("underline"),
            "s" | "strike" | "del" => plain("strikethrough"),
            "tg-spoiler" | "span" => plain("spoiler"),
            "blockquote" if open.argument.is_empty() => plain("blockquote"),
            "blockquote" => plain("expandable_blockquote"),
            "tg-emoji" => {
                let id: Option<i64> = open.argument.parse().ok().filter(|id| *id != 0);
                let id = id.ok_or("Invalid custom emoji identifier specified")?;
                plain("custom_emoji").map(|e| e.with("custom_emoji_id", id.to_string()))
            }
            "a" => {
                let text = self.text.get(open.position..).unwrap_or_default();
                let address = if open.argument.is_empty() { text } else { &open.argument };
                link(address, offset, length)
            }
            // `<pre><code class="language-x">` is one block of code, in either order.
            "pre" => {
                let inner = self.entities.last_mut().filter(|inner| same(inner, "code"));
                match inner.filter(|inner| inner.extra.contains_key("language")) {
                    Some(inner) => {
                        inner.kind = "pre".to_owned();
                        None
                    }
                    None => plain("pre"),
                }
            }
            "code" if !open.argument.is_empty() => {
                let language = open.argument.as_str();
                match self.entities.last_mut().filter(|inner| same(inner, "pre")) {
                    Some(inner) => {
                        inner.extra.insert("language".to_owned(), language.into());
                        None
                    }
                    None => plain("code").map(|entity| entity.with("language", language)),
                }
            }
            _ => plain("code"),
        };
        self.entities.extend(entity);
        Ok(())
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n' | '\0' | '\x0b')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_entities() {
        for (input, text, kinds) in [
            ("<b>a <i>b</i></b>", "a b", "bold 0 3, italic 2 1"),
            ("<strong>a</strong><em>b</em>", "ab", "bold 0 1, italic 1 1"),
            (
                "<u>a</u><ins>b</ins><s>c</s><del>d</del><strike>e</strike>",
                "abcde",
                "underline 0 1, underline 1 1, strikethrough 2 1, strikethrough 3 1, strikethrough 4 1",
            ),
            (
                "<tg-spoiler>a</tg-spoiler><span class=\"tg-spoiler\">b</span>",
                "ab",
                "spoiler 0 1, spoiler 1 1",
            ),
            ("😀<code>a&lt;b</code>", "😀a<b", "code 2 3"),
            ("<pre><code class=\"language-rust\">x</code></pre>", "x", "pre 0 1 rust"),
            ("<code class=\"language-rust\">x</code>", "x", "code 0 1"),
            ("<pre>x</pre>", "x", "pre 0 1"),
            (
                "<blockquote>a</blockquote><blockquote expandable>b</blockquote>",
                "ab",
                "blockquote 0 1, expandable_blockquote 1 1",
            ),
            (
                "<a href='https://example.com/?a=1&amp;b=2'>x</a>",
                "x",
                "text_link 0 1 https://example.com/?a=1&b=2",
            ),
            ("<a href=\"tg://user?id=7\">x</a>", "x", "text_mention 0 1"),
            ("<a href=\"nonsense\">x</a>", "x", ""),
            ("<b></b>a&amp;&quot;&#65;&#x42;&nbsp;", "a&\"AB&nbsp;", ""),
            ("<B>a</>", "a", "bold 0 1"),
        ] {
            let styled = parse(input).unwrap();
            assert_eq!(styled.text, text, "{input}");
            assert_eq!(styled.told(), kinds, "{input}");
        }
    }

    #[test]
    fn errors_are_the_servers() {
        for (input, error) in [
            ("<b>a", "Can't find end tag corresponding to start tag \"b\""),
            ("a</b>", "Unexpected end tag at byte offset 1"),
            ("<b>a</i>", "Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\""),
            ("<p>a</p>", "Unsupported start tag \"p\" at byte offset 0"),
            ("a < b", "Unsupported start tag \"\" at byte offset 2"),
            ("<b", "Unclosed start tag at byte offset 0"),
            ("<b>a</b", "Unclosed end tag at byte offset 4"),
            ("<span>a</span>", "Tag \"span\" must have class \"tg-spoiler\" at byte offset 0"),
            ("<br/>", "Unsupported start tag \"br/\" at byte offset 0"),
            ("<b />a</b>", "Empty attribute name in the tag \"b\" at byte offset 0"),
            ("<a href=x:y>a</a>", "Unexpected end of name token at byte offset 8"),
            ("<tg-emoji emoji-id=\"x\">a</tg-emoji>", "Invalid custom emoji identifier specified"),
        ] {
            assert_eq!(parse(input).unwrap_err(), error, "{input}");
        }
    }

    #[test]
    fn offsets_are_utf16_units() {
        let styled = parse("é😀<b>x</b>").unwrap();
        assert_eq!(styled.entities, [Entity::new("bold", 3, 1)]);
    }
}
