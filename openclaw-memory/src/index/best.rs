//! The best of many rows.

use super::Doc;

/// The best so many of the rows that are added to it; of those that are as good, the ones with the lowest numbers.
pub(super) struct Best {
    count: usize,
    /// What has no more is not among them.
    least: f32,
    found: Vec<(Doc, f32)>,
}

impl Best {
    pub(super) fn new(count: usize) -> Self {
        Self::above(f32::NEG_INFINITY, count)
    }

    /// Only of those that have more.
    pub(super) fn above(least: f32, count: usize) -> Self {
        Self { count, least, found: Vec::new() }
    }

    #[inline]
    pub(super) fn add(&mut self, doc: Doc, score: f32) {
        if score > self.least {
            self.put(doc, score);
        }
    }

    /// Hardly ever called when much was added.
    fn put(&mut self, doc: Doc, score: f32) {
        self.found.push((doc, score));
        if self.found.len() >= 4 * self.count.max(16) {
            self.cut();
            self.least = self.found.last().map_or(0.0, |(_, score)| score.next_down());
        }
    }

    fn cut(&mut self) {
        let best_first = |a: &(Doc, f32), b: &(Doc, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.found.len() > self.count && self.count > 0 {
            self.found.select_nth_unstable_by(self.count - 1, best_first);
            self.found.truncate(self.count);
        }
        self.found.sort_unstable_by(best_first);
    }

    /// Best first.
    pub(super) fn sorted(mut self) -> Vec<(Doc, f32)> {
        self.cut();
        self.found
    }
}
