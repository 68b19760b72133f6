//! Face-parsing labels and the eight patch predicates of region-guided masking (method.md 1.3, 1.4).
//!
//! A patch belongs to a region when *any* of its pixels says so: a max-pool with kernel = stride = patch, no majority.
//! A patch may satisfy several predicates; their fixed order decides in masking.

use crate::{ParsingView, Result, bail};

/// The 11 LaPa labels, by value. Everything else in a picture is background.
pub const LABELS: [&str; 11] = [
    "background",
    "face skin",
    "right brow",
    "left brow",
    "right eye",
    "left eye",
    "nose",
    "upper lip",
    "inner mouth",
    "lower lip",
    "hair",
];

/// The regions in their fixed order; bit `i` of a patch's predicates belongs to region `i`.
pub const REGIONS: [&str; 8] =
    ["eyebrows", "eyes", "nose", "mouth", "boundary", "hair", "skin", "background"];

/// How many of [`REGIONS`], from the start, may be covered as a whole.
pub const COVERABLE: usize = 6;

const fn labels(list: &[u32]) -> u16 {
    let mut bits = 0;
    let mut i = 0;
    while i < list.len() {
        bits |= 1 << list[i];
        i += 1;
    }
    bits
}

/// The predicates of a patch from the set of labels in it (bit = label).
pub fn regions_of(present: u16) -> u8 {
    let any = |list: &[u32]| present & labels(list) != 0;
    let predicates = [
        any(&[2, 3]),
        any(&[4, 5]),
        any(&[6]),
        any(&[7, 8, 9]),
        any(&[10, 0]) && any(&[1]),
        any(&[10]),
        any(&[1]),
        any(&[0]),
    ];
    predicates.iter().enumerate().fold(0, |bits, (i, &p)| bits | (u8::from(p) << i))
}

/// Writes the predicates of every patch, row-major; bit `i` is [`REGIONS`]`[i]`.
///
/// Errors: those of [`patch_labels`].
pub fn patch_regions(map: &ParsingView, grid: (usize, usize), out: &mut [u8]) -> Result<()> {
    each_patch(map, grid, out, regions_of)
}

/// Writes the set of labels in every patch, row-major; bit `l` is [`LABELS`]`[l]`.
///
/// Errors: a map whose sides are no multiple of the grid, or whose labels exceed 10.
pub fn patch_labels(map: &ParsingView, grid: (usize, usize), out: &mut [u16]) -> Result<()> {
    each_patch(map, grid, out, |present| present)
}

/// Bits of the eleven labels.
const KNOWN: u16 = (1 << LABELS.len()) - 1;

fn each_patch<T: Copy>(
    map: &ParsingView,
    grid: (usize, usize),
    out: &mut [T],
    of: impl Fn(u16) -> T,
) -> Result<()> {
    let (h, w, (rows, cols)) = (map.height, map.width, grid);
    if map.labels.len() != h * w {
        bail!("parsing map of {h}x{w} has {} labels", map.labels.len());
    }
    if rows == 0
        || cols == 0
        || !h.is_multiple_of(rows)
        || !w.is_multiple_of(cols)
        || out.len() != rows * cols
    {
        bail!(
            "parsing map of {h}x{w} does not divide into {rows}x{cols} patches\nhint: the map must have the size of the image"
        );
    }
    let (ph, pw) = (h / rows, w / cols);
    for (row, patches) in out.chunks_exact_mut(cols).enumerate() {
        for (col, patch) in patches.iter_mut().enumerate() {
            let present = labels_in(&map.labels[row * ph * w + col * pw..], w, ph, pw);
            if present & !KNOWN != 0 {
                return Err(unknown_label(map));
            }
            *patch = of(present);
        }
    }
    Ok(())
}

/// The set of labels in the `rows` x `cols` pixels at the start of `pixels`, lines `stride` apart; labels beyond 15 set bit
/// 15. Maps are mostly flat, so columns of eight pixels are walked down and looked at where they change.
fn labels_in(pixels: &[u8], stride: usize, rows: usize, cols: usize) -> u16 {
    let set = |of: &[u8]| of.iter().fold(0u16, |set, &label| set | 1 << label.min(15));
    let mut present = 0;
    for x in (0..cols).step_by(8) {
        let width = (cols - x).min(8);
        let mut above = None;
        for y in 0..rows {
            let line = &pixels[y * stride + x..][..width];
            let eight = <[u8; 8]>::try_from(line).ok().map(u64::from_ne_bytes); // none in a narrower rest
            if eight.is_none() || eight != above {
                present |= set(line);
                above = eight;
            }
        }
    }
    present
}

fn unknown_label(map: &ParsingView) -> crate::Error {
    let bad = map.labels.iter().position(|&l| usize::from(l) >= LABELS.len()).unwrap_or(0);
    let (label, row) = (map.labels[bad], bad / map.width.max(1));
    let what = format!("label {label} at row {row} of the parsing map, expected 0..=10");
    crate::Error::new(facebench_abi::ErrKind::OTHER, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_needs_skin_beside_hair_or_background() {
        assert_eq!(regions_of(1 << 1), 0b0100_0000);
        assert_eq!(regions_of(1 << 1 | 1), 0b1101_0000);
        assert_eq!(regions_of(1 << 1 | 1 << 10), 0b0111_0000);
        assert_eq!(regions_of(1 << 3 | 1 << 8), 0b0000_1001);
    }

    /// The counts of method.md 10.2 (224², patch 16).
    #[test]
    fn predicate_counts_of_the_published_example() {
        let rects = [
            [10, 16, 80, 40, 184],
            [1, 60, 200, 56, 168],
            [2, 84, 92, 66, 100],
            [3, 84, 92, 124, 158],
            [4, 98, 108, 70, 96],
            [5, 98, 108, 128, 154],
            [6, 100, 140, 104, 120],
            [7, 152, 158, 90, 134],
            [8, 158, 162, 90, 134],
            [9, 162, 170, 92, 132],
        ];
        let mut labels = vec![0u8; 224 * 224];
        for [label, y0, y1, x0, x1] in rects {
            for y in y0..y1 {
                labels[y * 224 + x0..y * 224 + x1].fill(label as u8);
            }
        }
        let map = ParsingView { labels: &labels, height: 224, width: 224 };
        let mut out = [0; 196];
        patch_regions(&map, (14, 14), &mut out).unwrap();
        let counts: Vec<usize> = (0..8).map(|i| out.iter().filter(|&&b| b >> i & 1 == 1).count()).collect();
        assert_eq!(counts, [6, 4, 6, 8, 32, 34, 80, 122]);
    }

    #[test]
    fn labels_are_seen_wherever_they_are_in_a_patch() {
        // patches of 19 pixels: two groups of eight and a rest of three
        for at in 0..19 {
            for label in 1..11u8 {
                let mut labels = vec![0u8; 19 * 19];
                labels[19 * 7 + at] = label;
                let map = ParsingView { labels: &labels, height: 19, width: 19 };
                let mut out = [0u16];
                patch_labels(&map, (1, 1), &mut out).unwrap();
                assert_eq!(out[0], 1 | 1 << label, "label {label} at {at}");
                for bad in [11, 15, 16, 255] {
                    labels[19 * 7 + at] = bad;
                    let map = ParsingView { labels: &labels, height: 19, width: 19 };
                    let message = patch_labels(&map, (1, 1), &mut out).unwrap_err().to_string();
                    assert!(message.contains(&format!("label {bad} at row 7")), "{message}");
                    labels[19 * 7 + at] = label;
                }
            }
        }
    }

    #[test]
    fn wrong_maps_are_refused() {
        let mut out = [0; 4];
        let bad = ParsingView { labels: &[11; 16], height: 4, width: 4 };
        assert!(patch_regions(&bad, (2, 2), &mut out).unwrap_err().to_string().contains("label 11"));
        let odd = ParsingView { labels: &[0; 15], height: 5, width: 3 };
        assert!(patch_regions(&odd, (2, 2), &mut out).unwrap_err().to_string().contains("does not divide"));
    }
}
