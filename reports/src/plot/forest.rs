//! Forest plot: paired differences with their 95 % intervals, the honest summary of a comparison.
//!
//! One line per comparison; a filled marker where the corrected test rejects equality, an open one where it does not.

use super::axes::{self, Axes, SMALL, Scale};
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, GRID, INK, REAL};
use super::{FULL, Plot};
use crate::{Error, write::csv_line};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};
use plotters::style::{Color, RGBColor};

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What is compared, e.g. `MAE − FS-VFM`.
    pub name: String,
    /// Where, e.g. the test set.
    pub group: String,
    /// Difference.
    pub delta: f64,
    /// Ends of the 95 % interval.
    pub interval: (f64, f64),
    /// Corrected p-value.
    pub p: f64,
    /// Whether the corrected test rejects equality at 5 %.
    pub different: bool,
}

/// A figure of paired differences.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Label of the axis, e.g. `Δ video AUC (points)`.
    pub x: String,
    /// The comparisons; a new group starts with a heading.
    pub rows: Vec<Difference>,
}

const LINE: f64 = 20.0;
const TOP: f64 = 40.0;

impl Forest {
    fn lines(&self) -> usize {
        self.rows.len() + self.rows.chunk_by(|a, b| a.group == b.group).count()
    }
}

impl Plot for Forest {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let row = |r: &Difference| {
            format!(
                "{}, {}: {:+.2} from {:+.2} to {:+.2}, p {:.3}",
                r.group, r.name, r.delta, r.interval.0, r.interval.1, r.p
            )
        };
        format!(
            "Paired differences, {}, 95 % intervals. {}.",
            self.x,
            self.rows.iter().map(row).collect::<Vec<_>>().join("; ")
        )
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&["group", "comparison", "delta", "low", "high", "p_holm", "different"]);
        for r in &self.rows {
            let numbers = [r.delta, r.interval.0, r.interval.1, r.p].map(|v| v.to_string());
            let [delta, low, high, p] = &numbers;
            out.push_str(&csv_line(&[&r.group, &r.name, delta, low, high, p, &r.different.to_string()]));
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        (FULL, (TOP + LINE * self.lines() as f64 + 66.0) as u32)
    }

    fn check(&self) -> Result<(), Error> {
        let finite = self
            .rows
            .iter()
            .all(|r| [r.delta, r.interval.0, r.interval.1, r.p].iter().all(|v| v.is_finite()));
        let message = match (self.rows.is_empty(), finite) {
            (true, _) => "no comparisons",
            (_, false) => "a value is not finite",
            _ => return Ok(()),
        };
        Err(Error::Figure { figure: self.id.clone(), message: message.into() })
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let ends = self.rows.iter().flat_map(|r| [r.interval.0, r.interval.1, r.delta]);
        let x = Scale::around(ends.chain([0.0]), &self.x);
        // names get what they need, as far as the plot can spare it
        let names: Vec<&str> = self.rows.iter().map(|r| r.name.as_str()).collect();
        let widest = names.iter().map(|n| pen.width(n, SMALL, Weight::Normal)).fold(0.0, f64::max);
        let (left, right, bottom) =
            ((widest + 36.0).clamp(200.0, 310.0), 486.0, TOP + LINE * self.lines() as f64);
        let names = pen.fit_all(&names, SMALL, Weight::Normal, left - 36.0);
        let mut names = names.iter();
        let axes = Axes { left, top: TOP - 6.0, right, bottom, x, y: Scale::linear(0.0, 1.0, "") };
        for (v, text) in axes.x.ticks(5) {
            let (x, _) = axes.at(v, 0.0);
            pen.line(area, &[(x, axes.top), (x, bottom)], (GRID, 0.7, &[]))?;
            pen.text(area, &text, (x, bottom + 15.0), SMALL, (Anchor::Middle, Weight::Normal, FAINT))?;
        }
        let (zero, _) = axes.at(0.0, 0.0);
        pen.line(area, &[(zero, axes.top), (zero, bottom)], (INK, 1.0, &[3.0, 3.0]))?;
        pen.line(area, &[(left, bottom), (right, bottom)], (INK, 1.0, &[]))?;
        pen.text(
            area,
            &self.x,
            ((left + right) / 2.0, bottom + 32.0),
            SMALL,
            (Anchor::Middle, Weight::Normal, INK),
        )?;
        let mut y = TOP + 10.0;
        for group in self.rows.chunk_by(|a, b| a.group == b.group) {
            // nothing else stands on its line
            let name = pen.fit_middle(&group[0].group, SMALL, Weight::Bold, f64::from(FULL) - 24.0);
            pen.text(area, &name, (12.0, y + 4.0), SMALL, (Anchor::Left, Weight::Bold, INK))?;
            y += LINE;
            for (row, name) in group.iter().zip(names.by_ref()) {
                draw_row(area, pen, &axes, (row, name), y)?;
                y += LINE;
            }
        }
        let note = "filled: different at 95 % (Holm) · open: not different";
        pen.text(area, note, (12.0, bottom + 52.0), 9.5, (Anchor::Left, Weight::Normal, FAINT))
    }
}

fn draw_row<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    pen: &Pen,
    axes: &Axes,
    (row, name): (&Difference, &str),
    y: f64,
) -> DrawResult<DB> {
    pen.text(area, name, (22.0, y + 4.0), SMALL, (Anchor::Left, Weight::Normal, INK))?;
    let at = |v: f64| (axes.at(v, 0.0).0, y);
    pen.line(area, &[at(row.interval.0), at(row.interval.1)], (REAL, 1.8, &[]))?;
    for end in [row.interval.0, row.interval.1] {
        let (x, y) = at(end);
        pen.line(area, &[(x, y - 3.5), (x, y + 3.5)], (REAL, 1.8, &[]))?;
    }
    pen.marker(area, super::palette::Marker::Square, at(row.delta), 4.6, REAL)?;
    if !row.different {
        let (x, y) = at(row.delta);
        pen.rect(area, (x - 2.6, y - 2.6), (x + 2.6, y + 2.6), RGBColor(255, 255, 255).to_rgba())?;
    }
    let text =
        format!("{:+.1} [{:+.1}, {:+.1}]", row.delta, row.interval.0, row.interval.1).replace('-', "−");
    pen.text(area, &text, (f64::from(FULL) - 62.0, y + 4.0), 10.5, (Anchor::Right, Weight::Normal, INK))?;
    let p = if row.p < 0.001 { "p<.001".into() } else { format!("p={:.3}", row.p).replace("=0.", "=.") };
    pen.text(area, &p, (f64::from(FULL) - 12.0, y + 4.0), 10.5, (Anchor::Right, Weight::Normal, FAINT))
}
