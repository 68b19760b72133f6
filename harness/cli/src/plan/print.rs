//! A plan for people, for programs and for shells.
//!
//! `term` is a list with what is finished, `--full` adds every resolved setting; `json` holds all of it;
//! `sh` is one command per unit, in an order that works, for xargs, GNU parallel or a job array.

use std::fmt::Write as _;

use anyhow::Result;
use facebench_train::spec::{PretrainSpec, TuneRecipe};
use serde_json::{Value, json};

use super::{DataPlan, Plan, Unit};
use crate::config;
use crate::store::Store;

/// The list of units; with `full`, the resolved experiment and every unit's settings.
///
/// # Errors
/// A folder of the store has a result's name and is none.
pub(crate) fn term(plan: &Plan, store: &Store, full: bool) -> Result<String> {
    let mut text = String::new();
    let mut rows = Vec::new();
    let mut done = 0;
    for unit in &plan.units {
        let finished = plan.waits_for(unit).is_none() && unit.finished(store)?.is_some();
        done += usize::from(finished);
        rows.push((unit, if finished { "done" } else { state(plan, unit, store) }));
    }
    if full {
        text += &config::print_yaml_with(&plan.experiment, &left_out());
        text.push('\n');
    }
    let width = plan.units.iter().map(|u| u.name.chars().count()).max().unwrap_or(0);
    let mut speeds = Vec::new(); // measured once for each width
    for (index, (unit, state)) in rows.iter().enumerate() {
        let index = &index;
        let pad = width - unit.name.chars().count();
        let _ = writeln!(
            text,
            "{:8}  {}{:pad$}  {}  {state}",
            unit.task.kind(),
            unit.name,
            "",
            if plan.waits_for(unit).is_some() { unnamed(unit) } else { folder_name(unit) }
        );
        if let Some(cost) = plan.costs.get(index).filter(|_| *state != "done") {
            let speed = match speeds.iter().find(|(shape, _)| shape == cost.shape()) {
                Some((_, speed)) => *speed,
                None => cost.measure()?,
            };
            speeds.push((*cost.shape(), speed));
            for line in cost.lines(Some(speed)).lines() {
                let _ = writeln!(text, "          {line}");
            }
        }
        if full {
            for line in config::print_yaml(&unit.identity).lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    let data = match &plan.data {
        DataPlan::Root(path) => format!("; data in {}", path.display()),
        DataPlan::Made(_) => String::new(),
    };
    let _ = writeln!(
        text,
        "{}: {} units, {done} of them done in {}{data}",
        plan.experiment.name,
        plan.units.len(),
        store.root().display()
    );
    for what in &plan.unready {
        let _ = writeln!(text, "not ready: {what}");
    }
    Ok(text)
}

/// Settings that are no part of a digest while they have their defaults, so that adding them changed no digest.
fn left_out() -> Vec<(&'static [&'static str], &'static str, Value)> {
    let (run, recipe) = (PretrainSpec::default(), TuneRecipe::default());
    vec![
        (&["pretrain", "*", "optim"], "optimiser", json!(run.optim.optimiser)),
        (&["pretrain", "*", "optim"], "activation_checkpointing", json!(run.optim.activation_checkpointing)),
        (&["pretrain", "*", "optim"], "precision", json!(run.optim.precision)),
        (&["pretrain", "*", "objective"], "kind", json!(run.objective.kind)),
        (&["pretrain", "*"], "watch", json!(run.watch)),
        (&["heads", "*", "recipe"], "activation_checkpointing", json!(recipe.activation_checkpointing)),
        (&["heads", "*", "recipe"], "precision", json!(recipe.precision)),
    ]
}

/// Where a unit that is not finished stands.
fn state(plan: &Plan, unit: &Unit, store: &Store) -> &'static str {
    if plan.waits_for(unit).is_some() {
        "checkpoint not there yet"
    } else if store.is_leased(unit.short()) {
        "running"
    } else if store.is_interrupted(unit.short()) {
        "interrupted"
    } else {
        "to do"
    }
}

/// Everything, for programs.
///
/// # Errors
/// A folder of the store has a result's name and is none.
pub(crate) fn json(plan: &Plan, store: &Store) -> Result<Value> {
    let mut units = Vec::new();
    for (index, unit) in plan.units.iter().enumerate() {
        let needs: Vec<&str> = unit.needs.iter().map(|i| plan.units[*i].digest.as_str()).collect();
        units.push(json!({
            "digest": unit.digest,
            "kind": unit.task.kind(),
            "name": unit.name,
            "folder": folder_name(unit),
            "done": unit.finished(store)?.is_some(),
            "needs": needs,
            "identity": unit.identity,
            "cost": plan.costs.get(&index),
        }));
    }
    Ok(json!({"experiment": plan.experiment, "units": units}))
}

/// One command per unit that is not finished. `arguments` repeats what the experiment was called with.
///
/// # Errors
/// A folder of the store has a result's name and is none.
pub(crate) fn commands(plan: &Plan, store: &Store, arguments: &[String]) -> Result<String> {
    let mut text = String::new();
    for unit in &plan.units {
        if unit.finished(store)?.is_none() {
            let words: Vec<String> = arguments.iter().map(|a| quote(a)).collect();
            let _ = writeln!(text, "facebench run {} --unit {}", words.join(" "), unit.short());
        }
    }
    Ok(text)
}

fn folder_name(unit: &Unit) -> String {
    format!("{}-{}", unit.task.kind(), unit.short())
}

/// The folder of a unit whose digest waits for a file.
fn unnamed(unit: &Unit) -> String {
    format!("{}-{}", unit.task.kind(), "?".repeat(unit.short().len()))
}

/// A word as a POSIX shell reads it back.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn words_survive_a_shell() {
        for (word, expected) in [
            ("a.yaml", "a.yaml"),
            ("models={FS VFM: null}", "'models={FS VFM: null}'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quote(word), expected);
        }
    }
}
