//! Contrastive losses and their gradients.

use facebench_engine::ops::{self, losses};
use facebench_engine::{DType, Var, backward};
use serde_json::Value;

use crate::Context;
use crate::formula::{Formula, Functions};
use crate::rules::{between, flat, limit, limit_of, list, number, section, size, sizes, text};
use crate::sheet::{Must as _, Sheet};
use crate::tensors::{scalar, tensor, values};

/// Checks every list of cases that name a `loss`.
pub(crate) fn run(file: &Value, _: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let about = &file["about"];
    let rule = text(about, "input_rule")?;
    let formula =
        |from: &str, to: &str| Formula::parse(between(rule, from, to)?, &["i", "d"], &Functions::new());
    let online = formula("u_o[i][d] = ", " ;")?;
    let target = formula("u_t[i][d] = ", " .")?;
    let sentence = text(about, "tolerance")?;
    for (key, cases) in file.as_object().must("object")? {
        let Some(cases) = cases.as_array() else { continue };
        for at in cases {
            let name = format!(
                "{key} {} B {} D {}{}{}",
                at["loss"].as_str().unwrap_or("?"),
                at["B"],
                at["D"],
                at["T"].as_f64().map_or(String::new(), |t| format!(" T {t}")),
                at["labels"].as_array().map_or(String::new(), |l| format!(
                    " labels {}",
                    l.iter().map(ToString::to_string).collect::<String>()
                ))
            );
            sheet.case(name, |case| {
                let (b, d) = (size(at, "B")?, size(at, "D")?);
                let side = |f: &Formula| -> Vec<f32> {
                    (0..b * d).map(|k| f.at(&[(k / d) as f64, (k % d) as f64]) as f32).collect()
                };
                for (key, dtype) in [("f64", DType::F64), ("f32", DType::F32)] {
                    let unit = |f: &Formula| {
                        let u = tensor(side(f), &[b, d], dtype)?;
                        ops::normalise(&u, 1, 1e-12).and_then(|u| Ok(Var::from_tensor(&u)?)).must("normalise")
                    };
                    let (o, t) = (unit(&online)?, unit(&target)?);
                    let temperature = || number(at, "T");
                    let labels = || -> Result<Vec<u32>, String> {
                        Ok(sizes(&at["labels"])?.into_iter().map(|y| y as u32).collect())
                    };
                    let real = || size(at, "real").map(|r| r as u32);
                    let loss = match text(at, "loss")? {
                        "SimSiam" => losses::simsiam(&o, &t),
                        "BYOL" => losses::byol(&o, &t),
                        "InfoNCE" => losses::info_nce(&o, &t, temperature()?, at["sample"] == "positive"),
                        "MOCOv3" => losses::moco_v3(&o, &t, temperature()?),
                        "RealAnchor" => losses::real_anchored(&o, &labels()?, real()?, temperature()?),
                        "PosOnly" => losses::real_pairs_only(&o, &labels()?, real()?, temperature()?),
                        "PosNegOnly" => losses::real_fake_pairs_only(&o, &labels()?, real()?, temperature()?),
                        other => return Err(format!("loss `{other}` is not known")),
                    }
                    .must("loss")?;
                    let part = section(sentence, &format!("{key}:"), &["f64:", "f32:"]);
                    case.number(key, scalar(&loss)?, number(at, key)?, limit_of(part)?);
                    let wanted = format!("grad_{key}");
                    if at[&wanted].is_null() {
                        continue;
                    }
                    let grads = backward(&loss).must("gradient")?;
                    for (var, want) in [&o, &t].into_iter().zip(list(at, &wanted)?) {
                        let got = grads.get(var).map_or_else(|| Ok(vec![0.0; b * d]), values)?;
                        case.near(&format!("gradient {key}"), &got, &flat(want), limit(part, "gradients")?);
                    }
                }
                Ok(())
            });
        }
    }
    Ok(())
}
