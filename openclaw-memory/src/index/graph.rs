//! A graph of neighbours, for more vectors than it is quick to look at.
//!
//! It is built beside, from the vectors that the file holds, and is never read from a file of its own: there is none
//! that could be torn or foreign. What it does not hold yet is compared one by one; while it is being added to, all is.
//! Removing leaves a point in it that no search returns, until so many are left behind that it is built anew.

use std::sync::{
    PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, Ordering},
};

use hnsw_rs::prelude::{Distance, Hnsw};

use super::{Bits, Coarse, Doc, Scan, VectorIndex as _, coarse::close_bytes};

/// Neighbours of a point in a layer.
const NEIGHBOURS: usize = 24;
const LAYERS: usize = 16;
/// How many candidates are looked at for a new point's neighbours.
const CARE: usize = 200;
/// How many candidates a search looks at for each that is wanted, and at least.
const CANDIDATES_EACH: usize = 2;
const LEAST_CANDIDATES: usize = 200;
/// Of so many that are not in the graph yet, or of a filter that leaves so small a part, the scan is the faster.
const MOST_BESIDE: usize = 20_000;
const LEAST_SHARE: usize = 8;
/// When one of so many points is of a row that is gone, it is built anew.
const MOST_GONE: usize = 8;
const MOST_GONE_AT_ALL: usize = 100;

/// One minus the cosine of two vectors as [`Coarse::to_bytes`] writes them.
struct Closeness;

impl Distance<u8> for Closeness {
    fn eval(&self, a: &[u8], b: &[u8]) -> f32 {
        (1.0 - close_bytes(a, b)).max(0.0)
    }
}

/// The graph of one scope and one embedder.
pub(crate) struct Graph {
    inner: RwLock<Inner>,
    /// There may be vectors that it does not hold.
    behind: AtomicBool,
}

struct Inner {
    points: Hnsw<'static, u8, Closeness>,
    /// The rows that it holds.
    inside: Bits,
}

impl Graph {
    /// An empty one, for about so many rows.
    pub(crate) fn new(rows: usize) -> Self {
        let points = Hnsw::new(NEIGHBOURS, rows, LAYERS, CARE, Closeness);
        let inner = RwLock::new(Inner { points, inside: Bits::default() });
        Self { inner, behind: AtomicBool::new(true) }
    }

    /// True if there may be vectors that it does not hold.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Takes note that there may be, or that there are none.
    pub(crate) fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::Relaxed);
    }

    /// How many vectors it holds.
    pub(crate) fn len(&self) -> usize {
        self.read().inside.count()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds vectors; searches look elsewhere meanwhile.
    pub(crate) fn add(&self, vectors: &[(Doc, Coarse)]) {
        let mut inner = self.write();
        inner.points.set_searching_mode(false);
        for (doc, vector) in vectors {
            if !inner.inside.has(*doc) {
                inner.points.insert((vector.to_bytes().as_slice(), *doc as usize));
                inner.inside.set(*doc, true);
            }
        }
        inner.points.set_searching_mode(true);
    }

    /// Rows that have a vector and are not inside, from a number on, so many at most.
    pub(crate) fn missing(&self, scan: &Scan, from: Doc, most: usize) -> Vec<Doc> {
        let inner = self.read();
        let rows = (from..scan.rows_end()).filter(|doc| scan.has(*doc) && !inner.inside.has(*doc));
        rows.take(most).collect()
    }

    /// True if it is time to build another in its place.
    pub(crate) fn is_worn(&self, scan: &Scan) -> bool {
        let inner = self.read();
        let gone = inner.inside.iter().filter(|doc| !scan.has(*doc)).count();
        gone > MOST_GONE_AT_ALL && gone * MOST_GONE > inner.inside.count()
    }

    /// As of [`VectorIndex::search`](super::VectorIndex::search); `None` where looking at every vector is better.
    pub(crate) fn search(
        &self,
        scan: &Scan,
        query: &Coarse,
        among: &Bits,
        count: usize,
    ) -> Option<Vec<(Doc, f32)>> {
        // While it is added to, it cannot be searched.
        let inner = self.inner.try_read().ok()?;
        let inside = inner.inside.count();
        if inside == 0 || among.count() * LEAST_SHARE < inside {
            return None;
        }
        let beside: Vec<Doc> =
            among.iter_without(&inner.inside).filter(|doc| scan.has(*doc)).collect();
        if beside.len() > MOST_BESIDE {
            return None;
        }
        let fits = |id: &usize| Doc::try_from(*id).is_ok_and(|doc| among.has(doc) && scan.has(doc));
        let candidates = (count * CANDIDATES_EACH).max(LEAST_CANDIDATES);
        let points = inner.points.search_filter(&query.to_bytes(), count, candidates, Some(&fits));
        let docs = points.into_iter().filter_map(|point| Doc::try_from(point.d_id).ok());
        let docs = docs.chain(beside).filter_map(|doc| Some((doc, scan.closeness(query, doc)?)));
        let mut found: Vec<(Doc, f32)> = docs.collect();
        found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.dedup_by_key(|(doc, _)| *doc);
        // A filter can cut it off from what would fit.
        if found.len() < count.min(among.count()).min(inside) {
            return None;
        }
        found.truncate(count);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Rotation;

    fn random(seed: &mut u64, length: usize) -> Vec<f32> {
        let next = |seed: &mut u64| {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..length).map(|_| next(seed)).collect()
    }

    fn filled(dimensions: usize, rows: u32, seed: u64) -> (Scan, Graph, Bits, Vec<Coarse>) {
        let rotation = Rotation::new(dimensions);
        let (mut scan, graph) = (Scan::new(dimensions), Graph::new(rows as usize));
        let (mut all, mut among, mut seed) = (Vec::new(), Bits::default(), seed);
        for doc in 0..rows {
            let vector = Coarse::of(&random(&mut seed, dimensions), &rotation).unwrap();
            scan.set(doc, &vector);
            among.set(doc, true);
            all.push(vector);
        }
        let vectors: Vec<(Doc, Coarse)> = (0..).zip(all.iter().cloned()).collect();
        graph.add(&vectors);
        (scan, graph, among, all)
    }

    /// Versions of the crate before 0.3.5 lost points.
    #[test]
    fn every_point_can_be_reached() {
        for seed in 0..4 {
            let (scan, graph, among, all) = filled(16, 300, seed);
            let found = graph.search(&scan, &all[0], &among, 300).unwrap();
            let docs: std::collections::BTreeSet<Doc> = found.iter().map(|(doc, _)| *doc).collect();
            assert_eq!(docs.len(), 300, "seed {seed}");
        }
    }

    #[test]
    fn finds_about_what_the_scan_finds_and_nothing_that_is_gone_or_left_out() {
        let (mut scan, graph, mut among, all) = filled(32, 1_200, 5);
        let mut hits = 0;
        for query in &all[..20] {
            let exact = scan.search(query, &among, 10);
            let found = graph.search(&scan, query, &among, 10).unwrap();
            assert_eq!(found.len(), 10);
            hits += exact.iter().filter(|one| found.contains(one)).count();
        }
        assert!(hits >= 190, "{hits} of 200");
        // Half is left out, one is gone, one is new.
        (0..600).for_each(|doc| among.set(doc * 2, false));
        scan.remove(7);
        scan.set(1_200, &all[9]);
        among.set(1_200, true);
        assert_eq!(graph.missing(&scan, 0, 10), [1_200]);
        let found = graph.search(&scan, &all[7], &among, 20).unwrap();
        assert!(
            found.iter().all(|(doc, _)| *doc != 7 && (doc % 2 == 1 || *doc == 1_200)),
            "{found:?}"
        );
        assert_eq!(graph.search(&scan, &all[9], &among, 2).unwrap()[1].0, 1_200);
        // Of few it is better to look at all.
        let mut few = Bits::default();
        (0..100).for_each(|doc| few.set(doc, true));
        assert!(graph.search(&scan, &all[0], &few, 10).is_none());
        assert!(!graph.is_worn(&scan));
        (0..400).for_each(|doc| scan.remove(doc));
        assert!(graph.is_worn(&scan));
    }
}
