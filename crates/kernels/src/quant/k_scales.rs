//! The 8 scales and 8 minima, 6 bits each, that some formats pack into 12 bytes: for the first 4 groups they are the low
//! bits of bytes 0 to 3 and 4 to 7; for the others, 4 bits are in bytes 8 to 11 (the scale in the low half) and 2 in the
//! high bits of the former.

use super::tile::{Vector, part};

/// The packed bytes, filled up.
pub(super) fn read(packed: &[u8; 12]) -> [u8; 16] {
    let mut scales = [0; 16];
    scales[..12].copy_from_slice(packed);
    scales
}

/// Scale and minimum of a group.
pub(super) fn scale_and_minimum(packed: &[u8; 16], group: usize) -> (u8, u8) {
    if group < 4 {
        return (packed[group] & 63, packed[group + 4] & 63);
    }
    let low = packed[group + 4];
    (
        low & 15 | packed[group - 4] >> 6 << 4,
        low >> 4 | packed[group] >> 6 << 4,
    )
}

/// The way back from [`scale_and_minimum`].
pub(super) fn pack(scales: [u8; 8], minima: [u8; 8]) -> [u8; 12] {
    std::array::from_fn(|at| {
        let group = at % 4;
        match at / 4 {
            0 => scales[group] | scales[group + 4] >> 4 << 6,
            1 => minima[group] | minima[group + 4] >> 4 << 6,
            _ => scales[group + 4] & 15 | minima[group + 4] << 4,
        }
    })
}

/// Scales and minima of all groups of a block, for the 16 rows of a tile.
#[derive(Clone, Copy)]
pub(super) struct KScales {
    scales: [[u8; 64]; 2],
    minima: [[u8; 64]; 2],
}

impl KScales {
    /// From 12 runs of 16 bytes, each one of the packed bytes of all rows.
    #[inline(always)]
    pub(super) fn unpack<V: Vector>(v: V, packed: &[u8; 192]) -> KScales {
        let mut unpacked = KScales {
            scales: [[0; 64]; 2],
            minima: [[0; 64]; 2],
        };
        // Not by `map`, which is a call to code for any CPU.
        let [a, b, c] = [
            v.load(part(packed, 0)),
            v.load(part(packed, 64)),
            v.load(part(packed, 128)),
        ];
        v.store_bytes(v.and(a, 63), &mut unpacked.scales[0]);
        v.store_bytes(v.and(b, 63), &mut unpacked.minima[0]);
        let high = |bytes| v.and(v.shift_right(bytes, 2), 48);
        v.store_bytes(v.or(v.and(c, 15), high(a)), &mut unpacked.scales[1]);
        v.store_bytes(
            v.or(v.and(v.shift_right(c, 4), 15), high(b)),
            &mut unpacked.minima[1],
        );
        unpacked
    }

    #[inline(always)]
    pub(super) fn scale(&self, group: usize) -> &[u8; 16] {
        part(self.scales.as_flattened(), 16 * group)
    }

    #[inline(always)]
    pub(super) fn minimum(&self, group: usize) -> &[u8; 16] {
        part(self.minima.as_flattened(), 16 * group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_scales_and_minima_come_back() {
        let scales = [0, 63, 1, 62, 16, 47, 15, 33];
        let minima = [63, 0, 48, 17, 31, 63, 0, 5];
        let packed = read(&pack(scales, minima));
        for group in 0..8 {
            assert_eq!(scale_and_minimum(&packed, group), (scales[group], minima[group]));
        }
    }
}
