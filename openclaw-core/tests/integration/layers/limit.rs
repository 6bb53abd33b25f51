//! Limits on how much runs at once and how much a minute.

use openclaw_core::{
    layer::{Layer, LimitLayer},
    time::Cancel,
};
use tokio::time::Instant;

use super::*;

fn limited(layer: LimitLayer, fake: &Arc<Fake>) -> Arc<dyn Provider> {
    layer.layer(fake.clone() as Arc<dyn Provider>)
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_until_the_stream_ended_or_was_dropped() {
    let second = Duration::from_secs(1);
    let fake = Fake::new((0..4).map(|_| after(second, "hi")));
    let provider = limited(LimitLayer::new().concurrency(1), &fake);
    let (cx, request) = (CallContext::new(), request());

    // Held though nobody reads it: the next one waits.
    let held = provider.stream(&cx, &request).await.unwrap();
    let waiting = tokio::time::timeout(second, provider.stream(&cx, &request)).await;
    assert!(waiting.is_err());
    assert_eq!(fake.asked(), 1);
    drop(held);
    let mut next = provider.stream(&cx, &request).await.unwrap();
    // Free with the finish, though the stream is still there.
    while next.next().await.is_some() {}
    let started = Instant::now();
    let last = provider.stream(&cx, &request).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    drop((next, last));
}

#[tokio::test(start_paused = true)]
async fn so_many_run_at_once() {
    let second = Duration::from_secs(1);
    let fake = Fake::new((0..6).map(|_| after(second, "hi")));
    let provider = limited(LimitLayer::new().concurrency(2), &fake);
    let started = Instant::now();
    let all = futures_util::future::join_all((0..6).map(|_| ask(&provider))).await;
    assert!(all.iter().all(Result::is_ok));
    // Three rounds of two, each of two events a second apart.
    assert_eq!(started.elapsed().as_secs(), 6);
}

#[tokio::test(start_paused = true)]
async fn failures_give_their_place_back() {
    let answers =
        [refuses(ErrorKind::Denied), fails_midway(ErrorKind::Unavailable), Ok(vec![]), says("hi")];
    let provider = limited(LimitLayer::new().concurrency(1), &Fake::new(answers));
    for _ in 0..3 {
        assert!(ask(&provider).await.is_err());
    }
    assert_eq!(ask(&provider).await.unwrap().text, "hi");
}

#[tokio::test(start_paused = true)]
async fn so_many_requests_a_minute() {
    let fake = Fake::new((0..12).map(|_| says("hi")));
    let provider = limited(LimitLayer::new().requests_per_minute(6), &fake);
    let started = Instant::now();
    for _ in 0..12 {
        ask(&provider).await.unwrap();
    }
    // Six at once, and then one each ten seconds.
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_settled_by_what_was_used() {
    // Each uses 600 tokens by the provider's word, far more than its input looked like.
    let used = || Ok(vec![(Duration::ZERO, Ok(finish(500, 100)))]);
    let fake = Fake::new((0..4).map(|_| used()));
    let provider = limited(LimitLayer::new().tokens_per_minute(600), &fake);
    let started = Instant::now();
    ask(&provider).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    ask(&provider).await.unwrap();
    ask(&provider).await.unwrap();
    let waited = started.elapsed().as_secs();
    assert!((60..70).contains(&waited), "waited {waited} s for 1,200 tokens at 600 a minute");
}

#[tokio::test(start_paused = true)]
async fn waiting_can_be_cancelled() {
    let fake = Fake::new((0..3).map(|_| after(Duration::from_secs(60), "hi")));
    let layer = LimitLayer::new().concurrency(1);
    for provider in
        [limited(layer, &fake), limited(LimitLayer::new().requests_per_minute(1), &fake)]
    {
        let _held = provider.stream(&CallContext::new(), &request()).await.unwrap();
        let cancel = Cancel::new();
        let cx = CallContext::new().with_cancel(cancel.clone());
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cancel.cancel();
        };
        let (result, ()) = tokio::join!(ask_with(&provider, &cx), stop);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    }
    assert_eq!(fake.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn tools_run_so_many_at_once() {
    struct Slow(AtomicU32, AtomicU32);
    #[async_trait]
    impl Tool for Slow {
        fn spec(&self) -> ToolSpec {
            ToolSpec::new("slow", "Takes a second")
        }
        async fn call(&self, _: ToolContext) -> Result<ToolOutput> {
            let running = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            self.1.fetch_max(running, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.0.fetch_sub(1, Ordering::SeqCst);
            Ok("done".into())
        }
    }
    let slow = Arc::new(Slow(AtomicU32::new(0), AtomicU32::new(0)));
    let tool = LimitLayer::new().concurrency(3).layer(slow.clone() as Arc<dyn Tool>);
    futures_util::future::join_all((0..9).map(|_| tool.call(call()))).await;
    assert_eq!(slow.1.load(Ordering::SeqCst), 3);
}
