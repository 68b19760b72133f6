//! Files for the field's own boards, checked against each board's rules before anything is written.
//!
//! The rules: every name of the board's list once, no other name, its order, the board's polarity and range, the number
//! of lines, and an archive with exactly one file and no folders. A board refuses for weeks after a bad upload, so a
//! rule that is broken is an error here. Beside the file (never inside) goes a small manifest with digests of what it
//! was made from. The facts about boards are those of their public rules pages as of November 2026; see [`BOARDS`].

mod archive;
mod board;
mod eval_results;
mod predictions;

pub use board::{BOARDS, Board, Form, Polarity};
pub use eval_results::{EvalOptions, eval_results};
pub use predictions::{aggregated, list};

use super::{Error, Result, sums};
use crate::write::csv_line;
use facebench_protocols::Prediction;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What to export.
#[derive(Clone, Debug)]
pub struct Request<'r> {
    /// The board.
    pub board: &'r Board,
    /// Scores, P(fake), in any order.
    pub predictions: &'r [Prediction],
    /// The board's list of names, in its order.
    pub names: &'r [String],
    /// From which P(fake) on a file is called fake, for boards that want words.
    pub threshold: Option<f64>,
    /// Keep scores at least so far from 0 and 1, for boards with log loss.
    pub clip: Option<f64>,
    /// Decimals of scores.
    pub decimals: usize,
}

/// Written files.
#[derive(Clone, Debug)]
pub struct Exported {
    /// What to upload.
    pub file: PathBuf,
    /// What it was made from.
    pub manifest: PathBuf,
    /// Lines.
    pub lines: usize,
}

/// Writes the file for a board to `out`, and `OUT.manifest.json` beside it with the given digests of inputs.
///
/// # Errors
/// A rule of the board is broken, or a file cannot be written.
pub fn export(request: &Request<'_>, out: &Path, inputs: &BTreeMap<String, String>) -> Result<Exported> {
    let board = request.board;
    let rule = |rule: String, hint: &str| Error::Rule {
        board: board.id.to_owned(),
        rule,
        hint: (!hint.is_empty()).then(|| hint.to_owned()),
    };
    let extension = board.extension();
    if out.extension().is_none_or(|e| e != extension) {
        return Err(rule(format!("the file must end in .{extension}"), ""));
    }
    let scores = matched(request)?;
    if !board.lines.is_empty() && !board.lines.contains(&scores.len()) {
        let expected: Vec<String> = board.lines.iter().map(ToString::to_string).collect();
        let what = format!("{} lines, the board expects {}", scores.len(), expected.join(" or "));
        return Err(rule(what, "give the board's own list with --list"));
    }
    let text = render(request, &scores)?;
    let bytes = match board.archive {
        Some(inner) => {
            archive::single(inner, text.as_bytes()).map_err(|e| Error::io(out, std::io::Error::other(e)))?
        }
        None => text.into_bytes(),
    };
    put(out, &bytes)?;
    let manifest = PathBuf::from(format!("{}.manifest.json", out.display()));
    let about = json!({
        "board": board.id,
        "title": board.title,
        "file": out.file_name().unwrap_or_default().to_string_lossy(),
        "sha256": sums::of_bytes(&bytes),
        "lines": scores.len(),
        "score": match board.polarity { Polarity::Fake => "P(fake)", Polarity::Live => "P(live) = 1 - P(fake)" },
        "threshold": request.threshold,
        "clip": request.clip,
        "inputs": inputs,
    });
    put(&manifest, format!("{about:#}\n").as_bytes())?;
    Ok(Exported { file: out.to_owned(), manifest, lines: scores.len() })
}

/// Digest of an input, for the manifest.
///
/// # Errors
/// The file cannot be read.
pub fn digest(path: &Path) -> Result<String> {
    sums::of_file(path)
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = PathBuf::from(format!("{}.part", path.display()));
    std::fs::write(&beside, bytes).map_err(|e| Error::io(&beside, e))?;
    std::fs::rename(&beside, path).map_err(|e| Error::io(path, e))
}

/// One score per name of the list, in its order.
fn matched<'r>(request: &Request<'r>) -> Result<Vec<(&'r str, f64)>> {
    let rule = |rule: String, hint: Option<&str>| Error::Rule {
        board: request.board.id.to_owned(),
        rule,
        hint: hint.map(str::to_owned),
    };
    let mut by_name: BTreeMap<&str, f64> = BTreeMap::new();
    for p in request.predictions {
        if by_name.insert(&p.name, p.score).is_some() {
            return Err(rule(format!("{:?} has two scores", p.name), None));
        }
        if !(0.0..=1.0).contains(&p.score) {
            return Err(rule(format!("{:?} has score {}, outside [0, 1]", p.name, p.score), None));
        }
    }
    let mut out = Vec::with_capacity(request.names.len());
    let mut missing = Vec::new();
    for name in request.names {
        match by_name.remove(name.as_str()) {
            Some(score) => out.push((name.as_str(), score)),
            None if out.iter().any(|(n, _)| n == name) => {
                return Err(rule(format!("the list names {name:?} twice"), None));
            }
            None => missing.push(name.as_str()),
        }
    }
    let some = |names: &[&str]| names.iter().take(3).map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
    if !missing.is_empty() {
        let what = format!("{} names of the list have no score, such as {}", missing.len(), some(&missing));
        let hint = "names must be written as on the list; --id changes how they are made from a score file";
        return Err(rule(what, Some(hint)));
    }
    if !by_name.is_empty() {
        let extra: Vec<&str> = by_name.keys().copied().collect();
        return Err(rule(
            format!("{} scores are not on the list, such as {}", extra.len(), some(&extra)),
            None,
        ));
    }
    if out.is_empty() {
        return Err(rule("the list is empty".into(), None));
    }
    Ok(out)
}

fn render(request: &Request<'_>, scores: &[(&str, f64)]) -> Result<String> {
    let board = request.board;
    let rule = |rule: String, hint: &str| Error::Rule {
        board: board.id.to_owned(),
        rule,
        hint: Some(hint.to_owned()),
    };
    let words = matches!(board.form, Form::JsonWords | Form::CsvWords);
    let threshold = match (words, request.threshold) {
        (true, Some(t)) => t,
        (true, None) => {
            let hint = "give --threshold; take it from a development set, 0.5 is only a habit";
            return Err(rule("wants the words real and fake, and no threshold was given".into(), hint));
        }
        (false, Some(_)) => {
            return Err(rule("wants scores, a threshold has no meaning".into(), "drop --threshold"));
        }
        (false, None) => 0.5,
    };
    let word = |score: f64| if score >= threshold { "fake" } else { "real" };
    let clip = request.clip.unwrap_or(0.0);
    if !(0.0..0.5).contains(&clip) {
        return Err(rule(format!("clip {clip} is outside [0, 0.5)"), "0.01 is usual"));
    }
    let value = |score: f64| -> Result<String> {
        let score = match board.polarity {
            Polarity::Fake => score,
            Polarity::Live => 1.0 - score,
        };
        let score = score.clamp(clip, 1.0 - clip);
        let text = format!("{score:.*}", request.decimals);
        if board.log_loss && matches!(text.parse::<f64>(), Ok(v) if v <= 0.0 || v >= 1.0) {
            let what = format!("log loss is infinite at 0 and 1, and a score is written {text}");
            return Err(rule(what, "give --clip 0.01, or more --decimals"));
        }
        Ok(text)
    };
    let mut out = String::new();
    match board.form {
        Form::JsonWords => {
            // by hand, because the order of the list shall stay
            let quoted = |s: &str| serde_json::Value::from(s).to_string();
            let lines: Vec<String> =
                scores.iter().map(|(n, s)| format!("  {}: \"{}\"", quoted(n), word(*s))).collect();
            out = format!("{{\n{}\n}}\n", lines.join(",\n"));
        }
        Form::CsvWords | Form::CsvScores => {
            out.push_str("filename,label\n");
            for (name, score) in scores {
                let label = if words { word(*score).to_owned() } else { value(*score)? };
                out.push_str(&csv_line(&[*name, &label]));
            }
        }
        Form::Lines => {
            for (name, score) in scores {
                if name.contains(char::is_whitespace) {
                    let hint = "lines are `name score`; rename the files or the list";
                    return Err(rule(format!("{name:?} has white space in its name"), hint));
                }
                out.push_str(&format!("{name} {}\n", value(*score)?));
            }
        }
    }
    Ok(out)
}
