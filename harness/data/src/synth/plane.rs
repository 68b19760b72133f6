//! A picture as three `f32` channels, with the few filters that cameras and forgers need.
//!
//! Not the transforms of the evaluation path: those are bit-exact copies of PIL's and live elsewhere. These only have
//! to be smooth, fast and the same everywhere.

use crate::image::Rgb;

/// A picture, `f32` per channel, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<[f32; 3]>,
}

impl Plane {
    pub(crate) fn from_rgb(rgb: &Rgb) -> Self {
        let pixels = rgb.pixels.as_chunks::<3>().0.iter().map(|p| p.map(|v| f32::from(v) / 255.0)).collect();
        Self { width: rgb.width, height: rgb.height, pixels }
    }

    pub(crate) fn to_rgb(&self) -> Rgb {
        let pixels = self.pixels.iter().flatten().map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
        Rgb { width: self.width, height: self.height, pixels }
    }

    /// Gaussian blur with this standard deviation in pixels, edges repeated.
    pub(crate) fn blurred(&self, sigma: f32) -> Self {
        if sigma < 0.15 {
            return self.clone();
        }
        let reach = (2.5 * sigma).ceil() as usize;
        let mut kernel: Vec<f32> = (0..=reach).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
        let total = kernel[0] + 2.0 * kernel[1..].iter().sum::<f32>();
        kernel.iter_mut().for_each(|k| *k /= total);
        self.pass(&kernel, 1, 0).pass(&kernel, 0, 1)
    }

    fn pass(&self, kernel: &[f32], dx: usize, dy: usize) -> Self {
        let (w, h) = (self.width, self.height);
        let mut pixels = Vec::with_capacity(w * h);
        for y in 0..h {
            for x in 0..w {
                let mut sum = self.pixels[y * w + x].map(|v| v * kernel[0]);
                for (i, k) in kernel.iter().enumerate().skip(1) {
                    let back = self.pixels[y.saturating_sub(i * dy) * w + x.saturating_sub(i * dx)];
                    let ahead = self.pixels[(y + i * dy).min(h - 1) * w + (x + i * dx).min(w - 1)];
                    for c in 0..3 {
                        sum[c] += k * (back[c] + ahead[c]);
                    }
                }
                pixels.push(sum);
            }
        }
        Self { width: w, height: h, pixels }
    }

    /// Unsharp mask.
    pub(crate) fn sharpened(&self, sigma: f32, amount: f32) -> Self {
        let soft = self.blurred(sigma.max(0.3));
        self.zip(&soft, |a, b| a + amount * (a - b))
    }

    /// Combines two pictures of one size, channel by channel.
    pub(crate) fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let pixels = self
            .pixels
            .iter()
            .zip(&other.pixels)
            .map(|(a, b)| std::array::from_fn(|c| f(a[c], b[c])))
            .collect();
        Self { width: self.width, height: self.height, pixels }
    }

    /// `self` where the mask is 0, `other` where it is 1.
    pub(crate) fn blended(&self, other: &Self, mask: &[f32]) -> Self {
        let pixels = self
            .pixels
            .iter()
            .zip(&other.pixels)
            .zip(mask)
            .map(|((a, b), m)| std::array::from_fn(|c| a[c] + m * (b[c] - a[c])))
            .collect();
        Self { width: self.width, height: self.height, pixels }
    }

    /// Bilinear sample at pixel coordinates (pixel centres at half-integers), edges repeated.
    pub(crate) fn sample(&self, x: f32, y: f32) -> [f32; 3] {
        let (x, y) = (x - 0.5, y - 0.5);
        let (fx, fy) = (x.floor(), y.floor());
        let (tx, ty) = (x - fx, y - fy);
        let at = |ix: f32, iy: f32| {
            let ix = (ix.max(0.0) as usize).min(self.width - 1);
            let iy = (iy.max(0.0) as usize).min(self.height - 1);
            self.pixels[iy * self.width + ix]
        };
        let (a, b, c, d) = (at(fx, fy), at(fx + 1.0, fy), at(fx, fy + 1.0), at(fx + 1.0, fy + 1.0));
        std::array::from_fn(|i| {
            (a[i] * (1.0 - tx) + b[i] * tx) * (1.0 - ty) + (c[i] * (1.0 - tx) + d[i] * tx) * ty
        })
    }

    /// A picture of another size: box average going down, bilinear going up.
    pub(crate) fn resized(&self, width: usize, height: usize) -> Self {
        let (kx, ky) = (self.width as f32 / width as f32, self.height as f32 / height as f32);
        let source = if kx > 1.2 || ky > 1.2 { self.blurred(0.42 * kx.max(ky)) } else { self.clone() };
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                pixels.push(source.sample((x as f32 + 0.5) * kx, (y as f32 + 0.5) * ky));
            }
        }
        Self { width, height, pixels }
    }

    /// Pixels taken from elsewhere: `map` gives the source of each pixel centre.
    pub(crate) fn warped(&self, map: impl Fn(f32, f32) -> [f32; 2]) -> Self {
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..self.height {
            for x in 0..self.width {
                let [sx, sy] = map(x as f32 + 0.5, y as f32 + 0.5);
                pixels.push(self.sample(sx, sy));
            }
        }
        Self { width: self.width, height: self.height, pixels }
    }

    /// Mean and standard deviation of each channel under a mask.
    pub(crate) fn moments(&self, mask: &[f32]) -> [[f32; 2]; 3] {
        let total: f32 = mask.iter().sum::<f32>().max(1e-6);
        std::array::from_fn(|c| {
            let mean = self.pixels.iter().zip(mask).map(|(p, m)| m * p[c]).sum::<f32>() / total;
            let var =
                self.pixels.iter().zip(mask).map(|(p, m)| m * (p[c] - mean).powi(2)).sum::<f32>() / total;
            [mean, var.sqrt()]
        })
    }

    /// Moves each channel's mean and spread under `mask` towards those of `target`, by `amount` (0 to 1).
    pub(crate) fn matched(&self, mask: &[f32], target: [[f32; 2]; 3], amount: f32) -> Self {
        let own = self.moments(mask);
        let pixels = self
            .pixels
            .iter()
            .map(|p| {
                std::array::from_fn(|c| {
                    let gain = (target[c][1] / own[c][1].max(0.01)).clamp(0.6, 1.6);
                    let moved = target[c][0] + (p[c] - own[c][0]) * gain;
                    p[c] + amount * (moved - p[c])
                })
            })
            .collect();
        Self { width: self.width, height: self.height, pixels }
    }
}
