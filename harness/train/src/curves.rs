//! Training curves: one row per epoch, kept in memory, written as `curves.csv`.
//!
//! Values are f64 means over the epoch's steps; columns are fixed by the loop that makes them.
//! The rows travel with the resume state, so an interrupted run ends with the same file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Result, at};

/// A table of numbers per epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// Names of the columns after `epoch`
    pub columns: Vec<String>,
    /// One row per finished epoch
    pub rows: Vec<Vec<f64>>,
}

impl Curves {
    /// An empty table with these columns.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|c| (*c).to_owned()).collect(), rows: Vec::new() }
    }

    /// Writes `epoch,<columns>` with shortest round-trip numbers.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut text = format!("epoch,{}\n", self.columns.join(","));
        for (epoch, row) in self.rows.iter().enumerate() {
            let values: Vec<String> = row.iter().map(ToString::to_string).collect();
            text += &format!("{epoch},{}\n", values.join(","));
        }
        std::fs::write(path, text).map_err(at(path))
    }
}

/// Running means of an epoch, exact to resume: sums and a count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Means {
    sums: Vec<f64>,
    steps: u64,
}

impl Means {
    /// Adds the values of one step.
    pub fn add(&mut self, values: &[f64]) {
        self.sums.resize(values.len(), 0.0);
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum += value;
        }
        self.steps += 1;
    }

    /// Means so far; empty before the first step.
    pub fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|s| s / self.steps as f64).collect()
    }
}
