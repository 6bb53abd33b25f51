//! Every vector looked at, first by its signs, then the best of them by eight bits a value.
//!
//! The signs of a turned vector are a coarse picture of it, 32 times smaller; comparing them is a matter of
//! counting bits. Those that look closest, far more than are wanted, are then compared by their values.
//! All sums are of integers, so they are the same on every machine; each loop is compiled for several
//! generations of processors, and the best that this one has is taken when it runs.

use pulp::{Arch, Simd, WithSimd};

use super::{Bits, Doc, Rotation, VectorIndex};

/// Up to so many rows, all are compared by their values.
const ALL_BY_VALUE: usize = 10_240;
/// Of more, one of so many is compared by its values, but never fewer than [`LEAST_BY_VALUE`].
const ONE_OF: usize = 24;
const LEAST_BY_VALUE: usize = 2_048;

/// A vector as the index has it: turned, of length 1, a scale and eight bits a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Coarse {
    pub(crate) scale: f32,
    pub(crate) values: Vec<i8>,
}

impl Coarse {
    /// Of a vector of the rotation's length with finite values; `None` if it is not, or has no length.
    pub(crate) fn of(vector: &[f32], rotation: &Rotation) -> Option<Self> {
        if vector.len() != rotation.dimensions() || !vector.iter().all(|value| value.is_finite()) {
            return None;
        }
        let square = |value: &f32| f64::from(*value) * f64::from(*value);
        let length = vector.iter().map(square).sum::<f64>().sqrt();
        if length < 1e-12 || !length.is_finite() {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a value of a vector of length 1")]
        let mut turned: Vec<f32> =
            vector.iter().map(|value| (f64::from(*value) / length) as f32).collect();
        rotation.turn(&mut turned);
        let largest = turned.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let scale = largest / 127.0;
        #[expect(clippy::cast_possible_truncation, reason = "from -127 to 127")]
        let values = turned.iter().map(|value| (value / scale).round() as i8).collect();
        Some(Self { scale, values })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + self.values.len());
        bytes.extend(self.scale.to_le_bytes());
        bytes.extend(self.values.iter().map(|value| value.cast_unsigned()));
        bytes
    }

    /// Reads back what [`to_bytes`](Self::to_bytes) wrote for a vector of this length.
    pub(crate) fn read(bytes: &[u8], dimensions: usize) -> Option<Self> {
        let (scale, values) = bytes.split_first_chunk::<4>()?;
        let scale = f32::from_le_bytes(*scale);
        if values.len() != dimensions || !scale.is_finite() || scale <= 0.0 {
            return None;
        }
        Some(Self { scale, values: values.iter().map(|value| value.cast_signed()).collect() })
    }
}

/// The exact scan.
pub(crate) struct Scan {
    dimensions: usize,
    /// Words of 64 signs that a row has.
    words: usize,
    signs: Vec<u64>,
    values: Vec<i8>,
    scales: Vec<f32>,
    /// The sum of all vectors, in whole numbers, so that the order of additions does not matter.
    sum: Vec<i64>,
    rows: u32,
    arch: Arch,
}

/// What the sum's numbers are multiples of.
const SUM_UNIT: f32 = 1.0 / 1_048_576.0;

impl Scan {
    pub(crate) fn new(dimensions: usize) -> Self {
        let words = dimensions.div_ceil(64);
        Self {
            dimensions,
            words,
            signs: Vec::new(),
            values: Vec::new(),
            scales: Vec::new(),
            sum: vec![0; dimensions],
            rows: 0,
            arch: Arch::new(),
        }
    }

    /// Makes room for rows up to this number.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.signs.reserve_exact((rows * self.words).saturating_sub(self.signs.len()));
        self.values.reserve_exact((rows * self.dimensions).saturating_sub(self.values.len()));
        self.scales.reserve_exact(rows.saturating_sub(self.scales.len()));
    }

    /// Sets a row from the bytes of a [`Coarse`]; false if they are none of this length.
    pub(crate) fn set_bytes(&mut self, doc: Doc, bytes: &[u8]) -> bool {
        match Coarse::read(bytes, self.dimensions) {
            Some(vector) => {
                self.set(doc, &vector);
                true
            }
            None => false,
        }
    }

    /// About the mean cosine of a vector and all rows'.
    pub(crate) fn mean_closeness(&self, query: &Coarse) -> f32 {
        if self.rows == 0 {
            return 0.0;
        }
        let products = self.sum.iter().zip(&query.values).map(|(a, b)| a * i64::from(*b));
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let sum = products.sum::<i64>() as f64;
        let mean = sum * f64::from(SUM_UNIT) * f64::from(query.scale) / f64::from(self.rows);
        #[expect(clippy::cast_possible_truncation, reason = "from -1 to 1")]
        let mean = mean as f32;
        mean
    }

    /// Adds a row to the sum, or takes it out again.
    fn count(&mut self, row: usize, add: bool) {
        let Some(scale) = self.scales.get(row).copied().filter(|scale| *scale > 0.0) else {
            return;
        };
        #[expect(clippy::cast_possible_truncation, reason = "a scale is below 1/127")]
        let unit = (scale / SUM_UNIT).round() as i32;
        let unit = if add { unit } else { -unit };
        let values = self.values.get(row * self.dimensions..(row + 1) * self.dimensions);
        for (sum, value) in self.sum.iter_mut().zip(values.unwrap_or_default()) {
            *sum += i64::from(i32::from(*value) * unit);
        }
        self.rows = if add { self.rows + 1 } else { self.rows.saturating_sub(1) };
    }

    /// About the cosine of two rows' vectors; `None` if one has none.
    pub(crate) fn likeness(&self, a: Doc, b: Doc) -> Option<f32> {
        let ((a, one), (b, other)) = (self.row(a)?, self.row(b)?);
        Some(cosine(product(a, b), one, other))
    }

    /// True if the row has a vector.
    #[cfg(feature = "hnsw")]
    pub(crate) fn has(&self, doc: Doc) -> bool {
        self.scales.get(doc as usize).is_some_and(|scale| *scale > 0.0)
    }

    /// The number behind the last row.
    #[cfg(feature = "hnsw")]
    pub(crate) fn rows_end(&self) -> Doc {
        Doc::try_from(self.scales.len()).unwrap_or(Doc::MAX)
    }

    /// How many rows have a vector.
    #[cfg(feature = "hnsw")]
    pub(crate) fn rows(&self) -> usize {
        self.rows as usize
    }

    fn row(&self, doc: Doc) -> Option<(&[i8], f32)> {
        let row = doc as usize;
        let scale = *self.scales.get(row)?;
        let values = self.values.get(row * self.dimensions..(row + 1) * self.dimensions)?;
        (scale > 0.0).then_some((values, scale))
    }

    /// The rows of `among` that have the most signs in common with the query, at least `count` of them.
    fn nearest_by_sign(&self, query: &Coarse, among: &Bits, count: usize) -> Vec<Doc> {
        let asked = signs(&query.values, self.words);
        let mut distances = Vec::new();
        self.arch.dispatch(Distances {
            words: self.words,
            signs: &self.signs,
            asked: &asked,
            found: &mut distances,
        });
        let mut histogram = vec![0_usize; self.words * 64 + 1];
        let counted = |doc: usize| self.scales.get(doc).is_some_and(|scale| *scale > 0.0);
        for (place, block) in distances.chunks(64).enumerate() {
            let mut word = among.word(place);
            while word != 0 {
                let bit = word.trailing_zeros() as usize;
                word &= word - 1;
                if let Some(distance) = block.get(bit)
                    && counted(place * 64 + bit)
                    && let Some(count) = histogram.get_mut(usize::from(*distance))
                {
                    *count += 1;
                }
            }
        }
        let mut sum = 0;
        let within = histogram.iter().position(|rows| {
            sum += rows;
            sum >= count
        });
        let within = within.unwrap_or(histogram.len());
        let mut found = Vec::with_capacity(sum);
        for (place, block) in distances.chunks(64).enumerate() {
            let mut word = among.word(place);
            while word != 0 {
                let bit = word.trailing_zeros() as usize;
                word &= word - 1;
                let row = place * 64 + bit;
                if block.get(bit).is_some_and(|distance| usize::from(*distance) <= within)
                    && counted(row)
                    && let Ok(doc) = Doc::try_from(row)
                {
                    found.push(doc);
                }
            }
        }
        found
    }

    fn by_value(
        &self,
        query: &Coarse,
        docs: impl Iterator<Item = Doc>,
        count: usize,
    ) -> Vec<(Doc, f32)> {
        let mut found: Vec<(Doc, f32)> = Vec::new();
        self.arch.dispatch(Products { scan: self, query, docs, found: &mut found });
        let best_first = |a: &(Doc, f32), b: &(Doc, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if found.len() > count && count > 0 {
            found.select_nth_unstable_by(count - 1, best_first);
            found.truncate(count);
        }
        found.sort_unstable_by(best_first);
        found
    }
}

impl VectorIndex for Scan {
    fn set(&mut self, doc: Doc, vector: &Coarse) {
        if vector.values.len() != self.dimensions {
            return;
        }
        let rows = doc as usize + 1;
        if self.scales.len() < rows {
            self.scales.resize(rows, 0.0);
            self.signs.resize(rows * self.words, 0);
            self.values.resize(rows * self.dimensions, 0);
        }
        let row = doc as usize;
        self.count(row, false);
        if let Some(place) = self.values.get_mut(row * self.dimensions..(row + 1) * self.dimensions)
        {
            place.copy_from_slice(&vector.values);
        }
        if let Some(place) = self.signs.get_mut(row * self.words..(row + 1) * self.words) {
            place.copy_from_slice(&signs(&vector.values, self.words));
        }
        if let Some(place) = self.scales.get_mut(row) {
            *place = vector.scale;
        }
        self.count(row, true);
    }

    fn remove(&mut self, doc: Doc) {
        let row = doc as usize;
        self.count(row, false);
        if let Some(place) = self.scales.get_mut(row) {
            *place = 0.0;
        }
        if let Some(place) = self.values.get_mut(row * self.dimensions..(row + 1) * self.dimensions)
        {
            place.fill(0);
        }
        if let Some(place) = self.signs.get_mut(row * self.words..(row + 1) * self.words) {
            place.fill(0);
        }
    }

    fn search(&self, query: &Coarse, among: &Bits, count: usize) -> Vec<(Doc, f32)> {
        if query.values.len() != self.dimensions {
            return Vec::new();
        }
        let rows = among.count().min(self.scales.len());
        if rows <= ALL_BY_VALUE {
            return self.by_value(query, among.iter(), count);
        }
        let wanted = (rows / ONE_OF).max(LEAST_BY_VALUE).max(count);
        let nearest = self.nearest_by_sign(query, among, wanted);
        self.by_value(query, nearest.into_iter(), count)
    }

    fn closeness(&self, query: &Coarse, doc: Doc) -> Option<f32> {
        let (values, scale) = self.row(doc)?;
        (values.len() == query.values.len())
            .then(|| cosine(product(values, &query.values), scale, query.scale))
    }

    fn bytes(&self) -> usize {
        self.signs.capacity() * 8 + self.values.capacity() + self.scales.capacity() * 4
    }
}

/// The signs of values, 64 a word; what a row has too few of is nought.
fn signs(values: &[i8], words: usize) -> Vec<u64> {
    let mut signs = vec![0_u64; words];
    for (chunk, word) in values.chunks(64).zip(&mut signs) {
        for (place, value) in chunk.iter().enumerate() {
            *word |= u64::from(*value >= 0) << place;
        }
    }
    signs
}

/// About the cosine of two vectors as [`Coarse::to_bytes`] writes them; nought if they are none.
#[cfg(feature = "hnsw")]
pub(crate) fn close_bytes(a: &[u8], b: &[u8]) -> f32 {
    let (Some((one, a)), Some((other, b))) =
        (a.split_first_chunk::<4>(), b.split_first_chunk::<4>())
    else {
        return 0.0;
    };
    let products =
        a.iter().zip(b).map(|(a, b)| i32::from(a.cast_signed()) * i32::from(b.cast_signed()));
    cosine(products.sum(), f32::from_le_bytes(*one), f32::from_le_bytes(*other))
}

#[inline(always)]
fn product(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "a cosine needs no more")]
fn cosine(product: i32, a: f32, b: f32) -> f32 {
    product as f32 * (a * b)
}

struct Distances<'a> {
    words: usize,
    signs: &'a [u64],
    asked: &'a [u64],
    found: &'a mut Vec<u16>,
}

impl WithSimd for Distances<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.asked {
            // So that the loop over the words of the usual lengths is no loop.
            [a, b, c, d] => {
                self.found.extend(self.signs.as_chunks::<4>().0.iter().map(|[p, q, r, s]| {
                    let sum = (a ^ p).count_ones()
                        + (b ^ q).count_ones()
                        + (c ^ r).count_ones()
                        + (d ^ s).count_ones();
                    sum as u16
                }));
            }
            [a, b, c, d, e, f] => {
                self.found.extend(self.signs.as_chunks::<6>().0.iter().map(
                    |[p, q, r, s, t, u]| {
                        let sum = (a ^ p).count_ones()
                            + (b ^ q).count_ones()
                            + (c ^ r).count_ones()
                            + (d ^ s).count_ones()
                            + (e ^ t).count_ones()
                            + (f ^ u).count_ones();
                        sum as u16
                    },
                ));
            }
            asked => {
                self.found.extend(self.signs.chunks_exact(self.words.max(1)).map(|row| {
                    let bits = row.iter().zip(asked).map(|(a, b)| (a ^ b).count_ones());
                    u16::try_from(bits.sum::<u32>()).unwrap_or(u16::MAX)
                }));
            }
        }
    }
}

struct Products<'a, I> {
    scan: &'a Scan,
    query: &'a Coarse,
    docs: I,
    found: &'a mut Vec<(Doc, f32)>,
}

impl<I: Iterator<Item = Doc>> WithSimd for Products<'_, I> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for doc in self.docs {
            if let Some((values, scale)) = self.scan.row(doc) {
                self.found.push((
                    doc,
                    cosine(product(values, &self.query.values), scale, self.query.scale),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: &mut u64, dimensions: usize) -> Vec<f32> {
        let mut next = || {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f32::from((*seed >> 48) as i16) / 32_768.0
        };
        (0..dimensions).map(|_| next() + next() + next()).collect()
    }

    #[test]
    fn finds_what_an_exact_search_finds() {
        let (dimensions, rows) = (64, 12_000);
        let rotation = Rotation::new(dimensions);
        let mut scan = Scan::new(dimensions);
        let mut seed = 7;
        let centres: Vec<Vec<f32>> = (0..200).map(|_| random(&mut seed, dimensions)).collect();
        let near = |seed: &mut u64, centre: &[f32]| -> Vec<f32> {
            centre.iter().zip(random(seed, dimensions)).map(|(a, b)| a + 0.7 * b).collect()
        };
        let all: Vec<Vec<f32>> = (0..rows).map(|n| near(&mut seed, &centres[n % 200])).collect();
        let mut among = Bits::default();
        for (doc, vector) in (0..).zip(&all) {
            scan.set(doc, &Coarse::of(vector, &rotation).unwrap());
            among.set(doc, true);
        }
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let mut hits = 0;
        for centre in centres.iter().take(10) {
            let query = near(&mut seed, centre);
            let mut exact: Vec<(usize, f32)> =
                all.iter().map(|v| cosine(&query, v)).enumerate().collect();
            exact.sort_by(|a, b| b.1.total_cmp(&a.1));
            let coarse = Coarse::of(&query, &rotation).unwrap();
            let found = scan.search(&coarse, &among, 30);
            hits += exact[..10]
                .iter()
                .filter(|(e, _)| found.iter().any(|(f, _)| *f as usize == *e))
                .count();
            for (doc, score) in &found {
                assert!((score - cosine(&query, &all[*doc as usize])).abs() < 0.01);
                assert_eq!(scan.closeness(&coarse, *doc), Some(*score));
            }
        }
        assert!(hits >= 98, "{hits} of 100");
        let mean = all.iter().map(|v| cosine(&all[3], v)).sum::<f32>() / rows as f32;
        let coarse = Coarse::of(&all[3], &rotation).unwrap();
        assert!((scan.mean_closeness(&coarse) - mean).abs() < 0.005);
        // Removed, and filtered.
        scan.remove(3);
        let coarse = Coarse::of(&all[3], &rotation).unwrap();
        assert!(scan.search(&coarse, &among, 50).iter().all(|(doc, _)| *doc != 3));
        let mut few = Bits::default();
        (0..5).for_each(|n| few.set(n * 1_000, true));
        assert_eq!(scan.search(&coarse, &few, 50).len(), 5);
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        let rotation = Rotation::new(4);
        for bad in
            [vec![0.0; 4], vec![f32::NAN, 1.0, 1.0, 1.0], vec![1.0; 3], vec![f32::INFINITY; 4]]
        {
            assert_eq!(Coarse::of(&bad, &rotation), None);
        }
        let good = Coarse::of(&[1.0, 2.0, 3.0, 4.0], &rotation).unwrap();
        assert_eq!(Coarse::read(&good.to_bytes(), 4).as_ref(), Some(&good));
        assert_eq!(Coarse::read(&good.to_bytes(), 5), None);
        assert_eq!(Coarse::read(&[], 4), None);
    }
}
