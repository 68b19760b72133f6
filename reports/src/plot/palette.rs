//! Colours, dashes and markers that stay apart for colour-blind readers and in grey print.
//!
//! Okabe and Ito's palette (2008) without yellow and black, which vanish on white and on dark pages. Each series also
//! has its own dash and marker, so colour is never the only difference. After 6 × 4 series the looks repeat.

use plotters::style::RGBColor;

/// Text and axes. The HTML page overrides this very value in dark mode, so nothing else may use it.
pub const INK: RGBColor = RGBColor(26, 26, 26);
/// Secondary text.
pub const FAINT: RGBColor = RGBColor(95, 95, 95);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(222, 222, 222);
/// Real faces, in histograms.
pub const REAL: RGBColor = RGBColor(0, 114, 178);
/// Fake faces, in histograms.
pub const FAKE: RGBColor = RGBColor(213, 94, 0);

/// Series colours: blue, vermillion, green, purple, orange, sky.
pub const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Drawn and blank lengths in CSS pixels; empty = solid.
const DASHES: [&[f64]; 4] = [&[], &[7.0, 3.0], &[2.0, 2.5], &[9.0, 2.5, 2.0, 2.5]];

/// Marker shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// ●
    Circle,
    /// ■
    Square,
    /// ▲
    Triangle,
    /// ◆
    Diamond,
    /// ▼
    Down,
    /// ✚
    Cross,
}

const MARKERS: [Marker; 6] =
    [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Down, Marker::Cross];

/// Looks of series `index`.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Line and marker colour.
    pub colour: RGBColor,
    /// Drawn and blank lengths.
    pub dash: &'static [f64],
    /// Marker.
    pub marker: Marker,
}

/// Looks of series `index`: colour and marker change with every series, the dash too, at another pace.
pub fn look(index: usize) -> Look {
    let round = index / COLOURS.len();
    Look {
        colour: COLOURS[index % COLOURS.len()],
        dash: DASHES[(index + 2 * round) % DASHES.len()],
        marker: MARKERS[(index + round) % MARKERS.len()],
    }
}

/// Colour of `t` in [0, 1] on a scale from white over orange to dark brown: lightness falls steadily, so it survives
/// grey print.
pub fn sequential(t: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 5] = [
        (255.0, 250.0, 240.0),
        (253.0, 208.0, 140.0),
        (236.0, 140.0, 60.0),
        (178.0, 72.0, 20.0),
        (92.0, 30.0, 10.0),
    ];
    let at = t.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let i = (at.floor() as usize).min(STOPS.len() - 2);
    let f = at - i as f64;
    let mix = |a: f64, b: f64| (a + (b - a) * f).round() as u8;
    let (a, b) = (STOPS[i], STOPS[i + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}
