//! Telegram's HTML, as of <https://core.telegram.org/bots/api#html-style>.

use std::fmt::Write as _;

use openclaw_core::{channel::TextUnit, http::Uri, message::Content};

use crate::markdown::{Mark, Markup, Nest, Rendered, as_written, render};

/// Markdown and mentions, in order, as Telegram's HTML. A line feed stands between two texts, nothing
/// around a mention.
pub(super) fn text(content: &[Content]) -> Rendered {
    let mut all = Rendered { text: String::new(), plain: String::new(), losses: Vec::new() };
    let mut after_text = false;
    for (index, part) in content.iter().enumerate() {
        let one = match part {
            Content::Text { text } => {
                if after_text {
                    push(&mut all, "\n");
                }
                after_text = true;
                // At the beginning white space may mean code.
                let inner = if index > 0 { text.trim() } else { text.trim_end() };
                let (before, behind) = text.split_once(inner).unwrap_or_default();
                push(&mut all, before);
                append(&mut all, render(inner, TextUnit::Utf16, &Html));
                if index + 1 < content.len() {
                    push(&mut all, behind);
                }
                continue;
            }
            Content::Mention { user, text } => mention(user.as_str(), text),
            _ => continue,
        };
        after_text = false;
        append(&mut all, one);
    }
    all
}

/// Adds what needs no escaping: white space.
fn push(to: &mut Rendered, space: &str) {
    to.text.push_str(space);
    to.plain.push_str(space);
}

fn append(to: &mut Rendered, more: Rendered) {
    to.text.push_str(&more.text);
    to.plain.push_str(&more.plain);
    to.losses.extend(more.losses);
}

/// Somebody who is told of it. Users are named by their numbers alone.
fn mention(user: &str, text: &str) -> Rendered {
    let plain = as_written(text, &Html);
    let is_number = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit());
    let text = match is_number {
        true => format!("<a href=\"tg://user?id={user}\">{}</a>", plain.text),
        false => plain.text,
    };
    Rendered { text, plain: plain.plain, losses: Vec::new() }
}

/// Text that is shown as it stands.
pub(super) fn escaped(text: &str) -> String {
    as_written(text, &Html).text
}

/// What Telegram's clients show.
pub(super) struct Html;

impl Markup for Html {
    fn has(&self, mark: &Mark) -> bool {
        match mark {
            Mark::Link { target } => is_linked(target),
            _ => true,
        }
    }

    fn nest(&self, outer: &Mark, inner: &Mark) -> Nest {
        use Mark::{Code, CodeBlock, Emphasis, Heading, Link, Quote, Strikethrough, Strong};
        match (outer, inner) {
            // Code is nothing else, but it may stand in a quote.
            (Quote, Code | CodeBlock { .. }) => Nest::Keep,
            (Link { .. }, Code | CodeBlock { .. }) => Nest::Drop,
            (_, Code | CodeBlock { .. }) => Nest::Split,
            (Link { .. }, Link { .. }) | (Quote, Quote) => Nest::Drop,
            // Both are bold.
            (Strong | Heading { .. }, Strong | Heading { .. })
            | (Emphasis, Emphasis)
            | (Strikethrough, Strikethrough) => Nest::Drop,
            _ => Nest::Keep,
        }
    }

    fn text(&self, text: &str, out: &mut String) {
        for c in text.chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                _ => out.push(c),
            }
        }
    }

    fn begin(&self, mark: &Mark, out: &mut String) {
        let attribute = |out: &mut String, before: &str, value: &str, after: &str| {
            let mut escaped = String::new();
            self.text(value, &mut escaped);
            out.push_str(before);
            out.push_str(&escaped.replace('"', "&quot;"));
            out.push_str(after);
        };
        match mark {
            Mark::Link { target } => attribute(out, "<a href=\"", target, "\">"),
            Mark::CodeBlock { language: Some(language) } => {
                attribute(out, "<pre><code class=\"language-", language, "\">");
            }
            other => {
                // Writing to a String cannot fail.
                let _ = write!(out, "<{}>", tag(other));
            }
        }
    }

    fn end(&self, mark: &Mark, out: &mut String) {
        if let Mark::CodeBlock { language: Some(_) } = mark {
            out.push_str("</code>");
        }
        let _ = write!(out, "</{}>", tag(mark));
    }
}

fn tag(mark: &Mark) -> &'static str {
    match mark {
        Mark::Strong | Mark::Heading { .. } => "b",
        Mark::Emphasis => "i",
        Mark::Strikethrough => "s",
        Mark::Link { .. } => "a",
        Mark::Code => "code",
        Mark::CodeBlock { .. } => "pre",
        Mark::Quote => "blockquote",
    }
}

/// True for what Telegram makes a link of; of anything else it would show the text alone.
fn is_linked(target: &str) -> bool {
    let Ok(uri) = target.parse::<Uri>() else { return false };
    let scheme = uri.scheme_str().map(str::to_ascii_lowercase);
    matches!(scheme.as_deref(), Some("http" | "https"))
        && uri.host().is_some_and(|host| host.contains('.'))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markdown::Loss;

    fn html(markdown: &str) -> String {
        render(markdown, TextUnit::Utf16, &Html).text
    }

    #[test]
    fn markdown_becomes_telegrams_html() {
        let table = [
            ("plain", "plain"),
            ("a < b & \"c\" > d", "a &lt; b &amp; \"c\" &gt; d"),
            ("**bold** and *slanted*", "<b>bold</b> and <i>slanted</i>"),
            ("***both***", "<i><b>both</b></i>"),
            ("~~gone~~", "<s>gone</s>"),
            ("# Head\n\ntext", "<b>Head</b>\n\ntext"),
            ("# Head\ntext", "<b>Head</b>\ntext"),
            ("## a **b** c", "<b>a b c</b>"),
            ("one\ntwo  \nthree\\\nfour", "one\ntwo\nthree\nfour"),
            ("one\n\n\n\ntwo", "one\n\ntwo"),
            ("`a < b`", "<code>a &lt; b</code>"),
            ("**a `b` c**", "<b>a </b><code>b</code><b> c</b>"),
            ("**`b`**", "<code>b</code>"),
            ("# Use `x`", "<b>Use </b><code>x</code>"),
            (
                "```rust\nlet a = &b;\n\n```\nend",
                "<pre><code class=\"language-rust\">let a = &amp;b;\n</code></pre>\nend",
            ),
            ("    code\n\nend", "<pre>code</pre>\n\nend"),
            ("```\n```", "```\n```"),
            (
                "[text](https://a.example/?q=1&r=2)",
                "<a href=\"https://a.example/?q=1&amp;r=2\">text</a>",
            ),
            ("[a `b` **c**](https://a.example)", "<a href=\"https://a.example\">a b <b>c</b></a>"),
            ("<https://a.example>", "<a href=\"https://a.example\">https://a.example</a>"),
            ("<ann@a.example>", "ann@a.example"),
            ("[me](mailto:ann@a.example)", "me (mailto:ann@a.example)"),
            ("[run](javascript:alert(1))", "run (javascript:alert(1))"),
            ("[user](tg://user?id=1)", "user (tg://user?id=1)"),
            ("[here](http://localhost:1/x)", "here (http://localhost:1/x)"),
            (
                "[bank](https://bank.example@evil.example)",
                "bank (https://bank.example@evil.example)",
            ),
            ("![cat](https://a.example/c.png)", "<a href=\"https://a.example/c.png\">cat</a>"),
            (
                "![](https://a.example/c.png)",
                "<a href=\"https://a.example/c.png\">https://a.example/c.png</a>",
            ),
            ("> a\n> b\n\nc", "<blockquote>a\nb</blockquote>\n\nc"),
            ("> a\n> > b", "<blockquote>a\nb</blockquote>"),
            ("> - a\n> - b", "<blockquote>• a\n• b</blockquote>"),
            (
                "> `a`\n>\n> ```\n> b\n> ```",
                "<blockquote><code>a</code>\n\n<pre>b</pre></blockquote>",
            ),
            ("- a\n- b\n  - c\n\n    d\n- e", "• a\n• b\n  • c\n\nd\n• e"),
            ("text\n- a\n- b", "text\n• a\n• b"),
            ("3. a\n4. b", "3. a\n4. b"),
            ("- - a\n- \n- b", "• • a\n•\n• b"),
            ("- **a**\n- `b`", "• <b>a</b>\n• <code>b</code>"),
            ("- > a", "•\n<blockquote>a</blockquote>"),
            ("- ```\n  a\n  ```", "•\n<pre>a</pre>"),
            ("1.     code\n   text", "1.\n<pre>code</pre>\ntext"),
            ("- # head\n  text", "• <b>head</b>\ntext"),
            ("- > said\n\n  ---\n  text", "•\n<blockquote>said</blockquote>\n\n———\ntext"),
            ("a\n\n---\n\nb", "a\n\n———\n\nb"),
            (
                "| a | b |\n|---|---|\n| 1 | 2 |\n\nend",
                "<pre>| a | b |\n|---|---|\n| 1 | 2 |</pre>\n\nend",
            ),
            ("a<br>b<br />c<u>d</u>", "a\nb\nc&lt;u&gt;d&lt;/u&gt;"),
            ("<div>\nx\n</div>\n\ny", "&lt;div&gt;\nx\n&lt;/div&gt;\n\ny"),
            ("&copy; \\*a\\*", "© *a*"),
            ("[a]: https://a.example", "[a]: https://a.example"),
            ("", ""),
        ];
        for (markdown, expected) in table {
            assert_eq!(html(markdown), expected, "{markdown:?}");
        }
    }

    #[test]
    fn what_is_lost_is_named() {
        let losses = |markdown| render(markdown, TextUnit::Utf16, &Html).losses;
        let link = |target: &str| Loss::Mark(Mark::Link { target: target.into() });
        assert_eq!(losses("**a** `b` [c](https://a.example)"), []);
        assert_eq!(losses("# a"), [Loss::HeadingLevel]);
        assert_eq!(losses("> > a"), [Loss::Mark(Mark::Quote)]);
        assert_eq!(losses("[a](/b)"), [link("/b")]);
        assert_eq!(losses("![a](https://a.example 't')"), [Loss::Image, Loss::Title("t".into())]);
        assert_eq!(losses("|a|\n|-|"), [Loss::Table]);
        assert_eq!(
            losses("1. a\n1. b\n1. c\n1. d\n1. e\n1. f\n1. g\n1. h\n1. i\n1. j"),
            [Loss::Source]
        );
    }

    #[test]
    fn mentions_stand_in_the_text() {
        let named = |user: &str| Content::Mention { user: user.into(), text: "A & B".into() };
        let content = |user| ["Hi ".into(), named(user), "**!**".into()];
        let shown = text(&content("42"));
        assert_eq!(shown.text, "Hi <a href=\"tg://user?id=42\">A &amp; B</a><b>!</b>");
        assert_eq!(shown.plain, "Hi A & B!");
        assert_eq!(text(&content("@ann")).text, "Hi A &amp; B<b>!</b>");
    }
}
