//! The contract of [`Channel`], case by case.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Platform, RecordingIngress, context};
use crate::{
    channel::{Capabilities, Channel, ChannelContext, Delivery, Webhook},
    error::{Error, ErrorKind, Result},
    id::{Conversation, MessageId},
    message::{Action, Button, Content, Inbound, InboundKind, Receipt, Sent, plain_text},
    testing::suite::{Suite, Verdict},
};

/// How long a case waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// The conformance suite of channel `name`; `fixture` makes a fresh platform for each case.
///
/// Cases need a tokio runtime with time. Under tokio's paused clock what never comes is found out at
/// once; a platform on real sockets needs the real one.
pub fn suite<P: Platform, Fut: Future<Output = P> + Send>(
    name: &str,
    fixture: impl Fn() -> Fut + Send + Sync + 'static,
) -> Suite {
    let fixture = Arc::new(fixture);
    let mut suite = Suite::new(name);
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {$({
            let fixture = fixture.clone();
            suite = suite.case(stringify!($case), move || {
                let fixture = fixture.clone();
                async move { $case(Case::new(fixture().await)).await }
            });
        })*};
    }
    cases!(
        hears_in_order,
        equal_texts_are_two_events,
        acknowledges_only_what_was_accepted,
        hears_again_what_was_not_accepted,
        redelivery_keeps_the_key,
        a_dropped_run_loses_nothing,
        cancel_stops_the_run,
        a_broken_link_is_a_transient_error,
        sends_once_what_it_says,
        sends_text_up_to_its_limit,
        a_refusal_is_an_error_and_no_retry,
        a_lost_answer_is_no_error,
        one_key_is_one_message,
        lookup_finds_what_was_sent,
        edits_in_place,
        deletes,
        reacts,
        types_without_a_message,
        a_pressed_button_gives_its_token,
        conversations_at_once_do_not_mix,
        a_webhook_is_taken_in,
        a_forged_webhook_is_refused_unread,
        a_webhook_is_answered_only_when_it_was_accepted,
        a_webhook_that_comes_again_keeps_its_key,
        fetches_media_whole_or_not_at_all,
        a_probe_tells_good_credentials_from_bad,
    );
    suite
}

struct Case<P> {
    platform: P,
    channel: Arc<dyn Channel>,
    door: RecordingIngress,
    cx: ChannelContext,
    here: Conversation,
}

impl<P: Platform> Case<P> {
    fn new(platform: P) -> Self {
        let door = RecordingIngress::new();
        let channel = platform.channel();
        let here = platform.conversation(0);
        #[allow(
            clippy::expect_used,
            reason = "a fixture without it is wrong; suites report panics"
        )]
        let here = here.expect("the platform has a conversation number 0");
        let cx = context(&door, channel.id(), platform.http());
        Self { channel, cx, door, here, platform }
    }

    fn can(&self) -> &Capabilities {
        self.channel.capabilities()
    }

    /// Lets the channel run until `until` is done, starting it again as a gateway does.
    async fn running<T>(&self, until: impl Future<Output = T>) -> Result<T> {
        let run = async {
            loop {
                match self.channel.run(&self.cx).await {
                    // Nothing more will come: what came is on the other side.
                    Ok(()) => return std::future::pending().await,
                    Err(error) if error.is_transient() => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Err(error) => return error,
                }
            }
        };
        let both = async {
            tokio::select! {
                biased;
                done = until => Ok(done),
                error = run => Err(error.with("in", "run")),
            }
        };
        within("what must come came", both).await?
    }

    async fn accepted(&self, count: usize) -> Result<Vec<Inbound>> {
        self.running(self.door.wait_accepted(count)).await
    }

    async fn perform(&self, action: &Action) -> Result<Sent> {
        within("`perform` returned", self.channel.perform(&self.cx, &self.here, action)).await?
    }

    /// Performs what must work.
    async fn done(&self, action: &Action) -> Result<Receipt> {
        match self.perform(action).await? {
            Sent::Yes(receipt) => Ok(receipt),
            Sent::Unknown(error) => Err(error.with("outcome", "unknown")),
        }
    }

    async fn texts(&self) -> Vec<String> {
        self.platform.shown(&self.here).await.into_iter().map(|message| message.text).collect()
    }

    /// Sends `text` and returns the id of the message.
    async fn sent(&self, text: &str) -> Result<MessageId> {
        let receipt = self.done(&send("a", text)).await?;
        let first = receipt.messages.into_iter().next();
        first.ok_or_else(|| failed("the receipt names no message, which is needed to change it"))
    }
}

fn send(key: &str, text: &str) -> Action {
    Action::Send { key: key.into(), content: vec![text.into()], reply_to: None }
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, what.into())
}

fn check<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, expected: &T) -> Result<()> {
    if is == expected {
        return Ok(());
    }
    Err(failed(format!("{what}: expected {expected:?}, got {is:?}")))
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    let late = |_| Error::new(ErrorKind::Timeout, format!("not within {PATIENCE:?}: {what}"));
    tokio::time::timeout(PATIENCE, future).await.map_err(late)
}

fn passed() -> Result<Verdict> {
    Ok(Verdict::Passed)
}

fn skipped(why: &str) -> Result<Verdict> {
    Ok(Verdict::Skipped(why.to_owned()))
}

fn said(inbound: &Inbound) -> String {
    plain_text(&inbound.content)
}

/// Each conversation's events come in the service's order, and all of them.
async fn hears_in_order<P: Platform>(case: Case<P>) -> Result<Verdict> {
    let places: Vec<Conversation> = (0..2).map_while(|at| case.platform.conversation(at)).collect();
    for number in 0..5 {
        for place in &places {
            case.platform.say(place, &format!("number {number}")).await;
        }
    }
    let accepted = case.accepted(5 * places.len()).await?;
    let mut heard: BTreeMap<&Conversation, Vec<String>> = BTreeMap::new();
    for inbound in &accepted {
        heard.entry(&inbound.conversation).or_default().push(said(inbound));
    }
    let expected: Vec<String> = (0..5).map(|number| format!("number {number}")).collect();
    for place in &places {
        check("what was heard", &heard.remove(place).unwrap_or_default(), &expected)?;
    }
    check("other places", &heard.len(), &0)?;
    passed()
}

/// The key is of the event, not of what it says.
async fn equal_texts_are_two_events<P: Platform>(case: Case<P>) -> Result<Verdict> {
    case.platform.say(&case.here, "yes").await;
    case.platform.say(&case.here, "yes").await;
    case.accepted(2).await?;
    passed()
}

/// The platform is told that an event was taken only after `accept` returned.
async fn acknowledges_only_what_was_accepted<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if case.platform.acknowledged().await.is_none() {
        return skipped("the platform is never told");
    }
    case.door.shut();
    case.platform.say(&case.here, "hello").await;
    let early = case
        .running(async {
            case.door.wait_offered(1).await;
            // Time for a wrong acknowledgement to arrive.
            tokio::time::sleep(Duration::from_millis(50)).await;
            case.platform.acknowledged().await
        })
        .await?;
    check("acknowledged before it was accepted", &early, &Some(0))?;
    case.door.open();
    let told = async {
        while case.platform.acknowledged().await != Some(1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    case.running(told).await?;
    passed()
}

/// An error of `accept` leaves the event with the platform.
async fn hears_again_what_was_not_accepted<P: Platform>(case: Case<P>) -> Result<Verdict> {
    case.door.fail_next(1);
    case.platform.say(&case.here, "hello").await;
    case.accepted(1).await?;
    passed()
}

/// An event that comes twice has the same key.
async fn redelivery_keeps_the_key<P: Platform>(case: Case<P>) -> Result<Verdict> {
    case.platform.say(&case.here, "hello").await;
    case.accepted(1).await?;
    if !case.platform.redeliver().await {
        return skipped("the platform does not deliver again");
    }
    let offered = case.running(case.door.wait_offered(2)).await?;
    let keys: Vec<&str> = offered.iter().map(|inbound| inbound.key.as_str()).collect();
    check("keys", &keys.last(), &keys.first())?;
    passed()
}

/// What was not accepted when `run` was dropped is heard by the next one.
async fn a_dropped_run_loses_nothing<P: Platform>(case: Case<P>) -> Result<Verdict> {
    case.door.shut();
    case.platform.say(&case.here, "one").await;
    case.platform.say(&case.here, "two").await;
    case.running(case.door.wait_offered(1)).await?;
    case.door.open();
    let accepted = case.accepted(2).await?;
    let texts: Vec<String> = accepted.iter().map(said).collect();
    check("what was heard", &texts, &vec!["one".to_owned(), "two".to_owned()])?;
    passed()
}

/// `run` ends once cancelled.
async fn cancel_stops_the_run<P: Platform>(case: Case<P>) -> Result<Verdict> {
    case.platform.say(&case.here, "hello").await;
    case.accepted(1).await?;
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        case.cx.cancel().cancel();
    };
    let (_, ended) =
        tokio::join!(cancel, within("`run` ended after the cancel", case.channel.run(&case.cx)));
    // Whether it calls that an error does not matter.
    let _ = ended?;
    passed()
}

/// A link that breaks is an error to try again after, not the end of all events.
async fn a_broken_link_is_a_transient_error<P: Platform>(case: Case<P>) -> Result<Verdict> {
    case.platform.say(&case.here, "before").await;
    case.accepted(1).await?;
    let cut = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        case.platform.cut().await
    };
    let (cut, ended) =
        tokio::join!(cut, tokio::time::timeout(PATIENCE, case.channel.run(&case.cx)));
    if !cut {
        return skipped("there is no link that breaks");
    }
    match ended {
        Ok(Err(error)) if error.is_transient() => {}
        Ok(other) => return Err(failed(format!("expected a transient error, got {other:?}"))),
        // A channel may mend its link by itself.
        Err(_) => {}
    }
    case.platform.say(&case.here, "after").await;
    case.accepted(2).await?;
    passed()
}

/// A sent message stands there once, as it was given.
async fn sends_once_what_it_says<P: Platform>(case: Case<P>) -> Result<Verdict> {
    case.done(&send("a", "hello")).await?;
    check("what is shown", &case.texts().await, &vec!["hello".to_owned()])?;
    case.done(&send("b", "hello")).await?;
    check("what is shown", &case.texts().await.len(), &2)?;
    passed()
}

/// A message as long as the declared limit arrives whole.
async fn sends_text_up_to_its_limit<P: Platform>(case: Case<P>) -> Result<Verdict> {
    // Where there is hardly a limit, something longer than what people write.
    let text = "a".repeat(case.can().max_text.units.min(20_000));
    case.done(&send("a", &text)).await?;
    let lengths: Vec<usize> = case.texts().await.iter().map(String::len).collect();
    check("lengths of what is shown", &lengths, &vec![text.len()])?;
    passed()
}

/// What the platform refused was not sent, and is not sent behind delivery's back.
async fn a_refusal_is_an_error_and_no_retry<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if !case.platform.refuse_next().await {
        return skipped("the platform does not refuse");
    }
    if let Ok(sent) = case.perform(&send("a", "hello")).await {
        return Err(failed(format!("expected an error, got {sent:?}")));
    }
    check("what is shown", &case.texts().await, &vec![])?;
    passed()
}

/// `Err` says that it certainly was not sent.
async fn a_lost_answer_is_no_error<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if !case.platform.lose_next_answer().await {
        return skipped("there is no answer to lose");
    }
    let result = case.perform(&send("a", "hello")).await;
    check("what is shown", &case.texts().await.len(), &1)?;
    match result {
        Ok(_) => passed(),
        Err(error) => Err(error.with("although", "it was sent")),
    }
}

/// Keyed: a second message with the same key is the first one.
async fn one_key_is_one_message<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if !matches!(case.can().delivery, Delivery::Keyed { .. }) {
        return skipped("the channel is not keyed");
    }
    let first = case.done(&send("a", "hello")).await?;
    let second = case.done(&send("a", "hello")).await?;
    check("the second receipt", &second, &first)?;
    check("what is shown", &case.texts().await.len(), &1)?;
    passed()
}

/// Searchable: what was sent is found by its key, also when its answer was lost; nothing else is.
async fn lookup_finds_what_was_sent<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if !matches!(case.can().delivery, Delivery::Searchable { .. }) {
        return skipped("the channel is not searchable");
    }
    let Some(lookup) = case.channel.extras().lookup else {
        return Err(failed("the channel declares `Searchable` and has no `Lookup`"));
    };
    let find = async |key: &str| lookup.lookup(&case.cx, &case.here, &key.into()).await;
    check("before it was sent", &find("a").await?, &None)?;
    let receipt = case.done(&send("a", "hello")).await?;
    check("after it was sent", &find("a").await?, &Some(receipt))?;
    check("another key", &find("b").await?, &None)?;
    if case.platform.lose_next_answer().await {
        let _ = case.perform(&send("c", "hello")).await;
        check("found after its answer was lost", &find("c").await?.is_some(), &true)?;
    }
    passed()
}

/// An edit changes the message and sends none.
async fn edits_in_place<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if !case.can().edit {
        return skipped("the channel does not edit");
    }
    let message = case.sent("one").await?;
    case.done(&Action::Edit { message, content: vec!["two".into()] }).await?;
    check("what is shown", &case.texts().await, &vec!["two".to_owned()])?;
    passed()
}

/// A deleted message is gone.
async fn deletes<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if !case.can().delete {
        return skipped("the channel does not delete");
    }
    let message = case.sent("one").await?;
    case.done(&Action::Delete { message }).await?;
    check("what is shown", &case.texts().await, &vec![])?;
    passed()
}

/// A reaction to somebody's message is set, and taken away by an empty one.
async fn reacts<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if !case.can().react {
        return skipped("the channel does not react");
    }
    case.platform.say(&case.here, "hello").await;
    let accepted = case.accepted(1).await?;
    let Some(message) = accepted.into_iter().next().and_then(|inbound| inbound.message) else {
        return Err(failed("the channel reacts, but its messages have no ids"));
    };
    for (emoji, shown) in [("👍", Some("👍".to_owned())), ("", None)] {
        case.done(&Action::React { message: message.clone(), emoji: emoji.to_owned() }).await?;
        check("the reaction", &case.platform.reaction(&case.here, &message).await, &shown)?;
    }
    passed()
}

/// Typing is shown, not sent.
async fn types_without_a_message<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if !case.can().typing {
        return skipped("the channel does not show typing");
    }
    case.done(&Action::Typing).await?;
    check("what is shown", &case.texts().await, &vec![])?;
    check("typing was shown", &(case.platform.typing(&case.here).await > 0), &true)?;
    passed()
}

/// A press gives back the token of the button.
async fn a_pressed_button_gives_its_token<P: Platform>(case: Case<P>) -> Result<Verdict> {
    if !case.can().buttons {
        return skipped("the channel has no buttons");
    }
    let button = |label: &str, token: &str| Button { label: label.into(), token: token.into() };
    let rows = vec![vec![button("Yes", "token-1"), button("No", "token-2")]];
    let content = vec![Content::text("Well?"), Content::Buttons { rows }];
    case.done(&Action::Send { key: "a".into(), content, reply_to: None }).await?;
    case.platform.press(&case.here, "No").await;
    let accepted = case.accepted(1).await?;
    let kinds: Vec<InboundKind> = accepted.into_iter().map(|inbound| inbound.kind).collect();
    check("the event", &kinds, &vec![InboundKind::Button { token: "token-2".to_owned() }])?;
    passed()
}

/// Actions in several conversations at once each arrive in their own; also before `run` began.
async fn conversations_at_once_do_not_mix<P: Platform>(case: Case<P>) -> Result<Verdict> {
    let places: Vec<Conversation> = (0..8).map_while(|at| case.platform.conversation(at)).collect();
    if places.len() < 2 {
        return skipped("there is one conversation");
    }
    let performs = places.iter().enumerate().map(|(index, place)| {
        let (key, text) = (format!("key-{index}"), format!("for place {index}"));
        let case = &case;
        async move { case.channel.perform(&case.cx, place, &send(&key, &text)).await }
    });
    for result in within("`perform` returned", join_all(performs)).await? {
        let _ = result?;
    }
    for (index, place) in places.iter().enumerate() {
        let shown: Vec<String> =
            case.platform.shown(place).await.into_iter().map(|message| message.text).collect();
        check("what is shown", &shown, &vec![format!("for place {index}")])?;
    }
    passed()
}

/// Passes a request to the channel's webhook.
async fn delivered(
    webhook: &dyn Webhook,
    cx: &ChannelContext,
    request: http::Request<Bytes>,
) -> Result<http::StatusCode> {
    Ok(within("the webhook answered", webhook.handle(cx, request)).await?.status())
}

/// What the service signed is accepted, and answered as taken.
async fn a_webhook_is_taken_in<P: Platform>(case: Case<P>) -> Result<Verdict> {
    let Some(webhook) = case.channel.extras().webhook else {
        return skipped("the channel takes no webhooks");
    };
    let Some(request) = case.platform.webhook(&case.here, "hello").await else {
        return skipped("the platform delivers no messages by webhook");
    };
    let status = delivered(webhook, &case.cx, request).await?;
    check("the answer is a success", &status.is_success(), &true)?;
    let texts: Vec<String> = case.door.accepted().iter().map(said).collect();
    check("what was accepted", &texts, &vec!["hello".to_owned()])?;
    passed()
}

/// What the service did not sign is refused, and reaches nobody.
async fn a_forged_webhook_is_refused_unread<P: Platform>(case: Case<P>) -> Result<Verdict> {
    let Some(webhook) = case.channel.extras().webhook else {
        return skipped("the channel takes no webhooks");
    };
    let mut forged = case.platform.forged_webhooks(&case.here).await;
    if let Some(mut bare) = case.platform.webhook(&case.here, "forged").await {
        bare.headers_mut().clear();
        forged.push(bare);
    }
    for (index, request) in forged.into_iter().enumerate() {
        let status = delivered(webhook, &case.cx, request).await?;
        check(&format!("forgery {index} is refused"), &status.is_client_error(), &true)?;
        check("what was passed in", &case.door.offered().len(), &0)?;
    }
    passed()
}

/// An answer of success only after `accept` returned; an error of `accept` is no success.
async fn a_webhook_is_answered_only_when_it_was_accepted<P: Platform>(
    case: Case<P>,
) -> Result<Verdict> {
    let Some(webhook) = case.channel.extras().webhook else {
        return skipped("the channel takes no webhooks");
    };
    let Some(request) = case.platform.webhook(&case.here, "hello").await else {
        return skipped("the platform delivers no messages by webhook");
    };
    case.door.fail_next(1);
    let status = delivered(webhook, &case.cx, request.clone()).await?;
    check("success although it was not accepted", &status.is_success(), &false)?;
    case.door.shut();
    let answer = delivered(webhook, &case.cx, request);
    let early = async {
        case.door.wait_offered(2).await;
        // Time for a wrong answer to arrive.
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        status = &mut answer => return Err(failed(format!("answered {:?} before it was accepted", status?))),
        () = early => case.door.open(),
    }
    check("the answer is a success", &answer.await?.is_success(), &true)?;
    passed()
}

async fn a_webhook_that_comes_again_keeps_its_key<P: Platform>(case: Case<P>) -> Result<Verdict> {
    let Some(webhook) = case.channel.extras().webhook else {
        return skipped("the channel takes no webhooks");
    };
    let Some(request) = case.platform.webhook(&case.here, "hello").await else {
        return skipped("the platform delivers no messages by webhook");
    };
    for request in [request.clone(), request] {
        let status = delivered(webhook, &case.cx, request).await?;
        check("the answer is a success", &status.is_success(), &true)?;
    }
    check("what was accepted", &case.door.accepted().len(), &1)?;
    passed()
}

/// The very bytes, or an error if there are more than may be.
async fn fetches_media_whole_or_not_at_all<P: Platform>(case: Case<P>) -> Result<Verdict> {
    let Some(media) = case.channel.extras().fetch_media else {
        return skipped("the channel fetches no media");
    };
    let bytes: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let Some(handle) = case.platform.upload(bytes.clone()).await else {
        return skipped("nothing can be put on the platform");
    };
    let fetched = within("the media came", media.fetch_media(&case.cx, &handle, 256)).await??;
    check("what was fetched", &fetched, &bytes)?;
    let cut = within("the media came", media.fetch_media(&case.cx, &handle, 255)).await?;
    let kind = cut.map_err(|error| error.kind());
    check("256 bytes where 255 may be", &kind, &Err(ErrorKind::Exhausted))?;
    let other =
        within("the media came", media.fetch_media(&case.cx, "no-such-handle", 256)).await?;
    check("a handle of nothing is an error", &other.is_err(), &true)?;
    passed()
}

async fn a_probe_tells_good_credentials_from_bad<P: Platform>(case: Case<P>) -> Result<Verdict> {
    let Some(probe) = case.channel.extras().probe else {
        return skipped("the channel has no probe");
    };
    let name = within("the probe ended", probe.probe(&case.cx)).await??;
    check("the account has a name", &name.trim().is_empty(), &false)?;
    check("what is shown", &case.texts().await, &vec![])?;
    if case.platform.revoke().await {
        let bad = within("the probe ended", probe.probe(&case.cx)).await?;
        check("bad credentials", &bad.map_err(|e| e.kind()), &Err(ErrorKind::Unauthenticated))?;
    }
    passed()
}
