//! The vectors of a scope: every one is looked at, or of very many those that a graph leads to.

#[cfg(feature = "hnsw")]
use std::sync::Arc;

#[cfg(feature = "hnsw")]
use super::Graph;
use super::{Bits, Coarse, Doc, Scan, VectorIndex};

/// The vectors of a scope.
pub(crate) struct Vectors {
    pub(crate) scan: Scan,
    /// Built beside, where there are enough.
    #[cfg(feature = "hnsw")]
    pub(crate) graph: Option<Arc<Graph>>,
}

impl Vectors {
    pub(crate) fn new(dimensions: usize) -> Self {
        Self {
            scan: Scan::new(dimensions),
            #[cfg(feature = "hnsw")]
            graph: None,
        }
    }
}

impl VectorIndex for Vectors {
    fn set(&mut self, doc: Doc, vector: &Coarse) {
        self.scan.set(doc, vector);
    }

    fn remove(&mut self, doc: Doc) {
        self.scan.remove(doc);
    }

    fn search(&self, query: &Coarse, among: &Bits, count: usize) -> Vec<(Doc, f32)> {
        #[cfg(feature = "hnsw")]
        if let Some(graph) = &self.graph
            && let Some(found) = graph.search(&self.scan, query, among, count)
        {
            return found;
        }
        self.scan.search(query, among, count)
    }

    fn closeness(&self, query: &Coarse, doc: Doc) -> Option<f32> {
        self.scan.closeness(query, doc)
    }

    fn bytes(&self) -> usize {
        self.scan.bytes()
    }
}
