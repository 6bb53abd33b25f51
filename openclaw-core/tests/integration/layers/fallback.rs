//! Chains of providers.

use openclaw_core::{
    layer::{FALLBACK_KINDS, Fallback},
    time::Cancel,
};

use super::*;

#[tokio::test]
async fn moves_on_by_kind_and_only_before_the_first_event() {
    use ErrorKind as K;
    let all = [
        K::InvalidConfig,
        K::InvalidInput,
        K::Unauthenticated,
        K::Denied,
        K::NotFound,
        K::Conflict,
        K::RateLimited,
        K::Exhausted,
        K::ContextOverflow,
        K::Unavailable,
        K::Timeout,
        K::Cancelled,
        K::InvalidData,
        K::Unsupported,
        K::Internal,
    ];
    for kind in all {
        for answer in [refuses(kind), fails_at_once(kind)] {
            let (first, second) = (Fake::named("a", [answer]), Fake::named("b", [says("hi")]));
            let chain: Arc<dyn Provider> =
                Arc::new(Fallback::new("chain", first).then(second.clone()));
            let result = ask(&chain).await;
            let moves_on = FALLBACK_KINDS.contains(&kind);
            assert_eq!((result.is_ok(), second.asked() == 1), (moves_on, moves_on), "{kind:?}");
        }
    }
    let (first, second) =
        (Fake::named("a", [fails_midway(K::Unavailable)]), Fake::named("b", [says("hi")]));
    let chain: Arc<dyn Provider> = Arc::new(Fallback::new("chain", first).then(second.clone()));
    assert_eq!(ask(&chain).await.unwrap_err().kind(), K::Unavailable);
    assert_eq!(second.asked(), 0, "what was shown is not contradicted");
}

#[tokio::test]
async fn kinds_can_be_chosen() {
    let (first, second) =
        (Fake::named("a", [refuses(ErrorKind::Denied)]), Fake::named("b", [says("hi")]));
    let chain: Arc<dyn Provider> =
        Arc::new(Fallback::new("chain", first).then(second).on([ErrorKind::Denied]));
    assert_eq!(ask(&chain).await.unwrap().text, "hi");
}

#[tokio::test]
async fn each_link_is_asked_for_its_own_model() {
    let overflow = || refuses(ErrorKind::ContextOverflow);
    let cloud = Fake::named("cloud", [overflow(), overflow()]);
    let local = Fake::named("local", [says("hi")]);
    let chain: Arc<dyn Provider> = Arc::new(
        Fallback::new("chain", cloud.clone())
            .then_model(cloud.clone(), "larger")
            .then_model(local.clone(), "largest"),
    );
    assert_eq!(ask(&chain).await.unwrap().text, "hi");
    let models: Vec<_> = cloud.asked.lock().unwrap().iter().map(|r| r.model.clone()).collect();
    assert_eq!(models, ["small".into(), "larger".into()]);
    let mut expected = request();
    expected.model = "largest".into();
    assert_eq!(local.last_request(), expected);
}

#[tokio::test]
async fn the_error_of_all_is_the_one_that_is_worth_another_try() {
    let fakes = [
        Fake::named("a", [refuses(ErrorKind::Unauthenticated)]),
        Fake::named(
            "b",
            [refuses_with(ErrorKind::RateLimited, Retry::After(Duration::from_secs(9)))],
        ),
        Fake::named("c", [refuses(ErrorKind::ContextOverflow)]),
    ];
    let [a, b, c] = fakes;
    let chain: Arc<dyn Provider> = Arc::new(Fallback::new("chain", a).then(b).then(c));
    let error = ask(&chain).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(9)));
    let text = error.to_string();
    assert!(
        text.contains("provider: b") && text.contains("a: refused") && text.contains("c: refused")
    );
}

#[tokio::test]
async fn nobody_is_asked_after_a_cancel() {
    let (first, second) =
        (Fake::named("a", [refuses(ErrorKind::Timeout)]), Fake::named("b", [says("hi")]));
    let chain: Arc<dyn Provider> = Arc::new(Fallback::new("chain", first).then(second.clone()));
    let cancel = Cancel::new();
    cancel.cancel();
    let error = ask_with(&chain, &CallContext::new().with_cancel(cancel)).await.unwrap_err();
    assert_eq!((error.kind(), second.asked()), (ErrorKind::Timeout, 0));
}

#[tokio::test]
async fn lists_the_models_that_requests_can_name() {
    let first = Fake::with_models("a", [], vec![ModelInfo::new("small")]);
    let second = Fake::with_models("b", [], vec![ModelInfo::new("other")]);
    let chain = Fallback::new("chain", first).then_model(second, "other");
    assert_eq!(chain.models().await.unwrap(), [ModelInfo::new("small")]);
    assert_eq!(chain.id().as_str(), "chain");
}
