//! Telegram's Bot API on loopback, with one bot and one person, for bots in any language.
//!
//! Run with: `cargo run -p openclaw-channels --features testing --bin telegram-emulator [PORT]`
//!
//! The first line of output says what the bot needs: `{"url", "token", "chat_id"}`. Each line of
//! input is said by the person, or does something, if it is a JSON object:
//!
//! | input | does |
//! |---|---|
//! | `{"press": [MESSAGE, "TEXT"]}` | presses the button of that text; the bot's answer is put out as `{"answer"}` |
//! | `{"reply": [MESSAGE, "TEXT"]}` | answers a message |
//! | `{"edit": [MESSAGE, "TEXT"]}` | edits one's own message |
//! | `{"react": [MESSAGE, "EMOJI"]}` | reacts |
//! | `{"block": true}`, `{"block": false}` | blocks the bot, or no more |
//!
//! Output has `{"message"}` for each message of the bot, in the Bot API's form, whenever it appears
//! or changes; `{"deleted"}` with its id when it goes; and `{"error"}` for input that cannot be done.
//! It ends with the input.

use std::collections::HashMap;

use openclaw_channels::testing::telegram::{Chat, Emulator, Limits, Press, Shown};
use openclaw_core::{
    Error, ErrorKind, Result,
    serde_json::{self, Value, json},
    time::SystemClock,
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse());
    let port = port.map_err(|_| Error::new(ErrorKind::InvalidInput, "PORT is a number"))?;
    let telegram = Emulator::start_on(port, SystemClock).await?;
    telegram.set_limits(Limits::default());
    let bot = telegram.bot("emulated_bot");
    let chat = telegram.user("Ann").chat(&bot);
    let token = bot.token();
    put(json!({ "url": telegram.url(), "token": token.expose(), "chat_id": chat.id() }));
    tokio::select! {
        never = show(&chat) => never,
        () = obey(&chat) => {}
    }
    Ok(())
}

/// A line of output.
fn put(line: Value) {
    println!("{line}");
}

/// Shows what the bot writes, for ever.
async fn show(chat: &Chat) {
    let mut known: HashMap<i64, Value> = HashMap::new();
    loop {
        let (changed, gone) = chat
            .until(|all| {
                let of_bot =
                    |shown: &&Shown| shown.json.pointer("/from/is_bot") == Some(&true.into());
                let now: Vec<&Shown> = all.iter().filter(of_bot).collect();
                let changed: Vec<(i64, Value)> = now
                    .iter()
                    .filter(|shown| known.get(&shown.id) != Some(&shown.json))
                    .map(|shown| (shown.id, shown.json.clone()))
                    .collect();
                let gone: Vec<i64> = known
                    .keys()
                    .copied()
                    .filter(|id| now.iter().all(|shown| shown.id != *id))
                    .collect();
                (!changed.is_empty() || !gone.is_empty()).then_some((changed, gone))
            })
            .await;
        for (id, json) in changed {
            put(json!({ "message": json }));
            known.insert(id, json);
        }
        for id in gone {
            put(json!({ "deleted": id }));
            known.remove(&id);
        }
    }
}

/// Does what the input says, to its end.
async fn obey(chat: &Chat) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.trim().is_empty() {
            continue;
        }
        match act(chat, &line) {
            Ok(Some(press)) => {
                tokio::spawn(async move {
                    let answer = press.answered().await;
                    put(json!({ "answer": answer.text, "alert": answer.alert, "url": answer.url }));
                });
            }
            Ok(None) => {}
            Err(error) => put(json!({ "error": error.to_string() })),
        }
    }
}

fn act(chat: &Chat, line: &str) -> Result<Option<Press>> {
    let Ok(Value::Object(object)) = serde_json::from_str(line) else {
        return chat.say(line).map(|_| None);
    };
    let unknown = || {
        let expected = "expected text, or {\"press\" | \"reply\" | \"edit\" | \"react\": [MESSAGE, \
             TEXT]} or {\"block\": true}";
        Error::new(ErrorKind::InvalidInput, expected)
    };
    let (what, value) = object.into_iter().next().ok_or_else(unknown)?;
    if let ("block", Some(on)) = (what.as_str(), value.as_bool()) {
        if on {
            chat.block()
        } else {
            chat.unblock()
        }
        return Ok(None);
    }
    let id = value.get(0).and_then(Value::as_i64).ok_or_else(unknown)?;
    let text = value.get(1).and_then(Value::as_str).ok_or_else(unknown)?;
    match what.as_str() {
        "press" => return chat.press(id, text).map(Some),
        "reply" => chat.reply(id, text).map(|_| ())?,
        "edit" => chat.edit(id, text)?,
        "react" => chat.react(id, &[text])?,
        _ => return Err(unknown()),
    }
    Ok(None)
}
