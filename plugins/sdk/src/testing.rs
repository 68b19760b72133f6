//! Checks for a plugin's own unit tests, without the program: settings, descriptions, and whole masks.
//!
//! Tensors need the program, so what a model computes is tested by loading the plugin; everything that can be wrong
//! before that is caught here in milliseconds. Each check returns what is wrong in one sentence.

use std::collections::BTreeSet;

use crate::{
    Backbone, Component, Config, Head, MaskInput, Masking, ParsingView, Result, bail, config, face, masks,
};

/// Settings survive a round trip and the schema knows exactly their keys.
pub fn check_config<T: Component>() -> Result<()> {
    let value = T::Config::default().to_value();
    let again = T::Config::from_value(&value)?.to_value();
    if value != again {
        bail!("{}: settings change in a round trip: {value} became {again}", T::NAME);
    }
    let schema = T::Config::schema();
    let keys = |v: &serde_json::Value| v.as_object().map(|m| m.keys().cloned().collect::<BTreeSet<_>>());
    if keys(&value) != keys(&schema["properties"]) {
        bail!("{}: schema and settings have different keys", T::NAME);
    }
    if T::NAME.is_empty()
        || !T::NAME.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    {
        bail!("{:?}: names are made of lower-case letters, digits and -", T::NAME);
    }
    if T::SUMMARY.is_empty() {
        bail!("{}: no summary", T::NAME);
    }
    Ok(())
}

/// A backbone's description is consistent for these settings (JSON; empty for the defaults).
pub fn check_backbone<T: Backbone>(settings: &str) -> Result<()> {
    check_config::<T>()?;
    let cfg: T::Config = config::parse(settings)?;
    let info = T::info(&cfg)?;
    // a convolutional network's grid need not divide its input
    let whole = info.patch > 0 && info.grid.0 == info.grid.1;
    if !whole || ![info.image / info.patch, info.image.div_ceil(info.patch)].contains(&info.grid.0) {
        bail!("{}: image {} and patch {} do not make grid {:?}", T::NAME, info.image, info.patch, info.grid);
    }
    if info.heads == 0 || info.width % info.heads != 0 {
        bail!("{}: width {} is not a multiple of {} heads", T::NAME, info.width, info.heads);
    }
    if info.std.iter().any(|s| *s <= 0.0) {
        bail!("{}: standard deviations {:?} are not positive", T::NAME, info.std);
    }
    for name in
        ["cls_token", "pos_embed", "blocks.0.norm1.weight", "norm.weight", "fc_norm.bias", "head.weight"]
    {
        let id = T::layer_id(&cfg, name)?;
        if id > info.depth + 1 {
            bail!("{}: layer id {id} of {name} is beyond depth + 1 = {}", T::NAME, info.depth + 1);
        }
    }
    let mut names = BTreeSet::new();
    for layout in T::layouts(&cfg)? {
        if layout.name.is_empty() || !names.insert(layout.name.clone()) {
            bail!("{}: layout names must be unique and not empty, got {:?}", T::NAME, layout.name);
        }
    }
    Ok(())
}

/// A head's settings are consistent.
pub fn check_head<T: Head>() -> Result<()> {
    check_config::<T>()
}

/// Runs a strategy with these settings on made-up faces and checks what every strategy promises: exact counts for every
/// ratio (ratio · N rounded to the nearest integer, halves up), region inside mask, same key same mask, another key another
/// mask, errors for maps it cannot use.
pub fn check_masking<T: Masking>(settings: &str) -> Result<()> {
    check_config::<T>()?;
    let strategy = T::create(config::parse(settings)?)?;
    for (side, grid) in [(64, (8, 8)), (224, (14, 14)), (224, (16, 16)), (96, (6, 6)), (64, (4, 8))] {
        for (which, labels) in face_maps(side).iter().enumerate() {
            let map = ParsingView { labels, height: side, width: side };
            let mut seen = BTreeSet::new();
            for key in 0..4 {
                for ratio in [0.0, 0.1, 0.25, 1.0 / 3.0, 0.5, 0.6, 0.7, 0.75, 0.85, 0.9, 0.999] {
                    let input = input(&map, grid, ratio, key);
                    let (mask, region) = run(&strategy, &input)?;
                    if (mask.clone(), region.clone()) != run(&strategy, &input)? {
                        bail!("{}: the same input gave two masks", T::NAME);
                    }
                    let n = (grid.0 * grid.1) as f64;
                    let (got, want) = (masks::count(&mask), (n * ratio + 0.5).floor() as usize);
                    if got != want || mask.iter().any(|m| *m > 1) {
                        bail!(
                            "{}: {got} patches removed at ratio {ratio} on {grid:?}, expected {want} (map {which})",
                            T::NAME
                        );
                    }
                    if region.iter().zip(&mask).any(|(r, m)| *r > *m) {
                        bail!("{}: the region is not part of the mask (map {which})", T::NAME);
                    }
                    if ratio == 0.75 {
                        seen.insert(mask);
                    }
                }
            }
            if seen.len() < 2 && which == 0 {
                bail!("{}: four keys gave one mask", T::NAME);
            }
        }
    }
    if strategy.needs_parsing() {
        let labels = made_up_face(64);
        let map = ParsingView { labels: &labels, height: 64, width: 64 };
        let strange = ParsingView { labels: &[200; 64 * 64], ..map };
        for (what, wrong) in [
            ("no map", MaskInput { parsing: None, ..input(&map, (8, 8), 0.75, 0) }),
            ("a map that does not divide into patches", input(&map, (7, 7), 0.75, 0)),
            ("a map with unknown labels", input(&strange, (8, 8), 0.75, 0)),
        ] {
            if run(&strategy, &wrong).is_ok() {
                bail!("{}: {what} is taken without an error", T::NAME);
            }
        }
    }
    Ok(())
}

/// What strategies with a `covered` setting promise: the six regions are drawn evenly (chi-square over 6000 keys), the
/// covered region is masked whole, a batch shares it by sharing the key, an absent region leaves the region mask empty, and
/// of a region beyond the budget as many patches are masked as the budget allows and nothing else.
pub fn check_covering<T: Masking>() -> Result<()> {
    let strategy = T::create(config::parse("")?)?;
    let labels = made_up_face(224);
    let map = ParsingView { labels: &labels, height: 224, width: 224 };
    let predicates = input(&map, (14, 14), 0.75, 0).predicates()?;
    let of = |j: usize| predicates.iter().map(|bits| bits >> j & 1).collect::<Vec<u8>>();
    let mut drawn = [0u32; face::COVERABLE];
    for key in 0..6000 {
        let (_, region) = run(&strategy, &input(&map, (14, 14), 0.75, key))?;
        let Some(c) = (0..face::COVERABLE).find(|j| of(*j) == region) else {
            bail!("{}: what key {key} covers is no whole region", T::NAME);
        };
        drawn[c] += 1;
    }
    let chi_square: f64 = drawn.iter().map(|d| (f64::from(*d) - 1000.0).powi(2) / 1000.0).sum();
    if chi_square > 25.7 {
        // 5 degrees of freedom: exceeded by chance once in 10,000 times
        bail!("{}: regions are not drawn evenly: {drawn:?}, chi-square {chi_square:.1}", T::NAME);
    }
    let a = input(&map, (14, 14), 0.75, 1);
    let ((mask_a, region_a), (mask_b, region_b)) =
        (run(&strategy, &a)?, run(&strategy, &MaskInput { patches_key: [99, 99], ..a })?);
    if region_a != region_b || mask_a == mask_b {
        bail!(
            "{}: the region depends on more than the region's key, or the patches do not on theirs",
            T::NAME
        );
    }

    let hair = T::create(config::parse(r#"{"covered": "hair"}"#)?)?;
    let eyes = T::create(config::parse(r#"{"covered": "eyes"}"#)?)?;
    let labels = vec![10u8; 224 * 224];
    let map = ParsingView { labels: &labels, height: 224, width: 224 };
    for key in 0..20 {
        let (mask, region) = run(&hair, &input(&map, (14, 14), 0.75, key))?;
        if mask != region || masks::count(&mask) != 147 {
            bail!("{}: hair everywhere must give 147 patches, all of the region", T::NAME);
        }
        let (mask, region) = run(&eyes, &input(&map, (14, 14), 0.75, key))?;
        if masks::count(&region) != 0 || masks::count(&mask) != 147 {
            bail!("{}: without eyes to cover, 147 patches must be masked and none covered", T::NAME);
        }
    }
    Ok(())
}

/// Compares a strategy with masks worked out elsewhere: a list of `{map, grid, ratio, settings, mask, region}`, the masks in
/// hexadecimal, four patches a digit, first patch in the highest bit.
///
/// Maps by name: `published` is the one of method.md 10.2, `checker` has label (x div 9 + y div 7) mod 11, `hair` is hair with
/// a square of skin.
pub fn check_golden<T: Masking>(json: &str) -> Result<()> {
    let Ok(cases) = serde_json::from_str::<Vec<Golden>>(json) else {
        bail!("the golden masks cannot be read")
    };
    if cases.is_empty() {
        bail!("{}: no golden mask", T::NAME);
    }
    for case in cases {
        let labels = golden_map(&case.map)?;
        let map = ParsingView { labels: &labels, height: 224, width: 224 };
        let strategy = T::create(T::Config::from_value(&case.settings)?)?;
        let (mask, region) = run(&strategy, &input(&map, (case.grid, case.grid), case.ratio, 0))?;
        for (what, got, want) in [("mask", hex(&mask), &case.mask), ("region", hex(&region), &case.region)] {
            if got != *want {
                bail!("{}: {what} on `{}` at {} is {got}, expected {want}", T::NAME, case.map, case.ratio);
            }
        }
    }
    Ok(())
}

#[derive(serde::Deserialize)]
#[serde(crate = "crate::serde", deny_unknown_fields)]
struct Golden {
    map: String,
    grid: usize,
    ratio: f64,
    settings: serde_json::Value,
    mask: String,
    region: String,
}

/// Bits as [`check_golden`] writes them.
pub fn hex(bits: &[u8]) -> String {
    let digit = |four: &[u8]| four.iter().zip([8u32, 4, 2, 1]).map(|(b, w)| u32::from(*b) * w).sum::<u32>();
    bits.chunks(4).filter_map(|four| char::from_digit(digit(four), 16)).collect()
}

fn golden_map(name: &str) -> Result<Vec<u8>> {
    const PUBLISHED: [[usize; 5]; 10] = [
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
    let (background, rectangles): (u8, &[[usize; 5]]) = match name {
        "published" => (0, &PUBLISHED),
        "hair" => (10, &[[1, 64, 160, 64, 160]]),
        "checker" => return Ok((0..224 * 224).map(|i| ((i % 224 / 9 + i / 224 / 7) % 11) as u8).collect()),
        _ => bail!("no map is called {name:?}"),
    };
    let mut labels = vec![background; 224 * 224];
    for [label, y0, y1, x0, x1] in rectangles {
        for y in *y0..*y1 {
            labels[y * 224 + x0..y * 224 + x1].fill(*label as u8);
        }
    }
    Ok(labels)
}

/// A strategy's input on a map; another `key`, other choices.
pub fn input<'a>(map: &ParsingView<'a>, grid: (usize, usize), ratio: f64, key: u64) -> MaskInput<'a> {
    MaskInput { parsing: Some(*map), grid, ratio, patches_key: [key, 1], region_key: [key, 2] }
}

/// Maps that strategies must cope with: a face, a face without brows and eyes, background only, hair only, a checker of all
/// labels, a strip of skin.
pub fn face_maps(side: usize) -> Vec<Vec<u8>> {
    let face = made_up_face(side);
    let blind = face.iter().map(|l| if (2..=5).contains(l) { 1 } else { *l }).collect();
    let checker = (0..side * side).map(|i| ((i % side / 3 + i / side / 2) % 11) as u8).collect();
    let strip = (0..side * side).map(|i| u8::from(i % side < side / 8)).collect();
    vec![face, blind, vec![0; side * side], vec![10; side * side], checker, strip]
}

/// Mask and region of one input.
pub fn run<T: Masking>(strategy: &T, input: &MaskInput) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut mask, mut region) = (vec![0; input.n()], vec![0; input.n()]);
    strategy.mask(input, &mut mask, &mut region)?;
    Ok((mask, region))
}

/// A map with all eleven labels in about the right places.
pub fn made_up_face(side: usize) -> Vec<u8> {
    // label, then centre and half-axes as fractions of the side
    const PARTS: [(u8, f64, f64, f64, f64); 10] = [
        (10, 0.5, 0.42, 0.39, 0.41),
        (1, 0.5, 0.53, 0.31, 0.39),
        (2, 0.37, 0.36, 0.08, 0.02),
        (3, 0.63, 0.36, 0.08, 0.02),
        (4, 0.37, 0.43, 0.06, 0.03),
        (5, 0.63, 0.43, 0.06, 0.03),
        (6, 0.5, 0.54, 0.05, 0.11),
        (7, 0.5, 0.71, 0.11, 0.02),
        (8, 0.5, 0.74, 0.09, 0.02),
        (9, 0.5, 0.77, 0.10, 0.03),
    ];
    let mut labels = vec![0; side * side];
    for (label, cx, cy, a, b) in PARTS {
        for (i, pixel) in labels.iter_mut().enumerate() {
            let x = ((i % side) as f64 + 0.5) / side as f64 - cx;
            let y = ((i / side) as f64 + 0.5) / side as f64 - cy;
            if (x / a).powi(2) + (y / b).powi(2) < 1.0 {
                *pixel = label;
            }
        }
    }
    debug_assert!(labels.iter().all(|l| usize::from(*l) < face::LABELS.len()));
    labels
}
