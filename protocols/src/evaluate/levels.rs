//! Beyond frames and videos: people, and attack species.

use std::collections::BTreeMap;

use super::{Options, SubjectMeasures};
use crate::measures::{PadAt, PadMeasures};
use crate::metrics::{MetricError, Roc, pad as rates, video::Video};
use crate::stats::{Observations, Plan, auc_interval};

/// Fewer independent groups of people than this give no interval worth printing.
const FEW_GROUPS: usize = 10;

/// Numbers over people; nothing where a video does not say whom it shows, or where one class has no unit.
pub(super) fn subjects(
    videos: &[Video],
    clips: Observations,
    options: &Options,
) -> Result<Option<SubjectMeasures>, MetricError> {
    if videos.iter().any(|v| v.row.subjects.is_empty()) {
        return Ok(None);
    }
    let mut units: BTreeMap<(Vec<&str>, u8), (f64, usize)> = BTreeMap::new();
    for v in videos {
        let mut people: Vec<&str> = v.row.subjects.iter().map(String::as_str).collect();
        people.sort_unstable();
        let sum = units.entry((people, v.row.label)).or_default();
        *sum = (sum.0 + v.score, sum.1 + 1);
    }
    let scores: Vec<f64> = units.values().map(|(sum, n)| sum / *n as f64).collect();
    let labels: Vec<u8> = units.keys().map(|(_, label)| *label).collect();
    let roc = Roc::new(&scores, &labels)?;
    let clusters = groups(videos);
    let groups = clusters.iter().max().map_or(0, |m| *m as usize + 1);
    let mut out = SubjectMeasures {
        units: [roc.reals() as usize, roc.fakes() as usize],
        auc: roc.auc(),
        eer: roc.eer(),
        video_auc_ci: None,
        groups,
    };
    if options.resamples > 0 && groups >= FEW_GROUPS {
        let data = Observations { clusters: &clusters, ..clips };
        let plan = Plan::new(&data, options.resamples, options.seed)?;
        out.video_auc_ci = auc_interval(&data, &plan)?;
    }
    Ok(Some(out))
}

/// Number of the group of people of every video, from 0 in order of appearance; people in one video are in one group.
fn groups(videos: &[Video]) -> Vec<u32> {
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    let mut parent: Vec<usize> = Vec::new();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    let mut first = Vec::with_capacity(videos.len());
    for v in videos {
        let ids: Vec<usize> = v
            .row
            .subjects
            .iter()
            .map(|s| {
                *index.entry(s).or_insert_with(|| {
                    parent.push(parent.len());
                    parent.len() - 1
                })
            })
            .collect();
        for pair in ids.windows(2) {
            let (a, b) = (root(&mut parent, pair[0]), root(&mut parent, pair[1]));
            parent[a.max(b)] = a.min(b);
        }
        first.push(ids[0]);
    }
    let mut number: BTreeMap<usize, u32> = BTreeMap::new();
    first
        .into_iter()
        .map(|i| {
            let next = number.len() as u32;
            *number.entry(root(&mut parent, i)).or_insert(next)
        })
        .collect()
}

/// ISO/IEC 30107-3 rates; the species of an attack is its method.
pub(super) fn pad(videos: &[Video], dev_threshold: Option<f64>) -> Result<PadMeasures, MetricError> {
    let mut attacks: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut live = Vec::new();
    for v in videos {
        match v.row.label {
            1 => attacks.entry(v.row.method.clone()).or_default().push(v.score),
            _ => live.push(v.score),
        }
    }
    let pooled: Vec<f64> = attacks.values().flatten().copied().collect();
    let mut bpcer = [0.0; 3];
    for (slot, max_apcer) in bpcer.iter_mut().zip([0.1, 0.05, 0.01]) {
        *slot = rates::bpcer_at_apcer(&pooled, &live, max_apcer)?.1;
    }
    let at_dev = match dev_threshold {
        None => None,
        Some(t) => {
            let r = rates::pad_rates(&attacks, &live, t)?;
            let worst = r.apcer.iter().rev().max_by(|a, b| a.1.total_cmp(b.1)); // first of equals
            Some(PadAt {
                worst: worst.map(|(species, _)| species.clone()).unwrap_or_default(),
                apcer_worst: r.apcer_worst,
                apcer_pooled: r.apcer_pooled,
                bpcer: r.bpcer,
                acer_worst: r.acer_worst,
                acer_pooled: r.acer_pooled,
            })
        }
    };
    Ok(PadMeasures { at_dev, bpcer })
}

#[cfg(test)]
mod tests {
    use super::groups;
    use crate::metrics::video::Video;
    use crate::scores::ScoreRow;

    #[test]
    fn people_who_meet_in_a_video_are_one_group() {
        let row = |people: &[&str]| ScoreRow {
            set: "t".into(),
            dataset: "d".into(),
            method: "m".into(),
            video: people.join("_"),
            frame: 0,
            label: 0,
            score: 0.5,
            raw: 0.0,
            subjects: people.iter().map(|s| (*s).to_owned()).collect(),
        };
        let rows = [row(&["a"]), row(&["b"]), row(&["c"]), row(&["d"]), row(&["a", "b"]), row(&["d", "b"])];
        let videos: Vec<Video> = rows.iter().map(|row| Video { row, frames: 1, score: 0.5 }).collect();
        assert_eq!(groups(&videos), [0, 0, 1, 0, 0, 0]);
    }
}
