//! The exponential function that attention and SwiGLU share. Written over [`Lanes`], so that all instruction sets,
//! and the scalar twin, agree on every bit; the one of the C library would differ from system to system.

use super::Lanes;

/// `1.5 * 2^23`: added to a small number it leaves the nearest integer in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// `ln 2` in two parts, the first with trailing zeros, so that `n * LN_2_HIGH` is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Above, `e^x` is no finite number; clamped, since no caller needs infinity.
const HIGHEST: f32 = 88.0;
/// Below, `e^x` is no normal number; zero is given.
const LOWEST: f32 = -87.0;

/// `e^x` to within 2 units in the last place; zero below -87, `e^88` above 88. Exactly 1 at 0. Not meant for NaN.
///
/// `x = n ln 2 + r` with an integer `n`; `e^r` by a polynomial of degree 6; `2^n` by the exponent bits.
#[inline(always)]
pub(super) fn exp<V: Lanes>(x: V) -> V {
    let clamped = x.min(V::splat(HIGHEST)).max(V::splat(LOWEST));
    let shifted = clamped.mul_add(V::splat(LOG2_E), V::splat(ROUND));
    let n = shifted.sub(V::splat(ROUND));
    let r = n.mul_add(V::splat(-LN_2_HIGH), clamped);
    let r = n.mul_add(V::splat(-LN_2_LOW), r);
    let mut sum = V::splat(1.0 / 720.0);
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum.mul_add(r, V::splat(coefficient));
    }
    sum.scale_by_power(shifted).zero_where_below(x, V::splat(LOWEST))
}
