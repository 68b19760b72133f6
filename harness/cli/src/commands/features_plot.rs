//! `facebench features --plot`: pooled features laid out by t-SNE, colour by data set or method, filled for fake.
//!
//! Pictures are chosen evenly over the manifests, so the same files give the same figure. Only the chosen rows are kept
//! in memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use facebench_protocols::Sample;
use facebench_reports::plot::{Dot, Scatter, render};
use facebench_reports::tsne::tsne;

/// Points in a figure: more cannot be told apart, and the layout takes time with their square.
const POINTS: usize = 1500;
/// Neighbours a point feels, as most papers have it.
const PERPLEXITY: f64 = 30.0;
/// Fewest points that say something.
const FEWEST: usize = 8;

/// A figure in the making.
pub(crate) struct Plot {
    file: PathBuf,
    png: bool,
    title: String,
    synthetic: bool,
    /// Every picture; those that are shown have their features in `rows`, in order.
    samples: Vec<Sample>,
    rows: Vec<f32>,
    shown: Vec<usize>,
}

impl Plot {
    /// Refuses what cannot be drawn before anything is computed.
    pub(crate) fn new(file: &Path, backbone: &str, samples: &[Sample], synthetic: bool) -> Result<Self> {
        let png = match file.extension().and_then(|e| e.to_str()) {
            Some("svg") => false,
            Some("png") => true,
            _ => {
                bail!("--plot {}: not a figure\nhint: name a file that ends in .svg or .png", file.display())
            }
        };
        if samples.len() < FEWEST {
            bail!("--plot needs at least {FEWEST} pictures, the manifest has {}", samples.len());
        }
        let title = format!("Features of {backbone}");
        let (samples, rows, shown) = (samples.to_vec(), Vec::new(), Vec::new());
        Ok(Self { file: file.to_owned(), png, title, synthetic, samples, rows, shown })
    }

    /// Takes the features of the pictures from number `first` on, as far as they are shown.
    pub(crate) fn take(&mut self, first: usize, features: &[f32], width: usize) {
        let (total, most) = (self.samples.len(), self.samples.len().min(POINTS));
        for (index, row) in (first..).zip(features.chunks_exact(width)) {
            // the first picture of each of `most` equal parts
            if index * most % total < most {
                self.rows.extend_from_slice(row);
                self.shown.push(index);
            }
        }
    }

    /// Lays out, draws and writes the figure and its data; returns the files.
    pub(crate) fn finish(self) -> Result<Vec<PathBuf>> {
        let (n, total) = (self.shown.len(), self.samples.len());
        let began = Instant::now();
        let places = tsne(&self.rows, n, self.rows.len() / n.max(1), PERPLEXITY);
        let datasets: BTreeSet<&str> = self.samples.iter().map(|s| s.dataset.as_str()).collect();
        let domain = |s: &Sample| if datasets.len() > 1 { s.dataset.clone() } else { s.method.clone() };
        let dot = |(&index, at): (&usize, (f64, f64))| {
            let s = &self.samples[index];
            Dot { id: s.id(), domain: domain(s), fake: s.label == 1, at }
        };
        let perplexity = PERPLEXITY.min((n as f64 - 1.0) / 3.0);
        let of = if n < total { format!("{n} of {total} pictures") } else { format!("{n} pictures") };
        let scatter = Scatter {
            id: "tsne".into(),
            title: self.title + if self.synthetic { " · synthetic" } else { "" },
            caption: format!("t-SNE, perplexity {perplexity:.0}, {of}, started from two principal axes."),
            dots: self.shown.iter().zip(places).map(dot).collect(),
        };
        let figure = render(&scatter, self.png)?;
        let bytes = figure.png.unwrap_or_else(|| figure.svg.into_bytes());
        let data = self.file.with_extension("csv");
        for (file, bytes) in [(&self.file, bytes), (&data, figure.csv.into_bytes())] {
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            std::fs::write(file, bytes).with_context(|| file.display().to_string())?;
        }
        eprintln!("{of} laid out in {:.0} s: {}", began.elapsed().as_secs_f64(), self.file.display());
        Ok(vec![self.file, data])
    }
}
