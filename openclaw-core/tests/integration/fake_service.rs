//! The kit for fakes, from the side of a client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use openclaw_core::{
    ErrorKind, Result, async_trait,
    bytes::Bytes,
    http::{Request, Response, StatusCode},
    http_client::{Body, HttpClient as _},
    serde_json::json,
    testing::fake_service::{
        ANY, Answer, FakeService, Fault, Faults, LoopbackClient, MAX_BODY_BYTES, Service, answer,
        json_answer,
    },
};

/// A service that counts what it was asked to do.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Counter {
    fn done(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Service for Counter {
    async fn call(&self, request: Request<Bytes>) -> Answer {
        self.0.fetch_add(1, Ordering::SeqCst);
        json_answer(200, &json!({ "path": request.uri().path(), "bytes": request.body().len() }))
    }

    fn refuse(&self, _: &Request<Bytes>, status: StatusCode, retry_after: Option<u64>) -> Answer {
        json_answer(status.as_u16(), &json!({ "again": retry_after }))
    }
}

async fn ask(service: &FakeService, path: &str) -> Result<Response<Body>> {
    let request = Request::post(format!("{}{path}", service.url())).body(Bytes::from("hello"));
    LoopbackClient::new().send(request.unwrap()).await
}

async fn text(response: Response<Body>) -> Result<String> {
    let pieces: Vec<Bytes> = response.into_body().try_collect().await?;
    Ok(String::from_utf8(pieces.concat()).unwrap())
}

#[tokio::test]
async fn each_fault_is_what_a_client_sees_and_says_whether_the_request_counted() {
    let counter = Counter::default();
    let service = FakeService::start(counter.clone()).await.unwrap();
    // The fault, the status that the client gets if it gets an answer, and the requests handled.
    let cases = [
        (Fault::Pass, Some(200), 1),
        (Fault::Drop, None, 0),
        (Fault::Delay(Duration::from_millis(1)), Some(200), 1),
        (Fault::Status(502), Some(502), 0),
        (Fault::RateLimited { retry_after: 7 }, Some(429), 0),
        (Fault::Slow { bytes: 5, pause: Duration::from_millis(1) }, Some(200), 1),
        (Fault::Cut { after: 3 }, Some(200), 1),
        (Fault::ThenStatus(500), Some(500), 1),
        (Fault::ThenDrop, None, 1),
    ];
    for (fault, status, handled) in cases {
        let before = counter.done();
        service.faults().once("/a", fault.clone());
        let response = ask(&service, "/a").await;
        let got = response.as_ref().ok().map(|response| response.status().as_u16());
        assert_eq!(got, status, "{fault:?}");
        match response {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{fault:?}"),
            Ok(response) => match (&fault, text(response).await) {
                (Fault::Cut { .. }, body) => assert!(body.is_err(), "{body:?}"),
                (Fault::RateLimited { .. }, body) => assert_eq!(body.unwrap(), r#"{"again":7}"#),
                (Fault::Status(_) | Fault::ThenStatus(_), body) => {
                    assert_eq!(body.unwrap(), r#"{"again":null}"#);
                }
                (_, body) => assert_eq!(body.unwrap(), r#"{"bytes":5,"path":"/a"}"#),
            },
        }
        assert_eq!(counter.done() - before, handled, "{fault:?}");
        let last = service.received().pop().unwrap();
        assert_eq!(last.fault, Some(fault).filter(|fault| *fault != Fault::Pass));
    }
    assert_eq!(service.count("/a"), 9);
    assert_eq!(service.faults().played().len(), 8);
}

#[tokio::test]
async fn a_cut_answer_gives_what_was_sent_before_it() {
    let service = FakeService::start(Counter::default()).await.unwrap();
    service.faults().once(ANY, Fault::Cut { after: 6 });
    let mut body = ask(&service, "/a").await.unwrap().into_body();
    let mut got = Vec::new();
    let error = loop {
        match body.next().await.expect("an answer of known length does not end early") {
            Ok(piece) => got.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(got, br#"{"byte"#);
}

#[tokio::test]
async fn slow_answers_come_in_pieces() {
    let service = FakeService::start(|_: Request<Bytes>| async {
        answer(200, "text/plain", "0123456789".repeat(50))
    })
    .await
    .unwrap();
    service.faults().once(ANY, Fault::Slow { bytes: 4, pause: Duration::from_millis(1) });
    let body = ask(&service, "/").await.unwrap().into_body();
    let pieces: Vec<Bytes> = body.try_collect().await.unwrap();
    assert!(pieces.len() > 1, "{pieces:?}");
    assert_eq!(pieces.concat(), "0123456789".repeat(50).as_bytes());
}

#[tokio::test]
async fn a_request_that_is_held_ends_with_its_client() {
    /// Tells when it is dropped.
    struct Told(tokio::sync::mpsc::UnboundedSender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (sender, mut dropped) = tokio::sync::mpsc::unbounded_channel();
    let service = FakeService::start(move |_: Request<Bytes>| {
        let told = Told(sender.clone());
        async move {
            let _told = told;
            std::future::pending::<Answer>().await
        }
    })
    .await
    .unwrap();
    let waiting = ask(&service, "/poll");
    tokio::select! {
        _ = waiting => panic!("nobody answers"),
        () = service.wait_for("/poll", 1) => {}
    }
    dropped.recv().await.unwrap();
}

#[tokio::test]
async fn answers_may_go_on_while_the_client_listens() {
    let service = FakeService::start(|_: Request<Bytes>| async {
        let ticks = stream::repeat_with(|| Ok(Bytes::from("tick")));
        Response::new(ticks.boxed())
    })
    .await
    .unwrap();
    let body = ask(&service, "/").await.unwrap().into_body();
    let pieces: Vec<Bytes> = body.take(5).try_collect().await.unwrap();
    assert_eq!(pieces.len(), 5);
}

#[tokio::test]
async fn an_outage_lasts_until_it_is_lifted() {
    let service = FakeService::start(Counter::default()).await.unwrap();
    service.faults().always(ANY, Fault::Drop);
    for _ in 0..3 {
        assert!(ask(&service, "/a").await.is_err());
    }
    service.faults().clear();
    assert_eq!(ask(&service, "/a").await.unwrap().status(), 200);
}

#[tokio::test]
async fn it_comes_back_on_its_port_and_ends_when_dropped() {
    let service = FakeService::start(Counter::default()).await.unwrap();
    let (port, url) = (service.port(), service.url());
    let taken = FakeService::start_on(port, Counter::default()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    drop(service);
    let again = loop {
        // The port is free once the old server's task has ended.
        match FakeService::start_on(port, Counter::default()).await {
            Ok(service) => break service,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(again.url(), url);
    assert_eq!(ask(&again, "/a").await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_was_received_is_kept_and_not_printed() {
    let service = FakeService::start(Counter::default()).await.unwrap();
    let url = format!("{}/bot123:token/send?key=sk-1", service.url());
    let request = Request::post(url).header("authorization", "Bearer sk-2");
    let request = request.body(Bytes::from(r#"{"password":"sk-3"}"#)).unwrap();
    LoopbackClient::new().send(request).await.unwrap();
    let received = service.received().pop().unwrap();
    assert_eq!(received.header("Authorization"), Some("Bearer sk-2"));
    assert_eq!(received.json()["password"], "sk-3");
    assert!(received.path.ends_with("?key=sk-1"));
    let shown = format!("{received:?} {service:?}");
    assert!(!shown.contains("sk-"), "{shown}");

    service.record(1);
    ask(&service, "/b").await.unwrap();
    ask(&service, "/c").await.unwrap();
    assert_eq!(service.received().len(), 1);
    assert_eq!((service.count("/b"), service.count("/c")), (1, 1));
}

#[tokio::test]
async fn too_long_a_body_is_refused_before_it_is_kept() {
    let counter = Counter::default();
    let service = FakeService::start(counter.clone()).await.unwrap();
    let body = Bytes::from(vec![0; MAX_BODY_BYTES + 1]);
    let request = Request::post(service.url()).body(body).unwrap();
    // The server answers without reading on, so the client sees the answer or a broken connection.
    if let Ok(response) = LoopbackClient::new().send(request).await {
        assert_eq!(response.status(), 413);
    }
    assert_eq!((counter.done(), service.received().len()), (0, 0));
}

#[tokio::test]
async fn the_client_reaches_this_machine_alone() {
    for url in ["http://example.com/", "https://127.0.0.1/", "http://192.168.0.1/"] {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        let error = LoopbackClient::new().send(request).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
    }
}

#[test]
fn faults_without_a_server_count_too() {
    let faults = Faults::new();
    faults.script("publish", [Fault::Pass, Fault::Drop]);
    assert_eq!(faults.take("publish"), None);
    assert_eq!(faults.take("publish"), Some(Fault::Drop));
    assert_eq!(faults.take("publish"), None);
    assert_eq!(faults.played().len(), 1);
}
