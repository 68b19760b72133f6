//! Whole training runs of a micro ViT: who gets gradients, and what must not change a single bit.
#![allow(clippy::unwrap_used)]
use facebench_engine::nn::{Pool, Vit, VitConfig};
use facebench_engine::ops::{self, losses};
use facebench_engine::optim::{AdamConfig, AdamW, Group, clip_global_norm, ema_update};
use facebench_engine::{DType, Device, ParamStore, Rng, Tensor, backward, checkpoint, recompute, runtime};
use std::collections::BTreeMap;

const SIDE: usize = 32;

fn config() -> VitConfig {
    VitConfig { image: SIDE, patch: 4, width: 48, depth: 2, heads: 3, classes: 2, pool: Pool::Mean }
}

/// Noise images of step `step` with labels that a linear rule could find.
fn batch(step: usize) -> (Tensor, Tensor) {
    let n = 6;
    let mut rng = Rng::new("images", step as u64, &[]);
    let pixels: Vec<f32> = (0..n * 3 * SIDE * SIDE).map(|_| rng.normal() as f32).collect();
    let x = Tensor::from_vec(pixels, (n, 3, SIDE, SIDE), &Device::Cpu).unwrap();
    let labels: Vec<u32> = (0..n as u32).map(|i| (i + step as u32) % 2).collect();
    let targets = losses::one_hot(&labels, 2, 0.1, &x).unwrap();
    (x, targets)
}

struct Run {
    store: ParamStore,
    target: ParamStore,
    model: Vit,
    optimiser: AdamW,
}

fn optimiser(store: &ParamStore) -> AdamW {
    let group = Group { vars: store.trainable(), lr_scale: 1.0, weight_decay: 0.05 };
    AdamW::new(vec![group], AdamConfig::default()).unwrap()
}

fn start() -> Run {
    let store = ParamStore::new(&Device::Cpu, DType::F32, 5);
    let model = Vit::new(&store, "", &config()).unwrap();
    let target = store.detached_copy().unwrap();
    Vit::new(&target, "", &config()).unwrap();
    let optimiser = optimiser(&store);
    Run { store, target, model, optimiser }
}

fn step(run: &mut Run, at: usize) -> f32 {
    let (x, targets) = batch(at);
    let loss = ops::cross_entropy(&run.model.forward(&x).unwrap(), &targets).unwrap();
    let mut grads = backward(&loss).unwrap();
    clip_global_norm(&mut grads, &run.store.trainable(), 0.5).unwrap();
    run.optimiser.step(&grads, 1e-3).unwrap();
    ema_update(&run.target, &run.store, 0.9).unwrap();
    loss.to_scalar().unwrap()
}

fn bits(store: &ParamStore) -> Vec<(String, Vec<u32>)> {
    let values = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    store.tensors().into_iter().map(|(n, t)| (n, values(t).into_iter().map(f32::to_bits).collect())).collect()
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let with = |threads: usize| {
        runtime::thread_pool(threads).unwrap().install(|| {
            let mut run = start();
            let losses: Vec<u32> = (0..3).map(|i| step(&mut run, i).to_bits()).collect();
            (losses, bits(&run.store), bits(&run.target))
        })
    };
    let one = with(1);
    for threads in [2, 3, 8] {
        assert!(one == with(threads), "{threads} threads");
    }
}

#[test]
fn a_run_stopped_and_resumed_has_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut whole = start();
    for i in 0..4 {
        step(&mut whole, i);
    }
    let mut first = start();
    for i in 0..2 {
        step(&mut first, i);
    }
    let none = BTreeMap::new();
    checkpoint::write_safetensors(&path("model"), &first.store.tensors(), &none).unwrap();
    checkpoint::write_safetensors(&path("target"), &first.target.tensors(), &none).unwrap();
    checkpoint::write_safetensors(&path("adam"), &first.optimiser.state().unwrap(), &none).unwrap();
    drop(first);
    let mut second = start();
    second.store.set_all(&checkpoint::read(&path("model")).unwrap().tensors).unwrap();
    second.target.set_all(&checkpoint::read(&path("target")).unwrap().tensors).unwrap();
    second.optimiser.load_state(&checkpoint::read(&path("adam")).unwrap().tensors).unwrap();
    for i in 2..4 {
        step(&mut second, i);
    }
    assert!(bits(&whole.store) == bits(&second.store) && bits(&whole.target) == bits(&second.target));
}

#[test]
fn every_trained_parameter_gets_a_gradient_and_no_frozen_one_does() {
    for (what, frozen) in [
        ("nothing frozen", (|_| false) as fn(&str) -> bool),
        ("body frozen", |n| !n.starts_with("head.")),
        ("first block frozen", |n| n.starts_with("blocks.0.")),
        ("weights frozen", |n| n.ends_with("weight")),
    ] {
        let store = ParamStore::new(&Device::Cpu, DType::F32, 5);
        store.set_frozen(frozen);
        let model = Vit::new(&store, "", &config()).unwrap();
        let (x, targets) = batch(0);
        let grads = backward(&ops::cross_entropy(&model.forward(&x).unwrap(), &targets).unwrap()).unwrap();
        let trained: Vec<String> = store.trainable().into_iter().map(|(name, _)| name).collect();
        for (name, var) in store.variables() {
            let size = grads
                .get(&var)
                .map(|g| g.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap());
            if trained.contains(&name) {
                assert!(size.is_some_and(|s| s > 0.0), "{what}: {name} got {size:?}");
            } else {
                assert!(size.is_none() && frozen(&name), "{what}: frozen {name} got {size:?}");
            }
        }
    }
}

#[test]
fn training_lowers_the_loss() {
    let mut run = start();
    let (x, targets) = batch(0);
    let loss_of = |run: &Run| {
        let loss = ops::cross_entropy(&run.model.forward(&x).unwrap(), &targets).unwrap();
        loss.to_scalar::<f32>().unwrap()
    };
    let before = loss_of(&run);
    for _ in 0..30 {
        let loss = ops::cross_entropy(&run.model.forward(&x).unwrap(), &targets).unwrap();
        let grads = backward(&loss).unwrap();
        run.optimiser.step(&grads, 1e-3).unwrap();
    }
    let after = loss_of(&run);
    assert!(after < 0.5 * before, "{before} -> {after}");
}

#[test]
fn masked_encoding_equals_encoding_the_visible_patches() {
    let run = start();
    let (x, _) = batch(0);
    let rows: Vec<u32> = (0..6).flat_map(|b| [3 + b, 60, 7, 20 + b]).collect();
    let keep = Tensor::from_vec(rows, (6, 4), &Device::Cpu).unwrap();
    let direct = run.model.embed(&x, Some(&keep)).unwrap();
    let all = ops::gather_tokens(&run.model.embed(&x, None).unwrap(), &keep).unwrap();
    let gap = (direct - all).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    assert!(gap.to_scalar::<f32>().unwrap() < 1e-6);
}

#[test]
fn activation_checkpointing_changes_no_bit() {
    let gradients = |on: bool| {
        let run = start();
        let (x, targets) = batch(0);
        let loss = recompute(on, || ops::cross_entropy(&run.model.forward(&x).unwrap(), &targets).unwrap());
        let grads = backward(&loss).unwrap();
        let all = run.store.trainable().into_iter().map(|(name, var)| {
            let values: Vec<f32> = grads.get(&var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            (name, values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        });
        (loss.to_scalar::<f32>().unwrap().to_bits(), all.collect::<Vec<_>>())
    };
    assert_eq!(gradients(true), gradients(false));
}
