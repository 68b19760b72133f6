//! Pictures of mistakes with maps of what the network looked at, and the numbers behind them.
//!
//! One grid for each test set and kind of mistake: a column per mistake, worst first, with score and label above, the
//! network's input on top and a row for each kind of map below. Every map is scaled to its own largest value, so colours
//! compare places within a picture, not pictures; the numbers as they are stand in the CSV beside.

use crate::figures::slug;
use crate::grid::Grid;
use crate::overlay::overlay;
use crate::runs::Run;
use crate::table::fixed;
use crate::worst::Worst;
use crate::write::csv_line;
use image::RgbImage;

/// Most mistakes side by side.
pub const ACROSS: usize = 8;
/// Smallest side of a picture in pixels: room for the captions above it.
const SIDE: u32 = 232;

/// Maps of one method, in the order of the pictures.
#[derive(Clone, Debug)]
pub struct Maps {
    /// Word users type, e.g. `rollout`
    pub method: String,
    /// Caption of the row
    pub caption: String,
    /// What the note below the grid says of it
    pub note: String,
    /// Rows × columns numbers ≥ 0 for each picture
    pub values: Vec<Vec<f64>>,
}

/// A picture of bytes, (height, width, 3) row-major; `None` if there are not as many.
pub fn picture(width: usize, height: usize, pixels: Vec<u8>) -> Option<RgbImage> {
    RgbImage::from_raw(u32::try_from(width).ok()?, u32::try_from(height).ok()?, pixels)
}

/// File-name-safe name of the grid of `worst`.
pub fn id(worst: &Worst) -> String {
    slug(&[&worst.set, worst.kind.id()])
}

/// The grid: `pictures` are those of `worst.shown`, in that order; the first [`ACROSS`] are drawn.
pub fn grid(run: &Run, worst: &Worst, pictures: &[RgbImage], maps: &[Maps], size: (usize, usize)) -> Grid {
    let pictures = &pictures[..pictures.len().min(ACROSS)];
    let heads = worst.shown.iter().take(pictures.len()).map(|m| {
        let label = if m.frame.label == 1 { "fake" } else { "real" };
        let method =
            if m.frame.method == label { label.into() } else { format!("{label}: {}", m.frame.method) };
        let mut lines =
            vec![format!("{}. P(fake) {}", m.rank, fixed(m.score, 0, 3)), method, m.frame.video.clone()];
        if m.frames > 1 {
            lines.push(format!("frame {}: {}", m.frame.frame, fixed(m.frame.score, 0, 3)));
        }
        lines
    });
    let mut rows = vec![("input".to_owned(), pictures.to_vec())];
    for m in maps {
        let drawn = pictures.iter().zip(&m.values).map(|(p, v)| overlay(p, v, size)).collect();
        rows.push((m.caption.clone(), drawn));
    }
    let mark = if run.record.synthetic { " · synthetic" } else { "" };
    let mut note = vec![
        run.record.name.clone(),
        format!("threshold {} ({})", fixed(worst.threshold.at, 0, 4), worst.threshold.from),
    ];
    note.extend(maps.iter().map(|m| format!("{}: {}", m.caption, m.note)));
    Grid {
        id: id(worst),
        title: format!("{} · {} ({} of {}){mark}", worst.set, worst.kind.words(), worst.wrong, worst.of),
        rows,
        heads: heads.collect(),
        note: note.join("\n"),
        side: SIDE,
        scale: (!maps.is_empty()).then(|| ("0".into(), "most of this picture".into())),
    }
}

/// The maps as CSV: a line for each cell.
pub fn csv(worst: &Worst, maps: &[Maps], (_, columns): (usize, usize)) -> String {
    let mut out = csv_line(&["set", "kind", "rank", "sample", "method", "row", "column", "value"]);
    for (i, mistake) in worst.shown.iter().enumerate() {
        for m in maps {
            for (at, value) in m.values.get(i).into_iter().flatten().enumerate() {
                out.push_str(&csv_line(&[
                    &worst.set,
                    worst.kind.id(),
                    &mistake.rank.to_string(),
                    &mistake.frame.id(),
                    &m.method,
                    &(at / columns).to_string(),
                    &(at % columns).to_string(),
                    &value.to_string(),
                ]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worst::{Kind, Threshold, worst};
    use facebench_protocols::{Aggregation, ScoreRow};

    fn made() -> (Run, Worst) {
        let row = |video: &str, score: f64| ScoreRow {
            set: "FF++ c23".into(),
            dataset: "ffpp".into(),
            method: "Deepfakes".into(),
            video: video.into(),
            frame: 3,
            label: 1,
            score,
            raw: (score / (1.0 - score)).ln(),
            subjects: Vec::new(),
        };
        let t = Threshold { at: 0.5, from: "given".into() };
        let rows = [row("a", 0.1), row("b", 0.2)];
        let w = worst(&rows, "FF++ c23", Kind::FalseAccept, &t, Aggregation::Mean, 9).unwrap();
        (Run { record: Default::default(), folder: "x".into() }, w)
    }

    #[test]
    fn a_grid_has_a_column_per_mistake_and_a_row_per_method() {
        let (run, w) = made();
        let pictures = vec![RgbImage::from_pixel(16, 16, image::Rgb([90, 120, 60])); 2];
        let maps = [Maps {
            method: "gradient".into(),
            caption: "gradient".into(),
            note: "tokens".into(),
            values: vec![vec![0.0, 1.0, 0.0, 0.0], vec![0.5; 4]],
        }];
        let g = grid(&run, &w, &pictures, &maps, (2, 2));
        assert_eq!(g.id, "ffpp-c23-false-accept");
        assert_eq!(g.heads[0], ["1. P(fake) 0.100", "fake: Deepfakes", "a"]);
        assert_eq!((g.rows.len(), g.rows[1].1.len()), (2, 2));
        assert!(g.png().unwrap().starts_with(b"\x89PNG"));
        let text = csv(&w, &maps, (2, 2));
        assert_eq!(text.lines().count(), 1 + 8);
        assert_eq!(text.lines().nth(2).unwrap(), "FF++ c23,false-accept,1,ffpp/Deepfakes/a/3,gradient,0,1,1");
    }
}
