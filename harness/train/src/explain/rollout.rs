//! Attention roll-out: how much of each input patch reaches each output token, if attention were all there is.
//!
//! Abnar and Zuidema, "Quantifying Attention Flow in Transformers" (ACL 2020), §3: with A_l the attention of layer l
//! averaged over heads, the residual connection makes it ½A_l + ½I, and the roll-out of the first L layers is the product
//! (½A_L + ½I) … (½A_1 + ½I). Every factor has rows of sum 1, so has the product. It knows neither values nor MLPs and
//! not the score: it says where information came from, not what it argued for.

/// The product over `layers`, first layer first. Each is n × n, row-major, rows = queries. Rows are scaled to sum 1
/// before (f32 softmax is off by 1e-7), so those of the result sum to 1 within rounding.
pub(crate) fn rollout(layers: &[Vec<f64>], n: usize) -> Vec<f64> {
    let mut flow: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
    for layer in layers {
        let mut next = vec![0.0; n * n];
        for row in 0..n {
            let weights = &layer[row * n..(row + 1) * n];
            let sum: f64 = weights.iter().sum();
            let out = &mut next[row * n..(row + 1) * n];
            for (k, weight) in weights.iter().enumerate() {
                let mixed = 0.5 * weight / sum + if k == row { 0.5 } else { 0.0 };
                for (o, below) in out.iter_mut().zip(&flow[k * n..(k + 1) * n]) {
                    *o += mixed * below;
                }
            }
        }
        flow = next;
    }
    flow
}

/// The mean of some rows of a roll-out over the patch tokens, which follow `prefix` others: n − prefix numbers.
pub(crate) fn patches(flow: &[f64], n: usize, prefix: usize, rows: &[usize]) -> Vec<f64> {
    let mean = |column: usize| rows.iter().map(|r| flow[r * n + column]).sum::<f64>() / rows.len() as f64;
    (prefix..n).map(mean).collect()
}

/// The output tokens that pooling reads, in words.
pub(crate) fn site(rows: &[usize], n: usize, prefix: usize) -> String {
    match rows {
        [0] if prefix > 0 => "row of the cls token".into(),
        rows if rows.iter().all(|r| *r < prefix) => {
            format!("mean row of the {} prefix tokens read", rows.len())
        }
        rows if rows.iter().copied().eq(prefix..n) => "mean row of the patch tokens".into(),
        rows => format!("mean row of {} tokens", rows.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (½A₂ + ½I)(½A₁ + ½I) by hand: [[.75,.25],[.375,.625]] · [[.9,.1],[.2,.8]] for
    /// A₁ = [[.8,.2],[.4,.6]] and A₂ = [[.5,.5],[.75,.25]].
    #[test]
    fn two_layers_are_the_product_by_hand() {
        let (first, second) = (vec![0.8, 0.2, 0.4, 0.6], vec![0.5, 0.5, 0.75, 0.25]);
        let flow = rollout(&[first.clone(), second.clone()], 2);
        let expected = [0.75 * 0.9 + 0.25 * 0.2, 0.75 * 0.1 + 0.25 * 0.8, 0.375 * 0.9 + 0.625 * 0.2, 0.5375];
        for (got, want) in flow.iter().zip(expected) {
            assert!((got - want).abs() < 1e-15, "{flow:?}");
        }
        // the order of the layers matters
        assert!((rollout(&[second, first], 2)[0] - flow[0]).abs() > 0.01);
    }

    #[test]
    fn rows_sum_to_one_however_deep() {
        let n = 5;
        let layer = |l: usize| {
            let raw: Vec<f64> = (0..n * n).map(|i| 1.0 + ((i * 7 + l * 13) % 11) as f64).collect();
            raw.chunks(n)
                .flat_map(|r| r.iter().map(|v| v / r.iter().sum::<f64>()).collect::<Vec<_>>())
                .collect()
        };
        let flow = rollout(&(0..24).map(layer).collect::<Vec<Vec<f64>>>(), n);
        for row in flow.chunks(n) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn no_layer_keeps_every_token_where_it_is() {
        assert_eq!(rollout(&[], 2), [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_rows_are_those_that_pooling_reads() {
        let flow: Vec<f64> = (0..9).map(f64::from).collect();
        assert_eq!(patches(&flow, 3, 1, &[0]), [1.0, 2.0]);
        assert_eq!(patches(&flow, 3, 1, &[1, 2]), [5.5, 6.5]);
        assert_eq!(patches(&flow, 3, 0, &[0, 1, 2]), [3.0, 4.0, 5.0]);
        assert_eq!(patches(&flow, 3, 2, &[0, 1]), [3.5]);
        assert_eq!(site(&[0], 3, 1), "row of the cls token");
        assert_eq!(site(&[1, 2], 3, 1), "mean row of the patch tokens");
        assert_eq!(site(&[0, 1], 3, 2), "mean row of the 2 prefix tokens read");
        assert_eq!(site(&[0, 1, 2], 3, 1), "mean row of 3 tokens");
    }
}
