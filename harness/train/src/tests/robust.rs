//! Scoring damaged pictures: the clean path is the same path, damage is deterministic and does damage.

use facebench_data::transform::Corruption;
use facebench_protocols::{Selection, read_scores};
use serde_json::json;

use super::runs::{Place, protocol, tune_spec};
use crate::job::{Job, Silent};
use crate::spec::ScoreSpec;
use crate::{Finished, RowLog, SCORES, score, tune};

#[test]
fn severity_zero_is_the_score_and_damage_repeats() {
    let (spec, protocol) = (tune_spec("linear", &json!({})), protocol());
    let (tuned, scored) = (Place::new(), Place::new());
    let (state, out) = (tuned.dir().join("state"), tuned.out());
    tune(&spec, &protocol, &tuned.job(&state, &out, 0, &Silent)).unwrap();
    let scoring = ScoreSpec { tune: spec, selection: Selection::Last, batch: 16 };
    let (state, out) = (scored.dir().join("state"), scored.out());
    let job = |workers| Job { tuned: Some(tuned.out()), ..scored.job(&state, &out, workers, &Silent) };
    score(&scoring, &protocol, &job(0)).unwrap();
    let mut clean = read_scores(&scored.out().join(SCORES)).unwrap();
    clean.retain(|r| r.set != "dev");

    let with = |c, severity, workers| {
        let job = job(workers);
        let mut finished = Finished::open(&scoring, &protocol, &job).unwrap();
        finished.scorer.damage(c, severity);
        let sets = &finished.data.sets()[1..];
        let file = tempfile::tempdir().unwrap();
        let path = file.path().join("rows.csv");
        let mut log = RowLog::open(&path, sets).unwrap();
        assert!(finished.scorer.score(sets, &mut log, &job).unwrap());
        log.close().unwrap();
        read_scores(&path).unwrap()
    };
    assert_eq!(with(Corruption::Noise, 0, 1), clean, "severity 0 is the clean score, bit for bit");
    for (word, c) in Corruption::ALL {
        let once = with(c, 5, 0);
        assert_eq!(once, with(c, 5, 3), "{word}: whatever the threads");
        assert_eq!(once.len(), clean.len());
        let moved = once.iter().zip(&clean).filter(|(a, b)| a.raw != b.raw).count();
        assert!(moved * 10 > clean.len() * 9, "{word}: {moved} of {} scores moved", clean.len());
        assert!(once.iter().zip(&clean).all(|(a, b)| a.id() == b.id() && a.label == b.label));
    }
}
