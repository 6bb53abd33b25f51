//! What a search looks at: derived from the rows, held in memory, a scope each.

mod best;
mod bits;
mod block;
mod coarse;
#[cfg(feature = "hnsw")]
mod graph;
mod lexical;
mod products;
mod rotate;
mod scan;
mod vectors;

use best::Best;
pub(crate) use bits::Bits;
pub(crate) use block::{Block, Loading};
pub(crate) use coarse::Coarse;
#[cfg(feature = "hnsw")]
pub(crate) use graph::Graph;
pub(crate) use lexical::{Lexical, Scratch};
pub(crate) use rotate::Rotation;
pub(crate) use scan::Scan;
pub(crate) use vectors::Vectors;

/// A row's number within its scope.
pub(crate) type Doc = u32;

/// Finds the vectors that are closest to another.
///
/// # Contract
///
/// - Numbers that were never set, or were removed, are never found.
/// - [`search`](Self::search) looks only among what `among` holds: a filter inside the search takes no place
///   of what fits.
/// - A scan finds the same for the same vectors, on every machine; a graph about the same.
pub(crate) trait VectorIndex: Send + Sync {
    /// Sets the vector of a row, in place of the one that it had.
    fn set(&mut self, doc: Doc, vector: &Coarse);

    /// Takes the vector of a row away.
    fn remove(&mut self, doc: Doc);

    /// The rows among `among` whose vectors are closest to `query`, about `count` of them, best first,
    /// each with about its cosine.
    fn search(&self, query: &Coarse, among: &Bits, count: usize) -> Vec<(Doc, f32)>;

    /// About the cosine of a row's vector and `query`; `None` if it has none.
    fn closeness(&self, query: &Coarse, doc: Doc) -> Option<f32>;

    /// How many bytes it takes.
    fn bytes(&self) -> usize;
}
