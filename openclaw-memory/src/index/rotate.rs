//! A fixed turn of the space, after which every value of a vector tells about as much.

/// Rounds of changing signs and mixing.
const ROUNDS: usize = 2;

/// Turns vectors of one length; distances and cosines stay what they were.
///
/// Each round changes signs by a fixed pattern and mixes by Walsh-Hadamard transforms of the first and of
/// the last values, as many as a power of two allows. Additions are made in one order, so the result is the
/// same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    signs: Vec<f32>,
    dimensions: usize,
    /// The largest power of two that is not above `dimensions`.
    span: usize,
}

impl Rotation {
    pub(crate) fn new(dimensions: usize) -> Self {
        let mut state = 0x6f70_656e_636c_6177_u64;
        let mut sign = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            if (mixed ^ mixed >> 31) & 1 == 0 { 1.0 } else { -1.0 }
        };
        let signs = (0..dimensions * 2 * ROUNDS).map(|_| sign()).collect();
        let span = if dimensions == 0 { 0 } else { 1 << dimensions.ilog2() };
        Self { signs, dimensions, span }
    }

    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Turns `vector`, which must be of this length.
    pub(crate) fn turn(&self, vector: &mut [f32]) {
        if vector.len() != self.dimensions || self.dimensions == 0 {
            return;
        }
        for (step, signs) in self.signs.chunks_exact(self.dimensions).enumerate() {
            for (value, sign) in vector.iter_mut().zip(signs) {
                *value *= sign;
            }
            let from = if step % 2 == 0 { 0 } else { self.dimensions - self.span };
            if let Some(part) = vector.get_mut(from..from + self.span) {
                mix(part);
            }
        }
    }
}

/// The Walsh-Hadamard transform, scaled so that lengths stay.
fn mix(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small power of two")]
    let scale = 1.0 / (values.len() as f32).sqrt();
    values.iter_mut().for_each(|value| *value *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_angles_stay() {
        for dimensions in [1, 3, 64, 256, 384, 1_000] {
            let turn = Rotation::new(dimensions);
            let make = |seed: u32| -> Vec<f32> {
                (0..dimensions).map(|n| ((n as u32 * 37 + seed) % 17) as f32 - 8.0).collect()
            };
            let (a, b) = (make(1), make(5));
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let (mut c, mut d) = (a.clone(), b.clone());
            turn.turn(&mut c);
            turn.turn(&mut d);
            assert!((dot(&a, &b) - dot(&c, &d)).abs() < 1e-3 * dot(&a, &a), "{dimensions}");
            assert!(dimensions < 3 || a != c);
        }
    }
}
