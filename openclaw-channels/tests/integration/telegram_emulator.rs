//! The Telegram emulator: what the Bot API promises, method by method.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use openclaw_channels::testing::telegram::{
    Bot, Chat, Emulator, FILE, Limits, MAX_DOWNLOAD, Media, Rate,
};
use openclaw_core::{
    bytes::Bytes,
    http::{Request, StatusCode, header},
    http_client::HttpClient as _,
    serde_json::{self, Value, json},
    testing::{
        TestClock,
        fake_service::{FakeService, Fault, LoopbackClient, answer, json_answer},
    },
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR----";
const MULTIPART: &str = "multipart/form-data; boundary=XX";

/// An emulator with one bot, whom Ann talks to.
struct Stage {
    telegram: Emulator,
    clock: TestClock,
    bot: Bot,
    chat: Chat,
    client: LoopbackClient,
    looks: AtomicU64,
}

impl Stage {
    async fn new() -> Self {
        let clock = TestClock::new();
        let telegram = Emulator::start_on(0, clock.clone()).await.unwrap();
        telegram.set_limits(Limits::NONE);
        telegram.set_webhook_pause(Duration::from_millis(1));
        let bot = telegram.bot("shop_bot");
        let chat = telegram.user("Ann").chat(&bot);
        Self { telegram, clock, bot, chat, client: LoopbackClient::new(), looks: AtomicU64::new(1) }
    }

    /// With a first message, which the bot has confirmed.
    async fn begun() -> Self {
        let stage = Self::new().await;
        stage.chat.say("/start").unwrap();
        stage.forget().await;
        stage
    }

    async fn send(&self, path: &str, kind: &str, body: Bytes) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.telegram.url());
        let request = Request::post(url).header(header::CONTENT_TYPE, kind).body(body).unwrap();
        let response = self.client.send(request).await.unwrap();
        let status = response.status();
        let body: Vec<Bytes> = response.into_body().try_collect().await.unwrap();
        (status, serde_json::from_slice(&body.concat()).unwrap_or_default())
    }

    async fn call(&self, method: &str, args: Value) -> (StatusCode, Value) {
        let path = format!("/bot{}/{method}", self.bot.token().expose());
        self.send(&path, "application/json", args.to_string().into()).await
    }

    async fn ok(&self, method: &str, args: Value) -> Value {
        let (status, mut body) = self.call(method, args).await;
        assert_eq!((status, &body["ok"]), (StatusCode::OK, &json!(true)), "{method}: {body}");
        body["result"].take()
    }

    /// Code and description of a refusal.
    async fn refused(&self, method: &str, args: Value) -> String {
        let (status, body) = self.call(method, args).await;
        assert_eq!(body["ok"], false, "{method}: {body}");
        assert_eq!(status.as_u16(), body["error_code"], "{method}");
        format!("{} {}", status.as_u16(), body["description"].as_str().unwrap())
    }

    /// What a method says to this text for Ann.
    async fn say(&self, text: &str) -> Value {
        self.ok("sendMessage", json!({ "chat_id": self.chat.id(), "text": text })).await
    }

    /// Confirms every update.
    async fn forget(&self) {
        if let Some(last) = self.look().await.last() {
            self.updates(last["update_id"].as_u64().unwrap() + 1).await;
        }
    }

    /// The updates that are not confirmed.
    async fn look(&self) -> Vec<Value> {
        // Numbers before the first confirm nothing. Whoever asks for the same twice must wait.
        self.updates(self.looks.fetch_add(1, Ordering::SeqCst)).await
    }

    async fn updates(&self, offset: u64) -> Vec<Value> {
        self.ok("getUpdates", json!({ "offset": offset })).await.as_array().unwrap().clone()
    }
}

/// A multipart body of text fields and files.
fn multipart(fields: &[(&str, &str)], files: &[(&str, &str, &[u8])]) -> Bytes {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    for (name, file, bytes) in files {
        body.extend(format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\ncontent-type: application/pdf\r\n\r\n").bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body.into()
}

#[tokio::test]
async fn tokens_and_methods_are_checked() {
    let stage = Stage::new().await;
    let get_me = |token: &str| format!("/bot{token}/getMe");
    let told = async |path: String| {
        let (status, body) = stage.send(&path, "", Bytes::new()).await;
        format!("{} {}", status.as_u16(), body["description"].as_str().unwrap_or("-"))
    };
    assert_eq!(told(get_me("nonsense")).await, "401 Unauthorized: invalid token specified");
    assert_eq!(told(get_me("7:other")).await, "401 Unauthorized");
    assert_eq!(told("/".into()).await, "404 Not Found");
    assert_eq!(stage.refused("noSuchMethod", json!({})).await, "404 Not Found: method not found");
    let me = stage.ok("GETME", json!({})).await;
    assert_eq!((&me["username"], &me["is_bot"]), (&json!("shop_bot"), &json!(true)));
    assert_eq!(me["can_read_all_group_messages"], false);

    let old = stage.bot.token();
    let new = stage.bot.revoke_token();
    assert_eq!(told(get_me(old.expose())).await, "401 Unauthorized");
    assert_eq!(told(get_me(new.expose())).await, "200 -");
    let shown = format!("{:?} {:?}", stage.telegram, stage.telegram.service().received());
    assert!(!shown.contains(old.expose()) && !shown.contains(new.expose()), "{shown}");
}

#[tokio::test]
async fn parameters_come_as_json_form_query_or_multipart() {
    let stage = Stage::begun().await;
    let path = format!("/bot{}/sendMessage", stage.bot.token().expose());
    let id = stage.chat.id();
    let form = format!("chat_id={id}&text=a%20b");
    let kind = "application/x-www-form-urlencoded";
    for (path, kind, body) in [
        (path.clone(), kind, Bytes::from(form.clone())),
        (format!("{path}?{form}"), "", Bytes::new()),
        (path.clone(), MULTIPART, multipart(&[("chat_id", &id.to_string()), ("text", "a b")], &[])),
    ] {
        assert_eq!(stage.send(&path, kind, body).await.0, StatusCode::OK, "{kind}");
        assert_eq!(stage.chat.next_message().await.text, "a b");
    }
}

#[tokio::test]
async fn updates_stay_until_their_offset_is_passed() {
    let stage = Stage::new().await;
    for text in ["a", "b", "c"] {
        stage.chat.say(text).unwrap();
    }
    let first = stage.look().await;
    let texts = |updates: &[Value]| -> Vec<String> {
        updates.iter().map(|u| u["message"]["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&first), ["a", "b", "c"]);
    let id = first[0]["update_id"].as_u64().unwrap();
    assert_eq!(first[2]["update_id"], id + 2);
    // Not confirmed: they come again, be it to another process.
    assert_eq!(texts(&stage.updates(id).await), ["a", "b", "c"]);
    assert_eq!(texts(&stage.updates(id + 1).await), ["b", "c"]);
    // Confirmed is confirmed, also for who asks from the start.
    assert_eq!(
        texts(&stage.ok("getUpdates", json!({})).await.as_array().unwrap().clone()),
        ["b", "c"]
    );
    let limited = stage.ok("getUpdates", json!({ "offset": id + 1, "limit": 1 })).await;
    assert_eq!(texts(limited.as_array().unwrap()), ["b"]);
    // A negative offset keeps that many from the end.
    let last = stage.ok("getUpdates", json!({ "offset": -1 })).await;
    assert_eq!(texts(last.as_array().unwrap()), ["c"]);
    assert_eq!(stage.bot.pending(), 1);
    // An offset from another life is none.
    assert_eq!(texts(&stage.updates(id + 1_000).await), ["c"]);
    stage.ok("getUpdates", json!({ "offset": id + 3 })).await;
    stage.bot.confirmed().await;
}

#[tokio::test]
async fn updates_are_dropped_after_a_day() {
    let stage = Stage::new().await;
    stage.chat.say("old").unwrap();
    stage.clock.advance(Duration::from_secs(23 * 3600));
    stage.chat.say("new").unwrap();
    stage.clock.advance(Duration::from_secs(3600));
    let updates = stage.look().await;
    assert_eq!((updates.len(), &updates[0]["message"]["text"]), (1, &json!("new")));
}

#[tokio::test]
async fn a_poll_waits_and_a_second_one_ends_it() {
    let stage = Stage::new().await;
    let poll = || stage.call("getUpdates", json!({ "timeout": 50 }));
    let (first, second, ()) = tokio::join!(
        poll(),
        async {
            stage.telegram.service().wait_for("getUpdates", 1).await;
            poll().await
        },
        async {
            stage.telegram.service().wait_for("getUpdates", 2).await;
            stage.chat.say("hello").unwrap();
        }
    );
    // Which of the two came first is the network's affair.
    let mut statuses = [first.0.as_u16(), second.0.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let (won, lost) =
        if first.0 == StatusCode::OK { (first.1, second.1) } else { (second.1, first.1) };
    assert_eq!(won["result"][0]["message"]["text"], "hello");
    assert_eq!(
        lost["description"],
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
    );
}

#[tokio::test]
async fn a_webhook_and_a_revoked_token_end_a_poll() {
    let stage = Stage::new().await;
    let hook = FakeService::start(|_: Request<Bytes>| async { answer(200, "", "") }).await.unwrap();
    let poll = || stage.call("getUpdates", json!({ "timeout": 50 }));
    let ((status, body), _) = tokio::join!(poll(), async {
        stage.telegram.service().wait_for("getUpdates", 1).await;
        stage.ok("setWebhook", json!({ "url": hook.url() })).await
    });
    assert_eq!(status, StatusCode::CONFLICT);
    // The poll may have come in after the webhook.
    assert!(body["description"].as_str().unwrap().starts_with("Conflict: "), "{body}");
    stage.ok("deleteWebhook", json!({})).await;
    let ((status, _), _) = tokio::join!(poll(), async {
        stage.telegram.service().wait_for("getUpdates", 2).await;
        stage.bot.revoke_token()
    });
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn kinds_of_update_are_remembered_and_some_must_be_asked_for() {
    let stage = Stage::begun().await;
    let id = stage.say("hi").await["message_id"].as_i64().unwrap();
    stage.chat.react(id, &["👍"]).unwrap();
    assert!(stage.look().await.is_empty(), "reactions are not in the default");
    stage.ok("getUpdates", json!({ "allowed_updates": ["message_reaction"] })).await;
    stage.chat.say("unheard").unwrap();
    stage.chat.react(id, &["🔥"]).unwrap();
    let updates = stage.look().await;
    assert_eq!(updates.len(), 1);
    let change = &updates[0]["message_reaction"];
    assert_eq!(change["old_reaction"], json!([{ "type": "emoji", "emoji": "👍" }]));
    assert_eq!(change["new_reaction"], json!([{ "type": "emoji", "emoji": "🔥" }]));
    assert_eq!(change["message_id"], id);
}

#[tokio::test]
async fn messages_have_the_real_shape() {
    let stage = Stage::new().await;
    let id = stage.chat.say("/start@shop_bot now").unwrap();
    let updates = stage.look().await;
    let message = &updates[0]["message"];
    assert_eq!(message["message_id"], id);
    assert_eq!(message["date"], 1_780_315_200);
    assert_eq!(message["chat"]["type"], "private");
    assert_eq!(message["chat"]["id"], message["from"]["id"]);
    assert_eq!(message["from"]["is_bot"], false);
    assert_eq!(message["entities"], json!([{ "type": "bot_command", "offset": 0, "length": 15 }]));
    let said = stage.say("*plain*").await;
    assert_eq!(said["text"], "*plain*");
    assert!(said.get("entities").is_none());
}

#[tokio::test]
async fn text_is_parsed_and_refused_as_the_server_does() {
    let stage = Stage::begun().await;
    let id = stage.chat.id();
    let send =
        |text: String, mode: &str| json!({ "chat_id": id, "text": text, "parse_mode": mode });
    for (text, mode, error) in [
        (String::new(), "HTML", "message text is empty"),
        ("  \n".into(), "", "text must be non-empty"),
        ("<b></b>".into(), "HTML", "text must be non-empty"),
        ("a".repeat(4097), "", "message is too long"),
        ("a".repeat(32_769), "", "text is too long"),
        ("a".into(), "rtf", "unsupported parse_mode"),
        (
            "<p>a</p>".into(),
            "HTML",
            "can't parse entities: Unsupported start tag \"p\" at byte offset 0",
        ),
        (
            "a.".into(),
            "MarkdownV2",
            "can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'",
        ),
    ] {
        let told = stage.refused("sendMessage", send(text, mode)).await;
        assert_eq!(told, format!("400 Bad Request: {error}"));
    }
    let sent = stage.ok("sendMessage", send(format!("<b>{}</b>", "a".repeat(4096)), "html")).await;
    assert_eq!(sent["entities"], json!([{ "type": "bold", "offset": 0, "length": 4096 }]));
    assert_eq!(stage.chat.bot_messages().len(), 1, "what was refused is not shown");
}

#[tokio::test]
async fn replies_keyboards_and_options_are_checked() {
    let stage = Stage::begun().await;
    let chat = stage.chat.id();
    let with = |key: &str, value: Value| {
        let mut args = json!({ "chat_id": chat, "text": "x" });
        args[key] = value;
        args
    };
    let buttons = |button: Value| with("reply_markup", json!({ "inline_keyboard": [[button]] }));
    for (args, error) in [
        (with("reply_parameters", json!({ "message_id": 999 })), "message to be replied not found"),
        (with("reply_parameters", json!([])), "can't find field \"message_id\""),
        (with("reply_markup", json!([1])), "object expected as reply markup"),
        (
            with("reply_markup", json!({ "inline_keyboard": [1] })),
            "field \"inline_keyboard\" of the InlineKeyboardMarkup must be an Array of Arrays",
        ),
        (
            buttons(json!("a")),
            "can't parse inline keyboard button: InlineKeyboardButton must be an Object",
        ),
        (
            buttons(json!({ "text": "a" })),
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ),
        (buttons(json!({ "text": "a", "callback_data": "d".repeat(65) })), "BUTTON_DATA_INVALID"),
        (
            buttons(json!({ "text": "a", "url": "nowhere" })),
            "inline keyboard button URL 'nowhere' is invalid: Wrong HTTP URL",
        ),
    ] {
        assert_eq!(stage.refused("sendMessage", args).await, format!("400 Bad Request: {error}"));
    }
    stage.ok("sendMessage", buttons(json!({ "text": "a", "callback_data": "d".repeat(64) }))).await;
    let mut lenient =
        with("reply_parameters", json!({ "message_id": 999, "allow_sending_without_reply": true }));
    lenient["disable_notification"] = true.into();
    lenient["link_preview_options"] = json!({ "is_disabled": true });
    let sent = stage.ok("sendMessage", lenient).await;
    assert!(sent.get("reply_to_message").is_none());
    assert_eq!(sent["link_preview_options"], json!({ "is_disabled": true }));
    assert!(stage.chat.bot_messages().last().unwrap().silent);
}

#[tokio::test]
async fn edits_and_deletions_know_what_is_there() {
    let stage = Stage::begun().await;
    let chat = stage.chat.id();
    let theirs = stage.chat.say("mine").unwrap();
    let id = stage.say("one").await["message_id"].as_i64().unwrap();
    let edit = |id: i64, text: &str| json!({ "chat_id": chat, "message_id": id, "text": text });
    let not_modified = "400 Bad Request: message is not modified: specified new message content and \
         reply markup are exactly the same as a current content and reply markup of the message";
    assert_eq!(stage.refused("editMessageText", edit(id, "one")).await, not_modified);
    assert_eq!(
        stage.refused("editMessageText", edit(999, "x")).await,
        "400 Bad Request: message to edit not found"
    );
    assert_eq!(
        stage.refused("editMessageText", edit(theirs, "x")).await,
        "400 Bad Request: message can't be edited"
    );
    assert_eq!(
        stage
            .refused(
                "editMessageCaption",
                json!({ "chat_id": chat, "message_id": id, "caption": "x" })
            )
            .await,
        "400 Bad Request: there is no caption in the message to edit"
    );
    let edited = stage.ok("editMessageText", edit(id, "two")).await;
    assert_eq!((&edited["text"], edited["edit_date"].is_number()), (&json!("two"), true));
    let keyboard = json!({ "inline_keyboard": [[{ "text": "a", "callback_data": "b" }]] });
    let markup = json!({ "chat_id": chat, "message_id": id, "reply_markup": keyboard });
    let edited = stage.ok("editMessageReplyMarkup", markup.clone()).await;
    assert_eq!(edited["reply_markup"], keyboard);
    assert_eq!(stage.refused("editMessageReplyMarkup", markup).await, not_modified);

    let delete = json!({ "chat_id": chat, "message_id": id });
    stage.ok("deleteMessage", delete.clone()).await;
    assert_eq!(
        stage.refused("deleteMessage", delete).await,
        "400 Bad Request: message to delete not found"
    );
    assert!(stage.chat.message_by_id(id).unwrap().deleted);
    let old = stage.say("old").await["message_id"].clone();
    stage.clock.advance(Duration::from_secs(48 * 3600));
    assert_eq!(
        stage.refused("deleteMessage", json!({ "chat_id": chat, "message_id": old })).await,
        "400 Bad Request: message can't be deleted for everyone"
    );
}

#[tokio::test]
async fn a_press_is_answered_once_and_in_time() {
    let stage = Stage::begun().await;
    let keyboard = json!({ "inline_keyboard": [[{ "text": "Yes", "callback_data": "y" }]] });
    let sent = json!({ "chat_id": stage.chat.id(), "text": "?", "reply_markup": keyboard });
    let id = stage.ok("sendMessage", sent).await["message_id"].as_i64().unwrap();
    assert!(stage.chat.press(id, "No").is_err());
    let press = stage.chat.press(id, "Yes").unwrap();
    let updates = stage.look().await;
    let query = &updates[0]["callback_query"];
    assert_eq!((&query["data"], &query["message"]["message_id"]), (&json!("y"), &json!(id)));
    let answer = json!({ "callback_query_id": query["id"], "text": "ok" });
    stage.ok("answerCallbackQuery", answer.clone()).await;
    assert_eq!(press.answered().await.text, "ok");
    let late =
        "400 Bad Request: query is too old and response timeout expired or query ID is invalid";
    assert_eq!(stage.refused("answerCallbackQuery", answer).await, late);
    stage.chat.press(id, "Yes").unwrap();
    let updates = stage.look().await;
    stage.clock.advance(Duration::from_secs(600));
    let answer = json!({ "callback_query_id": updates[1]["callback_query"]["id"] });
    assert_eq!(stage.refused("answerCallbackQuery", answer).await, late);
}

#[tokio::test]
async fn files_go_up_and_down_within_their_limits() {
    let stage = Stage::begun().await;
    let chat = stage.chat.id().to_string();
    let path = |method: &str| format!("/bot{}/{method}", stage.bot.token().expose());
    let upload = |field: &'static str, bytes: &[u8]| {
        multipart(
            &[("chat_id", &chat), ("caption", "<i>c</i>"), ("parse_mode", "HTML")],
            &[(field, "a.pdf", bytes)],
        )
    };
    let (status, body) =
        stage.send(&path("sendDocument"), MULTIPART, upload("document", b"%PDF")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let document = &body["result"]["document"];
    assert_eq!(document["file_name"], "a.pdf");
    assert_eq!(
        (&document["mime_type"], &document["file_size"]),
        (&json!("application/pdf"), &json!(4))
    );
    assert_eq!(body["result"]["caption_entities"][0]["type"], "italic");

    // By id, and by `attach://`.
    let id = document["file_id"].clone();
    stage.ok("sendDocument", json!({ "chat_id": chat, "document": id })).await;
    let attached =
        multipart(&[("chat_id", &chat), ("document", "attach://f")], &[("f", "b.txt", b"hi")]);
    assert_eq!(stage.send(&path("sendDocument"), MULTIPART, attached).await.0, StatusCode::OK);
    let shown = stage.chat.bot_messages();
    let bytes: Vec<_> = shown.iter().map(|m| m.file.clone().unwrap().bytes).collect();
    assert_eq!(bytes, [&b"%PDF"[..], &b"%PDF"[..], &b"hi"[..]]);

    let file = stage.ok("getFile", json!({ "file_id": id })).await;
    let url = format!(
        "{}/file/bot{}/{}",
        stage.telegram.url(),
        stage.bot.token().expose(),
        file["file_path"].as_str().unwrap()
    );
    let get = || Request::get(&url).body(Bytes::new()).unwrap();
    let down: Vec<Bytes> =
        stage.client.send(get()).await.unwrap().into_body().try_collect().await.unwrap();
    assert_eq!(down.concat(), b"%PDF");
    stage.telegram.faults().once(FILE, Fault::Cut { after: 2 });
    let cut = stage.client.send(get()).await.unwrap().into_body().try_collect::<Vec<Bytes>>().await;
    assert!(cut.is_err());

    let large = stage.chat.send_media(Media::document("large", vec![0; MAX_DOWNLOAD + 1])).unwrap();
    let large = stage.chat.message_by_id(large).unwrap().json["document"]["file_id"].clone();
    let told = stage.refused("getFile", json!({ "file_id": large })).await;
    assert_eq!(told, "400 Bad Request: file is too big");
    for (method, args, error) in [
        ("getFile", json!({ "file_id": "none" }), "invalid file_id"),
        ("sendPhoto", json!({ "chat_id": chat }), "there is no photo in the request"),
        (
            "sendPhoto",
            json!({ "chat_id": chat, "photo": id }),
            "can't use file of type document as photo",
        ),
        (
            "sendVoice",
            json!({ "chat_id": chat, "voice": "none" }),
            "wrong file identifier/HTTP URL specified",
        ),
    ] {
        assert_eq!(stage.refused(method, args).await, format!("400 Bad Request: {error}"));
    }
    let caption = json!({ "chat_id": chat, "document": id, "caption": "c".repeat(1025) });
    let told = stage.refused("sendDocument", caption).await;
    assert_eq!(told, "400 Bad Request: message caption is too long");
    for (field, bytes, status, error) in [
        ("photo", b"text".to_vec(), 400, "Bad Request: IMAGE_PROCESS_FAILED"),
        ("photo", Vec::new(), 400, "Bad Request: file must be non-empty"),
        ("photo", vec![0; 51 * 1024 * 1024], 413, "Request Entity Too Large"),
    ] {
        let (got, body) = stage.send(&path("sendPhoto"), MULTIPART, upload(field, &bytes)).await;
        assert_eq!((got.as_u16(), body["description"].as_str().unwrap()), (status, error));
    }
}

#[tokio::test]
async fn albums_are_of_one_sort_and_at_most_ten() {
    let stage = Stage::begun().await;
    let chat = stage.chat.id();
    let photo = stage.chat.send_media(Media::photo(PNG)).unwrap();
    let photo = stage.chat.message_by_id(photo).unwrap().json["photo"][1]["file_id"].clone();
    let item = |kind: &str| json!({ "type": kind, "media": photo });
    let album = |items: Vec<Value>| json!({ "chat_id": chat, "media": items });
    for (items, error) in [
        (vec![], "there are no messages to send"),
        (vec![item("photo"); 11], "too many messages to send as an album"),
        (vec![item("photo"), item("document")], "Document can't be mixed with other media types"),
    ] {
        let told = stage.refused("sendMediaGroup", album(items)).await.to_lowercase();
        assert_eq!(told, format!("400 bad request: {}", error.to_lowercase()));
    }
    let sent = stage.ok("sendMediaGroup", album(vec![item("photo"); 10])).await;
    let ids: Vec<_> = sent.as_array().unwrap().iter().map(|m| &m["media_group_id"]).collect();
    assert!(ids.len() == 10 && ids.iter().all(|id| **id == *ids[0]));
    // From people, an album is a message each.
    stage.forget().await;
    stage.chat.send_album([Media::photo(PNG).caption("a"), Media::photo(PNG)]).unwrap();
    let updates = stage.look().await;
    assert_eq!(updates.len(), 2);
    assert_eq!(updates[0]["message"]["media_group_id"], updates[1]["message"]["media_group_id"]);
    assert_eq!(updates[0]["message"]["caption"], "a");
}

#[tokio::test]
async fn whom_a_bot_cannot_reach_is_said() {
    let stage = Stage::new().await;
    let ann = stage.telegram.user("Zoe");
    let send = |id: i64| json!({ "chat_id": id, "text": "hi" });
    let unknown = "400 Bad Request: chat not found";
    assert_eq!(stage.refused("sendMessage", send(ann.id())).await, unknown);
    assert_eq!(
        stage.refused("sendMessage", json!({ "text": "hi" })).await,
        "400 Bad Request: chat_id is empty"
    );
    let chat = ann.chat(&stage.bot);
    assert_eq!(stage.refused("sendMessage", send(ann.id())).await, unknown, "it was not started");
    chat.say("hello").unwrap();
    stage.ok("sendMessage", send(ann.id())).await;
    stage.forget().await;

    chat.block();
    assert!(chat.say("?").is_err());
    assert_eq!(
        stage.refused("sendMessage", send(ann.id())).await,
        "403 Forbidden: bot was blocked by the user"
    );
    let updates = stage.look().await;
    let change = &updates[0]["my_chat_member"];
    let status = |member: &str| change[member]["status"].as_str().unwrap();
    assert_eq!((status("old_chat_member"), status("new_chat_member")), ("member", "kicked"));
    chat.unblock();
    stage.ok("sendMessage", send(ann.id())).await;
    ann.deactivate();
    assert_eq!(
        stage.refused("sendMessage", send(ann.id())).await,
        "403 Forbidden: user is deactivated"
    );
}

#[tokio::test]
async fn groups_join_kick_and_migrate() {
    let stage = Stage::new().await;
    let ann = stage.telegram.user("Zoe");
    let group = stage.telegram.group("Team", &ann);
    let send = |id: i64| json!({ "chat_id": id, "text": "hi" });
    assert_eq!(
        stage.refused("sendMessage", send(group.id())).await,
        "400 Bad Request: chat not found"
    );
    group.add(&stage.bot);
    stage.ok("sendMessage", send(group.id())).await;
    let updates = stage.look().await;
    assert_eq!(updates[0]["my_chat_member"]["new_chat_member"]["status"], "member");
    assert_eq!(updates[1]["message"]["new_chat_members"][0]["id"], stage.bot.id());
    assert_eq!(stage.ok("getChat", json!({ "chat_id": group.id() })).await["type"], "group");
    let member = |id: i64| json!({ "chat_id": group.id(), "user_id": id });
    assert_eq!(stage.ok("getChatMember", member(ann.id())).await["status"], "creator");
    assert_eq!(stage.refused("getChatMember", member(12)).await, "400 Bad Request: user not found");
    assert_eq!(stage.ok("getChatMemberCount", member(0)).await, 2);
    stage.forget().await;

    let old = group.id();
    let new = group.migrate();
    assert_eq!(group.id(), new);
    let (_, body) = stage.call("sendMessage", send(old)).await;
    assert_eq!(body["description"], "Bad Request: group chat was upgraded to a supergroup chat");
    assert_eq!(body["parameters"], json!({ "migrate_to_chat_id": new }));
    let updates = stage.look().await;
    assert_eq!(updates[0]["message"]["migrate_to_chat_id"], new);
    assert_eq!(updates[0]["message"]["chat"]["id"], old);
    assert_eq!(updates[1]["message"]["migrate_from_chat_id"], old);
    assert_eq!(updates[1]["message"]["chat"]["type"], "supergroup");
    stage.ok("sendMessage", send(new)).await;
    assert_eq!(group.chat(&ann).next_message().await.text, "hi");

    group.kick(&stage.bot);
    assert_eq!(
        stage.refused("sendMessage", send(new)).await,
        "403 Forbidden: bot was kicked from the supergroup chat"
    );
    group.add(&stage.bot);
    stage.ok("leaveChat", json!({ "chat_id": new })).await;
    assert_eq!(
        stage.refused("sendMessage", send(new)).await,
        "403 Forbidden: bot is not a member of the supergroup chat"
    );
}

#[tokio::test]
async fn privacy_mode_shows_what_is_meant_for_the_bot() {
    let stage = Stage::new().await;
    let other = stage.telegram.bot("other_bot");
    let ann = stage.telegram.user("Zoe");
    let group = stage.telegram.supergroup("Team", &ann);
    group.add(&stage.bot);
    group.add(&other);
    let chat = group.chat(&ann);
    let send = json!({ "chat_id": group.id(), "text": "hi" });
    let id = stage.ok("sendMessage", send).await["message_id"].as_i64().unwrap();
    stage.forget().await;
    let heard = async || {
        let updates = stage.look().await;
        stage.forget().await;
        updates
            .iter()
            .map(|u| u["message"]["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for text in
        ["chatter", "/help", "/help@shop_bot", "/help@other_bot", "@shop_bot hey", "@other_bot hey"]
    {
        chat.say(text).unwrap();
    }
    chat.reply(id, "an answer").unwrap();
    assert_eq!(heard().await, ["/help", "/help@shop_bot", "@shop_bot hey", "an answer"]);
    stage.bot.set_privacy(false);
    chat.say("chatter").unwrap();
    assert_eq!(heard().await, ["chatter"]);
    stage.bot.set_privacy(true);
    group.promote(&stage.bot);
    stage.forget().await;
    chat.say("more chatter").unwrap();
    assert_eq!(heard().await, ["more chatter"]);
}

#[tokio::test]
async fn topics_are_of_forums_and_of_administrators() {
    let stage = Stage::new().await;
    let ann = stage.telegram.user("Zoe");
    let forum = stage.telegram.forum("Forum", &ann);
    forum.add(&stage.bot);
    let chat = forum.id();
    let create = json!({ "chat_id": chat, "name": "Orders" });
    assert_eq!(
        stage.refused("createForumTopic", create.clone()).await,
        "400 Bad Request: not enough rights to create a topic"
    );
    forum.promote(&stage.bot);
    let topic = stage.ok("createForumTopic", create).await;
    let thread = topic["message_thread_id"].as_i64().unwrap();
    let send = |thread: i64| json!({ "chat_id": chat, "text": "x", "message_thread_id": thread });
    let sent = stage.ok("sendMessage", send(thread)).await;
    assert_eq!(
        (&sent["message_thread_id"], &sent["is_topic_message"]),
        (&json!(thread), &json!(true))
    );
    for unknown in [1, 999] {
        assert_eq!(
            stage.refused("sendMessage", send(unknown)).await,
            "400 Bad Request: message thread not found"
        );
    }
    // An answer goes where the question is.
    let here = forum.chat(&ann);
    let asked = here.topic(thread).say("?").unwrap();
    let answer =
        json!({ "chat_id": chat, "text": "!", "reply_parameters": { "message_id": asked } });
    assert_eq!(stage.ok("sendMessage", answer).await["message_thread_id"], thread);
    assert_eq!(here.topic(thread).bot_messages().len(), 2);
    // Reading one topic leaves the others unread.
    stage.ok("sendMessage", json!({ "chat_id": chat, "text": "to all" })).await;
    stage.ok("sendMessage", send(thread)).await;
    for expected in ["x", "!", "x"] {
        assert_eq!(here.topic(thread).next_message().await.text, expected);
    }
    assert_eq!(here.next_message().await.text, "to all");
    stage.ok("closeForumTopic", json!({ "chat_id": chat, "message_thread_id": thread })).await;
    forum.demote(&stage.bot);
    assert_eq!(stage.refused("sendMessage", send(thread)).await, "400 Bad Request: TOPIC_CLOSED");
    let plain = stage.telegram.supergroup("Plain", &ann);
    plain.add(&stage.bot);
    assert_eq!(
        stage.refused("createForumTopic", json!({ "chat_id": plain.id(), "name": "x" })).await,
        "400 Bad Request: the chat is not a forum"
    );
}

#[tokio::test]
async fn limits_answer_429_with_a_wait() {
    let stage = Stage::begun().await;
    let mut limits = Limits::NONE;
    limits.chat = Some(Rate::new(1, Duration::from_secs(30)));
    stage.telegram.set_limits(limits);
    stage.say("one").await;
    let args = json!({ "chat_id": stage.chat.id(), "text": "two" });
    let (status, body) = stage.call("sendMessage", args).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let wait = body["parameters"]["retry_after"].as_u64().unwrap();
    assert!((1..=30).contains(&wait));
    assert_eq!(body["description"], format!("Too Many Requests: retry after {wait}"));
    assert_eq!(stage.chat.bot_messages().len(), 1);
}

#[tokio::test]
async fn commands_are_kept_by_scope_and_language() {
    let stage = Stage::begun().await;
    let set = |commands: Value| json!({ "commands": commands });
    let help = json!([{ "command": "help", "description": "Help" }]);
    stage.ok("setMyCommands", set(help.clone())).await;
    assert_eq!(stage.bot.commands(), [("help".to_owned(), "Help".to_owned())]);
    assert_eq!(stage.ok("getMyCommands", json!({})).await, help);
    let german = json!({ "language_code": "de" });
    assert_eq!(stage.ok("getMyCommands", german).await, json!([]));
    for (commands, error) in [
        (json!([{ "command": "Help", "description": "x" }]), "BOT_COMMAND_INVALID"),
        (json!([{ "command": "a", "description": "" }]), "BOT_COMMAND_DESCRIPTION_INVALID"),
        (Value::Array(vec![help[0].clone(); 101]), "BOT_COMMANDS_TOO_MUCH"),
    ] {
        let told = stage.refused("setMyCommands", set(commands)).await;
        assert_eq!(told, format!("400 Bad Request: {error}"));
    }
    stage.ok("deleteMyCommands", json!({})).await;
    assert!(stage.bot.commands().is_empty());
}

#[tokio::test]
async fn reactions_are_one_of_a_list() {
    let stage = Stage::begun().await;
    let id = stage.chat.say("nice").unwrap();
    let react = |list: Value, id: i64| json!({ "chat_id": stage.chat.id(), "message_id": id, "reaction": list });
    let emoji = |emoji: &str| json!({ "type": "emoji", "emoji": emoji });
    for (list, id, error) in [
        (json!([emoji("🫠")]), id, "REACTION_INVALID"),
        (json!([emoji("👍"), emoji("🔥")]), id, "REACTIONS_TOO_MANY"),
        (json!([emoji("👍")]), 999, "message to react not found"),
        (json!(["👍"]), id, "can't parse ReactionType: invalid reaction type specified"),
    ] {
        let told = stage.refused("setMessageReaction", react(list, id)).await;
        assert_eq!(told, format!("400 Bad Request: {error}"));
    }
    stage.ok("setMessageReaction", react(json!([emoji("👍")]), id)).await;
    let reactions = || stage.chat.message_by_id(id).unwrap().reactions;
    assert_eq!(reactions(), [(stage.bot.id(), "👍".to_owned())]);
    stage.ok("setMessageReaction", react(json!([]), id)).await;
    assert!(reactions().is_empty());
}

#[tokio::test]
async fn faults_come_by_method_in_telegrams_words() {
    let stage = Stage::begun().await;
    stage.telegram.faults().script(
        "sendMessage",
        [Fault::Status(502), Fault::RateLimited { retry_after: 9 }, Fault::ThenStatus(500)],
    );
    let args = json!({ "chat_id": stage.chat.id(), "text": "x" });
    assert_eq!(stage.refused("sendMessage", args.clone()).await, "502 Bad Gateway");
    let (_, body) = stage.call("sendMessage", args.clone()).await;
    assert_eq!(body["parameters"]["retry_after"], 9);
    assert!(stage.chat.bot_messages().is_empty());
    assert_eq!(stage.refused("sendMessage", args).await, "500 Internal Server Error");
    assert_eq!(stage.chat.bot_messages().len(), 1, "it was sent all the same");
    stage.ok("getMe", json!({})).await;

    stage.bot.repeat_next(1);
    stage.bot.reorder_next(2);
    stage.chat.say("first").unwrap();
    stage.chat.say("second").unwrap();
    let updates = stage.look().await;
    let texts: Vec<_> = updates.iter().map(|u| &u["message"]["text"]).collect();
    assert_eq!(texts, ["second", "first"]);
    let next = updates[0]["update_id"].as_u64().unwrap() + 1;
    let again = stage.updates(next).await;
    assert_eq!(again[0], updates[0], "one came again");
    assert_eq!(again.len(), 2);
}

#[tokio::test]
async fn webhooks_get_updates_in_order_with_their_secret_until_they_take_them() {
    let stage = Stage::new().await;
    let hook = FakeService::start(|_: Request<Bytes>| async { answer(200, "", "") }).await.unwrap();
    let url = format!("{}/hook", hook.url());
    for (args, error) in [
        (
            json!({ "url": "https://example.com/" }),
            "bad webhook: the emulator calls http:// on the loopback network alone",
        ),
        (
            json!({ "url": url, "secret_token": "a b" }),
            "secret token contains unallowed characters",
        ),
        (json!({ "url": url, "secret_token": "a".repeat(257) }), "secret token is too long"),
    ] {
        assert_eq!(stage.refused("setWebhook", args).await, format!("400 Bad Request: {error}"));
    }
    stage.chat.say("before").unwrap();
    hook.faults().script("/hook", [Fault::Status(500), Fault::ThenDrop, Fault::Status(503)]);
    let args = json!({ "url": url, "secret_token": "s3cret", "max_connections": 2 });
    assert_eq!(stage.call("setWebhook", args.clone()).await.1["description"], "Webhook was set");
    assert_eq!(stage.call("setWebhook", args).await.1["description"], "Webhook is already set");
    stage.chat.say("after").unwrap();
    hook.wait_for("/hook", 5).await;
    stage.bot.confirmed().await;
    let received = hook.received();
    let texts: Vec<_> =
        received.iter().map(|r| r.json()["message"]["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, ["before", "before", "before", "before", "after"], "in order, until taken");
    for request in &received {
        assert_eq!(request.header("x-telegram-bot-api-secret-token"), Some("s3cret"));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    let info = stage.ok("getWebhookInfo", json!({})).await;
    assert_eq!((&info["url"], &info["pending_update_count"]), (&json!(url), &json!(0)));
    assert_eq!(
        info["last_error_message"],
        "Wrong response from the webhook: 503 Service Unavailable"
    );
    assert_eq!(info["max_connections"], 2);
    let told = stage.refused("getUpdates", json!({})).await;
    assert!(told.starts_with("409 Conflict: can't use getUpdates method while webhook"), "{told}");
    assert_eq!(
        stage.call("deleteWebhook", json!({})).await.1["description"],
        "Webhook was deleted"
    );
    stage.chat.say("kept").unwrap();
    assert_eq!(stage.look().await.len(), 1);
    stage.ok("deleteWebhook", json!({ "drop_pending_updates": true })).await;
    assert_eq!(stage.bot.pending(), 0);
}

#[tokio::test]
async fn one_chat_does_not_wait_for_the_webhook_of_another() {
    let stage = Stage::new().await;
    let hook = FakeService::start(|request: Request<Bytes>| async move {
        // Ann's message is never taken.
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        if body["message"]["text"] == "stuck" {
            return std::future::pending().await;
        }
        answer(200, "", "")
    })
    .await
    .unwrap();
    stage.ok("setWebhook", json!({ "url": hook.url() })).await;
    stage.chat.say("stuck").unwrap();
    stage.chat.say("behind it").unwrap();
    hook.wait_for("/", 1).await;
    stage.telegram.user("Ben").chat(&stage.bot).say("free").unwrap();
    hook.wait_for("/", 2).await;
    assert_eq!(hook.received()[1].json()["message"]["text"], "free");
    assert_eq!(hook.count("/"), 2);
}

#[tokio::test]
async fn a_webhook_may_call_a_method_by_its_answer() {
    let stage = Stage::new().await;
    let hook = FakeService::start(|request: Request<Bytes>| async move {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let chat = &body["message"]["chat"]["id"];
        json_answer(200, &json!({ "method": "sendMessage", "chat_id": chat, "text": "at once" }))
    })
    .await
    .unwrap();
    stage.ok("setWebhook", json!({ "url": hook.url() })).await;
    stage.chat.say("hello").unwrap();
    assert_eq!(stage.chat.next_message().await.text, "at once");
}
