//! The software renderer: identity and frame parameters in, linear light and parsing map out.
//!
//! One pass over the pixels. Each pixel is traced back to the face's (u, v), layers are painted back to front with
//! analytic coverage (signed distance over pixel size), and the label is that of the topmost layer at the pixel's
//! centre. No camera here: [`camera`](super::camera) turns the light into a picture.
//!
//! LaPa labels: 0 background (also ears, neck, clothes), 1 skin, 2/3 right/left brow, 4/5 right/left eye, 6 nose,
//! 7 upper lip, 8 inner mouth, 9 lower lip, 10 hair. Right is the person's right, at the left of the picture.

use super::backdrop;
use super::features;
use super::frame::FrameParams;
use super::identity::{Colour, Identity};
use super::noise;
use super::outline::{self, HairShape, Outline};
use super::relief::{Pose, Relief, bump, step};
use super::shade::Lamp;
use super::skin;

/// What the renderer knows of a frame before a camera looks at it.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    /// Side, pixels.
    pub(crate) size: usize,
    /// Linear light, row by row.
    pub(crate) light: Vec<Colour>,
    /// LaPa label of each pixel.
    pub(crate) labels: Vec<u8>,
    /// Face coordinates seen at each pixel.
    pub(crate) uv: Vec<[f32; 2]>,
    /// Pixel coordinates of the mouth's middle and of the eyes (left of the picture, right).
    pub(crate) mouth: [f32; 2],
    pub(crate) eyes: [[f32; 2]; 2],
}

/// One pixel under construction.
struct Pixel {
    colour: Colour,
    label: u8,
    /// Size of a pixel, face units.
    width: f32,
}

impl Pixel {
    /// Paints a layer whose signed distance is `d`, with opacity `alpha`; the label follows when the centre is inside.
    fn over(&mut self, d: f32, alpha: f32, colour: Colour, label: Option<u8>) {
        let cover = (0.5 - d / self.width).clamp(0.0, 1.0) * alpha;
        for (c, n) in self.colour.iter_mut().zip(colour) {
            *c += cover * (n - *c);
        }
        if let (true, Some(label)) = (d < 0.0, label) {
            self.label = label;
        }
    }

    fn darken(&mut self, k: f32) {
        self.colour = self.colour.map(|c| c * (1.0 - k));
    }
}

/// Renders one frame, `size` pixels square.
pub(crate) fn draw(id: &Identity, f: &FrameParams, size: usize) -> Canvas {
    let relief = Relief::new(id, f);
    let pose = Pose::new(f);
    let scene = Parts {
        id,
        f,
        outline: Outline::new(id, relief.drop),
        hair: HairShape::new(id),
        lamp: Lamp::new(&f.light),
        width: 2.0 * f.span / size as f32,
        limit: size as f32 / (4.0 * f.span),
        relief: &relief,
        pose: &pose,
    };
    let n = size * size;
    let mut canvas = Canvas {
        size,
        light: Vec::with_capacity(n),
        labels: Vec::with_capacity(n),
        uv: Vec::with_capacity(n),
        mouth: pose.project(&relief, 0.0, id.mouth.height + 0.3 * relief.drop, size as f32),
        eyes: [-1.0, 1.0].map(|s| pose.project(&relief, s * id.eyes.distance, id.eyes.height, size as f32)),
    };
    for y in 0..size {
        for x in 0..size {
            let (pixel, uv) = scene.pixel(pose.screen(x as f32 + 0.5, y as f32 + 0.5, size as f32));
            canvas.light.push(pixel.colour);
            canvas.labels.push(pixel.label);
            canvas.uv.push(uv);
        }
    }
    canvas
}

struct Parts<'a> {
    id: &'a Identity,
    f: &'a FrameParams,
    outline: Outline,
    hair: Option<HairShape<'a>>,
    lamp: Lamp,
    width: f32,
    limit: f32,
    relief: &'a Relief<'a>,
    pose: &'a Pose,
}

impl Parts<'_> {
    fn pixel(&self, [x, y]: [f32; 2]) -> (Pixel, [f32; 2]) {
        let [u, v] = self.pose.trace(self.relief, x, y);
        let room = self.lamp.room();
        let face = self.outline.distance(u, v);
        let mut p = Pixel { colour: [0.0; 3], label: 0, width: self.width };
        if face > -self.width {
            let wall = backdrop::colour(&self.f.scene, x, y, self.limit);
            p.colour = std::array::from_fn(|c| wall[c] * room[c]);
            self.behind(&mut p, x, y, u, v, face);
        }
        if face < self.width {
            self.face(&mut p, u, v, face);
        }
        if let Some(hair) = &self.hair {
            let d = hair.front(u, v);
            if d < 0.09 && face < self.width {
                // the hair's own shadow on the forehead
                let k = 0.28 * step(0.09, 0.0, d);
                p.darken(if d > 0.0 { k } else { 0.0 });
            }
            if d < self.width {
                p.over(d, 1.0, self.hair_colour(hair, u, v, 1.0), Some(10));
            }
        }
        (p, [u, v])
    }

    /// Hair at the back, clothes, neck and ears.
    fn behind(&self, p: &mut Pixel, x: f32, y: f32, u: f32, v: f32, face: f32) {
        if let Some(hair) = &self.hair {
            let d = hair.back(u, v);
            if d < self.width {
                p.over(d, 1.0, self.hair_colour(hair, u, v, 0.55), Some(10));
            }
        }
        if y > 0.3 {
            let [neck, cloth] = outline::torso(self.id, x, y);
            if neck < self.width && face > -0.1 {
                let tone = self.lamp.flat(self.id.skin.colour, [0.9 * x, 0.25, 0.75]);
                let shadow = 0.60 + 0.30 * step(0.0, 0.45, face) - 0.25 * step(0.25, 0.5, x.abs());
                p.over(neck, 1.0, tone.map(|c| c * shadow), Some(0));
            }
            if cloth < self.width {
                let tone =
                    self.lamp.flat(backdrop::cloth(&self.f.scene, x, y, self.limit), [0.5 * x, -0.3, 0.8]);
                p.over(cloth, 1.0, tone, Some(0));
            }
        }
        for side in [-1.0, 1.0] {
            let d = outline::ear(self.id, side, u, v);
            if d < self.width {
                let mut tone = self.lamp.flat(self.id.skin.colour, [0.6 * side, 0.0, 0.8]);
                let inner = 0.35 * step(-0.035, -0.075, d) + 0.15 * bump((d + 0.03) * (d + 0.03) / 0.0002);
                tone = [
                    tone[0] * (0.92 - 0.6 * inner),
                    tone[1] * (0.80 - inner * 0.7),
                    tone[2] * (0.80 - inner * 0.7),
                ];
                p.over(d, 1.0, tone, Some(0));
            }
        }
    }

    /// Skin with everything that is on it.
    fn face(&self, p: &mut Pixel, u: f32, v: f32, d: f32) {
        let (id, f) = (self.id, self.f);
        let z = self.relief.z(u, v);
        let normal = self.pose.turn(self.relief.normal(u, v, z));
        let mut albedo = skin::albedo(id, f, u, v, self.limit);
        let mut gloss = id.skin.shine * (0.5 + 0.5 * bump((u / 0.3).powi(2) + ((v + 0.3) / 0.45).powi(2)));
        let nose = features::nose(id, u, v);
        let mouth = features::mouth(id, f, self.relief.drop, u, v);
        let mut lip = None;
        if let Some(m) = &mouth {
            let on = (0.5 - m.upper.min(m.lower) / (self.width + 0.012)).clamp(0.0, 1.0);
            if on > 0.0 {
                let crack =
                    1.0 + 0.10 * noise::value(u * 40.0, v * 6.0, id.key ^ 0x11) * step(6.0, 20.0, self.limit);
                let shade = if m.upper < m.lower { 0.80 } else { 1.0 } * crack;
                let t = on * 0.92;
                albedo = std::array::from_fn(|c| albedo[c] * (1.0 - t) + id.mouth.colour[c] * shade * t);
                gloss = gloss * (1.0 - on) + on * id.mouth.gloss * 1.6;
            }
            lip = if m.upper < 0.0 {
                Some(7)
            } else if m.lower < 0.0 {
                Some(9)
            } else {
                None
            };
        }
        let lit = self.lamp.skin(albedo, normal, gloss);
        p.over(d, 1.0, lit, Some(1));
        if d >= 0.0 {
            return;
        }
        self.shadows(p, u, v);
        if let Some([edge, nostril]) = nose {
            if edge < 0.0 {
                p.label = 6;
            }
            p.over(nostril - 0.006, 0.75 + 0.2 * f.pitch.min(0.0), lit.map(|c| c * 0.16), None);
        }
        if let Some(m) = mouth {
            if let Some(label) = lip {
                p.label = label;
            }
            self.inside_mouth(p, &m);
        }
        for (i, side) in [-1.0, 1.0].into_iter().enumerate() {
            self.eye(p, side, u, v, normal, 4 + i as u8);
            if let Some([d, along]) = features::brow(id, f, side, u, v)
                && d < 0.03
            {
                self.brow(p, side, (u, v), d, along);
                if d < 0.0 {
                    p.label = 2 + i as u8;
                }
            }
        }
    }

    fn brow(&self, p: &mut Pixel, side: f32, (u, v): (f32, f32), d: f32, along: f32) {
        let id = self.id;
        let hairs = noise::fractal(u * 0.7 + v * 1.4 * side, v * 0.5, 14.0, self.limit * 1.5, id.key ^ 0x22);
        let alpha = id.brows.density * (0.86 + 0.35 * hairs) * (1.0 - 0.35 * step(0.5, -1.0, along));
        let tone = self.lamp.flat(id.brows.colour, [0.0, 0.0, 1.0]);
        p.over(d + 0.008 * hairs, alpha.clamp(0.0, 1.0), tone, None);
    }

    /// Soft shadows the height field cannot cast by itself.
    fn shadows(&self, p: &mut Pixel, u: f32, v: f32) {
        let id = self.id;
        let [lx, ly] = self.lamp.cast();
        let tip = id.nose.length;
        let under =
            bump(((u + 0.10 * lx) / (0.14 + 0.02 * lx.abs())).powi(2) + ((v - tip - 0.035) / 0.045).powi(2));
        let beside =
            bump(((u + 0.17 * lx) / 0.08).powi(2) + ((v - tip + 0.12) / 0.15).powi(2)) * lx.abs().min(1.0);
        let low = id.mouth.height + 0.75 * self.relief.drop + id.mouth.lower;
        let chin = bump((u / 0.17).powi(2) + ((v - low - 0.028) / 0.035).powi(2));
        p.darken((0.26 * under * ly + 0.22 * beside + 0.18 * chin * ly).min(0.7));
    }

    fn inside_mouth(&self, p: &mut Pixel, m: &features::MouthAt) {
        let seam = (m.line.abs() - 0.007).max((m.across.abs() - 0.97) * 0.2);
        let corner = bump(((m.across.abs() - 0.98) / 0.10).powi(2) + (m.line / 0.02).powi(2));
        p.darken(0.35 * corner);
        p.over(seam, 0.72, p.colour.map(|c| c * 0.22), None);
        if m.inner < self.width {
            let dark = self.lamp.flat([0.055, 0.012, 0.012], [0.0, 0.0, 1.0]);
            p.over(m.inner, 0.97, dark, Some(8));
            let teeth = (m.inner + 0.003).max(m.depth - 0.050).max(m.across.abs() * 0.25 - 0.16);
            if m.inner < 0.0 && teeth < self.width {
                let gaps = 1.0 - 0.20 * step(0.75, 1.0, (m.across * 19.0).cos().abs());
                let shade = (1.0 - 0.55 * m.across * m.across) * gaps;
                p.over(
                    teeth,
                    0.9,
                    self.lamp.flat([0.62, 0.57, 0.48].map(|c| c * shade), [0.0, 0.2, 1.0]),
                    Some(8),
                );
            }
        }
    }

    fn eye(&self, p: &mut Pixel, side: f32, u: f32, v: f32, normal: [f32; 3], label: u8) {
        let id = self.id;
        let Some(e) = features::eye(id, self.f, side, u, v) else { return };
        // crease above the lid
        let crease = bump(((e.above - 0.030 - 0.010 * (1.0 - e.along * e.along)) / 0.011).powi(2))
            * (1.0 - e.along.powi(4)).max(0.0);
        if e.along.abs() < 1.0 {
            p.darken(0.34 * id.eyes.crease * crease);
        }
        if e.opening < self.width {
            let lid_shadow = 1.0 - 0.45 * step(-0.045, 0.0, e.above);
            let corner = bump(((e.along + 0.96) / 0.16).powi(2));
            let white = [0.62, 0.57 - 0.2 * corner, 0.54 - 0.22 * corner]
                .map(|c| c * (1.0 - 0.30 * e.along * e.along));
            let mut ball = self.lamp.flat(white, normal).map(|c| c * lid_shadow);
            let r = 1.0 + e.iris / id.eyes.iris_radius;
            if e.iris < self.width {
                let spokes =
                    1.0 + 0.35 * noise::value(e.offset[0].atan2(e.offset[1]) * 5.0, r * 3.0, id.key ^ 0x44);
                let rim = 1.0 - 0.75 * step(0.72, 1.0, r);
                let glow = 0.75 + 0.5 * step(-0.5, 0.8, e.offset[1] / id.eyes.iris_radius);
                let iris = self
                    .lamp
                    .flat(id.eyes.iris.map(|c| c * spokes * rim * glow), normal)
                    .map(|c| c * lid_shadow);
                let mut eye = Pixel { colour: ball, label, width: self.width };
                eye.over(e.iris, 1.0, iris, None);
                eye.over(e.pupil, 1.0, [0.004; 3], None);
                let [lx, ly] = self.lamp.cast();
                let (hx, hy) = (e.offset[0] - 0.026 * lx.clamp(-1.0, 1.0), e.offset[1] + 0.012 + 0.018 * ly);
                eye.over((hx * hx + hy * hy).sqrt() - 0.017, 0.85, self.lamp.glint(), None);
                ball = eye.colour;
            }
            p.over(e.opening, 1.0, ball, Some(label));
        }
        // lashes: a dark line along the lids, heavier above and outside
        let reach = (e.along.abs() - 1.04) * id.eyes.width;
        let weight = 0.011 + 0.007 * step(-1.0, 1.0, e.along);
        p.over((e.above - 0.003).abs().max(reach + 0.011) - weight, 0.85, [0.012, 0.009, 0.008], None);
        p.over((e.below - 0.004).abs().max(reach + 0.03) - 0.006, 0.38, p.colour.map(|c| c * 0.3), None);
    }

    fn hair_colour(&self, hair: &HairShape, u: f32, v: f32, depth: f32) -> Colour {
        let [strand, shine] = hair.strands(u, v, self.limit);
        let (x, y) = (u / 0.95, (v + 0.1) / 1.25);
        let z = (1.0 - x * x - y * y).max(0.05).sqrt();
        let k = 1.0 / (x * x + y * y + z * z).sqrt();
        let normal = self.pose.turn([x * k, y * k, z * k]);
        let base = self.id.hair.colour.map(|c| (c * strand.max(0.25) + 0.004) * depth);
        let lit = self.lamp.flat(base, normal);
        let gleam = self.lamp.hair(normal) * shine * depth;
        std::array::from_fn(|c| lit[c] + gleam * (0.03 + 0.5 * self.id.hair.colour[c]))
    }
}
