//! A map of evidence over the picture it belongs to.
//!
//! The map is stretched to the picture between the centres of its cells (bilinear), scaled to its own largest value, and
//! laid over the picture in grey. Colours are cividis (Nuñez, Anderton and Renslow, PLoS ONE 2018), made for readers with
//! a colour vision deficiency: from dark blue to yellow, lightness rising all the way, so it also survives grey print. A
//! map without any value above zero leaves the plain grey picture: nothing is made up by scaling.

use image::RgbImage;

/// Share of the map in a pixel; the rest is the grey picture.
const SHARE: f64 = 0.62;

/// Evenly spaced stops of cividis.
const CIVIDIS: [[f64; 3]; 9] = [
    [0.0, 34.0, 78.0],
    [18.0, 53.0, 112.0],
    [59.0, 73.0, 108.0],
    [87.0, 93.0, 109.0],
    [112.0, 113.0, 115.0],
    [138.0, 134.0, 120.0],
    [165.0, 156.0, 116.0],
    [195.0, 179.0, 105.0],
    [254.0, 232.0, 56.0],
];

/// The colour of `t` in [0, 1].
pub fn cividis(t: f64) -> [u8; 3] {
    let at = t.clamp(0.0, 1.0) * (CIVIDIS.len() - 1) as f64;
    let i = (at.floor() as usize).min(CIVIDIS.len() - 2);
    let f = at - i as f64;
    std::array::from_fn(|c| (CIVIDIS[i][c] + (CIVIDIS[i + 1][c] - CIVIDIS[i][c]) * f).round() as u8)
}

/// `values` (rows × columns, ≥ 0) over `picture`.
///
/// # Panics
/// If there are not rows × columns values.
pub fn overlay(picture: &RgbImage, values: &[f64], (rows, columns): (usize, usize)) -> RgbImage {
    assert_eq!(values.len(), rows * columns, "a map of {rows} × {columns}");
    let peak = values.iter().copied().fold(0.0, f64::max);
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    // the two neighbours of a pixel along one side, and the share of the second
    let between = |pixel: u32, side: f64, cells: usize| {
        let at = ((f64::from(pixel) + 0.5) / side * cells as f64 - 0.5).clamp(0.0, cells as f64 - 1.0);
        let low = at.floor() as usize;
        (low, (low + 1).min(cells - 1), at - at.floor())
    };
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let p = picture.get_pixel(x, y).0.map(f64::from);
        let grey = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
        if peak <= 0.0 {
            return image::Rgb([grey.round() as u8; 3]);
        }
        let (top, bottom, down) = between(y, height, rows);
        let (left, right, along) = between(x, width, columns);
        let row = |r: usize| values[r * columns + left] * (1.0 - along) + values[r * columns + right] * along;
        let heat = cividis((row(top) * (1.0 - down) + row(bottom) * down) / peak);
        image::Rgb(heat.map(|h| (SHARE * f64::from(h) + (1.0 - SHARE) * grey).round() as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(picture: &RgbImage, x: u32, y: u32) -> f64 {
        let p = picture.get_pixel(x, y).0.map(f64::from);
        0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]
    }

    #[test]
    fn lightness_rises_all_the_way() {
        let light = |t: f64| {
            let c = cividis(t).map(f64::from);
            0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]
        };
        let steps: Vec<f64> = (0..=64).map(|i| light(f64::from(i) / 64.0)).collect();
        assert!(steps.windows(2).all(|w| w[1] > w[0]), "{steps:?}");
    }

    #[test]
    fn the_warm_cell_is_the_bright_place() {
        let picture = RgbImage::from_pixel(40, 40, image::Rgb([120, 120, 120]));
        let mut values = [0.0; 16];
        values[4 + 2] = 0.003; // row 1, column 2: its centre is at (25, 15)
        let drawn = overlay(&picture, &values, (4, 4));
        let brightest = (0..1600u32).max_by(|a, b| {
            grey(&drawn, a % 40, a / 40).total_cmp(&grey(&drawn, b % 40, b / 40)).then(b.cmp(a))
        });
        let at = brightest.unwrap();
        assert!((23..=26).contains(&(at % 40)) && (13..=16).contains(&(at / 40)), "{} {}", at % 40, at / 40);
        // scaled by its own peak: half of everything is the same picture
        assert_eq!(drawn, overlay(&picture, &values.map(|v| v / 2.0), (4, 4)));
    }

    #[test]
    fn an_empty_map_leaves_the_grey_picture() {
        let picture = RgbImage::from_pixel(4, 4, image::Rgb([200, 10, 10]));
        let drawn = overlay(&picture, &[0.0; 4], (2, 2));
        assert_eq!(drawn.get_pixel(0, 0).0, [67, 67, 67]);
    }
}
