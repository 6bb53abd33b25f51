//! From `CommonMark`, which is what all text here is, to a platform's own form.
//!
//! What every channel must do alike is done once: reading the Markdown, line breaks and lists, what may
//! stand in what, and a report of what was lost. A platform adds its [`Markup`]: how text is escaped and
//! how a mark begins and ends.
//!
//! ```
//! use openclaw_channels::markdown::{Mark, Markup, Nest, render};
//! use openclaw_core::channel::TextUnit;
//!
//! /// Knows nothing but *strong* text.
//! struct Stars;
//!
//! impl Markup for Stars {
//!     fn has(&self, mark: &Mark) -> bool { matches!(mark, Mark::Strong | Mark::Heading { .. }) }
//!     fn nest(&self, _: &Mark, _: &Mark) -> Nest { Nest::Drop }
//!     fn text(&self, text: &str, out: &mut String) { out.push_str(&text.replace('*', "·")); }
//!     fn begin(&self, _: &Mark, out: &mut String) { out.push('*'); }
//!     fn end(&self, _: &Mark, out: &mut String) { out.push('*'); }
//! }
//!
//! let shown = render("# Plan\n\n- read *this*\n- see [here](https://a.example)", TextUnit::Chars, &Stars);
//! assert_eq!(shown.text, "*Plan*\n\n• read this\n• see here (https://a.example)");
//! assert_eq!(shown.plain, "Plan\n\n• read this\n• see here (https://a.example)");
//! ```

mod walk;
mod writer;

use openclaw_core::channel::TextUnit;

/// A kind of marked text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// Strong emphasis.
    Strong,
    /// Emphasis.
    Emphasis,
    /// Struck out.
    Strikethrough,
    /// A heading.
    Heading {
        /// 1 is the highest, 6 the lowest.
        level: u8,
    },
    /// A link, or a picture that is elsewhere.
    Link {
        /// Where it leads, as it was written.
        target: String,
    },
    /// Code within a line.
    Code,
    /// Lines of code.
    CodeBlock {
        /// The language, by its author's word.
        language: Option<String>,
    },
    /// Somebody else's words; holds blocks.
    Quote,
}

/// How one mark may stand within another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nest {
    /// It may.
    Keep,
    /// The outer one ends before the inner one and goes on behind it. Only for inner
    /// [`Code`](Mark::Code) and [`CodeBlock`](Mark::CodeBlock).
    Split,
    /// The inner one is not marked.
    Drop,
}

/// A platform's way to mark text.
pub trait Markup {
    /// Whether the platform has this mark. Text whose mark it lacks stays; behind a link that it
    /// lacks the target is written.
    fn has(&self, mark: &Mark) -> bool;

    /// How `inner` may stand in `outer`, anywhere within it. Asked only of marks that it has.
    fn nest(&self, outer: &Mark, inner: &Mark) -> Nest;

    /// Appends `text` so that it is shown as it stands.
    fn text(&self, text: &str, out: &mut String);

    /// Appends what begins a mark.
    fn begin(&self, mark: &Mark, out: &mut String);

    /// Appends what ends it.
    fn end(&self, mark: &Mark, out: &mut String);
}

/// Something of the Markdown that is not to be seen on the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// A mark that the platform lacks, or lacks there; its text is shown without it.
    Mark(Mark),
    /// Marks that mean nothing there: all is shown as it was written.
    Source,
    /// A table is shown as it was written.
    Table,
    /// A picture became a link to it.
    Image,
    /// The level of a heading.
    HeadingLevel,
    /// What a link or a picture says when it is pointed at.
    Title(String),
}

/// Text in a platform's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// With the platform's marks.
    pub text: String,
    /// What people read of it.
    pub plain: String,
    /// What was lost, in order; empty if nothing was.
    pub losses: Vec<Loss>,
}

/// Renders `CommonMark` with tables and strikethrough.
///
/// [`Rendered::plain`] is never longer, in `unit`, than `markdown`: so what was cut to a platform's
/// limit fits it. Where the rendered form would be longer, or nothing would be left to read, all is shown as
/// it was written.
///
/// Takes time in proportion to the length of the text, times the depth of its nesting.
pub fn render(markdown: &str, unit: TextUnit, markup: &impl Markup) -> Rendered {
    let rendered = walk::walk(markdown, markup);
    let unread = rendered.plain.trim().is_empty();
    if unread || unit.count(&rendered.plain) > unit.count(markdown) {
        return as_written(markdown, markup);
    }
    rendered
}

/// The text as it stands, without any mark.
pub(crate) fn as_written(markdown: &str, markup: &impl Markup) -> Rendered {
    let mut text = String::with_capacity(markdown.len());
    markup.text(markdown, &mut text);
    Rendered { text, plain: markdown.to_owned(), losses: vec![Loss::Source] }
}
