//! Explanations of real (tiny, random) networks: what the host sees, and gradients against finite differences.

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::runs::{Place, protocol, tune_spec};
use crate::detector::{Detector, FeatureBatch};
use crate::explain::{Evidence, Method};
use crate::job::Silent;
use crate::spec::Component;

fn detector(plugin: &str, config: &Value, check: impl Fn(&Detector, &Tensor)) {
    let mut spec = tune_spec("linear", &json!({"std": 0.5}));
    spec.backbone = Component { plugin: plugin.into(), config: config.as_object().unwrap().clone() };
    spec.seed = 5;
    let place = Place::new();
    let (state, out) = (place.dir().join("state"), place.out());
    let job = place.job(&state, &out, 0, &Silent);
    let made = Detector::build(&spec, &job, 4).unwrap();
    made.eval().unwrap();
    let side = made.info.image;
    let pixels: Vec<f32> = (0..2 * 3 * side * side).map(|i| (i as f32 * 0.37).sin()).collect();
    let images = Tensor::from_vec(pixels, (2, 3, side, side), &Device::Cpu).unwrap();
    check(&made, &images);
}

fn vits() -> Vec<(&'static str, Value)> {
    let tiny = |more: Value| {
        let mut all = json!({"width": 24, "depth": 2, "heads": 2, "patch": 8, "image": 32});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    vec![
        ("fsvfm", tiny(json!({"pooling": "mean"}))),
        ("fsvfm", tiny(json!({"pooling": "cls"}))),
        ("beit-v2", tiny(json!({}))),
        ("siglip", tiny(json!({"hidden": 48}))),
        ("clip", tiny(json!({"projection": 16}))),
    ]
}

fn margin(d: &Detector, tokens: &Tensor) -> Vec<f64> {
    let features =
        FeatureBatch { pooled: d.pool(tokens).unwrap(), tokens: d.reads_tokens().then(|| tokens.clone()) };
    crate::detector::margins(&d.logits(&features).unwrap()).unwrap()
}

#[test]
fn every_transformer_can_be_rolled_out() {
    for (plugin, config) in vits() {
        detector(plugin, &config, |d, images| {
            let (maps, site) = d.explain(images, Method::Rollout, Evidence::Fake).unwrap();
            assert_eq!((maps.len(), maps[0].len()), (2, 16), "{plugin}");
            let share: f64 = maps[0].iter().sum();
            let expected = if d.info.prefix_tokens == 0 { 1.0 - 1e-9 } else { 0.5 };
            assert!(share > expected && share < 1.0 + 1e-9, "{plugin}: {share}");
            let cls = ["cls", "projected"].contains(&d.info.pooling.as_str());
            assert_eq!(
                site,
                if cls { "row of the cls token" } else { "mean row of the patch tokens" },
                "{plugin}"
            );
            // no image looks like another, and no map is flat
            assert_ne!(maps[0], maps[1], "{plugin}");
        });
    }
}

#[test]
fn a_network_without_attention_names_the_other_method() {
    detector("resnet50", &json!({"image": 64}), |d, images| {
        let error = d.explain(images, Method::Rollout, Evidence::Fake).unwrap_err().to_string();
        assert!(error.starts_with("backbone `resnet50` has no attention"), "{error}");
        assert!(error.contains("--method gradient"), "{error}");
        let (maps, site) = d.explain(images, Method::Gradient, Evidence::Fake).unwrap();
        assert_eq!((maps.len(), maps[0].len(), site.as_str()), (2, 4, "last map of features"));
    });
}

/// Σ_c ∂y/∂T_ic · T_ic is the slope of y along T_i, which two forward passes measure. The map for fake minus the map for
/// real is that number before the ReLU.
#[test]
fn gradients_are_those_of_the_score() {
    let mut all = vits();
    // what reads cls only has its gradients one block earlier
    all.retain(|(plugin, config)| config["pooling"] != "cls" && *plugin != "clip");
    all.push(("resnet50", json!({"image": 64})));
    for (plugin, config) in all {
        detector(plugin, &config, |d, images| {
            let maps = |evidence| d.explain(images, Method::Gradient, evidence).unwrap().0;
            let (fake, real) = (maps(Evidence::Fake), maps(Evidence::Real));
            let tokens = d.encode(images).unwrap().detach();
            let (_, n, width) = tokens.dims3().unwrap();
            let prefix = d.info.prefix_tokens;
            for patch in [0, 3] {
                let moved = |by: f64| {
                    let scale: Vec<f32> = (0..n * width)
                        .map(|i| if i / width == prefix + patch { (1.0 + by) as f32 } else { 1.0 })
                        .collect();
                    let scale = Tensor::from_vec(scale, (1, n, width), &Device::Cpu).unwrap();
                    margin(d, &tokens.broadcast_mul(&scale).unwrap())
                };
                let (up, down) = (moved(0.02), moved(-0.02));
                for image in 0..2 {
                    let slope = (up[image] - down[image]) / 0.04;
                    let got = fake[image][patch] - real[image][patch];
                    let close = (slope - got).abs() < 0.02 * slope.abs().max(got.abs()) + 2e-3;
                    assert!(close, "{plugin}, image {image}, patch {patch}: {got}, differences say {slope}");
                    assert!(fake[image][patch].min(real[image][patch]) == 0.0, "one of the two is cut");
                }
            }
        });
    }
}

#[test]
fn where_only_cls_is_read_the_last_block_is_opened() {
    for plugin in ["fsvfm", "beit-v2"] {
        let config = json!({"width": 24, "depth": 2, "heads": 2, "patch": 8, "image": 32, "pooling": "cls"});
        detector(plugin, &config, |d, images| {
            for method in [Method::Gradient, Method::GradCam] {
                let (fake, site) = d.explain(images, method, Evidence::Fake).unwrap();
                let (real, _) = d.explain(images, method, Evidence::Real).unwrap();
                assert_eq!(site, "tokens before the last block", "{plugin}");
                assert!(fake.concat().iter().chain(&real.concat()).any(|v| *v > 0.0), "{plugin}");
            }
        });
    }
}

#[test]
fn a_head_without_gradients_is_named() {
    let mut spec = tune_spec("knn", &json!({"k": 1}));
    spec.protocol = protocol().id;
    let place = Place::new();
    let (state, out) = (place.dir().join("state"), place.out());
    let job = place.job(&state, &out, 0, &Silent);
    let made = Detector::build(&spec, &job, 4).unwrap();
    made.eval().unwrap();
    let images = Tensor::ones((1, 3, 32, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
    // the neighbours vote in the plugin's own code, which has no derivative
    let error = made.explain(&images, Method::Gradient, Evidence::Fake).unwrap_err().to_string();
    assert!(error.contains("head `knn`") && error.contains("--method rollout"), "{error}");
}
