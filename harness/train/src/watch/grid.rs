//! Pictures side by side with captions: one PNG that shows how far a run has come.

use facebench_data::image::{Filter, Rgb, resize};

use super::letters;

/// Pixels between and around pictures.
const GAP: usize = 6;
/// Smallest side of a picture in the grid; smaller ones are enlarged by a whole factor.
const SIDE: usize = 128;

/// A row: its name and its pictures, which have the columns' order.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) pictures: Vec<Rgb>,
}

/// Draws a titled grid on white; pictures of a column share its width.
pub(crate) fn draw(title: &str, columns: &[String], rows: &[Row]) -> Rgb {
    let zoom = |p: &Rgb| SIDE.div_ceil(p.width.max(p.height).max(1)).max(1);
    let scale = rows.iter().flat_map(|r| &r.pictures).map(zoom).min().unwrap_or(1);
    let extent = |pick: &dyn Fn(&Rgb) -> usize, of: &mut dyn Iterator<Item = &Rgb>| {
        of.map(|p| pick(p) * scale).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len())
        .map(|c| extent(&|p| p.width, &mut rows.iter().filter_map(|r| r.pictures.get(c))))
        .map(|w| w.max(letters::ADVANCE * 12))
        .collect();
    let heights: Vec<usize> = rows.iter().map(|r| extent(&|p| p.height, &mut r.pictures.iter())).collect();
    let (title_line, line) = (2 * letters::HEIGHT + GAP, letters::HEIGHT + GAP / 2);
    let width = widths.iter().sum::<usize>() + GAP * (columns.len() + 1);
    let height = title_line + line + heights.iter().map(|h| h + line + GAP).sum::<usize>() + GAP;
    let mut out = Rgb::from_fn(width, height, |_, _| [255; 3]);
    letters::write(&mut out, title, (GAP, GAP / 2), width, 2);
    let mut y = title_line;
    let lefts: Vec<usize> =
        (0..columns.len()).map(|c| GAP + widths[..c].iter().sum::<usize>() + GAP * c).collect();
    for (column, left) in columns.iter().zip(&lefts) {
        letters::write(&mut out, column, (*left, y), width, 1);
    }
    y += line;
    for (row, height) in rows.iter().zip(heights) {
        for (picture, left) in row.pictures.iter().zip(&lefts) {
            let large = enlarge(picture, scale);
            for dy in 0..large.height {
                for dx in 0..large.width {
                    out.set(left + dx, y + dy, large.get(dx, dy));
                }
            }
        }
        letters::write(&mut out, &row.name, (GAP, y + height + 2), width, 1);
        y += height + line + GAP;
    }
    out
}

/// Whole pixels become squares: nothing is smoothed over.
fn enlarge(picture: &Rgb, scale: usize) -> Rgb {
    if scale == 1 {
        return resize(picture, picture.width, picture.height, Filter::Bilinear);
    }
    Rgb::from_fn(picture.width * scale, picture.height * scale, |x, y| picture.get(x / scale, y / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_is_in_its_place_and_captions_leave_them_alone() {
        let flat = |v: u8| Rgb::from_fn(64, 64, |_, _| [v; 3]);
        let rows: Vec<Row> = (0..2)
            .map(|i| Row { name: format!("set/face_{i}"), pictures: vec![flat(100 + i), flat(200 + i)] })
            .collect();
        let grid = draw("epoch 5", &["image".into(), "masked".into()], &rows);
        assert_eq!((grid.width, grid.height), (2 * 128 + 3 * 6, 22 + 11 + 2 * (128 + 11 + 6) + 6));
        for v in [100, 101, 200, 201] {
            assert_eq!(grid.pixels.chunks(3).filter(|p| p[0] == v).count(), 128 * 128, "{v}");
        }
        assert!(grid.pixels.chunks(3).filter(|p| p[0] == 40).count() > 100, "captions");
    }
}
