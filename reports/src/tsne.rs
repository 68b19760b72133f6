//! Exact t-SNE (van der Maaten and Hinton, 2008), for a few thousand feature vectors.
//!
//! The quadratic method, because it is deterministic and n ≤ 5 000 points fill a figure: perplexity by bisection, early
//! exaggeration 12 for 250 of 1 000 steps, momentum 0.5 then 0.8, gains, learning rate max(n / 12, 50) (Belkina et al.,
//! 2019). The start is the first two principal axes (power iteration) scaled to 1e-4, so there is no seed to choose.

use rayon::prelude::*;

/// Most points that are laid out.
pub const MOST: usize = 5000;
const STEPS: usize = 1000;
const EXAGGERATED: usize = 250;
const EXAGGERATION: f64 = 12.0;

/// Positions of `n` points of `d` numbers each, `points` row-major.
///
/// # Panics
/// `points` does not hold `n · d` numbers.
pub fn tsne(points: &[f32], n: usize, d: usize, perplexity: f64) -> Vec<(f64, f64)> {
    assert_eq!(points.len(), n * d, "row-major points");
    if n < 4 {
        return (0..n).map(|i| (i as f64, 0.0)).collect();
    }
    let perplexity = perplexity.min((n as f64 - 1.0) / 3.0).max(1.0);
    let p = joint(points, n, d, perplexity);
    let mut y = start(points, n, d);
    let mut velocity = vec![(0.0, 0.0); n];
    let mut gains = vec![(1.0_f64, 1.0_f64); n];
    let rate = (n as f64 / EXAGGERATION).max(50.0);
    for step in 0..STEPS {
        let exaggeration = if step < EXAGGERATED { EXAGGERATION } else { 1.0 };
        let momentum = if step < EXAGGERATED { 0.5 } else { 0.8 };
        let gradient = gradient(&p, &y, exaggeration);
        for i in 0..n {
            let update = |g: f64, v: &mut f64, gain: &mut f64, x: &mut f64| {
                *gain = if (g > 0.0) == (*v > 0.0) { (*gain * 0.8).max(0.01) } else { *gain + 0.2 };
                *v = momentum * *v - rate * *gain * g;
                *x += *v;
            };
            update(gradient[i].0, &mut velocity[i].0, &mut gains[i].0, &mut y[i].0);
            update(gradient[i].1, &mut velocity[i].1, &mut gains[i].1, &mut y[i].1);
        }
        let mean = y.iter().fold((0.0, 0.0), |m, p| (m.0 + p.0, m.1 + p.1));
        y.iter_mut().for_each(|p| *p = (p.0 - mean.0 / n as f64, p.1 - mean.1 / n as f64));
    }
    y
}

/// Symmetric joint probabilities, n × n, whose conditional rows have the wanted perplexity.
fn joint(points: &[f32], n: usize, d: usize, perplexity: f64) -> Vec<f64> {
    let row = |i: usize| &points[i * d..(i + 1) * d];
    let conditional: Vec<Vec<f64>> = (0..n)
        .into_par_iter()
        .map(|i| {
            let distance = |j: usize| -> f64 {
                row(i).iter().zip(row(j)).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
            };
            let squared: Vec<f64> = (0..n).map(distance).collect();
            conditional(&squared, i, perplexity.ln())
        })
        .collect();
    let mut p = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            p[i * n + j] = ((conditional[i][j] + conditional[j][i]) / (2.0 * n as f64)).max(1e-12);
        }
    }
    p
}

/// Row `i` with entropy `target`, by bisection on the precision.
fn conditional(squared: &[f64], i: usize, target: f64) -> Vec<f64> {
    let nearest =
        squared.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, s)| *s).fold(f64::INFINITY, f64::min);
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0);
    let mut p = vec![0.0; squared.len()];
    for _ in 0..64 {
        let (mut sum, mut weighted) = (0.0, 0.0);
        for (j, s) in squared.iter().enumerate() {
            p[j] = if j == i { 0.0 } else { (-(s - nearest) * beta).exp() };
            sum += p[j];
            weighted += p[j] * (s - nearest);
        }
        let entropy = sum.ln() + beta * weighted / sum;
        p.iter_mut().for_each(|v| *v /= sum);
        if (entropy - target).abs() < 1e-6 {
            break;
        }
        if entropy > target {
            low = beta;
            beta = if high.is_finite() { f64::midpoint(beta, high) } else { beta * 2.0 };
        } else {
            high = beta;
            beta = f64::midpoint(beta, low);
        }
    }
    p
}

/// The first two principal axes, scaled so that the first has standard deviation 1e-4.
fn start(points: &[f32], n: usize, d: usize) -> Vec<(f64, f64)> {
    let mut centred: Vec<f64> = points.iter().map(|v| f64::from(*v)).collect();
    for c in 0..d {
        let mean = (0..n).map(|i| centred[i * d + c]).sum::<f64>() / n as f64;
        (0..n).for_each(|i| centred[i * d + c] -= mean);
    }
    let mut axes: Vec<Vec<f64>> = Vec::new();
    for k in 0..2 {
        let mut v: Vec<f64> = (0..d).map(|c| ((c * 7 + k * 3) % 11) as f64 - 5.0 + 0.5).collect();
        for _ in 0..100 {
            for a in &axes {
                let dot: f64 = a.iter().zip(&v).map(|(x, y)| x * y).sum();
                v.iter_mut().zip(a).for_each(|(x, y)| *x -= dot * y);
            }
            let mut next = vec![0.0; d];
            for row in centred.chunks_exact(d) {
                let dot: f64 = row.iter().zip(&v).map(|(x, y)| x * y).sum();
                next.iter_mut().zip(row).for_each(|(x, y)| *x += dot * y);
            }
            let norm = next.iter().map(|x| x * x).sum::<f64>().sqrt();
            if norm < 1e-30 {
                break; // fewer than two dimensions of variation
            }
            v = next.into_iter().map(|x| x / norm).collect();
        }
        axes.push(v);
    }
    let along = |row: &[f64], k: usize| row.iter().zip(&axes[k]).map(|(x, y)| x * y).sum::<f64>();
    let y: Vec<(f64, f64)> = centred.chunks_exact(d).map(|r| (along(r, 0), along(r, 1))).collect();
    let spread = (y.iter().map(|p| p.0 * p.0).sum::<f64>() / n as f64).sqrt().max(1e-12);
    // a hair of asymmetry keeps equal points from staying together for ever
    let hair = |i: usize| 1e-8 * (((i * 2_654_435_761) % 1000) as f64 / 1000.0 - 0.5);
    y.iter()
        .enumerate()
        .map(|(i, p)| (p.0 / spread * 1e-4 + hair(i), p.1 / spread * 1e-4 + hair(i + 7)))
        .collect()
}

fn gradient(p: &[f64], y: &[(f64, f64)], exaggeration: f64) -> Vec<(f64, f64)> {
    let n = y.len();
    let kernel = |i: usize, j: usize| 1.0 / (1.0 + (y[i].0 - y[j].0).powi(2) + (y[i].1 - y[j].1).powi(2));
    // rows are summed in order, so the result does not depend on the number of threads
    let sums: Vec<f64> =
        (0..n).into_par_iter().map(|i| (0..n).filter(|j| *j != i).map(|j| kernel(i, j)).sum()).collect();
    let z: f64 = sums.iter().sum();
    (0..n)
        .into_par_iter()
        .map(|i| {
            let mut g = (0.0, 0.0);
            for j in (0..n).filter(|j| *j != i) {
                let q = kernel(i, j);
                let force = 4.0 * (exaggeration * p[i * n + j] - q / z) * q;
                g = (g.0 + force * (y[i].0 - y[j].0), g.1 + force * (y[i].1 - y[j].1));
            }
            g
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::tsne;

    /// Three clusters far apart in ten dimensions.
    fn clusters(each: usize) -> Vec<f32> {
        (0..3 * each)
            .flat_map(|i| {
                (0..10).map(move |c| {
                    let noise = ((i * 31 + c * 17) % 101) as f32 / 101.0 - 0.5;
                    noise + if c == i / each { 20.0 } else { 0.0 }
                })
            })
            .collect()
    }

    #[test]
    fn clusters_stay_together_and_apart() {
        let each = 30;
        let y = tsne(&clusters(each), 3 * each, 10, 10.0);
        let distance = |a: usize, b: usize| (y[a].0 - y[b].0).hypot(y[a].1 - y[b].1);
        for i in 0..3 * each {
            let nearest =
                (0..3 * each).filter(|j| *j != i).min_by(|a, b| distance(i, *a).total_cmp(&distance(i, *b)));
            assert_eq!(nearest.unwrap() / each, i / each, "the nearest neighbour is of the same cluster");
        }
        let centre = |k: usize| {
            let s = y[k * each..(k + 1) * each].iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
            (s.0 / each as f64, s.1 / each as f64)
        };
        let radius = |k: usize| {
            let c = centre(k);
            y[k * each..(k + 1) * each].iter().map(|p| (p.0 - c.0).hypot(p.1 - c.1)).fold(0.0, f64::max)
        };
        let apart = (centre(0).0 - centre(1).0).hypot(centre(0).1 - centre(1).1);
        assert!(apart > radius(0) + radius(1), "{apart} {} {}", radius(0), radius(1));
    }

    #[test]
    fn the_same_points_give_the_same_layout_whatever_the_threads() {
        let points = clusters(12);
        let all = tsne(&points, 36, 10, 5.0);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| tsne(&points, 36, 10, 5.0)), all);
    }

    #[test]
    fn equal_and_few_points_are_no_trouble() {
        assert_eq!(tsne(&[0.0; 6], 3, 2, 30.0).len(), 3);
        assert!(tsne(&[1.0; 40], 20, 2, 30.0).iter().all(|p| p.0.is_finite() && p.1.is_finite()));
    }
}
