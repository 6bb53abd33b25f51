//! What was true when: generated histories against a plain list of what was told.

use std::collections::BTreeMap;

use openclaw_core::{
    memory::{Fact, Memory as _, Page, Query},
    time::Timestamp,
};

use super::{fact, fresh, scope, texts};

/// Numbers that look random and are the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

const CITIES: [&str; 8] = ["Paris", "Rome", "Oslo", "Hanoi", "Lima", "Cairo", "Quito", "Delhi"];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_true_is_found_at_every_moment() {
    let (_folder, store, memory) = fresh().await;
    let mut dice = Dice(42);
    let mut cases = 0;
    for person in 0..40 {
        let id = format!("home of person{person}");
        // When each begins, in order: what is known to be true from then on.
        let mut told: BTreeMap<i64, &str> = BTreeMap::new();
        let mut moments: Vec<i64> = (1..=5).map(|n| n * 1_000 + dice.below(900) as i64).collect();
        let explicit = person % 2 == 0;
        if explicit {
            // Told in any order, each with the moment from which it is true.
            for n in (1..moments.len()).rev() {
                moments.swap(n, dice.below(n as u64 + 1) as usize);
            }
        }
        let mut last = "";
        for (n, moment) in moments.into_iter().enumerate() {
            let mut city = CITIES[dice.below(8) as usize];
            while city == last || told.values().any(|known| *known == city) {
                city = CITIES[dice.below(8) as usize];
            }
            last = city;
            let text = format!("person{person} lives in {city}");
            let new = if explicit {
                fact(&id, text, 10_000 + n as i64).valid_from(Timestamp(moment))
            } else {
                fact(&id, text, moment)
            };
            memory.remember(&scope(), vec![new]).await.unwrap();
            told.insert(moment, city);
        }
        let question = format!("Where does person{person} live?");
        let expected = |moment: i64| {
            let known = told.range(..=moment).next_back();
            known.map(|(_, city)| format!("person{person} lives in {city}"))
        };
        let about = |texts: Vec<String>| -> Vec<String> {
            texts.into_iter().filter(|text| text.starts_with(&format!("person{person} "))).collect()
        };
        // At each moment of a change, just before it, and somewhere between.
        for moment in told.keys().flat_map(|at| [*at, at - 1, at + 50]) {
            let query = Query::new(&*question, 10).as_of(Timestamp(moment));
            let found = about(texts(&memory, &query).await);
            assert_eq!(found, Vec::from_iter(expected(moment)), "person{person} at {moment}");
            cases += 1;
        }
        let now = about(texts(&memory, &Query::new(&*question, 10)).await);
        assert_eq!(now, Vec::from_iter(expected(i64::MAX)), "person{person} now");
        let versions = memory.versions(&scope(), &id).await.unwrap();
        let cities: Vec<&str> =
            versions.iter().map(|fact| fact.text.rsplit(' ').next().unwrap()).collect();
        assert_eq!(cities, told.values().copied().collect::<Vec<_>>());
        cases += 2;
    }
    assert!(cases >= 300, "{cases}");
    let all = memory.list(&scope(), &Page { after: None, limit: 1_000 }).await.unwrap();
    assert_eq!(all.len(), 40);
    assert!(store.doctor().await.unwrap().is_sound());
    // The same from the file.
    let path = _folder.path().join("assistant.db");
    store.close().await.unwrap();
    let (_store, memory) = super::open(&path).await;
    let again = memory.list(&scope(), &Page { after: None, limit: 1_000 }).await.unwrap();
    assert_eq!(again, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_is_not_true_any_more_and_what_has_not_begun_not_yet() {
    let (_folder, _store, memory) = fresh().await;
    let far = 99_999_999_999_999;
    let facts = vec![
        fact("a", "the offer of apples", 1_000).valid_to(Timestamp(2_000)),
        fact("b", "the offer of bananas", 1_000).valid_from(Timestamp(far)),
        fact("c", "the offer of cherries", 1_000)
            .valid_from(Timestamp(10))
            .valid_to(Timestamp(far)),
    ];
    memory.remember(&scope(), facts).await.unwrap();
    let now = texts(&memory, &Query::new("offer", 5)).await;
    assert_eq!(now, ["the offer of cherries"]);
    let then = texts(&memory, &Query::new("offer of apples", 5).as_of(Timestamp(1_500))).await;
    assert_eq!(then, ["the offer of apples", "the offer of cherries"]);
    let later = texts(&memory, &Query::new("offer", 5).as_of(Timestamp(far))).await;
    assert_eq!(later, ["the offer of bananas"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_backwards_loses_nothing() {
    let (_folder, _store, memory) = fresh().await;
    let tell = async |text: &str, at| {
        memory.remember(&scope(), vec![fact("city", text, at)]).await.unwrap();
    };
    tell("lives in Paris", 5_000).await;
    tell("lives in Rome", 3_000).await;
    assert_eq!(texts(&memory, &Query::new("lives in", 5)).await, ["lives in Rome"]);
    let versions = memory.versions(&scope(), "city").await.unwrap();
    let texts: Vec<&str> = versions.iter().map(|fact: &Fact| fact.text.as_str()).collect();
    assert_eq!(texts, ["lives in Paris", "lives in Rome"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_tell_the_same_again_adds_nothing() {
    let (_folder, _store, memory) = fresh().await;
    for at in [1_000, 2_000, 3_000] {
        memory.remember(&scope(), vec![fact("1", "likes tea", at)]).await.unwrap();
    }
    assert_eq!(memory.versions(&scope(), "1").await.unwrap().len(), 1);
    let then = Query::new("tea", 5).as_of(Timestamp(1_500));
    assert_eq!(texts(&memory, &then).await, ["likes tea"]);
}
