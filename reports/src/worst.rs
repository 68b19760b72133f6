//! The most confident mistakes of one run: which fakes pass as real, which real faces are refused.
//!
//! Decisions are made as the metrics make them: per video, with the protocol's aggregation, fake if score > threshold. A
//! *false accept* is a fake (an attack) with a score at or below the threshold, a *false reject* a real face above it.
//! Ranks start at 1 and are shared by equal scores (1, 2, 2, 4); equal scores stand in the order of their names, so that
//! the list is the same on every machine.

use crate::Error;
use crate::runs::Run;
use crate::table::{Cell, Column, Direction, Group, Row, RowKind, Stamp, Table, Unit, Value};
use crate::write::csv_line;
use facebench_protocols::metrics::video;
use facebench_protocols::{Aggregation, ScoreRow};

/// Which mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fake that passes as real
    FalseAccept,
    /// A real face that is called fake
    FalseReject,
}

impl Kind {
    /// Both.
    pub const ALL: [Kind; 2] = [Kind::FalseAccept, Kind::FalseReject];

    /// `false-accept` or `false-reject`.
    pub fn id(self) -> &'static str {
        match self {
            Kind::FalseAccept => "false-accept",
            Kind::FalseReject => "false-reject",
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Kind::FalseAccept => "false accepts: fakes called real",
            Kind::FalseReject => "false rejects: real faces called fake",
        }
    }

    /// The true label: 1 = fake.
    fn label(self) -> u8 {
        u8::from(self == Kind::FalseAccept)
    }
}

/// Where a decision changes, and where the number comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Fake if score > this
    pub at: f64,
    /// In words, for the output
    pub from: String,
}

impl Threshold {
    /// The one that the report uses for `set`: that of the development set where the run has one (its HTER is measured
    /// there), else 0.5 (that of balanced accuracy and of the list of worst errors).
    pub fn of(run: &Run, set: &str) -> Self {
        let measures = run.record.evaluation.iter().flat_map(|e| &e.sets).find(|m| m.set == set);
        match measures.and_then(|m| m.dev_threshold) {
            Some(at) => Self { at, from: "EER of the development set, as the report's HTER".into() },
            None => Self { at: 0.5, from: "0.5: the run has no development scores".into() },
        }
    }
}

/// One video that is decided wrongly, with the frame that is most so.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// 1 = worst; shared by equal scores
    pub rank: usize,
    /// Aggregated score of the video
    pub score: f64,
    /// Its frames
    pub frames: usize,
    /// The frame with the most extreme margin
    pub frame: ScoreRow,
}

/// The worst mistakes of one kind in one test set.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    /// Test set
    pub set: String,
    /// Which mistake
    pub kind: Kind,
    /// Where decisions were made
    pub threshold: Threshold,
    /// Number of such mistakes
    pub wrong: usize,
    /// Videos of that label
    pub of: usize,
    /// The worst of them, worst first
    pub shown: Vec<Mistake>,
}

/// The `top` worst mistakes of `kind` in `set`.
///
/// # Errors
/// A video whose frames carry both labels.
pub fn worst(
    rows: &[ScoreRow],
    set: &str,
    kind: Kind,
    threshold: &Threshold,
    aggregation: Aggregation,
    top: usize,
) -> Result<Worst, Error> {
    let of_set: Vec<&ScoreRow> = rows.iter().filter(|r| r.set == set).collect();
    let videos = video::group(&of_set, aggregation)
        .map_err(|e| Error::Statistics { what: format!("the videos of {set}"), message: e.to_string() })?;
    let label = kind.label();
    // how far on the wrong side: larger is worse
    let sign = if kind == Kind::FalseAccept { -1.0 } else { 1.0 };
    let of = videos.iter().filter(|v| v.row.label == label).count();
    let mut wrong: Vec<&video::Video<'_>> =
        videos.iter().filter(|v| v.row.label == label && (v.score > threshold.at) != (label == 1)).collect();
    // stable: `group` gives them in the order of their names
    wrong.sort_by(|a, b| (sign * b.score).total_cmp(&(sign * a.score)));
    let rank = |v: &video::Video<'_>| 1 + wrong.iter().filter(|w| sign * w.score > sign * v.score).count();
    let extreme = |v: &video::Video<'_>| {
        let own = of_set.iter().filter(|r| r.video_id() == v.row.video_id());
        let worse = |a: &ScoreRow, b: &ScoreRow| {
            (sign * a.raw).total_cmp(&(sign * b.raw)).then(b.frame.cmp(&a.frame))
        };
        own.max_by(|a, b| worse(a, b)).map_or_else(|| v.row.clone(), |r| (*r).clone())
    };
    let shown = wrong
        .iter()
        .take(top)
        .map(|v| Mistake { rank: rank(v), score: v.score, frames: v.frames, frame: extreme(v) })
        .collect();
    let (set, threshold) = (set.to_owned(), threshold.clone());
    Ok(Worst { set, kind, threshold, wrong: wrong.len(), of, shown })
}

/// The mistakes as a table: a group for each set and kind.
pub fn table(run: &Run, all: &[Worst]) -> Table {
    let column = |name: &str, metric: &str, decimals: usize| Column {
        group: String::new(),
        name: name.into(),
        set: "worst".into(),
        metric: metric.into(),
        direction: Direction::Neither,
        unit: Unit::Plain,
        decimals,
    };
    let group = |w: &Worst| {
        let row = |m: &Mistake| Row {
            labels: vec![
                m.rank.to_string(),
                if m.frame.label == 1 { "fake" } else { "real" }.into(),
                m.frame.video_id(),
                m.frame.frame.to_string(),
            ],
            cells: vec![
                Cell::Value(Value::single(m.score)),
                Cell::Value(Value::single(m.frame.score)),
                Cell::Value(Value::single(m.frames as f64)),
            ],
            kind: if run.oracle() { RowKind::Oracle } else { RowKind::Run },
            notes: Vec::new(),
        };
        let title = format!("{} · {} ({} of {})", w.set, w.kind.words(), w.wrong, w.of);
        Group { title, ranked: false, rows: w.shown.iter().map(row).collect() }
    };
    let groups: Vec<Group> = all.iter().map(group).collect();
    let mut caption = vec!["Per video; the frame shown is the one with the most extreme margin.".to_owned()];
    for w in all {
        let line = format!("{}: threshold {:.4} ({}).", w.set, w.threshold.at, w.threshold.from);
        if !caption.contains(&line) {
            caption.push(line);
        }
    }
    caption.extend(groups.iter().filter(|g| g.rows.is_empty()).map(|g| format!("None: {}.", g.title)));
    Table {
        id: format!("worst-{}", run.short()),
        title: format!("Worst mistakes of {}", run.record.name),
        stamp: run.record.protocol.as_ref().map(|p| Stamp {
            id: p.id.clone(),
            version: p.version,
            fingerprint: p.fingerprint.clone(),
        }),
        synthetic: run.record.synthetic,
        stub: ["rank", "label", "video", "frame"].map(str::to_owned).to_vec(),
        columns: vec![
            column("P(fake)", "video_score", 4),
            column("of the frame", "frame_score", 4),
            column("frames", "frames", 0),
        ],
        groups: groups.into_iter().filter(|g| !g.rows.is_empty()).collect(),
        caption,
        notes: Vec::new(),
        intervals: false,
    }
}

/// The mistakes as CSV; `path` knows the file of a frame.
pub fn csv(all: &[Worst], path: impl Fn(&ScoreRow) -> String) -> String {
    let mut out = csv_line(&[
        "path",
        "label",
        "score",
        "rank",
        "kind",
        "set",
        "dataset",
        "method",
        "video",
        "frame",
        "frame_score",
        "frame_margin",
        "threshold",
    ]);
    for w in all {
        for m in &w.shown {
            let f = &m.frame;
            out.push_str(&csv_line(&[
                &path(f),
                &f.label.to_string(),
                &m.score.to_string(),
                &m.rank.to_string(),
                w.kind.id(),
                &w.set,
                &f.dataset,
                &f.method,
                &f.video,
                &f.frame.to_string(),
                &f.score.to_string(),
                &f.raw.to_string(),
                &w.threshold.at.to_string(),
            ]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(video: &str, frame: u32, label: u8, score: f64) -> ScoreRow {
        ScoreRow {
            set: "A".into(),
            dataset: "d".into(),
            method: if label == 1 { "swap" } else { "real" }.into(),
            video: video.into(),
            frame,
            label,
            score,
            raw: (score / (1.0 - score)).ln(),
            subjects: Vec::new(),
        }
    }

    fn rows() -> Vec<ScoreRow> {
        vec![
            row("f1", 0, 1, 0.3),
            row("f2", 0, 1, 0.1),
            row("f3", 0, 1, 0.3),
            row("f4", 0, 1, 0.5), // at the threshold: real wins a tie
            row("f5", 0, 1, 0.9),
            row("f6", 1, 1, 0.6), // the mean of 0.6 and 0.2 is wrong, its worst frame is frame 0
            row("f6", 0, 1, 0.2),
            row("r1", 0, 0, 0.7),
            row("r2", 0, 0, 0.5),
            ScoreRow { set: "dev".into(), ..row("f9", 0, 1, 0.0) },
        ]
    }

    fn of(kind: Kind, top: usize) -> Worst {
        let threshold = Threshold { at: 0.5, from: "given".into() };
        worst(&rows(), "A", kind, &threshold, Aggregation::Mean, top).unwrap()
    }

    #[test]
    fn ranks_are_exact_and_shared_by_ties() {
        let all = of(Kind::FalseAccept, 9);
        let got: Vec<(usize, &str)> = all.shown.iter().map(|m| (m.rank, m.frame.video.as_str())).collect();
        assert_eq!(got, [(1, "f2"), (2, "f1"), (2, "f3"), (4, "f6"), (5, "f4")]);
        assert_eq!((all.wrong, all.of), (5, 6));
        assert_eq!((all.shown[3].frame.frame, all.shown[3].score, all.shown[3].frames), (0, 0.4, 2));
        // a cut keeps the count and the order
        let cut = of(Kind::FalseAccept, 2);
        assert_eq!((cut.wrong, cut.shown.len()), (5, 2));
        assert_eq!(cut.shown, all.shown[..2]);
        // the order of the rows does not matter
        let mut turned = rows();
        turned.reverse();
        let t = Threshold { at: 0.5, from: "given".into() };
        assert_eq!(worst(&turned, "A", Kind::FalseAccept, &t, Aggregation::Mean, 9).unwrap(), all);
    }

    #[test]
    fn a_real_face_is_refused_above_the_threshold_only() {
        let all = of(Kind::FalseReject, 9);
        assert_eq!(all.shown.iter().map(|m| m.frame.video.as_str()).collect::<Vec<_>>(), ["r1"]);
        assert_eq!((all.wrong, all.of), (1, 2));
    }

    #[test]
    fn the_csv_names_files_and_the_table_says_the_threshold() {
        let all = [of(Kind::FalseAccept, 1), of(Kind::FalseReject, 1)];
        let text = csv(&all, |r| format!("/faces/{}.png", r.video));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("path,label,score,rank,kind,"), "{}", lines[0]);
        assert!(
            lines[1].starts_with("/faces/f2.png,1,0.1,1,false-accept,A,d,swap,f2,0,0.1,"),
            "{}",
            lines[1]
        );
        assert!(lines[2].starts_with("/faces/r1.png,0,0.7,1,false-reject,A,"), "{}", lines[2]);
        let run = Run { record: Default::default(), folder: "x".into() };
        let table = table(&run, &all);
        table.check().unwrap();
        assert!(table.caption.iter().any(|c| c == "A: threshold 0.5000 (given)."), "{:?}", table.caption);
        assert_eq!(table.groups[0].title, "A · false accepts: fakes called real (5 of 6)");
    }
}
