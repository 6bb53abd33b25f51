//! Decisions of the application, and what becomes of what they refuse.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use openclaw_core::{
    Error, ErrorKind, Result, async_trait,
    event::{EventKind, Next},
    hook::{Hook, HookContext, ReplyVerdict, Verdict},
    message::{Call, Inbound, plain_text},
    store::InMemory,
    testing::{Loopback, Scripted, scripted::Step},
};
use serde_json::json;

use super::{
    Count, ask, builder,
    channels::{echo, messenger, on},
    said,
    tools::counting,
};

/// Goes by what it reads: "forbidden" is refused, and of "broken" nobody can say.
struct Censor {
    asked: Arc<AtomicUsize>,
    /// How often it fails over "broken" before it does no longer.
    failures: AtomicUsize,
}

impl Censor {
    fn new(failures: usize) -> (Self, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        (Self { asked: asked.clone(), failures: failures.into() }, asked)
    }

    fn judge(&self, text: &str) -> Result<Verdict> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let left = |left: usize| left.checked_sub(1);
        if text.contains("broken")
            && self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok()
        {
            return Err(Error::new(ErrorKind::Unavailable, "the list cannot be read"));
        }
        Ok(match text.contains("forbidden") {
            true => Verdict::Refuse("it is on the list".to_owned()),
            false => Verdict::Continue,
        })
    }
}

#[async_trait]
impl Hook for Censor {
    async fn on_inbound(&self, _: HookContext<'_>, inbound: &Inbound) -> Result<Verdict> {
        self.judge(&plain_text(&inbound.content))
    }

    async fn before_tool(&self, _: HookContext<'_>, call: &Call) -> Result<Verdict> {
        self.judge(&call.arguments.to_string())
    }

    async fn before_reply(&self, _: HookContext<'_>, text: &str) -> Result<ReplyVerdict> {
        match self.judge(text)? {
            Verdict::Continue => Ok(ReplyVerdict::Send),
            Verdict::Refuse(_) => Ok(ReplyVerdict::Withhold),
        }
    }
}

#[tokio::test]
async fn a_refused_event_is_never_stored() {
    let (chat, script) = (messenger("chat:main"), echo());
    let (censor, _) = Censor::new(0);
    let access = openclaw_core::access::Access::open();
    let gateway = on(&chat, &script)
        .access("chat:main".parse().unwrap(), access)
        .hook(censor)
        .start()
        .await
        .unwrap();
    let bob = chat.person("bob");
    let error = bob.say("something forbidden").await.unwrap_err();
    assert!(error.to_string().contains("NotAllowed"), "{error}");
    assert!(gateway.handle().sessions(None, 10).await.unwrap().is_empty());
    assert!(bob.say("something else").await.unwrap().contains("something else"));
    assert_eq!(script.requests().len(), 1);
    let error = gateway.handle().ask("ada", "forbidden too").reply().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_could_not_be_judged_comes_again() {
    let (chat, script) = (Loopback::new(), echo());
    let (censor, asked) = Censor::new(2);
    let _gateway = on(&chat, &script).hook(censor).start().await.unwrap();
    // The third time it comes, the hook has recovered.
    assert_eq!(chat.say("what is broken").await.unwrap(), "echo: what is broken");
    assert_eq!(script.requests().len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 4, "thrice as it came in, once as the reply");
}

#[tokio::test]
async fn a_call_that_is_refused_or_cannot_be_judged_is_not_made() {
    for (word, told) in
        [("forbidden", "Refused: it is on the list"), ("broken", "a check of it failed")]
    {
        let (store, count) = (InMemory::new(), Count::default());
        let script = Scripted::steps([
            Step::new().call("note", json!({ "name": word })).call("note", json!({ "name": "b" })),
            Step::text("so be it"),
        ]);
        let (censor, _) = Censor::new(usize::MAX);
        let gateway = builder(&script, &store)
            .tool(counting("note", &count))
            .hook(censor)
            .start()
            .await
            .unwrap();
        assert_eq!(ask(&gateway.handle(), "note it").await.text, "so be it");
        assert_eq!(count.load(Ordering::SeqCst), 1, "the other call is made");
        let second = said(&script.requests()[1]);
        assert!(second.contains(told) && second.contains("noted b"), "{second}");
    }
}

#[tokio::test]
async fn a_reply_that_is_withheld_or_cannot_be_judged_is_not_sent() {
    let chat = Loopback::new();
    let script = Scripted::replies(["a forbidden word", "a broken word", "a word"]);
    let (censor, _) = Censor::new(usize::MAX);
    let gateway = on(&chat, &script).hook(censor).start().await.unwrap();
    let me = chat.person("me");
    let mut events = gateway.handle().subscribe();
    for text in ["one", "two"] {
        me.send(text);
        loop {
            let Some(Next::Event(event)) = events.next().await else { panic!() };
            if let EventKind::TurnEnded { reply, .. } = &event.kind {
                assert_eq!(*reply, None);
                break;
            }
        }
    }
    // The next answer is the first that is seen.
    assert_eq!(me.say("three").await.unwrap(), "a word");
    assert_eq!(chat.messages().len(), 1);
    // The model knows what it said.
    let (session, _) = gateway.handle().sessions(None, 1).await.unwrap().remove(0);
    let log = gateway.handle().log(&session, openclaw_core::Seq::ZERO, 100).await.unwrap();
    assert!(log.to_string().contains("a forbidden word"));
}
