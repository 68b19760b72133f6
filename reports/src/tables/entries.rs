//! A row before it is a row: all runs of one model, pre-training and head, over folds and seeds.
//!
//! Two runs of the same labels but of different plans (other epochs, another plugin build) are different rows. The
//! plan without seed, fold and data says which; data were compared before.

use crate::runs::Run;
use crate::table::fixed;
use facebench_protocols::Measures;
use serde_json::Value;
use std::collections::BTreeMap;

/// Runs that make one row.
pub(crate) struct Entry<'a> {
    pub(crate) model: String,
    pub(crate) pretraining: String,
    pub(crate) head: String,
    pub(crate) oracle: bool,
    /// Leaves of the plan that are the same for all folds and seeds.
    pub(crate) plan: BTreeMap<String, String>,
    /// By fold and seed.
    pub(crate) runs: BTreeMap<(String, u64), &'a Run>,
}

impl Entry<'_> {
    /// Seeds of all folds, sorted.
    pub(crate) fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.runs.keys().map(|(_, seed)| *seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// Numbers of one test set in one fold with one seed.
    pub(crate) fn measures(&self, fold: &str, set: &str, seed: u64) -> Option<&Measures> {
        let run = self.runs.get(&(fold.to_owned(), seed))?;
        run.record.evaluation.as_ref()?.sets.iter().find(|m| m.set == set)
    }

    /// One line that names the row in figures.
    pub(crate) fn name(&self) -> String {
        let plain =
            self.pretraining.is_empty() || self.pretraining == "none" || same(&self.pretraining, &self.model);
        let model = if self.model.is_empty() { &self.pretraining } else { &self.model };
        let model = if plain { model.clone() } else { format!("{model} ({})", self.pretraining) };
        format!("{model}, {}{}", self.head, if self.oracle { " [oracle]" } else { "" })
    }
}

/// Entries in order of first appearance.
pub(crate) fn entries<'a>(runs: &[&'a Run]) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    for run in runs {
        let r = &run.record;
        let fold = r.protocol.as_ref().map(|p| p.fold.clone()).unwrap_or_default();
        let plan = leaves(&r.plan);
        let key = (fold, r.seed);
        let fits = |e: &&mut Entry<'a>| {
            (&e.model, &e.pretraining, &e.head, e.oracle) == (&r.model, &r.pretraining, &r.head, run.oracle())
                && e.plan == plan
                && !e.runs.contains_key(&key)
        };
        if let Some(entry) = entries.iter_mut().find(fits) {
            entry.runs.insert(key, run);
            continue;
        }
        entries.push(Entry {
            model: r.model.clone(),
            pretraining: r.pretraining.clone(),
            head: r.head.clone(),
            oracle: run.oracle(),
            plan,
            runs: BTreeMap::from([(key, *run)]),
        });
    }
    entries
}

/// The plan's leaves by dotted path, without what differs between folds, seeds and data.
pub(crate) fn leaves(plan: &Value) -> BTreeMap<String, String> {
    fn walk(value: &Value, path: &str, out: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                if !matches!(key.as_str(), "seed" | "fold" | "data" | "inputs") {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(value, &path, out);
                }
            }),
            leaf => {
                out.insert(path.to_owned(), leaf.to_string());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(plan, "", &mut out);
    out
}

/// Headings of the label columns, and the labels of each entry. A column that says nothing is left out.
pub(crate) fn labels(entries: &[Entry<'_>]) -> (Vec<String>, Vec<Vec<String>>) {
    let blank = |text: &str| text.is_empty() || text == "none";
    let says_model = entries.iter().any(|e| !e.model.is_empty());
    let says_more = entries.iter().any(|e| !blank(&e.pretraining) && !same(&e.pretraining, &e.model));
    let one_model = entries.windows(2).all(|w| w[0].model == w[1].model);
    let many_trainings = entries.windows(2).any(|w| w[0].pretraining != w[1].pretraining);
    let text = |s: &str| if s.is_empty() { "–".to_owned() } else { s.to_owned() };
    match (
        says_model && !(one_model && many_trainings),
        says_more || !says_model || (one_model && many_trainings),
    ) {
        (true, false) => (vec!["Model".into()], entries.iter().map(|e| vec![text(&e.model)]).collect()),
        (false, _) => {
            (vec!["Pre-training".into()], entries.iter().map(|e| vec![text(&e.pretraining)]).collect())
        }
        (true, true) => (
            vec!["Model".into(), "Pre-training".into()],
            entries.iter().map(|e| vec![text(&e.model), text(&e.pretraining)]).collect(),
        ),
    }
}

fn same(a: &str, b: &str) -> bool {
    let plain =
        |s: &str| s.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    plain(a) == plain(b)
}

/// Title of a head's group, with the trained parameters where they are the same for all its rows.
pub(crate) fn head_title(head: &str, entries: &[Entry<'_>], members: &[usize]) -> String {
    let name = if head.is_empty() { "no head" } else { head };
    let mut counts: Vec<(u64, u64)> = members
        .iter()
        .flat_map(|&i| entries[i].runs.values())
        .map(|run| (run.record.params.trained, run.record.params.total))
        .collect();
    counts.dedup();
    match counts.as_slice() {
        [(trained, total)] if *total > 0 => {
            format!("{name} · {} of {} parameters trained", count(*trained), count(*total))
        }
        _ => name.to_owned(),
    }
}

/// A count of parameters: `386`, `84.6 k`, `85.6 M`.
pub(super) fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{} k", fixed(n as f64, -3, 1)),
        _ => format!("{} M", fixed(n as f64, -6, 1)),
    }
}
