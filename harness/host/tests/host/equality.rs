//! A vision transformer through the plugin is the one written on the engine: values, gradients, freezing, repeatability.

use facebench_engine::{
    DType, ParamStore, Tensor, backward,
    nn::{Pool, Vit, VitConfig},
};
use facebench_host::{Backbone, FeatureSpec, Purpose, Scope};
use serde_json::{Value, json};

use crate::common::{ctx, max_diff, noise, plugins, store, values};

/// Backbone on parameters without a prefix.
fn backbone(name: &str, config: &Value, purpose: Purpose, store: &ParamStore) -> Backbone {
    plugins().backbone(name, config, purpose, store, "", &ctx(DType::F32)).unwrap()
}

/// A number that depends on every output in its own way.
fn probe(t: &Tensor) -> Tensor {
    let n = t.elem_count();
    let weights: Vec<f32> = (0..n).map(|i| (0.7 * i as f32 + 0.3).sin()).collect();
    let weights = Tensor::from_vec(weights, t.shape(), t.device()).unwrap();
    (t * weights).unwrap().sum_all().unwrap()
}

#[test]
fn plugin_and_engine_agree_on_values_and_gradients() {
    for (plugin, pool) in [("fsvfm", Pool::Mean), ("mae", Pool::Mean), ("dino", Pool::Cls)] {
        let s = store(DType::F32, 3);
        let model = backbone(plugin, &json!({"size": "micro"}), Purpose::Downstream, &s);
        let info = &model.info;
        let features = FeatureSpec { width: info.width, tokens: 65, classes: 2, samples: 0 };
        let head =
            plugins().head("linear", &json!({"std": 0.1}), &features, &s, "", &ctx(DType::F32)).unwrap();
        let config = VitConfig {
            image: info.image,
            patch: info.patch,
            width: info.width,
            depth: info.depth,
            heads: info.heads,
            classes: 2,
            pool,
        };
        let names = s.names();
        let direct = Vit::new(&s, "", &config).unwrap();
        assert_eq!(s.names(), names, "the engine's model must find every parameter made by the plugins");

        let c = ctx(DType::F32);
        let x = noise(2, info.image);
        let tokens = model.encode(&model.embed(&x, None, &c).unwrap(), &c).unwrap();
        let (ours, _) = head.forward(&model.pool(&tokens).unwrap(), &tokens, &c).unwrap();
        let theirs = direct.forward(&x).unwrap();
        assert!(max_diff(&ours, &theirs) <= 1e-6, "{plugin}: {}", max_diff(&ours, &theirs));

        let (a, b) = (backward(&probe(&ours)).unwrap(), backward(&probe(&theirs)).unwrap());
        for (name, var) in s.trainable() {
            let (a, b) = (a.get(&var), b.get(&var));
            let (Some(a), Some(b)) = (a, b) else { panic!("{plugin}: no gradient for {name}") };
            assert!(max_diff(a, b) <= 1e-6, "{plugin}: gradient of {name} differs by {}", max_diff(a, b));
            assert!(values(a).iter().any(|v| *v != 0.0), "{plugin}: gradient of {name} is zero");
        }
        assert_eq!(s.trainable().len(), names.len(), "everything trains downstream");
    }
}

#[test]
fn visible_patches_are_those_of_the_whole_image() {
    let s = store(DType::F32, 4);
    let model = backbone("fsvfm", &json!({"size": "micro"}), Purpose::Pretrain, &s);
    let c = ctx(DType::F32);
    let x = noise(2, 64);
    let keep = Tensor::new(&[[3u32, 60, 7, 0], [63, 1, 2, 40]], x.device()).unwrap();
    let all = model.embed(&x, None, &c).unwrap();
    let some = model.embed(&x, Some(&keep), &c).unwrap();
    for (b, row) in keep.to_vec2::<u32>().unwrap().iter().enumerate() {
        for (i, p) in row.iter().enumerate() {
            let (a, b) =
                (all.get(b).unwrap().get(*p as usize).unwrap(), some.get(b).unwrap().get(i).unwrap());
            assert!(max_diff(&a, &b) <= 1e-6);
        }
    }
    let tokens = model.norm(&model.encode(&some, &c).unwrap()).unwrap();
    assert_eq!(tokens.dims(), [2, 5, 96]);
}

#[test]
fn pretraining_keeps_positions_fixed_and_trains_the_rest() {
    for plugin in ["fsvfm", "mae"] {
        let s = store(DType::F32, 5);
        let model = backbone(plugin, &json!({"size": "micro"}), Purpose::Pretrain, &s);
        let c = ctx(DType::F32);
        c.train(0);
        let tokens = model.encode(&model.embed(&noise(2, 64), None, &c).unwrap(), &c).unwrap();
        let grads = backward(&probe(&model.norm(&tokens).unwrap())).unwrap();
        assert!(s.names().contains(&"pos_embed".to_string()), "positions belong to the checkpoint");
        let trainable = s.trainable();
        assert_eq!(trainable.len(), s.names().len() - 1);
        assert!(trainable.iter().all(|(name, _)| name != "pos_embed" && !name.starts_with("fc_norm")));
        for (name, var) in trainable {
            let grad = grads.get(&var).unwrap_or_else(|| panic!("{plugin}: no gradient for {name}"));
            assert!(values(grad).iter().any(|v| *v != 0.0), "{plugin}: gradient of {name} is zero");
        }
    }
}

#[test]
fn under_an_adapter_only_the_adapter_has_gradients() {
    let s = store(DType::F32, 6);
    let ours = |name: &str| ["adapter.", "projector.", "head."].iter().any(|p| name.starts_with(p));
    s.set_frozen(move |name| !ours(name));
    let model = backbone("fsvfm", &json!({"size": "micro"}), Purpose::Downstream, &s);
    let features = FeatureSpec { width: 96, tokens: 65, classes: 2, samples: 0 };
    let c = ctx(DType::F32);
    let head = plugins().head("fs-adapter", &json!({"rac_weight": 0.5}), &features, &s, "", &c).unwrap();
    assert_eq!(*head.scope(), Scope::HeadOnly);

    c.train(0);
    let tokens = model.encode(&model.embed(&noise(4, 64), None, &c).unwrap(), &c).unwrap();
    let pooled = model.pool(&tokens).unwrap();
    assert!(!pooled.track_op(), "nothing is recorded for a frozen backbone");
    let (logits, z) = head.forward(&pooled, &tokens, &c).unwrap();
    let labels = Tensor::new(&[0i64, 1, 0, 1], logits.device()).unwrap();
    let extra = head.loss(&logits, z.as_ref(), &labels, &c).unwrap().unwrap();
    let grads = backward(&(probe(&logits) + extra).unwrap()).unwrap();
    for (name, var) in s.variables() {
        match grads.get(&var) {
            Some(g) if ours(&name) => assert!(values(g).iter().any(|v| *v != 0.0), "{name} is zero"),
            None if !ours(&name) => {}
            other => panic!("{name}: gradient {}", other.is_some()),
        }
    }
}

#[test]
fn a_detached_twin_computes_the_same_and_records_nothing() {
    let s = store(DType::F32, 7);
    let config = json!({"size": "micro"});
    let online = backbone("fsvfm", &config, Purpose::Pretrain, &s);
    let twin_store = s.detached_copy().unwrap();
    let twin = backbone("fsvfm", &config, Purpose::Pretrain, &twin_store);
    assert!(twin_store.trainable().is_empty() && twin_store.unused().is_empty());
    let c = ctx(DType::F32);
    let run = |m: &Backbone| m.encode(&m.embed(&noise(1, 64), None, &c).unwrap(), &c).unwrap();
    let (a, b) = (run(&online), run(&twin));
    assert!(a.track_op() && !b.track_op());
    assert!(max_diff(&a, &b) <= 1e-6);
}

#[test]
fn randomness_belongs_to_seed_step_and_part() {
    let s = store(DType::F32, 8);
    let config = json!({"size": "micro", "drop_path": 0.5});
    let model = backbone("fsvfm", &config, Purpose::Downstream, &s);
    let c = ctx(DType::F32);
    let x = noise(8, 64);
    let run =
        |c: &facebench_host::RunCtx| values(&model.encode(&model.embed(&x, None, c).unwrap(), c).unwrap());
    let still = run(&c);
    c.train(1);
    let first = run(&c);
    assert_ne!(first, still, "drop path is active while training");
    assert_ne!(run(&c), first, "a second pass of the same step draws on");
    c.train(2);
    assert_ne!(run(&c), first, "another step draws anew");
    c.train(1);
    assert_eq!(run(&c), first, "the same step repeats, bit for bit");
    let part = c.part(1);
    assert_ne!(run(&part), first, "a part has streams of its own");
    c.eval();
    assert_eq!(run(&c), still);
}

/// One pool or many: the bits are the same.
#[test]
fn the_number_of_threads_does_not_matter() {
    let result = |threads: usize| {
        facebench_engine::runtime::thread_pool(threads).unwrap().install(|| {
            let s = store(DType::F32, 9);
            let model = backbone("mae", &json!({"size": "micro"}), Purpose::Downstream, &s);
            let c = ctx(DType::F32);
            let tokens = model.encode(&model.embed(&noise(3, 64), None, &c).unwrap(), &c).unwrap();
            let pooled = model.pool(&tokens).unwrap();
            let grads = backward(&probe(&pooled)).unwrap();
            let mut all = values(&pooled);
            for (_, var) in s.trainable() {
                all.extend(values(grads.get(&var).unwrap()));
            }
            all
        })
    };
    assert_eq!(result(1), result(3));
}

#[test]
fn names_carry_the_prefix() {
    let s = store(DType::F32, 10);
    let c = ctx(DType::F32);
    let p = plugins();
    p.backbone("dino", &json!({"size": "micro"}), Purpose::Downstream, &s, "encoder", &c).unwrap();
    p.backbone("dino", &json!({"size": "micro"}), Purpose::Downstream, &s, "other.", &c).unwrap();
    let names = s.names();
    assert!(names.contains(&"encoder.blocks.3.attn.qkv.weight".to_string()));
    assert!(names.contains(&"other.cls_token".to_string()));
}
