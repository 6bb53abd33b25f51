//! Who is let in, and what they get to see.

use std::sync::atomic::Ordering;

use openclaw_core::{
    AccountId, GatewayBuilder, Result,
    access::{Access, DirectPolicy, GroupPolicy, Principal},
    async_trait,
    label::{Confidentiality, Integrity},
    store::InMemory,
    testing::{Loopback, Scripted, scripted::Step},
    tool::{Tool, ToolContext, ToolOutput, ToolSpec},
    turn::Entry,
};
use serde_json::json;

use super::{
    Count,
    approvals::open_ask,
    builder,
    channels::{echo, messenger},
    said,
};

fn account() -> AccountId {
    "chat:main".parse().unwrap()
}

fn on(chat: &Loopback, script: &Scripted, access: Access) -> GatewayBuilder {
    let gateway = builder(script, &InMemory::new()).channel(chat.clone());
    gateway.owner("chat", "ada").access(account(), access)
}

#[tokio::test]
async fn who_is_not_on_the_list_is_refused_and_nothing_of_them_is_kept() {
    let (chat, script) = (messenger("chat:main"), echo());
    let gateway = on(&chat, &script, Access::allowlist(["bob"])).start().await.unwrap();
    assert!(chat.person("bob").say("hi").await.is_ok());
    let error = chat.person("eve").say("hi").await.unwrap_err();
    assert!(error.to_string().contains("NotAllowed"), "{error}");
    // Who an id belongs to is what counts, not the name that is shown.
    assert!(chat.person("ada").say("hi").await.is_ok());
    assert_eq!(script.requests().len(), 2);
    assert!(gateway.handle().pairings().is_empty());
    assert_eq!(gateway.handle().sessions(None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_disabled_is_so_for_the_owner_too() {
    let (chat, script) = (messenger("chat:main"), echo());
    let mut access = Access::open().group("g");
    access.direct = DirectPolicy::Disabled;
    let _gateway = on(&chat, &script, access).start().await.unwrap();
    for who in ["ada", "bob"] {
        let person = chat.person(who);
        let error = person.say("hi").await.unwrap_err();
        assert!(error.to_string().contains("Disabled"), "{error}");
        assert!(person.in_group("g").say("hi").await.is_ok());
    }

    let (chat, script) = (messenger("chat:main"), echo());
    let mut access = Access::open().group("g");
    access.groups = GroupPolicy::Disabled;
    let _gateway = on(&chat, &script, access).start().await.unwrap();
    let ada = chat.person("ada");
    assert!(ada.clone().in_group("g").say("hi").await.is_err());
    assert!(ada.say("hi").await.is_ok());
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test]
async fn leave_to_write_can_be_taken_back() {
    let (chat, script) = (messenger("chat:main"), echo());
    let gateway = on(&chat, &script, Access::pairing()).start().await.unwrap();
    let handle = gateway.handle();
    let bob = chat.person("bob");
    assert!(bob.say("hi").await.is_err());
    let code = handle.pairings()[0].code.clone();
    handle.approve_pairing(&code).await.unwrap();
    assert!(bob.say("hi").await.is_ok());
    handle.unpair(&account(), &"bob".into()).await.unwrap();
    assert!(bob.say("hi").await.is_err());
    assert_eq!(script.requests().len(), 1);
    assert_eq!(handle.pairings().len(), 1, "they may ask anew");
}

/// Reads what is the owner's; counts how often.
struct Diary {
    shown_to: Confidentiality,
    count: Count,
}

#[async_trait]
impl Tool for Diary {
    fn spec(&self) -> ToolSpec {
        ToolSpec::read_only("diary", "Reads the owner's diary")
            .output(Integrity::User, self.shown_to)
            .input_schema(json!({"type": "object"}))
    }

    async fn call(&self, _: ToolContext) -> Result<ToolOutput> {
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(ToolOutput::text("Dear diary"))
    }
}

fn reads_the_diary() -> Scripted {
    Scripted::from_fn(|request| {
        let known = said(request);
        Ok(if known.contains("Dear diary") {
            Step::text("It says: Dear diary")
        } else if known.contains("refused this call") {
            Step::text("I may not")
        } else {
            Step::new().call("diary", json!({}))
        })
    })
}

/// How often the diary was read when `who` asked, and the owner was not asked or did not answer.
async fn read_for(access: Access, who: &str, group: bool, diary: Confidentiality) -> usize {
    let (chat, count) = (messenger("chat:main"), Count::default());
    let diary = Diary { shown_to: diary, count: count.clone() };
    let gateway =
        on(&chat, &reads_the_diary(), access.group("g")).tool(diary).start().await.unwrap();
    let person = chat.person(who);
    let person = if group { person.in_group("g") } else { person };
    person.send("what is in the diary?");
    // Either the answer, or the question to the owner.
    let handle = gateway.handle();
    tokio::select! {
        _ = open_ask(&handle) => {}
        _ = chat.next_message(person.conversation()) => {}
    }
    count.load(Ordering::SeqCst)
}

#[tokio::test]
async fn who_is_not_the_owner_sees_the_owners_data_only_with_leave() {
    use Confidentiality::{Private, Public, Secret};
    let open = Access::open;
    for (access, who, group, diary, times) in [
        (open(), "stranger", false, Private, 0),
        (open(), "stranger", false, Public, 1),
        (open().showing(Private), "stranger", false, Private, 1),
        (open().showing(Private), "stranger", false, Secret, 0),
        (open(), "ada", false, Private, 1),
        (open(), "ada", false, Secret, 1),
        // A group is anybody, whoever asks, and whatever is said of private conversations.
        (open().showing(Private), "ada", true, Private, 0),
        (open().showing(Private), "stranger", true, Private, 0),
        (open(), "stranger", true, Public, 1),
    ] {
        let read = read_for(access, who, group, diary).await;
        assert_eq!(read, times, "{who}, in a group: {group}, {diary:?}");
    }
}

#[tokio::test]
async fn an_asker_is_nobody_unless_the_application_vouches_for_them() {
    let store = InMemory::new();
    let count = Count::default();
    let diary = || Diary { shown_to: Confidentiality::Private, count: count.clone() };
    let gateway = builder(&reads_the_diary(), &store).tool(diary()).start().await.unwrap();
    let handle = gateway.handle();
    let service = Principal::Service { name: "reports".into() };
    for principal in [None, Some(service.clone())] {
        let ask = handle.ask(format!("{principal:?}"), "what is in the diary?");
        let ask = match &principal {
            Some(principal) => ask.principal(principal.clone()),
            None => ask,
        };
        let asking = tokio::spawn(ask.reply());
        let (session, approval) = open_ask(&handle).await;
        assert_eq!(count.load(Ordering::SeqCst), 0);
        let log = handle.log(&session, openclaw_core::Seq::ZERO, 100).await.unwrap();
        let started = log.entries().find_map(|(_, entry)| match entry {
            Entry::Started { principal, messages, .. } => Some((principal, messages)),
            _ => None,
        });
        let (by, messages) = started.unwrap();
        match principal {
            Some(principal) => assert_eq!(by, principal),
            None => assert!(matches!(by, Principal::Peer { .. }), "{by:?}"),
        }
        assert_eq!(messages[0].label().integrity, Integrity::Untrusted);
        handle.answer(&approval.ask.approval, false).await.unwrap();
        assert_eq!(asking.await.unwrap().unwrap().text, "I may not");
    }
    let owner = handle.ask("ada", "what is in the diary?").principal(Principal::Owner);
    assert!(owner.reply().await.unwrap().text.contains("Dear diary"));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_may_ask_within_the_application_cannot_be_configured() {
    let api: AccountId = "api:default".parse().unwrap();
    let gateway = |access| builder(&echo(), &InMemory::new()).access(api.clone(), access);
    for access in [Access::open(), Access::allowlist(["bob"]), Access::pairing().group("g")] {
        let error = gateway(access).start().await.unwrap_err().to_string();
        assert!(error.contains("api:default") && error.contains("peer_audience"), "{error}");
    }
    let (script, count) = (reads_the_diary(), Count::default());
    let diary = Diary { shown_to: Confidentiality::Private, count: count.clone() };
    let gateway = builder(&script, &InMemory::new())
        .tool(diary)
        .access(api.clone(), Access::pairing().showing(Confidentiality::Private))
        .start()
        .await
        .unwrap();
    let reply = gateway.handle().ask("bob", "what is in the diary?").reply().await.unwrap();
    assert!(reply.text.contains("Dear diary"));
}
