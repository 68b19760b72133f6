//! What may stand in one table, how rows come about, what the footnotes say.

use super::{for_protocol, with_published};
use crate::runs::{self, Run};
use crate::table::{Cell, RowKind, Table};
use crate::testing::Made;
use crate::write::{Format, Style, write};
use facebench_protocols::{Protocol, Selection};
use std::path::Path;

fn tables(protocol: &str, made: &[Made<'_>]) -> Vec<Table> {
    let dir = tempfile::tempdir().unwrap();
    made.iter().for_each(|m| drop(m.write(dir.path())));
    for_protocol(protocol, &load(dir.path()), &[]).unwrap()
}

fn load(dir: &Path) -> Vec<Run> {
    runs::load(dir).unwrap()
}

fn text(table: &Table) -> String {
    write(table, Format::Terminal, &Style::default()).unwrap()
}

fn value(table: &Table, group: usize, row: usize, key: &str) -> f64 {
    let c = table.columns.iter().position(|c| c.key() == key).unwrap();
    match &table.groups[group].rows[row].cells[c] {
        Cell::Value(v) => v.mean,
        other => panic!("{key} is {other:?}"),
    }
}

#[test]
fn deepfake_detection_averages_the_unseen_sets_at_both_levels() {
    let made = [Made::default(), Made { model: "MAE", quality: 0.3, ..Made::default() }];
    let [table] = &tables("dfd-cross", &made)[..] else { panic!("one table") };
    assert_eq!(table.columns.len(), 12);
    for level in ["frame_auc", "video_auc"] {
        let sets = ["CDFv2-noYT", "DFDC", "DFDCP", "WDF"];
        let mean = sets.iter().map(|s| value(table, 0, 0, &format!("{s}/{level}"))).sum::<f64>() / 4.0;
        let printed = value(table, 0, 0, &format!("average/{level}"));
        assert!((mean - printed).abs() < 1e-12, "the seen set is left out");
    }
    let text = text(table);
    assert!(
        text.starts_with("Cross-dataset") && text.lines().next().unwrap().ends_with("· synthetic"),
        "{text}"
    );
    assert!(text.contains("FF++ (seen)") && text.contains("One seed."), "{text}");
    stored(table, "dfd");
}

#[test]
fn anti_spoofing_names_both_thresholds_and_averages_complete_rows_only() {
    let dir = tempfile::tempdir().unwrap();
    let whole = Made { protocol: "fas-mcio", ..Made::default() };
    whole.write(dir.path());
    let part = Made { protocol: "fas-mcio", model: "MAE", quality: 0.5, ..Made::default() };
    let lost = part.write(dir.path()).remove(1);
    std::fs::remove_dir_all(dir.path().join(format!("score-{}", &lost.unit[..16]))).unwrap();
    let [table] = &for_protocol("fas-mcio", &load(dir.path()), &[]).unwrap()[..] else { panic!("one table") };
    assert_eq!(table.columns.len(), 15);
    let row = &table.groups[0].rows[1];
    assert_eq!(row.cells[3], Cell::Missing("not run".into()));
    assert!(row.cells[12..].iter().all(|c| *c == Cell::Missing("average of an incomplete row".into())));
    let text = text(table);
    assert!(text.contains("– missing: not run; average of an incomplete row."), "{text}");
    assert!(text.contains("HTER dev ↓") && text.contains("HTER oracle ↓"), "{text}");
    stored(table, "fas");
}

#[test]
fn diffusion_forgeries_are_compared_at_image_level() {
    let made = Made { protocol: "diff-unseen", ..Made::default() };
    let [table] = &tables("diff-unseen", &[made.clone(), Made { model: "MAE", quality: 0.1, ..made }])[..]
    else {
        panic!("one table")
    };
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["FF++DF (seen)", "T2I", "I2I", "FS", "FE", "Avg unseen"]);
    stored(table, "diff");
}

#[test]
fn own_faces_show_the_interval_and_the_sizes_without_being_asked() {
    let made = Made { protocol: "own-faces", synthetic: false, ..Made::default() };
    let [table] = &tables("own-faces", &[made])[..] else { panic!("one table") };
    let text = text(table);
    assert!(text.contains('[') && text.contains("20 real and 20 fake videos"), "{text}");
    assert!(!text.contains("synthetic"), "{text}");
}

#[test]
fn seeds_are_averaged_and_rows_of_fewer_seeds_say_so() {
    let made: Vec<Made<'_>> = (0..3).map(|seed| Made { seed, ..Made::default() }).collect();
    let one = Made { model: "MAE", quality: 0.3, ..Made::default() };
    let dir = tempfile::tempdir().unwrap();
    made.iter().chain([&one]).for_each(|m| drop(m.write(dir.path())));
    let runs = load(dir.path());
    let [table] = &for_protocol("dfd-cross", &runs, &[]).unwrap()[..] else { panic!("one table") };
    let singles: Vec<f64> = runs
        .iter()
        .filter(|r| r.record.model == "FS-VFM")
        .map(|r| r.record.evaluation.as_ref().unwrap().sets[1].video_auc)
        .collect();
    assert_eq!(singles.len(), 3);
    assert!((value(table, 0, 0, "CDFv2-noYT/video_auc") - singles.iter().sum::<f64>() / 3.0).abs() < 1e-12);
    let text = text(table);
    assert!(text.contains(" ±") && text.contains("3 seeds"), "{text}");
    assert!(table.rows().any(|(_, r)| !r.notes.is_empty()), "{text}");
}

#[test]
fn results_that_may_not_be_mixed_get_tables_of_their_own() {
    let base = Made::default();
    let other_data =
        tables("dfd-cross", &[base.clone(), Made { model: "MAE", edition: "2", ..base.clone() }]);
    let real = tables(
        "dfd-cross",
        &[base.clone(), Made { model: "MAE", synthetic: false, edition: "2", ..base.clone() }],
    );
    for (tables, word) in
        [(&other_data, "other samples under the same data-set name"), (&real, "synthetic and real faces")]
    {
        assert_eq!(tables.len(), 2);
        assert_eq!([tables[0].id.as_str(), tables[1].id.as_str()], ["dfd-cross", "dfd-cross-2"]);
        assert!(tables.iter().all(|t| text(t).contains(word)), "{}", text(&tables[0]));
    }
    assert_eq!([real[0].synthetic, real[1].synthetic], [false, true]);
    let dir = tempfile::tempdir().unwrap();
    base.write(dir.path());
    Made { model: "MAE", ..base }.write(dir.path());
    let mut runs = load(dir.path());
    runs[0].record.protocol.as_mut().unwrap().fingerprint = "sha256:0000".into();
    let tables = for_protocol("dfd-cross", &runs, &[]).unwrap();
    assert_eq!(tables.len(), 2);
    assert!(text(&tables[1]).contains("another protocol fingerprint"), "{}", text(&tables[1]));
}

#[test]
fn oracle_runs_are_labelled_and_never_ranked() {
    let oracle = Made { quality: 0.95, selection: Selection::Oracle, ..Made::default() };
    let made = [
        Made { quality: 0.3, ..Made::default() },
        Made { model: "MAE", quality: 0.2, ..Made::default() },
        oracle,
    ];
    let [table] = &tables("dfd-cross", &made)[..] else { panic!("one table") };
    let last = table.groups.last().unwrap();
    assert!(
        !last.ranked && last.title.contains("chosen on the test set") && last.rows[0].kind == RowKind::Oracle
    );
    assert!(
        table.groups[..table.groups.len() - 1].iter().all(|g| g.rows.iter().all(|r| r.kind == RowKind::Run))
    );
    let text = text(table);
    let line = text.lines().find(|l| l.contains("FS-VFM · linear")).unwrap();
    assert!(!line.contains('*') && !line.contains('_'), "{line}");
}

#[test]
fn rows_of_equal_labels_say_in_what_their_plans_differ() {
    let dir = tempfile::tempdir().unwrap();
    Made::default().write(dir.path());
    Made { edition: "1", seed: 1, ..Made::default() }.write(dir.path());
    let mut runs = load(dir.path());
    runs[1].record.seed = 0;
    runs[1].record.plan = serde_json::json!({"spec": {"seed": 0, "recipe": {"epochs": 9}}});
    let [table] = &for_protocol("dfd-cross", &runs, &[]).unwrap()[..] else { panic!("one table") };
    assert_eq!(table.groups[0].rows.len(), 2);
    assert_eq!(table.notes, ["plan: spec.recipe.epochs = 4", "plan: spec.recipe.epochs = 9"]);
}

#[test]
fn a_paired_test_marks_what_it_cannot_tell_from_the_best() {
    let made = [
        Made { quality: 0.5, ..Made::default() },
        Made { model: "twin", quality: 0.49, ..Made::default() },
        Made { model: "random", pretraining: "none", quality: 0.0, ..Made::default() },
    ];
    let [table] = &tables("dfd-cross", &made)[..] else { panic!("one table") };
    let c = table.columns.iter().position(|c| c.key() == "DFDC/video_auc").unwrap();
    let equal = |model: &str| {
        let (_, row) = table.rows().find(|(_, r)| r.labels[0] == model).unwrap();
        matches!(&row.cells[c], Cell::Value(v) if v.equal_to_best)
    };
    assert_eq!((equal("random"), equal("FS-VFM") || equal("twin")), (false, true));
    let frame = table.columns.iter().position(|c| c.key() == "DFDC/frame_auc").unwrap();
    let frames = table.rows().all(|(_, r)| !matches!(&r.cells[frame], Cell::Value(v) if v.equal_to_best));
    assert!(frames, "frames of one video are not independent, so frame AUC is not tested");
}

/// Compares with the stored text; the fingerprint is left out, since it is the protocol's business.
fn stored(table: &Table, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tables/expected").join(format!("{name}.txt"));
    let mut text = text(table);
    if let Some(stamp) = &table.stamp {
        text = text.replace(stamp.short().split(' ').next_back().unwrap(), "FFFFFFFF");
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(&path).unwrap(),
        "{name} changed; see it, then run with BLESS=1"
    );
}

#[test]
fn published_rows_stand_below_real_ones_with_what_differs() {
    for (protocol, real) in
        [("dfd-cross", true), ("fas-mcio", true), ("diff-unseen", true), ("dfd-cross", false)]
    {
        let dir = tempfile::tempdir().unwrap();
        Made { protocol, synthetic: !real, ..Made::default() }.write(dir.path());
        let [table] = &with_published(protocol, &load(dir.path()), &[]).unwrap()[..] else {
            panic!("one table")
        };
        let text = text(table);
        if !real {
            assert!(!table.has_cited() && text.contains("not shown beside synthetic"), "{text}");
            continue;
        }
        let group = table.groups.last().unwrap();
        assert!(!group.ranked && !group.rows.is_empty(), "{text}");
        assert!(group.rows.iter().all(|r| r.kind == RowKind::Cited && r.notes.len() >= 2));
        assert!(group.rows.iter().all(|r| r.cells.iter().any(|c| matches!(c, Cell::Value(_)))));
        assert!(text.contains("†") && text.contains("checkpoint"), "{text}");
        let names: Vec<String> = group.rows.iter().map(|r| format!("{:?} {:?}", r.labels, r.notes)).collect();
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len(), "no publication twice");
    }
    // the figure of the paper's log: FSFM ViT-B on CDFv2 without YouTube-real, video level
    let dir = tempfile::tempdir().unwrap();
    Made { synthetic: false, ..Made::default() }.write(dir.path());
    let table = with_published("dfd-cross", &load(dir.path()), &[]).unwrap().remove(0);
    let fsfm = table.rows().find(|(_, r)| r.labels[0].starts_with("FSFM ViT-B/16")).unwrap().1;
    let c = table.columns.iter().position(|c| c.key() == "CDFv2-noYT/video_auc").unwrap();
    assert!(
        matches!(&fsfm.cells[c], Cell::Value(v) if (v.mean - 0.9144).abs() < 1e-4),
        "{:?}",
        fsfm.cells[c]
    );
}

#[test]
fn the_efficiency_table_joins_cost_and_quality_of_every_row() {
    let dir = tempfile::tempdir().unwrap();
    for protocol in ["dfd-cross", "diff-unseen"] {
        Made { protocol, ..Made::default() }.write(dir.path());
        Made { protocol, model: "MAE", quality: 0.3, head: "fs-adapter", ..Made::default() }
            .write(dir.path());
    }
    let tune = facebench_protocols::RunRecord {
        unit: "cd".repeat(32),
        kind: "tune".into(),
        timings: facebench_protocols::Timings { wall_s: 90.0, ..Default::default() },
        ..Default::default()
    };
    crate::testing::write_record(&dir.path().join("tune-0"), &tune);
    let runs = load(dir.path());
    let studies: Vec<_> =
        ["dfd-cross", "diff-unseen"].iter().flat_map(|id| super::studies(id, &runs, &[]).unwrap()).collect();
    let table = super::efficiency::table(&studies, &runs).unwrap();
    assert_eq!(table.rows().count(), 2);
    assert_eq!(value(&table, 0, 0, "cost/params_total"), 1_234_567.0);
    assert_eq!(value(&table, 0, 0, "cost/tune_seconds"), 90.0);
    let c = studies[1].table.columns.iter().rposition(|c| c.set == "average").unwrap();
    let Cell::Value(there) = &studies[1].table.groups[1].rows[0].cells[c] else { panic!("a value") };
    assert_eq!(value(&table, 0, 1, "diff-unseen/frame_auc"), there.mean);
    let text = text(&table);
    assert!(text.contains("All on test, cpu, 2 threads.") && text.contains("0.0004"), "{text}");
    stored(&table, "efficiency");
}

#[test]
fn folds_that_repeat_a_question_are_one_number_with_its_deviation() {
    let dir = tempfile::tempdir().unwrap();
    let protocol = Protocol::builtin("oulu-p3").unwrap().unwrap();
    let write = |model: &'static str, seed: u64, folds: usize| {
        let made = |i: usize| Made {
            protocol: "oulu-p3",
            model,
            seed,
            quality: 0.3 + 0.1 * i as f64,
            ..Made::default()
        };
        let folds = protocol.folds.iter().take(folds).enumerate();
        folds.map(|(i, f)| made(i).write_fold(dir.path(), &protocol, &f.name)).collect::<Vec<_>>()
    };
    let (zero, one) = (write("FS-VFM", 0, 6), write("FS-VFM", 1, 6));
    write("MAE", 0, 5);
    let [table] = &for_protocol("oulu-p3", &load(dir.path()), &[]).unwrap()[..] else { panic!("one table") };
    let keys: Vec<String> = table.columns.iter().map(crate::table::Column::key).collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    let acer = |r: &facebench_protocols::RunRecord| {
        let set = &r.evaluation.as_ref().unwrap().sets[0];
        facebench_protocols::Metric::AcerDev.of(set).unwrap()
    };
    let folds: Vec<f64> = zero.iter().zip(&one).map(|(a, b)| (acer(a) + acer(b)) / 2.0).collect();
    let mean = folds.iter().sum::<f64>() / 6.0;
    let std = (folds.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 5.0).sqrt();
    assert!(std > 0.01, "the folds differ: {folds:?}");
    let at = keys.iter().position(|k| k == "OULU/acer_dev").unwrap();
    let rows = &table.groups[0].rows;
    let whole = rows.iter().find(|r| r.labels[0] == "FS-VFM").unwrap();
    let Cell::Value(value) = &whole.cells[at] else { panic!("{:?}", whole.cells[at]) };
    assert!((value.mean - mean).abs() < 1e-12 && (value.std.unwrap() - std).abs() < 1e-12 && value.n == 6);
    let part = rows.iter().find(|r| r.labels[0] == "MAE").unwrap();
    assert!(
        matches!(&part.cells[at], Cell::Missing(why) if why == "fold 6 is missing"),
        "{:?}",
        part.cells[at]
    );
    let text = text(table);
    assert!(text.contains("over 6 folds") && text.contains("±") && text.contains("ACER"), "{text}");
}
