//! What may stand in one table, how rows come about, what the footnotes say.

use super::for_protocol;
use crate::runs::{self, Run};
use crate::table::{Cell, RowKind, Table};
use crate::testing::Made;
use crate::write::{Format, Style, write};
use facebench_protocols::Selection;
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
    let hex = table.stamp.as_ref().unwrap().short();
    let text = text(table).replace(hex.split(' ').next_back().unwrap(), "FFFFFFFF");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(&path).unwrap(),
        "{name} changed; see it, then run with BLESS=1"
    );
}
