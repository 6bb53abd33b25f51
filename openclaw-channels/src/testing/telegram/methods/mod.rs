//! The methods of the Bot API, each a function of the world.

mod admin;
mod edit;
mod media;
mod polling;
mod send;
mod target;

use std::sync::Arc;

use openclaw_core::serde_json::Value;

use super::{
    args::Args,
    error::{ApiError, Result},
    world::{Shared, World},
};

/// What a method answers.
pub(super) struct Done {
    pub(super) result: Value,
    /// The description, which few methods have.
    pub(super) note: Option<&'static str>,
}

impl Done {
    fn noted(result: impl Into<Value>, note: &'static str) -> Self {
        Self { result: result.into(), note: Some(note) }
    }
}

impl From<Value> for Done {
    fn from(result: Value) -> Self {
        Self { result, note: None }
    }
}

/// A method that is done at once.
type Method = fn(&mut World, i64, &Args) -> Result<Value>;

const METHODS: &[(&str, Method)] = &[
    ("getMe", |world, bot, _| Ok(world.me_json(bot))),
    ("getWebhookInfo", polling::get_webhook_info),
    ("sendMessage", send::message),
    ("sendPhoto", media::photo),
    ("sendDocument", media::document),
    ("sendAudio", media::audio),
    ("sendVoice", media::voice),
    ("sendVideo", media::video),
    ("sendAnimation", media::animation),
    ("sendVideoNote", media::video_note),
    ("sendSticker", media::sticker),
    ("sendMediaGroup", media::group),
    ("sendLocation", send::location),
    ("sendVenue", send::venue),
    ("sendContact", send::contact),
    ("sendDice", send::dice),
    ("sendChatAction", send::chat_action),
    ("forwardMessage", send::forward),
    ("copyMessage", send::copy),
    ("editMessageText", edit::text),
    ("editMessageCaption", edit::caption),
    ("editMessageReplyMarkup", edit::reply_markup),
    ("deleteMessage", edit::delete),
    ("deleteMessages", edit::delete_many),
    ("setMessageReaction", edit::react),
    ("answerCallbackQuery", edit::answer_callback_query),
    ("getFile", media::get_file),
    ("getChat", admin::get_chat),
    ("getChatMember", admin::get_chat_member),
    ("getChatMemberCount", admin::get_chat_member_count),
    ("getChatAdministrators", admin::get_chat_administrators),
    ("leaveChat", admin::leave_chat),
    ("setMyCommands", admin::set_my_commands),
    ("getMyCommands", admin::get_my_commands),
    ("deleteMyCommands", admin::delete_my_commands),
    ("createForumTopic", admin::create_forum_topic),
    ("editForumTopic", admin::edit_forum_topic),
    ("closeForumTopic", admin::close_forum_topic),
    ("reopenForumTopic", admin::reopen_forum_topic),
    ("deleteForumTopic", admin::delete_forum_topic),
];

/// Methods that wait or that start something.
const OTHERS: &[&str] = &["getUpdates", "setWebhook", "deleteWebhook"];

/// The method's name as the documentation writes it; the server takes any case.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    let all = METHODS.iter().map(|(name, _)| name).chain(OTHERS);
    all.copied().find(|known| known.eq_ignore_ascii_case(name))
}

/// Calls a method. Only `getUpdates` and what answers late wait; dropped, they have no effect.
pub(super) async fn call(shared: &Arc<Shared>, bot: i64, name: &str, args: &Args) -> Result<Done> {
    match canonical(name) {
        Some("getUpdates") => polling::get_updates(shared, bot, args).await.map(Done::from),
        Some("setWebhook") => polling::set_webhook(shared, bot, args),
        Some("deleteWebhook") => polling::delete_webhook(shared, bot, args),
        Some(name) => {
            let method = METHODS.iter().find(|(other, _)| *other == name);
            let (_, method) = method.ok_or_else(unknown)?;
            shared.update(|world| method(world, bot, args)).map(Done::from)
        }
        None => Err(unknown()),
    }
}

fn unknown() -> ApiError {
    ApiError::new(404, "Not Found: method not found")
}
