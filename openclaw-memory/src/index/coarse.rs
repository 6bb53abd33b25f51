//! A vector as the index has it.

use super::Rotation;

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
    #[cfg(any(test, feature = "hnsw"))]
    pub(crate) fn read(bytes: &[u8], dimensions: usize) -> Option<Self> {
        let (scale, values) = parts(bytes, dimensions)?;
        Some(Self { scale, values: values.iter().map(|value| value.cast_signed()).collect() })
    }
}

/// The scale and the values in what [`Coarse::to_bytes`] wrote for a vector of this length.
pub(super) fn parts(bytes: &[u8], dimensions: usize) -> Option<(f32, &[u8])> {
    let (scale, values) = bytes.split_first_chunk::<4>()?;
    let scale = f32::from_le_bytes(*scale);
    (values.len() == dimensions && scale.is_finite() && scale > 0.0).then_some((scale, values))
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
#[expect(clippy::cast_precision_loss, reason = "a cosine needs no more")]
pub(super) fn cosine(product: i32, a: f32, b: f32) -> f32 {
    product as f32 * (a * b)
}

#[cfg(test)]
mod tests {
    use super::*;

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
