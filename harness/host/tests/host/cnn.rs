//! Convolutional networks through the boundary: every parameter has a gradient, running statistics move only while their
//! layer trains, and masking is refused with a sentence.

use facebench_engine::{DType, ParamStore, Tensor, backward};
use facebench_host::{Backbone, Purpose};
use serde_json::json;

use crate::common::{ctx, max_diff, noise, plugins, store, values};

fn resnet(store: &ParamStore) -> Backbone {
    let (config, c) = (json!({"image": 32}), ctx(DType::F32));
    plugins().backbone("resnet50", &config, Purpose::Downstream, store, "", &c).unwrap()
}

fn pooled(model: &Backbone, c: &facebench_host::RunCtx) -> Tensor {
    let tokens = model.encode(&model.embed(&noise(4, 32), None, c).unwrap(), c).unwrap();
    assert_eq!(tokens.dims(), [4, 1, 2048]);
    model.pool(&tokens).unwrap()
}

#[test]
fn everything_trains_and_running_statistics_follow() {
    let s = store(DType::F32, 11);
    let model = resnet(&s);
    let c = ctx(DType::F32);
    let still = pooled(&model, &c);
    assert_eq!(values(&s.states()["bn1.running_mean"]), vec![0.0; 64], "evaluation changes nothing");
    c.train(0);
    let y = pooled(&model, &c);
    let weights: Vec<f32> = (0..y.elem_count()).map(|i| (0.7 * i as f32).sin()).collect();
    let weights = Tensor::from_vec(weights, y.shape(), y.device()).unwrap();
    let grads = backward(&(y * weights).unwrap().sum_all().unwrap()).unwrap();
    for (name, var) in s.trainable() {
        let grad = grads.get(&var).unwrap_or_else(|| panic!("no gradient for {name}"));
        assert!(values(grad).iter().any(|v| *v != 0.0), "gradient of {name} is zero");
    }
    assert!(s.trainable().iter().all(|(name, _)| !name.contains("running")));
    let states = s.states();
    assert_eq!(states.len(), 2 * 53, "mean and variance of 53 norms");
    for (name, state) in states.iter().filter(|(name, _)| name.ends_with("running_mean")) {
        assert!(values(state).iter().any(|v| *v != 0.0), "{name} did not move");
    }
    c.eval();
    assert!(max_diff(&pooled(&model, &c), &still) > 1e-4, "evaluation uses the running statistics");
}

#[test]
fn a_frozen_network_keeps_its_statistics() {
    let s = store(DType::F32, 12);
    s.set_frozen(|_| true);
    let model = resnet(&s);
    let c = ctx(DType::F32);
    let still = pooled(&model, &c);
    c.train(0);
    assert_eq!(max_diff(&pooled(&model, &c), &still), 0.0);
    assert_eq!(values(&s.states()["bn1.running_var"]), vec![1.0; 64]);
}

#[test]
fn masking_is_refused() {
    let model = resnet(&store(DType::F32, 13));
    let keep = Tensor::zeros((1, 1), DType::U32, &facebench_engine::Device::Cpu).unwrap();
    let error = model.embed(&noise(1, 32), Some(&keep), &ctx(DType::F32)).unwrap_err().to_string();
    assert!(error.contains("sees whole images only") && error.contains("hint:"), "{error}");
}

/// LayerScale, SwiGLU and registers take the way of single operations: every parameter of it has a gradient too.
#[test]
fn a_tower_of_single_operations_trains() {
    let s = store(DType::F32, 14);
    let config = json!({"size": "giant", "variant": "registers", "width": 24, "depth": 2, "heads": 2, "patch": 8,
        "image": 16, "drop_path": 0.3});
    let c = ctx(DType::F32);
    let model = plugins().backbone("dinov2", &config, Purpose::Downstream, &s, "", &c).unwrap();
    c.train(0);
    let tokens = model.encode(&model.embed(&noise(8, 16), None, &c).unwrap(), &c).unwrap();
    assert_eq!(tokens.dims(), [8, 1 + 4 + 4, 24]);
    let y = model.pool(&tokens).unwrap();
    let weights: Vec<f32> = (0..y.elem_count()).map(|i| (0.7 * i as f32).sin()).collect();
    let weights = Tensor::from_vec(weights, y.shape(), y.device()).unwrap();
    let grads = backward(&(y * weights).unwrap().sum_all().unwrap()).unwrap();
    for (name, var) in s.trainable() {
        let grad = grads.get(&var).unwrap_or_else(|| panic!("no gradient for {name}"));
        assert!(values(grad).iter().any(|v| *v != 0.0), "gradient of {name} is zero");
    }
    assert!(
        s.names().contains(&"reg_token".to_string()) && s.names().contains(&"blocks.1.ls2.gamma".to_string())
    );
}
