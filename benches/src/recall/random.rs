//! Numbers that are the same each time.

/// SplitMix64: small, and the same on each machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is not zero.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "less than `limit`")]
        let number = (self.next() % limit.max(1) as u64) as usize;
        number
    }

    /// One of `all`, which is not empty.
    pub(super) fn one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        #[expect(clippy::indexing_slicing, reason = "`below` is below the length")]
        let one = &all[self.below(all.len())];
        one
    }

    pub(super) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }
}
