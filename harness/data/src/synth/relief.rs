//! The face as a height field: depth z over (u, v), its normals, and the pose that turns it.
//!
//! z is a dome plus compact bumps (nose, brow ridge, eye sockets, lips, chin, cheeks), smooth everywhere, so shading
//! needs no mesh. Pose is 2.5-D: a screen point is traced back to (u, v) by a short fixed-point iteration, which
//! converges while the slope times tan(yaw) stays below one; there is no self-occlusion, so poses stay moderate.

use super::frame::FrameParams;
use super::identity::Identity;

/// A bump of height one with compact support, close to a Gaussian: argument is the squared scaled distance.
pub(crate) fn bump(x2: f32) -> f32 {
    if x2 >= 4.0 {
        return 0.0;
    }
    let t = 1.0 - 0.25 * x2;
    let t = t * t;
    t * t
}

/// Cubic step from 0 at `a` to 1 at `b`.
pub(crate) fn step(a: f32, b: f32, x: f32) -> f32 {
    let t = ((x - a) / (b - a)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn sq(x: f32) -> f32 {
    x * x
}

/// Depth of one person with one expression.
pub(crate) struct Relief<'a> {
    id: &'a Identity,
    open: f32,
    smile: f32,
    /// How far the chin drops with the open mouth.
    pub(crate) drop: f32,
}

impl<'a> Relief<'a> {
    pub(crate) fn new(id: &'a Identity, frame: &FrameParams) -> Self {
        Self { id, open: frame.mouth_open, smile: frame.smile, drop: 0.16 * frame.mouth_open }
    }

    fn dome(u: f32, v: f32) -> f32 {
        let h = 1.1 - 0.9 * (sq(u / 0.82) + sq((v + 0.02) / 1.12));
        0.72 * (0.5 * (h + (h * h + 0.09).sqrt())).sqrt()
    }

    /// Depth towards the camera at (u, v), face units.
    pub(crate) fn z(&self, u: f32, v: f32) -> f32 {
        let id = self.id;
        let a = u.abs();
        let mut z = Self::dome(u, v);
        if v < -0.75 || a > 0.8 || v > 1.15 {
            return z;
        }
        let (n, eye) = (&id.nose, &id.eyes);
        let tip = n.length - 0.075;
        let r = n.relief;
        z += r * 0.045 * bump(sq(u / (n.bridge * 1.7)) + sq((v + 0.02) / 0.22));
        z += r * 0.075 * bump(sq(u / (n.bridge * 1.9)) + sq((v - 0.5 * tip) / 0.17));
        z += r * 0.100 * bump(sq(u / (n.tip * 1.35)) + sq((v - tip) / 0.105));
        z += r * 0.055 * bump(sq((a - 0.66 * n.width) / 0.055) + sq((v - tip - 0.02) / 0.06));
        z += 0.035 * bump(sq((a - 0.30) / 0.20) + sq((v - id.brows.height - 0.06) / 0.09));
        z -= 0.060 * bump(sq((a - eye.distance) / 0.17) + sq((v - eye.height + 0.01) / 0.11));
        z += 0.040 * bump(sq((a - eye.distance) / 0.11) + sq((v - eye.height) / 0.075));
        z += (0.035 + 0.03 * self.smile.max(0.0)) * bump(sq((a - 0.43) / 0.22) + sq((v - 0.22) / 0.20));
        let m = id.mouth.height;
        let low = m + self.drop * 0.75;
        z += 0.030 * bump(sq(u / 0.25) + sq((v - m + 0.6 * id.mouth.upper + 0.25 * self.drop) / 0.045));
        z += 0.042 * bump(sq(u / 0.21) + sq((v - low - 0.55 * id.mouth.lower) / 0.05));
        z -= 0.030 * bump(sq(u / 0.20) + sq((v - low - id.mouth.lower - 0.055) / 0.05));
        z += 0.050 * bump(sq(u / 0.17) + sq((v - id.shape.chin + 0.13 - self.drop) / 0.12));
        z -= 0.012 * bump(sq(u / 0.03) + sq((v - 0.5 * (m + n.length)) / 0.06));
        z - 0.02 * self.open * bump(sq((a - 0.40) / 0.10) + sq((v - m) / 0.2))
    }

    /// Unit normal at (u, v), before the pose turns it.
    pub(crate) fn normal(&self, u: f32, v: f32, z: f32) -> [f32; 3] {
        const E: f32 = 0.012;
        let (zu, zv) = ((self.z(u + E, v) - z) / E, (self.z(u, v + E) - z) / E);
        let k = 1.0 / (zu * zu + zv * zv + 1.0).sqrt();
        [-zu * k, -zv * k, k]
    }
}

/// The turn of the head, its sines ready.
pub(crate) struct Pose {
    sy: f32,
    cy: f32,
    sp: f32,
    cp: f32,
    sr: f32,
    cr: f32,
    span: f32,
    shift: [f32; 2],
}

/// Depth of the point that stays put when the head turns: the crop follows the face.
const PIVOT: f32 = 0.42;

impl Pose {
    pub(crate) fn new(frame: &FrameParams) -> Self {
        let ((sy, cy), (sp, cp), (sr, cr)) =
            (frame.yaw.sin_cos(), frame.pitch.sin_cos(), frame.roll.sin_cos());
        Self { sy, cy, sp, cp, sr, cr, span: frame.span, shift: frame.shift }
    }

    /// Screen point of a pixel centre, in face units, tilt undone.
    pub(crate) fn screen(&self, x: f32, y: f32, size: f32) -> [f32; 2] {
        let x = (2.0 * x / size - 1.0) * self.span - self.shift[0];
        let y = (2.0 * y / size - 1.0) * self.span - self.shift[1];
        [self.cr * x + self.sr * y, self.cr * y - self.sr * x]
    }

    /// The (u, v) that is seen at a screen point.
    pub(crate) fn trace(&self, relief: &Relief, x: f32, y: f32) -> [f32; 2] {
        let (mut u, mut v) = (x, y);
        for _ in 0..4 {
            let z = relief.z(u, v) - PIVOT;
            u = 0.15 * u + 0.85 * ((x - z * self.sy) / self.cy);
            v = 0.15 * v + 0.85 * ((y - z * self.sp) / self.cp);
        }
        [u, v]
    }

    /// Pixel coordinates of a face point: the inverse of `screen` and `trace`.
    pub(crate) fn project(&self, relief: &Relief, u: f32, v: f32, size: f32) -> [f32; 2] {
        let z = relief.z(u, v) - PIVOT;
        let (x, y) = (u * self.cy + z * self.sy, v * self.cp + z * self.sp);
        let (x, y) = (self.cr * x - self.sr * y + self.shift[0], self.cr * y + self.sr * x + self.shift[1]);
        [(x / self.span + 1.0) * 0.5 * size, (y / self.span + 1.0) * 0.5 * size]
    }

    /// A normal as the camera sees it.
    pub(crate) fn turn(&self, n: [f32; 3]) -> [f32; 3] {
        let (x, z) = (n[0] * self.cy + n[2] * self.sy, n[2] * self.cy - n[0] * self.sy);
        let (y, z) = (n[1] * self.cp + z * self.sp, z * self.cp - n[1] * self.sp);
        [self.cr * x - self.sr * y, self.cr * y + self.sr * x, z]
    }
}
