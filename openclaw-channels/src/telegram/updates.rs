//! Takes Telegram's updates in.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use openclaw_core::{
    Result,
    channel::{Accepted, ChannelContext},
    message::Inbound,
    serde_json::json,
};

use super::{
    Telegram,
    inbound::{Bot, Reader},
    types::{CallbackQuery, ChatMemberUpdated, Message, RawUpdate, Update},
};

/// How long telling Telegram that a press was heard may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How many presses are answered at once.
const ANSWERS_AT_ONCE: usize = 8;
/// How many albums that name the bot are remembered, while their other pictures come.
const ALBUMS: usize = 64;

/// What an update says.
struct Heard {
    inbound: Inbound,
    album: Option<String>,
    /// The press that is to be answered.
    pressed: Option<String>,
}

impl Telegram {
    /// Takes updates in, in their order and in one commit; they may be acknowledged when it returns.
    ///
    /// # Errors
    /// Nothing was accepted: they must come again.
    pub(super) async fn take(&self, cx: &ChannelContext, updates: Vec<RawUpdate>) -> Result<()> {
        let bot = self.bot(cx).await?;
        let mut heard = Vec::with_capacity(updates.len());
        // Presses that say nothing to us, but whose button waits.
        let mut answers = Vec::new();
        for raw in updates {
            self.shared.counts.updates.add();
            let (id, kind) = (raw.id, raw.kind.clone());
            match raw.parse() {
                Ok(update) => {
                    self.read(cx, &bot, id, &kind, update, &mut heard, &mut answers).await?
                }
                Err(error) => {
                    let count = self.shared.counts.malformed.add();
                    tracing::warn!(account = %self.account, update = id, kind, %error, count, "an update cannot be read; it is left out");
                }
            }
        }
        self.shared.albums.spread(&mut heard);
        let pressed: Vec<Option<String>> =
            heard.iter_mut().map(|heard| heard.pressed.take()).collect();
        let batch = heard.into_iter().map(|heard| heard.inbound).collect();
        let accepted = cx.ingress().accept(batch).await?;
        for (id, accepted) in pressed.into_iter().zip(accepted) {
            match accepted {
                Accepted::Refused(reason) => {
                    tracing::debug!(account = %self.account, ?reason, "an event was not let in");
                }
                Accepted::Duplicate => {
                    let count = self.shared.counts.duplicates.add();
                    if count.is_power_of_two() {
                        tracing::info!(account = %self.account, count, "an event came again; it counts once");
                    }
                }
                _ => {}
            }
            let refused = matches!(accepted, Accepted::Refused(_));
            answers.extend(id.map(|id| (id, refused)));
        }
        self.answer(cx, answers).await;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "two of them are where the result goes")]
    async fn read(
        &self,
        cx: &ChannelContext,
        bot: &Bot,
        id: i64,
        kind: &str,
        update: Update,
        heard: &mut Vec<Heard>,
        answers: &mut Vec<(String, bool)>,
    ) -> Result<()> {
        let reader = Reader { account: &self.account, bot };
        let edit = update.edited_message.is_some().then_some(id);
        if let Some(message) = update.message.or(update.edited_message) {
            self.note_move(cx, &message).await?;
            let peer = self.shared.chats.peer(cx, message.chat.id).await?;
            match reader.message(peer, &message, edit) {
                Some(inbound) => {
                    heard.push(Heard { inbound, album: message.media_group_id, pressed: None });
                }
                None => {
                    tracing::debug!(account = %self.account, update = id, kind, "nobody says anything in it");
                }
            }
        } else if let Some(press) = update.callback_query {
            match self.press(cx, &reader, &press).await? {
                Some(inbound) => {
                    heard.push(Heard { inbound, album: None, pressed: Some(press.id) });
                }
                None => answers.push((press.id, true)),
            }
        } else if let Some(change) = update.message_reaction {
            let peer = self.shared.chats.peer(cx, change.chat.id).await?;
            let reactions = reader.reactions(&peer, &change, id).into_iter();
            heard.extend(reactions.map(|inbound| Heard { inbound, album: None, pressed: None }));
        } else if let Some(change) = update.my_chat_member {
            self.note_membership(&change);
        } else {
            let count = self.shared.counts.unknown.add();
            tracing::info!(account = %self.account, update = id, kind, count, "an update of a kind that is not known");
        }
        Ok(())
    }

    async fn press(
        &self,
        cx: &ChannelContext,
        reader: &Reader<'_>,
        press: &CallbackQuery,
    ) -> Result<Option<Inbound>> {
        let Some(message) = &press.message else { return Ok(None) };
        let peer = self.shared.chats.peer(cx, message.chat.id).await?;
        Ok(reader.button(peer, press))
    }

    /// Telegram tells of a move in the old chat and in the new one.
    async fn note_move(&self, cx: &ChannelContext, message: &Message) -> Result<()> {
        let here = message.chat.id;
        if let Some(new) = message.migrate_to_chat_id {
            self.shared.chats.moved(cx, here, new).await?;
        }
        if let Some(old) = message.migrate_from_chat_id {
            self.shared.chats.moved(cx, old, here).await?;
        }
        Ok(())
    }

    /// What a message to there will come to. Nothing is kept: Telegram says so again when one is sent.
    fn note_membership(&self, change: &ChatMemberUpdated) {
        let (account, chat) = (&self.account, change.chat.id);
        match change.new_chat_member.status.as_str() {
            "kicked" if change.chat.is_private() => {
                tracing::warn!(%account, chat, "a person blocked the bot");
            }
            status @ ("kicked" | "left") => {
                tracing::warn!(%account, chat, status, "the bot is no longer in the chat");
            }
            status => tracing::info!(%account, chat, status, "the bot's place in a chat changed"),
        }
    }

    /// Tells Telegram that presses were heard, so that their buttons stop waiting. Whether that works
    /// does not matter.
    async fn answer(&self, cx: &ChannelContext, answers: Vec<(String, bool)>) {
        let answer = |(id, refused): (String, bool)| async move {
            let text = if refused { "You cannot press this." } else { "" };
            let arguments = json!({ "callback_query_id": id, "text": text });
            let told = self.client.call_within::<bool>(
                cx,
                "answerCallbackQuery",
                &arguments,
                ANSWER_TIMEOUT,
            );
            if let Err(failure) = told.await {
                tracing::debug!(account = %self.account, ?failure, "a press was not answered");
            }
        };
        stream::iter(answers).map(answer).buffer_unordered(ANSWERS_AT_ONCE).collect::<()>().await;
    }
}

/// The albums that name the bot: only one of an album's pictures has the words.
#[derive(Default)]
pub(super) struct Albums(Mutex<VecDeque<String>>);

impl Albums {
    fn spread(&self, heard: &mut [Heard]) {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for one in heard.iter().filter(|one| one.inbound.mentioned) {
            if let Some(album) = &one.album
                && !named.contains(album)
            {
                named.push_back(album.clone());
            }
        }
        for one in heard.iter_mut() {
            one.inbound.mentioned |= one.album.as_ref().is_some_and(|album| named.contains(album));
        }
        while named.len() > ALBUMS {
            named.pop_front();
        }
    }
}
