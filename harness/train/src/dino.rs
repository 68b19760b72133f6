//! DINO: self-distillation without labels (Caron et al., arXiv 2104.14294, §3 and algorithm 1).
//!
//! A student sees every view of a face, a teacher the two large ones. Both end in a head that says which of K
//! learned patterns a view shows. The student is trained to say what the teacher said of *another* view:
//!
//! `L = mean over (t, v ≠ t) of −Σ_k P_t(k) log P_s(k)`, `P_s = softmax(s/τ_s)`, `P_t = softmax((t − C)/τ_t)`.
//!
//! The teacher follows the student as a moving average; the centre C follows the mean of the teacher's outputs,
//! which keeps one pattern from winning everywhere, while the low temperature τ_t keeps the answer from becoming
//! flat. The head (appendix B): three linear layers with GELU between them, a unit vector of 256 numbers, and a
//! weight-normalised linear layer without bias.

use candle_core::{DType, Tensor};
use facebench_engine::ops::{self, composite};
use facebench_engine::optim::ema_update;
use facebench_engine::{Init, ParamStore, nn};
use facebench_host::{Backbone, RunCtx};

use crate::error::{Result, bad_spec};
use crate::spec::DinoSpec;
use crate::threec::wide;

/// Start of the names of the head's parameters.
pub const HEAD: &str = "head.";

/// Names of the last layer, which rests in the first epoch.
pub const LAST: &str = "head.last_layer.";

/// Projection head: (B, D) → (B, K).
pub struct Head {
    layers: [nn::Linear; 3],
    direction: Tensor, // (K, bottleneck)
    length: Tensor,    // (K, 1)
}

impl Head {
    /// Parameters `head.mlp.{0,2,4}.*` and `head.last_layer.weight_{v,g}`, as in published files.
    pub fn new(spec: &DinoSpec, width: usize, store: &ParamStore) -> Result<Self> {
        let start = Init::TruncNormal { std: 0.02 };
        let layer = |i: usize, from, to| nn::Linear::new(store, &format!("{HEAD}mlp.{i}"), from, to, &start);
        let lengths = (format!("{LAST}weight_g"), (spec.out, 1));
        Ok(Self {
            layers: [
                layer(0, width, spec.hidden)?,
                layer(2, spec.hidden, spec.hidden)?,
                layer(4, spec.hidden, spec.bottleneck)?,
            ],
            direction: store.get(&format!("{LAST}weight_v"), (spec.out, spec.bottleneck), &start)?,
            length: match spec.norm_last_layer {
                true => store.get_fixed(&lengths.0, lengths.1, &Init::ONES)?,
                false => store.get(&lengths.0, lengths.1, &Init::ONES)?,
            },
        })
    }

    /// Outputs before any softmax.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = ops::gelu(&self.layers[0].forward(x)?)?;
        let x = ops::gelu(&self.layers[1].forward(&x)?)?;
        let x = ops::normalise(&self.layers[2].forward(&x)?, 1, 1e-12)?; // (B, bottleneck)
        let weight = ops::normalise(&self.direction, 1, 1e-12)?.broadcast_mul(&self.length)?;
        Ok(ops::linear(&x, &weight, None)?)
    }
}

/// A backbone with its head: student or teacher.
pub struct Network {
    backbone: Backbone,
    head: Head,
}

impl Network {
    /// Builds the head beside `backbone`.
    pub fn new(spec: &DinoSpec, backbone: Backbone, store: &ParamStore) -> Result<Self> {
        if backbone.info.prefix_tokens == 0 {
            return bad_spec!("`objective.kind: dino` needs a backbone with a cls token");
        }
        Ok(Self { head: Head::new(spec, backbone.info.width, store)?, backbone })
    }

    /// Images (B, 3, H, W) of any size the backbone takes → outputs (B, K) from the normalised cls token.
    pub fn forward(&self, images: &Tensor, ctx: &RunCtx) -> Result<Tensor> {
        let tokens = self.backbone.embed(images, None, ctx)?;
        let tokens = wide(&self.backbone.norm(&self.backbone.encode(&tokens, ctx)?)?)?;
        self.head.forward(&tokens.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?)
    }
}

/// P_t: what the teacher says, centred and sharpened, without gradient. (B, K) each.
pub fn targets(teacher: &Tensor, centre: &Tensor, temperature: f64) -> Result<Tensor> {
    Ok(composite::softmax(&(teacher.broadcast_sub(centre)? / temperature)?, 1)?.detach())
}

/// The loss between the student's outputs of all views and the teacher's [`targets`] of the first ones.
/// View v is compared with every target but its own.
pub fn loss(student: &[Tensor], targets: &[Tensor], temperature: f64) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    let (mut pairs, batch) = (0usize, targets[0].dim(0)?);
    for (v, view) in student.iter().enumerate() {
        let log_p = composite::log_softmax(&(view / temperature)?, 1)?;
        for (_, target) in targets.iter().enumerate().filter(|(t, _)| *t != v) {
            let term = target.mul(&log_p)?.sum_all()?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
            pairs += 1;
        }
    }
    match sum {
        Some(sum) => Ok((sum / -((pairs * batch) as f64))?),
        None => bad_spec!("one view alone cannot be compared with another"),
    }
}

/// Entropy in nats of the mean of the rows and mean entropy of the rows: a collapse shows as the first falling to
/// 0 (one pattern for everything) or the second rising to ln K (all patterns alike).
pub fn entropies(targets: &[Tensor]) -> Result<(f64, f64)> {
    let all = Tensor::cat(targets, 0)?.to_dtype(DType::F64)?;
    let entropy = |p: &Tensor| -> Result<f64> {
        let logs = (p + 1e-300)?.log()?;
        Ok(p.mul(&logs)?.sum_all()?.neg()?.to_scalar::<f64>()?)
    };
    let rows = all.dim(0)? as f64;
    Ok((entropy(&all.mean(0)?)?, entropy(&all)? / rows))
}

/// The teacher's side of the state: its centre, and what the micro-batches of this update have seen.
pub struct Centre {
    /// C (1, K)
    pub value: Tensor,
    momentum: f64,
    gathered: Option<(Tensor, usize)>,
}

impl Centre {
    /// Starts at zero.
    pub fn new(spec: &DinoSpec, device: &candle_core::Device) -> Result<Self> {
        let value = Tensor::zeros((1, spec.out), DType::F32, device)?;
        Ok(Self { value, momentum: spec.center_momentum, gathered: None })
    }

    /// Takes note of the teacher's outputs of one micro-batch (any number of views, (B, K) each).
    pub fn see(&mut self, outputs: &[Tensor]) -> Result<()> {
        let mean = Tensor::cat(outputs, 0)?.mean_keepdim(0)?.detach();
        self.gathered = Some(match self.gathered.take() {
            Some((sum, n)) => ((sum + mean)?, n + 1),
            None => (mean, 1),
        });
        Ok(())
    }

    /// `C ← m C + (1 − m) mean`, with the mean over everything seen since the last update.
    pub fn update(&mut self) -> Result<()> {
        if let Some((sum, n)) = self.gathered.take() {
            let mean = (sum / n as f64)?;
            self.value = ((&self.value * self.momentum)? + (mean * (1.0 - self.momentum))?)?;
        }
        Ok(())
    }

    /// Forgets what was seen since the last update.
    pub fn forget(&mut self) {
        self.gathered = None;
    }
}

/// The teacher's parameters follow the student's.
pub fn follow(teacher: &ParamStore, student: &ParamStore, momentum: f64) -> Result<()> {
    Ok(ema_update(teacher, student, momentum)?)
}

/// τ_t at fractional epoch `e`: linear from the warm-up value, then constant.
pub fn teacher_temperature(spec: &DinoSpec, e: f64) -> f64 {
    let share = if spec.warmup_teacher_temp_epochs > 0.0 { e / spec.warmup_teacher_temp_epochs } else { 1.0 };
    spec.warmup_teacher_temp + (spec.teacher_temp - spec.warmup_teacher_temp) * share.min(1.0)
}

/// Half a cosine from `start` to `end`, at fractional epoch `e` of `epochs`: weight decay, momentum of the teacher.
pub fn cosine(e: f64, epochs: f64, start: f64, end: f64) -> f64 {
    end + (start - end) * 0.5 * (1.0 + (std::f64::consts::PI * e / epochs).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const K: usize = 5;

    /// Numbers without a pattern.
    fn some(rows: usize, salt: f64) -> Vec<f64> {
        (0..rows * K).map(|i| (1.7 * i as f64 + salt).sin()).collect()
    }

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::from_slice(values, (values.len() / K, K), &Device::Cpu).unwrap()
    }

    fn softmax(row: &[f64]) -> Vec<f64> {
        let max = row.iter().copied().fold(f64::MIN, f64::max);
        let e: Vec<f64> = row.iter().map(|x| (x - max).exp()).collect();
        let sum: f64 = e.iter().sum();
        e.iter().map(|x| x / sum).collect()
    }

    /// Algorithm 1 as loops over numbers.
    fn by_hand(student: &[Vec<f64>], teacher: &[Vec<f64>], centre: &[f64], ts: f64, tt: f64) -> f64 {
        let (mut sum, mut pairs) = (0.0, 0.0);
        let rows = teacher[0].len() / K;
        for (t, teach) in teacher.iter().enumerate() {
            for (_, study) in student.iter().enumerate().filter(|(v, _)| *v != t) {
                pairs += 1.0;
                for r in 0..rows {
                    let row = |x: &[f64]| x[r * K..(r + 1) * K].to_vec();
                    let centred: Vec<f64> =
                        row(teach).iter().zip(centre).map(|(x, c)| (x - c) / tt).collect();
                    let p = softmax(&centred);
                    let q = softmax(&row(study).iter().map(|x| x / ts).collect::<Vec<_>>());
                    sum -= p.iter().zip(&q).map(|(p, q)| p * q.ln()).sum::<f64>() / rows as f64;
                }
            }
        }
        sum / pairs
    }

    #[test]
    fn the_loss_and_its_gradient_are_those_of_the_paper() {
        let (ts, tt) = (0.1, 0.06);
        let student: Vec<Vec<f64>> = (0..4).map(|v| some(3, v as f64)).collect();
        let teacher: Vec<Vec<f64>> = (0..2).map(|v| some(3, 9.0 + v as f64)).collect();
        let centre: Vec<f64> = (0..K).map(|k| 0.1 * k as f64 - 0.2).collect();
        let vars: Vec<Var> = student.iter().map(|s| Var::from_tensor(&tensor(s)).unwrap()).collect();
        let views: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let wanted: Vec<Tensor> =
            teacher.iter().map(|t| targets(&tensor(t), &tensor(&centre), tt).unwrap()).collect();
        let got = loss(&views, &wanted, ts).unwrap();
        let expected = by_hand(&student, &teacher, &centre, ts, tt);
        assert!((got.to_scalar::<f64>().unwrap() - expected).abs() < 1e-12);
        // dL/ds = Σ_t (softmax(s/τ) − P_t) / (τ · pairs · B); also by differences
        let grads = facebench_engine::backward(&got).unwrap();
        for (v, var) in vars.iter().enumerate() {
            let slope: Vec<f64> = grads.get(var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            for i in 0..3 * K {
                let q =
                    softmax(&student[v][i / K * K..][..K].iter().map(|x| x / ts).collect::<Vec<_>>())[i % K];
                let closed: f64 = (0..2)
                    .filter(|t| *t != v)
                    .map(|t| {
                        let p: Vec<f64> = wanted[t].flatten_all().unwrap().to_vec1().unwrap();
                        (q - p[i]) / (ts * 6.0 * 3.0)
                    })
                    .sum();
                assert!((slope[i] - closed).abs() < 1e-12, "view {v}, {i}: {} is not {closed}", slope[i]);
                let moved = |by: f64| {
                    let mut s = student.clone();
                    s[v][i] += by;
                    by_hand(&s, &teacher, &centre, ts, tt)
                };
                let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((slope[i] - difference).abs() < 1e-8);
            }
        }
    }

    #[test]
    fn the_centre_is_the_mean_of_everything_seen_since_the_last_update() {
        let spec = DinoSpec { out: K, center_momentum: 0.75, ..DinoSpec::default() };
        let float = |v: &[f64]| tensor(v).to_dtype(DType::F32).unwrap();
        let all = [some(2, 0.0), some(2, 1.0), some(2, 2.0), some(2, 3.0)];
        let mut whole = Centre::new(&spec, &Device::Cpu).unwrap();
        whole.see(&all.iter().map(|v| float(v)).collect::<Vec<_>>()).unwrap();
        whole.update().unwrap();
        let mut parts = Centre::new(&spec, &Device::Cpu).unwrap();
        parts.see(&[float(&all[0]), float(&all[1])]).unwrap();
        parts.see(&[float(&all[2]), float(&all[3])]).unwrap();
        parts.update().unwrap();
        parts.update().unwrap(); // nothing seen: nothing moves
        let values = |c: &Centre| c.value.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for k in 0..K {
            let mean: f64 = all.iter().flat_map(|v| [v[k], v[K + k]]).sum::<f64>() / 8.0;
            for c in [values(&whole)[k], values(&parts)[k]] {
                assert!((f64::from(c) - 0.25 * mean).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn centring_and_sharpening_pull_in_opposite_directions() {
        // the same answer for every row: the marginal has the entropy of a row
        let same = targets(&tensor(&some(1, 0.0).repeat(4)), &tensor(&[0.0; K]), 0.5).unwrap();
        let (marginal, row) = entropies(&[same]).unwrap();
        assert!((marginal - row).abs() < 1e-12);
        let mean: Vec<f64> = (0..K).map(|k| some(1, 0.0)[k]).collect();
        let (flat, _) = entropies(&[targets(&tensor(&some(1, 0.0)), &tensor(&mean), 0.5).unwrap()]).unwrap();
        assert!((flat - (K as f64).ln()).abs() < 1e-12, "centred on itself it says nothing");
        let sharp =
            |t| entropies(&[targets(&tensor(&some(4, 0.0)), &tensor(&[0.0; K]), t).unwrap()]).unwrap().1;
        assert!(sharp(0.04) < sharp(0.07) && sharp(0.07) < sharp(1.0));
    }

    #[test]
    fn the_last_layer_has_rows_of_unit_length() {
        let spec = DinoSpec { out: 7, hidden: 6, bottleneck: 4, ..DinoSpec::default() };
        let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
        let head = Head::new(&spec, 5, &store).unwrap();
        let x = Tensor::from_vec((0..15).map(|i| (i as f32).cos()).collect::<Vec<_>>(), (3, 5), &Device::Cpu)
            .unwrap();
        let before: Vec<f32> = head.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert!(before.iter().all(|v| v.abs() <= 1.0 + 1e-6), "products of unit vectors");
        let name = format!("{LAST}weight_v");
        let longer = (&store.tensors()[&name] * 3.0).unwrap();
        store.set_all(&[(name, longer)].into()).unwrap();
        let after: Vec<f32> = head.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!(!store.trainable().iter().any(|(n, _)| n.ends_with("weight_g")));
    }

    #[test]
    fn schedules_are_the_published_ones() {
        let spec = DinoSpec::default();
        assert!((teacher_temperature(&spec, 0.0) - 0.04).abs() < 1e-12);
        assert!((teacher_temperature(&spec, 15.0) - 0.055).abs() < 1e-12);
        assert!((teacher_temperature(&spec, 80.0) - 0.07).abs() < 1e-12);
        let decay = |e| cosine(e, 100.0, 0.04, 0.4);
        assert!((decay(0.0) - 0.04).abs() < 1e-12 && (decay(50.0) - 0.22).abs() < 1e-12);
        assert!((decay(100.0) - 0.4).abs() < 1e-12);
    }
}
