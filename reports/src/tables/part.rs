//! Which runs may stand in one table.
//!
//! Two runs are kept apart when their protocol version or fingerprint differs, when one is synthetic and the other is
//! not, or when they name the same data set and mean other samples. The last is found by the digests of the data
//! stamps, per fold: a table over two editions of a test set would compare nothing.

use crate::runs::Run;
use crate::table::Stamp;
use facebench_protocols::{Aggregation, Protocol};
use std::collections::BTreeMap;

/// Runs of one protocol that may be compared.
pub(crate) struct Part<'a> {
    pub(crate) stamp: Stamp,
    /// The protocol itself, where one with this fingerprint is known.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) synthetic: bool,
    /// Number among the parts of the protocol, from 0.
    pub(crate) index: usize,
    /// What keeps this part from the others; empty for a protocol of one part.
    pub(crate) why: String,
    pub(crate) runs: Vec<&'a Run>,
    /// The one fold that is shown of several.
    pub(crate) only_fold: Option<String>,
    data: BTreeMap<(String, String), String>,
}

impl Part<'_> {
    /// File-name-safe name: the protocol id, with a number from the second part on.
    pub(crate) fn id(&self) -> String {
        let safe: String = self
            .stamp
            .id
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
            .collect();
        if self.index == 0 { safe } else { format!("{safe}-{}", self.index + 1) }
    }

    /// From frames to videos; the mean where the protocol is not known.
    pub(crate) fn aggregation(&self) -> Aggregation {
        self.protocol.as_ref().map_or(Aggregation::Mean, |p| p.aggregation)
    }

    /// Heading of the average over its unseen sets; what is seen is known only where training is.
    pub(crate) fn average_name(&self) -> &'static str {
        let untold = self.protocol.as_ref().is_some_and(|p| p.folds.iter().all(|f| f.train.is_empty()));
        if untold { "Average" } else { "Avg unseen" }
    }

    /// The part with nothing but the fold that all its runs are of, if the protocol has more.
    pub(crate) fn of_one_fold(mut self) -> Self {
        let mut folds = self.runs.iter().map(|r| r.record.protocol.as_ref().map(|p| p.fold.clone()));
        let first = folds.next().flatten();
        let same = folds.all(|fold| fold == first);
        if let (Some(protocol), Some(fold), true) = (&mut self.protocol, first, same)
            && protocol.folds.len() > 1
            && protocol.folds.iter().any(|f| f.name == fold)
        {
            protocol.folds.retain(|f| f.name == fold);
            protocol.over_folds = false;
            self.only_fold = Some(fold);
        }
        self
    }

    fn takes(&self, run: &Run, stamp: &Stamp) -> bool {
        let agrees = |(key, digest): (_, String)| self.data.get(&key).is_none_or(|known| *known == digest);
        self.stamp == *stamp && self.synthetic == run.record.synthetic && data(run).into_iter().all(agrees)
    }
}

/// Whether a run has results that belong into a table.
pub(crate) fn counts(run: &Run) -> bool {
    run.record.kind == "score" && run.record.evaluation.is_some() && run.record.protocol.is_some()
}

/// The parts of protocol `id`: real before synthetic, larger before smaller. `extra` are protocols that do not ship.
pub(crate) fn parts<'a>(id: &str, runs: &'a [Run], extra: &[Protocol]) -> Vec<Part<'a>> {
    let shipped = Protocol::builtin(id).and_then(Result::ok);
    let known: Vec<(String, &Protocol)> =
        shipped.iter().chain(extra.iter().filter(|p| p.id == id)).map(|p| (p.fingerprint(), p)).collect();
    let mut parts: Vec<Part<'a>> = Vec::new();
    for run in runs.iter().filter(|r| counts(r)) {
        let Some(protocol) = run.record.protocol.as_ref().filter(|p| p.id == id) else { continue };
        let stamp = Stamp {
            id: protocol.id.clone(),
            version: protocol.version,
            fingerprint: protocol.fingerprint.clone(),
        };
        let at = parts.iter().position(|p| p.takes(run, &stamp)).unwrap_or_else(|| {
            let stamp = stamp.clone();
            let synthetic = run.record.synthetic;
            let (why, runs, data) = (String::new(), Vec::new(), BTreeMap::new());
            let protocol = known.iter().find(|(f, _)| *f == stamp.fingerprint).map(|(_, p)| (*p).clone());
            parts.push(Part { stamp, protocol, synthetic, index: 0, why, runs, only_fold: None, data });
            parts.len() - 1
        });
        parts[at].data.extend(data(run));
        parts[at].runs.push(run);
    }
    parts.sort_by(|a, b| {
        let key = |p: &Part<'_>| (p.synthetic, std::cmp::Reverse(p.runs.len()));
        key(a).cmp(&key(b)).then_with(|| a.stamp.cmp(&b.stamp))
    });
    explain(&mut parts);
    parts
}

fn explain(parts: &mut [Part<'_>]) {
    let all = |same: &dyn Fn(&Part<'_>, &Part<'_>) -> bool| parts.windows(2).all(|w| same(&w[0], &w[1]));
    let mut why = Vec::new();
    if !all(&|a, b| a.stamp.version == b.stamp.version) {
        why.push("another protocol version");
    } else if !all(&|a, b| a.stamp.fingerprint == b.stamp.fingerprint) {
        why.push("another protocol fingerprint");
    }
    if !all(&|a, b| a.synthetic == b.synthetic) {
        why.push("synthetic and real faces");
    }
    if why.is_empty() {
        why.push("other samples under the same data-set name");
    }
    let why = why.join(", ");
    for (index, part) in parts.iter_mut().enumerate() {
        part.index = index;
        part.why.clone_from(&why);
    }
}

/// Digest of every data set a run used, by fold and name.
fn data(run: &Run) -> Vec<((String, String), String)> {
    let fold = run.record.protocol.as_ref().map(|p| p.fold.clone()).unwrap_or_default();
    run.record.data.iter().map(|d| ((fold.clone(), d.dataset.clone()), d.sha256.clone())).collect()
}
