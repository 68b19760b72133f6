//! CRFR-P masks with identity permutations, through the masking plugin.

use serde_json::{Value, json};

use crate::Context;
use crate::pictures::label_map;
use crate::rules::{bits, list, number, sha256, size, text};
use crate::sheet::{Must as _, Sheet};

/// Checks every covered region of every label map.
pub(crate) fn run(file: &Value, context: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    for at in list(file, "cases")? {
        let made = label_map(at)
            .and_then(|map| Ok((map, size(at, "size")?, size(at, "grid")?, number(at, "ratio")?)));
        for result in list(at, "results").unwrap_or_default() {
            let covered = result["covered"].as_str().unwrap_or("?");
            sheet.case(format!("{} covering {covered}", at["name"].as_str().unwrap_or("?")), |case| {
                let (map, side, grid, ratio) = made.as_ref().map_err(Clone::clone)?;
                if let Some(want) = at["map_sha256"].as_str() {
                    case.same("label map", sha256(map).as_str(), want);
                }
                let config = json!({"covered": covered, "choice": "identity"});
                let strategy = context.plugins.masking("crfr-p", &config).must("masking")?;
                let n = grid * grid;
                let (mut mask, mut region) = (vec![0; n], vec![0; n]);
                strategy
                    .mask(
                        Some((map, *side, *side)),
                        (*grid, *grid),
                        *ratio,
                        [0, 1],
                        [0, 2],
                        &mut mask,
                        &mut region,
                    )
                    .must("masking")?;
                for (what, got, key) in [("mask", &mask, "mask_hex"), ("region", &region, "region_mask_hex")]
                {
                    let want = bits(text(result, key)?, n)?;
                    let wrong = got.iter().zip(&want).filter(|(g, w)| g != w).count();
                    case.number(
                        &format!("patches that differ in the {what}"),
                        wrong as f64,
                        0.0,
                        crate::sheet::Limit::EXACT,
                    );
                }
                Ok(())
            });
        }
    }
    Ok(())
}
