//! What a channel cannot show becomes text.

use crate::{
    channel::Capabilities,
    message::{Button, Content, Media},
};

/// Content as a channel can show it, and what that cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Degraded {
    /// Nothing in it is beyond the channel's capabilities.
    pub content: Vec<Content>,
    /// What became text, in order; empty if nothing did.
    pub losses: Vec<Loss>,
}

/// A part that became text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Buttons became numbered lines; nothing can be pressed.
    Buttons {
        /// How many there were.
        count: usize,
    },
    /// A file became its name and type; its bytes are not sent.
    Media {
        /// The media type.
        mime: String,
    },
    /// A place became its coordinates.
    Location,
    /// A card became a name and a number.
    Contact,
    /// A mention became the name alone; nobody is notified.
    Mention,
}

/// Replaces what `capabilities` lack by text.
///
/// | content | becomes |
/// |---|---|
/// | buttons | a line each, `1. Label`; behind it the token if it is a command that can be typed: `` 1. Yes: `/approve k7 yes` `` |
/// | media | `[photo.png, image/png]` |
/// | location | `Name: 10.7769, 106.7009` |
/// | contact | `Name: +84 90 000 000` |
/// | mention | the name as it was written, within the text around it |
///
/// Names and labels are escaped: no Markdown in them takes effect.
pub fn degrade(content: &[Content], capabilities: &Capabilities) -> Degraded {
    let mut degraded = Degraded { content: Vec::with_capacity(content.len()), losses: Vec::new() };
    // True while the last text is open for more of the same line.
    let mut inline = false;
    for part in content {
        let (text, loss) = match part {
            Content::Mention { text, .. } if !capabilities.mention => {
                append(&mut degraded.content, &escape(text));
                degraded.losses.push(Loss::Mention);
                inline = true;
                continue;
            }
            Content::Text { text } if inline => {
                append(&mut degraded.content, text);
                inline = false;
                continue;
            }
            Content::Buttons { rows } if !capabilities.buttons => {
                let count = rows.iter().map(Vec::len).sum();
                (numbered(rows.iter().flatten()), Loss::Buttons { count })
            }
            Content::Media(media) if !capabilities.media => {
                (media_line(media), Loss::Media { mime: media.mime.clone() })
            }
            Content::Location { latitude, longitude, name } if !capabilities.location => {
                let place = format!("{latitude}, {longitude}");
                let named = name.as_deref().map(|name| format!("{}: {place}", escape(name)));
                (named.unwrap_or(place), Loss::Location)
            }
            Content::Contact { name, phone } if !capabilities.contact => {
                (format!("{}: {}", escape(name), escape(phone)), Loss::Contact)
            }
            other => {
                degraded.content.push(other.clone());
                inline = false;
                continue;
            }
        };
        inline = false;
        degraded.losses.push(loss);
        if !text.is_empty() {
            degraded.content.push(Content::Text { text });
        }
    }
    degraded
}

/// Puts `more` behind the last text, or begins one.
fn append(content: &mut Vec<Content>, more: &str) {
    match content.last_mut() {
        Some(Content::Text { text }) => text.push_str(more),
        _ => content.push(Content::text(more)),
    }
}

fn numbered<'a>(buttons: impl Iterator<Item = &'a Button>) -> String {
    let lines = buttons.enumerate().map(|(index, Button { label, token })| {
        let line = format!("{}. {}", index + 1, escape(label));
        // What stands in backquotes is for typing; a token with a backquote or a line end is not.
        let typed = token.starts_with('/') && !token.contains(|c: char| c == '`' || c.is_control());
        if typed { format!("{line}: `{token}`") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn media_line(media: &Media) -> String {
    match &media.name {
        Some(name) => format!("\\[{}, {}\\]", escape(name), escape(&media.mime)),
        None => format!("\\[{}\\]", escape(&media.mime)),
    }
}

/// Plain text as Markdown that shows it: on one line, nothing in it taking effect.
fn escape(plain: &str) -> String {
    let mut markdown = String::with_capacity(plain.len());
    for c in plain.chars() {
        if r"\`*_[]<>&~|#!".contains(c) {
            markdown.push('\\');
        }
        markdown.push(if c.is_control() { ' ' } else { c });
    }
    markdown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channel::Delivery, message::MediaSource};

    fn media(name: Option<&str>) -> Content {
        Content::Media(Media {
            mime: "image/png".into(),
            source: MediaSource::Remote { handle: "h".into() },
            name: name.map(Into::into),
            bytes: None,
        })
    }

    fn buttons(buttons: &[(&str, &str)]) -> Content {
        let button =
            |&(label, token): &(&str, &str)| Button { label: label.into(), token: token.into() };
        Content::Buttons { rows: vec![buttons.iter().map(button).collect()] }
    }

    fn mention() -> Content {
        Content::Mention { user: "7".into(), text: "@a_da".into() }
    }

    fn place(name: Option<&str>) -> Content {
        Content::Location { latitude: 10.5, longitude: -0.25, name: name.map(Into::into) }
    }

    #[test]
    fn what_is_lacking_becomes_text() {
        let contact = Content::Contact { name: "Ada".into(), phone: "+44 1".into() };
        let two = buttons(&[("Yes", "/approve k7 yes"), ("N*o", "tok"), ("`", "/a`b")]);
        let table: Vec<(Vec<Content>, Vec<&str>, Vec<Loss>)> = vec![
            (vec!["hi".into()], vec!["hi"], vec![]),
            (
                vec!["Go?".into(), two],
                vec!["Go?", "1. Yes: `/approve k7 yes`\n2. N\\*o\n3. \\`"],
                vec![Loss::Buttons { count: 3 }],
            ),
            (vec![buttons(&[])], vec![], vec![Loss::Buttons { count: 0 }]),
            (
                vec![media(Some("a_b\n.png"))],
                vec!["\\[a\\_b .png, image/png\\]"],
                vec![Loss::Media { mime: "image/png".into() }],
            ),
            (
                vec![media(None)],
                vec!["\\[image/png\\]"],
                vec![Loss::Media { mime: "image/png".into() }],
            ),
            (vec![place(Some("Bến Thành"))], vec!["Bến Thành: 10.5, -0.25"], vec![Loss::Location]),
            (vec![place(None)], vec!["10.5, -0.25"], vec![Loss::Location]),
            (vec![contact], vec!["Ada: +44 1"], vec![Loss::Contact]),
            (
                vec!["Hi ".into(), mention(), ", look".into(), "next".into()],
                vec!["Hi @a\\_da, look", "next"],
                vec![Loss::Mention],
            ),
            (
                vec![mention(), mention()],
                vec!["@a\\_da@a\\_da"],
                vec![Loss::Mention, Loss::Mention],
            ),
        ];
        let capabilities = Capabilities::text_only(Delivery::Blind);
        for (content, texts, losses) in table {
            let degraded = degrade(&content, &capabilities);
            let texts: Vec<Content> = texts.into_iter().map(Content::from).collect();
            assert_eq!(degraded, Degraded { content: texts, losses }, "{content:?}");
        }
    }

    #[test]
    fn what_the_channel_has_stays() {
        let mut capabilities = Capabilities::text_only(Delivery::Blind);
        capabilities.buttons = true;
        capabilities.media = true;
        capabilities.location = true;
        capabilities.contact = true;
        capabilities.mention = true;
        let content = vec![
            "a".into(),
            mention(),
            "b".into(),
            buttons(&[("Yes", "y")]),
            media(None),
            place(None),
            Content::Contact { name: "Ada".into(), phone: "1".into() },
        ];
        assert_eq!(degrade(&content, &capabilities), Degraded { content, losses: vec![] });
    }
}
