//! The statistics do what they claim: intervals cover, p-values are uniform under the null, fast equals slow.

use super::bootstrap::{Observations, Plan, auc_interval, auc_resamples};
use super::{compare, delong, delong_paired, normal, two_level};
use crate::metrics::{auc, hter_at};
use crate::protocol::Aggregation;
use crate::rng::Stream;
use crate::scores::ScoreRow;

/// Videos with a common part per video and noise per frame; the true frame AUC is Φ(shift/√2) for unit variance.
struct World {
    scores: Vec<f64>,
    labels: Vec<u8>,
    clusters: Vec<u32>,
}

const VIDEO_SHARE: f64 = 0.7;

fn world(draw: usize, videos: [usize; 2], frames: usize, shift: f64) -> World {
    let mut stream = Stream::new("world", draw as u64, &[]);
    let mut world = World { scores: vec![], labels: vec![], clusters: vec![] };
    for video in 0..videos[0] + videos[1] {
        let label = u8::from(video >= videos[0]);
        let common = stream.normal() * VIDEO_SHARE.sqrt() + shift * f64::from(label);
        for _ in 0..frames {
            world.scores.push(common + stream.normal() * (1.0 - VIDEO_SHARE).sqrt());
            world.labels.push(label);
            world.clusters.push(video as u32);
        }
    }
    world
}

impl World {
    fn observed(&self) -> Observations<'_> {
        Observations { scores: &self.scores, labels: &self.labels, clusters: &self.clusters }
    }
}

#[test]
fn the_interval_contains_the_truth_as_often_as_it_says() {
    covers([50, 60], 4, 1.5);
    covers([20, 80], 2, 0.8);
    covers([40, 30], 1, 2.4);
}

fn covers(videos: [usize; 2], frames: usize, shift: f64) {
    let truth = normal::cdf(shift / std::f64::consts::SQRT_2);
    let (draws, mut hits, mut naive) = (1000, 0, 0);
    for draw in 0..draws {
        let w = world(draw + 100_000 * videos[0], videos, frames, shift);
        let inside = |clusters: &[u32]| {
            let data = Observations { clusters, ..w.observed() };
            let plan = Plan::new(&data, 600, draw as u64).unwrap();
            let ci = auc_interval(&data, &plan).unwrap().unwrap();
            usize::from(ci.low <= truth && truth <= ci.high)
        };
        hits += inside(&w.clusters);
        if draw < 200 && frames > 3 {
            naive += inside(&(0..w.scores.len() as u32).collect::<Vec<_>>());
        }
    }
    let coverage = hits as f64 / draws as f64;
    assert!(
        (0.93..=0.97).contains(&coverage),
        "coverage {coverage} with {videos:?} videos of {frames} frames"
    );
    // resampling frames instead of videos is what makes one-point gains look real
    assert!(naive < 170, "frames as units cover {naive} of 200");
}

#[test]
fn delong_p_values_are_uniform_under_the_null() {
    let draws = 2000;
    let mut p: Vec<f64> = (0..draws)
        .map(|draw| {
            let mut stream = Stream::new("null", draw, &[]);
            let labels: Vec<u8> = (0..120).map(|i| u8::from(i % 2 == 0)).collect();
            let model = |stream: &mut Stream, shared: &[f64]| -> Vec<f64> {
                shared.iter().map(|s| s + 0.7 * stream.normal()).collect()
            };
            let shared: Vec<f64> = labels.iter().map(|&l| stream.normal() + f64::from(l)).collect();
            let (a, b) = (model(&mut stream, &shared), model(&mut stream, &shared));
            delong_paired(&a, &b, &labels).unwrap().p
        })
        .collect();
    p.sort_by(f64::total_cmp);
    let gap =
        p.iter().enumerate().map(|(i, p)| (p - (i as f64 + 0.5) / draws as f64).abs()).fold(0.0, f64::max);
    assert!(gap < 1.63 / (draws as f64).sqrt(), "Kolmogorov-Smirnov distance {gap}"); // 1 % level
}

#[test]
fn a_resample_is_the_auc_of_the_drawn_frames() {
    let mut w = world(3, [12, 9], 3, 0.8);
    for s in &mut w.scores {
        *s = (*s * 2.0).round(); // many ties
    }
    let plan = Plan::new(&w.observed(), 19, 7).unwrap();
    let fast = auc_resamples(&w.observed(), &plan).unwrap();
    for (b, value) in fast.iter().enumerate() {
        let weights = plan.weights(b);
        let (mut scores, mut labels) = (vec![], vec![]);
        for i in 0..w.scores.len() {
            for _ in 0..weights[w.clusters[i] as usize] {
                scores.push(w.scores[i]);
                labels.push(w.labels[i]);
            }
        }
        assert_eq!(scores.len(), w.scores.len());
        assert!((auc(&scores, &labels).unwrap() - value).abs() < 1e-12);
    }
}

#[test]
fn people_with_real_and_fake_videos_are_one_cluster() {
    let w = world(5, [20, 20], 2, 1.0);
    let people: Vec<u32> = w.clusters.iter().map(|c| c % 20).collect(); // each has one real and one fake video
    let data = Observations { clusters: &people, ..w.observed() };
    let plan = Plan::new(&data, 50, 0).unwrap();
    assert_eq!(plan.weights(0).iter().sum::<u32>(), 20);
    assert!(auc_resamples(&data, &plan).unwrap().iter().all(|a| (0.0..=1.0).contains(a)));
    let gaps: Vec<u32> = people.iter().map(|p| p * 2).collect();
    assert!(Plan::new(&Observations { clusters: &gaps, ..data }, 50, 0).is_err());
}

#[test]
fn threads_change_nothing() {
    let w = world(9, [30, 40], 5, 1.0);
    let run = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let plan = Plan::new(&w.observed(), 101, 1).unwrap();
            auc_resamples(&w.observed(), &plan).unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn delong_agrees_with_the_bootstrap() {
    let w = world(11, [150, 200], 1, 1.2);
    let d = delong(&w.scores, &w.labels).unwrap();
    assert!((d.auc - auc(&w.scores, &w.labels).unwrap()).abs() < 1e-12);
    let plan = Plan::new(&w.observed(), 2000, 0).unwrap();
    let spread = super::summary::std_sample(&auc_resamples(&w.observed(), &plan).unwrap()).unwrap();
    assert!((spread / d.variance.sqrt() - 1.0).abs() < 0.06, "{spread} {}", d.variance.sqrt());
    let same = delong_paired(&w.scores, &w.scores, &w.labels).unwrap();
    assert_eq!((same.difference, same.p), (0.0, 1.0));
}

#[test]
fn seeds_widen_the_interval() {
    let w = world(13, [60, 60], 1, 1.0);
    let shifted = |by: f64| -> Vec<f64> {
        w.scores.iter().zip(&w.labels).map(|(s, &l)| s + by * f64::from(l)).collect()
    };
    let runs = [shifted(-0.5), shifted(0.0), shifted(0.5)];
    let runs: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
    let both = two_level(&runs, &w.labels, &w.clusters, 500, 0).unwrap();
    let one = two_level(&runs[1..2], &w.labels, &w.clusters, 500, 0).unwrap();
    assert_eq!(both.aucs.len(), 3);
    let (wide, narrow) = (both.interval.unwrap(), one.interval.unwrap());
    assert!(wide.high - wide.low > narrow.high - narrow.low);
    assert!(narrow.low < one.mean && one.mean < narrow.high && one.std == 0.0);
    assert!(two_level(&[], &w.labels, &w.clusters, 500, 0).is_err());
}

fn rows(scores: &[f64], labels: &[u8]) -> Vec<ScoreRow> {
    let row = |i: usize| ScoreRow {
        set: "t".into(),
        dataset: "d".into(),
        method: "m".into(),
        video: format!("{i}"),
        frame: 0,
        label: labels[i],
        score: normal::cdf(scores[i]),
        raw: scores[i],
        subjects: vec![],
    };
    (0..scores.len()).map(row).collect()
}

#[test]
fn a_better_model_is_found_better_and_other_samples_are_refused() {
    let w = world(17, [150, 150], 1, 1.0);
    let better: Vec<f64> = w.scores.iter().zip(&w.labels).map(|(s, &l)| s + 0.8 * f64::from(l)).collect();
    let (a, b) = (rows(&better, &w.labels), rows(&w.scores, &w.labels));
    let found = compare("t", &a, &b, Aggregation::Mean, 999, 0).unwrap();
    assert!(
        found.interval.unwrap().low > 0.0 && found.p_delong < 1e-3 && found.p_bootstrap <= 0.002 + 1e-12,
        "{found:?}"
    );
    assert_eq!(found.videos, [150, 150]);
    let message = compare("t", &a, &b[1..], Aggregation::Mean, 99, 0).unwrap_err().to_string();
    assert!(message.contains("1 samples only in the first"), "{message}");
    assert!(hter_at(&better, &w.labels, 0.5).unwrap() < 0.5);
}
