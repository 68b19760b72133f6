//! Watching a run while it goes on: speed, curves, TensorBoard events, pictures, and the remains of a failed step.
//!
//! Everything is written below `Job::state` while the run goes on and moved into the result at the end, so that it
//! survives an interruption. What is shown has no influence on what is computed.

pub(crate) mod dump;
pub(crate) mod grid;
pub(crate) mod letters;
pub(crate) mod tensorboard;

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use facebench_data::image::{Rgb, encode_png_bytes};
use serde::{Deserialize, Serialize};

use crate::curves::{Curves, Means};
use crate::error::{Result, at};
use tensorboard::{EVENTS, Events};

/// Points of a whole run in the event file.
const POINTS: u64 = 2000;
/// Seconds over which speed is averaged.
const WINDOW: f64 = 5.0;

/// One point of the event file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Point {
    step: u64,
    wall: f64,
    values: Vec<f64>,
}

/// What has been shown so far; part of the resume state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trace {
    points: Vec<Point>,
    since: Means,
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// Bytes of memory this process holds; `None` where the system does not say.
pub(crate) fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Images a second and share of time spent waiting for data, over the last seconds.
pub(crate) struct Speed {
    mark: (Instant, u64, f64),
    /// Images a second
    pub(crate) images: f64,
    /// Share of the time
    pub(crate) waiting: f64,
}

impl Speed {
    pub(crate) fn new() -> Self {
        Self { mark: (Instant::now(), 0, 0.0), images: 0.0, waiting: 0.0 }
    }

    /// Hears the totals of this process.
    pub(crate) fn hear(&mut self, images: u64, waited: f64) {
        let (since, images_then, waited_then) = self.mark;
        let seconds = since.elapsed().as_secs_f64();
        if self.images == 0.0 || seconds >= WINDOW {
            self.images = (images - images_then) as f64 / seconds.max(1e-9);
            self.waiting = ((waited - waited_then) / seconds.max(1e-9)).clamp(0.0, 1.0);
        }
        if seconds >= WINDOW {
            self.mark = (Instant::now(), images, waited);
        }
    }
}

/// The files of a run.
pub(crate) struct Watch {
    folder: PathBuf,
    events: Events,
    tags: Vec<String>,
    every: u64,
    synthetic: bool,
}

impl Watch {
    /// Opens the files below `state`; what `trace` holds is written again.
    pub(crate) fn open(
        state: &Path,
        columns: &[String],
        trace: &Trace,
        steps: u64,
        synthetic: bool,
    ) -> Result<Self> {
        let folder = state.join("watch");
        let pictures = folder.join("grids");
        std::fs::create_dir_all(&pictures).map_err(at(&pictures))?;
        let mut tags: Vec<String> = columns.iter().map(|c| format!("train/{c}")).collect();
        tags.extend(["speed/images_per_s".to_owned(), "speed/data_wait".to_owned()]);
        let events = Events::create(&folder, now())?;
        let mut watch = Self { folder, events, tags, every: steps.div_ceil(POINTS).max(1), synthetic };
        for point in &trace.points {
            watch.point(point)?;
        }
        Ok(watch)
    }

    fn point(&mut self, point: &Point) -> Result<()> {
        let named: Vec<(String, f64)> = self.tags.iter().cloned().zip(point.values.iter().copied()).collect();
        self.events.scalars(point.wall, point.step, &named)
    }

    /// Notes one step's values; every few of them become a point.
    pub(crate) fn step(&mut self, trace: &mut Trace, step: u64, values: &[f64], speed: &Speed) -> Result<()> {
        trace.since.add(values);
        if !(step + 1).is_multiple_of(self.every) {
            return Ok(());
        }
        let mut values = std::mem::take(&mut trace.since).means();
        values.extend([speed.images, speed.waiting]);
        let point = Point { step: step + 1, wall: now(), values };
        self.point(&point)?;
        trace.points.push(point);
        Ok(())
    }

    /// The curves so far.
    pub(crate) fn curves(&self, curves: &Curves) -> Result<()> {
        curves.write_csv(&self.folder.join("curves.csv"))
    }

    /// A picture of the run after `epoch` epochs.
    pub(crate) fn picture(&mut self, epoch: usize, step: u64, picture: &Rgb) -> Result<()> {
        let text: &[(&str, &str)] =
            if self.synthetic { &[("synthetic", "facebench synthetic faces")] } else { &[] };
        let png = encode_png_bytes(picture, text)?;
        let path = self.folder.join("grids").join(format!("epoch-{epoch:04}.png"));
        std::fs::write(&path, &png).map_err(at(&path))?;
        self.events.image(now(), step, "pictures", (picture.width, picture.height), &png)
    }

    /// Copies events and pictures into the result.
    pub(crate) fn publish(&self, dir: &Path) -> Result<()> {
        let copy = |from: &Path, to: &Path| std::fs::copy(from, to).map(drop).map_err(at(to));
        copy(&self.folder.join(EVENTS), &dir.join(EVENTS))?;
        let (from, to) = (self.folder.join("grids"), dir.join("grids"));
        std::fs::create_dir_all(&to).map_err(at(&to))?;
        for entry in std::fs::read_dir(&from).map_err(at(&from))? {
            let entry = entry.map_err(at(&from))?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    }
}
