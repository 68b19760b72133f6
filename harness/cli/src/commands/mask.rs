//! `facebench mask`: what a masking strategy hides, as text, picture or array.
//!
//! The random streams are those of the first image of epoch 0 in no experiment in particular: they depend on
//! the seed only. Text output is one character a patch: `.` visible, `#` hidden, `R` hidden and of the
//! covered region.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use facebench_data::image::{self, Filter, Rgb};
use facebench_data::parsing;
use facebench_protocols::Stream;
use serde_json::{Value, json};

use super::shared;
use crate::args::MaskArgs;
use crate::fail::Status;
use crate::out;

/// Grey of hidden patches.
const HIDDEN: [u8; 3] = [128, 128, 128];
/// Vermilion of the Okabe-Ito palette: hidden patches of the covered region.
const COVERED: [u8; 3] = [213, 94, 0];
/// Visible patches where there is no picture.
const VISIBLE: [u8; 3] = [240, 240, 240];
/// Side of a patch in a picture of a mask alone.
const PATCH_PIXELS: usize = 16;
/// Largest grid: ViT-L/14 at 1344 pixels has 96.
const LARGEST_GRID: usize = 256;

/// A mask on a square grid, row by row.
struct Mask {
    grid: usize,
    hidden: Vec<u8>,
    region: Vec<u8>,
}

/// Makes the mask and prints or writes it.
pub(crate) fn run(args: &MaskArgs) -> Result<Status> {
    if !(1..=LARGEST_GRID).contains(&args.grid) {
        return Err(anyhow!("--grid {}: expected 1 to {LARGEST_GRID}", args.grid));
    }
    if !(0.0..=1.0).contains(&args.ratio) {
        return Err(anyhow!("--ratio {}: expected a share from 0 to 1", args.ratio));
    }
    let plugins = shared::plugins(&args.plugins)?;
    let config = Value::Object(shared::plugin_config(&args.set)?);
    let strategy = plugins.masking(&args.strategy, &config)?;
    let map = args.parsing.as_deref().map(parsing::read_npy).transpose()?;
    if strategy.needs_parsing() && map.is_none() {
        return Err(anyhow!(
            "masking `{}` needs a parsing map\nhint: give one with `--parsing MAP.npy`, or use `--strategy random`",
            args.strategy
        ));
    }
    let key = |part: &str| {
        let mut stream = Stream::new("mask", args.seed, &[part]);
        [stream.next_u64(), stream.next_u64()]
    };
    let n = args.grid * args.grid;
    let mut mask = Mask { grid: args.grid, hidden: vec![0; n], region: vec![0; n] };
    strategy.mask(
        map.as_ref().map(|m| (m.labels.as_slice(), m.height, m.width)),
        (args.grid, args.grid),
        args.ratio,
        key("patches"),
        key("region"),
        &mut mask.hidden,
        &mut mask.region,
    )?;
    match &args.out {
        None if args.image.is_some() => {
            Err(anyhow!("--image: a picture needs a file to go to\nhint: add `--out mask.png`"))
        }
        None => out::text(&mask.text()).map(|()| Status::Done),
        Some(path) => mask.write(path, args.image.as_deref(), args).map(|()| Status::Done),
    }
}

impl Mask {
    fn text(&self) -> String {
        let letter = |i: usize| match (self.hidden[i], self.region[i]) {
            (0, _) => '.',
            (_, 0) => '#',
            _ => 'R',
        };
        let row =
            |r: usize| (0..self.grid).map(|c| letter(r * self.grid + c)).chain(['\n']).collect::<String>();
        (0..self.grid).map(row).collect()
    }

    fn write(&self, path: &Path, picture: Option<&Path>, args: &MaskArgs) -> Result<()> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let bytes = match extension {
            "png" => return Ok(image::encode_png(path, &self.picture(picture)?)?),
            "npy" => self.npy(),
            "json" => {
                let value = json!({
                    "strategy": args.strategy, "seed": args.seed, "ratio": args.ratio, "grid": self.grid,
                    "hidden": self.hidden, "region": self.region,
                });
                value.to_string().into_bytes()
            }
            _ => {
                return Err(anyhow!(
                    "{}: unknown kind of file\nhint: end the name in .png, .npy or .json",
                    path.display()
                ));
            }
        };
        std::fs::write(path, bytes).with_context(|| path.display().to_string())
    }

    /// The mask on a picture, or alone.
    fn picture(&self, picture: Option<&Path>) -> Result<Rgb> {
        let side = match picture {
            // at least a pixel a patch
            Some(_) => self.grid * PATCH_PIXELS.max(224 / self.grid),
            None => self.grid * PATCH_PIXELS,
        };
        let base = match picture {
            Some(file) => image::resize(&image::decode(file)?, side, side, Filter::Bicubic),
            None => Rgb::from_fn(side, side, |_, _| VISIBLE),
        };
        Ok(Rgb::from_fn(side, side, |x, y| {
            let i = (y * self.grid / side) * self.grid + x * self.grid / side;
            let own = base.get(x, y);
            match (self.hidden[i], self.region[i]) {
                (0, _) => own,
                (_, 0) => HIDDEN,
                _ => std::array::from_fn(|c| own[c] / 2 + COVERED[c] / 2),
            }
        }))
    }

    /// NumPy array, u8, (2, N, N): hidden, covered region.
    fn npy(&self) -> Vec<u8> {
        let shape =
            format!("{{'descr': '|u1', 'fortran_order': False, 'shape': (2, {0}, {0}), }}", self.grid);
        // magic 6, version 2, length 2: the header ends at a multiple of 64 with a newline
        let padded = (10 + shape.len() + 1).next_multiple_of(64) - 10;
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(padded).expect("the header is short").to_le_bytes());
        bytes.extend(format!("{shape:<width$}\n", width = padded - 1).into_bytes());
        bytes.extend(&self.hidden);
        bytes.extend(&self.region);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_npy_say_the_same() {
        let mask = Mask { grid: 2, hidden: vec![0, 1, 1, 0], region: vec![0, 0, 1, 0] };
        assert_eq!(mask.text(), ".#\nR.\n");
        let npy = mask.npy();
        assert_eq!(npy.len(), 128 + 8, "header of a multiple of 64, then 2 x 2 x 2 bytes");
        assert_eq!((npy[127], &npy[128..]), (b'\n', [0, 1, 1, 0, 0, 0, 1, 0].as_slice()));
    }
}
