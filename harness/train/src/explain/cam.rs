//! Class activation from gradients: which tokens of a layer push the score up.
//!
//! With T_ic the activations of a layer (token or position i, channel c) and y the logit margin of the class asked about:
//! `gradient` is ReLU(Σ_c ∂y/∂T_ic · T_ic), HiResCAM (Draelos and Carin, arXiv 2011.08891), which for a linear head is
//! exactly what each position adds to y; `grad-cam` is ReLU(Σ_c α_c T_ic) with α_c the mean of ∂y/∂T_ic over positions
//! (Selvaraju et al., ICCV 2017). The two are the same where every position has the same gradient, as under mean
//! pooling. Prefix tokens (cls, registers) are no place in the image and left out.

/// One map per image from activations and gradients (B, n, D), row-major; the first `prefix` tokens are left out.
/// `average`: Grad-CAM's mean over positions.
pub(crate) fn class_activation(
    tokens: &[f32],
    gradient: &[f32],
    (n, width): (usize, usize),
    prefix: usize,
    average: bool,
) -> Vec<Vec<f64>> {
    let image = n * width;
    let row = |values: &[f32], b: usize, i: usize, c: usize| f64::from(values[b * image + i * width + c]);
    let maps = (0..tokens.len() / image).map(|b| {
        let alpha: Vec<f64> = (0..width)
            .map(|c| (prefix..n).map(|i| row(gradient, b, i, c)).sum::<f64>() / (n - prefix) as f64)
            .collect();
        let at = |i: usize| {
            let slope = |c: usize| if average { alpha[c] } else { row(gradient, b, i, c) };
            (0..width).map(|c| slope(c) * row(tokens, b, i, c)).sum::<f64>()
        };
        (prefix..n).map(|i| at(i).max(0.0)).collect()
    });
    maps.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor, Var};

    /// A linear head that reads one patch only: y = w · T_2, with the prefix token at 0. Gradients by autograd.
    #[test]
    fn the_patch_that_decides_is_the_only_warm_one() {
        let values: Vec<f32> = vec![9.0, 9.0, 5.0, 5.0, 1.0, 2.0, 7.0, 7.0];
        let tokens = Var::from_vec(values.clone(), (1, 4, 2), &Device::Cpu).unwrap();
        let head = Tensor::new(&[[0f32, 0.0], [0.0, 0.0], [3.0, -1.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        let y = tokens.as_tensor().broadcast_mul(&head).unwrap().sum_all().unwrap();
        let gradient = facebench_engine::backward(&y).unwrap().get(&tokens).unwrap().clone();
        let gradient: Vec<f32> = gradient.flatten_all().unwrap().to_vec1().unwrap();
        let exact = class_activation(&values, &gradient, (4, 2), 1, false);
        assert_eq!(exact, [[0.0, 1.0, 0.0]]);
        // α = (1, −1/3): where the decisive patch is not the largest activation the mean looks elsewhere
        let mean = class_activation(&values, &gradient, (4, 2), 1, true);
        assert!((mean[0][2] - (7.0 - 7.0 / 3.0)).abs() < 1e-6 && mean[0][2] > mean[0][1]);
    }

    #[test]
    fn equal_gradients_make_both_the_same() {
        let tokens: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
        let gradient = [0.5f32, -1.0].repeat(6);
        let [a, b] = [true, false].map(|mean| class_activation(&tokens, &gradient, (3, 2), 0, mean));
        for (x, y) in a.concat().iter().zip(b.concat()) {
            assert!((x - y).abs() < 1e-12);
        }
        assert_eq!((a.len(), a[0].len()), (2, 3));
    }
}
