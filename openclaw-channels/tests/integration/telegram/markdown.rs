//! Markdown in Telegram's HTML is valid, no longer than it was, and says the same.

use openclaw_channels::testing::telegram::Entity;
use openclaw_core::{
    Conversation,
    channel::Channel as _,
    delivery::split,
    message::{Action, Content},
};
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;

use super::{done, door, losses::unnamed, polling, telegram};
use crate::peers::peer;

/// What Telegram made of a text that the bot sent.
struct Got {
    text: String,
    entities: Vec<Entity>,
}

/// A bot, and the chat that it writes to.
pub(super) struct Writer {
    pub(super) rt: tokio::runtime::Runtime,
    telegram: openclaw_channels::testing::telegram::Emulator,
    pub(super) chat: openclaw_channels::testing::telegram::Chat,
    pub(super) channel: openclaw_channels::telegram::Telegram,
}

impl Writer {
    pub(super) fn new() -> Self {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (telegram, bot) = rt.block_on(telegram());
        let chat = telegram.user("Ada").chat(&bot);
        chat.say("hi").unwrap();
        let channel = polling(&telegram, &bot);
        Self { rt, telegram, chat, channel }
    }

    fn write(&self, markdown: &str) -> Got {
        let (_, cx) = door(&self.channel);
        let to = Conversation::direct(self.channel.id().clone(), self.chat.id().to_string());
        let content = vec![Content::text(markdown)];
        let action = Action::Send { key: "k".into(), content, reply_to: None };
        let before = self.telegram.service().count("sendMessage");
        let receipt = self.rt.block_on(done(&self.channel, &cx, &to, &action));
        // A text that Telegram cannot read would have been sent again, bare.
        assert_eq!(self.telegram.service().count("sendMessage"), before + 1, "{markdown:?}");
        let id = receipt.messages[0].as_str().parse().unwrap();
        let shown = self.chat.message_by_id(id).unwrap();
        Got { text: shown.text, entities: shown.entities }
    }
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// What a reader of the Markdown reads, piece by piece: tables apart, as they are shown as written.
fn read(markdown: &str) -> Vec<String> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let (mut pieces, mut in_table) = (Vec::new(), false);
    for event in Parser::new_ext(markdown, options) {
        match event {
            Event::Start(Tag::Table(_)) => in_table = true,
            Event::End(TagEnd::Table) => in_table = false,
            Event::Text(text) | Event::Code(text) | Event::Html(text) if !in_table => {
                pieces.push(text.into_string());
            }
            Event::InlineHtml(html) if !in_table && !html.starts_with("<br") => {
                pieces.push(html.into_string());
            }
            _ => {}
        }
    }
    pieces
}

/// The pieces stand in the text in their order, white space aside.
fn holds(text: &str, pieces: &[String]) -> bool {
    let solid = |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace()).collect() };
    let text = solid(text);
    let mut rest = text.as_str();
    pieces.iter().all(|piece| {
        let piece = solid(piece);
        let found = rest.find(&piece).map(|at| at + piece.len());
        found.and_then(|end| rest.get(end..)).map(|behind| rest = behind).is_some()
    })
}

fn check(writer: &Writer, markdown: &str) -> Result<(), String> {
    if markdown.trim().is_empty() {
        return Ok(());
    }
    let got = writer.write(markdown);
    let plain = |why: &str| Err(format!("{why}: {markdown:?} became {:?}", got.text));
    if units(&got.text) > units(markdown) {
        return plain("it is longer than it was");
    }
    // Where marks mean nothing it is shown as it was written.
    if !holds(&got.text, &read(markdown)) && !holds(&got.text, &[markdown.to_owned()]) {
        return plain("a part is lost");
    }
    let end = units(&got.text);
    if got.entities.iter().any(|entity| entity.offset + entity.length > end) {
        return plain("an entity is out of place");
    }
    unnamed(markdown)
}

#[test]
fn the_cases_of_the_specification_are_shown() {
    let Some(file) = peer("telegram_markdown", "OPENCLAW_PEER_COMMONMARK") else { return };
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let cases: Vec<&str> = cases.iter().map(|case| case["markdown"].as_str().unwrap()).collect();
    assert_eq!(cases.len(), 652);
    let writer = Writer::new();
    let failed: Vec<String> =
        cases.iter().filter_map(|markdown| check(&writer, markdown).err()).collect();
    assert!(failed.is_empty(), "{} of 652:\n{}", failed.len(), failed.join("\n"));
}

/// Text that has much of what Markdown is made of.
pub(super) fn any_markdown() -> impl Strategy<Value = String> {
    let line = "[ a-c*_`~\\[\\]()!<>&#+.:;=|\\\\\"0-3-]{0,24}";
    prop_oneof![
        proptest::collection::vec(line, 1..6).prop_map(|lines| lines.join("\n")),
        "\\PC{1,60}",
        proptest::collection::vec(
            proptest::sample::select(vec![
                "**",
                "*",
                "_",
                "`",
                "```\n",
                "> ",
                "- ",
                "1. ",
                "\n",
                "\n\n",
                "# ",
                "~~",
                "[a](",
                ")",
                "https://a.example",
                "|",
                "|-|\n",
                "<b>",
                "&amp;",
                "👋",
                "é",
                "x",
                " ",
                "![",
                "]",
                "    ",
                "<br>",
                "---\n",
                "\t",
            ]),
            1..24,
        )
        .prop_map(|parts| parts.concat()),
    ]
}

#[test]
fn any_text_is_shown() {
    let writer = Writer::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        cases: 256,
        ..ProptestConfig::default()
    });
    runner.run(&any_markdown(), |text| check(&writer, &text).map_err(TestCaseError::fail)).unwrap();
}

#[test]
fn depth_and_length_do_no_harm() {
    let writer = Writer::new();
    let limit = writer.channel.capabilities().max_text;
    for text in [
        "> ".repeat(2_000),
        format!("{}x", "> ".repeat(2_000)),
        format!("{}x", "- ".repeat(2_000)),
        "**a _b ".repeat(580),
        "[".repeat(4_000),
        "&".repeat(4_096),
        "`a` ".repeat(1_000),
        "👋".repeat(3_000),
        "[a](https://a.example) ".repeat(400),
    ] {
        for piece in split(&text, limit) {
            assert_eq!(check(&writer, &piece), Ok(()));
        }
    }
}

#[test]
fn entities_come_back_as_they_went() {
    use openclaw_core::testing::channel::{RecordingIngress, context};

    let writer = Writer::new();
    let html = [
        "plain <b>bold</b> and <i>slanted</i>, <s>gone</s>",
        "<b>bold <i>and slanted</i></b> <code>a * b</code>",
        "see <a href=\"https://a.example/?a=1&amp;b=(2)\">the [site]</a>!",
        "<pre>let a = `1`;\nlet b = 2;</pre>",
        "<pre><code class=\"language-rust\">fn main() {}</code></pre>",
        "he said\n<blockquote>one\n<b>two</b></blockquote>\nand went",
        "1. no *list*, no #head, a_b_c, 2 * 3\n# not\n> not\n- not",
        "👋 <b>👨‍👩‍👧</b> <i>Việt Nam</i>",
        "<b>a</b>\n\n<b>b</b>",
    ];
    for html in html {
        let door = RecordingIngress::new();
        let cx = context(&door, writer.channel.id(), None);
        let id = writer.chat.say_html(html).unwrap();
        let said = writer.chat.message_by_id(id).unwrap();
        let heard = writer.rt.block_on(super::beside(&writer.channel, &cx, async {
            let id = id.to_string();
            loop {
                let accepted = door.wait_accepted(1).await;
                if let Some(one) = accepted
                    .into_iter()
                    .find(|one| one.message.as_ref().is_some_and(|of| of.as_str() == id))
                {
                    return one;
                }
                tokio::task::yield_now().await;
            }
        }));
        let markdown = heard.content[0].as_text().unwrap();
        let got = writer.write(markdown);
        let marks = |entities: &[Entity]| -> Vec<(String, Option<Value>)> {
            let own = ["bold", "italic", "strikethrough", "code", "pre", "text_link", "blockquote"];
            let mut marks: Vec<_> = entities
                .iter()
                .filter(|entity| own.contains(&entity.kind.as_str()))
                .map(|entity| {
                    let more = entity.extra.get("url").or(entity.extra.get("language"));
                    (entity.kind.clone(), more.cloned())
                })
                .collect();
            marks.sort_by(|a, b| a.0.cmp(&b.0));
            marks
        };
        assert_eq!(marks(&got.entities), marks(&said.entities), "{html}: {markdown}");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&got.text), words(&said.text), "{html}: {markdown}");
    }
}
