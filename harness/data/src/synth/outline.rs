//! Signed distances of the face's large parts: outline, hair, ears, neck. Negative inside, in face units.
//!
//! The face's outline is a polar curve through anthropometric nodes, tabulated once per frame. Distances are first
//! order (value over slope), which is all that anti-aliasing by coverage needs.

use super::identity::{HairStyle, Identity};
use super::noise;
use super::relief::step;

const TABLE: usize = 96;

/// Outline of the face: radius as a function of the angle from the top, 0 to π.
pub(crate) struct Outline {
    radius: [f32; TABLE + 1],
    skew: f32,
    drop: f32,
}

impl Outline {
    pub(crate) fn new(id: &Identity, drop: f32) -> Self {
        let s = &id.shape;
        let (w, c) = (s.width, s.chin);
        let nodes = [
            (0.0, -1.07),
            (0.47 * s.temple * w, -0.995),
            (0.76 * s.temple * w, -0.83),
            (0.93 * s.temple * w, -0.60),
            (s.temple * w, -0.34),
            (w, -0.02),
            ((0.5 * s.jaw + 0.485) * w, 0.28 * c),
            (s.jaw * w, 0.52 * c),
            ((0.58 * s.jaw + 0.42 * s.chin_width) * w, 0.73 * c),
            (1.10 * s.chin_width * w, 0.89 * c),
            (0.55 * s.chin_width * w, 0.975 * c),
            (0.0, c),
        ];
        let polar = nodes.map(|(u, v): (f32, f32)| (u.atan2(-v), (u * u + v * v).sqrt()));
        let slope = |i: usize| {
            if i == 0 || i + 1 == polar.len() {
                return 0.0;
            }
            (polar[i + 1].1 - polar[i - 1].1) / (polar[i + 1].0 - polar[i - 1].0)
        };
        let mut radius = [0.0; TABLE + 1];
        for (k, r) in radius.iter_mut().enumerate() {
            let theta = std::f32::consts::PI * k as f32 / TABLE as f32;
            let i = polar.iter().rposition(|p| p.0 <= theta).unwrap_or(0).min(polar.len() - 2);
            let (a, b) = (polar[i], polar[i + 1]);
            let h = b.0 - a.0;
            let t = ((theta - a.0) / h).clamp(0.0, 1.0);
            let (t2, t3) = (t * t, t * t * t);
            *r = (2.0 * t3 - 3.0 * t2 + 1.0) * a.1
                + (t3 - 2.0 * t2 + t) * h * slope(i)
                + (3.0 * t2 - 2.0 * t3) * b.1
                + (t3 - t2) * h * slope(i + 1);
        }
        Self { radius, skew: s.skew, drop }
    }

    /// Distance to the outline; the jaw follows the open mouth.
    pub(crate) fn distance(&self, u: f32, v: f32) -> f32 {
        let v = v - self.drop * step(0.45, 0.95, v);
        let u = u + self.skew * v;
        let theta = u.abs().atan2(-v);
        let at = theta * (TABLE as f32 / std::f32::consts::PI);
        let i = (at as usize).min(TABLE - 1);
        let t = at - i as f32;
        0.92 * ((u * u + v * v).sqrt() - self.radius[i] * (1.0 - t) - self.radius[i + 1] * t)
    }
}

/// Distance to the ear at the given side (-1 left of the picture, 1 right), in screen-like coordinates.
pub(crate) fn ear(id: &Identity, side: f32, u: f32, v: f32) -> f32 {
    let s = id.shape.ears;
    let (du, dv) = ((u - side * (id.shape.width + 0.015)) / (0.095 * s), (v - 0.06) / (0.205 * s));
    let lean = du + 0.35 * side * dv;
    ((lean * lean + dv * dv).sqrt() - 1.0) * 0.1 * s
}

/// Distance to neck (first) and clothes (second).
pub(crate) fn torso(id: &Identity, u: f32, v: f32) -> [f32; 2] {
    let half = id.shape.width * 0.62 + 0.25 * step(0.95, 1.6, v) + 0.02 * (0.8 - v).max(0.0);
    let neck = (u.abs() - half).max(0.35 - v);
    let collar = 1.36 - 0.22 * step(0.25, 0.75, u.abs()) + 0.55 * (u.abs() - 0.75).max(0.0).powi(2);
    [neck, (collar - v) * 0.9]
}

/// What the hair needs per frame.
pub(crate) struct HairShape<'a> {
    id: &'a Identity,
    long: bool,
    side: f32,
    top: f32,
}

impl<'a> HairShape<'a> {
    /// None when the head is bald.
    pub(crate) fn new(id: &'a Identity) -> Option<Self> {
        let style = id.hair.style;
        if style == HairStyle::Bald {
            return None;
        }
        let curly = if style == HairStyle::Curly { 0.14 } else { 0.0 };
        let volume = id.hair.volume + curly;
        Some(Self {
            id,
            long: matches!(style, HairStyle::Long | HairStyle::LongFringe),
            side: id.shape.width + 0.035 + 0.8 * volume,
            top: 1.03 + volume,
        })
    }

    fn edge(&self, u: f32, v: f32) -> f32 {
        let curl = if self.id.hair.style == HairStyle::Curly { 2.6 } else { 1.0 };
        let k = self.id.key ^ 0xA1;
        let rough = 0.014 * self.id.hair.rough * curl;
        rough
            * (noise::value(u * 9.0 / curl.sqrt(), v * 9.0 / curl.sqrt(), k)
                + 0.6 * noise::value(u * 23.0, v * 23.0, k + 1))
    }

    /// Outer silhouette of the hair.
    fn silhouette(&self, u: f32, v: f32) -> f32 {
        let centre = -0.10;
        if v < centre {
            let (x, y) = (u / self.side, (v - centre) / self.top);
            return ((x * x + y * y).sqrt() - 1.0) * 0.85;
        }
        let a = u.abs() - self.side;
        if self.long {
            return a - 0.10 * step(0.0, 1.0, v)
                + 0.03 * (6.0 * v + self.id.hair.parting * 9.0).sin() * step(0.3, 0.9, v);
        }
        (a + 0.22 * (v - centre)).max(v - 0.12)
    }

    /// Hair behind neck and ears.
    pub(crate) fn back(&self, u: f32, v: f32) -> f32 {
        self.silhouette(u, v) + self.edge(u, v)
    }

    /// Hair in front of the face: above the hairline and beside the cheeks.
    pub(crate) fn front(&self, u: f32, v: f32) -> f32 {
        let h = &self.id.hair;
        let w = self.id.shape.width;
        let a = u.abs() / w;
        let ragged = 0.018 * h.rough * noise::value(u * 17.0, v * 3.0, self.id.key ^ 0xB2);
        let line = match h.style {
            HairStyle::Parted | HairStyle::Long => {
                h.line - 0.07 + 0.26 * step(0.0, 0.62, (u - h.parting).abs()) + 0.04 * (u - h.parting).abs()
            }
            HairStyle::Fringe | HairStyle::LongFringe => {
                let comb = 0.05 * noise::value(u * 8.0 + h.parting, 0.5, self.id.key ^ 0xC3);
                -0.43 + comb + 0.10 * (u - h.parting) * h.parting.signum()
                    - 0.06 * step(0.3, 0.0, (u - h.parting).abs())
            }
            _ => h.line + 0.10 * a * a,
        };
        let temple = if self.long { 0.80 } else { 0.86 };
        let reach = if self.long { 2.2 } else { 0.74 };
        let line = line + reach * step(temple, temple + 0.16, a);
        let slope = if a > temple { 0.25 } else { 0.85 };
        let mut d = (v - line) * slope;
        if self.long && v > 0.1 {
            d = d.max(w * (0.87 + 0.13 * step(0.2, 0.8, v)) - 0.14 * step(0.45, 1.0, v) - u.abs());
        }
        (d + ragged).max(self.silhouette(u, v) + self.edge(u, v))
    }

    /// Brightness of the strands at (u, v) around 1, and how much they shine.
    pub(crate) fn strands(&self, u: f32, v: f32, limit: f32) -> [f32; 2] {
        let h = &self.id.hair;
        let k = self.id.key ^ 0xD4;
        if h.style == HairStyle::Curly {
            let n = noise::fractal(u, v, 7.0, limit, k);
            return [1.0 + 0.45 * n, (0.25 + 0.5 * n).max(0.0)];
        }
        let (x, y) = (u - h.parting * 0.6, v + 1.12);
        let r = (x * x + y * y).sqrt();
        let fan = if self.long && v > 0.0 { u * 3.0 } else { x.atan2(y.max(0.02)) * 1.6 };
        let warp = 0.25 * noise::value(u * 3.0, v * 3.0, k + 7);
        let n = noise::fractal(fan * 1.5 + warp, r * 0.35, 4.0, limit * 0.8, k);
        let band = step(0.55, 0.0, (r - 0.45).abs()) * step(-0.5, 0.8, n);
        [1.0 + 0.42 * n, 0.15 + band]
    }
}
