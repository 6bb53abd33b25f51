//! Where Markdown text must not be cut.

use std::{cmp::Reverse, ops::Range};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::channel::TextLimit;

/// What a cut must respect, for one text and one limit.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    /// Ranges that are never cut inside, in order, none within another. Each fits the limit.
    pub(super) atoms: Vec<Range<usize>>,
    /// Code fences longer than the limit, in order.
    pub(super) fences: Vec<Fence<'a>>,
}

/// A code fence that must be cut: closed at the end of a piece, opened again in the next.
#[derive(Debug)]
pub(super) struct Fence<'a> {
    /// Where the line of its opening begins.
    pub(super) start: usize,
    /// The code: from behind the opening line to the start of the closing one.
    pub(super) code: Range<usize>,
    /// Where the line of its closing ends, or the text if it is never closed.
    pub(super) end: usize,
    /// The opening line as it stands, without what stands before the fence: the marker, the info
    /// string, the end of line.
    open: &'a str,
    /// The marker alone.
    marker: &'a str,
    /// What stands in front of the marker in the first piece: quote markers, indentation.
    first_indent: String,
    /// The same in later pieces, where there is no list around it.
    later_indent: String,
}

impl Fence<'_> {
    /// What comes before a piece that goes on inside the code.
    pub(super) fn reopening(&self) -> String {
        format!("{}{}", self.later_indent, self.open)
    }

    /// What comes after a piece that began at `start` and ends inside the code.
    pub(super) fn closing(&self, start: usize, at_line_start: bool) -> String {
        let eol = if at_line_start { "" } else { self.eol() };
        let indent = if start < self.code.start { &self.first_indent } else { &self.later_indent };
        format!("{eol}{indent}{}", self.marker)
    }

    fn eol(&self) -> &'static str {
        if self.open.ends_with("\r\n") { "\r\n" } else { "\n" }
    }

    /// True if a piece has room for more than the fence's own lines.
    fn worth_reopening(&self, limit: TextLimit) -> bool {
        let lines = [&self.first_indent, &self.later_indent, self.open, self.eol(), self.marker];
        let bytes: usize = lines.iter().map(|part| part.len()).sum();
        // Bytes are at least as many as any other unit.
        limit.units / 2 > bytes + self.first_indent.len()
    }
}

/// Finds what must not be cut in `text`. Linear in its length.
pub(super) fn outline(text: &str, limit: TextLimit) -> Outline<'_> {
    let mut outline = Outline::default();
    let mut meter = Meter { text, limit, at: 0, units: 0 };
    let mut open: Vec<(usize, usize)> = Vec::new(); // start and units there, of open containers
    let mut code: Option<Range<usize>> = None;
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => {
                let line = line_start(text, range.start);
                let indent = limit.unit.count(text.get(line..range.start).unwrap_or_default());
                open.push((line, meter.units_at(range.start).saturating_sub(indent)));
                let body = text.get(range.clone()).and_then(|fence| fence.find('\n'));
                let body = body.map_or(range.end, |line| range.start + line + 1);
                code = Some(body..body);
            }
            Event::Text(_) => {
                if let Some(code) = &mut code {
                    code.end = code.end.max(range.end);
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                // An indented block has no fence: it is cut like other text.
                let Some(code) = code.take() else { continue };
                let Some((start, before)) = open.pop() else { continue };
                if meter.units_at(range.end) - before <= limit.units {
                    outline.atoms.push(start..range.end);
                } else if let Some(fence) = fence(text, start, code)
                    && fence.worth_reopening(limit)
                {
                    outline.fences.push(fence);
                }
            }
            Event::Start(
                Tag::Link { .. }
                | Tag::Image { .. }
                | Tag::Emphasis
                | Tag::Strong
                | Tag::Strikethrough
                | Tag::Table(_),
            ) => open.push((range.start, meter.units_at(range.start))),
            Event::End(
                TagEnd::Link
                | TagEnd::Image
                | TagEnd::Emphasis
                | TagEnd::Strong
                | TagEnd::Strikethrough
                | TagEnd::Table,
            ) => {
                if let Some((start, before)) = open.pop()
                    && meter.units_at(range.end) - before <= limit.units
                {
                    outline.atoms.push(start..range.end);
                }
            }
            Event::Code(_) | Event::InlineHtml(_) => {
                let before = meter.units_at(range.start);
                if meter.units_at(range.end) - before <= limit.units {
                    outline.atoms.push(range);
                }
            }
            _ => {}
        }
    }
    outline.atoms.extend(bare_urls(text, limit));
    keep_outermost(&mut outline.atoms);
    outline
}

/// The fence whose opening line begins at `start`, with `code` behind it.
fn fence(text: &str, start: usize, code: Range<usize>) -> Option<Fence<'_>> {
    let line = text.get(start..code.start)?;
    let marker_at = start + line.find("```").or_else(|| line.find("~~~"))?;
    let open = text.get(marker_at..code.start)?;
    let sign = open.chars().next()?;
    let marker = open.get(..open.len() - open.trim_start_matches(sign).len())?;
    let before = text.get(start..marker_at)?;
    // A list's marker stands only before its first line; below it there is space of that width.
    let first_indent: String =
        before.chars().map(|c| if c == '>' || c == '\t' { c } else { ' ' }).collect();
    let quotes = first_indent.rfind('>').map_or(0, |last| last + 1);
    // Four spaces would make it code that shows the fence itself.
    let (quoted, spaces) = first_indent.split_at_checked(quotes)?;
    let spaces: String = spaces.chars().filter(|c| *c == ' ').take(3).collect();
    let later_indent = format!("{quoted}{spaces}");
    let closing = text.get(code.end..)?.split('\n').next()?.trim_end_matches('\r');
    let end = code.end + closing.len();
    Some(Fence { start, code, end, open, marker, first_indent, later_indent })
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1)
}

/// Addresses that stand in the text as they are: platforms make links of them, `CommonMark` does not.
fn bare_urls(text: &str, limit: TextLimit) -> Vec<Range<usize>> {
    let ends =
        |c: char| c.is_whitespace() || c.is_control() || "<>\"'`「」『』（）、，。！？".contains(c);
    let mut urls = Vec::new();
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find("://")) {
        let colon = from + found;
        let scheme = text.get(from..colon).unwrap_or_default();
        let start = scheme.trim_end_matches(|c: char| c.is_ascii_alphanumeric()).len() + from;
        let rest = text.get(colon + 3..).unwrap_or_default();
        let end = colon + 3 + rest.find(ends).unwrap_or(rest.len());
        if limit.unit.count(text.get(start..end).unwrap_or_default()) <= limit.units {
            urls.push(start..end);
        }
        from = end;
    }
    urls
}

fn keep_outermost(ranges: &mut Vec<Range<usize>>) {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| (range.start, Reverse(range.end)));
    let mut end = 0;
    ranges.retain(|range| {
        let outermost = range.start >= end;
        end = end.max(range.end);
        outermost
    });
}

/// Counts units from the front, each byte once.
struct Meter<'a> {
    text: &'a str,
    limit: TextLimit,
    at: usize,
    units: usize,
}

impl Meter<'_> {
    /// How many units there are before byte `to`, which the parser gives in rising order.
    fn units_at(&mut self, to: usize) -> usize {
        if let Some(passed) = self.text.get(self.at..to) {
            self.units += self.limit.unit.count(passed);
            self.at = to;
        }
        self.units
    }
}
