//! How well a memory finds what answers a question: collections of memories with questions, from a
//! generator or from files, and figures by kind of question.

mod english;
mod generate;
mod languages;
mod outside;
mod people;
mod random;
mod rankers;
mod score;

pub use generate::{SEED, generated};
pub use outside::outside;
pub use rankers::{Fts5, InFile, Ranker, Remembering, sqlite};
pub use score::{Score, Scores, scores};

use openclaw_core::memory::Fact;

/// Memories with questions.
pub struct Collection {
    /// What it is called.
    pub name: String,
    /// Each is a scope of its own.
    pub worlds: Vec<World>,
}

/// What one agent heard, and what it is asked.
pub struct World {
    /// Its scope.
    pub name: String,
    /// In the order in which they were said.
    pub memories: Vec<Fact>,
    /// In no order.
    pub questions: Vec<Question>,
}

/// A question, and what answers it.
pub struct Question {
    /// Its kind.
    pub slice: String,
    /// What a search is given.
    pub text: String,
    /// The ids of all memories that are needed for the answer.
    pub wanted: Vec<String>,
}

/// Weights are chosen by the one part, figures are of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// To choose weights by.
    Tuning,
    /// To judge by.
    Testing,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openclaw_memory::embed::StaticEmbedder;

    use super::*;

    /// What memories promise: meaning never costs what keywords find, and finds what they do not.
    #[tokio::test(flavor = "multi_thread")]
    async fn meaning_never_costs_and_finds_what_was_said_in_other_words() {
        let collection = generated(SEED, Part::Testing);
        let keywords = sqlite(None, None).await.expect("a memory");
        let keywords = scores(&keywords, &collection).await.expect("scores");
        let hybrid =
            sqlite(Some(Arc::new(StaticEmbedder::builtin())), None).await.expect("a memory");
        let hybrid = scores(&hybrid, &collection).await.expect("scores");
        for (slice, score) in &hybrid {
            let without = keywords.get(slice).expect("the same slices").recall_10;
            let least = match slice.as_str() {
                "paraphrase" => without + 0.05,
                "all" => without,
                _ => without - 0.005,
            };
            assert!(
                score.recall_10 >= least,
                "{slice}: {} with, {without} without",
                score.recall_10
            );
        }
    }
}
