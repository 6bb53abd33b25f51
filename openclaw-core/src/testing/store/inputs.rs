//! Cases about inputs.

use super::{
    AcceptLimits, AcceptOutcome, Handle, InputId, NO_LIMITS, Result, accept, add, batch, control,
    entries, input, lease, pending, place, session,
};
use crate::{
    id::{Seq, SessionKey},
    store::{DeadLetter, NewInput},
};

fn duplicate(session: &SessionKey) -> AcceptOutcome {
    AcceptOutcome::Duplicate { session: session.clone() }
}

fn id(outcome: &AcceptOutcome) -> Option<InputId> {
    match outcome {
        AcceptOutcome::Added { id, .. } => Some(*id),
        _ => None,
    }
}

pub(super) async fn inputs_keep_the_order_of_acceptance(store: Handle) -> Result<()> {
    let (a, b) = (session("a")?, session("b")?);
    let given: Vec<NewInput> =
        (1..=20).map(|n| input(if n % 2 == 0 { &a } else { &b }, n)).collect();
    let outcomes = accept(&store, given.clone()).await?;
    let ids: Vec<InputId> = outcomes.iter().filter_map(id).collect();
    assert_eq!(ids.len(), 20, "{outcomes:?}");
    assert!(ids.is_sorted_by(|x, y| x < y), "{ids:?}");

    let rows = store.inputs(&a, InputId::default(), 100).await?;
    let expected: Vec<&NewInput> = given.iter().filter(|input| input.session == a).collect();
    assert_eq!(rows.len(), expected.len());
    for (row, new) in rows.iter().zip(expected) {
        assert_eq!((&row.key, row.at, &row.payload), (&new.key, new.at, &new.payload));
        assert!(!row.control);
    }
    assert_eq!(store.inputs(&a, InputId::default(), 3).await?, rows.get(..3).unwrap_or_default());
    Ok(())
}

pub(super) async fn a_key_is_accepted_once(store: Handle) -> Result<()> {
    let a = session("a")?;
    let outcomes = accept(&store, vec![input(&a, 1), input(&a, 1), input(&a, 2)]).await?;
    assert!(
        matches!(
            outcomes.as_slice(),
            [
                AcceptOutcome::Added { .. },
                AcceptOutcome::Duplicate { .. },
                AcceptOutcome::Added { .. }
            ]
        ),
        "{outcomes:?}"
    );
    let first = outcomes.first().and_then(id).unwrap_or_default();

    // Also once it was worked on.
    let lease = lease(&store, &a).await?;
    let mut done = batch(vec![]);
    done.consumed = vec![first];
    store.commit(&lease, &a, Seq::ZERO, done).await?;
    assert_eq!(accept(&store, vec![input(&a, 1)]).await?, [duplicate(&a)]);
    assert_eq!(pending(&store, &a).await?, ["v:2"]);
    Ok(())
}

pub(super) async fn keys_of_other_conversations_are_other_keys(store: Handle) -> Result<()> {
    let (a, b) = (session("a")?, session("b")?);
    add(&store, input(&a, 1)).await?;
    add(&store, input(&b, 1)).await?;
    add(&store, NewInput { heard: place("c")?, ..input(&a, 1) }).await?;
    assert_eq!(pending(&store, &a).await?.len(), 2);
    Ok(())
}

pub(super) async fn a_key_is_known_whichever_session_it_comes_for(store: Handle) -> Result<()> {
    let a = session("a")?;
    let other = SessionKey::new("other".into(), place("a")?);
    add(&store, input(&a, 1)).await?;
    let full = AcceptLimits { total: 1, session: 1 };
    for limits in [NO_LIMITS, full] {
        assert_eq!(store.accept(vec![input(&other, 1)], limits).await?, [duplicate(&a)]);
    }
    assert!(pending(&store, &other).await?.is_empty());
    assert!(store.unfinished(None, 10).await?.iter().all(|row| row.session == a));
    add(&store, input(&other, 2)).await?;
    Ok(())
}

pub(super) async fn a_full_store_refuses_and_keeps_no_key(store: Handle) -> Result<()> {
    let (a, b) = (session("a")?, session("b")?);
    let limits = AcceptLimits { total: 2, session: 10 };
    let given = vec![input(&a, 1), input(&b, 2), input(&a, 3), input(&b, 4)];
    let outcomes = store.accept(given, limits).await?;
    assert_eq!(
        outcomes.get(2..),
        Some([AcceptOutcome::Full, AcceptOutcome::Full].as_slice()),
        "{outcomes:?}"
    );
    assert_eq!(pending(&store, &a).await?, ["v:1"]);

    let lease = lease(&store, &a).await?;
    let mut done = batch(vec![]);
    done.consumed = outcomes.first().and_then(id).into_iter().collect();
    store.commit(&lease, &a, Seq::ZERO, done).await?;
    let again = store.accept(vec![input(&a, 3), input(&b, 4)], limits).await?;
    assert!(
        matches!(again.as_slice(), [AcceptOutcome::Added { .. }, AcceptOutcome::Full]),
        "{again:?}"
    );
    Ok(())
}

pub(super) async fn a_full_session_gives_up_its_oldest(store: Handle) -> Result<()> {
    let (a, b) = (session("a")?, session("b")?);
    let limits = AcceptLimits { total: 100, session: 2 };
    store.accept(vec![input(&b, 1), input(&b, 2)], limits).await?;
    let outcomes = store.accept((1..=4).map(|n| input(&a, n)).collect(), limits).await?;
    let dropped: Vec<u64> = outcomes
        .iter()
        .map(|outcome| match outcome {
            AcceptOutcome::Added { dropped, .. } => *dropped,
            _ => u64::MAX,
        })
        .collect();
    assert_eq!(dropped, [0, 0, 1, 1]);
    assert_eq!(pending(&store, &a).await?, ["v:3", "v:4"]);
    assert_eq!(pending(&store, &b).await?, ["v:1", "v:2"]);
    let dead = store.dead_letters(10).await?;
    let keys: Vec<&str> = dead.iter().map(|letter| letter.input.key.as_str()).collect();
    assert_eq!(keys, ["v:2", "v:1"]);
    assert!(dead.iter().all(|letter| letter.session == a && !letter.reason.is_empty()));
    // What was dropped was accepted: its repetition is a duplicate.
    assert_eq!(accept(&store, vec![input(&a, 1)]).await?, [duplicate(&a)]);
    // It may be what a turn was working on.
    let lease = lease(&store, &a).await?;
    let mut done = batch(entries(1, 1));
    done.consumed = outcomes.iter().take(3).filter_map(id).collect();
    store.commit(&lease, &a, Seq::ZERO, done).await?;
    assert_eq!(pending(&store, &a).await?, ["v:4"]);
    assert_eq!(store.dead_letters(10).await?.len(), 2);
    let unfinished = store.unfinished(None, 10).await?;
    assert!(unfinished.iter().any(|row| row.session == a && row.pending == 1), "{unfinished:?}");
    Ok(())
}

pub(super) async fn controls_come_first(store: Handle) -> Result<()> {
    let a = session("a")?;
    accept(&store, vec![input(&a, 1), control(&a, 2), input(&a, 3), control(&a, 4)]).await?;
    assert_eq!(pending(&store, &a).await?, ["v:2", "v:4", "v:1", "v:3"]);
    let first = store.inputs(&a, InputId::default(), 3).await?;
    let controls: Vec<bool> = first.iter().map(|row| row.control).collect();
    assert_eq!(controls, [true, true, false]);
    Ok(())
}

pub(super) async fn inputs_are_read_on_from_one(store: Handle) -> Result<()> {
    let a = session("a")?;
    accept(&store, vec![control(&a, 1), input(&a, 2), input(&a, 3), input(&a, 4)]).await?;
    let rows = store.inputs(&a, InputId::default(), 2).await?;
    let read = rows.last().map(|row| row.id).unwrap_or_default();
    let rest = store.inputs(&a, read, 2).await?;
    let keys: Vec<&str> = rest.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["v:1", "v:3"]);
    let controls = store.inputs(&a, InputId(u64::MAX), 10).await?;
    assert!(controls.len() == 1 && controls.iter().all(|row| row.control), "{controls:?}");
    Ok(())
}

pub(super) async fn controls_are_never_refused_nor_dropped(store: Handle) -> Result<()> {
    let a = session("a")?;
    let limits = AcceptLimits { total: 1, session: 1 };
    let outcomes = store.accept(vec![control(&a, 1), input(&a, 2), control(&a, 3)], limits).await?;
    assert!(outcomes.iter().all(|outcome| id(outcome).is_some()), "{outcomes:?}");
    assert_eq!(store.accept(vec![input(&a, 4)], limits).await?, [AcceptOutcome::Full]);
    let limits = AcceptLimits { total: 10, session: 1 };
    store.accept(vec![input(&a, 5)], limits).await?;
    assert_eq!(pending(&store, &a).await?, ["v:1", "v:3", "v:5"]);
    Ok(())
}

pub(super) async fn a_key_accepted_at_once_by_many_is_added_once(store: Handle) -> Result<()> {
    let a = session("a")?;
    let tries = (0..16).map(|_| store.accept(vec![input(&a, 1)], NO_LIMITS));
    let outcomes = futures_util::future::try_join_all(tries).await?;
    let added = outcomes.iter().flatten().filter(|outcome| id(outcome).is_some()).count();
    assert_eq!(added, 1, "{outcomes:?}");
    assert_eq!(pending(&store, &a).await?, ["v:1"]);
    Ok(())
}

pub(super) async fn unfinished_sessions_are_listed_in_pages(store: Handle) -> Result<()> {
    let names = [session("c")?, session("a")?, session("b")?];
    for name in &names {
        accept(&store, vec![input(name, 1), control(name, 2)]).await?;
    }
    let all = store.unfinished(None, 10).await?;
    assert!(
        all.iter().all(|row| row.pending == 2 && !row.open && row.wake_at.is_none()),
        "{all:?}"
    );
    let listed: Vec<_> = all.iter().map(|row| row.session.clone()).collect();
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(listed, sorted);
    let rest = store.unfinished(listed.first(), 1).await?;
    assert_eq!(rest.as_slice(), all.get(1..2).unwrap_or_default());

    let b = session("b")?;
    let lease = lease(&store, &b).await?;
    let mut done = batch(vec![]);
    done.consumed =
        store.inputs(&b, InputId::default(), 10).await?.into_iter().map(|row| row.id).collect();
    store.commit(&lease, &b, Seq::ZERO, done).await?;
    let left = store.unfinished(None, 10).await?;
    assert!(left.len() == 2 && left.iter().all(|row| row.session != b), "{left:?}");
    Ok(())
}

pub(super) async fn dead_letters_are_newest_first(store: Handle) -> Result<()> {
    let a = session("a")?;
    accept(&store, (1..=3).map(|n| input(&a, n)).collect()).await?;
    let rows = store.inputs(&a, InputId::default(), 10).await?;
    let lease = lease(&store, &a).await?;
    for row in rows.iter().take(2) {
        let mut given_up = batch(vec![]);
        given_up.dead = vec![(row.id, format!("why {}", row.key.as_str()))];
        store.commit(&lease, &a, Seq::ZERO, given_up).await?;
    }
    let expected: Vec<DeadLetter> = rows
        .iter()
        .take(2)
        .rev()
        .map(|row| DeadLetter {
            session: a.clone(),
            input: row.clone(),
            reason: format!("why {}", row.key.as_str()),
        })
        .collect();
    assert_eq!(store.dead_letters(10).await?, expected);
    assert_eq!(store.dead_letters(1).await?, expected.get(..1).unwrap_or_default());
    assert_eq!(pending(&store, &a).await?, ["v:3"]);
    Ok(())
}
