//! Figures by kind of question.

use std::collections::{BTreeMap, HashSet};

use super::{Collection, Question, Ranker};
use crate::Result;

/// How many results count.
const DEPTH: usize = 10;

/// Means over the questions of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// How many questions.
    pub questions: usize,
    /// The share of what is wanted that stands first.
    pub recall_1: f64,
    /// The share of what is wanted that is among the first five.
    pub recall_5: f64,
    /// The share of what is wanted that is among the first ten.
    pub recall_10: f64,
    /// Normalised discounted cumulative gain of the first ten.
    pub ndcg_10: f64,
}

/// By kind of question; `all` is over all questions.
pub type Scores = BTreeMap<String, Score>;

/// The name of the mean over everything.
const ALL: &str = "all";

/// Lets `ranker` answer all questions of `collection`.
///
/// # Errors
/// The ranker failed.
pub async fn scores(ranker: &dyn Ranker, collection: &Collection) -> Result<Scores> {
    let mut scores = Scores::new();
    for world in &collection.worlds {
        ranker.remember(world).await?;
        for question in &world.questions {
            let found = ranker.find(&world.name, &question.text, DEPTH).await?;
            let score = of(question, &found);
            for slice in [question.slice.as_str(), ALL] {
                add(scores.entry(slice.to_owned()).or_default(), score);
            }
        }
    }
    scores.values_mut().for_each(mean);
    Ok(scores)
}

fn of(question: &Question, found: &[String]) -> Score {
    let wanted: HashSet<&String> = question.wanted.iter().collect();
    let share = |depth: usize| {
        let hits = found.iter().take(depth).filter(|id| wanted.contains(id)).count();
        count(hits) / count(wanted.len().max(1))
    };
    let gain = |place: usize| 1.0 / count(place + 2).log2();
    let gained: f64 = (0..)
        .zip(found.iter().take(DEPTH))
        .filter(|(_, id)| wanted.contains(id))
        .map(|(place, _)| gain(place))
        .sum();
    let best: f64 = (0..wanted.len().min(DEPTH)).map(gain).sum();
    Score {
        questions: 1,
        recall_1: share(1),
        recall_5: share(5),
        recall_10: share(10),
        ndcg_10: if best > 0.0 { gained / best } else { 0.0 },
    }
}

fn add(sum: &mut Score, one: Score) {
    sum.questions += one.questions;
    sum.recall_1 += one.recall_1;
    sum.recall_5 += one.recall_5;
    sum.recall_10 += one.recall_10;
    sum.ndcg_10 += one.ndcg_10;
}

fn mean(sum: &mut Score) {
    let questions = count(sum.questions.max(1));
    sum.recall_1 /= questions;
    sum.recall_5 /= questions;
    sum.recall_10 /= questions;
    sum.ndcg_10 /= questions;
}

#[expect(clippy::cast_precision_loss, reason = "some thousand at most")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_defined() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let question = Question { slice: "s".into(), text: "t".into(), wanted: names(&["a", "b"]) };
        let score = of(&question, &names(&["x", "a", "y", "z", "q", "b"]));
        assert_eq!((score.recall_1, score.recall_5, score.recall_10), (0.0, 0.5, 1.0));
        let expected = (1.0 / 3_f64.log2() + 1.0 / 7_f64.log2()) / (1.0 + 1.0 / 3_f64.log2());
        assert!((score.ndcg_10 - expected).abs() < 1e-9);
        assert_eq!(of(&question, &[]).ndcg_10, 0.0);
    }
}
