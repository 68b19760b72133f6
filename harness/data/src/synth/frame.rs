//! What changes from frame to frame: pose, expression, light, and where the head is in the picture.
//!
//! A video is a smooth path through these: a base drawn once, plus slow sinusoids. So frames of one video share
//! light, distance and background, and differ in pose and expression, as in the real sets (a crop around a detected
//! face, 1.3 times its size, not aligned).

use std::f32::consts::TAU;

use facebench_protocols::rng::Stream;

use super::casting::{around, within};
use super::identity::Colour;

/// One frame's pose, expression, light and background.
#[derive(Clone, Debug)]
pub struct FrameParams {
    /// Head turn, radians, positive to the right of the picture.
    pub yaw: f32,
    /// Nod, radians, positive down.
    pub pitch: f32,
    /// Tilt in the picture plane, radians.
    pub roll: f32,
    /// Half the picture's side in face units; 1.25 is the usual crop.
    pub span: f32,
    /// Where the face's origin lies, face units from the picture's centre.
    pub shift: [f32; 2],
    /// Mouth opening, 0 closed to 1 wide open.
    pub mouth_open: f32,
    /// Smile, -0.5 to 1.
    pub smile: f32,
    /// Closure of the eye at the left and the right of the picture, 0 open to 1 closed.
    pub eye_closed: [f32; 2],
    /// Brow raise, -0.5 to 1.
    pub brow_raise: f32,
    /// Gaze, -1 to 1 in u and v.
    pub gaze: [f32; 2],
    /// Light.
    pub light: Light,
    /// What is behind the head.
    pub scene: Scene,
}

/// A key light, its colour, and what is left in the shade.
#[derive(Clone, Debug)]
pub struct Light {
    /// Direction towards the light, unit, z towards the camera.
    pub direction: [f32; 3],
    /// Colour and strength of the key light.
    pub key: Colour,
    /// Colour and strength of the ambient light.
    pub ambient: Colour,
}

/// Background and clothes.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Two colours of the wall.
    pub wall: [Colour; 2],
    /// Direction of the gradient between them, radians.
    pub tilt: f32,
    /// How much of the wall is blurred shapes, 0 to 1.
    pub clutter: f32,
    /// Colour of the clothes.
    pub cloth: Colour,
    /// Key of the scene's noise.
    pub key: u32,
}

/// How varied a video is.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Spread of the yaw, radians.
    pub yaw: f32,
    /// Spread of the pitch, radians.
    pub pitch: f32,
    /// Spread of the roll, radians.
    pub roll: f32,
    /// Smallest and largest `span`.
    pub span: [f32; 2],
    /// Smallest and largest exposure.
    pub light: [f32; 2],
    /// Largest ratio of key light to ambient, 0 flat to 1 harsh.
    pub harsh: f32,
    /// Largest clutter of the background.
    pub clutter: f32,
}

impl Range {
    /// Interviews and news: frontal, well lit.
    pub const STUDIO: Self = Self {
        yaw: 0.22,
        pitch: 0.09,
        roll: 0.06,
        span: [1.18, 1.36],
        light: [0.62, 0.98],
        harsh: 0.75,
        clutter: 0.8,
    };
    /// Anything goes.
    pub const WILD: Self = Self {
        yaw: 0.32,
        pitch: 0.14,
        roll: 0.12,
        span: [1.02, 1.55],
        light: [0.4, 1.2],
        harsh: 1.0,
        clutter: 1.0,
    };
    /// Somebody in front of a phone or laptop.
    pub const SELFIE: Self = Self {
        yaw: 0.12,
        pitch: 0.10,
        roll: 0.05,
        span: [1.15, 1.32],
        light: [0.55, 1.0],
        harsh: 0.7,
        clutter: 1.0,
    };
}

/// A smooth path through [`FrameParams`].
#[derive(Clone, Debug)]
pub struct Motion {
    base: FrameParams,
    range: Range,
    /// Phase and speed of each moving quantity.
    waves: [[f32; 2]; 9],
    talks: f32,
}

impl Motion {
    /// Draws a video.
    #[must_use]
    pub fn draw(rng: &mut Stream, range: Range) -> Self {
        let scene = draw_scene(rng, range);
        let light = draw_light(rng, range);
        let base = FrameParams {
            yaw: around(rng, 0.0, range.yaw * 0.8).clamp(-0.5, 0.5),
            pitch: around(rng, 0.0, range.pitch * 0.7).clamp(-0.25, 0.25),
            roll: around(rng, 0.0, range.roll),
            span: within(rng, range.span[0], range.span[1]),
            shift: [around(rng, 0.0, 0.03), around(rng, 0.06, 0.03)],
            mouth_open: 0.0,
            smile: around(rng, 0.1, 0.3).clamp(-0.4, 1.0),
            eye_closed: [0.0; 2],
            brow_raise: around(rng, 0.0, 0.2).clamp(-0.4, 0.8),
            gaze: [around(rng, 0.0, 0.25), around(rng, 0.0, 0.15)],
            light,
            scene,
        };
        let waves = std::array::from_fn(|_| [within(rng, 0.0, TAU), within(rng, 0.4, 2.6)]);
        Self { base, range, waves, talks: within(rng, 0.0, 0.75) }
    }

    /// The frame at time `t`, 0 at the start of the video and 1 at its end.
    #[must_use]
    pub fn at(&self, t: f32) -> FrameParams {
        let wave = |i: usize| (self.waves[i][0] + self.waves[i][1] * TAU * t).sin();
        let mut f = self.base.clone();
        f.yaw = (f.yaw + 0.35 * self.range.yaw * wave(0)).clamp(-0.55, 0.55);
        f.pitch = (f.pitch + 0.35 * self.range.pitch * wave(1)).clamp(-0.28, 0.28);
        f.roll += 0.3 * self.range.roll * wave(2);
        f.span *= 1.0 + 0.02 * wave(3);
        f.shift = [f.shift[0] + 0.015 * wave(4), f.shift[1] + 0.015 * wave(5)];
        f.mouth_open = (self.talks * (0.2 + 0.9 * wave(6))).clamp(0.0, 0.85);
        f.smile = (f.smile + 0.15 * wave(7)).clamp(-0.4, 1.0);
        f.brow_raise += 0.15 * wave(8);
        let blink = wave(5) * wave(7);
        let closed = if blink > 0.82 { 1.0 } else { (0.12 + 0.15 * wave(4)).max(0.0) };
        f.eye_closed = [closed, (closed + 0.04 * wave(2)).clamp(0.0, 1.0)];
        f
    }
}

fn draw_light(rng: &mut Stream, range: Range) -> Light {
    let exposure = within(rng, range.light[0], range.light[1]);
    let harsh = range.harsh * rng.uniform() as f32;
    let azimuth = around(rng, 0.0, 0.55);
    let elevation = around(rng, 0.45, 0.25);
    let (sa, ca) = azimuth.sin_cos();
    let (se, ce) = elevation.sin_cos();
    let warm = around(rng, 0.0, 0.07);
    let key = exposure * (0.45 + 0.65 * harsh);
    let fill = exposure * (0.62 - 0.40 * harsh);
    Light {
        direction: [sa * ce, -se, ca * ce],
        key: [key * (1.0 + warm), key, key * (1.0 - 1.4 * warm)],
        ambient: [fill * (1.0 - 0.4 * warm), fill, fill * (1.0 + 0.6 * warm)],
    }
}

fn draw_scene(rng: &mut Stream, range: Range) -> Scene {
    let mut tint = |level: f32, chroma: f32| -> Colour {
        std::array::from_fn(|_| (level * (1.0 + chroma * (2.0 * rng.uniform() as f32 - 1.0))).clamp(0.0, 1.0))
    };
    let wall = tint(0.22, 0.55);
    let other = tint(0.14, 0.7);
    let cloth = tint(0.16, 0.9);
    let lift = within(rng, 0.3, 2.4);
    Scene {
        wall: [wall.map(|c| (c * lift).min(0.9)), other.map(|c| (c * lift).min(0.9))],
        tilt: within(rng, 0.0, TAU),
        clutter: range.clutter * rng.uniform() as f32,
        cloth: cloth.map(|c| c * within(rng, 0.2, 1.8)),
        key: rng.next_u64() as u32,
    }
}
