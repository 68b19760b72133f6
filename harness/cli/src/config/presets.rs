//! Experiments that come inside the binary, so that `facebench demo` needs no file.
//!
//! They are ordinary experiment files under `presets/`; `facebench plan preset:demo` shows one, and
//! `extends: preset:demo` builds on it.

use super::check::nearest;
use super::layers::LayerError;

/// `preset!["a", "b"]`: names with the texts of `presets/a.yaml`, `presets/b.yaml`.
macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../presets/", $name, ".yaml")))),*]
    };
}

/// Name and text of each. The recipes are those of the published tables (method.md §4, §5, §6); `paper` and `released`
/// are behaviours of pre-training, to be combined with a recipe.
const EXPERIMENTS: &[(&str, &str)] = presets![
    "demo",
    "dino-micro",
    "dino-vit-s",
    "dino-vit-b",
    "fs-vfm-s",
    "fs-vfm-b",
    "fs-vfm-l",
    "fsfm-b",
    "mae-b",
    "micro",
    "paper",
    "released",
    "adapter",
    "dfd-adapter-b",
    "dfd-adapter-l",
    "dfd-adapter-s",
    "dfd-finetune-b",
    "dfd-finetune-fsfm-b",
    "dfd-finetune-l",
    "dfd-finetune-s",
    "diff-adapter-b",
    "diff-adapter-l",
    "diff-adapter-s",
    "diff-finetune-b",
    "diff-finetune-fsfm-b",
    "diff-finetune-fsfm-b-2024",
    "diff-finetune-l",
    "diff-finetune-s",
    "fas-adapter",
    "fas-adapter-b",
    "fas-adapter-b-celeba",
    "fas-adapter-l",
    "fas-adapter-l-celeba",
    "fas-adapter-s",
    "fas-adapter-s-celeba",
    "fas-finetune",
    "fas-finetune-b",
    "fas-finetune-b-celeba",
    "fas-finetune-fsfm-b",
    "fas-finetune-fsfm-b-celeba",
    "fas-finetune-l",
    "fas-finetune-l-celeba",
    "fas-finetune-s",
    "fas-finetune-s-celeba",
    "finetune",
];

/// The text of an embedded experiment.
pub(crate) fn experiment(name: &str) -> Result<&'static str, LayerError> {
    let found = EXPERIMENTS.iter().find(|(n, _)| *n == name).map(|(_, text)| *text);
    found.ok_or_else(|| {
        let names: Vec<String> = EXPERIMENTS.iter().map(|(n, _)| (*n).to_owned()).collect();
        let hint = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("embedded experiments are named {}", list()),
        };
        LayerError::NoPreset { name: name.to_owned(), hint }
    })
}

/// All names as they are typed, e.g. `preset:demo`.
pub(crate) fn list() -> String {
    EXPERIMENTS.iter().map(|(n, _)| format!("`preset:{n}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::config::{Experiment, layers};
    use facebench_train::spec::{LrSchedule, Optimiser, Sampling, TuneRecipe, Validation};

    /// The one model and head of a preset, fully merged.
    fn read(name: &str) -> (String, f64, serde_json::Map<String, serde_json::Value>, TuneRecipe) {
        let loaded = layers::load(&format!("preset:{name}"), &[]).unwrap();
        let e: Experiment =
            serde_json::from_value(loaded.merged.clone()).unwrap_or_else(|x| panic!("{name}: {x}"));
        let backbone = e.models[0].1.backbone.clone().unwrap();
        let head = e.heads[0].1.clone();
        let size = backbone.config["size"].as_str().unwrap().to_owned();
        (size, backbone.config["drop_path"].as_f64().unwrap(), head.config, head.recipe)
    }

    /// Peak rate of the preset's batches; per-source batches give theirs as it is.
    fn lr(r: &TuneRecipe) -> f64 {
        r.lr.unwrap_or(r.blr * r.batch as f64 / 256.0)
    }

    fn near(name: &str, got: f64, want: f64) {
        assert!((got - want).abs() <= 1e-12 * want.abs(), "{name}: {got}, published {want}");
    }

    /// method.md §5.1, table: lr, layer decay, weight decay, epochs.
    #[test]
    fn full_fine_tuning_is_as_published() {
        for (name, size, rate, decay, wd, epochs) in [
            ("dfd-finetune-s", "small", 5e-5, 0.65, 0.03, 10),
            ("dfd-finetune-b", "base", 5e-5, 0.60, 0.03, 10),
            ("dfd-finetune-l", "large", 1.25e-5, 0.90, 0.01, 10),
            ("diff-finetune-s", "small", 1.25e-5, 0.95, 0.05, 10),
            ("diff-finetune-b", "base", 1.25e-5, 0.90, 0.03, 10),
            ("diff-finetune-l", "large", 1.25e-5, 0.90, 0.05, 10),
            ("diff-finetune-fsfm-b", "base", 2.5e-5, 0.90, 0.03, 10),
            ("dfd-finetune-fsfm-b", "base", 6.25e-5, 0.65, 0.05, 10),
            ("diff-finetune-fsfm-b-2024", "base", 5e-4, 0.65, 0.05, 50),
        ] {
            let (got, drop, _, r) = read(name);
            assert_eq!((got.as_str(), drop, r.epochs, r.warmup_epochs), (size, 0.1, epochs, 5.0), "{name}");
            near(name, lr(&r), rate);
            assert_eq!(
                (r.layer_decay, r.weight_decay, r.smoothing, r.min_lr),
                (decay, wd, 0.1, 1e-6),
                "{name}"
            );
            let (a, m) = (r.augment, r.mixing.unwrap());
            assert_eq!(
                (a.crop, a.flip, a.erase, a.rand_augment),
                (0.08, true, 0.25, Some(Default::default())),
                "{name}"
            );
            assert_eq!((m.mixup, m.cutmix), (0.8, 1.0), "{name}");
            assert_eq!(
                (r.optimiser, r.validation, r.clip),
                (Optimiser::AdamW, Validation::Batches, None),
                "{name}"
            );
        }
    }

    /// method.md §6.3: lr, λ, epochs.
    #[test]
    fn the_adapter_is_as_published() {
        for (name, size, batch, rate, weight, epochs) in [
            ("dfd-adapter-s", "small", 512, 2e-3, 0.01, 60),
            ("dfd-adapter-b", "base", 256, 5e-3, 0.01, 50),
            ("dfd-adapter-l", "large", 256, 1e-2, 0.1, 50),
            ("diff-adapter-s", "small", 256, 1e-2, 0.01, 60),
            ("diff-adapter-b", "base", 256, 1e-2, 0.05, 50),
            ("diff-adapter-l", "large", 1024, 2e-2, 0.1, 50),
        ] {
            let (got, drop, config, r) = read(name);
            assert_eq!((got.as_str(), drop, r.batch, r.epochs), (size, 0.1, batch, epochs), "{name}");
            near(name, lr(&r), rate);
            assert_eq!(config["rac_weight"], weight, "{name}");
            assert_eq!((r.layer_decay, r.weight_decay, r.warmup_epochs), (1.0, 0.0, 5.0), "{name}");
            assert!(r.mixing.is_some() && r.augment.erase == 0.25, "{name}");
        }
    }

    /// method.md §5.2 and §6.4: lr, weight decay, λ.
    #[test]
    fn anti_spoofing_is_as_published() {
        for (name, size, batch, rate, wd, weight) in [
            ("fas-finetune-s", "small", 12, 2.5e-5, 1e-6, None),
            ("fas-finetune-b", "base", 12, 2.5e-5, 1e-6, None),
            ("fas-finetune-l", "large", 12, 1e-5, 1e-5, None),
            ("fas-finetune-fsfm-b", "base", 12, 1e-4, 1e-6, None),
            ("fas-adapter-s", "small", 24, 5e-2, 1e-6, Some(0.1)),
            ("fas-adapter-b", "base", 24, 5e-2, 5e-5, Some(0.1)),
            ("fas-adapter-l", "large", 24, 1e-3, 1e-7, Some(0.2)),
        ] {
            let (got, drop, config, r) = read(name);
            assert_eq!((got.as_str(), drop, r.batch), (size, 0.0, batch), "{name}");
            near(name, lr(&r), rate);
            assert_eq!((r.weight_decay, r.smoothing, r.layer_decay), (wd, 0.0, 1.0), "{name}");
            assert_eq!(config.get("rac_weight").and_then(serde_json::Value::as_f64), weight, "{name}");
            assert_eq!(
                (r.epochs, r.epoch_batches, r.sampling),
                (40, Some(100), Sampling::PerSource),
                "{name}"
            );
            assert_eq!((r.optimiser, r.schedule), (Optimiser::Adam, LrSchedule::Constant), "{name}");
            assert!(r.mixing.is_none() && r.augment.saturation.is_some() && r.augment.crop >= 1.0, "{name}");
            // the published fourth source changes the protocol and nothing else
            let four = format!("{name}-celeba");
            assert_eq!(read(&four), (got, drop, config, r), "{four}");
            let loaded = layers::load(&format!("preset:{four}"), &[]).unwrap();
            assert_eq!(loaded.merged["protocols"], serde_json::json!(["fas-mcio-celeba"]));
        }
    }
}
