//! Bundles made from made runs, then broken in every way the board must notice.

use super::export::{BOARDS, Board, EvalOptions, Request, aggregated, eval_results, export, list};
use super::*;
use crate::runs;
use crate::testing::{Made, write_record};
use facebench_protocols::{DataStamp, Metric, Prediction, RunRecord, ScoreRow, Selection, read_scores};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs of one model on one protocol, with true digests of their samples and a training unit with weights.
fn made(root: &Path, protocol: &str, selection: Selection) {
    for seed in [0, 1] {
        Made { protocol, seed, selection, ..Made::default() }.write(root);
    }
    for run in runs::load(root).unwrap() {
        let rows = run.scores().unwrap().unwrap();
        let mut record = run.record.clone();
        record.data = stamps(&rows);
        write_record(&run.folder, &record);
    }
    let folder = root.join("tune-0");
    std::fs::create_dir_all(&folder).unwrap();
    let record = RunRecord { unit: "cd".repeat(32), kind: "tune".into(), ..RunRecord::default() };
    write_record(&folder, &record);
    std::fs::write(folder.join("model.safetensors"), b"weights").unwrap();
}

fn stamps(rows: &[ScoreRow]) -> Vec<DataStamp> {
    let mut sets: BTreeMap<&str, Vec<&ScoreRow>> = BTreeMap::new();
    rows.iter().for_each(|r| sets.entry(&r.set).or_default().push(r));
    let stamp = |(set, mut rows): (&str, Vec<&ScoreRow>)| {
        rows.sort_by_key(|r| (r.dataset.clone(), r.method.clone(), r.video.clone(), r.frame));
        DataStamp {
            dataset: set.into(),
            samples: rows.len(),
            videos: 0,
            sha256: DataStamp::digest(rows.iter().map(|r| (r.id(), r.label))),
            synthetic: true,
        }
    };
    sets.into_iter().map(stamp).collect()
}

fn options() -> PackOptions {
    PackOptions { name: "my model".into(), facebench: "0.1.0".into(), ..PackOptions::default() }
}

fn bundle() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    made(&dir.path().join("runs"), "dfd-cross", Selection::MinValLoss);
    let out = dir.path().join("bundles/mine");
    std::fs::create_dir_all(dir.path().join("bundles")).unwrap();
    let packed = pack(&runs::load(&dir.path().join("runs")).unwrap(), &out, &options()).unwrap();
    assert_eq!(packed.submission.results.len(), 2);
    assert_eq!(packed.submission.results[0].weights[0].file, "model.safetensors");
    assert!(packed.without_weights.is_empty());
    (dir, out)
}

/// One scored run's folder in a bundle.
fn first(bundle: &Path) -> PathBuf {
    let mut folders: Vec<_> =
        std::fs::read_dir(bundle.join("runs")).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    folders[0].clone()
}

/// What a cheat does after an edit.
fn seal(bundle: &Path) {
    let list = sums::of_folder(bundle).unwrap();
    std::fs::write(bundle.join(sums::FILE), sums::text(&list)).unwrap();
}

fn edit(path: &Path, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed, "the test changes nothing");
    std::fs::write(path, changed).unwrap();
}

fn problems(bundle: &Path) -> String {
    let verdict = verify(bundle, None).unwrap();
    verdict.problems.iter().map(|p| format!("{}: {}\n", p.place, p.what)).collect()
}

#[test]
fn an_honest_bundle_is_good_and_the_same_every_time() {
    let (dir, out) = bundle();
    let verdict = verify(&out, None).unwrap();
    assert!(verdict.good(), "{:?}", verdict.problems);
    assert_eq!(verdict.runs.len(), 2);
    assert!(verdict.numbers > 200, "{}", verdict.numbers);
    assert_eq!(verdict.signature, Signature::None);
    let again = dir.path().join("again");
    pack(&runs::load(&dir.path().join("runs")).unwrap(), &again, &options()).unwrap();
    let sums = |b: &Path| std::fs::read_to_string(b.join("SHA256SUMS")).unwrap();
    assert_eq!(sums(&out), sums(&again));
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains("synthetic faces") && card.contains("| Pre-training |"), "{card}");
    let error = pack(&runs::load(&dir.path().join("runs")).unwrap(), &out, &options()).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
}

#[test]
fn a_bundle_of_another_version_says_which_and_what_to_do() {
    let (_dir, out) = bundle();
    let record = first(&out).join("run.json");
    let whole = std::fs::read_to_string(&record).unwrap();
    let change = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut json: serde_json::Value = serde_json::from_str(&whole).unwrap();
        for set in json["evaluation"]["sets"].as_array_mut().unwrap() {
            change(set.as_object_mut().unwrap());
        }
        std::fs::write(&record, json.to_string()).unwrap();
        seal(&out);
        problems(&out)
    };
    let older = change(&|set| ["brier", "video_pauc10"].iter().for_each(|k| drop(set.remove(*k))));
    assert_eq!(older.lines().filter(|l| !l.starts_with("hint: ")).count(), 1, "one problem: {older}");
    for word in [
        "packed by another build of facebench 0.1.0",
        "lacks brier, video_pauc10,",
        "hint: score these runs again",
    ] {
        assert!(older.contains(word), "{word}: {older}");
    }
    edit(&out.join("submission.json"), |t| t.replace("\"facebench\": \"0.1.0\"", "\"facebench\": \"0.9.0\""));
    let newer = change(&|set| drop(set.insert("auc_of_tomorrow".into(), 0.5.into())));
    assert!(newer.contains("packed by facebench 0.9.0: run.json has auc_of_tomorrow, which"), "{newer}");
    // leaving a number out does not hide that another one is wrong
    let wrong = change(&|set| {
        set.remove("brier");
        set.insert("video_auc".into(), 0.999.into());
    });
    assert!(wrong.contains("lacks brier") && wrong.contains("video_auc is 0.999 in run.json"), "{wrong}");
}

#[test]
fn a_changed_score_is_named_even_if_the_sums_were_made_again() {
    let (_dir, out) = bundle();
    let scores = first(&out).join("scores.csv");
    edit(&scores, |text| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut cells: Vec<&str> = lines[5].split(',').collect();
        cells[6] = "0.123";
        let line = cells.join(",");
        lines[5] = line;
        lines.join("\n") + "\n"
    });
    let said = problems(&out);
    assert!(said.contains("scores.csv: was changed"), "{said}");
    seal(&out);
    let said = problems(&out);
    assert!(!said.contains("was changed"), "{said}");
    assert!(said.contains("in run.json and") && said.contains("from the scores"), "{said}");
}

#[test]
fn a_missing_line_and_a_changed_label_are_named() {
    let (_dir, out) = bundle();
    let scores = first(&out).join("scores.csv");
    let whole = std::fs::read_to_string(&scores).unwrap();
    edit(&scores, |text| text.lines().take(text.lines().count() - 1).map(|l| format!("{l}\n")).collect());
    seal(&out);
    let said = problems(&out);
    assert!(said.contains("1 of ") && said.contains("lines are missing in scores.csv"), "{said}");
    std::fs::write(&scores, whole.replacen(",0,0.", ",1,0.", 1)).unwrap();
    seal(&out);
    let said = problems(&out);
    assert!(said.contains("other samples or other labels") || said.contains("cannot be evaluated"), "{said}");
}

#[test]
fn another_fingerprint_is_named() {
    let (_dir, out) = bundle();
    for file in [first(&out).join("run.json"), out.join("submission.json")] {
        let fingerprint = runs::one(&first(&out)).unwrap().record.protocol.unwrap().fingerprint;
        edit(&file, |text| text.replace(&fingerprint, &"0".repeat(64)));
        if file.ends_with("run.json") {
            seal(&out);
            assert!(problems(&out).contains("run.json and submission.json differ: protocol"));
            // the second file is found by the first's old value
            edit(&file, |text| text.replace(&"0".repeat(64), &fingerprint));
        }
    }
    let file = first(&out).join("run.json");
    let fingerprint = runs::one(&first(&out)).unwrap().record.protocol.unwrap().fingerprint;
    edit(&file, |text| text.replace(&fingerprint, &"0".repeat(64)));
    seal(&out);
    let said = problems(&out);
    assert!(said.contains("the run was made under another one, 000000000000"), "{said}");
}

#[test]
fn extra_missing_and_linked_files_are_named() {
    let (_dir, out) = bundle();
    std::fs::write(out.join("notes.txt"), "hello").unwrap();
    std::fs::remove_file(out.join("README.md")).unwrap();
    let said = problems(&out);
    assert!(said.contains("notes.txt: is not listed") && said.contains("README.md: is listed"), "{said}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc/hostname", out.join("link")).unwrap();
        assert!(problems(&out).contains("neither a file nor a folder"));
    }
    std::fs::write(out.join("submission.json"), "{\"format\": 7}").unwrap();
    assert!(problems(&out).contains("submission.json"));
}

fn key(dir: &Path, name: &str) -> Option<PathBuf> {
    let file = dir.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&file)
        .status();
    match made {
        Ok(status) if status.success() => Some(file),
        _ => {
            eprintln!("ssh-keygen is not installed: signatures are not tested");
            None
        }
    }
}

#[test]
fn signatures_are_checked_against_a_list() {
    let (dir, _) = bundle();
    let (Some(mine), Some(other)) = (key(dir.path(), "mine"), key(dir.path(), "other")) else { return };
    let out = dir.path().join("signed");
    let all = runs::load(&dir.path().join("runs")).unwrap();
    pack(&all, &out, &PackOptions { key: Some(mine.clone()), ..options() }).unwrap();
    assert!(matches!(verify(&out, None).unwrap().signature, Signature::Unknown { .. }));
    let signers = |key: &Path| {
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let file = dir.path().join("signers");
        std::fs::write(&file, format!("me@example.org {public}")).unwrap();
        Signers { file }
    };
    let verdict = verify(&out, Some(&signers(&mine))).unwrap();
    assert!(verdict.good(), "{:?}", verdict.problems);
    assert!(matches!(&verdict.signature, Signature::By { signer, .. } if signer == "me@example.org"));
    let verdict = verify(&out, Some(&signers(&other))).unwrap();
    assert!(
        !verdict.good() && matches!(verdict.signature, Signature::Wrong { .. }),
        "{:?}",
        verdict.signature
    );
    // files changed after signing, sums made again
    edit(&out.join("README.md"), |t| format!("{t}\nmore"));
    seal(&out);
    assert!(problems(&out).contains("wrong signature"));
    let broken =
        pack(&all, &dir.path().join("x"), &PackOptions { key: Some(dir.path().join("none")), ..options() });
    assert!(broken.unwrap_err().to_string().contains("ssh-keygen"));
    assert!(!dir.path().join("x").exists(), "a bundle that could not be signed stays away");
}

#[test]
fn an_unsigned_bundle_is_refused_where_signatures_are_asked_for() {
    let (dir, out) = bundle();
    let file = dir.path().join("signers");
    std::fs::write(&file, "").unwrap();
    let verdict = verify(&out, Some(&Signers { file })).unwrap();
    assert!(verdict.problems.iter().any(|p| p.what.contains("not signed")));
}

#[test]
fn a_page_ranks_good_bundles_and_lists_the_others() {
    let (dir, out) = bundle();
    let bad = dir.path().join("bundles/other");
    let all = runs::load(&dir.path().join("runs")).unwrap();
    pack(&all, &bad, &PackOptions { name: "<b>cheat</b>".into(), ..options() }).unwrap();
    edit(&first(&bad).join("scores.csv"), |t| t.replacen("0.", "0.0", 1));
    let site_dir = dir.path().join("site");
    let (listed, files) = site(&dir.path().join("bundles"), &site_dir, "Our board", None).unwrap();
    assert_eq!(listed.iter().map(|l| l.verdict.good()).collect::<Vec<_>>(), [true, false]);
    let page = std::fs::read_to_string(site_dir.join("index.html")).unwrap();
    assert!(files.iter().any(|f| f.ends_with("index.html")));
    assert!(page.contains("Our board") && page.contains("my model") && page.contains("refused"));
    assert!(page.contains("&lt;b&gt;cheat") && !page.contains("<b>cheat"));
    std::fs::remove_dir_all(&out).unwrap();
    let error = site(&dir.path().join("bundles"), &site_dir, "Our board", None).unwrap_err();
    assert!(error.to_string().contains("no bundle of it passes"), "{error}");
}

#[test]
fn oracle_results_are_packed_and_never_ranked() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), "dfd-cross", Selection::Oracle);
    let out = dir.path().join("bundle");
    pack(&runs::load(dir.path()).unwrap(), &out, &options()).unwrap();
    assert!(verify(&out, None).unwrap().good());
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains("oracle selection: checkpoint chosen on the test set"), "{card}");
}

fn predictions(names: &[&str]) -> Vec<Prediction> {
    names
        .iter()
        .enumerate()
        .map(|(i, n)| Prediction { name: (*n).into(), score: 0.25 * (i + 1) as f64 })
        .collect()
}

fn wrote(board: &str, request: impl Fn(Request<'_>) -> Request<'_>) -> Result<String> {
    let (names, p) = (["b.png".to_owned(), "a.png".into()], predictions(&["a.png", "b.png"]));
    let board = Board { lines: &[], ..*Board::get(board).unwrap() };
    let request = request(Request {
        board: &board,
        predictions: &p,
        names: &names,
        threshold: None,
        clip: None,
        decimals: 5,
    });
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").with_extension(board.extension());
    let done = export(&request, &out, &BTreeMap::new())?;
    assert_eq!(done.lines, 2);
    assert!(std::fs::read_to_string(done.manifest).unwrap().contains("sha256"));
    Ok(String::from_utf8_lossy(&std::fs::read(done.file).unwrap()).into_owned())
}

#[test]
fn boards_get_their_order_polarity_and_words() {
    assert_eq!(wrote("lines", |r| r).unwrap(), "b.png 0.50000\na.png 0.25000\n");
    assert_eq!(wrote("cefa-2020", |r| r).unwrap(), "b.png 0.50000\na.png 0.75000\n");
    assert_eq!(wrote("csv", |r| r).unwrap(), "filename,label\nb.png,0.50000\na.png,0.25000\n");
    let words = wrote("dfbench-image-2025", |r| Request { threshold: Some(0.4), ..r }).unwrap();
    assert_eq!(words, "filename,label\nb.png,fake\na.png,real\n");
    let zipped = wrote("faceforensics", |r| Request { threshold: Some(0.4), ..r }).unwrap();
    assert!(zipped.contains("{\n  \"b.png\": \"fake\",\n  \"a.png\": \"real\"\n}"), "{zipped}");
    assert!(wrote("dfdc", |r| Request { clip: Some(0.3), ..r }).unwrap().contains("a.png,0.30000"));
}

#[test]
fn every_rule_of_a_board_is_checked_before_writing() {
    let said = |board: &str, f: fn(Request<'_>) -> Request<'_>| wrote(board, f).unwrap_err().to_string();
    assert!(said("faceforensics", |r| r).contains("no threshold was given\nhint: give --threshold"));
    assert!(said("lines", |r| Request { threshold: Some(0.5), ..r }).contains("a threshold has no meaning"));
    assert!(
        said("lines", |r| Request { predictions: &r.predictions[..1], ..r })
            .contains("1 names of the list have no score, such as \"b.png\"")
    );
    assert!(
        said("lines", |r| Request { names: &r.names[..1], ..r })
            .contains("1 scores are not on the list, such as \"a.png\"")
    );
    let run = |predictions: &[Prediction], names: &[String], board: &Board, out: &str| {
        let request = Request { board, predictions, names, threshold: None, clip: None, decimals: 2 };
        let dir = tempfile::tempdir().unwrap();
        let result = export(&request, &dir.path().join(out), &BTreeMap::new());
        assert!(
            result.is_ok() || std::fs::read_dir(dir.path()).unwrap().next().is_none(),
            "nothing is written"
        );
        result.map(|_| ()).unwrap_err().to_string()
    };
    let lines = Board::get("lines").unwrap();
    let names = |n: &[&str]| n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    assert!(run(&predictions(&["a", "a"]), &names(&["a"]), lines, "o.txt").contains("two scores"));
    assert!(
        run(&predictions(&["a"]), &names(&["a", "a"]), lines, "o.txt").contains("the list names \"a\" twice")
    );
    assert!(run(&predictions(&["a b"]), &names(&["a b"]), lines, "o.txt").contains("white space"));
    assert!(run(&predictions(&["a"]), &names(&["a"]), lines, "o.csv").contains("must end in .txt"));
    let out_of_range = [Prediction { name: "a".into(), score: 1.5 }];
    assert!(run(&out_of_range, &names(&["a"]), lines, "o.txt").contains("outside [0, 1]"));
    let ff = Board::get("wild-2023").unwrap();
    assert!(
        run(&predictions(&["a"]), &names(&["a"]), ff, "o.zip")
            .contains("1 lines, the board expects 140058 or 895237")
    );
    let dfdc = Board::get("dfdc").unwrap();
    let sure = [Prediction { name: "a".into(), score: 0.999 }];
    assert!(run(&sure, &names(&["a"]), dfdc, "o.csv").contains("log loss is infinite"));
    let ids: std::collections::BTreeSet<&str> = BOARDS.iter().map(|b| b.id).collect();
    assert_eq!(ids.len(), BOARDS.len());
}

#[test]
fn names_come_from_identities_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    Made::default().write(dir.path());
    let run = &runs::load(dir.path()).unwrap()[0];
    let rows = read_scores(&run.folder.join("scores.csv")).unwrap();
    let set = rows.last().unwrap().set.clone();
    let videos = aggregated(&rows, &set, "{method}/{video}.mp4").unwrap();
    let frames = aggregated(&rows, &set, "{method}/{video}_{frame}.png").unwrap();
    assert_eq!(frames.len(), 2 * videos.len());
    let of: Vec<f64> = frames.iter().take(2).map(|p| p.score).collect();
    assert!((videos[0].score - (of[0] + of[1]) / 2.0).abs() < 1e-12);
    assert!(aggregated(&rows, &set, "{vidoe}").unwrap_err().to_string().contains("it may use {dataset}"));
    assert!(aggregated(&rows, "nowhere", "{video}").is_err());
    let file = dir.path().join("list.txt");
    std::fs::write(&file, "\u{feff}filename,label\r\nb.png,0\r\n\r\na.png,0\r\n").unwrap();
    assert_eq!(list(&file).unwrap(), ["b.png", "a.png"]);
}

#[test]
fn a_model_repository_gets_one_file_per_row() {
    let dir = tempfile::tempdir().unwrap();
    made(&dir.path().join("runs"), "dfd-cross", Selection::MinValLoss);
    let all = runs::load(&dir.path().join("runs")).unwrap();
    let options = EvalOptions {
        dataset: "lab/bench".into(),
        metric: Metric::VideoAuc,
        url: Some("https://e.org/a?b#c".into()),
    };
    let files = eval_results(&all, dir.path(), &options).unwrap();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(&files[0]).unwrap();
    assert!(text.starts_with("- dataset:\n    id: \"lab/bench\"\n    task_id: \"dfd-cross-"), "{text}");
    assert!(
        text.contains("mean over 2 seeds") && text.contains("    url: \"https://e.org/a?b#c\"\n"),
        "{text}"
    );
    let bad = EvalOptions { dataset: "bench".into(), ..options.clone() };
    assert!(eval_results(&all, dir.path(), &bad).unwrap_err().to_string().contains("owner/name"));
    let oracle = dir.path().join("oracle");
    made(&oracle, "dfd-cross", Selection::Oracle);
    let error = eval_results(&runs::load(&oracle).unwrap(), dir.path(), &options).unwrap_err();
    assert!(error.to_string().contains("selected on the test set"), "{error}");
}
