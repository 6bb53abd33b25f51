//! The neural embedder, on the model that `scripts/embedding-model` fetches, and on broken files.

use std::{fs, path::PathBuf};

use openclaw_core::{
    ErrorKind,
    provider::{CallContext, Embedder as _},
    testing::embedder::suite,
    time::Cancel,
};
use openclaw_memory::embed::OnnxEmbedder;

use crate::common::skip;

fn model(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("OPENCLAW_PEER_EMBEDDING").filter(|path| !path.is_empty());
    if folder.is_none() {
        skip(test, "OPENCLAW_PEER_EMBEDDING is not set");
    }
    folder.map(PathBuf::from)
}

#[tokio::test]
async fn the_neural_embedder_conforms() {
    let Some(folder) = model("embed_onnx::the_neural_embedder_conforms") else { return };
    let embedder = OnnxEmbedder::open(folder).unwrap();
    suite("onnx", move || embedder.clone()).assert().await;
}

/// The expected values are the original's, in 32 bits.
#[tokio::test]
async fn it_says_what_the_original_says() {
    let Some(folder) = model("embed_onnx::it_says_what_the_original_says") else { return };
    let embedder = OnnxEmbedder::open(folder).unwrap();
    assert_eq!(embedder.dimensions(), 384);
    assert_eq!(embedder.model().to_string(), "onnx-384-8199be6f");
    let texts = ["I bought a new car", "I purchased an automobile", "the cat sleeps"];
    let vectors = embedder.embed(&CallContext::new(), &texts).await.unwrap();
    let alike = |a: usize, b: usize| -> f32 {
        vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b).sum()
    };
    for (a, b, expected) in [(0, 0, 1.0), (0, 1, 0.827), (0, 2, 0.052), (1, 2, 0.026)] {
        assert!((alike(a, b) - expected).abs() < 0.03, "{a} and {b}: {}", alike(a, b));
    }
    assert_eq!(embedder.coverage("the cat sleeps"), 1.0);
}

#[tokio::test]
async fn a_cancelled_batch_is_an_error() {
    let Some(folder) = model("embed_onnx::a_cancelled_batch_is_an_error") else { return };
    let embedder = OnnxEmbedder::open(folder).unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let cx = CallContext::new().with_cancel(cancel);
    let error = embedder.embed(&cx, &["one", "two"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn what_is_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |kind: ErrorKind, part: &str| {
        let error = OnnxEmbedder::open(folder.path()).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(part), "{error}");
    };
    fails(ErrorKind::NotFound, "vocab.txt");
    fs::write(folder.path().join("vocab.txt"), "[CLS]\n[SEP]\n").unwrap();
    fails(ErrorKind::InvalidData, "[UNK]");
    fs::write(folder.path().join("vocab.txt"), "[CLS]\n[SEP]\n[UNK]\na\n").unwrap();
    fails(ErrorKind::NotFound, "model.onnx");
    for garbage in [&b""[..], b"not a model", &[0xff; 1000]] {
        fs::write(folder.path().join("model.onnx"), garbage).unwrap();
        fails(ErrorKind::InvalidData, "model.onnx");
    }
}
