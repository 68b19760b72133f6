//! Fixed sine–cosine positions (method.md 3.3), "w goes first" quirk included.

/// The table (1+N, D) for a grid of (rows, columns): zeros for cls, then patches row-major.
///
/// The first D/2 channels encode the column, the last D/2 the row; each half is [sin(pω₀).., cos(pω₀)..] with
/// ω_i = 10000^(−i/(D/4)). Computed in f64, stored f32. `width` must be a multiple of 4.
pub fn sincos(width: usize, grid: (usize, usize)) -> Vec<f32> {
    let quarter = width / 4;
    let omega: Vec<f64> = (0..quarter).map(|i| 10000f64.powf(-(i as f64) / quarter as f64)).collect();
    let mut table = Vec::with_capacity((1 + grid.0 * grid.1) * width);
    table.resize(width, 0.0);
    for y in 0..grid.0 {
        for x in 0..grid.1 {
            for position in [x as f64, y as f64] {
                table.extend(omega.iter().map(|w| (position * w).sin() as f32));
                table.extend(omega.iter().map(|w| (position * w).cos() as f32));
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// method.md 3.3: D = 8, 3×3, token (y=0, x=1).
    #[test]
    fn the_published_example() {
        let table = sincos(8, (3, 3));
        assert_eq!(table.len(), 80);
        assert!(table[..8].iter().all(|v| *v == 0.0));
        let expect = [0.8415, 0.01, 0.5403, 1.0, 0.0, 0.0, 1.0, 1.0];
        for (got, want) in table[16..24].iter().zip(expect) {
            assert!((got - want).abs() < 1e-4, "{got} is not {want}");
        }
    }
}
