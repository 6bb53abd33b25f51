//! Reads Markdown from front to back and says what is to be written.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::{Loss, Mark, Markup, Rendered, writer::Writer};

/// The sign of an item of a list without numbers.
const BULLET: &str = "• ";
/// How far a list within a list stands in.
const INDENT: &str = "  ";
/// Drawn for a thematic break.
const RULE: &str = "———";

pub(super) fn walk(source: &str, markup: &impl Markup) -> Rendered {
    let mut walk = Walk {
        source,
        out: Writer::new(markup),
        lists: Vec::new(),
        links: Vec::new(),
        verbatim: None,
        in_table: false,
        last_end: 0,
    };
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    for (event, range) in Parser::new_ext(source, options).into_offset_iter() {
        walk.event(event, range);
    }
    walk.out.finish()
}

struct Walk<'s, 'm, M> {
    source: &'s str,
    out: Writer<'m, M>,
    /// The number of the next item of each list around, if it has numbers.
    lists: Vec<Option<u64>>,
    links: Vec<Link>,
    verbatim: Option<Verbatim>,
    in_table: bool,
    /// Where what was read last ends in the source, without the white space behind it.
    last_end: usize,
}

/// A block whose text comes in pieces.
struct Verbatim {
    text: String,
    /// How it is marked, if it is code.
    mark: Option<Mark>,
}

/// A link or a picture that text stands in.
struct Link {
    target: String,
    title: String,
    /// False if the target must be written behind the text.
    shown: bool,
    /// How much there was to read before it.
    before: usize,
}

impl<M: Markup> Walk<'_, '_, M> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        if self.in_table {
            if matches!(event, Event::End(TagEnd::Table)) {
                self.table(range);
            }
            return;
        }
        let start = range.start;
        match event {
            Event::Start(tag) => return self.start(tag, start),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) => match &mut self.verbatim {
                Some(verbatim) => verbatim.text.push_str(&text),
                None => self.out.write(&text),
            },
            Event::Code(text) => self.out.write_code(Mark::Code, &text),
            Event::InlineHtml(html) if is_line_break(&html) => self.out.set_breaks(1),
            Event::InlineHtml(html) => self.out.write(&html),
            Event::SoftBreak | Event::HardBreak => self.out.set_breaks(1),
            Event::Rule => {
                self.block(start);
                self.out.write(RULE);
                self.end_block();
            }
            // What the options above do not ask for does not come.
            _ => {}
        }
        let read = self.source.get(..range.end).unwrap_or(self.source);
        self.last_end = self.last_end.max(read.trim_end().len());
    }

    fn start(&mut self, tag: Tag<'_>, start: usize) {
        match tag {
            Tag::Paragraph => self.block(start),
            Tag::Heading { level, .. } => {
                self.block(start);
                self.out.lose(Loss::HeadingLevel);
                self.out.push(Mark::Heading { level: level as u8 });
            }
            Tag::BlockQuote(_) => {
                self.block(start);
                self.out.flush_sign();
                self.out.push(Mark::Quote);
            }
            Tag::List(first) => self.lists.push(first),
            Tag::Item => self.item(start),
            Tag::CodeBlock(kind) => {
                self.block(start);
                self.out.flush_sign();
                let language = match kind {
                    CodeBlockKind::Fenced(info) => {
                        info.split([' ', '\t', ',']).next().map(str::to_owned)
                    }
                    CodeBlockKind::Indented => None,
                };
                let language = language.filter(|language| !language.is_empty());
                let mark = Some(Mark::CodeBlock { language });
                self.verbatim = Some(Verbatim { text: String::new(), mark });
            }
            Tag::HtmlBlock => {
                self.block(start);
                self.verbatim = Some(Verbatim { text: String::new(), mark: None });
            }
            Tag::Table(_) => {
                self.block(start);
                self.out.flush_sign();
                self.in_table = true;
            }
            Tag::Emphasis => drop(self.out.push(Mark::Emphasis)),
            Tag::Strong => drop(self.out.push(Mark::Strong)),
            Tag::Strikethrough => drop(self.out.push(Mark::Strikethrough)),
            Tag::Link { link_type, dest_url, title, .. } => {
                let mail = link_type == LinkType::Email && !dest_url.starts_with("mailto:");
                let scheme = if mail { "mailto:" } else { "" };
                self.link(format!("{scheme}{dest_url}"), title.into_string());
            }
            Tag::Image { dest_url, title, .. } => {
                self.out.lose(Loss::Image);
                self.link(dest_url.into_string(), title.into_string());
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) | TagEnd::BlockQuote(_) => {
                self.out.pop();
                self.end_block();
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => self.out.pop(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.end_block();
            }
            TagEnd::Item => {
                self.out.flush_sign();
                if let Some(Some(number)) = self.lists.last_mut() {
                    *number = number.saturating_add(1);
                }
            }
            TagEnd::CodeBlock | TagEnd::HtmlBlock => self.end_verbatim(),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            _ => {}
        }
    }

    fn end_verbatim(&mut self) {
        let Some(Verbatim { text, mark }) = self.verbatim.take() else { return };
        match mark {
            Some(mark) => self.out.write_code(mark, text.strip_suffix('\n').unwrap_or(&text)),
            None => self.out.write(text.trim_end()),
        }
        self.end_block();
    }

    /// A block ends: what follows begins a line, also the text of a tight item, which is no block.
    fn end_block(&mut self) {
        self.out.set_breaks(1);
    }

    /// A block begins: as many lines are left free as the source does, but one at most.
    fn block(&mut self, start: usize) {
        let gap = self.source.get(self.last_end..start).unwrap_or_default();
        let breaks = gap.bytes().filter(|byte| *byte == b'\n').count();
        self.out.set_breaks(breaks.clamp(1, 2));
    }

    fn item(&mut self, start: usize) {
        if !self.out.awaits_item() {
            self.block(start);
            let depth = self.lists.len().saturating_sub(1);
            self.out.sign(&INDENT.repeat(depth));
        }
        match self.lists.last() {
            Some(Some(number)) => self.out.sign(&format!("{number}. ")),
            _ => self.out.sign(BULLET),
        }
    }

    fn link(&mut self, target: String, title: String) {
        let shown = self.out.push(Mark::Link { target: target.clone() });
        self.links.push(Link { target, title, shown, before: self.out.len() });
    }

    fn end_link(&mut self) {
        let Some(link) = self.links.pop() else { return };
        let silent = self.out.len() == link.before;
        if silent {
            self.out.write(&link.target);
        }
        let behind = !link.shown && !silent && !link.target.is_empty();
        let said = self.out.since(link.before).trim();
        let repeats = said == link.target || link.target.strip_prefix("mailto:") == Some(said);
        self.out.pop();
        if behind && !repeats {
            self.out.write(&format!(" ({})", link.target));
        }
        if !link.title.is_empty() {
            self.out.lose(Loss::Title(link.title));
        }
    }

    fn table(&mut self, range: Range<usize>) {
        self.in_table = false;
        let table = self.source.get(range.clone()).unwrap_or_default().trim_end();
        self.last_end = self.last_end.max(range.start + table.len());
        self.out.lose(Loss::Table);
        self.out.write_code(Mark::CodeBlock { language: None }, table);
        self.end_block();
    }
}

fn is_line_break(html: &str) -> bool {
    let inside = html.strip_prefix('<').and_then(|html| html.strip_suffix('>'));
    let name = inside.map(|inside| inside.trim_end_matches('/').trim());
    name.is_some_and(|name| name.eq_ignore_ascii_case("br"))
}
