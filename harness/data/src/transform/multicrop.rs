//! The views of multi-crop training: large and small random parts of one face, strongly changed.
//!
//! As DINO describes them (Caron et al., arXiv 2104.14294, §3.2 and appendix, after BYOL, arXiv 2006.07733,
//! appendix B): random resized crop (bicubic), mirror p = 0.5, colour jitter p = 0.8 (brightness, contrast 0.4,
//! saturation 0.2, hue 0.1, in random order), grey p = 0.2, Gaussian blur of deviation 0.1 to 2 pixels (first
//! global view always, second p = 0.1, local views p = 0.5), solarise p = 0.2 on the second global view. Every
//! view has a stream of its own, so the picture does not depend on how many views there are.

use facebench_protocols::Stream;

use super::augment::{Colour, RandomCrop, blend_colour};
use crate::image::{Filter, Rgb, resize};

/// Sizes and areas of the views.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MultiCrop {
    /// Side of the two global views
    pub global: usize,
    /// Side of the local views
    pub local: usize,
    /// Number of local views
    pub locals: usize,
    /// Smallest and largest share of the image's area in a global view
    pub global_area: [f64; 2],
    /// The same of a local view
    pub local_area: [f64; 2],
    /// Strength of the colour jitter, 1 = published
    pub colour: f64,
}

/// What is done to one kind of view.
struct Recipe {
    side: usize,
    area: [f64; 2],
    blur: f64,
    solarise: f64,
}

impl MultiCrop {
    /// The views of a face: two global ones, then the local ones. `stream` gives the stream of view `v`.
    #[must_use]
    pub fn views(&self, image: &Rgb, stream: impl Fn(usize) -> Stream) -> Vec<Rgb> {
        (0..2 + self.locals).map(|v| self.view(image, v, &mut stream(v))).collect()
    }

    fn view(&self, image: &Rgb, v: usize, stream: &mut Stream) -> Rgb {
        let (side, area) =
            if v < 2 { (self.global, self.global_area) } else { (self.local, self.local_area) };
        let recipe = match v {
            0 => Recipe { side, area, blur: 1.0, solarise: 0.0 },
            1 => Recipe { side, area, blur: 0.1, solarise: 0.2 },
            _ => Recipe { side, area, blur: 0.5, solarise: 0.0 },
        };
        let part =
            RandomCrop { area: recipe.area, ..RandomCrop::default() }.draw(image.width, image.height, stream);
        let part = image.crop(part.left, part.top, part.width, part.height);
        let mut out = resize(&part, recipe.side, recipe.side, Filter::Bicubic);
        if stream.uniform() < 0.5 {
            out = out.flipped();
        }
        if stream.uniform() < 0.8 {
            self.jitter(&mut out, stream);
        }
        if stream.uniform() < 0.2 {
            blend_colour(&mut out, Colour::Saturation, 0.0);
        }
        if stream.uniform() < recipe.blur {
            out = blur(&out, 0.1 + 1.9 * stream.uniform());
        }
        if stream.uniform() < recipe.solarise {
            solarise(&mut out);
        }
        out
    }

    fn jitter(&self, image: &mut Rgb, stream: &mut Stream) {
        let mut order = [0, 1, 2, 3];
        stream.shuffle(&mut order);
        for kind in order {
            let swing = self.colour * (2.0 * stream.uniform() - 1.0);
            match kind {
                0 => blend_colour(image, Colour::Brightness, (1.0 + 0.4 * swing) as f32),
                1 => blend_colour(image, Colour::Contrast, (1.0 + 0.4 * swing) as f32),
                2 => blend_colour(image, Colour::Saturation, (1.0 + 0.2 * swing) as f32),
                _ => turn_hue(image, 0.1 * swing),
            }
        }
    }
}

/// Inverts bytes from 128 on.
pub fn solarise(image: &mut Rgb) {
    for v in &mut image.pixels {
        if *v >= 128 {
            *v = 255 - *v;
        }
    }
}

/// Turns the hue by `turn` (1 = once around the circle), saturation and value (HSV) kept.
pub fn turn_hue(image: &mut Rgb, turn: f64) {
    let turn = (turn * 6.0) as f32;
    for p in image.pixels.chunks_exact_mut(3) {
        let [r, g, b] = [p[0], p[1], p[2]].map(f32::from);
        let (high, low) = (r.max(g).max(b), r.min(g).min(b));
        let chroma = high - low;
        if chroma == 0.0 {
            continue;
        }
        let hue = match high {
            h if h == r => (g - b) / chroma,
            h if h == g => (b - r) / chroma + 2.0,
            _ => (r - g) / chroma + 4.0,
        };
        let hue = (hue + turn).rem_euclid(6.0);
        // distance of each channel's peak on the hue circle decides how much of the chroma it gets
        for (v, peak) in p.iter_mut().zip([0.0, 2.0, 4.0]) {
            let away = (hue - peak).abs().min(6.0 - (hue - peak).abs());
            let share = (2.0 - away).clamp(0.0, 1.0);
            *v = (low + chroma * share).round() as u8;
        }
    }
}

/// Gaussian blur of deviation `sigma` in pixels, cut at three deviations, edges repeated.
#[must_use]
pub fn blur(image: &Rgb, sigma: f64) -> Rgb {
    let radius = (3.0 * sigma).ceil() as usize;
    let weights: Vec<f32> = {
        let raw: Vec<f64> =
            (0..=2 * radius).map(|i| (-0.5 * ((i as f64 - radius as f64) / sigma).powi(2)).exp()).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|w| (w / sum) as f32).collect()
    };
    let (w, h) = (image.width, image.height);
    // along rows, then along columns; the first result stays in floats
    let mut rows = vec![0f32; w * h * 3];
    for y in 0..h {
        let line = &image.pixels[y * w * 3..(y + 1) * w * 3];
        for x in 0..w {
            let out = &mut rows[(y * w + x) * 3..][..3];
            for (k, weight) in weights.iter().enumerate() {
                let from = (x + k).saturating_sub(radius).min(w - 1) * 3;
                for c in 0..3 {
                    out[c] += weight * f32::from(line[from + c]);
                }
            }
        }
    }
    let mut out = Rgb::new(w, h);
    let mut line = vec![0f32; w * 3];
    for y in 0..h {
        line.fill(0.0);
        for (k, weight) in weights.iter().enumerate() {
            let from = (y + k).saturating_sub(radius).min(h - 1) * w * 3;
            for (o, v) in line.iter_mut().zip(&rows[from..from + w * 3]) {
                *o += weight * v;
            }
        }
        for (o, v) in out.pixels[y * w * 3..].iter_mut().zip(&line) {
            *o = (v + 0.5) as u8;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Rgb {
        Rgb::from_fn(40, 30, |x, y| [(x * 6) as u8, (y * 8) as u8, ((x * y) % 256) as u8])
    }

    #[test]
    fn views_have_their_sizes_and_own_streams() {
        let crops = |locals| MultiCrop {
            global: 32,
            local: 16,
            locals,
            global_area: [0.4, 1.0],
            local_area: [0.05, 0.4],
            colour: 1.0,
        };
        let views =
            |locals, seed| crops(locals).views(&picture(), |v| Stream::new("test", seed, &[&v.to_string()]));
        let (few, more) = (views(2, 1), views(5, 1));
        assert_eq!(more.iter().map(|v| v.width).collect::<Vec<_>>(), [32, 32, 16, 16, 16, 16, 16]);
        assert_eq!(few[..], more[..4]);
        assert_ne!(few, views(2, 2));
        assert_ne!(more[2], more[3]);
    }

    #[test]
    fn hue_turns_as_hsv_does() {
        let turned = |rgb: [u8; 3], turn| {
            let mut image = Rgb::from_fn(1, 1, |_, _| rgb);
            turn_hue(&mut image, turn);
            image.get(0, 0)
        };
        assert_eq!(turned([255, 0, 0], 1.0 / 3.0), [0, 255, 0]);
        assert_eq!(turned([255, 0, 0], 1.0 / 6.0), [255, 255, 0]);
        assert_eq!(turned([200, 100, 50], 0.0), [200, 100, 50]);
        assert_eq!(turned([200, 100, 50], 1.0), [200, 100, 50]);
        assert_eq!(turned([200, 100, 50], -1.0 / 3.0), [100, 50, 200]);
        assert_eq!(turned([90, 90, 90], 0.3), [90, 90, 90]);
    }

    #[test]
    fn blurring_keeps_the_mean_and_spreads_a_point() {
        let flat = Rgb::from_fn(9, 9, |_, _| [77, 1, 255]);
        assert_eq!(blur(&flat, 1.3), flat);
        let mut point = Rgb::new(21, 21);
        point.set(10, 10, [255; 3]);
        let soft = blur(&point, 1.0);
        // 255 · (1/(2π)) at the centre, ratio e^(-1/2) one pixel away
        assert_eq!(soft.get(10, 10)[0], 41);
        assert_eq!(soft.get(11, 10)[0], 25);
        assert_eq!(soft.get(9, 10), soft.get(10, 9));
    }

    #[test]
    fn solarising_turns_the_bright_half() {
        let mut image = Rgb::from_fn(2, 1, |x, _| if x == 0 { [127, 128, 255] } else { [0, 200, 10] });
        solarise(&mut image);
        assert_eq!(image.pixels, [127, 127, 0, 0, 55, 10]);
    }
}
