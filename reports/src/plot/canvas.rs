//! The pen: text on a given baseline, lines, dashes, markers, all in CSS pixels.
//!
//! plotters' two backends place text differently (SVG by `dy` in em, bitmaps by half the font height). The pen asks
//! for top-anchored text and subtracts what the backend is going to add, so a baseline is a baseline in both.

use super::palette::{INK, Marker};
use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, DrawingBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontFamily, FontStyle, FontTransform, IntoFont, RGBAColor, RGBColor, TextStyle, register_font,
};
use std::sync::Once;

/// Result of drawing on backend `DB`.
pub type DrawResult<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// What SVG viewers look for; the first name is embedded.
pub(crate) const FAMILY: &str = "Inter, Helvetica, Arial, sans-serif";

/// The fonts plotters measures and draws with.
pub(crate) const REGULAR: &[u8] = include_bytes!("../../assets/Inter-Regular.otf");
const BOLD: &[u8] = include_bytes!("../../assets/Inter-Bold.otf");

/// Gives plotters our fonts, once per process. Without this every chart fails at run time.
pub(crate) fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let ok = register_font(FAMILY, FontStyle::Normal, REGULAR).is_ok()
            && register_font(FAMILY, FontStyle::Bold, BOLD).is_ok();
        assert!(ok, "the embedded fonts are OpenType files");
    });
}

/// plotters' font size is 1.24 times the em it draws.
const EM: f64 = 1.24;

/// Where a text hangs on its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Left,
    Middle,
    Right,
}

/// Stroke weight of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Normal,
    Bold,
}

/// Scale and text placement of the backend at hand.
#[derive(Clone, Copy, Debug)]
pub struct Pen {
    scale: f64,
    /// Distance from the point plotters is given to the baseline it uses, in em.
    drop: f64,
}

impl Pen {
    pub(crate) fn svg(scale: u32) -> Self {
        Pen { scale: f64::from(scale), drop: 0.76 }
    }

    pub(crate) fn bitmap(scale: u32) -> Self {
        Pen { scale: f64::from(scale), drop: EM / 2.0 }
    }

    /// CSS pixels to backend pixels.
    pub(crate) fn px(&self, v: f64) -> i32 {
        (v * self.scale).round() as i32
    }

    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (self.px(x), self.px(y))
    }

    /// Width of `text` at `size` CSS pixels per em.
    pub(crate) fn width(&self, text: &str, size: f64, weight: Weight) -> f64 {
        let font = font(size * 100.0, weight);
        font.layout_box(text).map_or(0.0, |((x0, _), (x1, _))| f64::from(x1 - x0) / 100.0)
    }

    /// `text`, cut with an ellipsis to fit `room`.
    pub(crate) fn fit(&self, text: &str, size: f64, weight: Weight, room: f64) -> String {
        if self.width(text, size, weight) <= room {
            return text.to_owned();
        }
        let chars: Vec<char> = text.chars().collect();
        let cut = |n: usize| format!("{}…", chars[..n].iter().collect::<String>().trim_end());
        (0..chars.len()).rev().map(cut).find(|t| self.width(t, size, weight) <= room).unwrap_or_default()
    }

    /// `text`, its middle cut out to fit `room`: where the end says as much as the beginning.
    pub(crate) fn fit_middle(&self, text: &str, size: f64, weight: Weight, room: f64) -> String {
        if self.width(text, size, weight) <= room {
            return text.to_owned();
        }
        let chars: Vec<char> = text.chars().collect();
        let cut = |n: usize| {
            let head: String = chars[..n - n / 2].iter().collect();
            let tail: String = chars[chars.len() - n / 2..].iter().collect();
            format!("{}…{}", head.trim_end(), tail.trim_start())
        };
        (0..chars.len()).rev().map(cut).find(|t| self.width(t, size, weight) <= room).unwrap_or_default()
    }

    /// `texts`, cut to fit `room` so that no two which differ look the same, as far as that is possible.
    pub(crate) fn fit_all(&self, texts: &[&str], size: f64, weight: Weight, room: f64) -> Vec<String> {
        let cut: Vec<String> = texts.iter().map(|t| self.fit(t, size, weight, room)).collect();
        let twin = |i: usize| (0..texts.len()).any(|j| texts[i] != texts[j] && cut[i] == cut[j]);
        let one =
            |i: usize| if twin(i) { self.fit_middle(texts[i], size, weight, room) } else { cut[i].clone() };
        (0..texts.len()).map(one).collect()
    }

    /// `text` on one line of `rooms.0`, or on two, the second of `rooms.1`; broken at spaces, then cut in the middle.
    pub(crate) fn wrap(
        &self,
        text: &str,
        size: f64,
        weight: Weight,
        rooms: (f64, f64),
    ) -> (String, Option<String>) {
        if self.width(text, size, weight) <= rooms.0 {
            return (text.to_owned(), None);
        }
        let breaks = text.match_indices(' ').map(|(at, _)| at).rev();
        let mut whole = breaks.filter(|&at| self.width(&text[..at], size, weight) <= rooms.0);
        match whole.next() {
            Some(at) => {
                let rest = self.fit_middle(&text[at + 1..], size, weight, rooms.1);
                (text[..at].to_owned(), Some(rest))
            }
            None => (self.fit_middle(text, size, weight, rooms.0), None),
        }
    }

    /// Backend pixels to CSS pixels.
    pub(crate) fn css(&self, v: u32) -> f64 {
        f64::from(v) / self.scale
    }

    /// Text with its baseline on `at`.
    pub(crate) fn text<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        text: &str,
        at: (f64, f64),
        size: f64,
        (anchor, weight, colour): (Anchor, Weight, RGBColor),
    ) -> DrawResult<DB> {
        let style = self.style(size, weight, anchor, colour);
        area.draw(&Text::new(text.to_owned(), self.at((at.0, at.1 - self.drop * size)), style))
    }

    /// Text read from bottom to top, its baseline on the vertical line through `at`.
    pub(crate) fn upward<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        text: &str,
        at: (f64, f64),
        size: f64,
    ) -> DrawResult<DB> {
        let style = self.style(size, Weight::Normal, Anchor::Middle, INK).transform(FontTransform::Rotate270);
        area.draw(&Text::new(text.to_owned(), self.at((at.0 - self.drop * size, at.1)), style))
    }

    fn style(&self, size: f64, weight: Weight, anchor: Anchor, colour: RGBColor) -> TextStyle<'static> {
        let h = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        TextStyle {
            font: font(size * self.scale, weight),
            color: colour.to_backend_color(),
            pos: Pos::new(h, VPos::Top),
        }
    }

    /// A line through `points`; `dash` holds drawn and blank lengths, empty for solid.
    pub(crate) fn line<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        points: &[(f64, f64)],
        (colour, width, dash): (RGBColor, f64, &[f64]),
    ) -> DrawResult<DB> {
        let style = colour.stroke_width(u32::try_from(self.px(width).max(1)).unwrap_or(1));
        if dash.is_empty() {
            return area.draw(&PathElement::new(self.path(points), style));
        }
        for piece in dashes(points, dash) {
            area.draw(&PathElement::new(self.path(&piece), style))?;
        }
        Ok(())
    }

    /// Backend coordinates without repeated points.
    fn path(&self, points: &[(f64, f64)]) -> Vec<(i32, i32)> {
        let mut path: Vec<(i32, i32)> = points.iter().map(|&p| self.at(p)).collect();
        path.dedup();
        path
    }

    /// A filled polygon.
    pub(crate) fn fill<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        points: &[(f64, f64)],
        colour: RGBAColor,
    ) -> DrawResult<DB> {
        area.draw(&Polygon::new(self.path(points), colour))
    }

    /// A filled rectangle from corner to corner.
    pub(crate) fn rect<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        (x0, y0): (f64, f64),
        (x1, y1): (f64, f64),
        colour: RGBAColor,
    ) -> DrawResult<DB> {
        self.fill(area, &[(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)
    }

    /// A marker of radius `r` around `at`.
    pub(crate) fn marker<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        marker: Marker,
        (x, y): (f64, f64),
        r: f64,
        colour: RGBColor,
    ) -> DrawResult<DB> {
        let shape: Vec<(f64, f64)> = match marker {
            Marker::Circle => {
                return area.draw(&Circle::new(self.at((x, y)), self.px(r), colour.filled()));
            }
            Marker::Square => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Marker::Triangle => vec![(0.0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
            Marker::Down => vec![(0.0, 1.15), (1.1, -0.85), (-1.1, -0.85)],
            Marker::Diamond => vec![(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
            Marker::Cross => vec![
                (-0.4, -1.1),
                (0.4, -1.1),
                (0.4, -0.4),
                (1.1, -0.4),
                (1.1, 0.4),
                (0.4, 0.4),
                (0.4, 1.1),
                (-0.4, 1.1),
                (-0.4, 0.4),
                (-1.1, 0.4),
                (-1.1, -0.4),
                (-0.4, -0.4),
            ],
        };
        let points: Vec<(f64, f64)> = shape.iter().map(|(dx, dy)| (x + r * dx, y + r * dy)).collect();
        self.fill(area, &points, colour.to_rgba())
    }
}

fn font(px_per_em: f64, weight: Weight) -> plotters::style::FontDesc<'static> {
    let style = if weight == Weight::Bold { FontStyle::Bold } else { FontStyle::Normal };
    (FontFamily::Name(FAMILY), px_per_em * EM, style).into_font()
}

/// Cuts a polyline into the drawn parts of a dash pattern.
fn dashes(points: &[(f64, f64)], pattern: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = Vec::new();
    let (mut slot, mut left) = (0, pattern[0]);
    let mut piece: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let ((mut x, mut y), (x1, y1)) = (pair[0], pair[1]);
        loop {
            let rest = (x1 - x).hypot(y1 - y);
            if rest <= left {
                left -= rest;
                if slot % 2 == 0 {
                    piece.push((x1, y1));
                }
                break;
            }
            (x, y) = (x + (x1 - x) * left / rest, y + (y1 - y) * left / rest);
            if slot % 2 == 0 {
                piece.push((x, y));
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![(x, y)];
            }
            slot = (slot + 1) % pattern.len();
            left = pattern[slot];
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}
