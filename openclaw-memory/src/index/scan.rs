//! Every vector looked at, first by its signs, then the best of them by eight bits a value.
//!
//! The signs of a turned vector are a coarse picture of it, 32 times smaller; comparing them is a matter of
//! counting bits. Those that look closest, far more than are wanted, are then compared by their values.
//! All sums are of integers, so they are the same on every machine; each loop is compiled for several
//! generations of processors, and the best that this one has is taken when it runs.

use pulp::{Arch, Simd, WithSimd};

use super::{
    Best, Bits, Coarse, Doc, VectorIndex,
    coarse::{cosine, parts},
    products::{Products, product, products},
};

/// Up to so many rows, all are compared by their values.
const ALL_BY_VALUE: usize = 10_240;
/// Of more, one of so many is compared by its values, but never fewer than [`LEAST_BY_VALUE`].
const ONE_OF: usize = 48;
const LEAST_BY_VALUE: usize = 2_048;
/// How close by sign those are that are compared by value is estimated by one of so many blocks of 64 rows.
const SAMPLED: usize = 8;

/// The exact scan.
pub(crate) struct Scan {
    dimensions: usize,
    /// Words of 64 signs that a row has.
    words: usize,
    signs: Vec<u64>,
    values: Vec<i8>,
    scales: Vec<f32>,
    /// The rows that have a vector.
    there: Bits,
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
            there: Bits::default(),
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
        match parts(bytes, self.dimensions) {
            Some((scale, values)) => {
                self.put(doc, scale, values.iter().map(|value| value.cast_signed()));
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

    /// Puts another behind it: its row 0 becomes row `from`, a multiple of 64 that no row here has reached.
    pub(crate) fn append(&mut self, from: Doc, other: &Self) {
        let rows = from as usize;
        self.reserve(rows + other.scales.len());
        self.scales.resize(rows, 0.0);
        self.scales.extend_from_slice(&other.scales);
        self.signs.resize(rows * self.words, 0);
        self.signs.extend_from_slice(&other.signs);
        self.values.resize(rows * self.dimensions, 0);
        self.values.extend_from_slice(&other.values);
        self.there.append(from, &other.there);
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, other)| *sum += other);
        self.rows += other.rows;
    }

    /// Sets a row; the values are as many as there are dimensions.
    fn put(&mut self, doc: Doc, scale: f32, values: impl Iterator<Item = i8>) {
        let row = doc as usize;
        if self.scales.len() <= row {
            self.scales.resize(row + 1, 0.0);
            self.signs.resize((row + 1) * self.words, 0);
            self.values.resize((row + 1) * self.dimensions, 0);
        }
        self.count(row, false);
        let place = self.values.get_mut(row * self.dimensions..(row + 1) * self.dimensions);
        if let (Some(place), Some(words)) =
            (place, self.signs.get_mut(row * self.words..(row + 1) * self.words))
        {
            place.iter_mut().zip(values).for_each(|(place, value)| *place = value);
            signs(place, words);
        }
        if let Some(place) = self.scales.get_mut(row) {
            *place = scale;
        }
        self.there.set(doc, true);
        self.count(row, true);
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
        let values = values.unwrap_or_default();
        self.arch.dispatch(|| {
            for (sum, value) in self.sum.iter_mut().zip(values) {
                *sum += i64::from(i32::from(*value) * unit);
            }
        });
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

    /// A row's values and their scale.
    #[inline]
    pub(super) fn row(&self, doc: Doc) -> Option<(&[i8], f32)> {
        let row = doc as usize;
        let scale = *self.scales.get(row)?;
        let values = self.values.get(row * self.dimensions..(row + 1) * self.dimensions)?;
        (scale > 0.0).then_some((values, scale))
    }

    /// The rows of `among` that have the most signs in common with the query: about `count` of them.
    fn nearest_by_sign(&self, query: &Coarse, among: &Bits, count: usize) -> Vec<Doc> {
        let mut asked = vec![0; self.words];
        signs(&query.values, &mut asked);
        let mut found = Vec::new();
        for sampled in [SAMPLED, 1] {
            let within = self.within(&asked, among, count.div_ceil(sampled), sampled);
            found.clear();
            self.distances(&asked, among, 1, within, |doc, _| found.push(doc));
            // Of a part of the rows that lie together a sample may tell little.
            if found.len() * 2 >= count {
                break;
            }
        }
        found
    }

    /// How many signs may differ so that `count` rows of one of so many blocks are within.
    fn within(&self, asked: &[u64], among: &Bits, count: usize, sampled: usize) -> u16 {
        let mut histogram = vec![0_usize; self.words * 64 + 1];
        self.distances(asked, among, sampled, u16::MAX, |_, distance| {
            if let Some(rows) = histogram.get_mut(usize::from(distance)) {
                *rows += 1;
            }
        });
        let mut sum = 0;
        let within = histogram.iter().position(|rows| {
            sum += rows;
            sum >= count
        });
        within.and_then(|within| u16::try_from(within).ok()).unwrap_or(u16::MAX)
    }

    /// Tells the rows of `among` in one of so many blocks of 64 of which no more than `within` signs differ, and how
    /// many do.
    fn distances(
        &self,
        asked: &[u64],
        among: &Bits,
        sampled: usize,
        within: u16,
        each: impl FnMut(Doc, u16),
    ) {
        self.arch.dispatch(Distances { scan: self, asked, among, sampled, within, each });
    }

    fn by_value(&self, query: &Coarse, docs: &[Doc], count: usize) -> Vec<(Doc, f32)> {
        let mut found = Best::new(count);
        products(self.arch, Products { scan: self, query, docs, found: &mut found });
        found.sorted()
    }
}

impl VectorIndex for Scan {
    fn set(&mut self, doc: Doc, vector: &Coarse) {
        if vector.values.len() == self.dimensions {
            self.put(doc, vector.scale, vector.values.iter().copied());
        }
    }

    fn remove(&mut self, doc: Doc) {
        let row = doc as usize;
        self.count(row, false);
        self.there.set(doc, false);
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
            return self.by_value(query, &among.iter().collect::<Vec<_>>(), count);
        }
        let wanted = (rows / ONE_OF).max(LEAST_BY_VALUE).max(count);
        let nearest = self.nearest_by_sign(query, among, wanted);
        self.by_value(query, &nearest, count)
    }

    fn closeness(&self, query: &Coarse, doc: Doc) -> Option<f32> {
        let (values, scale) = self.row(doc)?;
        (values.len() == query.values.len())
            .then(|| cosine(product(values, &query.values), scale, query.scale))
    }

    fn bytes(&self) -> usize {
        self.signs.capacity() * 8
            + self.values.capacity()
            + self.scales.capacity() * 4
            + self.there.bytes()
    }
}

/// The signs of values, 64 a word; what a row has too few of is nought.
fn signs(values: &[i8], words: &mut [u64]) {
    for (chunk, word) in values.chunks(64).zip(words) {
        *word = 0;
        let (eights, rest) = chunk.as_chunks::<8>();
        for (place, eight) in eights.iter().enumerate() {
            let bytes = u64::from_le_bytes(eight.map(i8::cast_unsigned));
            // One bit a byte, set where the value is not negative; the product gathers them in its highest byte.
            let set = (!bytes >> 7) & 0x0101_0101_0101_0101;
            *word |= (set.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * place);
        }
        for (place, value) in rest.iter().enumerate() {
            *word |= u64::from(*value >= 0) << (8 * eights.len() + place);
        }
    }
}

struct Distances<'a, F> {
    scan: &'a Scan,
    asked: &'a [u64],
    among: &'a Bits,
    sampled: usize,
    within: u16,
    each: F,
}

impl<F: FnMut(Doc, u16)> Distances<'_, F> {
    /// Of each block of 64 rows the distances are worked out together.
    #[inline(always)]
    fn blocks(mut self, differing: impl Fn(&[u64]) -> u32) {
        let (words, signs) = (self.scan.words.max(1), &self.scan.signs);
        for (place, block) in signs.chunks(64 * words).enumerate().step_by(self.sampled) {
            let word = self.among.word(place) & self.scan.there.word(place);
            if word == 0 {
                continue;
            }
            let mut distances = [0_u16; 64];
            for (distance, row) in distances.iter_mut().zip(block.chunks_exact(words)) {
                *distance = differing(row) as u16;
            }
            for (part, eight) in distances.as_chunks::<8>().0.iter().enumerate() {
                // Nearly always there is none.
                if eight.iter().fold(u16::MAX, |least, distance| least.min(*distance)) > self.within
                {
                    continue;
                }
                for (bit, distance) in eight.iter().enumerate() {
                    let bit = part * 8 + bit;
                    if *distance <= self.within
                        && word >> bit & 1 == 1
                        && let Ok(doc) = Doc::try_from(place * 64 + bit)
                    {
                        (self.each)(doc, *distance);
                    }
                }
            }
        }
    }
}

impl<F: FnMut(Doc, u16)> WithSimd for Distances<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let asked = self.asked;
        // Of the usual lengths the number of words is known, so that the loop over them is none.
        if let Ok(asked) = <&[u64; 4]>::try_from(asked) {
            self.blocks(|row| row.first_chunk().map_or(0, |row| differing(row, asked)));
        } else if let Ok(asked) = <&[u64; 6]>::try_from(asked) {
            self.blocks(|row| row.first_chunk().map_or(0, |row| differing(row, asked)));
        } else {
            self.blocks(|row| row.iter().zip(asked).map(|(a, b)| (a ^ b).count_ones()).sum());
        }
    }
}

#[inline(always)]
fn differing<const N: usize>(a: &[u64; N], b: &[u64; N]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Rotation;

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
    fn signs_are_those_of_the_values() {
        let mut seed = 1;
        for length in [1, 7, 8, 63, 64, 100] {
            let values: Vec<i8> =
                random(&mut seed, length).iter().map(|v| (v * 40.0) as i8).collect();
            let mut words = vec![u64::MAX; length.div_ceil(64)];
            signs(&values, &mut words);
            let bit = |place: usize| words[place / 64] >> (place % 64) & 1 == 1;
            assert!((0..length).all(|place| bit(place) == (values[place] >= 0)), "{values:?}");
            assert!((length..words.len() * 64).all(|place| !bit(place)));
        }
    }
}
