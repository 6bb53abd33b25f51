//! Comparing rows by their values: sums of products of eight bits each.

use pulp::{Arch, Simd, WithSimd};

use super::{Best, Coarse, Doc, Scan, coarse::cosine};

/// Rows that are fetched from memory at once.
const AT_ONCE: usize = 16;

/// What is to be compared with what, and where the best of it goes.
pub(super) struct Products<'a> {
    pub(super) scan: &'a Scan,
    pub(super) query: &'a Coarse,
    pub(super) docs: &'a [Doc],
    pub(super) found: &'a mut Best,
}

/// Compares, as fast as this processor can.
pub(super) fn products(arch: Arch, products: Products<'_>) {
    #[cfg(target_arch = "x86_64")]
    if let Arch::V3(v3) = arch
        && let Some(pairs) = pairs::Pairs::new(v3, &products.query.values)
    {
        return v3.vectorize(pairs::InPairs { pairs, products });
    }
    arch.dispatch(products);
}

impl Products<'_> {
    #[inline(always)]
    fn each(self, product: impl Fn(&[i8]) -> i32) {
        // Rows that lie side by side are fetched ahead by the processor itself.
        let span = self.docs.first().zip(self.docs.last()).map_or(0, |(first, last)| last - first);
        let anywhere = span as usize > 4 * self.docs.len();
        for docs in self.docs.chunks(AT_ONCE) {
            if anywhere {
                // A look at each of their cache lines lets the processor wait for all of them at once.
                let rows = docs.iter().filter_map(|doc| self.scan.row(*doc));
                let looks = rows.flat_map(|(values, _)| values.iter().step_by(64));
                std::hint::black_box(looks.map(|value| i32::from(*value)).sum::<i32>());
            }
            for doc in docs {
                if let Some((values, scale)) = self.scan.row(*doc) {
                    self.found.add(*doc, cosine(product(values), scale, self.query.scale));
                }
            }
        }
    }
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let query = self.query;
        self.each(|values| product(values, &query.values));
    }
}

#[inline(always)]
pub(super) fn product(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// By the instruction that adds the products of two pairs, which a compiler finds for half of the width only.
#[cfg(target_arch = "x86_64")]
mod pairs {
    use core::arch::x86_64::{__m128i, __m256i};

    use pulp::{NullaryFnOnce, cast, x86::V3};

    use super::Products;

    /// A query's values in the order and width in which they are multiplied.
    pub(super) struct Pairs {
        v3: V3,
        query: Vec<[__m256i; 2]>,
    }

    impl Pairs {
        /// `None` if the values are no multiple of 32.
        pub(super) fn new(v3: V3, values: &[i8]) -> Option<Self> {
            let (values, []) = values.as_chunks::<32>() else { return None };
            let wide = |values: &[i8; 32]| cast(values.map(i16::from));
            Some(Self { v3, query: values.iter().map(wide).collect() })
        }

        #[inline(always)]
        fn product(&self, values: &[i8]) -> i32 {
            let (avx, avx2) = (self.v3.avx, self.v3.avx2);
            let mut sums = [avx._mm256_setzero_si256(); 2];
            for (values, query) in values.as_chunks::<32>().0.iter().zip(&self.query) {
                let values: [__m128i; 2] = cast(*values);
                for ((sum, values), query) in sums.iter_mut().zip(values).zip(query) {
                    let values = avx2._mm256_cvtepi8_epi16(values);
                    *sum = avx2._mm256_add_epi32(*sum, avx2._mm256_madd_epi16(values, *query));
                }
            }
            let [a, b] = sums;
            let sums: [i32; 8] = cast(avx2._mm256_add_epi32(a, b));
            sums.iter().sum()
        }
    }

    pub(super) struct InPairs<'a> {
        pub(super) pairs: Pairs,
        pub(super) products: Products<'a>,
    }

    impl NullaryFnOnce for InPairs<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            self.products.each(|values| self.pairs.product(values));
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::index::products::product;

        #[test]
        fn pairs_come_to_the_same() {
            let pulp::Arch::V3(v3) = pulp::Arch::new() else { return };
            assert!(Pairs::new(v3, &[1; 33]).is_none());
            for length in [32, 64, 256, 384] {
                let values = |step: usize| -> Vec<i8> {
                    (0..length).map(|n| (n * step % 255) as u8 as i8).collect()
                };
                let (a, b) = (values(37), values(91));
                let pairs = Pairs::new(v3, &a).unwrap();
                assert_eq!(v3.vectorize(|| pairs.product(&b)), product(&a, &b));
                assert_eq!(pairs.product(&vec![-128; length]), product(&a, &vec![-128; length]));
            }
        }
    }
}
