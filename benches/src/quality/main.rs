//! How well the memory finds what answers a question, by kind of question: by keywords alone and with
//! meaning, beside FTS5's own ranking.
//!
//! Run with `cargo run --release -p openclaw-benches --bin quality`. It prints the testing part of the
//! generated collection; with the argument `tuning` the other, and with numbers behind it the built-in
//! embedder at these weights. `OPENCLAW_RECALL_SETS` may name a
//! folder with collections of others: LoCoMo's JSON files, BEIR's folders. With the feature `onnx`,
//! `OPENCLAW_EMBEDDING_MODEL` may name the folder that `scripts/embedding-model` prints.

use std::{path::Path, sync::Arc};

use openclaw_benches::{
    Result,
    recall::{Collection, Fts5, Part, SEED, Score, Scores, generated, outside, scores, sqlite},
};
use openclaw_core::provider::Embedder;
use openclaw_memory::embed::StaticEmbedder;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let part = match arguments.next().as_deref() {
        None | Some("testing") => Part::Testing,
        Some("tuning") => Part::Tuning,
        Some(other) => return Err(format!("{other:?}: expected testing or tuning").into()),
    };
    let weights: Vec<f32> =
        arguments.map(|weight| weight.parse()).collect::<std::result::Result<_, _>>()?;
    let mut collections = vec![generated(SEED, part)];
    if let Some(folder) = std::env::var_os("OPENCLAW_RECALL_SETS") {
        collections.extend(outside(Path::new(&folder))?);
    }
    let embedders = embedders()?;
    for collection in &collections {
        measure(collection, &embedders, &weights).await?;
    }
    Ok(())
}

/// What it is called, and what it is.
type Named = (String, Arc<dyn Embedder>);

fn embedders() -> Result<Vec<Named>> {
    let builtin: Named = ("built-in".to_owned(), Arc::new(StaticEmbedder::builtin()));
    #[cfg(feature = "onnx")]
    if let Some(folder) = std::env::var_os("OPENCLAW_EMBEDDING_MODEL") {
        let network = openclaw_memory::embed::OnnxEmbedder::open(folder)?;
        return Ok(vec![builtin, ("neural".to_owned(), Arc::new(network))]);
    }
    Ok(vec![builtin])
}

async fn measure(collection: &Collection, embedders: &[Named], weights: &[f32]) -> Result<()> {
    let memories: usize = collection.worlds.iter().map(|world| world.memories.len()).sum();
    println!("\n{}: {memories} memories in {} scopes", collection.name, collection.worlds.len());
    let mut columns = vec![("FTS5".to_owned(), scores(&Fts5::new()?, collection).await?)];
    columns.push(("keywords".to_owned(), scores(&sqlite(None, None).await?, collection).await?));
    for (name, embedder) in embedders {
        let memory = sqlite(Some(Arc::clone(embedder)), None).await?;
        columns.push((name.clone(), scores(&memory, collection).await?));
    }
    for weight in weights {
        let builtin = Arc::new(StaticEmbedder::builtin());
        let memory = sqlite(Some(builtin), Some(*weight)).await?;
        columns.push((format!("{weight}"), scores(&memory, collection).await?));
    }
    print("recall@10", &columns, |score| score.recall_10);
    print("recall@1", &columns, |score| score.recall_1);
    print("nDCG@10", &columns, |score| score.ndcg_10);
    Ok(())
}

fn print(what: &str, columns: &[(String, Scores)], value: fn(&Score) -> f64) {
    print!("{what:<26}{:>9}", "questions");
    columns.iter().for_each(|(name, _)| print!("{name:>10}"));
    println!();
    for (slice, first) in columns.first().into_iter().flat_map(|(_, scores)| scores) {
        print!("{slice:<26}{:>9}", first.questions);
        for (_, scores) in columns {
            print!("{:>10.4}", scores.get(slice).map_or(0.0, value));
        }
        println!();
    }
}
