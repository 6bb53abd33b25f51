//! Updates as Telegram sends them.

use openclaw_core::{
    ThreadId,
    message::MediaSource,
    serde_json::{self, Value, json},
};

use super::*;

fn account() -> AccountId {
    AccountId::new("telegram", "test").unwrap()
}

fn bot() -> Bot {
    Bot { id: 99, username: "our_bot".into() }
}

/// A message in a private chat with what `more` adds or replaces.
fn private(more: Value) -> Message {
    let mut message = json!({
        "message_id": 7,
        "from": { "id": 5, "is_bot": false, "first_name": "Ada", "last_name": "L.", "username": "ada" },
        "chat": { "id": 5, "type": "private", "first_name": "Ada" },
        "date": 1_700_000_000,
    });
    merge(&mut message, more);
    serde_json::from_value(message).unwrap()
}

/// The same in a supergroup.
fn group(more: Value) -> Message {
    let mut all = json!({ "chat": { "id": -1_001_234, "type": "supergroup", "title": "Team" } });
    merge(&mut all, more);
    private(all)
}

fn merge(into: &mut Value, more: Value) {
    for (key, value) in more.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn heard(message: &Message) -> Option<Inbound> {
    let (account, bot) = (account(), bot());
    let peer = message.chat.id.to_string();
    Reader { account: &account, bot: &bot }.message(peer.as_str().into(), message, None)
}

fn content(message: Value) -> Vec<Content> {
    heard(&private(message)).unwrap().content
}

fn file(id: &str) -> Value {
    json!({ "file_id": id, "file_unique_id": "u", "file_size": 9 })
}

fn medium(mime: &str, handle: &str, name: Option<&str>) -> Content {
    Content::Media(openclaw_core::message::Media {
        mime: mime.into(),
        source: MediaSource::Remote { handle: handle.into() },
        name: name.map(Into::into),
        bytes: Some(9),
    })
}

#[test]
fn a_private_message_is_heard_whole() {
    let message = private(json!({
        "text": "hi *you*",
        "entities": [{ "type": "bold", "offset": 0, "length": 2 }],
    }));
    let inbound = heard(&message).unwrap();
    assert_eq!(inbound.key, EventKey::message("99/5", "7"));
    assert_eq!(inbound.conversation, Conversation::direct(account(), "5"));
    assert_eq!(inbound.sender, Sender { id: "5".into(), name: Some("Ada L.".into()) });
    assert_eq!(inbound.kind, InboundKind::Message);
    assert_eq!(inbound.content, ["**hi** \\*you\\*".into()]);
    assert_eq!(inbound.message, Some("7".into()));
    assert_eq!(inbound.sent_at, Some(Timestamp(1_700_000_000_000)));
    assert!(inbound.mentioned && inbound.reply_to.is_none() && inbound.quoted.is_empty());
}

#[test]
fn files_places_and_cards_are_content() {
    let sized = |id: &str, width: u64| json!({ "file_id": id, "width": width, "height": 2, "file_size": 9 });
    let named = |id: &str, name: &str, mime: &str| json!({ "file_id": id, "file_size": 9, "file_name": name, "mime_type": mime });
    let place = |name: Option<&str>| Content::Location {
        latitude: 10.5,
        longitude: -0.25,
        name: name.map(Into::into),
    };
    let location = json!({ "latitude": 10.5, "longitude": -0.25 });
    let table: Vec<(Value, Vec<Content>)> = vec![
        (
            json!({ "photo": [sized("s", 1), sized("l", 3), sized("m", 2)], "caption": "look" }),
            vec!["look".into(), medium("image/jpeg", "l", None)],
        ),
        (
            json!({ "document": named("d", "a.pdf", "application/pdf") }),
            vec![medium("application/pdf", "d", Some("a.pdf"))],
        ),
        (json!({ "document": file("d") }), vec![medium("application/octet-stream", "d", None)]),
        (json!({ "voice": file("v") }), vec![medium("audio/ogg", "v", None)]),
        (
            json!({ "audio": named("a", "s.m4a", "audio/mp4") }),
            vec![medium("audio/mp4", "a", Some("s.m4a"))],
        ),
        (json!({ "video": file("v") }), vec![medium("video/mp4", "v", None)]),
        (json!({ "video_note": file("n") }), vec![medium("video/mp4", "n", None)]),
        (
            json!({ "animation": file("g"), "document": file("g") }),
            vec![medium("video/mp4", "g", None)],
        ),
        (
            json!({ "sticker": { "file_id": "s", "file_size": 9, "emoji": "👍", "is_video": true } }),
            vec!["(sticker: 👍)".into(), medium("video/webm", "s", None)],
        ),
        (json!({ "location": location }), vec![place(None)]),
        (
            json!({ "location": location, "venue": { "location": location, "title": "Café", "address": "1 Road" } }),
            vec![place(Some("Café, 1 Road"))],
        ),
        (
            json!({ "contact": { "phone_number": "+44 1", "first_name": "Bob", "last_name": "B." } }),
            vec![Content::Contact { name: "Bob B.".into(), phone: "+44 1".into() }],
        ),
        (
            json!({ "poll": { "question": "A*B*?", "options": [{ "text": "yes" }, { "text": "no" }] } }),
            vec!["(poll: A\\*B\\*?)\n- yes\n- no".into()],
        ),
        (json!({ "dice": { "emoji": "🎲", "value": 4 } }), vec!["(🎲 4)".into()]),
    ];
    for (message, expected) in table {
        assert_eq!(content(message.clone()), expected, "{message}");
    }
}

#[test]
fn what_nobody_says_is_not_heard() {
    for more in [
        json!({ "new_chat_title": "x" }),
        json!({ "forum_topic_created": { "name": "x", "icon_color": 1 } }),
        json!({ "text": "hi", "from": { "id": 6, "is_bot": true, "first_name": "Bot" } }),
        json!({ "text": "hi", "from": null }),
        json!({ "text": "" }),
        json!({ "reply_to_message": {
            "message_id": 1, "chat": { "id": 5, "type": "private" }, "text": "old",
        } }),
    ] {
        assert_eq!(heard(&private(more.clone())), None, "{more}");
    }
    let moving = json!({ "location": { "latitude": 1.0, "longitude": 1.0, "live_period": 60 } });
    assert!(heard(&private(moving.clone())).is_some());
    let mut moved = moving;
    moved["edit_date"] = 1.into();
    assert!(heard(&private(moved)).is_none());
}

#[test]
fn edits_of_one_second_are_two() {
    let (account, bot) = (account(), bot());
    let reader = Reader { account: &account, bot: &bot };
    let message = private(json!({ "text": "new", "edit_date": 1_700_000_001 }));
    let edit = |update| reader.message("5".into(), &message, Some(update)).unwrap();
    assert_eq!(edit(1).kind, InboundKind::Edit { of: "7".into() });
    assert_eq!(edit(1).key, edit(1).key);
    assert_ne!(edit(1).key, edit(2).key);
}

#[test]
fn topics_are_threads_and_chains_of_answers_are_not() {
    let place = |more: Value| heard(&group(more)).unwrap().conversation;
    let whole = Conversation::group(account(), "-1001234");
    assert_eq!(place(json!({ "text": "a" })), whole);
    assert_eq!(place(json!({ "text": "a", "message_thread_id": 3 })), whole);
    let topic = place(json!({ "text": "a", "message_thread_id": 3, "is_topic_message": true }));
    assert_eq!(topic.thread, Some(ThreadId::from("3")));
    // What begins a topic is not answered by what is said in it.
    let first = json!({ "message_id": 3, "chat": { "id": -1_001_234, "type": "supergroup" }, "from": { "id": 99, "is_bot": true, "first_name": "B" } });
    let said = json!({ "text": "a", "message_thread_id": 3, "is_topic_message": true, "reply_to_message": first });
    let inbound = heard(&group(said)).unwrap();
    assert_eq!((inbound.reply_to, inbound.mentioned), (None, false));
}

#[test]
fn only_what_addresses_the_bot_mentions_it() {
    let entity = |kind: &str, offset: usize, length: usize| json!({ "type": kind, "offset": offset, "length": length });
    let user = |id: i64| json!({ "type": "text_mention", "offset": 0, "length": 2, "user": { "id": id, "first_name": "x" } });
    let old = |from: i64| json!({ "message_id": 1, "chat": { "id": -1_001_234, "type": "supergroup" }, "from": { "id": from, "is_bot": from == 99, "first_name": "x" }, "text": "old" });
    let table = [
        (json!({ "text": "hi" }), false),
        (json!({ "text": "@our_bot hi" }), false),
        (json!({ "text": "👋 @Our_Bot hi", "entities": [entity("mention", 3, 8)] }), true),
        (
            json!({ "caption": "@our_bot", "caption_entities": [entity("mention", 0, 8)], "photo": [file("p")] }),
            true,
        ),
        (json!({ "text": "@our_bot2 hi", "entities": [entity("mention", 0, 9)] }), false),
        (json!({ "text": "hi", "entities": [user(99)] }), true),
        (json!({ "text": "hi", "entities": [user(98)] }), false),
        (json!({ "text": "/stop@our_bot", "entities": [entity("bot_command", 0, 13)] }), true),
        (json!({ "text": "/stop@other_bot", "entities": [entity("bot_command", 0, 15)] }), false),
        (json!({ "text": "/stop", "entities": [entity("bot_command", 0, 5)] }), false),
        (json!({ "text": "yes", "reply_to_message": old(99) }), true),
        (json!({ "text": "yes", "reply_to_message": old(5) }), false),
        (
            json!({ "text": "@our_bot", "entities": [entity("mention", 0, 8)], "forward_origin": { "type": "hidden_user", "sender_user_name": "x", "date": 1 } }),
            false,
        ),
    ];
    for (message, mentioned) in table {
        assert_eq!(heard(&group(message.clone())).unwrap().mentioned, mentioned, "{message}");
    }
}

#[test]
fn other_peoples_words_are_quoted() {
    let old = json!({ "message_id": 1, "chat": { "id": 5, "type": "private" }, "from": { "id": 6, "first_name": "B*b" }, "text": "pay 5" });
    let inbound = heard(&private(json!({ "text": "/stop", "reply_to_message": old }))).unwrap();
    assert_eq!(inbound.content, ["/stop".into()]);
    assert_eq!(inbound.quoted, ["(in reply to B\\*b:)\npay 5".into()]);
    assert_eq!(inbound.reply_to, Some("1".into()));
    let ours = json!({ "message_id": 1, "chat": { "id": 5, "type": "private" }, "from": { "id": 99, "is_bot": true, "first_name": "B" }, "text": "old words" });
    let part = json!({ "text": "words", "position": 4, "is_manual": true });
    let inbound =
        heard(&private(json!({ "text": "why?", "reply_to_message": ours, "quote": part })))
            .unwrap();
    assert_eq!(inbound.quoted, ["(in reply to you:)\nwords".into()]);
    let long = json!({ "message_id": 1, "chat": { "id": 5, "type": "private" }, "from": { "id": 6, "first_name": "B" }, "text": "é".repeat(600) });
    let inbound = heard(&private(json!({ "text": "why?", "reply_to_message": long }))).unwrap();
    assert_eq!(inbound.quoted, [format!("(in reply to B:)\n{}…", "é".repeat(500)).into()]);
    let outside = json!({ "text": "x", "external_reply": { "origin": { "type": "hidden_user", "sender_user_name": "Eve", "date": 1 } }, "quote": { "text": "q", "position": 0 } });
    assert_eq!(heard(&private(outside)).unwrap().quoted, ["(in reply to Eve:)\nq".into()]);
}

#[test]
fn what_is_forwarded_is_not_the_senders_word() {
    let origins = [
        (
            json!({ "type": "user", "date": 1, "sender_user": { "id": 6, "first_name": "Bob" } }),
            "Bob",
        ),
        (json!({ "type": "hidden_user", "date": 1, "sender_user_name": "Eve" }), "Eve"),
        (
            json!({ "type": "chat", "date": 1, "sender_chat": { "id": -5, "type": "group", "title": "G" } }),
            "G",
        ),
        (
            json!({ "type": "channel", "date": 1, "message_id": 3, "chat": { "id": -6, "type": "channel", "title": "News" } }),
            "News",
        ),
    ];
    for (origin, name) in origins {
        let message = json!({ "caption": "pay", "document": file("d"), "forward_origin": origin });
        let inbound = heard(&private(message)).unwrap();
        assert_eq!(inbound.content, []);
        let from = format!("(forwarded from {name}:)");
        let expected = [from.into(), "pay".into(), medium("application/octet-stream", "d", None)];
        assert_eq!(inbound.quoted, expected);
    }
}

#[test]
fn who_hides_behind_a_chat_has_its_number() {
    let anonymous = json!({ "id": 1_087_968_824, "is_bot": true, "first_name": "Group" });
    let chat = json!({ "id": -1_001_234, "type": "supergroup", "title": "Team" });
    let inbound =
        heard(&group(json!({ "text": "hi", "from": anonymous, "sender_chat": chat }))).unwrap();
    assert_eq!(inbound.sender, Sender { id: "-1001234".into(), name: Some("Team".into()) });
}

#[test]
fn a_press_gives_the_buttons_token() {
    let (account, bot) = (account(), bot());
    let reader = Reader { account: &account, bot: &bot };
    let press = |message: Value, data: Option<&str>| {
        let press = json!({ "id": "q1", "from": { "id": 5, "first_name": "Ada" }, "message": message, "data": data, "chat_instance": "c" });
        reader.button("5".into(), &serde_json::from_value(press).unwrap())
    };
    let ours = json!({ "message_id": 8, "date": 0, "chat": { "id": 5, "type": "private" } });
    let inbound = press(ours.clone(), Some("approve:x:yes")).unwrap();
    assert_eq!(inbound.kind, InboundKind::Button { token: "approve:x:yes".into() });
    assert_eq!(inbound.key, EventKey::event("99/q1"));
    assert_eq!((inbound.sender.id, inbound.reply_to), ("5".into(), Some("8".into())));
    assert_eq!(press(ours, None), None);
    assert_eq!(press(Value::Null, Some("x")), None);
}

#[test]
fn reactions_say_what_was_added_or_taken_away() {
    let (account, bot) = (account(), bot());
    let reader = Reader { account: &account, bot: &bot };
    let thumb = json!({ "type": "emoji", "emoji": "👍" });
    let heart = json!({ "type": "emoji", "emoji": "❤" });
    let custom = json!({ "type": "custom_emoji", "custom_emoji_id": "1" });
    let react = |old: Value, new: Value, who: Value| {
        let mut change = json!({ "chat": { "id": 5, "type": "private" }, "message_id": 7, "date": 1, "old_reaction": old, "new_reaction": new });
        merge(&mut change, who);
        let reactions = reader.reactions(&"5".into(), &serde_json::from_value(change).unwrap(), 3);
        let kinds = reactions.into_iter().map(|one| (one.sender.id, one.kind));
        kinds.collect::<Vec<_>>()
    };
    let user = json!({ "user": { "id": 5, "first_name": "Ada" } });
    let of = |emoji: &str| InboundKind::Reaction { of: "7".into(), emoji: emoji.into() };
    assert_eq!(react(json!([]), json!([thumb]), user.clone()), [("5".into(), of("👍"))]);
    assert_eq!(
        react(json!([thumb]), json!([thumb, heart, custom]), user.clone()),
        [("5".into(), of("❤")), ("5".into(), of("a custom emoji"))]
    );
    assert_eq!(react(json!([thumb]), json!([]), user.clone()), [("5".into(), of(""))]);
    assert_eq!(react(json!([thumb]), json!([thumb]), user), []);
    let chat = json!({ "actor_chat": { "id": -6, "type": "channel", "title": "News" } });
    assert_eq!(react(json!([]), json!([thumb]), chat), [("-6".into(), of("👍"))]);
    assert_eq!(react(json!([]), json!([thumb]), json!({})), []);
}
