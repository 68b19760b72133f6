//! Scalar formulas that vectorise: multiply-add, exponential, GELU, fixed-order sums.
//!
//! Everything is branch-free and `#[inline(always)]`, so a loop over a slice becomes vector code.
//! NaN goes in and NaN comes out: the comparisons below are written so that it passes through.
use super::Isa;

/// Lanes of the fixed-order sums; a multiple of every vector length in use.
pub(crate) const LANES: usize = 16;

/// `a·b + c`, fused where the instruction set has it.
#[inline(always)]
pub(crate) fn fma<I: Isa>(a: f32, b: f32, c: f32) -> f32 {
    if I::FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `eˣ` to about 1 ulp (Cephes' polynomial). Below -87.3 the result is about 1e-38, not 0.
#[inline(always)]
pub(crate) fn exp<I: Isa>(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = if x < -87.336_54 { -87.336_54 } else { x };
    let x = if x > 88.376_26 { 88.376_26 } else { x };
    let shifted = fma::<I>(x, std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = fma::<I>(n, -0.693_359_4, x);
    let r = fma::<I>(n, 2.121_944_4e-4, r);
    let mut y = 1.987_569_1e-4;
    y = fma::<I>(y, r, 1.398_199_9e-3);
    y = fma::<I>(y, r, 8.333_452e-3);
    y = fma::<I>(y, r, 4.166_579_6e-2);
    y = fma::<I>(y, r, 1.666_666_6e-1);
    y = fma::<I>(y, r, 0.5);
    y = fma::<I>(y, r * r, r) + 1.0;
    // 2^n from the integer in the low bits of `shifted`
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    y * power
}

/// (gelu(x), gelu'(x)) in the exact form `x Φ(x)`; Φ by Abramowitz & Stegun 7.1.26, absolute error
/// below 1.5e-7, taken on the tail side so that nothing cancels for negative x.
#[inline(always)]
pub(crate) fn gelu<I: Isa>(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / fma::<I>(z, 0.327_591_1, 1.0);
    let e = exp::<I>(-z * z);
    let mut p = 1.061_405_4;
    p = fma::<I>(p, t, -1.453_152);
    p = fma::<I>(p, t, 1.421_413_8);
    p = fma::<I>(p, t, -0.284_496_72);
    p = fma::<I>(p, t, 0.254_829_6);
    let tail = 0.5 * p * t * e; // 1 - Φ(|x|)
    let cdf = if x < 0.0 { tail } else { 1.0 - tail };
    let pdf = e * 0.398_942_3;
    (x * cdf, fma::<I>(x, pdf, cdf))
}

/// Σ f(x) in a fixed order: 16 running sums, then a tree.
#[inline(always)]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(x, x, |x, _| f(x))
}

/// Σ f(a, b) over pairs, in the order of [`sum`].
#[inline(always)]
pub(crate) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut acc = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((acc, &a), &b) in acc.iter_mut().zip(a).zip(b) {
            *acc += f(a, b);
        }
    }
    for ((acc, &a), &b) in acc.iter_mut().zip(a_rest).zip(b_rest) {
        *acc += f(a, b);
    }
    tree(&acc)
}

/// `y = f(x)`, `LANES` elements at a time through local arrays, which the compiler can vectorise
/// without proving that the slices do not overlap.
#[inline(always)]
pub(crate) fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    for (x, y) in x.iter().zip(y) {
        *y = x.map(&f);
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        *y = f(*x);
    }
}

/// `y = f(y, a, b)`, as [`map`].
#[inline(always)]
pub(crate) fn map3(y: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32, f32) -> f32) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let (y, y_rest) = y.as_chunks_mut::<LANES>();
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        let old = *y;
        *y = std::array::from_fn(|i| f(old[i], a[i], b[i]));
    }
    for ((y, a), b) in y_rest.iter_mut().zip(a_rest).zip(b_rest) {
        *y = f(*y, *a, *b);
    }
}

/// Sum of the lanes, pairwise.
#[inline(always)]
pub(crate) fn tree(acc: &[f32; LANES]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| acc[i] + acc[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

#[cfg(test)]
mod tests {
    use super::super::micro::Portable;
    use super::*;

    #[test]
    fn exp_is_accurate_and_keeps_nan() {
        for i in -8700..8800 {
            let x = i as f32 * 0.01;
            let (got, want) = (f64::from(exp::<Portable>(x)), f64::from(x).exp());
            assert!(((got - want) / want).abs() < 2.5e-7, "exp({x}) = {got}, not {want}");
        }
        assert!(exp::<Portable>(f32::NAN).is_nan());
        assert!(exp::<Portable>(-1e9) < 2e-38);
    }

    #[test]
    fn gelu_and_its_slope_are_accurate() {
        for i in -1200..1200 {
            let x = i as f32 * 0.01;
            let (value, slope) = gelu::<Portable>(x);
            let wide = f64::from(x);
            let cdf = 0.5 * candle_core::cpu::erf::erfc_f64(-wide / 2f64.sqrt());
            let pdf = (-0.5 * wide * wide).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((f64::from(value) - wide * cdf).abs() < 4e-7 * (1.0 + wide.abs()), "gelu({x})");
            assert!((f64::from(slope) - cdf - wide * pdf).abs() < 6e-7, "gelu'({x})");
        }
        assert!(gelu::<Portable>(f32::NAN).0.is_nan());
    }
}
