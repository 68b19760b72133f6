//! The compared operations of convolutional networks, and what is left of the losses.
use super::cases::{Case, case};
use crate::ops::{self, Conv2d, losses};
use candle_core::{DType, Tensor};

/// stride, dilation, groups, padding
const PLAIN: Conv2d = Conv2d { stride: 1, dilation: 1, groups: 1, pad: [0; 4] };

pub(super) fn images() -> Vec<Case> {
    let mut all = Vec::new();
    let convolutions: [(&'static str, [usize; 4], [usize; 4], Conv2d); 6] = [
        ("conv2d", [2, 3, 7, 6], [5, 3, 3, 3], Conv2d { pad: [1; 4], ..PLAIN }),
        ("conv2d, 1 x 1", [2, 6, 5, 5], [4, 6, 1, 1], PLAIN),
        ("conv2d, stride 2", [1, 3, 9, 9], [4, 3, 3, 3], Conv2d { stride: 2, pad: [1; 4], ..PLAIN }),
        (
            "conv2d, uneven padding",
            [1, 3, 8, 8],
            [4, 3, 3, 3],
            Conv2d { stride: 2, pad: [0, 1, 0, 1], ..PLAIN },
        ),
        ("conv2d, depthwise", [2, 4, 7, 7], [4, 1, 3, 3], Conv2d { groups: 4, pad: [1; 4], ..PLAIN }),
        ("conv2d, dilated", [1, 2, 9, 9], [3, 2, 3, 3], Conv2d { dilation: 2, pad: [2; 4], ..PLAIN }),
    ];
    for (name, x, w, conv) in convolutions {
        all.push(
            case(name, &[&x, &w, &[w[0]]], move |t| ops::conv2d(&t[0], &t[1], Some(&t[2]), conv))
                .parameters(2)
                .scale(0.5),
        );
    }
    all.push(case("max_pool2d", &[&[2, 3, 7, 8]], |t| ops::max_pool2d(&t[0], 3, 2, 1)));
    all.push(case("avg_pool2d", &[&[2, 3, 7, 8]], |t| ops::avg_pool2d(&t[0], 3, 2)));
    for (name, momentum) in [("batch_norm", None), ("batch_norm, training", Some(0.1))] {
        all.push(
            case(name, &[&[3, 4, 5, 6], &[4], &[4]], move |t| {
                let start = |value: f64| t[1].detach().affine(0.0, value)?.to_dtype(precise(&t[1]));
                let running = [start(0.2)?, start(1.5)?];
                ops::batch_norm(&t[0], &t[1], &t[2], [&running[0], &running[1]], 1e-5, momentum)
            })
            .parameters(2),
        );
    }
    let unit = |t: &Tensor| ops::normalise(t, 1, 1e-12);
    all.push(case("sim_clr", &[&[4, 9], &[4, 9]], |t| losses::sim_clr(&t[0], &t[1], 0.5)));
    all.push(case("real_pairs_only", &[&[5, 9]], move |t| {
        losses::real_pairs_only(&unit(&t[0])?, &[0, 1, 0, 1, 0], 0, 0.5)
    }));
    all.push(case("real_fake_pairs_only", &[&[5, 9]], move |t| {
        losses::real_fake_pairs_only(&unit(&t[0])?, &[0, 1, 0, 1, 0], 0, 0.5)
    }));
    for (b, n, d, h) in [(2, 5, 16, 3), (1, 50, 64, 2)] {
        let shape: &[usize] = &[b, n, 3 * h * d];
        all.push(
            case("attention_weights_qkv", &[shape], move |t| ops::attention_weights_qkv(&t[0].detach(), h))
                .constant(&[0]),
        );
    }
    all
}

/// Running statistics are never kept in half precision.
fn precise(t: &Tensor) -> DType {
    if t.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
}
