//! Figures: one plot description → SVG (the master), PNG and the CSV of its data.
//!
//! plotters draws, with an embedded font and nothing from the system; axes are ours, because its own cannot keep
//! labels apart at column width. A plot holds data only and is drawn at any scale: SVG is drawn ten times larger than
//! shown so that coordinates keep a tenth of a pixel, PNG six times larger and averaged down, which smooths its edges.

mod axes;
mod bars;
mod bubbles;
mod canvas;
mod curves;
mod det;
mod forest;
mod heat;
mod histogram;
mod legend;
pub mod palette;
mod radar;
mod reliability;
mod roc;
mod scatter;
mod svg;
#[cfg(test)]
mod tests;

pub use bars::{Bar, Bars};
pub use bubbles::{Bubble, Bubbles};
pub use canvas::{DrawResult, Pen};
pub use curves::{Curves, Line};
pub use det::Det;
pub use forest::{Difference, Forest};
pub use heat::Heat;
pub use histogram::{Histogram, Panel, Threshold};
pub use radar::Radar;
pub use reliability::{Bin, Calibration, Reliability};
pub use roc::{Roc, RocCurve, Scored};
pub use scatter::{Dot, Scatter};
pub use svg::inline;

pub(crate) use canvas::{Anchor, Weight, register_fonts};
pub(crate) use svg::{base64, font_faces};

use crate::Error;
use plotters::coord::Shift;
use plotters::prelude::{BitMapBackend, DrawingArea, DrawingBackend, IntoDrawingArea, SVGBackend, WHITE};

/// Width of a figure over the full text width of a page, in CSS pixels (6.875 in at 96 per inch).
pub const FULL: u32 = 660;

/// Something that can be drawn.
pub trait Plot {
    /// File-name-safe name.
    fn id(&self) -> &str;
    /// Heading, drawn and given to assistive technology.
    fn title(&self) -> &str;
    /// What is to be seen, in a sentence or two, for readers who cannot see it.
    fn description(&self) -> String;
    /// The data behind the figure.
    fn csv(&self) -> String;
    /// Width and height in CSS pixels.
    fn size(&self) -> (u32, u32);
    /// Refuses data that cannot be drawn honestly.
    ///
    /// # Errors
    /// Nothing to draw, or numbers that are not finite.
    fn check(&self) -> Result<(), Error>;
    /// Draws on an area of [`Plot::size`] times the pen's scale.
    ///
    /// # Errors
    /// The backend's.
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB>;
}

/// A drawn figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Text alternative.
    pub description: String,
    /// Stand-alone SVG with `<title>`, `<desc>` and the font embedded.
    pub svg: String,
    /// The data, as CSV.
    pub csv: String,
    /// PNG at twice the CSS size, when asked for.
    pub png: Option<Vec<u8>>,
}

/// SVG coordinates per CSS pixel.
const SVG_SCALE: u32 = 10;
/// PNG pixels per CSS pixel.
const PNG_SCALE: u32 = 2;
/// Drawn pixels per PNG pixel and side, averaged.
const SUPERSAMPLE: u32 = 2;

/// Draws a plot.
///
/// # Errors
/// [`Plot::check`], or the drawing backend.
pub fn render<P: Plot>(plot: &P, png: bool) -> Result<Figure, Error> {
    plot.check()?;
    register_fonts();
    let failed = |message: String| Error::Backend { figure: plot.id().to_owned(), message };
    let (width, height) = plot.size();
    let mut raw = String::new();
    {
        let area =
            SVGBackend::with_string(&mut raw, (width * SVG_SCALE, height * SVG_SCALE)).into_drawing_area();
        plot.draw(&area, &Pen::svg(SVG_SCALE)).map_err(|e| failed(e.to_string()))?;
        area.present().map_err(|e| failed(e.to_string()))?;
    }
    let description = plot.description();
    let svg = svg::finish(&raw, (width, height), plot.title(), &description);
    let png = if png { Some(raster(plot, (width, height)).map_err(failed)?) } else { None };
    Ok(Figure { id: plot.id().into(), title: plot.title().into(), description, svg, csv: plot.csv(), png })
}

fn raster<P: Plot>(plot: &P, (width, height): (u32, u32)) -> Result<Vec<u8>, String> {
    let scale = PNG_SCALE * SUPERSAMPLE;
    let (w, h) = (width * scale, height * scale);
    let mut pixels = vec![0_u8; w as usize * h as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (w, h)).into_drawing_area();
        area.fill(&WHITE).map_err(|e| e.to_string())?;
        plot.draw(&area, &Pen::bitmap(scale)).map_err(|e| e.to_string())?;
        area.present().map_err(|e| e.to_string())?;
    }
    let small =
        shrink(&pixels, (width * PNG_SCALE) as usize, (height * PNG_SCALE) as usize, SUPERSAMPLE as usize);
    encode_png(&small, width * PNG_SCALE, height * PNG_SCALE)
}

/// Means of `k × k` blocks of an RGB image; `w` and `h` are the size of the result.
pub(crate) fn shrink(pixels: &[u8], w: usize, h: usize, k: usize) -> Vec<u8> {
    let count = u32::try_from(k * k).expect("a small block");
    let mut out = Vec::with_capacity(w * h * 3);
    for y in 0..h {
        for x in 0..w {
            for c in 0..3 {
                let mut sum = count / 2; // rounds to nearest
                for row in y * k..(y + 1) * k {
                    let from = (row * w * k + x * k) * 3 + c;
                    sum += (0..k).map(|i| u32::from(pixels[from + 3 * i])).sum::<u32>();
                }
                out.push(u8::try_from(sum / count).expect("a mean of bytes is a byte"));
            }
        }
    }
    out
}

/// PNG of an RGB buffer.
pub(crate) fn encode_png(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, String> {
    use image::ImageEncoder;
    let mut out = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut out);
    encoder.write_image(rgb, width, height, image::ExtendedColorType::Rgb8).map_err(|e| e.to_string())?;
    Ok(out)
}
