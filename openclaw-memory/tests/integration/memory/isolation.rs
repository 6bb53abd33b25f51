//! Scopes and labels: whatever is told to whom, nobody finds what is another's or is not to be seen.

use openclaw_core::{
    label::{Confidentiality, Integrity, Label},
    memory::{Fact, Forget, Memory as _, Query, Scope},
    time::Timestamp,
};

use super::{fact, fresh, temporal::Dice};

const WORDS: [&str; 12] = [
    "tea", "coffee", "garden", "key", "blue", "door", "car", "train", "morning", "doctor", "river",
    "bread",
];

fn label(dice: &mut Dice) -> Label {
    let integrity = [Integrity::Untrusted, Integrity::User, Integrity::System];
    let confidentiality =
        [Confidentiality::Public, Confidentiality::Private, Confidentiality::Secret];
    let (a, b) = (dice.below(3) as usize, dice.below(3) as usize);
    Label::new(integrity[a], confidentiality[b], &format!("source{}", dice.below(4)))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_one_scope_is_seen_in_another_and_labels_hold() {
    let (_folder, store, memory) = fresh().await;
    let mut dice = Dice(7);
    let scopes: Vec<Scope> = (0..6)
        .map(|n| match n {
            0 => Scope::agent("a"),
            1 => Scope::agent("ab"),
            n => Scope { agent: ["a", "b"][n % 2].into(), part: format!("p{}", n / 2) },
        })
        .collect();
    let mut told: Vec<(usize, Fact)> = Vec::new();
    for round in 0..300_i64 {
        let owner = dice.below(6) as usize;
        let words: Vec<&str> = (0..4).map(|_| WORDS[dice.below(12) as usize]).collect();
        // The same ids in all scopes.
        let id = format!("f{}", dice.below(40));
        let mut new = fact(&id, format!("{} of {owner} {round}", words.join(" ")), round);
        new.label = label(&mut dice);
        memory.remember(&scopes[owner], vec![new.clone()]).await.unwrap();
        told.retain(|(scope, fact)| *scope != owner || fact.id != id);
        told.push((owner, new));
        if dice.below(12) == 0 {
            let gone = format!("f{}", dice.below(40));
            memory.forget(&scopes[owner], &Forget::Ids(vec![gone.clone()])).await.unwrap();
            told.retain(|(scope, fact)| *scope != owner || fact.id != gone);
        }
        let asked = dice.below(6) as usize;
        let most = [Confidentiality::Public, Confidentiality::Private, Confidentiality::Secret]
            [dice.below(3) as usize];
        let least =
            [Integrity::Untrusted, Integrity::User, Integrity::System][dice.below(3) as usize];
        let word = WORDS[dice.below(12) as usize];
        let query = Query::new(word, 200).most(most).least(least);
        let found = memory.recall(&scopes[asked], &query).await.unwrap();
        let mut found: Vec<Fact> = found.into_iter().map(|found| found.fact).collect();
        let mut expected: Vec<Fact> = told
            .iter()
            .filter(|(scope, fact)| {
                *scope == asked && fact.text.contains(word) && query.admits(fact)
            })
            .map(|(_, fact)| fact.clone())
            .collect();
        let by_id = |a: &Fact, b: &Fact| a.id.cmp(&b.id);
        found.sort_by(by_id);
        expected.sort_by(by_id);
        assert_eq!(
            found, expected,
            "round {round}, {word} in {asked}, up to {most:?}, from {least:?}"
        );
    }
    assert!(store.doctor().await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_scope_takes_nothing_from_a_small_one() {
    let (_folder, _store, memory) = fresh().await;
    let (large, small) = (Scope::agent("large"), Scope::agent("small"));
    for batch in 0..100 {
        let facts = (0..1_000)
            .map(|n| fact(format!("{batch}-{n}"), "the key is under the blue pot", i64::from(n)));
        memory.remember(&large, facts.collect()).await.unwrap();
    }
    let one = Fact::new("1", "a key", Label::user("owner"), Timestamp(1));
    memory.remember(&small, vec![one.clone()]).await.unwrap();
    let found =
        memory.recall(&small, &Query::new("where is the key under the pot", 5)).await.unwrap();
    assert_eq!(found.into_iter().map(|found| found.fact).collect::<Vec<_>>(), [one]);
    assert_eq!(memory.recall(&large, &Query::new("key", 5)).await.unwrap().len(), 5);
}
