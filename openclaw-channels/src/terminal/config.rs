//! How a terminal is set up.

use std::path::PathBuf;

/// The settings of a [`Terminal`](super::Terminal).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What stands before the line that is typed.
    pub prompt: String,
    /// Where typed lines are kept from one run to the next; `None` keeps them in memory alone. Used
    /// only when a person types.
    pub history: Option<PathBuf>,
    /// From a pipe: each line waits for the answer to the one before, and the end of input for the
    /// last answer. Without it all lines are passed in as they come and nothing is waited for.
    pub wait_for_answers: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { prompt: "> ".to_owned(), history: None, wait_for_answers: true }
    }
}
