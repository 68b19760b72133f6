//! Components that misbehave: every mistake is one error that names the plugin, and the program lives on.

use facebench_engine::{DType, Tensor, backward};
use facebench_host::{FeatureSpec, HostError, Kind, Purpose, Scope};
use serde_json::{Value, json};

use crate::common::{ctx, max_diff, noise, plugins, store};

fn embed(mode: &str) -> Result<Tensor, HostError> {
    let c = ctx(DType::F32);
    let config = json!({"mode": mode});
    let model = plugins().backbone("faulty", &config, Purpose::Pretrain, &store(DType::F32, 1), "", &c)?;
    model.embed(&noise(2, 2), None, &c)
}

#[track_caller]
fn says(result: Result<Tensor, HostError>, parts: &[&str]) {
    let message = result.expect_err("the mistake must be noticed").to_string();
    for part in ["backbone \"faulty\" (", "fixture_faulty"].iter().chain(parts) {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

#[test]
fn panics_come_home_with_their_place() {
    says(embed("panic"), &["faulty::embed: panicked at", "src/lib.rs:", "index out of bounds", "hint:"]);
    says(embed("panic-payload"), &["faulty::embed: panicked", "(no message)"]);
    says(embed("panic-create"), &["faulty::create: panicked at", "boom in create"]);
    assert!(embed("panic-drop").is_ok(), "a panicking drop is swallowed");
    assert!(embed("thread").is_ok(), "a panic in a thread of the plugin's own stays there");
}

#[test]
fn failed_operations_name_themselves_and_their_shapes() {
    says(embed("shape"), &["faulty::embed: my layer: matmul([2, 16], [7, 5]): "]);
    says(embed("overflow"), &["narrow[dimension 0, start 18446744073709551615, length 2]([2, 4, 4])"]);
    says(embed("unknown-op"), &["no operation \"flash_attention_99\"", "hint: it knows cumsum"]);
    says(embed("wrong-shape"), &["embed: expected shape [2, 4, 4], got [2, 2, 4]"]);
    says(embed("error"), &["faulty::embed: I never liked these images"]);
    says(embed("two-shapes"), &["parameter weight", "expected shape [4, 3], got [2, 3]"]);
    says(embed("custom4"), &["plugin operation fault", "4 inputs, at most 3"]);
    says(embed("custom-panic"), &["fault::forward: panicked", "boom in the operation"]);
}

#[test]
fn a_failing_backward_is_an_error_of_the_backward_pass() {
    for (mode, part) in
        [("custom-backward-error", "no gradient today"), ("custom-backward-panic", "boom in backward")]
    {
        let message = backward(&embed(mode).unwrap().sum_all().unwrap()).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("fault::backward"), "{message}");
    }
}

#[test]
fn thousands_of_panics_on_several_threads_are_survived() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let c = ctx(DType::F32);
                let s = store(DType::F32, 1);
                let config = json!({"mode": "panic"});
                let model = plugins().backbone("faulty", &config, Purpose::Pretrain, &s, "", &c).unwrap();
                let x = noise(1, 2);
                for _ in 0..500 {
                    assert!(model.embed(&x, None, &c).is_err());
                }
            });
        }
    });
}

#[test]
fn own_operations_differentiate_like_composed_ones() {
    for n in 1..=3 {
        let gradient = |mode: &str| {
            let s = store(DType::F32, 2);
            let c = ctx(DType::F32);
            let config = json!({"mode": mode});
            let model = plugins().backbone("faulty", &config, Purpose::Pretrain, &s, "", &c).unwrap();
            let y = model.embed(&noise(2, 2), None, &c).unwrap();
            let grads = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
            (y, grads.get(&s.trainable()[0].1).unwrap().clone())
        };
        let (own, composed) = (gradient(&format!("custom{n}")), gradient(&format!("composed{n}")));
        assert!(max_diff(&own.0, &composed.0) < 1e-5, "{n} inputs: values");
        assert!(
            max_diff(&own.1, &composed.1) < 1e-3,
            "{n} inputs: gradients {}",
            max_diff(&own.1, &composed.1)
        );
    }
}

#[test]
fn own_operations_work_in_other_precisions() {
    let c = ctx(DType::F64);
    let s = store(DType::F64, 2);
    let model =
        plugins().backbone("faulty", &json!({"mode": "custom1"}), Purpose::Pretrain, &s, "", &c).unwrap();
    let x = noise(2, 2).to_dtype(DType::F64).unwrap();
    let y = model.embed(&x, None, &c).unwrap();
    assert_eq!(y.dtype(), DType::F64);
    assert!(backward(&y.sum_all().unwrap()).unwrap().get(&s.trainable()[0].1).is_some());
}

#[test]
fn every_operation_of_the_table_computes_what_it_says() {
    let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = lines.clone();
    let c = ctx(DType::F32).with_log(move |_, line| sink.lock().unwrap().push(line.to_string()));
    let s = store(DType::F32, 1);
    let model =
        plugins().backbone("faulty", &json!({"mode": "tour"}), Purpose::Pretrain, &s, "", &c).unwrap();
    if let Err(e) = model.embed(&noise(2, 2), None, &c) {
        panic!("{e}");
    }
    assert_eq!(*lines.lock().unwrap(), ["tour done"]);
}

#[test]
fn dropout_is_active_in_training_only_and_repeats() {
    let c = ctx(DType::F32);
    let s = store(DType::F32, 1);
    let model =
        plugins().backbone("faulty", &json!({"mode": "dropout"}), Purpose::Pretrain, &s, "", &c).unwrap();
    let run =
        || model.embed(&noise(8, 2), None, &c).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(run().iter().all(|v| *v == 1.0));
    c.train(3);
    let dropped = run();
    assert!(
        dropped.iter().all(|v| *v == 0.0 || *v == 2.0) && dropped.contains(&0.0) && dropped.contains(&2.0)
    );
    c.train(3);
    assert_eq!(run(), dropped);
}

#[test]
fn broken_masks_are_noticed() {
    for (mode, part) in [
        ("too-many", "expected 12 of 16 patches removed, got 13"),
        ("outside", "the covered region is not part of the mask"),
        ("two", "got 11"),
        ("panic", "panicked"),
    ] {
        let strategy = plugins().masking("faulty", &json!({"mode": mode})).unwrap();
        let (mut mask, mut region) = ([0; 16], [0; 16]);
        let e = strategy
            .mask(None, (4, 4), 0.75, [1, 2], [3, 4], &mut mask, &mut region)
            .unwrap_err()
            .to_string();
        assert!(e.contains(part) && e.contains("masking \"faulty\""), "{mode}: {e}");
    }
}

#[test]
fn a_strategy_without_its_map_or_with_a_wrong_one_says_so() {
    let strategy = plugins().masking("crfr-p", &Value::Null).unwrap();
    assert!(strategy.needs_parsing());
    let (mut mask, mut region) = ([0; 16], [0; 16]);
    let mut call = |map| {
        let e = strategy.mask(map, (4, 4), 0.75, [1, 2], [3, 4], &mut mask, &mut region).unwrap_err();
        e.to_string()
    };
    assert!(call(None).contains("hint: choose `random` masking"));
    assert!(call(Some((&[0; 100][..], 10, 10))).contains("10x10 does not divide into 4x4 patches"));
    assert!(call(Some((&[12; 64][..], 8, 8))).contains("label 12"));
    assert!(call(Some((&[0; 63][..], 8, 8))).contains("has 63 labels"));
}

#[test]
fn broken_heads_are_noticed() {
    let features = FeatureSpec { width: 4, tokens: 5, classes: 2, samples: 0 };
    let c = ctx(DType::F32);
    let tokens = Tensor::ones((2, 5, 4), DType::F32, c.device()).unwrap();
    let pooled = tokens.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
    let labels = Tensor::new(&[0i64, 1], c.device()).unwrap();
    for (mode, part) in [
        ("classes", "expected logits of [2, 2], got [2, 3]"),
        ("loss-shape", "loss: expected a scalar, got [2, 2]"),
        ("loss-panic", "boom in loss"),
    ] {
        let config = json!({"mode": mode});
        let head = plugins().head("faulty", &config, &features, &store(DType::F32, 0), "", &c).unwrap();
        assert_eq!(*head.scope(), Scope::Matching(vec!["blocks.3.".into()]));
        let e = head
            .forward(&pooled, &tokens, &c)
            .and_then(|(logits, z)| head.loss(&logits, z.as_ref(), &labels, &c))
            .unwrap_err()
            .to_string();
        assert!(e.contains(part) && e.contains("head \"faulty\""), "{mode}: {e}");
    }
}

#[test]
fn settings_are_checked_by_key() {
    let p = plugins();
    let message = |config: Value| p.backbone_info("fsvfm", &config).unwrap_err().to_string();
    assert!(message(json!({"sise": "micro"})).contains("hint: did you mean \"size\"?"));
    assert!(message(json!({"size": "mikro"})).contains("setting `size`: unknown choice \"mikro\""));
    assert!(message(json!({"width": 97})).contains("width 97 is not a multiple of 12 heads"));
    assert!(matches!(p.resolve(Kind::Head, "linear", &json!({"std": "x"})), Err(HostError::Config { .. })));
    let resolved = p.resolve(Kind::Head, "linear", &json!({"train": "head"})).unwrap();
    assert_eq!(resolved, json!({"train": "head", "norm": "none", "std": 2e-5}));
    let e = p.masking("random", &json!({"ratio": 0.75})).err().unwrap().to_string();
    assert!(e.contains("unknown setting \"ratio\""), "{e}");
}

#[test]
fn images_of_another_size_are_refused_with_a_hint() {
    let c = ctx(DType::F32);
    let s = store(DType::F32, 1);
    let model =
        plugins().backbone("mae", &json!({"size": "micro"}), Purpose::Downstream, &s, "", &c).unwrap();
    let e = model.embed(&noise(1, 60), None, &c).unwrap_err().to_string();
    assert!(e.contains("images of 60x60, expected 64x64\nhint:"), "{e}");
}
