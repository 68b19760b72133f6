//! Names in an experiment that stand for something else in it, or for something that ships.

use anyhow::{Context as _, Result, anyhow};
use facebench_protocols::Protocol;

use super::resolve;
use crate::config::{Init, Loaded};

/// The protocols of the experiment, each once.
///
/// # Errors
/// An unknown one, or one listed twice, with the line.
pub(super) fn protocols(loaded: &Loaded) -> Result<Vec<Protocol>> {
    let folder = loaded.layers.folder(&["protocols"]);
    let mut list: Vec<Protocol> = Vec::new();
    for (i, name) in loaded.experiment.protocols.iter().enumerate() {
        let place = || loaded.layers.whereis(&["protocols".into(), i.to_string()]);
        let protocol = resolve::protocol(name, &folder).with_context(place)?;
        if list.iter().any(|p| p.id == protocol.id) {
            return Err(anyhow!("{}: protocol `{}` is listed twice", place(), protocol.id));
        }
        list.push(protocol);
    }
    Ok(list)
}

/// Names that refer to other parts of the file must exist: a slip in `skip` would otherwise run for hours.
pub(super) fn check_names(loaded: &Loaded, protocols: &[Protocol]) -> Result<()> {
    let e = &loaded.experiment;
    let ids: Vec<String> = protocols.iter().map(|p| p.id.clone()).collect();
    let folds: Vec<String> = protocols.iter().flat_map(|p| p.folds.iter().map(|f| f.name.clone())).collect();
    let known = |word: &str, names: &[String], what: &str, path: &[String]| {
        if names.iter().any(|n| n == word) {
            return Ok(());
        }
        let hint = resolve::suggest(word, names, "leave it out");
        Err(anyhow!("{}: no {what} is called `{word}`\nhint: {hint}", loaded.layers.whereis(path)))
    };
    for (name, model) in e.models.iter() {
        if let Init::Pretrain(run) = &model.init {
            let path = ["models".into(), name.clone(), "init".into(), "pretrain".into()];
            known(run, &e.pretrain.names(), "pre-training run", &path)?;
        }
    }
    // a recipe may stay when its protocol is left out; a slip must not pass for one
    let builtin = Protocol::builtin_ids().iter().map(|s| (*s).to_owned());
    let recipes: Vec<String> = ids.iter().cloned().chain(builtin).collect();
    for id in e.recipes.keys() {
        known(id, &recipes, "protocol", &["recipes".into(), id.clone()])?;
    }
    for (part, filters) in [("only", &e.only), ("skip", &e.skip)] {
        for (i, f) in filters.iter().enumerate() {
            let path = |key: &str| [part.to_owned(), i.to_string(), key.to_owned()];
            for (key, word, names) in [
                ("model", &f.model, &e.models.names()),
                ("head", &f.head, &e.heads.names()),
                ("protocol", &f.protocol, &ids),
                ("fold", &f.fold, &folds),
            ] {
                if let Some(word) = word {
                    known(word, names, key, &path(key))?;
                }
            }
        }
    }
    Ok(())
}
