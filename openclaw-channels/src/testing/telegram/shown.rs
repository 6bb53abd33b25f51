//! What a chat shows.

use openclaw_core::{
    bytes::Bytes,
    serde_json::{Map, Value},
};

use super::{
    text::Entity,
    world::{Content, Message, Place, World},
};

/// A message as it is now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Shown {
    /// Its id.
    pub id: i64,
    /// Who wrote it.
    pub from: i64,
    /// The topic that it is in.
    pub thread: Option<i64>,
    /// The message that it answers.
    pub reply_to: Option<i64>,
    /// Its text or caption, parsed; empty if it has none.
    pub text: String,
    /// What is special in the text.
    pub entities: Vec<Entity>,
    /// The rows of its inline keyboard.
    pub keyboard: Vec<Vec<Button>>,
    /// What it asks the client to show in place of a keyboard: `ReplyKeyboardMarkup`,
    /// `ReplyKeyboardRemove` or `ForceReply`.
    pub menu: Option<Value>,
    /// Its file.
    pub file: Option<File>,
    /// The album that it belongs to.
    pub album: Option<String>,
    /// The reactions: who, and with which emoji.
    pub reactions: Vec<(i64, String)>,
    /// How often it was edited.
    pub edits: u32,
    /// True if it was deleted.
    pub deleted: bool,
    /// True if it came without a sound.
    pub silent: bool,
    /// The Bot API's object of it, for everything else.
    pub json: Value,
}

/// A button under a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Button {
    /// What it says.
    pub text: String,
    /// What a press tells the bot.
    pub data: Option<String>,
    /// What it opens.
    pub url: Option<String>,
}

/// A file in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Its kind, as in `photo`.
    pub kind: String,
    /// Its name.
    pub name: Option<String>,
    /// Its MIME type.
    pub mime: Option<String>,
    /// Its content.
    pub bytes: Bytes,
}

/// What a bot answered to a press of a button.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answered {
    /// The text; empty if there is none.
    pub text: String,
    /// Whether it is shown in a box that must be closed.
    pub alert: bool,
    /// The page that opens.
    pub url: String,
}

impl Answered {
    pub(super) fn of(answer: &Map<String, Value>) -> Self {
        let text =
            |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let alert = answer.get("show_alert") == Some(&Value::Bool(true));
        Self { text: text("text"), alert, url: text("url") }
    }
}

impl World {
    pub(super) fn shown(&self, place: Place, message: &Message) -> Shown {
        let styled = message.styled().cloned().unwrap_or_default();
        let emoji = |reaction: &Value| {
            reaction.get("emoji").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let reactions = message
            .reactions
            .iter()
            .flat_map(|(who, list)| list.iter().map(move |reaction| (*who, emoji(reaction))));
        Shown {
            id: message.id,
            from: message.from,
            thread: message.thread,
            reply_to: message.reply_to,
            text: styled.text,
            entities: styled.entities,
            keyboard: message.keyboard.as_ref().map(keyboard).unwrap_or_default(),
            menu: message.menu.clone(),
            file: self.file(message),
            album: message.album.clone(),
            reactions: reactions.collect(),
            edits: message.edits,
            deleted: message.deleted,
            silent: message.silent,
            json: self.message_json(place, message, true),
        }
    }

    fn file(&self, message: &Message) -> Option<File> {
        let Content::Media { kind, fields, .. } = &message.content else { return None };
        let object = fields.get(*kind)?;
        let object = object.as_array().and_then(|sizes| sizes.last()).unwrap_or(object);
        let stored = self.files.by_id(object.get("file_id")?.as_str()?)?;
        Some(File {
            kind: (*kind).to_owned(),
            name: stored.name.clone(),
            mime: stored.mime.clone(),
            bytes: stored.bytes.clone(),
        })
    }
}

fn keyboard(markup: &Value) -> Vec<Vec<Button>> {
    let text = |button: &Value, name: &str| button.get(name)?.as_str().map(str::to_owned);
    let rows = markup.get("inline_keyboard").and_then(Value::as_array).into_iter().flatten();
    rows.map(|row| {
        let buttons = row.as_array().into_iter().flatten();
        buttons
            .map(|button| Button {
                text: text(button, "text").unwrap_or_default(),
                data: text(button, "callback_data"),
                url: text(button, "url"),
            })
            .collect()
    })
    .collect()
}
