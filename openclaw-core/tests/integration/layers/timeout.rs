//! Limits on time.

use openclaw_core::layer::{Layer, TimeoutLayer};
use tokio::time::Instant;

use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

async fn timed(layer: TimeoutLayer, answer: Answer) -> (Result<Completion>, u64) {
    let provider = layer.layer(Fake::new([answer]) as Arc<dyn Provider>);
    let started = Instant::now();
    let result = ask(&provider).await;
    (result, started.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn each_limit_ends_what_is_too_slow() {
    let slow_later = || {
        Ok(vec![(secs(1), Ok(text("a"))), (secs(30), Ok(text("b"))), (secs(1), Ok(finish(1, 1)))])
    };
    let slow_first = || after(secs(30), "late");
    let many = || Ok((0..100).map(|_| (secs(1), Ok(text("x")))).collect());
    let none = TimeoutLayer::new();
    // the limits, the answer, and after how many seconds it is over, unless it is whole
    let table: [(TimeoutLayer, Answer, Option<u64>, &str); 8] = [
        (none, slow_first(), None, ""),
        (none.first_event(secs(10)), slow_first(), Some(10), "first event"),
        (none.first_event(secs(31)), slow_first(), None, ""),
        (none.first_event(secs(10)), slow_later(), None, ""),
        (none.between_events(secs(10)), slow_later(), Some(11), "next event"),
        (none.between_events(secs(10)), slow_first(), Some(40), "next event"),
        (none.between_events(secs(10)).whole(secs(40)), many(), Some(40), "whole"),
        (none.first_event(secs(50)).whole(secs(20)), slow_first(), Some(20), "whole"),
    ];
    for (index, (layer, answer, over, what)) in table.into_iter().enumerate() {
        let (result, took) = timed(layer, answer).await;
        match (over, result) {
            (None, Ok(_)) => {}
            (Some(over), Err(error)) => {
                assert_eq!((error.kind(), took), (ErrorKind::Timeout, over), "row {index}");
                assert!(error.to_string().contains(what), "row {index}: {error}");
                assert!(error.is_transient());
            }
            (over, result) => panic!("row {index}: {result:?}, expected an end at {over:?}"),
        }
    }
}

/// A provider that never answers.
struct Stuck(ProviderId);

#[async_trait]
impl Provider for Stuck {
    fn id(&self) -> &ProviderId {
        &self.0
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(Vec::new())
    }

    async fn stream(&self, _: &CallContext, _: &CompletionRequest) -> Result<CompletionStream> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_that_the_service_takes_to_accept_counts() {
    let provider = TimeoutLayer::new()
        .first_event(secs(7))
        .layer(Arc::new(Stuck("stuck".into())) as Arc<dyn Provider>);
    let started = Instant::now();
    assert_eq!(ask(&provider).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(started.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn a_tool_declares_the_shorter_time() {
    let layered = |declared: Option<Duration>, limit| {
        struct Timed(Option<Duration>);
        #[async_trait]
        impl Tool for Timed {
            fn spec(&self) -> ToolSpec {
                let spec = ToolSpec::new("timed", "Takes its time");
                match self.0 {
                    Some(timeout) => spec.timeout(timeout),
                    None => spec,
                }
            }
            async fn call(&self, _: ToolContext) -> Result<ToolOutput> {
                Ok("done".into())
            }
        }
        let tool: Arc<dyn Tool> = Arc::new(Timed(declared));
        TimeoutLayer::new().whole(limit).layer(tool).spec().timeout
    };
    assert_eq!(layered(None, secs(5)), Some(secs(5)));
    assert_eq!(layered(Some(secs(3)), secs(5)), Some(secs(3)));
    assert_eq!(layered(Some(secs(300)), secs(5)), Some(secs(5)));
    // The default is 60 s, and a layer never gives more.
    assert_eq!(layered(None, secs(500)), Some(secs(60)));
}
