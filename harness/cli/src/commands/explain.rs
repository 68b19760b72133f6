//! `facebench explain`: the worst mistakes of finished runs, and maps of what the network looked at.
//!
//! The list comes from the recorded scores alone. For the pictures the network is opened again and every frame scored
//! once more; a margin that is not the recorded one is said, since the maps would then explain another network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use facebench_engine::{Device, runtime};
use facebench_host::Plugins;
use facebench_protocols::{Sample, ScoreRow};
use facebench_reports::worst::{self, Kind, Threshold, Worst};
use facebench_reports::{Format, Run, explain as drawn};
use facebench_train::explain::{Evidence, Explained, Method, explain};
use facebench_train::frames::FoldData;
use facebench_train::{Finished, Job, Scorer};

use super::finished::{self, Reopened};
use super::{report, shared};
use crate::args::{ExplainArgs, Side};
use crate::config::nearest;
use crate::fail::{Permanent, Status};
use crate::run::{self, Screen};

/// Runs explained in one call; more are a slip rather than a wish.
const MOST: usize = 24;

/// Chooses the runs, lists, draws.
pub(crate) fn run(args: &ExplainArgs) -> Result<Status> {
    let format = report::format(&args.format, report::Files::Always)?;
    let threshold = fixed_threshold(&args.threshold)?;
    let methods = methods(&args.method)?;
    let chosen = finished::choose(&args.finished)?;
    if chosen.len() > MOST {
        bail!(
            "{} scored units are meant, at most {MOST} at a time\nhint: {}",
            chosen.len(),
            choices(&chosen)
        );
    }
    let plugins = shared::plugins(&args.finished.plugins)?;
    let device = finished::device(&args.finished)?;
    let pool = runtime::thread_pool(finished::threads(&args.finished))?;
    let stop = run::hear_signals()?;
    let mut written = Vec::new();
    for run in chosen {
        let work = Work {
            args,
            plugins: &plugins,
            device: &device,
            stop: &stop,
            format,
            threshold: threshold.clone(),
            methods: &methods,
        };
        let files = pool.install(|| work.one(&run))?;
        let Some(files) = files else {
            eprintln!("interrupted");
            return Ok(Status::Interrupted);
        };
        written.extend(files);
    }
    for file in &written {
        eprintln!("{}", file.display());
    }
    if written.iter().any(|f| f.extension().is_some_and(|e| e == "png")) {
        eprintln!("the pictures show faces of the test sets; nothing else of this program writes them");
    }
    Ok(Status::Done)
}

/// A threshold from the command line; `None` for the report's.
fn fixed_threshold(text: &str) -> Result<Option<Threshold>> {
    if text == "auto" {
        return Ok(None);
    }
    let at = text.parse::<f64>().ok().filter(|t| (0.0..=1.0).contains(t));
    let at = at.ok_or_else(|| anyhow!("--threshold {text}: expected `auto` or a score between 0 and 1"))?;
    Ok(Some(Threshold { at, from: "given with --threshold".into() }))
}

/// The methods asked for; none for `auto`.
fn methods(text: &str) -> Result<Vec<Method>> {
    if text == "auto" {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for word in text.split(',').map(str::trim) {
        let Some((_, method)) = Method::ALL.iter().find(|(w, _)| *w == word) else {
            let names: Vec<String> = Method::ALL.iter().map(|(w, _)| (*w).to_owned()).collect();
            let hint = nearest(word, &names).map_or_else(
                || format!("one or more of {}, or `auto`", names.join(", ")),
                |n| format!("did you mean `{n}`?"),
            );
            bail!("--method {word}: there is no such method\nhint: {hint}");
        };
        if !out.contains(method) {
            out.push(*method);
        }
    }
    Ok(out)
}

/// What one could narrow by.
fn choices(runs: &[Run]) -> String {
    let of = |what: &str, get: &dyn Fn(&Run) -> String| {
        let mut names: Vec<String> = runs.iter().map(get).collect();
        names.sort();
        names.dedup();
        (names.len() > 1).then(|| format!("--{what} ({})", names.join(", ")))
    };
    let protocol = |r: &Run| r.record.protocol.clone().unwrap_or_default();
    let parts = [
        of("model", &|r| r.record.model.clone()),
        of("head", &|r| r.record.head.clone()),
        of("protocol", &|r| protocol(r).id),
        of("fold", &|r| protocol(r).fold),
        of("seed", &|r| r.record.seed.to_string()),
    ];
    format!("choose by {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// What all runs of one call share.
struct Work<'a> {
    args: &'a ExplainArgs,
    plugins: &'a Plugins,
    device: &'a Device,
    stop: &'a std::sync::atomic::AtomicBool,
    format: Format,
    threshold: Option<Threshold>,
    methods: &'a [Method],
}

impl Work<'_> {
    /// Lists and draws the mistakes of one run; returns the files, `None` if asked to stop.
    fn one(&self, run: &Run) -> Result<Option<Vec<PathBuf>>> {
        let say = |line: &str| eprintln!("note: {}: {line}", run_name(run));
        let opened = Reopened::open(run.clone(), &self.args.finished, self.plugins, &say)?;
        let worst = self.worst(run, &opened)?;
        report::print(&[worst::table(run, &worst)], self.format)?;

        let screen = Screen::new();
        let progress = screen.unit(&run_name(run));
        let threads = finished::threads(&self.args.finished);
        let job = opened.job(self.plugins, self.device, threads, self.stop, &progress);
        let network = match self.args.no_pictures {
            true => None,
            false => Some(Finished::open(&opened.spec, &opened.protocol, &job)?),
        };
        let listed;
        let data = match &network {
            Some(network) => &network.data,
            None => {
                listed = FoldData::open(&opened.protocol, &opened.spec.tune.fold, &job.data_root)?;
                &listed
            }
        };
        opened.same_samples(data)?;
        let files: BTreeMap<String, Sample> =
            data.assembled.tests.iter().flat_map(|(_, s)| s).map(|s| (s.id(), s.clone())).collect();
        let folder = self.folder(run);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let mut out = Files { folder, written: Vec::new() };
        let path =
            |r: &ScoreRow| files.get(&r.id()).map_or_else(String::new, |s| s.path.display().to_string());
        out.write("worst.csv", worst::csv(&worst, path).as_bytes())?;
        let Some(Finished { scorer, .. }) = &network else { return Ok(Some(out.written)) };
        let mut methods = self.methods.to_vec();
        for w in worst.iter().filter(|w| !w.shown.is_empty()) {
            let shown = &w.shown[..w.shown.len().min(drawn::ACROSS)];
            let samples: Vec<Sample> = shown
                .iter()
                .map(|m| files.get(&m.frame.id()).cloned())
                .collect::<Option<_>>()
                .ok_or_else(|| anyhow!("{}: a scored frame is not in the data", w.set))?;
            if methods.is_empty() {
                methods = automatic(scorer, &samples, &job, &say)?;
            }
            let evidence = match self.args.evidence {
                Side::Fake => Evidence::Fake,
                Side::Real => Evidence::Real,
            };
            let Some(explained) =
                explain(scorer, &samples, &methods, evidence, &job).context(Permanent("explain"))?
            else {
                return Ok(None);
            };
            let then: Vec<f64> = shown.iter().map(|m| m.frame.raw).collect();
            finished::compare(&w.set, &explained.margins, &then, &say);
            self.draw(run, w, explained, &mut out)?;
        }
        Ok(Some(out.written))
    }

    fn worst(&self, run: &Run, opened: &Reopened) -> Result<Vec<Worst>> {
        let rows = run.scores()?;
        let rows = rows.ok_or_else(|| anyhow!("{}: has no scores.csv", run.folder.display()))?;
        let mut sets: Vec<String> =
            run.record.evaluation.iter().flat_map(|e| &e.sets).map(|m| m.set.clone()).collect();
        if let Some(wanted) = &self.args.set {
            if !sets.contains(wanted) {
                let near =
                    nearest(wanted, &sets).map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
                bail!(
                    "--set {wanted}: {} has no such test set\nhint: {near}there are: {}",
                    run_name(run),
                    sets.join(", ")
                );
            }
            sets.retain(|s| s == wanted);
        }
        let mut out = Vec::new();
        for set in &sets {
            let threshold = self.threshold.clone().unwrap_or_else(|| Threshold::of(run, set));
            for kind in Kind::ALL {
                let (aggregation, top) = (opened.protocol.aggregation, usize::from(self.args.top));
                out.push(worst::worst(&rows, set, kind, &threshold, aggregation, top)?);
            }
        }
        Ok(out)
    }

    fn draw(&self, run: &Run, worst: &Worst, explained: Explained, out: &mut Files) -> Result<()> {
        let side = match self.args.evidence {
            Side::Fake => "fake",
            Side::Real => "real",
        };
        let maps: Vec<drawn::Maps> = explained
            .maps
            .into_iter()
            .map(|m| {
                let (caption, note) = match m.method {
                    Method::Rollout => {
                        ("attention", format!("roll-out, {}; does not know the score", m.site))
                    }
                    Method::Gradient => {
                        ("gradient", format!("gradient × activation of the {}, evidence for {side}", m.site))
                    }
                    Method::GradCam => {
                        ("Grad-CAM", format!("Grad-CAM of the {}, evidence for {side}", m.site))
                    }
                };
                drawn::Maps {
                    method: m.method.word().into(),
                    caption: caption.into(),
                    note,
                    values: m.values,
                }
            })
            .collect();
        let pictures = explained.pictures.into_iter().map(|p| drawn::picture(p.width, p.height, p.pixels));
        let pictures: Vec<_> =
            pictures.collect::<Option<_>>().ok_or_else(|| anyhow!("a picture of another size"))?;
        let grid = drawn::grid(run, worst, &pictures, &maps, explained.grid);
        out.write(&format!("{}.png", grid.id), &grid.png()?)?;
        out.write(&format!("{}.csv", grid.id), drawn::csv(worst, &maps, explained.grid).as_bytes())
    }

    fn folder(&self, run: &Run) -> PathBuf {
        let unit = format!("score-{}", crate::store::short(&run.record.unit));
        match &self.args.out {
            Some(out) => out.join(unit),
            None => run.folder.parent().unwrap_or(Path::new(".")).join("reports").join("explain").join(unit),
        }
    }
}

/// Roll-out where the backbone has attention, and gradients.
fn automatic(scorer: &Scorer, samples: &[Sample], job: &Job, say: &dyn Fn(&str)) -> Result<Vec<Method>> {
    let mut usable = Vec::new();
    let mut refused = None;
    for method in [Method::Rollout, Method::Gradient] {
        match explain(scorer, &samples[..1], &[method], Evidence::Fake, job) {
            Ok(_) => usable.push(method),
            Err(error @ facebench_train::Error::Spec(_)) => {
                say(&format!(
                    "no {}: {}",
                    method.word(),
                    error.to_string().lines().next().unwrap_or_default()
                ));
                refused = Some(error);
            }
            Err(other) => return Err(other).context(Permanent("explain")),
        }
    }
    match refused {
        Some(error) if usable.is_empty() => Err(error).context(Permanent("explain")),
        _ => Ok(usable),
    }
}

fn run_name(run: &Run) -> String {
    if run.record.name.is_empty() { run.short() } else { run.record.name.clone() }
}

/// The files of a run's explanation.
struct Files {
    folder: PathBuf,
    written: Vec<PathBuf>,
}

impl Files {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.written.push(finished::put(&self.folder, name, bytes)?);
        Ok(())
    }
}
