//! Cuts what is to be said into messages that a platform takes, one call each.

use super::{Degraded, Loss, degrade, split};
use crate::{
    channel::{Capabilities, TextLimit},
    message::Content,
};

/// Content as the messages of a platform.
#[derive(Debug)]
pub(crate) struct Messages {
    /// Each of them is one call of the platform; see [`Action::Send`](crate::message::Action::Send).
    pub(crate) messages: Vec<Vec<Content>>,
    /// What the platform cannot show.
    pub(crate) losses: Vec<Loss>,
}

/// Cuts `content` into messages that fit `capabilities`, in its order.
pub(crate) fn messages(content: Vec<Content>, capabilities: &Capabilities) -> Messages {
    let Degraded { content, losses } = degrade(&content, capabilities);
    let mut cutter = Cutter { capabilities, messages: Vec::new(), words: Vec::new() };
    for one in content {
        match one {
            Content::Text { .. } | Content::Mention { .. } => cutter.words.push(one),
            other => {
                cutter.end_words();
                cutter.add(other);
            }
        }
    }
    cutter.end_words();
    Messages { messages: cutter.messages, losses }
}

struct Cutter<'a> {
    capabilities: &'a Capabilities,
    messages: Vec<Vec<Content>>,
    /// Texts and the mentions among them that are not in a message yet.
    words: Vec<Content>,
}

impl Cutter<'_> {
    /// Puts the collected words into messages of their own, or beside the media before them.
    fn end_words(&mut self) {
        let words = std::mem::take(&mut self.words);
        if words.iter().all(|word| word.as_text().is_some_and(|text| text.trim().is_empty())) {
            // Platforms refuse what shows nothing.
            return;
        }
        if let (Some(limit), Some(last)) = (self.capabilities.max_caption, self.messages.last_mut())
            && last.iter().all(|one| matches!(one, Content::Media(_)))
            && length(&words, limit) <= limit.units
        {
            last.extend(words);
            return;
        }
        self.messages.extend(pieces(words, self.capabilities.max_text));
    }

    /// Adds what is no text.
    fn add(&mut self, one: Content) {
        let media = |one: &Content| matches!(one, Content::Media(_));
        let last = self.messages.last_mut().filter(|last| match &one {
            Content::Media(_) => {
                last.iter().all(media) && last.len() < self.capabilities.max_album.max(1)
            }
            // An album has no room for buttons, nor has a message that has some.
            Content::Buttons { .. } => {
                let album = last.iter().filter(|one| media(one)).count() > 1;
                let whole = last.iter().all(|one| {
                    matches!(
                        one,
                        Content::Text { .. } | Content::Mention { .. } | Content::Media(_)
                    )
                });
                whole && !album
            }
            _ => false,
        });
        match last {
            Some(last) => last.push(one),
            None => self.messages.push(vec![one]),
        }
    }
}

/// The length of words in one message, where each text begins on a line of its own.
fn length(words: &[Content], limit: TextLimit) -> usize {
    let texts = |pair: &[Content]| pair.iter().all(|word| word.as_text().is_some());
    let breaks = words.windows(2).filter(|pair| texts(pair)).count();
    words.iter().map(|word| limit.unit.count(seen(word))).sum::<usize>() + breaks
}

fn seen(word: &Content) -> &str {
    match word {
        Content::Text { text } | Content::Mention { text, .. } => text,
        _ => "",
    }
}

/// Cuts words into messages of at most `limit`. A text stands in its own messages unless a mention
/// goes before or behind it: then they share one as far as there is room.
fn pieces(words: Vec<Content>, limit: TextLimit) -> Vec<Vec<Content>> {
    let mut pieces: Vec<Vec<Content>> = Vec::new();
    let mut room = 0;
    let mut joins = false;
    for word in words {
        let mention = matches!(word, Content::Mention { .. });
        let whole = limit.unit.count(seen(&word));
        let fits = (joins || mention) && whole <= room;
        joins = mention;
        match (word, pieces.last_mut()) {
            (word, Some(last)) if fits => {
                last.push(word);
                room -= whole;
            }
            (Content::Text { text }, _) => {
                let cut = split(&text, limit).into_iter().filter(|piece| !piece.trim().is_empty());
                pieces.extend(cut.map(|piece| vec![Content::text(piece)]));
                let last = pieces.last().map_or(0, |last| length(last, limit));
                room = limit.units.saturating_sub(last);
            }
            (word, _) => {
                pieces.push(vec![word]);
                room = limit.units.saturating_sub(whole);
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channel::{Delivery, TextUnit},
        message::{Button, Media, MediaSource},
    };

    fn able() -> Capabilities {
        let chars = |units| TextLimit { units, unit: TextUnit::Chars };
        let mut able = Capabilities::text_only(Delivery::Blind);
        (able.buttons, able.media, able.location, able.mention) = (true, true, true, true);
        (able.max_text, able.max_caption, able.max_album) = (chars(10), Some(chars(5)), 2);
        able
    }

    fn media() -> Content {
        Content::Media(Media {
            mime: "image/png".into(),
            source: MediaSource::Remote { handle: "h".into() },
            name: None,
            bytes: None,
        })
    }

    fn buttons() -> Content {
        Content::Buttons { rows: vec![vec![Button { label: "Yes".into(), token: "y".into() }]] }
    }

    fn mention() -> Content {
        Content::Mention { user: "7".into(), text: "@ada".into() }
    }

    fn place() -> Content {
        Content::Location { latitude: 1.0, longitude: 2.0, name: None }
    }

    #[test]
    fn each_message_is_one_that_the_platform_takes() {
        let table: Vec<(Vec<Content>, Vec<Vec<Content>>)> = vec![
            (vec!["hi".into()], vec![vec!["hi".into()]]),
            (vec![" \n".into()], vec![]),
            (vec!["a".into(), "b".into()], vec![vec!["a".into()], vec!["b".into()]]),
            (
                vec!["one two three".into(), buttons()],
                vec![vec!["one two ".into()], vec!["three".into(), buttons()]],
            ),
            (vec![buttons(), buttons()], vec![vec![buttons()], vec![buttons()]]),
            (vec![media(), "short".into()], vec![vec![media(), "short".into()]]),
            (vec![media(), "longer".into()], vec![vec![media()], vec!["longer".into()]]),
            // With a line feed between them they are one too long.
            (
                vec![media(), "abc".into(), "de".into()],
                vec![vec![media()], vec!["abc".into()], vec!["de".into()]],
            ),
            (
                vec![media(), media(), media(), "a".into()],
                vec![vec![media(), media()], vec![media(), "a".into()]],
            ),
            (
                vec!["a".into(), media(), buttons()],
                vec![vec!["a".into()], vec![media(), buttons()]],
            ),
            (vec![media(), media(), buttons()], vec![vec![media(), media()], vec![buttons()]]),
            (
                vec!["a".into(), place(), "b".into(), buttons()],
                vec![vec!["a".into()], vec![place()], vec!["b".into(), buttons()]],
            ),
            (
                vec!["Hi ".into(), mention(), "!".into()],
                vec![vec!["Hi ".into(), mention(), "!".into()]],
            ),
            (
                vec!["Hi to you ".into(), mention(), ", look".into()],
                vec![vec!["Hi to you ".into()], vec![mention(), ", look".into()]],
            ),
        ];
        for (content, expected) in table {
            let cut = messages(content.clone(), &able());
            assert_eq!(cut.messages, expected, "{content:?}");
            assert!(cut.losses.is_empty());
        }
    }

    #[test]
    fn without_captions_and_albums_everything_stands_alone() {
        let mut able = able();
        (able.max_caption, able.max_album) = (None, 0);
        let cut = messages(vec![media(), media(), "a".into()], &able).messages;
        assert_eq!(cut, [vec![media()], vec![media()], vec!["a".into()]]);
    }
}
