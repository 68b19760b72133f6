//! One runner per kind of fixture.

mod adapter_steps;
mod checkpoints;
mod contrastive_losses;
mod fas_nets;
mod finetune_steps;
mod masks;
mod metrics;
mod parsing_maps;
mod pos_embed;
pub(crate) mod pretrain_steps;
mod schedules;
mod transforms;
mod varied;

use serde_json::Value;

use crate::Context;
use crate::sheet::Sheet;

/// Checks a file; an error is about the file as a whole.
pub(crate) type Runner = fn(&Value, &Context<'_>, &mut Sheet) -> Result<(), String>;

/// The runner of a kind.
pub(crate) fn runner(kind: &str) -> Option<Runner> {
    Some(match kind {
        "adapter_steps" => adapter_steps::run,
        "checkpoints" => checkpoints::run,
        "contrastive_losses" => contrastive_losses::run,
        "fas_nets" => fas_nets::run,
        "finetune_steps" => finetune_steps::run,
        "golden-metrics" => metrics::run,
        "masks" => masks::run,
        "parsing_maps" => parsing_maps::run,
        "pos_embed_interp" => pos_embed::run,
        "pretrain_steps" => pretrain_steps::run,
        "schedules" => schedules::run,
        "transforms" => transforms::run,
        _ => return None,
    })
}
