//! Bars with 95 % whiskers, for ablations and comparisons: categories across, series side by side.
//!
//! The axis starts at zero, or at a stated level of chance, and says so; a bar that starts elsewhere lies.

use super::axes::{self, Axes, SMALL, Scale};
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, INK, look};
use super::{FULL, Plot, legend};
use crate::{Error, write::csv_line};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};
use plotters::style::Color;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Category, e.g. the test set.
    pub category: String,
    /// Series, e.g. the pre-training.
    pub series: String,
    /// Height.
    pub value: f64,
    /// Ends of the whisker.
    pub interval: Option<(f64, f64)>,
}

/// A figure of bars.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Label of the value axis.
    pub y: String,
    /// Level at which bars start; 0, or chance.
    pub base: f64,
    /// The bars; order of first appearance is kept.
    pub bars: Vec<Bar>,
}

impl Bars {
    fn names(&self, of: fn(&Bar) -> &String) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for bar in &self.bars {
            if !names.contains(&of(bar).as_str()) {
                names.push(of(bar));
            }
        }
        names
    }
}

impl Plot for Bars {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let list: Vec<String> =
            self.bars.iter().map(|b| format!("{} on {}: {:.2}", b.series, b.category, b.value)).collect();
        format!("{} as bars from {}. {}.", self.y, axes::plain(self.base, 2), list.join("; "))
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&["category", "series", "value", "low", "high"]);
        for bar in &self.bars {
            let (low, high) = bar.interval.map(|(l, h)| (l.to_string(), h.to_string())).unwrap_or_default();
            out.push_str(&csv_line(&[&bar.category, &bar.series, &bar.value.to_string(), &low, &high]));
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        let entries = u32::try_from(self.names(|b| &b.series).len()).unwrap_or(u32::MAX).min(60);
        (FULL, 320.max(70 + entries * legend::LINE as u32))
    }

    fn check(&self) -> Result<(), Error> {
        let fail = |message: &str| Err(Error::Figure { figure: self.id.clone(), message: message.into() });
        let numbers =
            self.bars.iter().flat_map(|b| [Some(b.value), b.interval.map(|i| i.0), b.interval.map(|i| i.1)]);
        match numbers.flatten().chain([self.base]).all(f64::is_finite) {
            _ if self.bars.is_empty() => fail("no bars"),
            false => fail("a value is not finite"),
            true => Ok(()),
        }
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let (categories, series) = (self.names(|b| &b.category), self.names(|b| &b.series));
        let ends = self.bars.iter().flat_map(|b| {
            [b.value, b.interval.map_or(b.value, |i| i.0), b.interval.map_or(b.value, |i| i.1)]
        });
        let mut y = Scale::around(ends.chain([self.base]), &self.y);
        if self.bars.iter().all(|b| b.value >= self.base && b.interval.is_none_or(|i| i.0 >= self.base)) {
            y.min = self.base;
        }
        let axes =
            Axes { left: 58.0, top: 38.0, right: 448.0, bottom: 272.0, x: Scale::linear(0.0, 1.0, ""), y };
        axes.draw(area, pen, (false, true))?;
        let slot = (axes.right - axes.left) / categories.len() as f64;
        let width = (slot * 0.8 / series.len() as f64).min(46.0);
        let (_, base) = axes.at(0.0, self.base);
        for bar in &self.bars {
            let c = categories.iter().position(|n| *n == bar.category).expect("listed above") as f64;
            let s = series.iter().position(|n| *n == bar.series).expect("listed above");
            let middle = axes.left + slot * (c + 0.5) + width * (s as f64 + 0.5 - series.len() as f64 / 2.0);
            let (_, top) = axes.at(0.0, bar.value);
            pen.rect(
                area,
                (middle - width * 0.44, top.min(base)),
                (middle + width * 0.44, top.max(base)),
                look(s).colour.mix(0.85),
            )?;
            let high = bar.interval.map_or(top, |i| axes.at(0.0, i.1).1);
            if let Some((low, _)) = bar.interval {
                let (_, low) = axes.at(0.0, low);
                pen.line(area, &[(middle, low), (middle, high)], (INK, 1.1, &[]))?;
                for at in [low, high] {
                    pen.line(area, &[(middle - 3.0, at), (middle + 3.0, at)], (INK, 1.1, &[]))?;
                }
            }
            pen.marker(area, look(s).marker, (middle, high.min(top) - 7.0), 2.8, look(s).colour)?;
        }
        pen.line(area, &[(axes.left, base), (axes.right, base)], (INK, 1.0, &[]))?;
        for (c, name) in categories.iter().enumerate() {
            let name = pen.fit(name, SMALL, Weight::Normal, slot - 6.0);
            let x = axes.left + slot * (c as f64 + 0.5);
            pen.text(area, &name, (x, axes.bottom + 16.0), SMALL, (Anchor::Middle, Weight::Normal, INK))?;
        }
        let note = format!("bars start at {}", axes::plain(self.base, 2));
        pen.text(area, &note, (axes.left, axes.bottom + 34.0), 9.5, (Anchor::Left, Weight::Normal, FAINT))?;
        let entries: Vec<(String, String)> =
            series.iter().map(|s| ((*s).to_owned(), String::new())).collect();
        legend::draw(area, pen, &entries, (466.0, 48.0, f64::from(FULL) - 466.0 - 12.0))
    }
}
