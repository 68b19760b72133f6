//! Shapes of eyes, brows, nose and mouth: the curves that colour and parsing map share.
//!
//! Every function returns signed distances in face units, negative inside. The renderer paints with them and labels
//! with them, so a map is exact by construction.

use super::frame::FrameParams;
use super::identity::Identity;

/// Distances around one eye.
pub(crate) struct EyeAt {
    /// Opening between the lids.
    pub(crate) opening: f32,
    /// Iris and pupil.
    pub(crate) iris: f32,
    pub(crate) pupil: f32,
    /// Height above the upper lid's edge (positive above), and below the lower lid's.
    pub(crate) above: f32,
    pub(crate) below: f32,
    /// Position along the eye, -1 inner to 1 outer corner.
    pub(crate) along: f32,
    /// Offset from the iris' centre.
    pub(crate) offset: [f32; 2],
}

/// The eye at the given side (-1 left of the picture, 1 right), or `None` far from it.
pub(crate) fn eye(id: &Identity, f: &FrameParams, side: f32, u: f32, v: f32) -> Option<EyeAt> {
    let e = &id.eyes;
    let (x, y) = (side * u - e.distance, v - e.height + e.slant * (side * u - e.distance));
    if x.abs() > 0.27 || y.abs() > 0.2 {
        return None;
    }
    let along = x / e.width;
    let arch = (1.0 - along * along).max(-0.6);
    let closed = f.eye_closed[usize::from(side > 0.0)];
    let upper = -e.opening * (1.12 - 0.28 * along) * arch.signum() * arch.abs().powf(0.8) * (1.0 - closed)
        + closed * e.opening * 0.42 * arch.max(0.0);
    let lower = e.opening * 0.62 * arch * (1.0 - 0.18 * f.smile.max(0.0));
    let offset = [x - side * 0.035 * f.gaze[0], y + 0.012 - 0.02 * f.gaze[1]];
    let r = (offset[0] * offset[0] + offset[1] * offset[1]).sqrt();
    Some(EyeAt {
        opening: (upper - y).max(y - lower).max((along.abs() - 1.0) * e.width) * 0.9,
        iris: r - e.iris_radius,
        pupil: r - 0.42 * e.iris_radius,
        above: upper - y,
        below: y - lower,
        along,
        offset,
    })
}

/// Distance to the eyebrow at the given side, and the position along it (-1 inner, 1 outer).
pub(crate) fn brow(id: &Identity, f: &FrameParams, side: f32, u: f32, v: f32) -> Option<[f32; 2]> {
    let b = &id.brows;
    let x = side * u - (id.eyes.distance + 0.005);
    if x.abs() > b.length + 0.08 {
        return None;
    }
    let along = x / b.length;
    let centre = b.height
        - 0.055 * f.brow_raise
        - b.arch * (1.0 - 0.6 * (along - 0.25) * (along - 0.25))
        - b.slope * along;
    let thick = b.thickness
        * (1.0 - 0.55 * ((along + 0.35).max(0.0) / 1.35).powi(2))
        * (1.0 - along.abs().powi(6)).max(0.0).sqrt();
    Some([((v - centre).abs() - thick).max((along.abs() - 1.0) * b.length), along])
}

/// Distance to the nose and to its two nostrils.
pub(crate) fn nose(id: &Identity, u: f32, v: f32) -> Option<[f32; 2]> {
    let n = &id.nose;
    let top = -0.06;
    if v < top - 0.1 || v > n.length + 0.1 || u.abs() > n.width + 0.1 {
        return None;
    }
    let t = ((v - top) / (n.length - top)).clamp(0.0, 1.0);
    let wing = t * t * t;
    let round = if t > 0.80 { 1.0 - 0.55 * ((t - 0.80) / 0.20).powi(2) } else { 1.0 };
    let half = (n.bridge * 0.8 + (n.width - n.bridge * 0.8) * wing) * round;
    let d = (u.abs() - half).max(v - n.length + 0.35 * u.abs() * u.abs() / n.width).max(top - v);
    let (x, y) = ((u.abs() - 0.47 * n.width) / (0.30 * n.width), (v - n.length + 0.028) / 0.020);
    let tilt = y + 0.35 * x;
    Some([d, ((x * x + tilt * tilt).sqrt() - 1.0) * 0.024])
}

/// Distances around the mouth.
pub(crate) struct MouthAt {
    /// Upper lip, opening, lower lip.
    pub(crate) upper: f32,
    pub(crate) inner: f32,
    pub(crate) lower: f32,
    /// Signed height below the line of contact.
    pub(crate) line: f32,
    /// Height below the upper lip's lower edge.
    pub(crate) depth: f32,
    /// Position across, -1 to 1.
    pub(crate) across: f32,
}

/// The mouth, or `None` far from it.
pub(crate) fn mouth(id: &Identity, f: &FrameParams, drop: f32, u: f32, v: f32) -> Option<MouthAt> {
    let m = &id.mouth;
    let half = m.width * (1.0 + 0.16 * f.smile - 0.14 * f.mouth_open);
    let across = u / half;
    if across.abs() > 1.25 || (v - m.height).abs() > 0.36 {
        return None;
    }
    let arch = 1.0 - across * across;
    let soft = arch.max(0.0).sqrt() * 0.4 + arch.max(0.0) * 0.6;
    let corner = m.height - 0.055 * f.smile * across * across + 0.012 * (1.0 - across.abs());
    let top = corner - 0.25 * drop * soft;
    let bottom = corner + 0.75 * drop * soft;
    let q = across / 0.30;
    let bow = 1.0 + 0.35 * (-(across.abs() - 0.28).powi(2) * 18.0).exp() - m.bow * (1.0 - q * q).max(0.0);
    let thin = 1.0 - 0.25 * f.smile.max(0.0);
    let crest = top - m.upper * soft * bow * thin;
    let base = bottom + m.lower * soft * thin * (1.0 - 0.12 * across * across);
    let ends = (across.abs() - 1.0) * half;
    Some(MouthAt {
        upper: (crest - v).max(v - top).max(ends),
        inner: (top - v).max(v - bottom).max(ends) + 0.002,
        lower: (bottom - v).max(v - base).max(ends),
        line: v - 0.5 * (top + bottom),
        depth: v - top,
        across,
    })
}
