//! What a terminal shows of a message.

use openclaw_core::message::{Button, Content};

/// The text of a message, and its buttons in the order of their numbers. Not yet neutral.
pub(super) fn render(content: &[Content]) -> (String, Vec<Button>) {
    let mut lines = Vec::new();
    let mut buttons = Vec::new();
    for part in content {
        match part {
            Content::Text { text } => lines.push(text.clone()),
            Content::Buttons { rows } => {
                for button in rows.iter().flatten() {
                    buttons.push(button.clone());
                    lines.push(format!("  {}. {}", buttons.len(), button.label));
                }
            }
            // Nothing else is in the capabilities.
            _ => {}
        }
    }
    (lines.join("\n"), buttons)
}

/// Makes text harmless to a terminal: control characters become visible ones (ESC is shown as `␛`),
/// and characters that hide or reorder text become `�`. Line feeds, tabs and what joins emoji or
/// letters stay. Works character by character, so it may be given text in pieces.
pub fn neutralise(text: &str) -> String {
    text.chars().filter_map(neutral).collect()
}

fn neutral(c: char) -> Option<char> {
    match c {
        '\n' | '\t' => Some(c),
        '\r' => None,
        '\u{7f}' => Some('\u{2421}'),
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)),
        '\u{80}'..='\u{9f}'
        // Soft hyphen, fillers, zero width, marks and overrides of direction.
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        // Musical formatting, tags, supplementary variation selectors.
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => Some('\u{fffd}'),
        _ => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        let table = [
            ("Xin chào\tthế giới\r\n", "Xin chào\tthế giới\n"),
            ("\u{1b}[2J\u{1b}]0;owned\u{7}", "␛[2J␛]0;owned␇"),
            ("\u{9b}31m", "�31m"),
            ("a\u{202e}b\u{2066}c\u{200b}d\u{e0041}e", "a�b�c�d�e"),
            ("\0\u{8}\u{7f}", "␀␈␡"),
            ("👨‍👩‍👧 ‌نی‌شود", "👨‍👩‍👧 ‌نی‌شود"),
        ];
        for (text, shown) in table {
            assert_eq!(neutralise(text), shown, "{text:?}");
        }
    }

    #[test]
    fn no_control_character_is_left() {
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        assert!(neutralise(&all).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
    }
}
