//! The emulator as a program of its own.

use std::process::Stdio;

use openclaw_core::{
    bytes::Bytes,
    http::Request,
    http_client::HttpClient as _,
    serde_json::{self, Value, json},
    testing::fake_service::LoopbackClient,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

#[tokio::test]
async fn it_is_driven_by_lines_and_ends_with_its_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_telegram-emulator"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        serde_json::from_str(&output.next_line().await.unwrap().unwrap()).unwrap()
    };
    let about = next().await;
    let call = async |method: &str, args: Value| {
        let (url, token) = (about["url"].as_str().unwrap(), about["token"].as_str().unwrap());
        let request = Request::post(format!("{url}/bot{token}/{method}"))
            .header("content-type", "application/json")
            .body(Bytes::from(args.to_string()))
            .unwrap();
        assert_eq!(LoopbackClient::new().send(request).await.unwrap().status(), 200);
    };
    input.write_all(b"hello\n").await.unwrap();
    // The chat is known to the bot once the person wrote.
    call("getUpdates", json!({ "timeout": 50 })).await;
    let keyboard = json!({ "inline_keyboard": [[{ "text": "Yes", "callback_data": "y" }]] });
    let args = json!({ "chat_id": about["chat_id"], "text": "?", "reply_markup": keyboard });
    call("sendMessage", args).await;
    let message = next().await;
    assert_eq!(message["message"]["text"], "?");
    let id = &message["message"]["message_id"];
    input.write_all(format!("{}\n", json!({ "press": [id, "No"] })).as_bytes()).await.unwrap();
    assert!(next().await["error"].as_str().unwrap().contains("no button 'No'"));
    call("deleteMessage", json!({ "chat_id": about["chat_id"], "message_id": id })).await;
    assert_eq!(&next().await["deleted"], id);
    drop(input);
    assert!(child.wait().await.unwrap().success());
}
