//! What a command put out, as text that can be shown.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use openclaw_core::{
    message::{Content, Media, MediaSource},
    sandbox::{Exit, Output},
};

/// The text of bytes that a program wrote to a terminal, or believed so: what is not UTF-8 is replaced,
/// escape sequences and control characters are left out, and a line that was written over is several.
pub(super) fn clean(bytes: &[u8]) -> String {
    let mut screen = Screen { text: String::new(), returned: false };
    vte::Parser::new().advance(&mut screen, bytes);
    screen.text
}

struct Screen {
    text: String,
    /// The last character was a carriage return.
    returned: bool,
}

impl Screen {
    fn put(&mut self, c: char) {
        if std::mem::take(&mut self.returned) && c != '\n' {
            self.text.push('\n');
        }
        self.text.push(c);
    }
}

impl vte::Perform for Screen {
    fn print(&mut self, c: char) {
        if !c.is_control() {
            self.put(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' | b'\t' => self.put(char::from(byte)),
            b'\r' => self.returned = !self.text.is_empty(),
            _ => {}
        }
    }
}

/// How a command ended and what it put out, for the model.
pub(super) fn report(output: &Output) -> String {
    let mut text = match output.ended.exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Time => {
            "ended, as its time was over; the box was ended with it and all its files are gone"
                .to_owned()
        }
        Exit::Memory => "ended, as it took more memory than it may".to_owned(),
        _ => "ended".to_owned(),
    };
    for (name, bytes) in [("output", &output.stdout), ("errors", &output.stderr)] {
        if !bytes.is_empty() {
            text.push_str(&format!("\n{name}:\n{}", clean(bytes)));
        }
    }
    if output.ended.cut {
        text.push_str("\n(there was more output, which is left out)");
    }
    text
}

/// A file as content.
pub(super) fn media(name: &str, mime: &str, bytes: &[u8]) -> Content {
    Content::Media(Media {
        mime: mime.to_owned(),
        source: MediaSource::Inline { base64: BASE64.encode(bytes) },
        name: Some(name.rsplit('/').next().unwrap_or(name).to_owned()),
        bytes: Some(bytes.len() as u64),
    })
}

/// The media type that a file's name stands for.
pub(super) fn mime(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("svg") => "image/svg+xml",
        Some("pdf") => "application/pdf",
        Some("json") => "application/json",
        Some("csv") => "text/csv",
        Some("txt" | "md" | "log") => "text/plain",
        Some("zip") => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_left_out() {
        for (bytes, text) in [
            (&b"plain\ttext\n"[..], "plain\ttext\n"),
            (b"\x1b[31mred\x1b[0m", "red"),
            (b"\x1b]0;title\x07after", "after"),
            (b"\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1bPdevice\x1b\\after", "after"),
            (b"10%\r20%\r\ndone", "10%\n20%\ndone"),
            (b"a\x00b\x07c\x08d\x7f", "abcd"),
            (b"bad\xff\xfeutf8", "bad\u{fffd}\u{fffd}utf8"),
            ("übergröße".as_bytes(), "übergröße"),
            (b"\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ] {
            assert_eq!(clean(bytes), text, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_control_character_is_left(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = clean(&bytes);
            prop_assert!(text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "{:?}", text);
        }
    }
}
