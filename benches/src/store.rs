//! What a turn waits for in the store, without the gateway.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use openclaw_core::{
    EventKey, NodeId, OutboundKey, Seq, SessionId, SessionKey,
    access::Principal,
    label::Label,
    message::{Action, Content, Message, Part},
    provider::Usage,
    store::{
        AcceptLimits, AcceptOutcome, Batch, InputId, LeaseName, NewInput, NewOutbound,
        SessionStore as _, SessionUpdate,
    },
    time::Timestamp,
    turn::{Cause, Entry, Limits, Outcome, encode},
};
use openclaw_memory::sqlite::Sqlite;

use crate::{Result, figures::Times};

const LIMITS: AcceptLimits = AcceptLimits { total: u64::MAX, session: u64::MAX };

/// An accept, and the commit of what a turn without tools writes.
pub async fn alone(folder: &Path) -> Result<(Times, Times)> {
    let store = Sqlite::open(folder.join("alone.db")).await?;
    let session: SessionKey = "agent:main:bench:default:direct:alone".parse()?;
    let lease = LeaseName::Session(session.clone());
    let lease = store.lease(&lease, &NodeId::from("bench"), Duration::from_secs(3_600)).await?;
    let (mut accepts, mut commits) = (Times::default(), Times::default());
    let mut after = Seq::ZERO;
    for number in 0..1_000 {
        let input = NewInput {
            session: session.clone(),
            heard: session.conversation().clone(),
            key: EventKey::event(&number.to_string()),
            control: false,
            at: Timestamp(number),
            payload: "{\"text\":\"hello\"}".repeat(20),
        };
        let began = Instant::now();
        let outcomes = store.accept(vec![input], LIMITS).await?;
        accepts.add(began.elapsed());
        let [AcceptOutcome::Added { id, .. }] = outcomes.as_slice() else {
            return Err("an input was not added".into());
        };
        let batch = turn(&session, after, *id)?;
        let last = batch.entries.last().map_or(after, |row| row.seq);
        let began = Instant::now();
        store.commit(&lease, &session, after, batch).await?;
        commits.add(began.elapsed());
        after = last;
    }
    // Closed, so that it does not write beside what is measured next.
    store.close().await?;
    Ok((accepts, commits))
}

/// What a turn commits: it began, the model replied, it ended; an input is consumed, a message leaves.
fn turn(session: &SessionKey, after: Seq, input: InputId) -> Result<Batch> {
    let at = Timestamp(0);
    let label = Label::user("owner at bench:default:direct:alone");
    let hello = Message::User {
        from: Principal::Owner,
        name: None,
        at,
        parts: vec![Part { content: Content::text("hello"), label: label.clone() }],
        key: Some(EventKey::event("hello")),
        message: None,
    };
    let mut entries = vec![
        Entry::Started {
            cause: Cause::Messages,
            principal: Principal::Owner,
            messages: vec![hello],
            inputs: vec![input],
            limits: Limits::default(),
            attributes: std::collections::BTreeMap::new(),
            format: None,
        },
        Entry::Replied {
            state: None,
            text: "Hello, how are you?".into(),
            calls: Vec::new(),
            label,
            usage: Usage::default(),
            cut: false,
        },
        Entry::Ended { outcome: Outcome::Replied },
    ];
    if after == Seq::ZERO {
        entries.insert(0, Entry::Opened { session: SessionId::new("s"), nonce: "00".repeat(16) });
    }
    let mut seq = after;
    let rows = entries.iter().map(|entry| {
        seq = seq.next();
        encode(seq, at, entry)
    });
    let entries = rows.collect::<openclaw_core::Result<Vec<_>>>()?;
    let key = OutboundKey::from(format!("{session}{seq}"));
    let content = vec![Content::text("Hello, how are you?")];
    let reply = NewOutbound {
        key: key.clone(),
        conversation: session.conversation().clone(),
        session: Some(session.clone()),
        action: Action::Send { key: key.clone(), content, reply_to: None },
        group: key,
        edits: None,
        at,
    };
    Ok(Batch {
        entries,
        consumed: vec![input],
        dead: Vec::new(),
        outbox: vec![reply],
        records: Vec::new(),
        session: SessionUpdate { checkpoint: None, open: false, wake_at: None },
    })
}
