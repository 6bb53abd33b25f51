//! Budgets that hold.

use std::collections::BTreeMap;

use openclaw_core::{
    access::Principal,
    layer::{
        BudgetLayer, Cap, Capped, Layer, Ledger, Payer, SPEND_SPACE, UnknownPrice,
        worst_case_input_tokens,
    },
    provider::Price,
    store::{NewOutbound, Record, RecordKey, RecordStore, RecordWrite},
    testing::{SeededEntropy, TestClock},
    time::{Clock as _, Timestamp},
};
use proptest::prelude::*;

use super::*;

/// Records in this process. Each call gives way a few times, as a seed has it, so that others come
/// in between.
struct Records {
    rows: Mutex<BTreeMap<RecordKey, (u64, String)>>,
    pauses: Option<SeededEntropy>,
    fails: Mutex<Option<ErrorKind>>,
}

impl Records {
    fn new() -> Arc<Self> {
        Self::with_pauses(None)
    }

    fn with_pauses(pauses: Option<SeededEntropy>) -> Arc<Self> {
        Arc::new(Self { rows: Mutex::default(), pauses, fails: Mutex::default() })
    }

    async fn give_way(&self) {
        if let Some(pauses) = &self.pauses {
            for _ in 0..pauses.below(4) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The amounts of all books.
    fn books(&self) -> BTreeMap<String, u64> {
        let rows = self.rows.lock().unwrap();
        let amount = |value: &str| {
            serde_json::from_str::<serde_json::Value>(value).unwrap()["micro_usd"].as_u64().unwrap()
        };
        rows.iter().map(|(key, (_, value))| (key.name.clone(), amount(value))).collect()
    }
}

#[async_trait]
impl RecordStore for Records {
    async fn record(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.give_way().await;
        let rows = self.rows.lock().unwrap();
        Ok(rows.get(key).map(|(version, value)| Record {
            key: key.clone(),
            version: *version,
            value: value.clone(),
        }))
    }

    async fn records(
        &self,
        _space: &str,
        _prefix: &str,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Vec<Record>> {
        Err(Error::new(ErrorKind::Unsupported, "the ledger lists nothing"))
    }

    async fn write(&self, records: Vec<RecordWrite>, _outbox: Vec<NewOutbound>) -> Result<()> {
        self.give_way().await;
        {
            if let Some(kind) = *self.fails.lock().unwrap() {
                return Err(Error::new(kind, "the disk is gone"));
            }
            let mut rows = self.rows.lock().unwrap();
            fn version(rows: &BTreeMap<RecordKey, (u64, String)>, key: &RecordKey) -> u64 {
                rows.get(key).map_or(0, |row| row.0)
            }
            for write in &records {
                if write.expect.is_some_and(|expected| expected != version(&rows, &write.key)) {
                    return Err(Error::new(ErrorKind::Conflict, "the version is another"));
                }
            }
            for write in records {
                let next = version(&rows, &write.key) + 1;
                rows.insert(write.key, (next, write.value.unwrap()));
            }
        }
        // Done, and the answer still under way: who is dropped here has written.
        self.give_way().await;
        Ok(())
    }
}

/// A dollar a million tokens read, two written: a micro-dollar a token.
const PRICE: Price =
    Price { input: 1_000_000, cached_input: 100_000, cache_write: None, output: 2_000_000 };
const TODAY: &str = "2026-06-01";

struct Bench {
    records: Arc<Records>,
    clock: TestClock,
    fake: Arc<Fake>,
    provider: Arc<dyn Provider>,
}

fn bench(answers: impl IntoIterator<Item = Answer>, caps: &[(Capped, u64)]) -> Bench {
    let (records, clock, fake) = (Records::new(), TestClock::new(), Fake::new(answers));
    let ledger = Ledger::new(records.clone(), Arc::new(clock.clone()));
    let layer = caps
        .iter()
        .fold(BudgetLayer::new(ledger), |layer, (capped, most)| {
            layer.cap(Cap::new(capped.clone(), *most))
        })
        .price("small", PRICE)
        .max_output_tokens(100);
    let provider = layer.layer(fake.clone() as Arc<dyn Provider>);
    Bench { records, clock, fake, provider }
}

impl Bench {
    fn book(&self, scope: &str) -> u64 {
        self.records.books().get(&format!("{scope}/{TODAY}")).copied().unwrap_or(0)
    }
}

fn by(agent: &str, principal: Principal) -> CallContext {
    CallContext::new().on_behalf_of(agent.into(), principal)
}

/// The most that [`request`] can cost.
fn worst() -> u64 {
    worst_case_input_tokens(&request()) + 2 * 100
}

#[tokio::test(start_paused = true)]
async fn reserves_the_worst_before_and_settles_what_was_used() {
    let bench = bench([says("hi")], &[]);
    let cx = by("main", Principal::Owner);
    let stream = bench.provider.stream(&cx, &request()).await.unwrap();
    for scope in ["everyone", "agent:main", "principal:owner"] {
        assert_eq!(bench.book(scope), worst(), "{scope}");
    }
    // The limit on the output is what makes the worst case true.
    assert_eq!(bench.fake.last_request().max_output_tokens, Some(100));
    Completion::collect(stream, |_| {}).await.unwrap();
    for scope in ["everyone", "agent:main", "principal:owner"] {
        assert_eq!(bench.book(scope), 10 + 2 * 5, "{scope}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_providers_own_figure_comes_first_and_silence_counts_as_the_worst() {
    let cost = |usage: Usage| {
        Ok(vec![(
            Duration::ZERO,
            Ok(CompletionEvent::Finish { reason: FinishReason::Stop, usage }),
        )])
    };
    let mut stated = Usage::new(10, 5);
    stated.cost_micro_usd = Some(77);
    let bench = bench([cost(stated), cost(Usage::default())], &[]);
    ask(&bench.provider).await.unwrap();
    assert_eq!(bench.book("everyone"), 77);
    ask(&bench.provider).await.unwrap();
    assert_eq!(bench.book("everyone"), 77 + worst());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_counts_as_spent_and_a_refusal_does_not() {
    use ErrorKind as K;
    for (answer, spent) in [
        (refuses(K::RateLimited), 0),
        (refuses(K::Unauthenticated), 0),
        (refuses(K::Timeout), worst()),
        (fails_midway(K::Unavailable), worst()),
        (Ok(vec![]), worst()),
    ] {
        let bench = bench([answer], &[]);
        assert!(ask(&bench.provider).await.is_err());
        assert_eq!(bench.book("everyone"), spent);
    }
    let bench = bench([says("hi")], &[]);
    let mut stream = bench.provider.stream(&CallContext::new(), &request()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(bench.book("everyone"), worst());
}

#[tokio::test(start_paused = true)]
async fn each_cap_refuses_with_its_name_and_when_it_resets() {
    let ada = || Principal::Service { name: "ada-7".into() };
    let close = 100_000 - 1;
    // the cap, what the public text names
    for (capped, named) in [
        (Capped::Everyone, "everyone"),
        (Capped::EachAgent, "agent main"),
        (Capped::Agent("main".into()), "agent main"),
        (Capped::EachPrincipal, "your budget"),
        (Capped::Principal(ada()), "your budget"),
    ] {
        let bench = bench([says("hi"), says("ho")], &[(capped.clone(), 100_000)]);
        let cx = by("main", ada());
        let ledger = Ledger::new(bench.records.clone(), Arc::new(bench.clock.clone()));
        let payers = [Payer::Everyone, Payer::Agent("main".into()), Payer::Principal(ada())];
        let charge = ledger.reserve(&payers, &[], close).await.unwrap();
        assert_eq!(charge.reserved(), close);

        let error = ask_with(&bench.provider, &cx).await.unwrap_err();
        assert_eq!((error.kind(), bench.fake.asked()), (ErrorKind::Exhausted, 0));
        let public = error.public_text();
        assert!(public.contains(named) && public.contains("2026-06-02T00:00:00Z"), "{public}");
        assert!(!public.contains("ada-7"), "{public}");
        assert!(error.to_string().contains("0.10 USD"), "{error}");
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(12 * 3600)));
        assert_eq!(bench.book("everyone"), close, "what was refused is not booked");

        // Whom the cap is not about, and the next day, are not concerned.
        if !matches!(capped, Capped::Everyone) {
            ask_with(&bench.provider, &by("other", Principal::Owner)).await.unwrap();
        }
        bench.clock.advance(Duration::from_secs(12 * 3600));
        ask_with(&bench.provider, &cx).await.unwrap();
        // A clock that is set back finds the old book as it was left.
        bench.clock.set_back(Duration::from_secs(3600));
        assert!(ask_with(&bench.provider, &cx).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_settlement_goes_into_the_book_of_its_reservation() {
    let bench = bench([after(Duration::from_secs(1), "hi")], &[]);
    let stream = bench.provider.stream(&CallContext::new(), &request()).await.unwrap();
    bench.clock.advance(Duration::from_secs(24 * 3600));
    Completion::collect(stream, |_| {}).await.unwrap();
    assert_eq!(bench.book("everyone"), 20);
    assert!(bench.records.books().keys().all(|name| name.ends_with(TODAY)));
}

#[tokio::test(start_paused = true)]
async fn what_names_nobody_still_pays() {
    let bench = bench([says("hi")], &[(Capped::EachAgent, worst())]);
    ask(&bench.provider).await.unwrap();
    assert_eq!((bench.book("agent:unknown"), bench.book("principal:gateway")), (20, 20));
    assert!(ask(&bench.provider).await.is_err(), "20 and the worst case pass the cap");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_price_is_refused_unless_allowed() {
    let ledger = || Ledger::new(Records::new(), Arc::new(TestClock::new()));
    let fake = Fake::new([says("hi"), says("hi")]);
    let refusing = BudgetLayer::new(ledger()).layer(fake.clone() as Arc<dyn Provider>);
    let error = ask(&refusing).await.unwrap_err();
    assert_eq!((error.kind(), fake.asked()), (ErrorKind::Denied, 0));
    assert!(error.to_string().contains("\"small\"") && error.to_string().contains("price"));

    let layer = BudgetLayer::new(ledger()).unknown_price(UnknownPrice::Allow);
    ask(&layer.layer(fake.clone() as Arc<dyn Provider>)).await.unwrap();

    // What the provider lists is a price, too.
    let mut model = ModelInfo::new("small");
    model.price = Some(PRICE);
    let priced = Fake::with_models("priced", [says("hi")], vec![model]);
    let ledger = ledger();
    ask(&BudgetLayer::new(ledger.clone()).layer(priced as Arc<dyn Provider>)).await.unwrap();
    assert_eq!(ledger.spent_today(&Payer::Everyone).await.unwrap().micro_usd, 20);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_stops_spending() {
    let bench = bench([says("hi"), says("ho")], &[]);
    *bench.records.fails.lock().unwrap() = Some(ErrorKind::Exhausted);
    assert_eq!(ask(&bench.provider).await.unwrap_err().to_string(), "the disk is gone");
    assert_eq!(bench.fake.asked(), 0);

    // One that fails between leaves the reservation, and the answer is not lost.
    *bench.records.fails.lock().unwrap() = None;
    let stream = bench.provider.stream(&CallContext::new(), &request()).await.unwrap();
    *bench.records.fails.lock().unwrap() = Some(ErrorKind::Unavailable);
    assert_eq!(Completion::collect(stream, |_| {}).await.unwrap().text, "hi");
    assert_eq!(bench.book("everyone"), worst());
}

#[tokio::test(start_paused = true)]
async fn a_book_that_cannot_be_read_stops_spending() {
    let bench = bench([says("hi")], &[]);
    let key = RecordKey::new(SPEND_SPACE, format!("everyone/{TODAY}"));
    let write = RecordWrite { key, expect: Some(0), value: Some("[]x".to_owned()) };
    bench.records.write(vec![write], Vec::new()).await.unwrap();
    let error = ask(&bench.provider).await.unwrap_err();
    assert_eq!((error.kind(), bench.fake.asked()), (ErrorKind::InvalidData, 0));
    assert!(error.to_string().contains("everyone/2026-06-01"), "{error}");
}

/// What becomes of a charge.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is settled with this.
    Settled(u64),
    /// The process dies after the reservation.
    Lost,
    /// The process dies this many steps into the reservation.
    Cut(u32),
}

fn fates() -> impl Strategy<Value = (usize, u64, Fate)> {
    let fate = |worst: u64| {
        prop_oneof![
            4 => (0..=worst).prop_map(Fate::Settled),
            1 => Just(Fate::Lost),
            1 => (0u32..12).prop_map(Fate::Cut),
        ]
    };
    (0usize..3, 1u64..40)
        .prop_flat_map(move |(agent, worst)| (Just(agent), Just(worst), fate(worst)))
}

const CAP_ALL: u64 = 100;
const CAP_AGENT: u64 = 60;

/// Money that is really gone or may be: never more than the books say, which never pass a cap.
struct Oracle {
    records: Arc<Records>,
    real: Mutex<BTreeMap<String, u64>>,
}

impl Oracle {
    fn add(&self, agent: usize, spent: u64) {
        let mut real = self.real.lock().unwrap();
        for scope in ["everyone".to_owned(), format!("agent:a{agent}")] {
            *real.entry(format!("{scope}/{TODAY}")).or_default() += spent;
        }
        drop(real);
        self.check();
    }

    fn check(&self) {
        let books = self.records.books();
        for (name, booked) in &books {
            let cap = if name.starts_with("everyone") { CAP_ALL } else { CAP_AGENT };
            assert!(*booked <= cap, "{name}: {booked} is booked, the cap is {cap}");
        }
        for (name, real) in self.real.lock().unwrap().iter() {
            let booked = books.get(name).copied().unwrap_or(0);
            assert!(*real <= booked, "{name}: {real} is spent, {booked} is booked");
        }
    }
}

async fn charge(ledger: Ledger, oracle: Arc<Oracle>, agent: usize, worst: u64, fate: Fate) {
    let payers = [Payer::Everyone, Payer::Agent(format!("a{agent}").into())];
    let caps = [Cap::new(Capped::Everyone, CAP_ALL), Cap::new(Capped::EachAgent, CAP_AGENT)];
    let reserve = ledger.reserve(&payers, &caps, worst);
    let reserved = if let Fate::Cut(steps) = fate {
        let dying = async {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            reserved = reserve => reserved,
            () = dying => return,
        }
    } else {
        reserve.await
    };
    let charge = match reserved {
        Ok(charge) => charge,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}"),
    };
    // From here on the provider works and money flows.
    match fate {
        Fate::Settled(actual) => {
            oracle.add(agent, actual);
            ledger.settle(charge, actual).await.unwrap();
        }
        Fate::Lost | Fate::Cut(_) => oracle.add(agent, worst),
    }
    oracle.check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Two processes on one store, whatever comes in between and whoever dies: no book passes its cap,
    /// and nothing is spent that no book knows.
    #[test]
    fn caps_hold_under_any_interleaving_and_crash(
        seed: u64,
        charges in proptest::collection::vec(fates(), 1..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let records = Records::with_pauses(Some(SeededEntropy::new(seed)));
            let clock: Arc<TestClock> = Arc::new(TestClock::new());
            prop_assert!(clock.now() > Timestamp(0));
            let ledgers = [(), ()].map(|()| Ledger::new(records.clone(), clock.clone()));
            let oracle = Arc::new(Oracle { records: records.clone(), real: Mutex::default() });
            let tasks: Vec<_> = charges
                .into_iter()
                .enumerate()
                .map(|(index, (agent, worst, fate))| {
                    let ledger = ledgers[index % 2].clone();
                    tokio::spawn(charge(ledger, oracle.clone(), agent, worst, fate))
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            oracle.check();
            Ok(())
        })?;
    }
}
