//! The file of a static model: a vector for each piece, in four bits a value.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `OCSTATIC` |
//! | 4 × 3 | little-endian: version (1), pieces, values of a vector (even) |
//! | 4 | length of the vocabulary |
//! | … | the vocabulary, one piece a line |
//! | 2 × pieces | the vectors' scales, little-endian |
//! | pieces × values / 2 | the vectors: in each byte two values from −8 to 7, each plus 8, the first in the low half |

use super::wordpiece::Vocabulary;

const MAGIC: &[u8] = b"OCSTATIC";
const VERSION: u32 = 1;

/// A model's pieces and their vectors.
pub(super) struct Table {
    pub(super) vocabulary: Vocabulary,
    dimensions: usize,
    scales: &'static [u8],
    rows: &'static [u8],
}

impl Table {
    /// The table in `file`. `None` if it is none.
    pub(super) fn read(file: &'static [u8]) -> Option<Self> {
        let mut rest = file.strip_prefix(MAGIC)?;
        let [version, pieces, dimensions, length] =
            [number(&mut rest)?, number(&mut rest)?, number(&mut rest)?, number(&mut rest)?];
        let (pieces, dimensions) = (pieces as usize, dimensions as usize);
        let (words, rest) = rest.split_at_checked(length as usize)?;
        let (scales, rows) = rest.split_at_checked(pieces.checked_mul(2)?)?;
        let vocabulary = Vocabulary::new(std::str::from_utf8(words).ok()?)?;
        let fits = version == VERSION
            && dimensions > 0
            && dimensions.is_multiple_of(2)
            && vocabulary.len() == pieces
            && rows.len() == pieces.checked_mul(dimensions / 2)?;
        fits.then_some(Self { vocabulary, dimensions, scales, rows })
    }

    /// How many values a vector has.
    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Adds the vector of `piece` to `sum`. In whole numbers, so the order does not matter, and
    /// [`MAX_TOKENS`](super::MAX_TOKENS) of the largest are far from overflow.
    pub(super) fn add(&self, piece: u32, sum: &mut [i32]) {
        let (piece, width) = (piece as usize, self.dimensions / 2);
        let scale = self.scales.get(piece * 2..piece * 2 + 2);
        let row = self.rows.get(piece * width..(piece + 1) * width);
        let (Some(&[low, high]), Some(row)) = (scale, row) else {
            return;
        };
        let scale = i32::from(u16::from_le_bytes([low, high]));
        for (two, byte) in sum.chunks_exact_mut(2).zip(row) {
            if let [first, second] = two {
                *first += scale * (i32::from(byte & 0xf) - 8);
                *second += scale * (i32::from(byte >> 4) - 8);
            }
        }
    }
}

fn number(bytes: &mut &'static [u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}
