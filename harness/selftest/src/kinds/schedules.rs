//! Learning rates, momenta of the moving average, layer-wise factors.

use facebench_engine::schedule;
use serde_json::Value;

use crate::Context;
use crate::rules::{self, flat, limit, list, number, size};
use crate::sheet::{Limit, Must as _, Sheet};

/// Checks `lr`, `lr_scaling`, `ema_*`, `layer_decay`; a list that is absent is not checked.
pub(crate) fn run(file: &Value, _: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let sentence = rules::text(&file["about"], "tolerance")?;
    let exact = rules::limit_of(sentence)?;
    let momentum = limit(sentence, "m:").unwrap_or(exact);
    for (key, cases) in file.as_object().must("object")? {
        let Some(cases) = cases.as_array() else { continue };
        for (n, at) in cases.iter().enumerate() {
            let name = ["name", "model"]
                .iter()
                .find_map(|k| at[*k].as_str())
                .map_or(n.to_string(), ToOwned::to_owned);
            sheet.case(format!("{key} {name}"), |case| match key.as_str() {
                "lr" => {
                    let of = |key: &str| number(at, key);
                    let (epochs, warmup) = (of("epochs")?, of("warmup_epochs")?);
                    let (peak, min) = (of("peak_lr")?, of("min_lr")?);
                    let got: Vec<f64> = flat(&at["epoch"])
                        .into_iter()
                        .map(|e| schedule::warmup_cosine(e, epochs, warmup, peak, min))
                        .collect();
                    each(case, "lr", &got, &flat(&at["lr"]), exact)
                }
                "lr_scaling" => {
                    let batch = size(at, "per_gpu")? * size(at, "accum")? * size(at, "ranks")?;
                    case.number(
                        "scaled lr",
                        schedule::scaled_lr(number(at, "blr")?, batch),
                        number(at, "lr")?,
                        exact,
                    );
                    Ok(())
                }
                key if key.starts_with("ema") => {
                    if number(at, "final")? != 1.0 {
                        return Err("the momentum can only end at 1 here".into());
                    }
                    let total = (size(at, "epochs")? * size(at, "iters_per_epoch")?) as u64;
                    let want = flat(&at["m"]);
                    let steps = if at["index"].is_null() {
                        (0..want.len() as u64).collect()
                    } else {
                        rules::sizes(&at["index"])?.into_iter().map(|i| i as u64).collect::<Vec<_>>()
                    };
                    let base = number(at, "base")?;
                    let got: Vec<f64> =
                        steps.into_iter().map(|i| schedule::ema_momentum(i, total, base)).collect();
                    each(case, "momentum", &got, &want, momentum)
                }
                "layer_decay" => {
                    let (depth, decay) = (size(at, "depth")?, number(at, "layer_decay")?);
                    let want = flat(&at["layer_scales_id_0_to_L_plus_1"]);
                    let got: Vec<f64> =
                        (0..depth + 2).map(|id| schedule::layer_scale(id, depth, decay)).collect();
                    each(case, "scale", &got, &want, exact)?;
                    for group in list(at, "groups_in_creation_order").unwrap_or_default() {
                        let id = size(group, "layer_id")?;
                        case.number(
                            "scale of a group",
                            schedule::layer_scale(id, depth, decay),
                            number(group, "lr_scale")?,
                            exact,
                        );
                    }
                    Ok(())
                }
                other => Err(format!("schedules of kind `{other}` are not known")),
            });
        }
    }
    Ok(())
}

/// As `Case::near`, with the relative limit of each element.
fn each(
    case: &mut crate::sheet::Case,
    what: &str,
    got: &[f64],
    want: &[f64],
    limit: Limit,
) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{what}: {} values, expected {}", got.len(), want.len()));
    }
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        case.number(&format!("{what} [{i}]"), *g, *w, limit);
    }
    Ok(())
}
