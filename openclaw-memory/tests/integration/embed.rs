//! The built-in embedder conforms, is the same everywhere, and knows what it does not know.

use openclaw_core::{
    provider::{CallContext, Embedder as _},
    testing::embedder::suite,
};
use openclaw_memory::embed::StaticEmbedder;
use sha2::{Digest as _, Sha256};

fn alike(embedder: &StaticEmbedder, a: &str, b: &str) -> f32 {
    let (a, b) = (embedder.encode(a).vector, embedder.encode(b).vector);
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn the_built_in_embedder_conforms() {
    suite("builtin", StaticEmbedder::builtin).assert().await;
}

#[test]
fn the_model_file_is_the_one_that_training_made_and_small() {
    let file = include_bytes!("../../src/embed/builtin.bin");
    assert!(file.len() <= 4_000_000, "{} bytes", file.len());
    let digest: String = Sha256::digest(file).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(digest, include_str!("../../src/embed/builtin.sha256"));
    let model = StaticEmbedder::builtin().model().to_string();
    assert_eq!(model, format!("static-256-{}", &digest[..8]), "vectors of another file are others");
}

/// The bits, not just the numbers: an index that was made on one machine serves on any other.
#[test]
fn vectors_are_the_same_bits_everywhere() {
    let embedder = StaticEmbedder::builtin();
    let mut hash = Sha256::new();
    for text in ["We moved to Leeds in March.", "naïve Café — 42%", "", "xyzzy", "đường phố 東京"]
    {
        for value in embedder.encode(text).vector {
            hash.update(value.to_le_bytes());
        }
    }
    let digest: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(digest, include_str!("embed_vectors.sha256").trim());
}

#[test]
fn meaning_is_closer_than_chance() {
    let embedder = StaticEmbedder::builtin();
    for (text, alike_to, unlike) in [
        (
            "My daughter is allergic to peanuts.",
            "nuts make the girl sick",
            "the train leaves at nine",
        ),
        ("I purchased a new automobile.", "bought a car", "baked some bread"),
        (
            "The physician prescribed antibiotics.",
            "medicine from the doctor",
            "goals in the football match",
        ),
        ("We are flying to Paris in May.", "a trip to France by plane", "a bug in the database"),
    ] {
        let (near, far) = (alike(&embedder, text, alike_to), alike(&embedder, text, unlike));
        assert!(near > far + 0.1, "{text:?}: {near} to {alike_to:?}, {far} to {unlike:?}");
    }
}

#[test]
fn it_says_how_much_it_understood() {
    let embedder = StaticEmbedder::builtin();
    assert_eq!(embedder.coverage("What did my sister buy in London?"), 1.0);
    for unknown in ["", " \n", "?!", "東京に行きました", "나는 커피를 마셨다", "\u{0}\u{1}"]
    {
        let encoded = embedder.encode(unknown);
        assert_eq!(encoded.coverage, 0.0, "{unknown:?}");
        assert!(encoded.coverage == embedder.coverage(unknown));
    }
    let half = embedder.coverage("Tôi thường uống cà phê sữa đá buổi sáng");
    assert!(half < 0.75, "Vietnamese, of which it knows nothing: {half}");
}

#[tokio::test]
async fn long_and_binary_texts_are_no_trouble() {
    let embedder = StaticEmbedder::builtin();
    let long = "the quick brown fox jumps over the lazy dog. ".repeat(25_000);
    let binary: String = (0..1_000_000_u32).filter_map(|n| char::from_u32(n % 0x1100)).collect();
    let endless = "x".repeat(1_000_000);
    let texts = [long.as_str(), binary.as_str(), endless.as_str()];
    let vectors = embedder.embed(&CallContext::new(), &texts).await.unwrap();
    for vector in vectors {
        assert_eq!(vector.len(), 256);
        let length: f32 = vector.iter().map(|value| value * value).sum();
        assert!(length == 0.0 || (length - 1.0).abs() < 1e-5, "{length}");
    }
    assert_eq!(
        embedder.encode(&long).vector,
        embedder.encode(&long[..4000]).vector,
        "what is beyond the limit does not count"
    );
}
