//! The matrix: models × heads × protocols × folds × seeds, as units that share what they can.
//!
//! Read it top to bottom: the data unit, the pre-training runs that somebody needs, then for each
//! combination a tuning and a scoring unit. Two combinations that come to the same digest share one unit.
//! Everything that can be wrong is found here, before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use facebench_engine::checkpoint;
use facebench_host::{Kind, Plugins, Purpose};
use facebench_protocols::{Fold, PluginStamp, Protocol, Selection};
use facebench_train::spec::{
    Component, MaskingSpec, MissingParsing, ObjectiveKind, PretrainData, PretrainSpec, ScoreSpec, TuneSpec,
    WeightsFrom,
};
use serde_json::{Value, json};

use super::data::{self, DataPlan, Generate, Root, datasets};
use super::estimate::{Estimate, estimate};
use super::names::{check_names, protocols};
use super::sound::{self, Known};
use super::{Cell, Labels, Plan, Scoring, Task, Tuning, Unit, resolve};
use crate::config::{DataSource, Filter, Init, Loaded, Model, Repeat, Rules};
use crate::{fail, store};

/// The masking plugin that `on_missing: random` falls back to.
const FALLBACK: &str = "random";

/// Version of this program, part of every identity.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Frames in a batch of scoring; changes no number, only memory.
const SCORE_BATCH: usize = 64;

/// Resolves an experiment.
///
/// # Errors
/// Unknown names, settings that plugins refuse, missing data, an empty matrix.
pub(crate) fn build(mut loaded: Loaded, plugins: &Plugins) -> Result<Plan> {
    let protocols = protocols(&loaded)?;
    check_names(&loaded, &protocols)?;
    let mut b = Builder::new(&loaded, plugins)?;
    let wanted = b.pretrain_names();
    b.survey(&wanted, &protocols)?;
    for (name, spec) in loaded.experiment.pretrain.iter().filter(|(n, _)| wanted.contains(n)) {
        let repeats: &[u64] = match loaded.experiment.repeat {
            Repeat::Tuning => &[0],
            Repeat::Everything => &loaded.experiment.seeds.0,
        };
        for seed in repeats {
            b.pretrain(name, spec, *seed)?;
        }
    }
    for protocol in &protocols {
        for fold in &protocol.folds {
            b.fold(protocol, fold)?;
        }
    }
    let Builder { units, cells, data, costs, absent, unready, .. } = b;
    if units.iter().all(|u| matches!(u.task, Task::Data(_))) {
        return Err(anyhow!(
            "nothing to run: no combination of model, head and protocol is left\nhint: give `models`, `heads` and `protocols`, and look at `only` and `skip`"
        ));
    }
    loaded.experiment.pretrain.retain(|name| wanted.iter().any(|w| w == name));
    let unready = unready.into_iter().collect();
    Ok(Plan { experiment: loaded.experiment, units, cells, protocols, data, costs, absent, unready })
}

struct Builder<'e> {
    loaded: &'e Loaded,
    plugins: &'e Plugins,
    units: Vec<Unit>,
    cells: Vec<Cell>,
    data: DataPlan,
    root: Option<Root>,
    costs: BTreeMap<usize, Estimate>,
    /// What came of each pre-training run, by name and repetition
    runs: BTreeMap<(String, u64), Trained>,
    /// Digests of checkpoint files, read once
    checkpoints: BTreeMap<PathBuf, String>,
    /// What is known of networks
    known: Known,
    absent: BTreeSet<PathBuf>,
    unready: BTreeSet<String>,
}

impl<'e> Builder<'e> {
    fn new(loaded: &'e Loaded, plugins: &'e Plugins) -> Result<Self> {
        let mut b = Self {
            loaded,
            plugins,
            units: Vec::new(),
            cells: Vec::new(),
            data: DataPlan::Made(0),
            root: None,
            costs: BTreeMap::new(),
            runs: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            known: Known::default(),
            absent: BTreeSet::new(),
            unready: BTreeSet::new(),
        };
        if let DataSource::Root(folder) = &loaded.experiment.data {
            let path = loaded.layers.folder(&["data", "root"]).join(folder);
            let place = || loaded.layers.whereis(&["data".into(), "root".into()]);
            b.root = Some(Root::open(path.clone()).with_context(place)?);
            b.data = DataPlan::Root(path);
        } else if let Some((name, identity, task)) = data::generation(loaded)? {
            let index = b.unit(Draft::new(name, identity, Task::Data(task)));
            b.data = DataPlan::Made(index);
        }
        Ok(b)
    }

    /// Adds a unit, or finds the one of the same digest.
    fn unit(&mut self, draft: Draft) -> usize {
        let Draft { name, mut identity, task, needs, labels, plugins } = draft;
        identity["facebench"] = json!(VERSION);
        identity["kind"] = json!(task.kind());
        let inputs: Vec<&str> = needs.iter().map(|i| self.units[*i].digest.as_str()).collect();
        identity["inputs"] = json!(inputs);
        identity["plugins"] = json!(plugins);
        let digest = store::digest(&identity);
        if let Some(same) = self.units.iter().position(|u| u.digest == digest) {
            return same;
        }
        self.units.push(Unit { name, digest, identity, task, needs, labels, plugins });
        self.units.len() - 1
    }

    /// The unit that makes the data, if one does.
    fn data_unit(&self) -> Vec<usize> {
        match self.data {
            DataPlan::Made(i) => vec![i],
            DataPlan::Root(_) => Vec::new(),
        }
    }

    /// Pre-training runs that models in use start from; all, if there are no models.
    fn pretrain_names(&self) -> Vec<String> {
        let e = &self.loaded.experiment;
        if e.models.is_empty() {
            return e.pretrain.names();
        }
        let in_use = |model: &str| {
            e.only.is_empty() || e.only.iter().any(|f| f.model.as_deref().is_none_or(|m| m == model))
        };
        let skipped = |model: &str| {
            e.skip.iter().any(|f| *f == Filter { model: Some(model.to_owned()), ..Filter::default() })
        };
        let models = e.models.iter().filter(|(name, _)| in_use(name) && !skipped(name));
        models
            .filter_map(|(_, m)| if let Init::Pretrain(run) = &m.init { Some(run.clone()) } else { None })
            .collect()
    }

    /// Looks at all data sets that the plan reads, so that everything that is missing is told at once.
    fn survey(&mut self, runs: &[String], protocols: &[Protocol]) -> Result<()> {
        let Some(mut root) = self.root.take() else { return Ok(()) };
        let mut faults: Vec<String> = Vec::new();
        let mut note = |error: anyhow::Error| {
            let text = fail::message(&error);
            if !faults.contains(&text) {
                faults.push(text);
            }
        };
        for (name, spec) in self.loaded.experiment.pretrain.iter().filter(|(n, _)| runs.contains(n)) {
            let place = self.loaded.layers.whereis(&["pretrain".into(), name.clone(), "data".into()]);
            for set in &spec.data.sets {
                root.faces(set).err().map(|e| e.context(place.clone())).into_iter().for_each(&mut note);
            }
        }
        let mut seen = BTreeSet::new();
        for (protocol, fold) in protocols.iter().flat_map(|p| p.folds.iter().map(move |f| (p, f))) {
            let ids =
                if self.combinations(protocol, fold).is_empty() { BTreeSet::new() } else { datasets(fold) };
            for id in ids.into_iter().filter(|id| seen.insert(id.clone())) {
                let place = format!("protocol `{}`, fold {}", protocol.id, fold.name);
                root.set(&id).err().map(|e| e.context(place)).into_iter().for_each(&mut note);
            }
        }
        self.root = Some(root);
        let nothing = self.root.as_ref().is_some_and(Root::is_empty);
        if let (Some(first), true) = (faults.first(), nothing || faults.len() == 1) {
            return Err(anyhow!(first.clone()));
        }
        if faults.is_empty() {
            return Ok(());
        }
        // each has a hint of its own, and together they would hide the list
        let lines = faults.iter().flat_map(|f| f.lines()).filter(|l| !l.starts_with("hint: "));
        let list: Vec<&str> = lines.collect();
        Err(anyhow!(
            "{}\nhint: `facebench data list` says how each data set is laid out and where it comes from",
            list.join("\n")
        ))
    }

    fn pretrain(&mut self, name: &str, spec: &PretrainSpec, repetition: u64) -> Result<()> {
        let l = &self.loaded.layers;
        let b = &spec.backbone;
        let given = (b.plugin.as_str(), &b.config);
        let (backbone, stamp) =
            resolve::component(self.plugins, l, Kind::Backbone, given, &["pretrain", name, "backbone"])?;
        let m = &spec.masking;
        let given = (m.plugin.as_str(), &m.config);
        let (mask, mask_stamp) =
            resolve::component(self.plugins, l, Kind::Masking, given, &["pretrain", name, "masking"])?;
        let (on_missing, spec_seed) = (m.on_missing, spec.seed);
        let dino = spec.objective.kind == ObjectiveKind::Dino;
        if dino && l.merged.pointer(&format!("/pretrain/{name}/masking")).is_some() {
            return Err(anyhow!(
                "{}: `masking` has no meaning with `objective.kind: dino`: its views are crops, nothing is hidden\nhint: remove `masking`, or use `objective.kind: 3c`",
                l.whereis(&["pretrain".into(), name.into(), "masking".into()])
            ));
        }
        let masking = match dino {
            true => m.clone(), // not used
            false => MaskingSpec { plugin: mask.plugin, config: mask.config, ..m.clone() },
        };
        let optim = spec.optim.resolved();
        let spec = PretrainSpec {
            backbone: backbone.clone(),
            masking,
            optim: optim.with_context(|| l.whereis(&["pretrain".into(), name.into(), "optim".into()]))?,
            seed: spec.seed + repetition,
            ..spec.clone()
        };
        let place = |part: &str| l.whereabouts(&["pretrain".into(), name.into(), part.into()]);
        let at =
            |key: &str| ["pretrain", name].into_iter().chain(key.split('.')).map(str::to_owned).collect();
        sound::faults(&spec.validate(), l, at)?;
        let (data, unmapped) = match &mut self.root {
            Some(root) => root.pretrain(&spec.data).with_context(|| place("data"))?,
            None => (Value::Null, 0),
        };
        let at = ["pretrain", name, "backbone"];
        let info = self.known.backbone(&spec.backbone, Purpose::Pretrain, self.plugins, l, &at)?.clone();
        sound::pretraining(&spec, &info, !dino, unmapped, self.plugins, (l, name))?;
        let identity = json!({"spec": spec, "data": data});
        let labels = Labels { pretraining: name.to_owned(), seed: spec.seed, ..Labels::default() };
        let label = match self.loaded.experiment.repeat {
            Repeat::Tuning => name.to_owned(),
            Repeat::Everything => format!("{name} · seed {}", spec.seed),
        };
        let mut draft = Draft::new(label, identity, Task::Pretrain(Box::new(spec.clone())));
        draft.needs = self.data_unit();
        draft.plugins = vec![stamp.clone()];
        if !dino {
            draft.plugins.push(mask_stamp);
        }
        if !dino && on_missing == MissingParsing::Random && m.plugin != FALLBACK {
            draft.plugins.push(resolve::stamp(self.plugins, Kind::Masking, FALLBACK)?);
        }
        draft.labels = labels;
        let images = self.images(&spec, &draft.identity["data"]);
        let made = data::made(&spec.data, &self.loaded.experiment.data).with_context(|| place("data"));
        self.unless_open(made)?;
        self.unless_open(sound::updates(&spec, images).with_context(|| place("optim")))?;
        let cost = estimate(&spec, &info, images);
        let unit = self.unit(draft);
        if !dino {
            self.costs.insert(unit, cost); // many crops of several sizes: another sum, not made yet
        }
        let mut recipe = self.units[unit].identity.clone();
        recipe["spec"]["seed"] = json!(spec_seed);
        let trained = Trained { unit, backbone, plugins: vec![stamp], recipe: store::digest(&recipe) };
        self.runs.insert((name.to_owned(), repetition), trained);
        Ok(())
    }

    /// A mistake in what the data are is told when the experiment says where they come from; until then (a recipe that
    /// is looked at) it only keeps the plan from running.
    fn unless_open(&mut self, checked: Result<()>) -> Result<()> {
        match checked {
            Err(error) if self.loaded.layers.merged.get("data").is_none() => {
                let hint = "hint: `-s data.root=DIR` says where the data sets are";
                self.unready.insert(format!("{}\n{hint}", fail::message(&error)));
                Ok(())
            }
            other => other,
        }
    }

    /// How many images an epoch has, as far as that is known before the data are made.
    fn images(&self, spec: &PretrainSpec, data: &Value) -> Option<u64> {
        let all = match (&self.data, data.as_array()) {
            (_, Some(sets)) => sets.iter().map(|set| set["images"].as_u64()).sum::<Option<u64>>()?,
            (DataPlan::Made(unit), None) => match &self.units.get(*unit)?.task {
                Task::Data(Generate::Synth(made)) if spec.data.sets == PretrainData::default().sets => {
                    (made.scale.pretrain_people * made.scale.pretrain_per_person) as u64
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(spec.data.limit.map_or(all, |limit| all.min(limit as u64)))
    }

    /// All combinations of one fold.
    fn fold(&mut self, protocol: &Protocol, fold: &Fold) -> Result<()> {
        let all = self.combinations(protocol, fold);
        // a fold that nobody runs need not have its data
        let data = match &mut self.root {
            Some(root) if !all.is_empty() => {
                root.fold(fold).with_context(|| format!("protocol `{}`, fold {}", protocol.id, fold.name))?
            }
            _ => Value::Null,
        };
        for (model, head, seed) in all {
            self.cell(protocol, fold, model, head, seed, &data)?;
        }
        Ok(())
    }

    /// Models, heads and seeds that meet in a fold.
    fn combinations(&self, protocol: &Protocol, fold: &Fold) -> Vec<((&'e str, &'e Model), &'e str, u64)> {
        let e = &self.loaded.experiment;
        let mut all = Vec::new();
        for (model_name, model) in e.models.iter() {
            for (head_name, _) in e.heads.iter() {
                for seed in &e.seeds.0 {
                    let fits = |f: &Filter| f.fits(model_name, head_name, &protocol.id, &fold.name, *seed);
                    if (e.only.is_empty() || e.only.iter().any(fits)) && !e.skip.iter().any(fits) {
                        all.push(((model_name.as_str(), model), head_name.as_str(), *seed));
                    }
                }
            }
        }
        all
    }

    fn cell(
        &mut self,
        protocol: &Protocol,
        fold: &Fold,
        (model_name, model): (&str, &Model),
        head_name: &str,
        seed: u64,
        data: &Value,
    ) -> Result<()> {
        let e = &self.loaded.experiment;
        let l = &self.loaded.layers;
        let start = self.start(model_name, model, seed)?;
        let head = e.heads.find(head_name).ok_or_else(|| anyhow!("no head `{head_name}`"))?;
        let given = (head.plugin.as_str(), &head.config);
        let (component, head_stamp) =
            resolve::component(self.plugins, l, Kind::Head, given, &["heads", head_name])?;
        let mut rules = e.selection.as_ref().map_or_else(|| vec![protocol.selection], Rules::list);
        if rules.is_empty() {
            rules.push(protocol.selection);
        }
        let changes = e.recipes.get(&protocol.id);
        let recipe = resolve::recipe(&head.recipe, changes, &protocol.id, l)?;
        let trains = self.known.head((head_name, &component), &start.backbone, self.plugins, l)?;
        sound::faults(&recipe.validate(trains), l, |key| {
            let of_protocol = changes.is_some_and(|c| c.contains_key(key));
            let at = if of_protocol {
                vec!["recipes", &protocol.id, key]
            } else {
                vec!["heads", head_name, "recipe", key]
            };
            at.into_iter().map(str::to_owned).collect()
        })?;
        let spec = TuneSpec {
            backbone: start.backbone,
            init: start.init,
            head: component,
            recipe,
            protocol: protocol.id.clone(),
            fold: fold.name.clone(),
            seed,
            oracle: rules.contains(&Selection::Oracle),
        };
        let labels = Labels {
            model: model_name.to_owned(),
            pretraining: start.label,
            head: head_name.to_owned(),
            seed,
        };
        let name = format!("{model_name} · {head_name} · {} {} · seed {seed}", protocol.id, fold.name);
        let stamp = json!({"id": protocol.id, "version": protocol.version, "fingerprint": protocol.fingerprint(), "fold": fold});
        let mut plugins = start.plugins;
        plugins.push(head_stamp);

        let identity = json!({"spec": spec, "protocol": stamp, "data": data});
        let tuning = Tuning {
            spec: spec.clone(),
            protocol: protocol.clone(),
            pretrain: start.unit,
            checkpoint: start.checkpoint,
        };
        let mut draft = Draft::new(name.clone(), identity, Task::Tune(Box::new(tuning)));
        draft.needs = self.data_unit();
        draft.needs.extend(start.unit);
        draft.plugins.clone_from(&plugins);
        draft.labels = labels.clone();
        let tune = self.unit(draft);

        let main = rules[0];
        for rule in rules {
            let spec = ScoreSpec { tune: spec.clone(), selection: rule, batch: SCORE_BATCH };
            let identity = json!({"spec": spec, "protocol": stamp, "data": data});
            let scoring = Scoring { spec, protocol: protocol.clone(), tune };
            let mut labels = labels.clone();
            let mut name = name.clone();
            if rule != main {
                name = format!("{name} · {rule}");
                // tables mark the oracle themselves and keep it out of their ranking
                if rule != Selection::Oracle {
                    labels.head = format!("{} [{rule}]", labels.head);
                }
            }
            let mut draft = Draft::new(name, identity, Task::Score(Box::new(scoring)));
            draft.needs = self.data_unit();
            draft.needs.push(tune);
            draft.plugins.clone_from(&plugins);
            draft.labels = labels.clone();
            let unit = self.unit(draft);
            self.cells.push(Cell { labels, unit });
        }
        Ok(())
    }

    /// Backbone and initial weights of a model.
    fn start(&mut self, name: &str, model: &Model, seed: u64) -> Result<Start> {
        let l = &self.loaded.layers;
        let own = match &model.backbone {
            Some(c) => Some(resolve::component(
                self.plugins,
                l,
                Kind::Backbone,
                (c.plugin.as_str(), &c.config),
                &["models", name, "backbone"],
            )?),
            None => None,
        };
        let place = |key: &str| l.whereis(&["models".into(), name.into(), key.into()]);
        let need = || {
            anyhow!(
                "{}: `models.{name}` names no backbone\nhint: add `backbone: {{plugin: fsvfm}}`",
                place("init")
            )
        };
        let at = ["models", name, "backbone"];
        match &model.init {
            Init::Random => {
                let (backbone, stamp) = own.ok_or_else(need)?;
                self.known.backbone(&backbone, Purpose::Downstream, self.plugins, l, &at)?;
                Ok(Start::new(backbone, vec![stamp], WeightsFrom::Random, "none"))
            }
            Init::Pretrain(run) => {
                let repetition = if self.loaded.experiment.repeat == Repeat::Everything { seed } else { 0 };
                let trained = self.runs.get(&(run.clone(), repetition));
                let Trained { unit, backbone, plugins, recipe } =
                    trained.cloned().ok_or_else(|| anyhow!("no pre-training run `{run}`"))?;
                // one's own settings may differ (drop path, input size); loading is strict about the rest
                let (backbone, plugins) = own.map_or((backbone, plugins), |(c, stamp)| (c, vec![stamp]));
                self.known.backbone(&backbone, Purpose::Downstream, self.plugins, l, &at)?;
                // by digest, so that the run's name in this file changes nothing; without the seed, so that
                // repetitions are one row. The unit's own digest is among the inputs
                let init = WeightsFrom::Pretrain { name: store::short(&recipe).to_owned() };
                let mut start = Start::new(backbone, plugins, init, run);
                start.unit = Some(unit);
                Ok(start)
            }
            Init::Checkpoint(file) => {
                let (backbone, stamp) = own.ok_or_else(need)?;
                self.known.backbone(&backbone, Purpose::Downstream, self.plugins, l, &at)?;
                let path = l.folder(&["models", name, "init", "checkpoint"]).join(file);
                let sha256 = match self.checkpoints.get(&path) {
                    Some(known) => known.clone(),
                    None => self.checkpoint(name, &path)?,
                };
                self.checkpoints.insert(path.clone(), sha256.clone());
                let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
                let mut start = Start::new(backbone, vec![stamp], WeightsFrom::Checkpoint { sha256 }, &stem);
                start.checkpoint = Some(path);
                Ok(start)
            }
        }
    }
}

impl Builder<'_> {
    /// Digest of a checkpoint. One that a preset names by way of example need not be there to plan with; it gets a
    /// stand-in that says so.
    fn checkpoint(&mut self, model: &str, path: &Path) -> Result<String> {
        let init = ["models", model, "init"].map(str::to_owned);
        let (place, shown) = (self.loaded.layers.whereabouts(&init), path.display());
        if !path.exists() {
            let what = format!(
                "{place}: {shown}: no such checkpoint\nhint: `-s 'models.{model}.init.checkpoint=FILE'` says where it is"
            );
            if !place.starts_with("preset:") {
                return Err(anyhow!(what));
            }
            self.absent.insert(path.to_owned());
            self.unready.insert(what);
            return Ok(format!("not there: {shown}"));
        }
        checkpoint::probe(path).with_context(|| place.clone())?;
        store::file_digest(path).with_context(|| format!("{place}: {shown}: cannot be read"))
    }
}

/// What a pre-training run leaves to models.
#[derive(Clone)]
struct Trained {
    unit: usize,
    backbone: Component,
    plugins: Vec<PluginStamp>,
    /// Digest of what was done, whatever its seed
    recipe: String,
}

/// Where a model starts.
struct Start {
    backbone: Component,
    plugins: Vec<PluginStamp>,
    init: WeightsFrom,
    label: String,
    unit: Option<usize>,
    checkpoint: Option<PathBuf>,
}

impl Start {
    fn new(backbone: Component, plugins: Vec<PluginStamp>, init: WeightsFrom, label: &str) -> Self {
        Self { backbone, plugins, init, label: label.to_owned(), unit: None, checkpoint: None }
    }
}

/// A unit before it has a digest.
struct Draft {
    name: String,
    identity: Value,
    task: Task,
    needs: Vec<usize>,
    labels: Labels,
    plugins: Vec<PluginStamp>,
}

impl Draft {
    fn new(name: String, identity: Value, task: Task) -> Self {
        Self { name, identity, task, needs: Vec::new(), labels: Labels::default(), plugins: Vec::new() }
    }
}
