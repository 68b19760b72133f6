//! Run folders made in code, for the tests of this crate: small, complete, deterministic.
//!
//! Scores are a quality-dependent mixture drawn from the shared random streams and evaluated by the real metrics, so
//! tables, tests and figures see what they see in use.

use facebench_protocols::{
    DataStamp, Machine, Params, PluginStamp, Protocol, ProtocolStamp, RunRecord, ScoreRow, Selection, Stream,
    Timings, evaluate, write_scores,
};
use std::path::{Path, PathBuf};

/// What a made run is.
#[derive(Clone)]
pub(crate) struct Made<'m> {
    pub(crate) protocol: &'m str,
    pub(crate) model: &'m str,
    pub(crate) pretraining: &'m str,
    pub(crate) head: &'m str,
    pub(crate) seed: u64,
    /// 0 = chance, 1 = perfect.
    pub(crate) quality: f64,
    pub(crate) selection: Selection,
    pub(crate) synthetic: bool,
    /// Stands for another edition of the test data.
    pub(crate) edition: &'m str,
}

impl Default for Made<'_> {
    fn default() -> Self {
        Made {
            protocol: "dfd-cross",
            model: "FS-VFM",
            pretraining: "faces",
            head: "linear",
            seed: 0,
            quality: 0.6,
            selection: Selection::MinValLoss,
            synthetic: true,
            edition: "1",
        }
    }
}

impl Made<'_> {
    /// Writes one run folder per fold; returns the records.
    pub(crate) fn write(&self, root: &Path) -> Vec<RunRecord> {
        let protocol = Protocol::builtin(self.protocol).unwrap().unwrap();
        protocol.folds.iter().map(|fold| self.write_fold(root, &protocol, &fold.name)).collect()
    }

    /// Writes the run folder of one fold.
    pub(crate) fn write_fold(&self, root: &Path, protocol: &Protocol, fold: &str) -> RunRecord {
        let fold = protocol.folds.iter().find(|f| f.name == fold).unwrap();
        let mut rows = self.scores("dev", 30, 2, 0.1);
        for (i, test) in fold.tests.iter().enumerate() {
            let frames = if self.protocol == "diff-unseen" { 1 } else { 2 };
            rows.extend(self.scores(&test.name, 40, frames, 0.08 * i as f64));
        }
        let unit = self.unit(&fold.name);
        let data = |name: &str| DataStamp {
            dataset: name.into(),
            samples: 80,
            videos: 40,
            sha256: format!("{}-{name}", self.edition),
            synthetic: self.synthetic,
        };
        let record = RunRecord {
            facebench: "0.1.0".into(),
            unit: unit.clone(),
            kind: "score".into(),
            name: format!(
                "{} · {} · {} {} · seed {}",
                self.model, self.head, protocol.id, fold.name, self.seed
            ),
            plan: serde_json::json!({"spec": {"seed": self.seed, "fold": fold.name, "recipe": {"epochs": 4}}}),
            synthetic: self.synthetic,
            model: self.model.into(),
            pretraining: self.pretraining.into(),
            head: self.head.into(),
            seed: self.seed,
            protocol: Some(ProtocolStamp {
                id: protocol.id.clone(),
                version: protocol.version,
                fingerprint: protocol.fingerprint(),
                fold: fold.name.clone(),
            }),
            selection: Some(self.selection),
            params: Params { total: 1_234_567, trained: if self.head == "linear" { 386 } else { 84_578 } },
            plugins: vec![PluginStamp {
                kind: "backbone".into(),
                name: "fsvfm".into(),
                version: "0.1.0".into(),
                sha256: "ab".repeat(32),
            }],
            inputs: vec!["cd".repeat(32)],
            data: fold.tests.iter().map(|t| data(&t.name)).collect(),
            git: None,
            machine: Machine {
                os: "linux x86_64".into(),
                cpu: "test".into(),
                cores: 2,
                memory_bytes: 8 << 30,
                device: "cpu".into(),
                attention: None,
                threads: 2,
            },
            decoder: Some("mozjpeg 2 & image".into()),
            timings: Timings { started_unix: 1_700_000_000, wall_s: 12.5, images: 480, images_per_s: 38.4 },
            evaluation: Some(evaluate(protocol, fold, &rows).unwrap()),
            notes: Vec::new(),
        };
        let folder = root.join(format!("score-{}", &unit[..16]));
        std::fs::create_dir_all(&folder).unwrap();
        write_scores(&folder.join("scores.csv"), &rows).unwrap();
        write_record(&folder, &record);
        record
    }

    /// 64 hex digits that depend on everything that names the run.
    fn unit(&self, fold: &str) -> String {
        let seed = self.seed.to_string();
        let selection = format!("{:?}", self.selection);
        let parts =
            [self.protocol, fold, self.model, self.pretraining, self.head, &seed, &selection, self.edition];
        let mut stream = Stream::new("test-unit", u64::from(self.synthetic), &parts);
        (0..4).map(|_| format!("{:016x}", stream.next_u64())).collect()
    }

    fn scores(&self, set: &str, videos: usize, frames: u32, harder: f64) -> Vec<ScoreRow> {
        let mut rows = Vec::new();
        let seed = self.seed.to_string();
        let mut stream = Stream::new("test-scores", 0, &[self.model, self.head, set, &seed]);
        let mut common = Stream::new("test-videos", 0, &[set]);
        for video in 0..videos {
            let label = u8::from(video % 2 == 1);
            let shift = (self.quality - harder) * if label == 1 { 0.5 } else { -0.5 };
            let base = 0.5 + shift + 0.16 * common.normal() + 0.04 * stream.normal();
            for frame in 0..frames {
                let score = (base + 0.03 * stream.normal()).clamp(0.001, 0.999);
                let method = if label == 1 { "DeepFakes" } else { "youtube" };
                rows.push(ScoreRow {
                    set: set.into(),
                    dataset: set.to_lowercase(),
                    method: method.into(),
                    video: format!("v{video:03}"),
                    frame,
                    label,
                    score,
                    raw: (score / (1.0 - score)).ln(),
                    subjects: vec![format!("s{video}")],
                });
            }
        }
        rows
    }
}

/// Writes `run.json`.
pub(crate) fn write_record(folder: &Path, record: &RunRecord) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("run.json"), serde_json::to_string(record).unwrap()).unwrap();
}

/// A pre-training run with curves and pictures.
pub(crate) fn write_pretraining(root: &Path, name: &str) -> PathBuf {
    let unit = name.bytes().map(|b| format!("{b:02x}")).collect::<String>().repeat(32);
    let folder = root.join(format!("pretrain-{}", &unit[..16]));
    let record = RunRecord {
        unit,
        kind: "pretrain".into(),
        name: name.into(),
        pretraining: name.into(),
        synthetic: true,
        ..RunRecord::default()
    };
    write_record(&folder, &record);
    let mut curves = String::from("epoch,loss,rec,similarity,lr\n");
    for epoch in 0..12 {
        let loss = 0.8 * (-f64::from(epoch) / 4.0).exp() + 0.2;
        curves.push_str(&format!("{epoch},{loss},{},{},0.001\n", loss * 0.9, -0.2 - 0.01 * f64::from(epoch)));
    }
    std::fs::write(folder.join("curves.csv"), curves).unwrap();
    let pictures = folder.join("pictures");
    std::fs::create_dir_all(&pictures).unwrap();
    for (kind, _) in crate::grid::KINDS {
        for i in 0..3_u8 {
            let picture = image::RgbImage::from_fn(32, 32, |x, y| {
                image::Rgb([(x * 8) as u8, (y * 8) as u8, kind.bytes().fold(i * 80, u8::wrapping_add)])
            });
            picture
                .save_with_format(pictures.join(format!("{i}-{kind}.png")), image::ImageFormat::Png)
                .unwrap();
        }
    }
    folder
}

/// A folder like the demo's: three models, two heads, three protocols, pre-trainings, one oracle run.
pub(crate) fn demo(root: &Path) {
    for protocol in ["dfd-cross", "fas-mcio", "diff-unseen"] {
        for (model, pretraining, quality) in
            [("random", "none", 0.15), ("MAE", "mae", 0.42), ("FS-VFM", "fsvfm", 0.5)]
        {
            for (head, more) in [("linear", 0.0), ("fs-adapter", 0.07)] {
                let made =
                    Made { protocol, model, pretraining, head, quality: quality + more, ..Made::default() };
                made.write(root);
            }
        }
    }
    Made { quality: 0.9, selection: Selection::Oracle, ..Made::default() }.write(root);
    write_pretraining(root, "fsvfm");
    write_pretraining(root, "mae");
    std::fs::create_dir_all(root.join(".tmp-unfinished")).unwrap();
    std::fs::write(root.join(".tmp-unfinished/run.json"), "{").unwrap();
    std::fs::create_dir_all(root.join("data-0000")).unwrap();
    std::fs::write(root.join("data-0000/data.json"), "{}").unwrap();
}
