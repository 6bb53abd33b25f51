//! What the bot showed, said back to it by somebody, is Markdown that shows the same again.

use openclaw_channels::{telegram::rendered, testing::telegram::Shown};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use serde_json::Value;

use super::{
    beside, door,
    markdown::{Writer, any_markdown},
};
use crate::peers::peer;

/// The marks that Markdown has.
const MARKS: [&str; 7] =
    ["bold", "italic", "strikethrough", "code", "pre", "text_link", "blockquote"];

/// The cases of the specification that come back with a mark more or less, for Markdown has no plain way
/// to say them: emphasis of a sign that is a mark itself or right behind one, code alone in a quote, and
/// text that reads as HTML or indented code. Their text is the same.
const OTHER_MARKS: [&str; 9] = [
    "\\\\*emphasis*\n",
    "> ```\n> aaa\n\nbbb\n",
    "<![CDATA[\nfunction matchwo(a,b)\n{\n  if (a < b && a < 0) then {\n    return 1;\n\n  } else {\n\n    return 0;\n  }\n}\n]]>\nokay\n",
    ">     foo\n    bar\n",
    ">     code\n\n>    not code\n",
    "foo *\\**\n",
    "foo **\\***\n",
    "foo _*_\n",
    "foo __*__\n",
];

type Mark = (String, String, Option<Value>);

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Each mark with the words in it and what else is said of it, white space aside.
fn marks(shown: &Shown) -> Vec<Mark> {
    let units: Vec<u16> = shown.text.encode_utf16().collect();
    let marks = shown.entities.iter().filter(|entity| MARKS.contains(&entity.kind.as_str()));
    let mut marks: Vec<Mark> = marks
        .map(|entity| {
            let inside = &units[entity.offset..entity.offset + entity.length];
            let more = entity.extra.get("url").or(entity.extra.get("language")).cloned();
            (entity.kind.clone(), words(&String::from_utf16_lossy(inside)), more)
        })
        .collect();
    marks.sort_by_key(|mark| format!("{mark:?}"));
    marks
}

/// Each text as the bot showed it, what somebody who sent the same was heard to say, and how that is shown.
fn there_and_back(texts: &[&str]) -> Vec<(Shown, String, Shown)> {
    let writer = Writer::new();
    let say = |markdown: &str| writer.chat.say_html(&rendered(markdown).text).unwrap();
    let said: Vec<i64> = texts.iter().map(|markdown| say(markdown)).collect();
    let (door, cx) = door(&writer.channel);
    let all = door.wait_accepted(texts.len() + 1);
    let heard = writer.rt.block_on(beside(&writer.channel, &cx, all));
    let mut backs = Vec::new();
    for id in &said {
        let name = id.to_string();
        let heard = heard
            .iter()
            .find(|one| one.message.as_ref().is_some_and(|message| message.as_str() == name));
        let back = openclaw_core::message::plain_text(&heard.unwrap().content);
        backs.push((say(&back), back));
    }
    let all = writer.chat.messages();
    let shown = |id: i64| all.iter().find(|one| one.id == id).unwrap().clone();
    let pairs = said.into_iter().zip(backs);
    pairs.map(|(went, (came, back))| (shown(went), back, shown(came))).collect()
}

#[test]
fn the_cases_of_the_specification_come_back_as_they_went() {
    let Some(file) = peer("telegram_markdown", "OPENCLAW_PEER_COMMONMARK") else { return };
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let cases = cases.iter().map(|case| case["markdown"].as_str().unwrap());
    let cases: Vec<&str> = cases.filter(|markdown| !markdown.trim().is_empty()).collect();
    let (mut other_words, mut other_marks) = (Vec::new(), Vec::new());
    for (markdown, (went, back, came)) in cases.iter().zip(there_and_back(&cases)) {
        if words(&went.text) != words(&came.text) {
            other_words.push(format!("{markdown:?} came back as {back:?}"));
        }
        if marks(&went) != marks(&came) {
            other_marks.push(*markdown);
        }
    }
    assert!(other_words.is_empty(), "{}", other_words.join("\n"));
    assert_eq!(other_marks, OTHER_MARKS);
}

#[test]
fn the_words_of_any_text_come_back() {
    let mut runner = TestRunner::deterministic();
    let mut texts: Vec<String> = (0..400)
        .map(|_| any_markdown().new_tree(&mut runner).unwrap().current())
        .filter(|text| !rendered(text).text.trim().is_empty())
        .collect();
    texts.retain(|text| !text.trim_start().starts_with('/'));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let wrong: Vec<String> = texts
        .iter()
        .zip(there_and_back(&texts))
        .filter(|(_, (went, _, came))| words(&went.text) != words(&came.text))
        .map(|(text, (went, back, _))| {
            format!("{text:?}, shown as {:?}, came back as {back:?}", went.text)
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), texts.len(), wrong.join("\n"));
}
