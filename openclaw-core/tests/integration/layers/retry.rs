//! Retries by the error's advice.

use openclaw_core::{
    layer::{Layer, RetryLayer},
    testing::{SeededEntropy, TestCall},
    time::Cancel,
};
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

const BASE: Duration = Duration::from_secs(1);

fn layer(times: u32) -> RetryLayer {
    RetryLayer::times(times).base(BASE).entropy(Arc::new(SeededEntropy::new(1)))
}

fn wrapped(fake: &Arc<Fake>, layer: &RetryLayer) -> Arc<dyn Provider> {
    layer.layer(fake.clone() as Arc<dyn Provider>)
}

#[tokio::test(start_paused = true)]
async fn advice_decides() {
    use ErrorKind as K;
    let after = |secs| Retry::After(Duration::from_secs(secs));
    // kind, advice, tries of a provider that always fails, least and most seconds waited
    let table = [
        (K::InvalidInput, Retry::Never, 1, 0.0, 0.0),
        (K::Unavailable, Retry::Never, 1, 0.0, 0.0),
        (K::Unavailable, Retry::Backoff, 4, 3.5, 7.0),
        (K::InvalidInput, Retry::Backoff, 4, 3.5, 7.0),
        (K::RateLimited, after(0), 4, 0.0, 0.0),
        (K::RateLimited, after(40), 4, 120.0, 120.0),
        // Longer than any pause of its own choice, but within the limit on all.
        (K::RateLimited, after(100), 2, 100.0, 100.0),
        (K::RateLimited, after(3600), 1, 0.0, 0.0),
    ];
    for (kind, advice, tries, least, most) in table {
        let fake = Fake::new((0..9).map(|_| refuses_with(kind, advice)));
        let started = Instant::now();
        let error = ask(&wrapped(&fake, &layer(3))).await.unwrap_err();
        let waited = started.elapsed().as_secs_f64();
        assert_eq!((error.kind(), error.retry()), (kind, advice));
        assert_eq!(fake.asked(), tries, "{kind:?} {advice:?}");
        // A timer of tokio's is exact to the millisecond.
        assert!((least..=most + 0.01).contains(&waited), "{kind:?} {advice:?} waited {waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_the_first_event_is_tried_again() {
    let empty = Ok(Vec::new());
    let answers =
        [refuses(ErrorKind::Timeout), fails_at_once(ErrorKind::Unavailable), empty, says("hi")];
    let fake = Fake::new(answers);
    assert_eq!(ask(&wrapped(&fake, &layer(3))).await.unwrap().text, "hi");
    assert_eq!(fake.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_fails_later_is_passed_through() {
    let fake = Fake::new([fails_midway(ErrorKind::Unavailable), says("never asked")]);
    let provider = wrapped(&fake, &layer(3));
    let stream = provider.stream(&CallContext::new(), &request()).await.unwrap();
    let events: Vec<_> = stream.collect().await;
    assert_eq!(events[0].as_ref().unwrap(), &text("half"));
    assert_eq!(events[1].as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!((events.len(), fake.asked()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_pause_ends_at_once() {
    let fake =
        Fake::new([refuses_with(ErrorKind::RateLimited, Retry::After(Duration::from_secs(100)))]);
    let provider = wrapped(&fake, &layer(3));
    let cancel = Cancel::new();
    let cx = CallContext::new().with_cancel(cancel.clone());
    let started = Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(ask_with(&provider, &cx), stop);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(started.elapsed().as_secs(), 5);
    // And what is cancelled already is not tried again: the error itself comes back.
    let fake = Fake::new([refuses(ErrorKind::Unavailable)]);
    let error = ask_with(&wrapped(&fake, &layer(3)), &cx).await.unwrap_err();
    assert_eq!((error.kind(), fake.asked()), (ErrorKind::Unavailable, 1));
}

#[tokio::test(start_paused = true)]
async fn only_repeatable_tools_are_tried_again() {
    for (effect, calls) in [
        (Effect::Pure, 3),
        (Effect::ReadOnly, 3),
        (Effect::Idempotent, 3),
        (Effect::Compensable, 1),
        (Effect::Irreversible, 1),
    ] {
        let flaky = Flaky::new(effect, 2);
        let tool = layer(3).layer(flaky.clone() as Arc<dyn Tool>);
        assert_eq!(tool.call(call()).await.is_ok(), calls == 3, "{effect:?}");
        assert_eq!(flaky.calls(), calls, "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_is_not_tried_beyond_its_own_time() {
    let flaky = Flaky::new(Effect::ReadOnly, 9);
    let tool = layer(9).layer(flaky.clone() as Arc<dyn Tool>);
    let call = TestCall::new("flaky", json!({})).timeout(Duration::from_secs(2));
    let started = Instant::now();
    assert_eq!(tool.call(call.context()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(started.elapsed() <= Duration::from_secs(2));
    assert!(flaky.calls() > 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pauses grow, stay within their bounds, and follow from the seed.
    #[test]
    fn pauses_are_bounded_and_repeatable(seed: u64, cap_secs in 1u64..20) {
        let cap = Duration::from_secs(cap_secs);
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let fake = Fake::new((0..7).map(|_| refuses(ErrorKind::Unavailable)));
                let layer = RetryLayer::times(6).base(BASE).cap(cap).within(Duration::from_secs(600))
                    .entropy(Arc::new(SeededEntropy::new(seed)));
                let started = Instant::now();
                let _ = ask(&wrapped(&fake, &layer)).await;
                (fake.asked(), started.elapsed())
            })
        };
        let (asked, waited) = run();
        let most: Duration = (0..6).map(|n| (BASE * 2_u32.pow(n)).min(cap)).sum();
        prop_assert_eq!(asked, 7);
        prop_assert!(waited >= most / 2 && waited <= most + Duration::from_millis(10));
        prop_assert_eq!(run(), (asked, waited));
    }
}
