//! What of a text is not to be seen on Telegram is named.

use openclaw_channels::{
    markdown::{Loss, Mark},
    telegram::rendered,
};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Says what of the Markdown is neither shown nor named.
pub(super) fn unnamed(markdown: &str) -> Result<(), String> {
    let shown = rendered(markdown);
    let losses = &shown.losses;
    if *losses == [Loss::Source] {
        // All of it is there, as it was written.
        return Ok(());
    }
    let mut missing = Vec::new();
    let mut want = |there: bool, what: String| {
        if !there {
            missing.push(what);
        }
    };
    let mut in_table = false;
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    for event in Parser::new_ext(markdown, options) {
        match event {
            Event::Start(Tag::Table(_)) => {
                in_table = true;
                want(losses.contains(&Loss::Table), "a table".into());
            }
            Event::End(TagEnd::Table) => in_table = false,
            // It is shown as it was written.
            _ if in_table => {}
            Event::Start(Tag::Heading { .. }) => {
                want(losses.contains(&Loss::HeadingLevel), "a heading's level".into());
            }
            Event::Start(tag @ (Tag::Link { .. } | Tag::Image { .. })) => {
                let picture = matches!(tag, Tag::Image { .. });
                let (Tag::Link { dest_url, title, .. } | Tag::Image { dest_url, title, .. }) = tag
                else {
                    continue;
                };
                let href = format!("href=\"{}\"", escaped(&dest_url));
                let target = Mark::Link { target: dest_url.to_string() };
                let there = shown.text.contains(&href)
                    || shown.plain.contains(&*dest_url)
                    || losses.contains(&Loss::Mark(target));
                want(there, format!("the target {dest_url:?}"));
                let title = title.into_string();
                let named = title.is_empty() || losses.contains(&Loss::Title(title.clone()));
                want(named, format!("the title {title:?}"));
                want(!picture || losses.contains(&Loss::Image), "a picture".into());
            }
            _ => {}
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("{} of {markdown:?} is not named: {losses:?}", missing.join(", ")))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[test]
fn what_is_lost_would_be_noticed() {
    // The check itself: a target that is shown, one that is named, and what it looks for.
    assert_eq!(unnamed("[a](https://a.example \"t\") ![b](/b)\n\n# c\n\n|d|\n|-|"), Ok(()));
    let shown = rendered("[a](https://a.example \"t\")");
    assert_eq!(shown.losses, [Loss::Title("t".into())]);
}
