//! Cuts text to a platform's measure.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::markdown::{Fence, Outline, outline};
use crate::channel::TextLimit;

/// Cuts Markdown `text` into pieces of at most `limit`, in order.
///
/// - The pieces, put together, are `text` to the byte. The one exception: a code fence longer than
///   the limit is closed at the end of a piece and opened again, with its info string, in the next;
///   a line of code longer than a piece is broken by that.
/// - A cut is never inside a code fence that fits the limit, a link, an image, inline code, an
///   address, an emphasis, a table or a grapheme. Of the places that are left, the end of a
///   paragraph is taken before that of a line, of a sentence, of a word, unless it would leave
///   the piece less than half full.
/// - What is longer than the limit by itself has to be cut: a link or code at its words, a word
///   between graphemes, a grapheme between scalar values. A scalar value longer than the limit
///   is a piece of its own, the only one that is over the limit; a limit of 0 counts as 1. A fence whose
///   own lines would take half of the limit is cut as if it were text.
/// - Empty text has no pieces. A piece can be white space alone if the text has a lot of it.
///
/// Takes time in proportion to the length of `text`.
///
/// ```
/// use openclaw_core::{channel::{TextLimit, TextUnit}, delivery::split};
///
/// let limit = TextLimit { units: 16, unit: TextUnit::Chars };
/// assert_eq!(split("Good morning. How are you?", limit), ["Good morning. ", "How are you?"]);
/// ```
pub fn split(text: &str, limit: TextLimit) -> Vec<String> {
    let pieces = pieces(text, limit);
    pieces.into_iter().map(|piece| piece.into_text(text)).collect()
}

/// How many bytes from the end of a piece on the end of a sentence is looked for.
const SENTENCE: usize = 512;

/// A cut piece: a range of the text, and what opens and closes a fence around it.
#[derive(Debug)]
struct Piece {
    opening: String,
    range: Range<usize>,
    closing: String,
}

impl Piece {
    fn into_text(self, text: &str) -> String {
        let mut piece = self.opening;
        piece.push_str(text.get(self.range).unwrap_or_default());
        piece.push_str(&self.closing);
        piece
    }
}

fn pieces(text: &str, limit: TextLimit) -> Vec<Piece> {
    let limit = TextLimit { units: limit.units.max(1), ..limit };
    let whole = |range| Piece { opening: String::new(), range, closing: String::new() };
    if text.is_empty() {
        return Vec::new();
    }
    // Bytes are at least as many as any other unit.
    if text.len() <= limit.units || limit.unit.count(text) <= limit.units {
        return vec![whole(0..text.len())];
    }
    let outline = outline(text, limit);
    let mut cutter = Cutter { text, limit, outline: &outline, atom: 0, fence: 0 };
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let piece = cutter.next(start);
        start = piece.range.end;
        pieces.push(piece);
    }
    pieces
}

struct Cutter<'a> {
    text: &'a str,
    limit: TextLimit,
    outline: &'a Outline<'a>,
    /// The first atom, and the first fence, that are not behind us.
    atom: usize,
    fence: usize,
}

impl<'a> Cutter<'a> {
    /// The piece that begins at `start`.
    fn next(&mut self, start: usize) -> Piece {
        let outline = self.outline;
        while outline.atoms.get(self.atom).is_some_and(|atom| atom.end <= start) {
            self.atom += 1;
        }
        while outline.fences.get(self.fence).is_some_and(|fence| fence.code.end <= start) {
            self.fence += 1;
        }
        let fence = outline.fences.get(self.fence).filter(|fence| fence.start <= start);
        let opening = match fence {
            Some(fence) if start >= fence.code.start => fence.reopening(),
            _ => String::new(),
        };
        let room = self.limit.units - self.limit.unit.count(&opening).min(self.limit.units);
        let window = self.window(start, room);
        if window.end == self.text.len() {
            return Piece { opening, range: window, closing: String::new() };
        }
        match fence {
            // The rest of the fence does not fit.
            Some(fence) if window.end < fence.end => self.cut_code(start, opening, room, fence),
            _ => {
                let end = self.cut_text(&window);
                Piece { opening, range: start..end, closing: String::new() }
            }
        }
    }

    /// The longest range from `start` that has at most `room` units; at least one scalar value.
    fn window(&self, start: usize, room: usize) -> Range<usize> {
        let mut units = 0;
        let mut end = start;
        for c in self.rest(start).chars() {
            units += self.limit.unit.count(c.encode_utf8(&mut [0; 4]));
            if units > room && end > start {
                break;
            }
            end += c.len_utf8();
        }
        start..end
    }

    /// Cuts inside a fence: at the end of a line if there is one, else between graphemes.
    fn cut_code(&self, start: usize, opening: String, room: usize, fence: &Fence<'_>) -> Piece {
        let window = |at_line_start| {
            let reserved = self.limit.unit.count(&fence.closing(start, at_line_start));
            self.window(start, room.saturating_sub(reserved))
        };
        // Something of the code in this piece, and something left for the next.
        let least = start.max(fence.code.start);
        let inside = |at: &usize| *at > least && *at < fence.code.end;
        let end = self.line_ends(&window(true)).find(inside).unwrap_or_else(|| {
            let window = window(false);
            let grapheme = self.graphemes(&window).into_iter().rev().find(inside);
            grapheme.unwrap_or(window.end.min(fence.code.end))
        });
        let at_line_start = self.text.get(..end).is_some_and(|before| before.ends_with('\n'));
        Piece { opening, range: start..end, closing: fence.closing(start, at_line_start) }
    }

    /// Cuts outside of fences; see [`split`] for what comes first.
    fn cut_text(&self, window: &Range<usize>) -> usize {
        let graphemes = self.graphemes(window);
        let clean = |at: &usize| graphemes.binary_search(at).is_ok() && !self.is_inside(*at);
        let half = window.start + window.len() / 2;
        let full = |at: &usize| *at >= half && clean(at);
        let paragraph = |at: &usize| full(at) && self.is_paragraph_end(*at);
        if let Some(end) = self.line_ends(window).find(paragraph) {
            return end;
        }
        if let Some(end) = self.line_ends(window).find(full) {
            return end;
        }
        let last = |ends: &mut dyn Iterator<Item = usize>, fits: &dyn Fn(&usize) -> bool| {
            ends.take_while(|at| *at <= window.end).filter(fits).last()
        };
        // Looking for the end of a sentence looks ahead from many places; in all of a large window
        // that would take time in proportion to its square.
        let from =
            window.start.max(self.text.floor_char_boundary(window.end.saturating_sub(SENTENCE)));
        let sentences = self.seen(&(from..window.end)).split_sentence_bound_indices();
        let mut sentences = sentences.map(|(at, _)| from + at).filter(|at| *at > from);
        if let Some(end) = last(&mut sentences, &full) {
            return end;
        }
        let words = self.seen(window).split_word_bound_indices();
        let words: Vec<usize> = words.map(|(at, _)| window.start + at).collect();
        let spaced = |at: &usize| {
            let before = self.text.get(..*at).unwrap_or_default();
            before.ends_with(char::is_whitespace)
                && !self.rest(*at).starts_with(char::is_whitespace)
        };
        let words = || words.iter().copied();
        last(&mut words(), &|at| full(at) && spaced(at))
            .or_else(|| last(&mut words(), &full))
            .or_else(|| last(&mut words(), &|at| *at > window.start && clean(at) && spaced(at)))
            .or_else(|| graphemes.iter().rev().copied().find(clean))
            .or_else(|| graphemes.last().copied())
            .unwrap_or(window.end)
    }

    /// The ends of graphemes in `window`, its own end among them if it is one.
    fn graphemes(&self, window: &Range<usize>) -> Vec<usize> {
        let ends = self.seen(window).grapheme_indices(true).map(|(at, _)| window.start + at);
        ends.filter(|at| *at > window.start && *at <= window.end).collect()
    }

    /// The ends of lines in `window`, last first.
    fn line_ends(&self, window: &Range<usize>) -> impl Iterator<Item = usize> + use<'a> {
        let start = window.start;
        let seen = self.text.get(window.clone()).unwrap_or_default();
        seen.rmatch_indices('\n').map(move |(at, _)| start + at + 1)
    }

    /// True if a blank line is before `at` and none behind it.
    fn is_paragraph_end(&self, at: usize) -> bool {
        let space = [' ', '\t', '\r'];
        let before = self.text.get(..at - 1).unwrap_or_default().trim_end_matches(space);
        before.ends_with('\n') && !self.rest(at).trim_start_matches(space).starts_with('\n')
    }

    /// True if a cut at `at` would be inside what must not be cut.
    fn is_inside(&self, at: usize) -> bool {
        let atoms = self.outline.atoms.get(self.atom..).unwrap_or_default();
        let before = atoms.partition_point(|atom| atom.end <= at);
        let in_atom = atoms.get(before).is_some_and(|atom| atom.start < at);
        let fences = self.outline.fences.get(self.fence..).unwrap_or_default();
        let before = fences.partition_point(|fence| fence.end <= at);
        in_atom || fences.get(before).is_some_and(|fence| fence.start < at)
    }

    fn rest(&self, start: usize) -> &'a str {
        self.text.get(start..).unwrap_or_default()
    }

    /// The window's text and the character behind it, so that the window's own end can be a
    /// boundary.
    fn seen(&self, window: &Range<usize>) -> &'a str {
        let next = self.rest(window.end).chars().next().map_or(0, char::len_utf8);
        self.text.get(window.start..window.end + next).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::TextUnit;

    const UNITS: [TextUnit; 3] = [TextUnit::Bytes, TextUnit::Chars, TextUnit::Utf16];

    fn chars(units: usize) -> TextLimit {
        TextLimit { units, unit: TextUnit::Chars }
    }

    /// The pieces without what was added around them are the text, and none is over the limit.
    fn check(text: &str, limit: TextLimit) -> Vec<String> {
        let mut at = 0;
        for piece in pieces(text, limit) {
            assert_eq!(piece.range.start, at, "a gap or a repetition in {text:?} at {limit:?}");
            assert!(piece.range.end > at);
            at = piece.range.end;
            let sent = piece.into_text(text);
            let fits = limit.unit.count(&sent) <= limit.units || sent.chars().count() == 1;
            assert!(fits, "{sent:?} of {text:?} is over {limit:?}");
        }
        assert_eq!(at, text.len());
        split(text, limit)
    }

    #[test]
    fn regressions() {
        let family = "👨‍👩‍👧‍👦"; // 7 scalar values, 25 bytes, 11 UTF-16 units
        let table: &[(&str, usize, &[&str])] = &[
            ("", 10, &[]),
            ("fits", 4, &["fits"]),
            ("abc", 0, &["a", "b", "c"]),
            ("é", 1, &["é"]),
            // Paragraph, line, sentence, word; then a giant word.
            ("One two.\n\nThree four", 14, &["One two.\n\n", "Three four"]),
            ("One two three.\nFour five", 18, &["One two three.\n", "Four five"]),
            ("One two. Three four five", 14, &["One two. ", "Three four ", "five"]),
            ("alpha beta gamma", 12, &["alpha beta ", "gamma"]),
            ("abcdefghij", 4, &["abcd", "efgh", "ij"]),
            // A break that would leave the piece nearly empty is not taken.
            ("a\n\nbcde fghi jklm", 12, &["a\n\nbcde ", "fghi jklm"]),
            ("a\r\n\r\nb\r\nc", 6, &["a\r\n\r\n", "b\r\nc"]),
            ("ab\r\ncd", 3, &["ab", "\r\n", "cd"]),
            // Vietnamese, composed and decomposed; CJK; right to left.
            ("Tiếng Việt rất đẹp.", 12, &["Tiếng Việt ", "rất đẹp."]),
            ("Vie\u{302}\u{323}t", 4, &["Vi", "e\u{302}\u{323}t"]),
            ("今日は晴れです。明日は雨です。", 10, &["今日は晴れです。", "明日は雨です。"]),
            ("你好世界你好世界", 5, &["你好世界你", "好世界"]),
            ("שלום עולם טוב", 10, &["שלום עולם ", "טוב"]),
            // Graphemes.
            ("aa👨‍👩‍👧‍👦b", 8, &["aa", "👨‍👩‍👧‍👦b"]),
            ("🇻🇳🇻🇳🇻🇳", 5, &["🇻🇳🇻🇳", "🇻🇳"]),
            (family, 3, &["👨\u{200d}👩", "\u{200d}", "👧\u{200d}👦"]),
            // Links, code, addresses, emphasis.
            (
                "see [the very best docs](http://a.b) now",
                20,
                &["see [the very best ", "docs](http://a.b) ", "now"],
            ),
            ("see [the docs](http://a.b) x", 24, &["see ", "[the docs](http://a.b) x"]),
            ("run `cargo build` now", 15, &["run ", "`cargo build` ", "now"]),
            ("go to https://example.com/a/b", 27, &["go to ", "https://example.com/a/b"]),
            ("so **very very** big", 15, &["so ", "**very very** ", "big"]),
            // A fence that fits stays whole; one that does not is closed and opened again.
            ("Text:\n```\na\nb\n```\n", 14, &["Text:\n", "```\na\nb\n```\n"]),
            (
                "```rust\nlet a;\nlet b;\nlet c;\n```\nEnd",
                27,
                &["```rust\nlet a;\nlet b;\n```", "```rust\nlet c;\n```\nEnd"],
            ),
            (
                "````md\n```\ninner\n```\nmore text\n````",
                29,
                &["````md\n```\ninner\n```\n````", "````md\nmore text\n````"],
            ),
            (
                "> ~~~ x\n> 123456789\n> 123456789\n> ~~~\n",
                34,
                &["> ~~~ x\n> 123456789\n> ~~~", "> ~~~ x\n> 123456789\n> ~~~\n"],
            ),
            (
                "- ```\n  123456789\n  123456789\n  ```\n",
                30,
                &["- ```\n  123456789\n  ```", "  ```\n  123456789\n  ```\n"],
            ),
            (
                "```\r\n1234567\r\n12345678\r\n```",
                22,
                &["```\r\n1234567\r\n```", "```\r\n12345678\r\n```"],
            ),
            ("```\n1234567890\n1234567890", 18, &["```\n1234567890\n```", "```\n1234567890"]),
            (
                "```\n12345678901234567890\n```",
                20,
                &["```\n123456789012\n```", "```\n34567890\n```"],
            ),
        ];
        for (text, units, expected) in table {
            assert_eq!(check(text, chars(*units)), *expected, "{text:?} at {units}");
        }
    }

    #[test]
    fn each_unit_is_counted_as_itself() {
        let text = "😀é".repeat(4); // bytes 6, chars 2, utf-16 3 a pair
        for (unit, pieces) in [(TextUnit::Bytes, 4), (TextUnit::Chars, 2), (TextUnit::Utf16, 2)] {
            let units = [6, 4, 6][UNITS.iter().position(|u| *u == unit).unwrap()];
            assert_eq!(check(&text, TextLimit { units, unit }).len(), pieces, "{unit:?}");
        }
    }

    #[test]
    fn hostile_text_takes_no_longer_than_other_text() {
        // A few would take minutes if anything were quadratic in the text.
        let samples = [
            "[",
            "`",
            "``` ",
            "```\n",
            "*a ",
            "> ",
            "- ",
            "\n",
            " ",
            ". ",
            ".(",
            "a\u{301}",
            "\u{301}",
            "🇻🇳",
            "👩\u{200d}",
            "://",
            "[a](b)",
            "<a ",
            "a",
            "字",
            "\r\n",
            "| a ",
            "~~~~x\ny\n",
        ];
        for sample in samples {
            let text = sample.repeat((1 << 16) / sample.len());
            for units in [7, 4096] {
                assert_eq!(
                    pieces(&text, chars(units)).iter().map(|p| p.range.len()).sum::<usize>(),
                    text.len()
                );
            }
        }
    }

    /// A paragraph of words, links and code, each of which occurs once in the text.
    fn markdown() -> impl Strategy<Value = (String, Vec<String>)> {
        let word = "[a-zà-ỹ一-龥א-ת]{1,12}|👨‍👩‍👧|🇻🇳|e\u{302}\u{323}";
        let unit = (word, 0..5u8);
        let paragraph = prop::collection::vec(
            (unit, prop::sample::select(vec![" ", "\n", ". ", "\r\n"])),
            1..20,
        );
        prop::collection::vec((paragraph, prop::bool::ANY), 1..6).prop_map(|paragraphs| {
            let (mut text, mut whole, mut count) = (String::new(), Vec::new(), 0);
            for (words, fenced) in paragraphs {
                if fenced {
                    text.push_str("```rs\n");
                }
                for ((word, kind), gap) in words {
                    count += 1;
                    let token = match kind {
                        _ if fenced => word,
                        0 => format!("[{word}](http://x.y/{count})"),
                        1 => format!("`{word} {count}`"),
                        _ => word,
                    };
                    text.push_str(&token);
                    text.push_str(gap);
                    if !fenced && matches!(kind, 0 | 1) {
                        whole.push(token);
                    }
                }
                text.push_str(if fenced { "\n```\n\n" } else { "\n\n" });
            }
            (text, whole)
        })
    }

    /// The code of all fences in `pieces`, without white space, where a cut may add an end of line.
    fn code<'a>(pieces: impl IntoIterator<Item = &'a str>) -> String {
        use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
        let mut code = String::new();
        for piece in pieces {
            let mut inside = false;
            for event in Parser::new(piece) {
                match event {
                    Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                        assert_eq!(&*info, "rs", "{piece:?}");
                        inside = true;
                    }
                    Event::End(TagEnd::CodeBlock) => inside = false,
                    Event::Text(text) if inside => {
                        code.extend(text.chars().filter(|c| !c.is_whitespace()))
                    }
                    _ => {}
                }
            }
        }
        code
    }

    proptest! {
        #[test]
        fn any_text_is_kept_and_fits(text in "(?s).{0,300}", units in 0..60usize, unit in prop::sample::select(&UNITS)) {
            check(&text, TextLimit { units, unit });
        }

        #[test]
        fn any_markup_is_kept_and_fits(
            text in "([a ]|\\[|\\]|\\(|`{1,4}|~~~|\n|\r\n|>|- |\\*|é|👩‍👩|\u{301}|\\.|://){0,120}",
            units in 0..60usize,
            unit in prop::sample::select(&UNITS),
        ) {
            check(&text, TextLimit { units, unit });
        }

        #[test]
        fn no_grapheme_that_fits_is_cut(text in "([a-z ]|👨‍👩‍👧|🇻🇳|e\u{302}\u{323}|한|\r\n|नि){0,80}", units in 8..40usize) {
            let ends: Vec<usize> = text.grapheme_indices(true).map(|(at, g)| at + g.len()).collect();
            let mut at = 0;
            for piece in check(&text, chars(units)) {
                at += piece.len();
                prop_assert!(ends.contains(&at), "{piece:?} of {text:?}");
            }
        }

        #[test]
        fn no_link_nor_code_that_fits_is_cut((text, whole) in markdown(), units in 60..200usize, unit in prop::sample::select(&UNITS)) {
            let limit = TextLimit { units, unit };
            let pieces = check(&text, limit);
            for token in whole {
                if unit.count(&token) <= units {
                    prop_assert!(pieces.iter().any(|piece| piece.contains(&token)), "{token:?} in {pieces:?}");
                }
            }
            let fences = text.matches("```rs").count();
            prop_assert!(pieces.iter().map(|piece| piece.matches("```rs").count()).sum::<usize>() >= fences);
            prop_assert!(pieces.iter().all(|piece| piece.matches("```").count() % 2 == 0), "{pieces:?}");
            prop_assert_eq!(code(pieces.iter().map(String::as_str)), code([text.as_str()]));
        }
    }
}
