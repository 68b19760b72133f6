//! What of a unit can be known before it runs: whether its network can be made.
//!
//! Plugins and objectives refuse settings when they are created (k of 0, a rank without targets, an image that is no
//! whole number of patches). Here they are created on a store that knows shapes only, so a plan finds such a mistake in
//! milliseconds for a model of any size. Nothing is computed, and what depends on data (k above the number of training
//! frames) stays unknown.

use facebench_engine::{DType, Device, ParamStore};
use facebench_host::{Backbone, BackboneInfo, FeatureSpec, Plugins, Purpose, RunCtx, Scope};

use crate::dino::Network;
use crate::error::{Result, bad_spec};
use crate::fit;
use crate::lowrank;
use crate::pretrain::{check_objective, local_size};
use crate::spec::{Component, ObjectiveKind, PretrainSpec};
use crate::threec::{Online, Target};

/// What a dry store gives a backbone.
fn make(component: &Component, purpose: Purpose, plugins: &Plugins, store: &ParamStore) -> Result<Backbone> {
    let ctx = RunCtx::new(&Device::Cpu, DType::F32, 0);
    Ok(plugins.backbone(&component.plugin, &component.json(), purpose, store, "", &ctx)?)
}

/// Whether a backbone can be made.
///
/// # Errors
/// What its plugin says.
pub fn backbone(component: &Component, purpose: Purpose, plugins: &Plugins) -> Result<BackboneInfo> {
    Ok(make(component, purpose, plugins, &ParamStore::shapes_only())?.info)
}

/// Whether the masking strategy can be made and leaves something to see and something to guess; true if it needs
/// parsing maps.
///
/// # Errors
/// What its plugin says; a ratio that hides no patch or all.
pub fn masking(spec: &PretrainSpec, info: &BackboneInfo, plugins: &Plugins) -> Result<bool> {
    let m = &spec.masking;
    let masking = plugins.masking(&m.plugin, &serde_json::Value::Object(m.config.clone()))?;
    let n = info.patches();
    let hidden = (m.ratio * n as f64).round();
    if hidden < 1.0 || hidden > n as f64 - 1.0 {
        return bad_spec!(
            "`masking.ratio: {}` hides {hidden} of {n} patches, expected at least one hidden and one visible",
            m.ratio
        );
    }
    Ok(masking.needs_parsing())
}

/// Whether the networks of the objective can be made around the backbone.
///
/// # Errors
/// Settings that contradict each other or the backbone.
pub fn objective(spec: &PretrainSpec, plugins: &Plugins) -> Result<()> {
    check_objective(spec)?;
    let store = ParamStore::shapes_only();
    let backbone = make(&spec.backbone, Purpose::Pretrain, plugins, &store)?;
    match spec.objective.kind {
        ObjectiveKind::ThreeC => {
            Online::new(&spec.objective, backbone, &store)?;
            if let Some(similarity) = &spec.objective.similarity {
                let twin = ParamStore::shapes_only();
                let backbone = make(&spec.backbone, Purpose::Pretrain, plugins, &twin)?;
                Target::new(similarity, backbone, &twin)?;
            }
        }
        ObjectiveKind::Dino => {
            let d = spec.objective.dino.clone().unwrap_or_default();
            local_size(&d, &backbone.info)?;
            Network::new(&d, backbone, &store)?;
        }
    }
    Ok(())
}

/// Whether a head can be made on a backbone's features; true if anything trains with it.
///
/// # Errors
/// What its plugin says; a low-rank update that finds no weight.
pub fn head(component: &Component, on: &Component, plugins: &Plugins) -> Result<bool> {
    let below = ParamStore::shapes_only();
    let info = make(on, Purpose::Downstream, plugins, &below)?.info;
    let features = FeatureSpec {
        width: info.pooled_width(),
        tokens: info.prefix_tokens + info.patches(),
        classes: 2,
        samples: 0, // not known
    };
    let store = ParamStore::shapes_only();
    let ctx = RunCtx::new(&Device::Cpu, DType::F32, 0);
    let head = plugins.head(&component.plugin, &component.json(), &features, &store, "", &ctx)?;
    if let Scope::LowRank(how) = head.scope() {
        lowrank::targets(how, &below.shapes())?;
    }
    let measured = store.shapes().keys().all(|name| name.starts_with(fit::PREFIX));
    Ok(*head.scope() != Scope::HeadOnly || !measured)
}
