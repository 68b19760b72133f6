//! Parameters by name.
//!
//! A model asks the store for `(name, shape, init)` and gets a tensor; the store decides where the
//! value comes from (a checkpoint given with [`ParamStore::provide`], else the initialiser, which
//! depends on seed and name only) and whether it trains. Names marked frozen are handed out
//! detached, so nothing is recorded for them and no gradient can reach them. Everything that
//! belongs to parameters (optimiser, averaging, checkpoints) works on names.
use crate::error::{Error, Result};
use crate::kernels::kept;
use crate::rng::Rng;
use candle_core::{CpuStorage, DType, Device, Shape, Storage, Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a parameter that no checkpoint provides gets its first value.
#[derive(Clone, Debug)]
pub enum Init {
    /// Every element the same.
    Constant(f64),
    /// Gaussian.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// Gaussian of mean 0, redrawn until within ±2 in absolute units (not in deviations): what
    /// timm 0.4.5 and `torch.nn.init.trunc_normal_` do with their default bounds.
    TruncNormal {
        /// Standard deviation before truncation.
        std: f64,
    },
    /// Uniform ±sqrt(6/(fan_in+fan_out)); dimensions after the first count as fan in.
    XavierUniform,
    /// Uniform ±bound.
    Uniform {
        /// Largest magnitude.
        bound: f64,
    },
    /// PyTorch's default for a linear or convolution weight: uniform ±1/sqrt(fan_in).
    FanIn,
    /// Given values, row-major (for example a fixed position table).
    Values(Arc<Vec<f32>>),
}

impl Init {
    /// All zeros.
    pub const ZEROS: Self = Self::Constant(0.0);
    /// All ones.
    pub const ONES: Self = Self::Constant(1.0);

    /// The values for parameter `name` of shape `dims` under `seed`, row-major.
    pub fn values(&self, name: &str, dims: &[usize], seed: u64) -> Result<Vec<f32>> {
        let count = dims.iter().product::<usize>();
        let fan_out = dims.first().copied().unwrap_or(1).max(1);
        let fan_in = (count / fan_out).max(1);
        let mut rng = Rng::new("init", seed, &[name]);
        let mut uniform =
            |bound: f64| (0..count).map(|_| ((rng.uniform() * 2.0 - 1.0) * bound) as f32).collect();
        Ok(match self {
            Self::Constant(v) => vec![*v as f32; count],
            Self::Uniform { bound } => uniform(*bound),
            Self::FanIn => uniform(1.0 / (fan_in as f64).sqrt()),
            Self::XavierUniform => uniform((6.0 / (fan_in + fan_out) as f64).sqrt()),
            Self::Normal { mean, std } => (0..count).map(|_| (mean + std * rng.normal()) as f32).collect(),
            Self::TruncNormal { std } => {
                let draw = |_| loop {
                    let z = std * rng.normal();
                    if z.abs() <= 2.0 {
                        break z as f32;
                    }
                };
                (0..count).map(draw).collect()
            }
            Self::Values(v) if v.len() == count => v.as_ref().clone(),
            Self::Values(v) => {
                return Err(Error::ParameterShape {
                    name: name.into(),
                    expected: dims.to_vec(),
                    got: vec![v.len()],
                });
            }
        })
    }
}

/// Numbers of scalar parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub total: u64,
    /// Those that train.
    pub trainable: u64,
}

/// What becomes of a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Trains,
    Fixed,
    State,
}

struct Entry {
    var: Var,
    role: Role,
    /// Address of an f32 matrix on the CPU, registered for packing once.
    matrix: Option<usize>,
}

impl Entry {
    fn new(var: Var, role: Role) -> Self {
        let matrix = (var.rank() > 1).then(|| address(&var)).flatten();
        matrix.iter().for_each(|&at| kept::register(at));
        Self { var, role, matrix }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.matrix.iter().for_each(|&at| kept::release(at));
    }
}

/// Where the values of a contiguous f32 tensor on the CPU begin.
fn address(t: &Tensor) -> Option<usize> {
    let (storage, layout) = t.storage_and_layout();
    let (start, _) = layout.contiguous_offsets()?;
    match &*storage {
        Storage::Cpu(CpuStorage::F32(v)) => Some(v[start..].as_ptr() as usize),
        _ => None,
    }
}

type Predicate = Box<dyn Fn(&str) -> bool + Send + Sync>;

struct State {
    entries: BTreeMap<String, Entry>,
    provided: BTreeMap<String, Tensor>,
    initialised: BTreeSet<String>,
    replaced: BTreeMap<String, Tensor>,
    frozen: Predicate,
    /// Shapes asked for, of a store without values.
    shapes: Option<BTreeMap<String, Vec<usize>>>,
}

/// The parameters of a model. Clones share the same parameters.
#[derive(Clone)]
pub struct ParamStore {
    device: Device,
    dtype: DType,
    seed: u64,
    state: Arc<Mutex<State>>,
}

impl ParamStore {
    /// An empty store whose parameters live on `device` in `dtype`.
    pub fn new(device: &Device, dtype: DType, seed: u64) -> Self {
        let state = State {
            entries: BTreeMap::new(),
            provided: BTreeMap::new(),
            initialised: BTreeSet::new(),
            replaced: BTreeMap::new(),
            frozen: Box::new(|_| false),
            shapes: None,
        };
        Self { device: device.clone(), dtype, seed, state: Arc::new(Mutex::new(state)) }
    }

    /// A store that only notes names and shapes: what it hands out takes no memory and must not be computed with. For
    /// questions about a model of any size.
    pub fn shapes_only() -> Self {
        let store = Self::new(&Device::Cpu, DType::F32, 0);
        store.state().shapes = Some(BTreeMap::new());
        store
    }

    /// Shapes by name; of every parameter asked for so far.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let state = self.state();
        let dims = |(n, e): (&String, &Entry)| (n.clone(), e.var.dims().to_vec());
        state.shapes.clone().unwrap_or_else(|| state.entries.iter().map(dims).collect())
    }

    /// The device parameters live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The dtype of the parameters.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // a panic while holding the lock leaves only whole entries behind
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names for which `frozen` is true are handed out detached from now on and do not train. Call
    /// it before the model is created.
    pub fn set_frozen(&self, frozen: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.state().frozen = Box::new(frozen);
    }

    /// Values to use instead of an initialiser when a name is first asked for.
    pub fn provide(&self, tensors: BTreeMap<String, Tensor>) {
        self.state().provided.extend(tensors);
    }

    /// From now on these names are handed out as these tensors: functions of parameters, such as a weight with a
    /// low-rank update. Takes the place of earlier replacements; a model made before keeps what it got.
    pub fn replace(&self, tensors: BTreeMap<String, Tensor>) {
        self.state().replaced = tensors;
    }

    /// The parameter `name`. Created on the first call; later calls return the same parameter and
    /// must ask for the same shape.
    pub fn get(&self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<Tensor> {
        self.get_or_create(name, &shape.into(), init, Role::Trains)
    }

    /// Like [`ParamStore::get`] for a tensor that never trains but belongs to the checkpoint, such
    /// as a fixed position table.
    pub fn get_fixed(&self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<Tensor> {
        self.get_or_create(name, &shape.into(), init, Role::Fixed)
    }

    /// Like [`ParamStore::get_fixed`] for a tensor that operations change in place while training, such as running
    /// statistics. See [`ParamStore::states`].
    pub fn get_state(&self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<Tensor> {
        self.get_or_create(name, &shape.into(), init, Role::State)
    }

    fn get_or_create(&self, name: &str, shape: &Shape, init: &Init, role: Role) -> Result<Tensor> {
        let mut state = self.state();
        if let Some(shapes) = &mut state.shapes {
            shapes.insert(name.to_owned(), shape.dims().to_vec());
            return Ok(Tensor::zeros((), self.dtype, &self.device)?.broadcast_as(shape.clone())?);
        }
        if !state.entries.contains_key(name) {
            let value = match state.provided.get(name) {
                Some(given) => {
                    check_shape(name, shape, given)?;
                    if !given.dtype().is_float() {
                        let (name, got) = (name.to_owned(), given.dtype());
                        return Err(Error::ParameterDtype { name, got });
                    }
                    let value = given.to_device(&self.device)?.to_dtype(self.dtype)?;
                    state.provided.remove(name);
                    value
                }
                None => {
                    let values = init.values(name, shape.dims(), self.seed)?;
                    if !matches!(init, Init::Values(_)) {
                        state.initialised.insert(name.to_owned());
                    }
                    Tensor::from_vec(values, shape.clone(), &self.device)?.to_dtype(self.dtype)?
                }
            };
            let role = if role == Role::Trains && (state.frozen)(name) { Role::Fixed } else { role };
            state.entries.insert(name.to_owned(), Entry::new(Var::from_tensor(&value)?, role));
        }
        let Some(entry) = state.entries.get(name) else {
            return Err(Error::argument("ParamStore::get", "an entry", name));
        };
        check_shape(name, shape, &entry.var)?;
        if let Some(other) = state.replaced.get(name) {
            check_shape(name, shape, other)?;
            return Ok(other.clone());
        }
        Ok(if entry.role == Role::Trains {
            entry.var.as_tensor().clone()
        } else {
            entry.var.as_detached_tensor()
        })
    }

    /// Names that were provided but never asked for.
    pub fn unused(&self) -> Vec<String> {
        self.state().provided.keys().cloned().collect()
    }

    /// Forgets values that were provided but never asked for.
    pub fn drop_unused(&self) {
        self.state().provided.clear();
    }

    /// Names whose first value came from an initialiser rather than from [`ParamStore::provide`].
    pub fn initialised(&self) -> Vec<String> {
        self.state().initialised.iter().cloned().collect()
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.state().entries.keys().cloned().collect()
    }

    /// Current values by name, detached but sharing storage with the parameters.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.state().entries.iter().map(|(n, e)| (n.clone(), e.var.as_detached_tensor())).collect()
    }

    /// The parameters that train, sorted by name.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        self.state()
            .entries
            .iter()
            .filter(|(_, e)| e.role == Role::Trains)
            .map(|(n, e)| (n.clone(), e.var.clone()))
            .collect()
    }

    /// What operations change beside training, by name: running statistics. Detached, sharing storage. It belongs to
    /// whatever is saved of a tuned model.
    pub fn states(&self) -> BTreeMap<String, Tensor> {
        let state = self.state();
        let found = state.entries.iter().filter(|(_, e)| e.role == Role::State);
        found.map(|(n, e)| (n.clone(), e.var.as_detached_tensor())).collect()
    }

    /// Every parameter with its variable, sorted by name, trained or not. Change values with
    /// [`ParamStore::set_all`] or an optimiser, which free what was packed from the old ones.
    pub fn variables(&self) -> Vec<(String, Var)> {
        self.state().entries.iter().map(|(n, e)| (n.clone(), e.var.clone())).collect()
    }

    /// Number of scalars, in total and trained.
    pub fn count(&self) -> Count {
        let mut count = Count { total: 0, trainable: 0 };
        for entry in self.state().entries.values() {
            let n = entry.var.elem_count() as u64;
            count.total += n;
            count.trainable += if entry.role == Role::Trains { n } else { 0 };
        }
        count
    }

    /// Overwrites the values of existing parameters. Every tensor must name a parameter and have
    /// its shape; parameters not named keep their value.
    pub fn set_all(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let state = self.state();
        for (name, value) in tensors {
            let Some(entry) = state.entries.get(name) else {
                return Err(Error::argument(
                    "ParamStore::set_all",
                    "names of existing parameters",
                    name.as_str(),
                ));
            };
            check_shape(name, entry.var.shape(), value)?;
            entry.var.set(&value.to_device(&self.device)?.to_dtype(self.dtype)?.force_contiguous()?)?;
            entry.matrix.iter().for_each(|&at| kept::changed(at));
        }
        Ok(())
    }

    /// A twin with its own copy of every current value, for an averaged (target) network: create
    /// the model again on it; all its parameters are handed out detached.
    pub fn detached_copy(&self) -> Result<Self> {
        let mut copies = BTreeMap::new();
        for (name, tensor) in self.tensors() {
            copies.insert(name, tensor.force_contiguous()?);
        }
        let twin = Self::new(&self.device, self.dtype, self.seed);
        twin.set_frozen(|_| true);
        twin.provide(copies);
        Ok(twin)
    }
}

fn check_shape(name: &str, expected: &Shape, got: &Tensor) -> Result<()> {
    if got.shape() == expected {
        return Ok(());
    }
    Err(Error::ParameterShape {
        name: name.into(),
        expected: expected.dims().to_vec(),
        got: got.dims().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(seed: u64) -> ParamStore {
        ParamStore::new(&Device::Cpu, DType::F32, seed)
    }

    fn normal() -> Init {
        Init::Normal { mean: 0.0, std: 1.0 }
    }

    #[test]
    fn a_value_depends_on_seed_and_name_only() {
        let (a, b) = (store(1), store(1));
        a.get("other", 5, &normal()).unwrap();
        let draw =
            |s: &ParamStore, name: &str| s.get(name, (2, 3), &normal()).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(draw(&a, "w"), draw(&b, "w"));
        assert_ne!(draw(&a, "w"), draw(&store(2), "w"));
        assert_ne!(draw(&a, "w"), draw(&a, "v"));
    }

    #[test]
    fn provided_values_win_and_leftovers_are_named() {
        let s = store(0);
        let one = |n: usize| Tensor::ones(n, DType::F64, &Device::Cpu).unwrap();
        s.provide(BTreeMap::from([("w".into(), one(2)), ("left".into(), one(1))]));
        assert_eq!(s.get("w", 2, &Init::ZEROS).unwrap().to_vec1::<f32>().unwrap(), [1.0, 1.0]);
        s.get("b", 2, &Init::ZEROS).unwrap();
        assert_eq!(s.unused(), ["left"]);
        assert_eq!(s.initialised(), ["b"]);
        let err = s.get("left", 4, &Init::ZEROS).unwrap_err().to_string();
        assert_eq!(err, "parameter left: expected shape [4], got [1]");
    }

    #[test]
    fn frozen_names_are_detached_and_do_not_train() {
        let s = store(0);
        s.set_frozen(|n| n.starts_with("body."));
        let body = s.get("body.w", 3, &normal()).unwrap();
        let head = s.get("head.w", 3, &normal()).unwrap();
        let table = s.get_fixed("pos", 2, &Init::ZEROS).unwrap();
        assert!(!body.track_op() && head.track_op() && !table.track_op());
        assert_eq!(s.trainable().iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["head.w"]);
        assert_eq!(s.count(), Count { total: 8, trainable: 3 });
    }

    #[test]
    fn state_does_not_train_and_is_changed_in_place() {
        let s = store(0);
        let mean = s.get_state("bn.running_mean", 2, &Init::ZEROS).unwrap();
        assert!(!mean.track_op() && s.trainable().is_empty());
        mean.slice_set(&Tensor::new(&[1.0f32, 2.0], &Device::Cpu).unwrap(), 0, 0).unwrap();
        assert_eq!(s.states()["bn.running_mean"].to_vec1::<f32>().unwrap(), [1.0, 2.0]);
        assert_eq!(s.count(), Count { total: 2, trainable: 0 });
    }

    #[test]
    fn a_store_without_values_knows_shapes_of_any_size() {
        let s = ParamStore::shapes_only();
        let w = s.get("w", (1 << 30, 1 << 20), &normal()).unwrap();
        assert_eq!(w.dims(), [1 << 30, 1 << 20]);
        assert_eq!(s.shapes()["w"], [1 << 30, 1 << 20]);
    }

    #[test]
    fn a_twin_has_equal_values_and_its_own_storage() {
        let s = store(0);
        let w = s.get("w", 3, &normal()).unwrap();
        let twin = s.detached_copy().unwrap();
        let before = twin.get("w", 3, &Init::ZEROS).unwrap();
        assert_eq!(before.to_vec1::<f32>().unwrap(), w.to_vec1::<f32>().unwrap());
        s.set_all(&BTreeMap::from([("w".into(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap())]))
            .unwrap();
        assert_eq!(w.to_vec1::<f32>().unwrap(), [0.0; 3]);
        assert_ne!(before.to_vec1::<f32>().unwrap(), [0.0; 3]);
        assert!(!before.track_op() && twin.trainable().is_empty());
    }

    #[test]
    fn a_replaced_name_is_handed_out_as_a_function_of_parameters() {
        let s = store(0);
        let w = s.get("w", 3, &normal()).unwrap();
        s.replace(BTreeMap::from([("w".into(), (&w * 2.0).unwrap())]));
        let twice = s.get("w", 3, &normal()).unwrap();
        assert_eq!(twice.to_vec1::<f32>().unwrap(), (&w * 2.0).unwrap().to_vec1::<f32>().unwrap());
        assert!(twice.track_op() && s.get("w", 4, &normal()).is_err());
        s.replace(BTreeMap::new());
        assert_eq!(s.get("w", 3, &normal()).unwrap().to_vec1::<f32>().unwrap(), w.to_vec1::<f32>().unwrap());
    }

    #[test]
    fn initialisers_stay_in_their_bounds() {
        let max = |init: Init, dims: &[usize]| {
            init.values("w", dims, 0).unwrap().iter().fold(0.0f32, |m, v| m.max(v.abs()))
        };
        assert!((0.9..=1.0).contains(&(max(Init::XavierUniform, &[20, 10]) / (6.0f32 / 30.0).sqrt())));
        assert!((0.9..=1.0).contains(&(max(Init::FanIn, &[20, 5, 5]) / 0.2)));
        assert!(max(Init::TruncNormal { std: 1.0 }, &[10_000]) <= 2.0);
        assert!(max(Init::Normal { mean: 0.0, std: 1.0 }, &[10_000]) > 2.0);
    }
}
