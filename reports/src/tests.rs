//! The whole way: run folders in, report folder out, twice the same bytes.

use crate::testing::{Made, demo, write_record};
use crate::{Error, Output, report, runs};
use facebench_protocols::{Finding, RunRecord, Severity};
use std::collections::BTreeMap;
use std::path::Path;

fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                files.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_report_is_byte_identical_when_made_twice() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    demo(&runs);
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let written = report(&runs, &one, &Output::all()).unwrap();
    report(&runs, &two, &Output::all()).unwrap();
    let (a, b) = (contents(&one), contents(&two));
    assert_eq!(a.len(), written.len());
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(bytes == &b[name], "{name} differs");
    }
    if let Ok(look) = std::env::var("LOOK") {
        report(&runs, Path::new(&look), &Output::all()).unwrap();
    }
}

#[test]
fn the_page_is_one_file_that_asks_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    demo(&runs);
    let out = dir.path().join("out");
    let files = report(&runs, &out, &[Output::Html]).unwrap();
    assert_eq!(files, [out.join("report.html")]);
    let html = std::fs::read_to_string(&files[0]).unwrap();
    assert!(html.contains("default-src 'none'") && html.contains("<html lang=\"en\">"));
    for outside in ["http://", "https://", "@import", "<link", " src=\"/", "url(/"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("<dt>pictures decoded by</dt><dd>mozjpeg 2 &amp; image</dd>"));
    assert!(
        html.contains("Synthetic faces.") && html.contains("· <strong>synthetic</strong></span></caption>")
    );
    let mut ids: Vec<&str> = html.split(" id=\"").skip(1).map(|t| t.split('"').next().unwrap()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id is used twice");
    for target in
        html.split("aria-labelledby=\"").skip(1).flat_map(|t| t.split('"').next().unwrap().split(' '))
    {
        assert!(ids.binary_search(&target).is_ok(), "nothing is called {target}");
    }
    assert!(html.len() < 10 << 20, "{} bytes", html.len());
}

#[test]
fn names_from_records_cannot_write_html() {
    let dir = tempfile::tempdir().unwrap();
    let evil = "<script>alert(1)</script>\"'&";
    Made { model: evil, head: evil, pretraining: evil, ..Made::default() }.write(dir.path());
    let mut record = Made { model: "b", seed: 9, ..Made::default() }.write(dir.path()).remove(0);
    let finding = Finding { severity: Severity::Stop, code: evil.into(), message: evil.into() };
    record.evaluation.as_mut().unwrap().findings.push(finding);
    record.notes.push(evil.into());
    record.machine.cpu = evil.into();
    write_record(&dir.path().join(format!("score-{}", &record.unit[..16])), &record);
    let out = dir.path().join("out");
    report(dir.path(), &out, &Output::all()).unwrap();
    for (name, bytes) in contents(&out) {
        let text = String::from_utf8_lossy(&bytes);
        if name.ends_with(".html") || name.ends_with(".svg") || name.ends_with(".md") {
            assert!(!text.contains("<script>alert"), "{name}");
        }
    }
    let table = std::fs::read_to_string(out.join("tables/dfd-cross.txt")).unwrap();
    assert!(table.contains("do not use: the audit stopped on"), "{table}");
}

#[test]
fn a_run_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(runs::load(dir.path()), Err(Error::NoRuns { .. })));
    assert!(matches!(runs::load(&dir.path().join("no")), Err(Error::Io { .. })));
    for (name, text, word) in [
        ("truncated", "{\"unit\": \"a", "EOF"),
        ("another kind of file", "{\"hello\": 1}", "`unit` is missing"),
        ("wrong type", "{\"unit\": 7}", "expected a string"),
    ] {
        let folder = dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("run.json"), text).unwrap();
        let message = runs::load(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains(name) && message.contains(word) && message.contains("\nhint: "),
            "{message}"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn broken_scores_and_curves_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let record = Made::default().write(dir.path()).remove(0);
    let folder = dir.path().join(format!("score-{}", &record.unit[..16]));
    std::fs::write(folder.join("curves.csv"), "epoch,loss\n0,1\n1,x\n").unwrap();
    let run = &runs::load(dir.path()).unwrap()[0];
    assert!(run.curves().unwrap_err().to_string().contains("line 3: `x` is not a number"));
    std::fs::write(folder.join("scores.csv"), "set,score\ndev,0.5\n").unwrap();
    let message = report(dir.path(), &dir.path().join("out"), &[Output::Html]).unwrap_err().to_string();
    assert!(message.contains("scores.csv"), "{message}");
}

#[test]
fn runs_are_found_in_subfolders_once_and_in_an_order_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, model) in [("b", "MAE"), ("a/x", "FS-VFM"), ("c", "random")] {
        let pretraining = if model == "random" { "none" } else { "faces" };
        Made { model, pretraining, ..Made::default() }.write(&dir.path().join(folder));
    }
    Made { model: "MAE", ..Made::default() }.write(&dir.path().join("copy"));
    let models: Vec<String> = runs::load(dir.path()).unwrap().into_iter().map(|r| r.record.model).collect();
    assert_eq!(models, ["random", "FS-VFM", "MAE"]);
}

#[test]
fn a_report_of_pretrainings_alone_has_curves_and_pictures() {
    let dir = tempfile::tempdir().unwrap();
    crate::testing::write_pretraining(dir.path(), "fsvfm");
    let out = dir.path().join("out");
    let files = report(dir.path(), &out, &Output::all()).unwrap();
    let names: Vec<String> =
        files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|n| n.starts_with("training-fsvfm") && n.ends_with(".svg")), "{names:?}");
    assert!(names.iter().any(|n| n.starts_with("masks-fsvfm") && n.ends_with(".png")), "{names:?}");
}

#[test]
fn pictures_of_real_people_stay_out_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let folder = crate::testing::write_pretraining(dir.path(), "people");
    let text = std::fs::read_to_string(folder.join("run.json")).unwrap();
    let record = RunRecord { synthetic: false, ..serde_json::from_str(&text).unwrap() };
    write_record(&folder, &record);
    let runs = runs::load(dir.path()).unwrap();
    let pictures = |with_images: bool| {
        let options = crate::Options { with_images, ..crate::Options::new(&[Output::Html]) };
        let out = dir.path().join(format!("out-{with_images}"));
        let files = crate::report_of(&runs, &out, &options).unwrap();
        std::fs::read_to_string(&files[0]).unwrap().matches("<img ").count()
    };
    assert_eq!((pictures(false), pictures(true)), (0, 1));
}

#[test]
fn unknown_formats_are_named() {
    let message = Output::parse("pdf").unwrap_err().to_string();
    assert!(
        message.contains("`pdf`") && message.contains("term, md, csv, json, tex, html, svg, png"),
        "{message}"
    );
    assert_eq!(Output::parse("tex").unwrap(), Output::Latex);
}

#[test]
fn a_grid_without_region_masking_has_no_region_row() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = crate::testing::write_pretraining(dir.path(), "mae").join("pictures");
    let grid = || crate::grid::Grid::reconstructions("g", "Grid", &pictures).unwrap().unwrap();
    assert_eq!(grid().rows.len(), 4);
    for i in 0..3 {
        std::fs::copy(pictures.join(format!("{i}-masked.png")), pictures.join(format!("{i}-region.png")))
            .unwrap();
    }
    assert_eq!(grid().rows.len(), 3);
    assert!(!grid().note.contains("tinted") && grid().png().unwrap().starts_with(b"\x89PNG"));
    std::fs::write(pictures.join("0-image.png"), b"not a picture").unwrap();
    let message = crate::grid::Grid::reconstructions("g", "Grid", &pictures).unwrap_err().to_string();
    assert!(message.contains("0-image.png"), "{message}");
}

/// Four results of which an audit stopped one, for two reasons: the page says so, and nobody leads with it.
#[test]
fn a_stopped_row_does_not_lead_and_one_seed_of_several_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    for (model, quality) in [("Best", 0.9), ("Good", 0.6), ("Fair", 0.4)] {
        Made { model, quality, ..Made::default() }.write(&runs);
    }
    Made { model: "Good", quality: 0.6, seed: 1, ..Made::default() }.write(&runs);
    for run in runs::load(&runs).unwrap().iter().filter(|r| r.record.model == "Best") {
        let mut record = run.record.clone();
        let stop = |code: &str| Finding { severity: Severity::Stop, code: code.into(), message: "no".into() };
        record.evaluation.as_mut().unwrap().findings = vec![stop("polarity"), stop("constant-scores")];
        write_record(&run.folder, &record);
    }
    let out = dir.path().join("out");
    report(&runs, &out, &[Output::Html]).unwrap();
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(html.contains("audits stopped 1 of 4 results"));
    let verdict = html.lines().find(|l| l.contains("class=\"verdict\"")).unwrap();
    assert!(verdict.contains("· synthetic: Good (faces), linear leads with"), "{verdict}");
    assert!(
        verdict.contains("Fair (faces), linear follows") && verdict.contains("One row is left out"),
        "{verdict}"
    );
    // the figures of single runs say which one they show
    assert!(html.contains("Good (faces), linear, seed 0, one of 2"));
    assert!(html.contains("frame ECE %") && html.contains("video ECE "));
    // what ranks stands first on the page
    let (video, frame) = (html.find("<span>Video AUC %"), html.find("<span>Frame AUC %"));
    assert!(video.is_some() && video < frame);
}
