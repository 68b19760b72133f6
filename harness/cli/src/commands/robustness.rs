//! `facebench robustness`: the test sets of finished runs again, with damaged pictures, without training anything.
//!
//! Each damage and severity is a unit of its own in `RUNS/robustness`, named by the digest of what it did and published by
//! renaming, like every other result: it is computed once, an interrupted call goes on, two processes share the work.
//! Severity 0 is scored too, through the same path, and compared with what the run recorded.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use facebench_data::image::DECODER;
use facebench_data::transform::{Corruption, SEVERITIES};
use facebench_engine::{Device, runtime};
use facebench_host::Plugins;
use facebench_protocols::evaluate::{Options, evaluate_with};
use facebench_protocols::{Evaluation, ScoreRow, read_scores};
use facebench_reports::robustness::{self, Damage, Study};
use facebench_reports::{Format, Style, write};
use facebench_train::{Finished, Job, NamedSet, RowLog, SCORES};
use serde_json::{Value, json};

use super::finished::{self, Reopened};
use super::{report, shared};
use crate::args::RobustnessArgs;
use crate::config::nearest;
use crate::fail::{Permanent, Status};
use crate::plan::VERSION;
use crate::run::{self, Screen};
use crate::store::{self, Marker, Store};

/// Version of what is done to pictures and how it is scored; part of every digest.
const EDITION: u32 = 1;
/// Formats of the tables on disk.
const FORMATS: [Format; 6] =
    [Format::Terminal, Format::Markdown, Format::Csv, Format::CsvLong, Format::Json, Format::Latex];

/// Scores what is missing, then writes tables, curves and numbers.
pub(crate) fn run(args: &RobustnessArgs) -> Result<Status> {
    let format = report::format(&args.format, report::Files::Always)?;
    let corruptions = corruptions(&args.corruptions)?;
    let chosen = finished::choose(&args.finished)?;
    let plugins = shared::plugins(&args.finished.plugins)?;
    let device = finished::device(&args.finished)?;
    let pool = runtime::thread_pool(finished::threads(&args.finished))?;
    let stop = run::hear_signals()?;
    let root = chosen.first().and_then(|r| r.folder.parent()).unwrap_or(Path::new(".")).to_owned();
    let store = Store::open(&root.join("robustness"))?;
    let screen = Screen::new();
    let mut protocols = Vec::new();
    let mut studies = Vec::new();
    for (i, run) in chosen.iter().enumerate() {
        let say = |line: &str| eprintln!("note: {}: {line}", run.record.name);
        let opened = Reopened::open(run.clone(), &args.finished, &plugins, &say)?;
        let place = format!("[{}/{}] {}", i + 1, chosen.len(), run.record.name);
        let sweep = Sweep {
            args,
            opened: &opened,
            store: &store,
            plugins: &plugins,
            device: &device,
            stop: &stop,
            screen: &screen,
            place,
            say: &say,
        };
        match pool.install(|| sweep.study(&corruptions))? {
            Some(study) => studies.push(study),
            None => {
                eprintln!("interrupted: run the same command again to go on");
                return Ok(Status::Interrupted);
            }
        }
        if !protocols.contains(&opened.protocol) {
            protocols.push(opened.protocol);
        }
    }
    let tables = robustness::tables(&studies, &protocols)?;
    report::print(&tables, format)?;
    let out = args.out.clone().unwrap_or_else(|| root.join("reports").join("robustness"));
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let mut count = 0;
    let mut put = |name: &str, bytes: &[u8]| -> Result<()> {
        count += 1;
        finished::put(&out, name, bytes).map(|_| ())
    };
    for table in &tables {
        for format in FORMATS {
            let text = write::write(table, format, &Style::default())?;
            put(&format!("{}.{}", table.id, format.extension()), text.as_bytes())?;
        }
    }
    for figure in robustness::figures(&studies, true)? {
        put(&format!("{}.svg", figure.id), figure.svg.as_bytes())?;
        put(&format!("{}.csv", figure.id), figure.csv.as_bytes())?;
        put(&format!("{}.png", figure.id), &figure.png.unwrap_or_default())?;
    }
    put("robustness.csv", robustness::csv(&studies).as_bytes())?;
    eprintln!("{count} files in {}; scores in {}", out.display(), store.root().display());
    Ok(Status::Done)
}

/// The kinds of damage asked for.
fn corruptions(text: &str) -> Result<Vec<Corruption>> {
    if text == "all" {
        return Ok(Corruption::ALL.map(|(_, c)| c).to_vec());
    }
    let mut out = Vec::new();
    for word in text.split(',').map(str::trim) {
        let Some(c) = Corruption::named(word) else {
            let names: Vec<String> = Corruption::ALL.iter().map(|(w, _)| (*w).to_owned()).collect();
            let hint = nearest(word, &names).map_or_else(
                || format!("some of {}, or `all`", names.join(", ")),
                |n| format!("did you mean `{n}`?"),
            );
            bail!("--corruptions {word}: there is no such damage\nhint: {hint}");
        };
        if !out.contains(&c) {
            out.push(c);
        }
    }
    Ok(out)
}

/// All damages of one run.
struct Sweep<'a> {
    args: &'a RobustnessArgs,
    opened: &'a Reopened,
    store: &'a Store,
    plugins: &'a Plugins,
    device: &'a Device,
    stop: &'a AtomicBool,
    screen: &'a Screen,
    place: String,
    say: &'a (dyn Fn(&str) + Sync),
}

impl Sweep<'_> {
    /// What the run scores on clean and damaged pictures; `None` if asked to stop.
    fn study(&self, corruptions: &[Corruption]) -> Result<Option<Study>> {
        let recorded = self.recorded()?;
        let progress = self.screen.unit(&self.place);
        let threads = finished::threads(&self.args.finished);
        let job = self.opened.job(self.plugins, self.device, threads, self.stop, &progress);
        // the network is opened when the first result is missing, and then kept
        let mut network: Option<Finished> = None;
        let mut of = |what: Option<(Corruption, usize)>| -> Result<Option<PathBuf>> {
            self.unit(what, &recorded, &job, &mut network)
        };
        let Some(folder) = of(None)? else { return Ok(None) };
        let clean = read(&folder)?;
        self.compare(&folder, &recorded)?;
        let mut damaged = Vec::new();
        for c in corruptions {
            for severity in 1..=SEVERITIES {
                let Some(folder) = of(Some((*c, severity)))? else { return Ok(None) };
                let damage = Damage { corruption: c.to_string(), severity, level: c.levels()[severity - 1] };
                damaged.push((damage, read(&folder)?));
            }
        }
        Ok(Some(Study { run: self.opened.run.clone(), clean, damaged }))
    }

    fn recorded(&self) -> Result<Vec<ScoreRow>> {
        let rows = self.opened.run.scores()?;
        rows.ok_or_else(|| anyhow!("{}: has no scores.csv", self.opened.run.folder.display()))
    }

    /// The folder of one damage at one severity (none: clean), scored now if it is not there.
    fn unit<'p>(
        &'p self,
        what: Option<(Corruption, usize)>,
        recorded: &[ScoreRow],
        job: &Job<'p>,
        network: &mut Option<Finished<'p>>,
    ) -> Result<Option<PathBuf>> {
        let run = &self.opened.run.record;
        let (kind, identity) = match what {
            None => ("clean-0".to_owned(), json!({"severity": 0})),
            Some((c, s)) => (
                format!("{c}-{s}"),
                json!({"corruption": c.to_string(), "severity": s, "level": c.levels()[s - 1]}),
            ),
        };
        let identity = json!({
            "kind": "robustness", "edition": EDITION, "facebench": VERSION, "score": run.unit, "damage": identity,
            "plugins": self.stamps()?,
        });
        let digest = store::digest(&identity);
        if let Some(folder) = self.store.finished(&kind, &digest, Marker::Robustness)? {
            return Ok(Some(folder));
        }
        let Some(work) = self.store.begin(&kind, &digest)? else {
            bail!(
                "{}: another process is scoring {kind} of {}\nhint: run this again when it is done; what is finished is kept",
                self.store.root().display(),
                run.name
            );
        };
        let began = Instant::now();
        let Finished { data, scorer, .. } = match network {
            Some(opened) => opened,
            none => {
                let opened = Finished::open(&self.opened.spec, &self.opened.protocol, job)?;
                self.opened.same_samples(&opened.data)?;
                none.insert(opened)
            }
        };
        let (c, severity) = what.unwrap_or((Corruption::Jpeg, 0));
        scorer.damage(c, severity);
        let tests: Vec<NamedSet> = data.sets().into_iter().filter(|(name, _)| *name != "dev").collect();
        job.progress.phase(&kind, tests.iter().map(|(_, s)| s.len() as u64).sum());
        let partial = work.state().join(SCORES);
        let mut log = RowLog::open(&partial, &tests)?;
        if !scorer.score(&tests, &mut log, job).context(Permanent("robustness"))? {
            return Ok(None);
        }
        log.close()?;
        let path = work.dir().join(SCORES);
        std::fs::copy(&partial, &path).with_context(|| path.display().to_string())?;
        let rows = read_scores(&path)?;
        // the threshold of HTER stays the one that the clean development set chose
        let dev = recorded.iter().filter(|r| r.set == "dev").cloned();
        let all: Vec<ScoreRow> = dev.chain(rows).collect();
        let evaluation = evaluate_with(&self.opened.protocol, &data.fold, &all, &Options::default())?;
        let seconds = began.elapsed().as_secs_f64();
        let content = json!({
            "unit": digest, "plan": identity, "synthetic": run.synthetic, "decoder": DECODER,
            "images": all.len(), "seconds": seconds, "evaluation": evaluation,
        });
        let folder = work.publish(Marker::Robustness, &content)?;
        self.screen.line(&format!("{}: {kind} done in {seconds:.1} s", self.place));
        Ok(Some(folder))
    }

    /// The plugins as they are now: a rebuilt one makes other results.
    fn stamps(&self) -> Result<Vec<Value>> {
        let used = self.opened.run.record.plugins.iter();
        used.filter_map(|p| finished::kind(&p.kind).map(|kind| (kind, p)))
            .map(|(kind, p)| Ok(json!({"name": p.name, "sha256": self.plugins.info(kind, &p.name)?.sha256})))
            .collect()
    }

    /// Says how far the clean margins are from the recorded ones.
    fn compare(&self, folder: &Path, recorded: &[ScoreRow]) -> Result<()> {
        let now: Vec<f64> = read_scores(&folder.join(SCORES))?.iter().map(|r| r.raw).collect();
        let then: Vec<f64> = recorded.iter().filter(|r| r.set != "dev").map(|r| r.raw).collect();
        if now.len() != then.len() {
            bail!("{}: {} clean scores, the run recorded {}", folder.display(), now.len(), then.len());
        }
        finished::compare("clean pictures", &now, &then, self.say);
        Ok(())
    }
}

/// The evaluation of a published damage.
fn read(folder: &Path) -> Result<Evaluation> {
    let file = folder.join(Marker::Robustness.file());
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut value: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    serde_json::from_value(value["evaluation"].take()).with_context(|| file.display().to_string())
}
