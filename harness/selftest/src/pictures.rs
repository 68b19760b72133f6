//! Pictures and label maps that fixtures define by integer formulas.

use facebench_data::image::Rgb;
use serde_json::Value;

use crate::formula::{Formula, Functions};
use crate::rules::{self, list, size, sizes, text};
use crate::sheet::Must as _;

/// Longest side of a picture made here: fixtures are small, and a wrong number must not fill the memory.
const MAX_SIDE: usize = 8192;

/// The picture formulas of a file (`about.image_rules`): `v = …` of column x, row y, channel c.
pub(crate) struct Pictures<'a> {
    rules: &'a Value,
    functions: Functions,
}

impl<'a> Pictures<'a> {
    /// Reads the functions the rules use, such as `tri(n,p) = |(n mod 2p) - p|; …`.
    ///
    /// # Errors
    /// A definition is not understood.
    pub(crate) fn read(rules: &'a Value) -> Result<Self, String> {
        let mut functions = Functions::new();
        for (name, definition) in rules.as_object().must("object `image_rules`")? {
            let Some((head, body)) = definition.as_str().and_then(|d| d.split_once(" = ")) else { continue };
            let Some(args) =
                head.trim().strip_prefix(name.as_str()).and_then(|a| a.strip_prefix('(')?.strip_suffix(')'))
            else {
                continue;
            };
            let args: Vec<&str> = args.split(',').map(str::trim).collect();
            let body = body.split(';').next().unwrap_or(body).trim();
            functions.insert(name.clone(), (args.len(), Formula::parse(body, &args, &Functions::new())?));
        }
        Ok(Self { rules, functions })
    }

    /// The picture of a rule.
    ///
    /// # Errors
    /// There is no such rule, or a value is no byte.
    pub(crate) fn picture(&self, rule: &str, width: usize, height: usize) -> Result<Rgb, String> {
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return Err(format!("a picture of {width}x{height} is not made here"));
        }
        let sentence = text(self.rules, rule)?;
        let body = sentence.split_once("v = ").must(&format!("formula `v = …` of {rule}"))?.1;
        let body = body.split("   ").next().unwrap_or(body); // remarks follow after a gap
        let formula = Formula::parse(body.trim(), &["x", "y", "c"], &self.functions)?;
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                for c in 0..3 {
                    let v = formula.at(&[x as f64, y as f64, f64::from(c)]);
                    if !(0.0..=255.0).contains(&v) || v.fract() != 0.0 {
                        return Err(format!("{rule} is {v} at column {x}, row {y}, which is no byte"));
                    }
                    pixels.push(v as u8);
                }
            }
        }
        Ok(Rgb { width, height, pixels })
    }
}

/// The square label map of a case: `type` is `rects`, `ellipses`, `patch_runs` or `formula` (see the field
/// `map_rules` of such files).
///
/// # Errors
/// Another type, or shapes outside the map.
pub(crate) fn label_map(case: &Value) -> Result<Vec<u8>, String> {
    let side = size(case, "size")?;
    if side == 0 || side > MAX_SIDE {
        return Err(format!("a map of side {side} is not made here"));
    }
    let background = case["background"].as_u64().unwrap_or(0) as u8;
    let mut map = vec![background; side * side];
    match text(case, "type")? {
        "rects" => {
            for r in list(case, "rects")? {
                let [label, y0, y1, x0, x1] = sizes(r)?[..] else {
                    return Err("a rectangle has 5 numbers".into());
                };
                for y in y0..y1 {
                    map.get_mut(y * side + x0..y * side + x1)
                        .must("rectangle within the map")?
                        .fill(label as u8);
                }
            }
        }
        "ellipses" => {
            for e in list(case, "ellipses")? {
                let [label, cx, cy, a, b] = rules::flat(e)[..] else {
                    return Err("an ellipse has 5 numbers".into());
                };
                for (i, l) in map.iter_mut().enumerate() {
                    let (dx, dy) = ((i % side) as f64 - cx, (i / side) as f64 - cy);
                    if dx * dx * b * b + dy * dy * a * a < a * a * b * b {
                        *l = label as u8;
                    }
                }
            }
        }
        "patch_runs" => {
            let patch = size(case, "patch")?;
            if patch == 0 || patch > side {
                return Err(format!("patch {patch} does not fit a map of {side}"));
            }
            let grid = side / patch;
            let mut next = 0;
            for run in list(case, "runs")? {
                let [label, count] = sizes(run)?[..] else { return Err("a run has 2 numbers".into()) };
                for p in next..next + count {
                    let (px, py) = (p % grid * patch, p / grid * patch);
                    for y in py..py + patch {
                        map.get_mut(y * side + px..y * side + px + patch)
                            .must("run within the map")?
                            .fill(label as u8);
                    }
                }
                next += count;
            }
        }
        "formula" => {
            let body = text(case, "formula")?.split_once("label = ").must("formula `label = …`")?.1;
            let formula = Formula::parse(body, &["x", "y"], &Functions::new())?;
            for (i, l) in map.iter_mut().enumerate() {
                *l = formula.at(&[(i % side) as f64, (i / side) as f64]) as u8;
            }
        }
        other => return Err(format!("label maps of type `{other}` are not known")),
    }
    Ok(map)
}
