//! Recordings.

use std::path::PathBuf;

use openclaw_core::layer::{Layer, RecordLayer, RecordMode};

use super::*;

/// A folder of its own for each test; gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("openclaw-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("cassette.jsonl")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wrapped(layer: &RecordLayer, answers: Vec<Answer>) -> (Arc<dyn Provider>, Arc<Fake>) {
    let fake = Fake::new(answers);
    (layer.layer(fake.clone() as Arc<dyn Provider>), fake)
}

async fn events(provider: &Arc<dyn Provider>) -> Vec<String> {
    match provider.stream(&CallContext::new(), &request()).await {
        Ok(stream) => stream.map(|event| format!("{event:?}")).collect().await,
        Err(error) => vec![format!("{error:?} {:?} {}", error.retry(), error.public_text())],
    }
}

#[tokio::test]
async fn replays_exactly_what_was_recorded() {
    let folder = Folder::new("replays");
    let after = Retry::After(Duration::from_millis(2_500));
    let answers = || {
        vec![
            says("hi"),
            fails_midway(ErrorKind::Unavailable),
            refuses_with(ErrorKind::RateLimited, after),
            fails_at_once(ErrorKind::InvalidData),
        ]
    };
    let layer = RecordLayer::open(folder.file(), RecordMode::Record).unwrap();
    let (recording, _) = wrapped(&layer, answers());
    let mut recorded = Vec::new();
    for _ in 0..4 {
        recorded.push(events(&recording).await);
    }
    assert_eq!(folder.text().lines().count(), 4);

    let layer = RecordLayer::open(folder.file(), RecordMode::Replay).unwrap();
    let (replaying, fake) = wrapped(&layer, vec![]);
    for before in recorded {
        assert_eq!(events(&replaying).await, before);
    }
    assert_eq!((fake.asked(), layer.unused()), (0, 0));
    let error = ask(&replaying).await.unwrap_err();
    assert!(error.to_string().contains("replayed already"), "{error}");
}

#[tokio::test]
async fn a_mismatch_shows_what_differs() {
    let folder = Folder::new("mismatch");
    let layer = RecordLayer::open(folder.file(), RecordMode::Record).unwrap();
    ask(&wrapped(&layer, vec![says("hi")]).0).await.unwrap();

    let layer = RecordLayer::open(folder.file(), RecordMode::Replay).unwrap();
    let (provider, _) = wrapped(&layer, vec![]);
    let mut request = request();
    request.temperature = Some(0.7);
    request.messages = vec![ChatMessage::user("goodbye")];
    let error = provider.stream(&CallContext::new(), &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.contains("request.temperature: recorded null, asked 0.7"), "{text}");
    assert!(text.contains(r#"content[0].text: recorded "hello", asked "goodbye""#), "{text}");
    assert_eq!(layer.unused(), 1);
}

#[tokio::test]
async fn auto_asks_only_for_what_is_missing() {
    let folder = Folder::new("auto");
    let mut sharp = request();
    sharp.temperature = Some(0.1);
    for asked in [2, 0] {
        let layer = RecordLayer::open(folder.file(), RecordMode::Auto).unwrap();
        let (provider, fake) = wrapped(&layer, vec![says("hi"), says("sharp")]);
        assert_eq!(ask(&provider).await.unwrap().text, "hi");
        let stream = provider.stream(&CallContext::new(), &sharp).await.unwrap();
        assert_eq!(Completion::collect(stream, |_| {}).await.unwrap().text, "sharp");
        assert_eq!(fake.asked(), asked);
    }
    // Recording starts anew.
    RecordLayer::open(folder.file(), RecordMode::Record).unwrap();
    assert_eq!(folder.text(), "");
}

#[tokio::test]
async fn secrets_are_neither_written_nor_needed_for_a_match() {
    let folder = Folder::new("secrets");
    let secret = |name: &str, mode| {
        RecordLayer::open(folder.file(), mode).unwrap().secret(name).secret("").secret("sk-1")
    };
    let about = |name: &str| {
        let mut request = request();
        request.system = format!("You serve {name}; the key is sk-1.");
        request
    };
    let (provider, _) = wrapped(
        &secret("Ada \"L\"", RecordMode::Record),
        vec![says("hi, Ada \"L\""), refuses(ErrorKind::Denied)],
    );
    for _ in 0..2 {
        if let Ok(stream) = provider.stream(&CallContext::new(), &about("Ada \"L\"")).await {
            // Who asks sees the answer as it is.
            let whole = Completion::collect(stream, |_| {}).await.unwrap();
            assert_eq!(whole.text, "hi, Ada \"L\"");
        }
    }
    assert!(!folder.text().contains("Ada") && !folder.text().contains("sk-1"), "{}", folder.text());

    let (provider, _) = wrapped(&secret("Bob", RecordMode::Replay), vec![]);
    let stream = provider.stream(&CallContext::new(), &about("Bob")).await.unwrap();
    assert_eq!(Completion::collect(stream, |_| {}).await.unwrap().text, "hi, [secret]");
}

#[tokio::test]
async fn what_did_not_reach_its_end_is_not_recorded() {
    let folder = Folder::new("dropped");
    let layer = RecordLayer::open(folder.file(), RecordMode::Record).unwrap();
    let (provider, _) = wrapped(&layer, vec![says("hi")]);
    let mut stream = provider.stream(&CallContext::new(), &request()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(folder.text(), "");
}

#[test]
fn a_bad_cassette_is_named_with_its_line() {
    let folder = Folder::new("bad");
    let missing = RecordLayer::open(folder.file(), RecordMode::Replay).err().unwrap();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("cassette.jsonl"));
    std::fs::write(folder.file(), "{\"request\":{}}\n\n{\"request\":{},\"evnts\":[]}\n").unwrap();
    let bad = RecordLayer::open(folder.file(), RecordMode::Replay).err().unwrap();
    assert_eq!(bad.kind(), ErrorKind::InvalidData);
    assert!(bad.to_string().contains("line: 3") && bad.to_string().contains("evnts"), "{bad}");
    let nowhere = folder.0.join("no/such/folder.jsonl");
    let error = RecordLayer::open(nowhere, RecordMode::Record).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
