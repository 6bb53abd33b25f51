//! The terminal through an injected reader and writer.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use openclaw_channels::terminal::{Config, Terminal};
use openclaw_core::{
    AgentId, Conversation, Gateway, MessageId, SessionKey,
    channel::Channel,
    event::EventKind,
    message::{Action, Button, Content, InboundKind, Sent, plain_text},
    testing::{
        Scripted,
        channel::{Message, Platform, RecordingIngress, context, suite},
    },
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex};

/// The other ends of a terminal's pipes.
struct Pipes {
    terminal: Arc<Terminal>,
    keyboard: tokio::sync::Mutex<Option<DuplexStream>>,
    output: tokio::sync::Mutex<DuplexStream>,
    seen: Mutex<String>,
}

impl Pipes {
    fn new(wait_for_answers: bool) -> Self {
        let (keyboard, stdin) = duplex(1 << 20);
        let (stdout, output) = duplex(1 << 20);
        let mut config = Config::default();
        config.wait_for_answers = wait_for_answers;
        Self {
            terminal: Arc::new(Terminal::piped(BufReader::new(stdin), stdout).with_config(config)),
            keyboard: tokio::sync::Mutex::new(Some(keyboard)),
            output: tokio::sync::Mutex::new(output),
            seen: Mutex::default(),
        }
    }

    async fn type_in(&self, text: impl AsRef<[u8]>) {
        self.keyboard.lock().await.as_mut().unwrap().write_all(text.as_ref()).await.unwrap();
    }

    /// Lets the terminal print a message.
    async fn show(&self, text: &str) {
        let cx = context(&RecordingIngress::new(), self.terminal.id(), None);
        let content = vec![text.into()];
        let action = Action::Send { key: text.into(), content, reply_to: None };
        let sent = self.terminal.perform(&cx, &self.terminal.conversation(), &action).await;
        assert!(matches!(sent, Ok(Sent::Yes(_))), "{sent:?}");
    }

    async fn close(&self) {
        self.keyboard.lock().await.take();
    }

    /// All that was printed until now.
    async fn printed(&self) -> String {
        let mut output = self.output.lock().await;
        let mut bytes = vec![0; 1 << 20];
        while let Ok(Ok(read)) =
            tokio::time::timeout(Duration::from_millis(1), output.read(&mut bytes)).await
        {
            self.seen.lock().unwrap().push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Platform for Pipes {
    fn channel(&self) -> Arc<dyn Channel> {
        self.terminal.clone()
    }

    fn conversation(&self, index: usize) -> Option<Conversation> {
        (index == 0).then(|| self.terminal.conversation())
    }

    async fn say(&self, _: &Conversation, text: &str) {
        self.type_in(format!("{text}\n")).await;
    }

    async fn acknowledged(&self) -> Option<usize> {
        None
    }

    async fn redeliver(&self) -> bool {
        false
    }

    async fn cut(&self) -> bool {
        false
    }

    async fn refuse_next(&self) -> bool {
        false
    }

    async fn lose_next_answer(&self) -> bool {
        false
    }

    async fn shown(&self, _: &Conversation) -> Vec<Message> {
        let printed = self.printed().await;
        printed.lines().map(|line| Message { id: None, text: line.to_owned() }).collect()
    }

    async fn reaction(&self, _: &Conversation, _: &MessageId) -> Option<String> {
        None
    }

    async fn typing(&self, _: &Conversation) -> usize {
        0
    }

    async fn press(&self, to: &Conversation, label: &str) {
        let printed = self.printed().await;
        let line = printed.lines().find(|line| line.ends_with(label)).unwrap();
        self.say(to, line.trim().split('.').next().unwrap()).await;
    }
}

/// Runs the terminal before `door` and beside `app`, until its input ends.
async fn run_to_end(pipes: &Pipes, door: &RecordingIngress, app: impl Future<Output = ()>) {
    let cx = context(door, pipes.terminal.id(), None);
    let app = async {
        app.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = pipes.terminal.run(&cx) => ended.unwrap(),
        () = app => unreachable!(),
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("the terminal does not end"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_terminal_conforms() {
    let report = suite("terminal", || async { Pipes::new(false) }).run().await;
    assert_eq!(report.failed().count(), 0, "{report}");
    let skipped: Vec<&str> = report.skipped().map(|(case, _)| case).collect();
    let expected = [
        "acknowledges_only_what_was_accepted",
        "redelivery_keeps_the_key",
        "a_broken_link_is_a_transient_error",
        "a_refusal_is_an_error_and_no_retry",
        "a_lost_answer_is_no_error",
        "one_key_is_one_message",
        "lookup_finds_what_was_sent",
        "edits_in_place",
        "deletes",
        "reacts",
        "types_without_a_message",
        "conversations_at_once_do_not_mix",
        "a_webhook_is_taken_in",
        "a_forged_webhook_is_refused_unread",
        "a_webhook_is_answered_only_when_it_was_accepted",
        "a_webhook_that_comes_again_keeps_its_key",
        "fetches_media_whole_or_not_at_all",
        "a_probe_tells_good_credentials_from_bad",
    ];
    assert_eq!(skipped, expected);
}

#[tokio::test(start_paused = true)]
async fn each_piped_line_waits_for_its_answer_and_the_end_for_the_last() {
    let (pipes, door) = (Pipes::new(true), RecordingIngress::new());
    pipes.type_in("one\n\ntwo").await;
    pipes.close().await;
    run_to_end(&pipes, &door, async {
        for count in 1..=2 {
            let accepted = door.wait_accepted(count).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(door.offered().len(), count, "the next line did not wait");
            let answer = format!("re: {}", plain_text(&accepted[count - 1].content));
            pipes.show(&answer).await;
        }
    })
    .await;
    assert_eq!(pipes.printed().await, "re: one\nre: two\n");
}

fn delta(text: &str) -> EventKind {
    EventKind::TextDelta { text: text.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_printed_once_while_it_grows() {
    let (pipes, door) = (Pipes::new(true), RecordingIngress::new());
    let session = SessionKey::new(AgentId::new("main"), pipes.terminal.conversation());
    let elsewhere = Conversation::direct("other:x".parse().unwrap(), "1");
    let elsewhere = SessionKey::new(AgentId::new("main"), elsewhere);
    pipes.type_in("hi\n").await;
    pipes.close().await;
    run_to_end(&pipes, &door, async {
        door.wait_accepted(1).await;
        door.emit(&session, None, EventKind::TurnStarted { keys: Vec::new() });
        door.emit(&elsewhere, None, delta("not here"));
        door.emit(&session, None, delta("void"));
        door.emit(&session, None, EventKind::TextReset);
        door.emit(&session, None, delta("Hello \u{1b}[31m"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(pipes.printed().await, "void\nHello ␛[31m");
        door.emit(&session, None, delta("wor"));
        pipes.show("Hello \u{1b}[31mworld").await;
    })
    .await;
    assert_eq!(pipes.printed().await, "void\nHello ␛[31mworld\n");
}

#[tokio::test(start_paused = true)]
async fn a_turn_without_a_reply_is_an_answer() {
    let (pipes, door) = (Pipes::new(true), RecordingIngress::new());
    let session = SessionKey::new(AgentId::new("main"), pipes.terminal.conversation());
    pipes.type_in("hi\n").await;
    pipes.close().await;
    run_to_end(&pipes, &door, async {
        door.wait_accepted(1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        door.emit(
            &session,
            None,
            EventKind::TurnEnded {
                outcome: openclaw_core::turn::Outcome::Replied,
                reply: None,
                usage: Default::default(),
            },
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_number_presses_a_button_once() {
    let (pipes, door) = (Pipes::new(false), RecordingIngress::new());
    let (cx, here) = (context(&door, pipes.terminal.id(), None), pipes.terminal.conversation());
    let button = |label: &str| Button { label: label.into(), token: format!("token {label}") };
    let rows = vec![vec![button("Yes"), button("No")]];
    let content = vec![Content::text("Pay?"), Content::Buttons { rows }];
    let ask = Action::Send { key: "k".into(), content, reply_to: None };
    assert!(matches!(pipes.terminal.perform(&cx, &here, &ask).await, Ok(Sent::Yes(_))));
    assert_eq!(pipes.printed().await, "Pay?\n  1. Yes\n  2. No\n");
    pipes.type_in("3\n2\n2\n").await;
    pipes.close().await;
    run_to_end(&pipes, &door, async {}).await;
    let accepted = door.accepted();
    let kinds: Vec<&InboundKind> = accepted.iter().map(|inbound| &inbound.kind).collect();
    let pressed = InboundKind::Button { token: "token No".into() };
    assert_eq!(kinds, [&InboundKind::Message, &pressed, &InboundKind::Message]);
}

#[tokio::test]
async fn what_is_not_utf_8_is_read_as_far_as_it_can_be() {
    let pipes = Pipes::new(true);
    pipes.type_in(b"caf\xE9\r\n\xFF\xFE\nbye").await;
    pipes.close().await;
    let script = Scripted::replies(["one", "two", "three"]);
    let gateway = Gateway::builder()
        .provider(script.clone())
        .channel(pipes.terminal.clone())
        .ephemeral()
        .start()
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(60), gateway.idle()).await.unwrap();
    gateway.shutdown().await.unwrap();
    assert_eq!(pipes.printed().await, "one\ntwo\nthree\n");
    let said = format!("{:?}", script.requests()[2].messages);
    assert!(said.contains("caf\u{FFFD}\""), "{said}");
    assert!(said.contains("\"\u{FFFD}\u{FFFD}\"") && said.contains("\"bye\""), "{said}");
}

#[tokio::test]
async fn lines_from_a_pipe_are_answered_by_a_gateway() {
    let pipes = Pipes::new(true);
    pipes.type_in("hello\n/help\nbye\n").await;
    pipes.close().await;
    let gateway = Gateway::builder()
        .provider(Scripted::replies(["Hello, Ada.", "Goodbye."]))
        .channel(pipes.terminal.clone())
        .ephemeral()
        .start()
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(60), gateway.idle()).await.unwrap();
    gateway.shutdown().await.unwrap();
    let printed = pipes.printed().await;
    assert_eq!(printed.matches("Hello, Ada.").count(), 1, "{printed}");
    assert_eq!(printed.matches("Goodbye.").count(), 1, "{printed}");
}
