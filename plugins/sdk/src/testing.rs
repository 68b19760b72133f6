//! Checks for a plugin's own unit tests, without the program: settings, descriptions, and whole masks.
//!
//! Tensors need the program, so what a model computes is tested by loading the plugin; everything that can be wrong
//! before that is caught here in milliseconds. Each check returns what is wrong in one sentence.

use std::collections::BTreeSet;

use crate::{Backbone, Component, Config, Head, MaskInput, Masking, ParsingView, Result, bail, config, face};

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
    if info.patch == 0 || info.grid != (info.image / info.patch, info.image / info.patch) {
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

/// Runs a strategy with these settings on made-up faces and checks what every strategy promises: exact counts, region
/// inside mask, same key same mask, another key another mask.
pub fn check_masking<T: Masking>(settings: &str) -> Result<()> {
    check_config::<T>()?;
    let strategy = T::create(config::parse(settings)?)?;
    for (side, grid) in [(64, (8, 8)), (224, (14, 14)), (224, (16, 16))] {
        let labels = made_up_face(side);
        let map = ParsingView { labels: &labels, height: side, width: side };
        let mut seen = BTreeSet::new();
        for key in 0..8 {
            for ratio in [0.0, 0.25, 0.5, 0.6, 0.75, 0.9] {
                let input = MaskInput {
                    parsing: Some(map),
                    grid,
                    ratio,
                    patches_key: [key, 1],
                    region_key: [key, 2],
                };
                let (mask, region) = run(&strategy, &input)?;
                if (mask.clone(), region.clone()) != run(&strategy, &input)? {
                    bail!("{}: the same input gave two masks", T::NAME);
                }
                let (count, want) = (mask.iter().filter(|m| **m == 1).count(), input.count()?);
                if count != want || mask.iter().any(|m| *m > 1) {
                    bail!(
                        "{}: {count} patches removed at ratio {ratio} on {grid:?}, expected {want}",
                        T::NAME
                    );
                }
                if region.iter().zip(&mask).any(|(r, m)| *r > *m) {
                    bail!("{}: the region is not part of the mask", T::NAME);
                }
                if ratio == 0.75 {
                    seen.insert(mask);
                }
            }
        }
        if seen.len() < 2 {
            bail!("{}: eight keys gave one mask", T::NAME);
        }
    }
    Ok(())
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
