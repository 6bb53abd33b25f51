//! How many texts a second each embedder turns into vectors.
//!
//! Run with `cargo run --release -p openclaw-benches --bin embed`, or, with the neural one,
//! `cargo run --release -p openclaw-benches --features onnx --bin embed $(scripts/embedding-model)`.
//! `taskset -c 0` before the program shows one core.

use std::{hint::black_box, time::Instant};

use openclaw_benches::Result;
use openclaw_core::{
    provider::{CallContext, Embedder},
    testing::HashEmbedder,
};
use openclaw_memory::embed::StaticEmbedder;

/// Of about 20, 40 and 160 tokens.
const SENTENCE: &str =
    "Yesterday my sister told me that she wants to sell her old bicycle and buy a small red car ";
const REPEATS: [usize; 3] = [1, 2, 8];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let began = Instant::now();
    let builtin = StaticEmbedder::builtin();
    println!("built-in model ready in {:.2} ms", began.elapsed().as_secs_f64() * 1e3);
    println!("{:<24} {:>12} {:>12} {:>12}", "texts/s of tokens", "20", "40", "160");
    rate("built-in", &builtin, 200_000).await?;
    rate("hashed words (baseline)", &HashEmbedder::new(builtin.dimensions()), 50_000).await?;
    #[cfg(feature = "onnx")]
    if let Some(folder) = std::env::args_os().nth(1) {
        let began = Instant::now();
        let network = openclaw_memory::embed::OnnxEmbedder::open(&folder)?;
        println!("{} ready in {:.0} ms", network.model(), began.elapsed().as_secs_f64() * 1e3);
        rate("neural", &network, 1_000).await?;
    }
    Ok(())
}

async fn rate(name: &str, embedder: &dyn Embedder, texts: usize) -> Result<()> {
    print!("{name:<24}");
    for repeats in REPEATS {
        let batch: Vec<String> =
            (0..32).map(|n| format!("{n} {}", SENTENCE.repeat(repeats))).collect();
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        let rounds = (texts / repeats / batch.len()).max(1);
        let began = Instant::now();
        for _ in 0..rounds {
            black_box(embedder.embed(&CallContext::new(), black_box(&batch)).await?);
        }
        #[expect(clippy::cast_precision_loss, reason = "some hundred thousand at most")]
        let rate = (rounds * batch.len()) as f64 / began.elapsed().as_secs_f64();
        print!(" {rate:>12.0}");
    }
    println!();
    Ok(())
}
