//! From Telegram's text with entities to `CommonMark`.
//!
//! People and models read the result as it stands, and values are looked for in it, so nothing is escaped
//! that need not be.

use std::{collections::BTreeSet, ops::Range};

use openclaw_core::message::Content;
use pulldown_cmark::{Event, Options, Parser};

use crate::telegram::types::Entity;

/// An entity and where it is, in bytes.
#[derive(Clone)]
pub(super) struct Span<'a> {
    pub(super) range: Range<usize>,
    pub(super) entity: &'a Entity,
}

/// The entities with their places in bytes. One whose place is not in the text, or within a character, is
/// left out.
pub(super) fn spans<'a>(text: &str, entities: &'a [Entity]) -> Vec<Span<'a>> {
    let mut bytes = std::collections::BTreeMap::new();
    let mut units = 0;
    for (at, c) in text.char_indices() {
        bytes.insert(units, at);
        units += c.len_utf16();
    }
    bytes.insert(units, text.len());
    let place = |entity: &'a Entity| {
        let end = entity.offset.checked_add(entity.length)?;
        let range = *bytes.get(&entity.offset)?..*bytes.get(&end)?;
        (!range.is_empty()).then_some(Span { range, entity })
    };
    let mut spans: Vec<Span<'_>> = entities.iter().filter_map(place).collect();
    spans.sort_by_key(|span| (span.range.start, std::cmp::Reverse(span.range.end)));
    spans
}

/// The text as Markdown; people who are named without a name of their own are parts of their own.
pub(super) fn content(text: &str, entities: &[Entity], us: i64) -> Vec<Content> {
    let spans = spans(text, entities);
    let mut content = Vec::new();
    let mut rest = 0;
    for span in &spans {
        let Some(user) = &span.entity.user else { continue };
        if user.id == us || span.range.start < rest {
            continue;
        }
        push(&mut content, text, rest..span.range.start, &spans);
        content.push(Content::Mention {
            user: user.id.to_string().into(),
            text: text.get(span.range.clone()).unwrap_or_default().to_owned(),
        });
        rest = span.range.end;
    }
    push(&mut content, text, rest..text.len(), &spans);
    content
}

fn push(content: &mut Vec<Content>, text: &str, range: Range<usize>, spans: &[Span<'_>]) {
    let part = text.get(range.clone()).unwrap_or_default();
    if !part.is_empty() {
        content.push(Content::text(markdown(part, &within(spans, &range))));
    }
}

/// The spans as far as they are within the range, counted from its start.
fn within<'a>(spans: &[Span<'a>], range: &Range<usize>) -> Vec<Span<'a>> {
    let clip = |span: &Span<'a>| {
        let start = span.range.start.max(range.start);
        let end = span.range.end.min(range.end);
        let inside = start.checked_sub(range.start)?..end.checked_sub(range.start)?;
        (!inside.is_empty()).then_some(Span { range: inside, entity: span.entity })
    };
    spans.iter().filter_map(clip).collect()
}

/// Text with marks as Markdown that reads the same; without the marks, or as it stands, if there is no
/// such Markdown.
pub(super) fn markdown(text: &str, spans: &[Span<'_>]) -> String {
    let marked = blocks(text, spans);
    if reads_as(&marked, text) {
        return marked;
    }
    let escaped = blocks(text, &[]);
    if reads_as(&escaped, text) { escaped } else { text.to_owned() }
}

/// True if that is what a reader of the Markdown reads, white space aside.
fn reads_as(markdown: &str, text: &str) -> bool {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut read = String::with_capacity(text.len());
    for event in Parser::new_ext(markdown, options) {
        match event {
            Event::Text(text) | Event::Code(text) => read.push_str(&text),
            Event::SoftBreak | Event::HardBreak => read.push(' '),
            // What is a list, a rule or HTML to the reader was none to its writer.
            Event::Rule | Event::Html(_) | Event::InlineHtml(_) => return false,
            _ => {}
        }
    }
    let visible = |c: &char| !c.is_whitespace();
    read.chars().filter(visible).eq(text.chars().filter(visible))
}

fn is_quote(kind: &str) -> bool {
    matches!(kind, "blockquote" | "expandable_blockquote")
}

/// Lines of text, quotes and code.
fn blocks(text: &str, spans: &[Span<'_>]) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = 0;
    for span in spans {
        let kind = span.entity.kind.as_str();
        if span.range.start < rest || !(kind == "pre" || is_quote(kind)) {
            continue;
        }
        let inner = text.get(span.range.clone()).unwrap_or_default();
        let before = rest..span.range.start;
        inline(&mut out, text, before.clone(), &within(spans, &before));
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        if kind == "pre" {
            fence(&mut out, inner, span.entity.language.as_deref().unwrap_or_default());
        } else {
            let inside: Vec<Span<'_>> = within(spans, &span.range)
                .into_iter()
                .filter(|inside| !is_quote(&inside.entity.kind))
                .collect();
            quote(&mut out, &blocks(inner, &inside));
        }
        rest = span.range.end;
        // Its own line ends there, and a quote takes in what follows without a free line.
        if text.get(rest..).is_some_and(|behind| behind.starts_with('\n')) {
            rest += 1;
        }
        if rest < text.len() {
            out.push_str(if kind == "pre" { "\n" } else { "\n\n" });
        }
    }
    let behind = rest..text.len();
    inline(&mut out, text, behind.clone(), &within(spans, &behind));
    out
}

fn fence(out: &mut String, code: &str, language: &str) {
    let longest = longest_run(code, '`');
    let marks = "`".repeat(3.max(longest + 1));
    let language: String = language.chars().filter(|c| !c.is_whitespace() && *c != '`').collect();
    let end = if code.ends_with('\n') { "" } else { "\n" };
    out.push_str(&format!("{marks}{language}\n{code}{end}{marks}"));
}

/// Puts a mark of quotation before each line.
fn quote(out: &mut String, markdown: &str) {
    for (index, line) in markdown.split('\n').enumerate() {
        out.push_str(if index > 0 { "\n>" } else { ">" });
        if !line.is_empty() {
            out.push(' ');
            out.push_str(line);
        }
    }
}

fn longest_run(text: &str, sign: char) -> usize {
    text.split(|c| c != sign).map(str::len).max().unwrap_or(0)
}

/// A mark within a line.
#[derive(Clone, PartialEq)]
enum Inline<'a> {
    Around(&'static str),
    Code,
    Link(&'a str),
}

fn inline_mark(entity: &Entity) -> Option<Inline<'_>> {
    Some(match entity.kind.as_str() {
        "bold" => Inline::Around("**"),
        "italic" => Inline::Around("*"),
        "strikethrough" => Inline::Around("~~"),
        "code" => Inline::Code,
        "text_link" => Inline::Link(entity.url.as_deref()?),
        // Underlined, spoiler, and what the text alone says: addresses, names, numbers, commands.
        _ => return None,
    })
}

/// Text whose marks begin and end within lines; `range` is of `text`, the spans of the range.
fn inline(out: &mut String, text: &str, range: Range<usize>, spans: &[Span<'_>]) {
    let text = text.get(range).unwrap_or_default();
    let marks: Vec<(Range<usize>, Inline<'_>)> = spans
        .iter()
        .filter_map(|span| {
            let mark = inline_mark(span.entity)?;
            let range = trimmed(text, &span.range);
            let stands = match mark {
                Inline::Around(_) => may_mark(text, &range),
                _ => !range.is_empty(),
            };
            stands.then_some((range, mark))
        })
        .collect();
    let escapes = Escapes::of(text, &marks);
    let mut open: Vec<usize> = Vec::new();
    let mut edges: BTreeSet<usize> =
        marks.iter().flat_map(|(range, _)| [range.start, range.end]).collect();
    edges.extend([0, text.len()]);
    let edges: Vec<usize> = edges.into_iter().collect();
    for pair in edges.windows(2) {
        let [from, to] = *pair else { continue };
        let wanted: Vec<usize> = marks
            .iter()
            .enumerate()
            .filter(|(_, (range, _))| range.start <= from && to <= range.end)
            .map(|(index, _)| index)
            .collect();
        let code = wanted.iter().find(|at| marks.get(**at).is_some_and(|m| m.1 == Inline::Code));
        let code = code.copied();
        // Marks end in the order in which they stand in one another; what must go on begins again.
        let keep = open.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
        close(out, &mut open, keep, &marks);
        for index in wanted.into_iter().skip(keep) {
            if Some(index) == code {
                continue;
            }
            match marks.get(index) {
                Some((_, Inline::Around(mark))) => out.push_str(mark),
                Some((_, Inline::Link(_))) => out.push('['),
                _ => {}
            }
            open.push(index);
        }
        let part = text.get(from..to).unwrap_or_default();
        match code {
            Some(_) => code_span(out, part),
            None => {
                let linked =
                    open.iter().any(|at| matches!(marks.get(*at), Some((_, Inline::Link(_)))));
                escapes.write(out, text, from..to, linked);
            }
        }
    }
    close(out, &mut open, 0, &marks);
}

fn close(
    out: &mut String,
    open: &mut Vec<usize>,
    keep: usize,
    marks: &[(Range<usize>, Inline<'_>)],
) {
    while open.len() > keep {
        match open.pop().and_then(|index| marks.get(index)) {
            Some((_, Inline::Around(mark))) => out.push_str(mark),
            Some((_, Inline::Link(target))) => {
                let bare = !target.is_empty()
                    && target.chars().all(|c| !c.is_whitespace() && !"<>()\\".contains(c));
                if bare {
                    out.push_str(&format!("]({target})"));
                } else {
                    let safe: String = target.chars().filter(|c| !c.is_control()).collect();
                    let safe = safe.replace('\\', "\\\\").replace('<', "\\<").replace('>', "\\>");
                    out.push_str(&format!("](<{safe}>)"));
                }
            }
            _ => {}
        }
    }
}

fn code_span(out: &mut String, code: &str) {
    let marks = "`".repeat(longest_run(code, '`') + 1);
    let edge = |c: Option<char>| c == Some('`') || c == Some(' ');
    let padded = edge(code.chars().next()) || edge(code.chars().next_back());
    let space = if padded && !code.trim().is_empty() { " " } else { "" };
    out.push_str(&format!("{marks}{space}{code}{space}{marks}"));
}

/// The range without white space at its ends, where no mark can stand.
fn trimmed(text: &str, range: &Range<usize>) -> Range<usize> {
    let inner = text.get(range.clone()).unwrap_or_default();
    let start = range.start + inner.len() - inner.trim_start().len();
    start..start.max(range.start + inner.trim_end().len())
}

/// True if a mark of emphasis is one at both ends (`CommonMark` 0.31, 6.2), and within a paragraph.
fn may_mark(text: &str, range: &Range<usize>) -> bool {
    let inner = text.get(range.clone()).unwrap_or_default();
    let before = text.get(..range.start).and_then(|before| before.chars().next_back());
    let after = text.get(range.end..).and_then(|after| after.chars().next());
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let first = is_word(inner.chars().next()) || !is_word(before);
    let last = is_word(inner.chars().next_back()) || !is_word(after);
    !inner.is_empty() && first && last && !inner.contains("\n\n")
}

/// Where a backslash is needed so that a character stands for itself.
struct Escapes {
    /// Places of signs that begin a block.
    lines: BTreeSet<usize>,
    /// There are marks of emphasis, with which signs in the text could pair up.
    marked: bool,
    /// Places where a link begins.
    links: BTreeSet<usize>,
}

impl Escapes {
    fn of(text: &str, marks: &[(Range<usize>, Inline<'_>)]) -> Self {
        let mut lines = BTreeSet::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            lines.extend(block_sign(line).map(|sign| at + sign));
            at += line.len();
        }
        let is_link = |mark: &&(Range<usize>, Inline<'_>)| matches!(mark.1, Inline::Link(_));
        Self {
            lines,
            marked: marks.iter().any(|(_, mark)| matches!(mark, Inline::Around(_))),
            links: marks.iter().filter(is_link).map(|(range, _)| range.start).collect(),
        }
    }

    fn write(&self, out: &mut String, text: &str, range: Range<usize>, linked: bool) {
        let part = text.get(range.clone()).unwrap_or_default();
        let mut before = text.get(..range.start).and_then(|before| before.chars().next_back());
        for (offset, c) in part.char_indices() {
            let at = range.start + offset;
            let behind = text.get(at + c.len_utf8()..).unwrap_or_default();
            if self.lines.contains(&at) || self.needs(c, before, behind, at, linked) {
                out.push('\\');
            }
            out.push(c);
            before = Some(c);
        }
    }

    fn needs(&self, c: char, before: Option<char>, behind: &str, at: usize, linked: bool) -> bool {
        let next = behind.chars().next();
        let space = |c: Option<char>| c.is_none_or(char::is_whitespace);
        let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '\\' => next.is_none_or(|next| next.is_ascii_punctuation() || next == '\n'),
            '`' => true,
            '*' => !(space(before) && space(next)),
            '_' => !(word(before) && word(next) || space(before) && space(next)),
            '~' => self.marked || before == Some('~') || next == Some('~') || !space(before),
            '[' => linked,
            ']' => linked || matches!(next, Some('(' | '[' | ':')),
            '!' => next == Some('[') || self.links.contains(&(at + 1)),
            '<' => next.is_some_and(|next| next.is_ascii_alphabetic() || "/!?".contains(next)),
            '&' => {
                let name =
                    behind.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '#');
                name.len() < behind.len() && name.starts_with(';')
            }
            _ => false,
        }
    }
}

/// Where in the line a sign stands that makes it a heading, a list, a quote, a rule or a table.
fn block_sign(line: &str) -> Option<usize> {
    let line = line.trim_end();
    let inner = line.trim_start();
    let start = line.len() - inner.len();
    let first = inner.chars().next()?;
    let only = |signs: &str| inner.chars().all(|c| signs.contains(c));
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t']);
    if only("-:| \t")
        && let Some(dash) = inner.find('-')
    {
        return Some(start + dash);
    }
    match first {
        '>' => Some(start),
        '#' => {
            let rest = inner.trim_start_matches('#');
            (inner.len() - rest.len() <= 6 && ends(rest)).then_some(start)
        }
        '-' | '+' | '*' => ends(inner.get(1..)?).then_some(start),
        '=' => only("=").then_some(start),
        '_' => only("_ \t").then_some(start),
        '0'..='9' => {
            let rest = inner.trim_start_matches(|c: char| c.is_ascii_digit());
            let sign = rest.starts_with(['.', ')']) && ends(rest.get(1..)?);
            (sign && inner.len() - rest.len() <= 9).then_some(start + inner.len() - rest.len())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entity(kind: &str, offset: usize, length: usize) -> Entity {
        Entity { kind: kind.into(), offset, length, url: None, user: None, language: None }
    }

    fn convert(text: &str, entities: &[Entity]) -> String {
        markdown(text, &spans(text, entities))
    }

    #[test]
    fn plain_text_is_left_alone_where_it_can_be() {
        for text in [
            "Hello, how are you?",
            "snake_case and 2 * 3 * 4 = 24; a - b; AT&T, C#; #1; x < y",
            "/agent my_agent",
            "mail bob_b@a_b.example about https://a.example/x_y/?q=1&r=[2]#z_",
            "one\ntwo\n\nthree",
            "~/notes and C:\\dir\\file",
            "Xin chào 👋 https://a.example/~ann",
        ] {
            let shown = convert(text, &[]);
            // A tilde in an address could pair up with another.
            assert_eq!(shown.replace("\\~", "~").replace("z\\_", "z_"), text);
        }
    }

    #[test]
    fn what_markdown_would_take_for_a_sign_is_escaped() {
        let table = [
            ("*a* _b_ `c` ~~d~~", "\\*a\\* \\_b\\_ \\`c\\` \\~\\~d\\~\\~"),
            (
                "# no head\n> no quote\n- no item\n1. no item\n+ x",
                "\\# no head\n\\> no quote\n\\- no item\n1\\. no item\n\\+ x",
            ),
            ("a\n===\nb\n---", "a\n\\===\nb\n\\---"),
            ("[a](b) ![c](d)", "[a\\](b) \\![c\\](d)"),
            ("[a]: https://a.example", "[a\\]: https://a.example"),
            (
                "<b>bold</b> &amp; <https://a.example>",
                "\\<b>bold\\</b> \\&amp; \\<https://a.example>",
            ),
            ("|a|b|\n|-|-|", "|a|b|\n|\\-|-|"),
            ("a\\*b\\", "a\\\\\\*b\\\\"),
        ];
        for (text, expected) in table {
            assert_eq!(convert(text, &[]), expected, "{text:?}");
        }
    }

    #[test]
    fn entities_become_marks() {
        let link = |at, length, url: &str| Entity {
            url: Some(url.into()),
            ..entity("text_link", at, length)
        };
        let pre = |at, length, language: &str| Entity {
            language: Some(language.into()),
            ..entity("pre", at, length)
        };
        let table = [
            ("bold", vec![entity("bold", 0, 4)], "**bold**"),
            ("a bold b", vec![entity("bold", 1, 6)], "a **bold** b"),
            ("a it b", vec![entity("italic", 2, 2)], "a *it* b"),
            ("gone", vec![entity("strikethrough", 0, 4)], "~~gone~~"),
            ("both", vec![entity("bold", 0, 4), entity("italic", 0, 4)], "***both***"),
            ("a b c", vec![entity("bold", 0, 5), entity("italic", 2, 1)], "**a *b* c**"),
            ("a`b", vec![entity("code", 0, 3)], "``a`b``"),
            ("x < y", vec![entity("bold", 0, 5), entity("code", 0, 1)], "**`x` < y**"),
            (
                "see it",
                vec![link(4, 2, "https://a.example/(x)")],
                "see [it](<https://a.example/(x)>)",
            ),
            ("a [b] c", vec![link(0, 7, "https://a.example")], "[a \\[b\\] c](https://a.example)"),
            ("hey!it", vec![link(4, 2, "https://a.example")], "hey\\![it](https://a.example)"),
            ("👋 hi", vec![entity("bold", 3, 2)], "👋 **hi**"),
            (
                "try\nlet a = `1`;\nok",
                vec![pre(4, 12, "rust")],
                "try\n```rust\nlet a = `1`;\n```\nok",
            ),
            ("```", vec![entity("pre", 0, 3)], "````\n```\n````"),
            (
                "he said\nno *\nway\nand",
                vec![entity("blockquote", 8, 8)],
                "he said\n> no *\n> way\n\nand",
            ),
            // No mark can stand there.
            ("ab(c)d", vec![entity("bold", 2, 3)], "ab(c)d"),
            ("under", vec![entity("underline", 0, 5), entity("spoiler", 0, 5)], "under"),
            // Not in the text, or within a character.
            ("👋", vec![entity("bold", 0, 1), entity("bold", 1, 9)], "👋"),
            ("a", vec![entity("bold", usize::MAX, 2)], "a"),
        ];
        for (text, entities, expected) in table {
            assert_eq!(convert(text, &entities), expected, "{text:?}");
        }
    }

    #[test]
    fn who_is_named_is_a_part() {
        let user = |id| serde_json_user(id);
        let named = |id| Entity { user: Some(user(id)), ..entity("text_mention", 6, 3) };
        let mention = Content::Mention { user: "5".into(), text: "Ada".into() };
        let bold = entity("bold", 0, 13);
        let parts = content("hello Ada you", &[bold.clone(), named(5)], 9);
        assert_eq!(parts, ["**hello** ".into(), mention, " **you**".into()]);
        assert_eq!(content("hello Ada you", &[named(9)], 9), ["hello Ada you".into()]);
    }

    fn serde_json_user(id: i64) -> crate::telegram::types::User {
        openclaw_core::serde_json::from_value(
            openclaw_core::serde_json::json!({ "id": id, "first_name": "Ada" }),
        )
        .unwrap()
    }

    proptest! {
        #[test]
        fn no_text_is_lost(
            text in "[ a-c\n\t*_`~\\[\\]()!<>&#+.:;=|\\\\0-9-]{0,60}|\\PC{0,40}",
            entities in proptest::collection::vec(
                (proptest::sample::select(vec![
                    "bold", "italic", "strikethrough", "code", "pre", "blockquote", "text_link",
                ]), 0..40_usize, 0..20_usize), 0..6),
        ) {
            let entities: Vec<Entity> = entities.into_iter().map(|(kind, offset, length)| {
                Entity { url: Some("https://a.example".into()), ..entity(kind, offset, length) }
            }).collect();
            let markdown = convert(&text, &entities);
            prop_assert!(markdown == text || reads_as(&markdown, &text), "{markdown:?}");
        }

        #[test]
        fn plain_lines_are_never_marked(text in "[ab *_`~\\[\\]()!<>&;#+.:=|\\\\0-9-]{0,40}") {
            // Only what is set in by four spaces is code, whatever is done.
            let text = text.trim_start();
            prop_assert!(reads_as(&convert(text, &[]), text), "{:?}", convert(text, &[]));
        }
    }
}
