//! Picture grids: masks and reconstructions, one example per column, one kind of picture per row.
//!
//! Pictures are enlarged by whole factors without smoothing, so that a patch stays a patch. Captions use the embedded
//! font. The legend says what hidden and covered patches look like.

use crate::Error;
use crate::overlay::cividis;
use crate::plot::{Anchor, Pen, Weight, encode_png, palette, register_fonts, shrink};
use image::RgbImage;
use plotters::prelude::{BitMapBackend, IntoDrawingArea};
use std::path::Path;

/// Rows of the mask-and-reconstruction grid: file-name part and caption.
pub const KINDS: [(&str, &str); 4] = [
    ("image", "image"),
    ("masked", "masked"),
    ("reconstruction", "reconstruction"),
    ("region", "covered region"),
];

/// Pixels per CSS pixel.
pub(crate) const SCALE: u32 = 2;
/// Drawn pixels per pixel and side, averaged; smooths the captions and leaves the pictures as they are.
const SUPERSAMPLE: u32 = 3;
/// Smallest side of a picture in pixels; smaller ones are enlarged.
const SIDE: u32 = 176;
/// Most examples side by side.
const ACROSS: usize = 8;
/// Space between pictures, and room for row captions and the title, in pixels.
const GAP: u32 = 12;
const LEFT: u32 = 230;
const TOP: u32 = 76;

/// Height of a line of column captions and of the note, in pixels.
const LINE: u32 = 28;
/// Least width of a grid with a colour bar: room for title and notes.
const NOTES: u32 = 2 * crate::plot::FULL;
/// Width and height of the colour bar, in pixels.
const BAR: (u32, u32) = (300, 20);

/// A labelled grid of pictures.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    /// File-name-safe name.
    pub id: String,
    /// Heading; should say `synthetic` where the faces are.
    pub title: String,
    /// Caption and pictures of each row; rows may differ in length.
    pub rows: Vec<(String, Vec<RgbImage>)>,
    /// Captions above each column, line by line; empty for none.
    pub heads: Vec<Vec<String>>,
    /// Lines below the pictures.
    pub note: String,
    /// Smallest side of a picture in pixels; smaller ones are enlarged by whole factors. 0 for the usual one.
    pub side: u32,
    /// Captions of the two ends of a bar with the colours of [`crate::overlay`]; none draws no bar.
    pub scale: Option<(String, String)>,
}

impl Grid {
    /// The grid of the pictures a pre-training left in `folder` as `{i}-{kind}.png`; `None` if there are none.
    ///
    /// # Errors
    /// A picture that is there cannot be read.
    pub fn reconstructions(id: &str, title: &str, folder: &Path) -> Result<Option<Self>, Error> {
        let mut rows = Vec::new();
        for (kind, caption) in KINDS {
            let mut pictures = Vec::new();
            for i in 0..ACROSS {
                let path = folder.join(format!("{i}-{kind}.png"));
                if path.is_file() {
                    pictures.push(read(&path)?);
                }
            }
            // Without region masking the last row repeats the second.
            let repeats = rows.iter().any(|(_, others): &(String, Vec<RgbImage>)| *others == pictures);
            if !pictures.is_empty() && !repeats {
                rows.push((caption.to_owned(), pictures));
            }
        }
        let tinted = rows.iter().any(|(caption, _)| caption == KINDS[3].1);
        let more = if tinted { " · tinted: the facial region hidden as a whole" } else { "" };
        let note = format!("grey: hidden from the encoder{more}");
        let (id, title) = (id.into(), title.into());
        Ok((!rows.is_empty()).then(|| Grid { id, title, rows, note, ..Grid::default() }))
    }

    /// The grid as PNG.
    ///
    /// # Errors
    /// No pictures, or the encoder fails.
    pub fn png(&self) -> Result<Vec<u8>, Error> {
        let failed = |message: String| Error::Backend { figure: self.id.clone(), message };
        let first = self.rows.iter().flat_map(|r| &r.1).next();
        let Some(first) = first.filter(|p| p.width() > 0 && p.height() > 0) else {
            return Err(Error::Figure { figure: self.id.clone(), message: "no pictures".into() });
        };
        let side = if self.side == 0 { SIDE } else { self.side };
        let factor = side.div_ceil(first.width().max(first.height())).max(1);
        let (w, h) = (first.width() * factor, first.height() * factor);
        let across =
            u32::try_from(self.rows.iter().map(|r| r.1.len()).max().unwrap_or(0)).unwrap_or(u32::MAX);
        let rows = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let top = self.top();
        let below = (0..).zip(self.note.lines()).map(|(i, _)| LINE * (i + 1)).last().unwrap_or(0);
        let bar = if self.scale.is_some() { BAR.1 + 16 } else { 0 };
        let pictures = LEFT + across * (w + GAP) + GAP;
        let width = if self.scale.is_some() { pictures.max(NOTES) } else { pictures };
        let height = top + rows * (h + GAP) + 28 + below + bar;
        let k = SUPERSAMPLE;
        let (wide, high) = (width * k, height * k);
        let mut pixels = vec![255_u8; wide as usize * high as usize * 3];
        self.captions(&mut pixels, (wide, high), (w, h)).map_err(failed)?;
        let mut pixels = shrink(&pixels, width as usize, height as usize, k as usize);
        for (r, (_, pictures)) in (0..).zip(&self.rows) {
            for (c, picture) in (0..).zip(pictures) {
                blit(&mut pixels, width, picture, (LEFT + c * (w + GAP), top + r * (h + GAP)), (w, h));
            }
        }
        if self.scale.is_some() {
            let ramp =
                RgbImage::from_fn(BAR.0, 1, |x, _| image::Rgb(cividis(f64::from(x) / f64::from(BAR.0))));
            blit(&mut pixels, width, &ramp, (LEFT, top + rows * (h + GAP) + 8), BAR);
        }
        encode_png(&pixels, width, height).map_err(failed)
    }

    /// Pixels above the first row of pictures.
    fn top(&self) -> u32 {
        let lines = self.heads.iter().map(Vec::len).max().unwrap_or(0);
        TOP + LINE * u32::try_from(lines).unwrap_or(0)
    }

    fn captions(
        &self,
        pixels: &mut [u8],
        (width, height): (u32, u32),
        (w, h): (u32, u32),
    ) -> Result<(), String> {
        register_fonts();
        let pen = Pen::bitmap(SCALE * SUPERSAMPLE);
        let css = |v: u32| f64::from(v) / f64::from(SCALE);
        let right = css(width) / f64::from(SUPERSAMPLE);
        let area = BitMapBackend::with_buffer(pixels, (width, height)).into_drawing_area();
        let write = |text: &str, at: (f64, f64), size: f64, weight: Weight, room: f64, colour| {
            let text = pen.fit(text, size, weight, room);
            pen.text(&area, &text, at, size, (Anchor::Left, weight, colour)).map_err(|e| e.to_string())
        };
        let text = |text: &str, at: (f64, f64), size: f64, weight: Weight, colour| {
            write(text, at, size, weight, right - at.0 - 8.0, colour)
        };
        text(&self.title, (12.0, 22.0), 13.0, Weight::Bold, palette::INK)?;
        for (c, lines) in (0..).zip(&self.heads) {
            let left = css(LEFT + c * (w + GAP));
            for (i, line) in (0..).zip(lines) {
                let weight = if i == 0 { Weight::Bold } else { Weight::Normal };
                let base = css(TOP + LINE * (i + 1)) - 7.0;
                write(line, (left, base), 10.5, weight, css(w), palette::INK)?;
            }
        }
        let top = self.top();
        let rows = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        for (r, (caption, _)) in (0..).zip(&self.rows) {
            let middle = css(top + r * (h + GAP) + h / 2) + 4.0;
            write(caption, (12.0, middle), 12.0, Weight::Normal, css(LEFT) - 16.0, palette::INK)?;
        }
        let mut under = top + rows * (h + GAP);
        if let Some((low, high)) = &self.scale {
            let base = css(under + 8 + BAR.1) - 2.0;
            let beside = css(LEFT) - 6.0;
            let at = (beside - pen.width(low, 11.0, Weight::Normal), base);
            text(low, at, 11.0, Weight::Normal, palette::FAINT)?;
            text(high, (css(LEFT + BAR.0) + 6.0, base), 11.0, Weight::Normal, palette::FAINT)?;
            under += BAR.1 + 16;
        }
        for (i, line) in (0..).zip(self.note.lines()) {
            text(line, (12.0, css(under + LINE * (i + 1)) + 2.0), 11.0, Weight::Normal, palette::FAINT)?;
        }
        area.present().map_err(|e| e.to_string())
    }
}

fn read(path: &Path) -> Result<RgbImage, Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let picture = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png);
    picture.map(|p| p.to_rgb8()).map_err(|e| Error::Picture { path: path.to_owned(), message: e.to_string() })
}

/// Copies `picture`, scaled to `(w, h)` by nearest neighbour, to `(left, top)`.
fn blit(pixels: &mut [u8], width: u32, picture: &RgbImage, (left, top): (u32, u32), (w, h): (u32, u32)) {
    for y in 0..h {
        for x in 0..w {
            let source = picture.get_pixel(x * picture.width() / w, y * picture.height() / h);
            let at = ((top + y) as usize * width as usize + (left + x) as usize) * 3;
            pixels[at..at + 3].copy_from_slice(&source.0);
        }
    }
}
