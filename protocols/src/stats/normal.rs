//! The normal distribution: tail probability and quantile, to about 14 digits.
//!
//! erf by its all-positive series below 2, erfc by Lentz's continued fraction above; the quantile by Acklam's
//! rational start and two Newton steps. Own code, because one function is not worth a numerics crate.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// erfc(x) = 1 − erf(x), accurate in the far tail.
pub fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < 2.0 {
        // erf(x) = 2/√π e^(−x²) Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1))
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        return 1.0 - 2.0 / PI.sqrt() * (-x * x).exp() * sum;
    }
    // erfc(x) = e^(−x²)/√π · 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …))))
    let mut tail = x;
    for k in (1..=60).rev() {
        tail = x + f64::from(k) / 2.0 / tail;
    }
    (-x * x).exp() / PI.sqrt() / tail
}

/// P(Z ≤ z).
pub fn cdf(z: f64) -> f64 {
    0.5 * erfc(-z * FRAC_1_SQRT_2)
}

/// P(|Z| ≥ |z|).
pub fn two_sided(z: f64) -> f64 {
    erfc(z.abs() * FRAC_1_SQRT_2)
}

/// z with P(Z ≤ z) = p, for p in (0, 1).
pub fn quantile(p: f64) -> f64 {
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    // Acklam, relative error about 1e-9
    let mut z = if p < 0.024_25 {
        let q = (-2.0 * p.ln()).sqrt();
        let c = [
            -7.784_894_002_430_293e-3,
            -0.322_396_458_041_136_5,
            -2.400_758_277_161_838,
            -2.549_732_539_343_734,
            4.374_664_141_464_968,
            2.938_163_982_698_783,
        ];
        let d =
            [7.784_695_709_041_462e-3, 0.322_467_129_070_039_8, 2.445_134_137_142_996, 3.754_408_661_907_416];
        horner(&c, q) / (horner(&d, q) * q + 1.0)
    } else {
        let q = p - 0.5;
        let r = q * q;
        let a = [
            -39.696_830_286_653_76,
            220.946_098_424_520_5,
            -275.928_510_446_968_7,
            138.357_751_867_269,
            -30.664_798_066_147_16,
            2.506_628_277_459_239,
        ];
        let b = [
            -54.476_098_798_224_06,
            161.585_836_858_040_9,
            -155.698_979_859_886_6,
            66.801_311_887_719_72,
            -13.280_681_552_885_72,
        ];
        horner(&a, r) * q / (horner(&b, r) * r + 1.0)
    };
    for _ in 0..2 {
        z -= (cdf(z) - p) / ((-z * z / 2.0).exp() / (2.0 * PI).sqrt());
    }
    z
}

fn horner(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

#[cfg(test)]
mod tests {
    use super::{cdf, erfc, quantile, two_sided};

    #[test]
    fn known_values() {
        for (x, want) in [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (2.9, 4.109_787_809_945_886e-5),
            (3.1, 1.164_865_736_719_959e-5),
            (5.0, 1.537_459_794_428_035e-12),
            (-1.0, 1.842_700_792_949_715),
        ] {
            assert!((erfc(x) / want - 1.0).abs() < 1e-10, "erfc({x}) = {}", erfc(x));
        }
        assert!((cdf(1.959_963_984_540_054) - 0.975).abs() < 1e-15);
        assert!((two_sided(1.959_963_984_540_054) - 0.05).abs() < 1e-15);
    }

    #[test]
    fn the_quantile_inverts() {
        for p in [1e-12, 1e-4, 0.01, 0.024, 0.025, 0.3, 0.5, 0.8, 0.975, 0.999_9] {
            assert!((cdf(quantile(p)) / p - 1.0).abs() < 1e-12, "{p}");
        }
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
    }
}
