//! The traces are there, are weak, and are learnable: a linear rule over eleven hand-made numbers, trained on half of
//! the people, tells every forgery of the other half from real pictures; between real and real it finds nothing.

use std::sync::LazyLock;

use rayon::prelude::*;

use crate::image::Rgb;
use crate::synth::gallery;

const N: usize = 11;

/// Energies of fine structure in parts of the picture, colours, extremes.
fn features(picture: &Rgb) -> [f64; N] {
    let n = picture.width;
    let grey: Vec<f64> = picture
        .pixels
        .as_chunks::<3>()
        .0
        .iter()
        .map(|p| (0.30 * f64::from(p[0]) + 0.59 * f64::from(p[1]) + 0.11 * f64::from(p[2])) / 255.0)
        .collect();
    let edge = |x: usize, y: usize| {
        let i = y * n + x;
        (4.0 * grey[i] - grey[i - 1] - grey[i + 1] - grey[i - n] - grey[i + n]).powi(2)
    };
    let coarse = |x: usize, y: usize| (grey[y * n + x + 2] - grey[y * n + x]).powi(2);
    // mean over a box given in 1/16 of the side
    let mean = |b: [usize; 4], f: &dyn Fn(usize, usize) -> f64| {
        let [x0, y0, x1, y1] = b.map(|v| (v * n / 16).clamp(1, n - 3));
        let cells = (y0..y1).flat_map(|y| (x0..x1).map(move |x| (x, y)));
        cells.map(|(x, y)| f(x, y)).sum::<f64>() / ((x1 - x0) * (y1 - y0)) as f64
    };
    let log = |v: f64| (v + 1e-6).ln();
    let channel = |c: usize| move |x: usize, y: usize| f64::from(picture.get(x, y)[c]) / 255.0;
    let (face, mouth, eyes, rim) = ([5, 5, 11, 12], [6, 10, 10, 13], [5, 6, 11, 8], [0, 0, 16, 2]);
    let spread = |x: usize, y: usize| {
        let p = picture.get(x, y).map(f64::from);
        (p[0].max(p[1]).max(p[2]) - p[0].min(p[1]).min(p[2])) / 255.0
    };
    let mut sorted = grey.clone();
    sorted.sort_by(f64::total_cmp);
    [
        log(mean(face, &edge)),
        log(mean(mouth, &edge)),
        log(mean(eyes, &edge)),
        log(mean(rim, &edge)),
        log(mean([0, 4, 2, 16], &edge)),
        log(mean(face, &coarse)),
        mean([0, 0, 16, 16], &spread),
        mean(face, &channel(2)) - mean(face, &channel(0)) - mean([6, 2, 10, 4], &channel(2))
            + mean([6, 2, 10, 4], &channel(0)),
        sorted[n * n / 50],
        sorted[n * n - n * n / 50],
        log(mean([0, 0, 16, 16], &|x, y| (edge(x, y) - edge(x - 1, y)).abs())),
    ]
}

/// Fisher's rule with a little ridge: weights from two classes of feature vectors.
fn fisher(real: &[[f64; N]], fake: &[[f64; N]]) -> [f64; N] {
    let mean = |v: &[[f64; N]]| -> [f64; N] {
        std::array::from_fn(|i| v.iter().map(|f| f[i]).sum::<f64>() / v.len() as f64)
    };
    let (a, b) = (mean(real), mean(fake));
    let mut m = [[0.0; N]; N];
    for (set, centre) in [(real, a), (fake, b)] {
        for f in set {
            for i in 0..N {
                for j in 0..N {
                    m[i][j] += (f[i] - centre[i]) * (f[j] - centre[j]);
                }
            }
        }
    }
    for (i, row) in m.iter_mut().enumerate() {
        row[i] *= 1.1;
        row[i] += 1e-9;
    }
    let mut w: [f64; N] = std::array::from_fn(|i| b[i] - a[i]);
    for i in 0..N {
        for k in i + 1..N {
            let f = m[k][i] / m[i][i];
            let pivot = m[i];
            m[k].iter_mut().zip(pivot).for_each(|(v, p)| *v -= f * p);
            w[k] -= f * w[i];
        }
    }
    for i in (0..N).rev() {
        let known: f64 = (i + 1..N).map(|j| m[i][j] * w[j]).sum();
        w[i] = (w[i] - known) / m[i][i];
    }
    w
}

/// Share of (real, fake) pairs ordered rightly.
fn auc(w: &[f64; N], real: &[[f64; N]], fake: &[[f64; N]]) -> f64 {
    let score = |f: &[f64; N]| f.iter().zip(w).map(|(a, b)| a * b).sum::<f64>();
    let wins: f64 = fake
        .iter()
        .flat_map(|b| real.iter().map(move |a| (score(a), score(b))))
        .map(|(a, b)| {
            if b > a {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        })
        .sum();
    wins / (real.len() * fake.len()) as f64
}

/// Features per kind, per person.
type Study = Vec<(&'static str, Vec<[f64; N]>)>;

/// At calibrated strength; two tests look at it.
static FULL: LazyLock<Study> = LazyLock::new(|| study(1.0));

/// Features of 120 galleries: per kind, per person.
fn study(trace: f32) -> Study {
    let people: Vec<Vec<(&str, [f64; N])>> = (0..120u64)
        .into_par_iter()
        .map(|seed| gallery(seed, 64, trace).into_iter().map(|(name, p)| (name, features(&p))).collect())
        .collect();
    (0..people[0].len()).map(|k| (people[0][k].0, people.iter().map(|p| p[k].1).collect())).collect()
}

/// AUC on the second half of the people, trained on the first.
fn learnt(real: &[[f64; N]], fake: &[[f64; N]]) -> f64 {
    auc(&fisher(&real[..60], &fake[..60]), &real[60..], &fake[60..])
}

#[test]
fn every_forgery_can_be_learnt_and_real_from_real_cannot() {
    let kinds = &*FULL;
    let real = &kinds[0].1;
    let mut seen = Vec::new();
    for (name, fake) in &kinds[1..] {
        let auc = learnt(real, fake);
        seen.push(format!("{name} {auc:.2}"));
        assert!(auc > 0.62, "{name}: {auc:.3}");
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
    let (even, odd): (Vec<_>, Vec<_>) = real.iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let half = |v: Vec<(usize, &[f64; N])>| -> Vec<[f64; N]> { v.into_iter().map(|x| *x.1).collect() };
    let (a, b) = (half(even), half(odd));
    let chance = auc(&fisher(&a[..30], &b[..30]), &a[30..], &b[30..]);
    assert!((chance - 0.5).abs() < 0.25, "real against real: {chance:.3}");
}

#[test]
fn traces_are_weak_and_fade_with_the_knob() {
    let (full, faint) = (&*FULL, study(0.25));
    let mean = |kinds: &[(&str, Vec<[f64; N]>)]| {
        kinds[1..].iter().map(|(_, fake)| learnt(&kinds[0].1, fake)).sum::<f64>() / (kinds.len() - 1) as f64
    };
    let (strong, weak) = (mean(full), mean(&faint));
    assert!(weak + 0.03 < strong, "mean AUC {strong:.3} at full strength, {weak:.3} at a quarter");
    // a forgery stays close to the picture it was made of
    for seed in 0..10 {
        let all = gallery(seed, 64, 1.0);
        for (name, p) in &all[5..7] {
            let change =
                p.pixels.iter().zip(&all[0].1.pixels).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
            let change = change / p.pixels.len() as f64;
            assert!((0.05..12.0).contains(&change), "{name} of {seed}: mean change {change:.2} of 255");
        }
    }
}
