//! Protocol files, fingerprints, and the walls between training, development and test.

use std::collections::{BTreeMap, BTreeSet};

use super::{Aggregation, Dev, Fold, Protocol, Selection, Selector, TestSet};
use crate::sample::{Manifest, Sample, Split};

fn text(id: &str) -> String {
    std::fs::read_to_string(format!("{}/protocols/{id}.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn load(text: &str) -> Result<Protocol, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yaml");
    std::fs::write(&path, text).unwrap();
    Protocol::load(&path).map_err(|e| e.to_string())
}

#[test]
fn built_in_protocols_are_sound_and_agree_with_their_files() {
    let mut prints = BTreeSet::new();
    for id in Protocol::builtin_ids() {
        let protocol = Protocol::builtin(id).unwrap().unwrap();
        protocol.check().unwrap();
        assert_eq!(protocol.id, *id);
        assert_eq!(load(&text(id)).unwrap(), protocol);
        assert!(prints.insert(protocol.fingerprint()));
        assert!(protocol.fingerprint().len() == 71 && protocol.fingerprint().starts_with("sha256:"));
        let json = serde_json::to_string(&protocol).unwrap();
        assert_eq!(serde_json::from_str::<Protocol>(&json).unwrap(), protocol);
    }
    assert!(Protocol::builtin("nothing").is_none());
    let folds = |id: &str| {
        let p = Protocol::builtin(id).unwrap().unwrap();
        p.folds.iter().map(|f| (f.name.clone(), f.tests.len())).collect::<Vec<_>>()
    };
    let named =
        |names: &[(&str, usize)]| names.iter().map(|(n, t)| ((*n).to_owned(), *t)).collect::<Vec<_>>();
    assert_eq!(folds("fas-mcio"), named(&[("O&C&I→M", 1), ("O&M&I→C", 1), ("O&C&M→I", 1), ("I&C&M→O", 1)]));
    assert_eq!(folds("dfd-cross"), named(&[("FF++→all", 5)]));
    assert_eq!(folds("dfb-protocol-1"), named(&[("FF++c23→all", 14)]));
    assert_eq!(folds("ffpp-cross").len(), 4);
    assert_eq!(folds("fas-single").len(), 12);
    assert_eq!(folds("fas-limited"), named(&[("M&I→C", 1), ("M&I→O", 1)]));
    assert_eq!(folds("fas-wcs"), named(&[("C&S→W", 1), ("S&W→C", 1), ("C&W→S", 1)]));
}

#[test]
fn the_target_of_an_anti_spoofing_fold_is_no_source() {
    for (id, sources) in [
        ("fas-mcio", 3),
        ("fas-mcio-celeba", 4),
        ("fas-mcio-5shot", 5),
        ("fas-limited", 2),
        ("fas-single", 1),
    ] {
        for fold in Protocol::builtin(id).unwrap().unwrap().folds {
            let names: BTreeSet<_> = fold.train.iter().map(|s| &s.dataset).collect();
            assert_eq!(names.len(), sources, "{id} {}", fold.name);
            assert!(fold.tests.iter().flat_map(|t| &t.select).all(|s| !names.contains(&s.dataset)));
        }
    }
}

#[test]
fn the_lists_of_518_and_448_videos_never_share_a_protocol_column() {
    // one column name means one list, in every built-in protocol
    let mut lists: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for id in Protocol::builtin_ids() {
        for fold in Protocol::builtin(id).unwrap().unwrap().folds {
            for test in fold.tests.iter().filter(|t| t.name.starts_with("CDF")) {
                let sets = test.select.iter().map(|s| s.dataset.clone());
                lists.entry(test.name.clone()).or_default().extend(sets);
            }
        }
    }
    assert!(lists.values().all(|sets| sets.len() == 1), "{lists:?}");
    assert!(lists["CDFv2"].contains("cdfv2") && lists["CDFv2-noYT"].contains("cdfv2-noyt"));
    // and exchanging the list changes the fingerprint, by which tables are kept apart
    let base = Protocol::builtin("dfd-cross").unwrap().unwrap();
    let mut other = base.clone();
    other.folds[0].tests[1].select[0].dataset = "cdfv2".into();
    assert_ne!(base.fingerprint(), other.fingerprint());
}

#[test]
fn few_shot_people_may_be_tested_and_stay_in_training() {
    let protocol = Protocol::builtin("fas-mcio-5shot").unwrap().unwrap();
    let fold = &protocol.folds[0];
    let mut all = BTreeMap::new();
    for selector in fold.selectors() {
        all.entry(selector.dataset.clone()).or_insert_with(|| manifest(&selector.dataset, 4, true));
    }
    let got = fold.assemble(&all).unwrap();
    let shots = |list: &[Sample]| list.iter().filter(|s| s.dataset == "fas-msu-shot5").count();
    assert_eq!((shots(&got.train), shots(&got.dev)), (36, 0));
    // the same people in a source that is no few-shot list are a leak
    let mut leaky = fold.clone();
    leaky.train[0].dataset = "msu".into();
    all.insert("msu".into(), manifest("msu", 4, true));
    leaky.train[0].split = Split::Test;
    let error = leaky.assemble(&all).unwrap_err().to_string();
    assert!(error.contains("subject fas-msu/"), "{error}");
}

#[test]
fn the_fingerprint_covers_numbers_and_not_prose() {
    let base = Protocol::builtin("dfd-cross").unwrap().unwrap();
    let with = |change: fn(&mut Protocol)| {
        let mut p = base.clone();
        change(&mut p);
        p.fingerprint()
    };
    assert_eq!(with(|p| p.title = "other words".into()), base.fingerprint());
    assert_eq!(with(|p| p.notes.clear()), base.fingerprint());
    let changes: [fn(&mut Protocol); 6] = [
        |p| p.aggregation = Aggregation::Max,
        |p| p.selection = Selection::Oracle,
        |p| p.folds[0].tests[1].select[0].dataset = "cdfv2".into(),
        |p| p.folds[0].tests[0].in_domain = false,
        |p| p.folds[0].train[0].frames = Some(32),
        |p| p.version = 2,
    ];
    let prints: BTreeSet<String> = changes.iter().map(|c| with(*c)).chain([base.fingerprint()]).collect();
    assert_eq!(prints.len(), changes.len() + 1);
}

#[test]
fn mistakes_in_a_file_are_named_with_line_and_nearest_key() {
    let good = text("dfd-cross");
    for (from, to, want) in [
        (
            "family: deepfake-detection",
            "famly: deepfake-detection",
            "unknown field `famly`|did you mean `family`?",
        ),
        (
            "{dataset: ffpp-c23, split: train}",
            "{datset: ffpp-c23, split: train}",
            "p.yaml:13|did you mean `dataset`?",
        ),
        ("split: train", "split: trian", "unknown variant `trian`|did you mean `train`?"),
        ("selection: min-val-loss", "selection: min-val-lost", "did you mean `min-val-loss`?"),
        ("aggregation: mean", "aggregation: median", "unknown aggregation `median`|top-K|p.yaml:6"),
        ("dataset: dfdcp", "dataset: dfdc-p", "unknown data set \"dfdc-p\"|did you mean `dfdcp`?"),
        ("version: 1", "version: one", "version: invalid type: string \"one\", expected u32|p.yaml:3"),
        ("version: 1", "version: 0", "versions start at 1"),
        ("name: DFDC,", "name: DFDCP,", "test set \"DFDCP\" appears twice"),
        ("name: DFDC,", "name: dev,", "a name other than `dev`"),
        ("split: val}", "split: val}\n      hold_out: 0.2", "exactly one of `select` and `hold_out`"),
        ("dfdc, split: test", "ffpp-c23, split: train", "which is trained on"),
    ] {
        assert!(good.contains(from), "{from}");
        let message = load(&good.replacen(from, to, 1)).unwrap_err();
        for part in want.split('|') {
            assert!(message.contains(part), "{to}:\n{message}\nlacks {part}");
        }
    }
    assert!(load("a: [").unwrap_err().contains("p.yaml:"));
    assert!(load(&" ".repeat(300_000)).unwrap_err().contains("expected at most 262144"));
    let own = good.replace("dataset: ffpp-c23", "dataset: folder:mine");
    assert!(load(&own).is_ok(), "folders of one's own may be named");
    assert!(load(&good.replace("dataset: ffpp-c23", "dataset: 'folder:'")).is_err());
}

#[test]
fn aggregations_and_hold_outs_are_written_as_they_are_read() {
    for (aggregation, name) in
        [(Aggregation::Mean, "mean"), (Aggregation::Max, "max"), (Aggregation::TopK(5), "top-5")]
    {
        assert_eq!(serde_json::to_value(aggregation).unwrap(), name);
        assert_eq!(serde_json::from_value::<Aggregation>(name.into()).unwrap(), aggregation);
    }
    let dev = Dev::HoldOut { fraction: 0.2 };
    assert_eq!(serde_json::to_string(&dev).unwrap(), r#"{"hold_out":0.2}"#);
}

/// A data set with `people` per split, a real and a fake video each, three frames a video.
fn manifest(dataset: &str, people: usize, known: bool) -> Manifest {
    let mut samples = Vec::new();
    for (s, split) in [Split::Train, Split::Val, Split::Test].into_iter().enumerate() {
        for person in 0..people {
            for (label, method) in [(0, "real"), (1, "print"), (1, "Replay")] {
                for frame in 0..3 {
                    let name = format!("p{}", s * people + person);
                    samples.push(Sample {
                        dataset: dataset.into(),
                        method: method.into(),
                        video: format!("v_{name}"),
                        frame,
                        label,
                        split,
                        subjects: if known { vec![name] } else { vec![] },
                        path: format!("{dataset}/{method}/{s}/{person}/{frame}.png").into(),
                    });
                }
            }
        }
    }
    Manifest::new(dataset, samples, dataset == "own").unwrap()
}

fn fold(dev: Dev, test: Selector) -> Fold {
    Fold {
        name: "f".into(),
        train: vec![Selector::all("own", Split::Train)],
        dev,
        tests: vec![TestSet { name: "t".into(), select: vec![test], in_domain: false }],
    }
}

fn sets(manifests: Vec<Manifest>) -> BTreeMap<String, Manifest> {
    manifests.into_iter().map(|m| (m.dataset.clone(), m)).collect()
}

const HOLD: Dev = Dev::HoldOut { fraction: 0.2 };

#[test]
fn selectors_select() {
    let m = manifest("own", 4, true);
    let count = |s: Selector| (m.select(&s).len(), m.select(&s).iter().filter(|x| x.label == 0).count());
    let all = Selector::all("own", Split::Train);
    assert_eq!(count(all.clone()), (36, 12));
    assert_eq!(count(Selector { methods: vec!["replay".into()], ..all.clone() }), (24, 12));
    assert_eq!(count(Selector { reals: false, ..all.clone() }), (24, 0));
    let two = Selector { frames: Some(2), ..all.clone() };
    assert_eq!(count(two.clone()), (24, 8));
    assert!(m.select(&two).iter().all(|s| s.frame != 1), "evenly spaced means the ends");
    assert_eq!(count(Selector::all("other", Split::Train)), (0, 0));
}

#[test]
fn people_held_out_leave_training() {
    for known in [true, false] {
        let sets = sets(vec![manifest("own", 10, known)]);
        let got = fold(HOLD, Selector::all("own", Split::Test)).assemble(&sets).unwrap();
        assert_eq!(
            (got.dev.len(), got.train.len(), got.tests[0].1.len()),
            (18, 72, 90),
            "known people: {known}"
        );
        let videos = |s: &[Sample]| s.iter().map(Sample::video_id).collect::<BTreeSet<_>>();
        assert!(videos(&got.dev).is_disjoint(&videos(&got.train)));
        assert!(got.synthetic);
        assert_eq!(got, fold(HOLD, Selector::all("own", Split::Test)).assemble(&sets).unwrap());
    }
}

#[test]
fn people_who_share_a_swap_stay_together() {
    let mut m = manifest("own", 10, true);
    for s in &mut m.samples {
        // p0+p1, p2+p3, ... are in each other's fakes
        let number: usize = s.subjects[0][1..].parse().unwrap();
        if s.label == 1 {
            s.subjects.push(format!("p{}", number ^ 1));
        }
    }
    let got = fold(HOLD, Selector::all("own", Split::Test)).assemble(&sets(vec![m.clone()])).unwrap();
    assert_eq!(got.dev.len(), 18, "one of five pairs");
    for s in &mut m.samples {
        s.subjects.push("everybody".into());
    }
    let error =
        fold(HOLD, Selector::all("own", Split::Test)).assemble(&sets(vec![m])).unwrap_err().to_string();
    assert!(error.contains("hang together"), "{error}");
}

#[test]
fn leaks_stop_the_run() {
    let own = manifest("own", 4, true);
    let val = || Dev::Select(vec![Selector::all("own", Split::Val)]);
    let test = || Selector::all("own", Split::Test);
    let message = |fold: Fold, m: &Manifest| fold.assemble(&sets(vec![m.clone()])).unwrap_err().to_string();
    assert!(fold(val(), test()).assemble(&sets(vec![own.clone()])).is_ok());

    let overlap = fold(Dev::Select(vec![Selector::all("own", Split::Train)]), test());
    let text = message(overlap, &own);
    assert!(text.contains("f: sample own/Replay/v_p0/0 is in both train and dev (36 such)"), "{text}");

    let mut same_person = own.clone();
    same_person
        .samples
        .iter_mut()
        .filter(|s| s.split == Split::Test)
        .for_each(|s| s.subjects = vec!["p1".into()]);
    let text = message(fold(val(), test()), &same_person);
    assert!(
        text.contains("subject own/p1 is in both train and t") && text.contains("hint: a person on both"),
        "{text}"
    );
}

#[test]
fn people_are_compared_between_lists_of_one_source() {
    let renamed = |id: &str| {
        let mut m = manifest(id, 4, true);
        m.samples.iter_mut().for_each(|s| s.subjects = vec![s.subjects[0].clone()]);
        m
    };
    let sets = sets(vec![renamed("cdfv2"), renamed("cdfv2-noyt")]);
    let fold = Fold {
        name: "f".into(),
        train: vec![Selector::all("cdfv2", Split::Train)],
        dev: Dev::Select(vec![Selector::all("cdfv2", Split::Val)]),
        tests: vec![TestSet {
            name: "t".into(),
            select: vec![Selector::all("cdfv2-noyt", Split::Train)],
            in_domain: false,
        }],
    };
    let text = fold.assemble(&sets).unwrap_err().to_string();
    assert!(text.contains("subject celeb-df-v2/p0"), "{text}");
}

#[test]
fn what_is_missing_is_named() {
    let sets = sets(vec![manifest("own", 4, true)]);
    let message = |s: Selector| fold(HOLD, s).assemble(&sets).unwrap_err().to_string();
    assert!(message(Selector::all("dfdc", Split::Test)).contains("data set dfdc is missing; available: own"));
    let method = Selector { methods: vec!["Reply".into()], ..Selector::all("own", Split::Test) };
    assert!(message(method).contains("method \"Reply\" of own\nhint: did you mean \"Replay\"?"));
    let none = Selector { methods: vec!["print".into()], reals: false, ..Selector::all("own", Split::Test) };
    assert!(message(none).contains("t has 0 real and 12 fake samples"));
    let mut small = sets.clone();
    small.get_mut("own").unwrap().samples.retain(|s| s.split != Split::Test);
    let text = fold(HOLD, Selector::all("own", Split::Test)).assemble(&small).unwrap_err().to_string();
    assert!(
        text.contains("selects no sample of own test\nhint: the manifest has train 12 real + 24 fake"),
        "{text}"
    );
}

#[test]
fn manifests_refuse_what_would_merge_or_leak() {
    let base = manifest("own", 2, true);
    let with = |change: fn(&mut Vec<Sample>)| {
        let mut samples = base.samples.clone();
        change(&mut samples);
        Manifest::new("own", samples, false).unwrap_err().to_string()
    };
    assert!(with(|s| s.push(s[0].clone())).contains("duplicate sample own/Replay/v_p0/0"));
    assert!(with(|s| s[0].split = Split::Val).contains("in two splits, val and train"));
    assert!(with(|s| s[0].label = 0).contains("frames of both labels"));
    assert!(with(|s| s[0].label = 3).contains("label 3, expected 0"));
    assert!(with(|s| s[0].video = "a/b".into()).contains("contains a slash"));
    assert!(with(|s| s[0].subjects = vec!["a;b".into()]).contains("contains `;`"));
    assert!(with(|s| s[0].dataset = "x".into()).contains("belongs to another data set"));
    assert!(with(Vec::clear).contains("is empty"));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.csv");
    base.write_csv(&path).unwrap();
    assert_eq!(Manifest::read_csv(&path).unwrap(), Manifest { synthetic: true, ..base });
}

#[test]
fn the_example_in_the_documentation_is_a_protocol() {
    let page = include_str!("../../../docs/protocols.md");
    let example = page.split("```yaml\n").nth(1).and_then(|t| t.split("```").next()).unwrap();
    let protocol = load(example).unwrap();
    assert_eq!((protocol.id.as_str(), protocol.folds[0].tests.len()), ("mine", 3));
    for id in Protocol::builtin_ids() {
        assert!(page.contains(&format!("`{id}`")), "{id} is not in docs/protocols.md");
    }
}

#[test]
fn an_hter_is_called_dev_or_oracle() {
    use crate::Metric;
    assert!(Metric::HterDev.label().contains("dev") && !Metric::HterDev.label().contains("oracle"));
    assert!(Metric::HterOracle.label().contains("oracle"));
    // without a development set there is no HTER but the oracle's
    let protocol = Protocol::builtin("fas-limited").unwrap().unwrap();
    let row = |i: u32, label: u8| crate::ScoreRow {
        set: "C".into(),
        dataset: "fas-casia".into(),
        method: if label == 1 { "fake" } else { "real" }.into(),
        video: format!("v{i}"),
        frame: 0,
        label,
        score: f64::from(i) / 20.0,
        raw: f64::from(i),
        subjects: vec![],
    };
    let rows: Vec<_> = (0..20).map(|i| row(i, u8::from(i > 8))).collect();
    let measured = &crate::evaluate(&protocol, &protocol.folds[0], &rows).unwrap().sets[0];
    assert_eq!(measured.hter_dev, None);
    assert_eq!(protocol.primary.of(measured), None);
    assert!(measured.hter_oracle.is_finite());
}
