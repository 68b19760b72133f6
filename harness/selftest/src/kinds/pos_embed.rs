//! Position tables: interpolation to another grid, fixed sine-cosine tables.

use facebench_engine::DType;
use facebench_engine::nn::{interpolate_pos_embed, sincos_pos_embed};
use serde_json::Value;

use crate::Context;
use crate::rules::{Fill, flat, limit_of, list, section, size, sizes, text};
use crate::sheet::{Limit, Must as _, Sheet};
use crate::tensors::{tensor, values};

/// Checks `interpolation` and `sincos`.
pub(crate) fn run(file: &Value, _: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let about = &file["about"];
    let fill = Fill::read(text(about, "input_rule")?)?;
    let sentence = text(about, "tolerance")?;
    for at in list(file, "interpolation").unwrap_or_default() {
        let name = format!("interpolation {} to {}, D {}", at["from_grid"], at["to_grid"], at["D"]);
        sheet.case(name, |case| {
            let dims = sizes(&at["input_shape"])?;
            let table = fill.values(dims.iter().product(), 0.0, 0.0);
            for (key, dtype) in [("f64", DType::F64), ("f32", DType::F32)] {
                let limit = limit_of(section(sentence, &format!("{key}:"), &["f64:", "f32:"]))?;
                let got = interpolate_pos_embed(&tensor(table.clone(), &dims, dtype)?, size(at, "to_grid")?)
                    .must("interpolation")?;
                case.same("shape", got.dims(), &sizes(&at["output_shape"])?);
                case.near(key, &values(&got)?, &flat(&at[key]), limit);
            }
            Ok(())
        });
    }
    for at in list(file, "sincos").unwrap_or_default() {
        sheet.case(format!("sine-cosine, D {}, grid {}", at["D"], at["grid"]), |case| {
            let got = sincos_pos_embed(size(at, "D")?, size(at, "grid")?).must("table")?;
            let got: Vec<f64> = got.into_iter().map(f64::from).collect();
            // parameters are stored in f32: half a unit in the last place of numbers up to 1
            case.near("table", &got, &flat(&at["f64"]), Limit::absolute(6e-8));
            Ok(())
        });
    }
    Ok(())
}
