//! What a fixture says about itself: numbers in sentences, limits, input rules.
//!
//! The `about` block is written for people: "AdamW, lr 1e-3 constant, betas (0.9, 0.95)", "losses 2e-6 relative +
//! 1e-6 absolute". Settings are found by the words before them, limits by the quantity they are given for.
//! A phrase that is not found is an error that names it, never a default.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::formula::{Formula, Functions, leading_number};
use crate::sheet::{Limit, Must as _};

/// The text at `key`.
///
/// # Errors
/// There is none.
pub(crate) fn text<'a>(v: &'a Value, key: &str) -> Result<&'a str, String> {
    v[key].as_str().must(&format!("text `{key}`"))
}

/// A whole number at `key`.
///
/// # Errors
/// There is none.
pub(crate) fn size(v: &Value, key: &str) -> Result<usize, String> {
    v[key].as_u64().and_then(|n| usize::try_from(n).ok()).must(&format!("whole number `{key}`"))
}

/// A number at `key`.
///
/// # Errors
/// There is none.
pub(crate) fn number(v: &Value, key: &str) -> Result<f64, String> {
    v[key].as_f64().must(&format!("number `{key}`"))
}

/// A list at `key`.
///
/// # Errors
/// There is none.
pub(crate) fn list<'a>(v: &'a Value, key: &str) -> Result<&'a [Value], String> {
    v[key].as_array().map(Vec::as_slice).must(&format!("list `{key}`"))
}

/// An object at `key`.
///
/// # Errors
/// There is none.
pub(crate) fn object<'a>(v: &'a Value, key: &str) -> Result<&'a serde_json::Map<String, Value>, String> {
    v[key].as_object().must(&format!("object `{key}`"))
}

/// All numbers of a nested list, row-major; what is no number becomes NaN, which equals nothing expected.
#[must_use]
pub(crate) fn flat(v: &Value) -> Vec<f64> {
    match v {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        other => vec![other.as_f64().unwrap_or(f64::NAN)],
    }
}

/// Whole numbers of a nested list.
///
/// # Errors
/// One is not.
pub(crate) fn sizes(v: &Value) -> Result<Vec<usize>, String> {
    let mut out = Vec::new();
    for n in v.as_array().must("list of sizes")? {
        out.push(n.as_u64().and_then(|n| usize::try_from(n).ok()).must("size")?);
    }
    Ok(out)
}

/// Numbers in a sentence, with the places where they start and end. `f64`, `l2`, `T4` hold none.
#[must_use]
pub(crate) fn numbers_in(sentence: &str) -> Vec<(f64, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < sentence.len() {
        let rest = &sentence[at..];
        let before = sentence[..at].chars().next_back();
        let (value, len) = leading_number(rest);
        let inside = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.');
        if len > 0 && !inside {
            found.push((value, at, at + len));
            at += len;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    found
}

/// The first `N` numbers after `words`.
///
/// # Errors
/// The words, or that many numbers after them, are not there.
pub(crate) fn after<const N: usize>(sentence: &str, words: &str) -> Result<[f64; N], String> {
    let start = find(sentence, words)?;
    let found = numbers_in(&sentence[start..]);
    let values: Vec<f64> = found.iter().take(N).map(|n| n.0).collect();
    values.try_into().map_err(|_| format!("the file gives no number after `{words}`"))
}

/// The last number before `words`.
///
/// # Errors
/// The words, or a number before them, are not there.
pub(crate) fn before(sentence: &str, words: &str) -> Result<f64, String> {
    let end = sentence.find(words).must(&format!("phrase `{words}`"))?;
    numbers_in(&sentence[..end]).last().map(|n| n.0).must(&format!("number before `{words}`"))
}

/// What stands between two phrases.
///
/// # Errors
/// One of them is not there.
pub(crate) fn between<'a>(sentence: &'a str, from: &str, to: &str) -> Result<&'a str, String> {
    let start = find(sentence, from)?;
    let len = sentence[start..].find(to).must(&format!("phrase `{to}` after `{from}`"))?;
    Ok(sentence[start..start + len].trim())
}

fn find(sentence: &str, words: &str) -> Result<usize, String> {
    sentence.find(words).map(|at| at + words.len()).must(&format!("phrase `{words}`"))
}

/// The sentence that belongs to `label` (as in `f64: …; f32: …`), up to the next of `labels`.
#[must_use]
pub(crate) fn section<'a>(sentence: &'a str, label: &str, labels: &[&str]) -> &'a str {
    let Some(start) = sentence.find(label).map(|at| at + label.len()) else { return sentence };
    let rest = &sentence[start..];
    let end = labels.iter().filter_map(|l| rest.find(l)).min().unwrap_or(rest.len());
    &rest[..end]
}

/// The limit a sentence gives for a quantity: the first number after its name, relative or absolute as the words
/// after it say, with what is added by `+ N absolute`.
///
/// # Errors
/// The quantity or a number after it is not there.
pub(crate) fn limit(sentence: &str, quantity: &str) -> Result<Limit, String> {
    let start =
        find(sentence, quantity).map_err(|_| format!("the file states no tolerance for {quantity}"))?;
    limit_of(&sentence[start..]).map_err(|_| format!("the file states no tolerance for {quantity}"))
}

/// As [`limit`], for a sentence that is about one quantity only.
///
/// # Errors
/// There is no number in it.
pub(crate) fn limit_of(sentence: &str) -> Result<Limit, String> {
    if sentence.trim_start().starts_with("exact") {
        return Ok(Limit::EXACT);
    }
    let found = numbers_in(sentence);
    let (value, _, end) = *found.first().must("tolerance")?;
    let rest = &sentence[end..];
    let kind = |word: &str| rest.find(word).unwrap_or(usize::MAX);
    if kind("absolute") < kind("relative") || kind("relative") == usize::MAX {
        return Ok(Limit::absolute(value));
    }
    let plus = rest[kind("relative") + "relative".len()..].trim_start().strip_prefix('+');
    let absolute = plus.map_or((0.0, 0), |p| leading_number(p.trim_start())).0;
    Ok(Limit { relative: value, absolute })
}

/// The fill rule of tensors: a formula of element `i` and tensor `j`, and what layer-norm weights get on top.
pub(crate) struct Fill {
    formula: Formula,
    norm: f64,
}

impl Fill {
    /// Reads "… = FORMULA, evaluated in float64 …; LayerNorm weights get +N …".
    ///
    /// # Errors
    /// The sentence is worded otherwise, or the formula is not understood.
    pub(crate) fn read(sentence: &str) -> Result<Self, String> {
        let formula = between(sentence, ") = ", ", evaluated")?;
        Ok(Self {
            formula: Formula::parse(formula, &["i", "j"], &Functions::new())?,
            norm: after::<1>(sentence, "weights get +")?[0],
        })
    }

    /// `count` elements of tensor `j`, rounded to f32; `added` comes on top before the rounding.
    #[must_use]
    pub(crate) fn values(&self, count: usize, j: f64, added: f64) -> Vec<f32> {
        (0..count).map(|i| (self.formula.at(&[i as f64, j]) + added) as f32).collect()
    }

    /// As [`Fill::values`], for the tensor called `name`: layer-norm weights get their addition.
    #[must_use]
    pub(crate) fn named(&self, name: &str, count: usize, j: f64) -> Vec<f32> {
        self.values(count, j, if is_norm_weight(name) { self.norm } else { 0.0 })
    }
}

/// Whether a parameter is the weight of a layer norm: those in blocks and heads, and the second layer of a
/// projection head.
#[must_use]
pub(crate) fn is_norm_weight(name: &str) -> bool {
    name.ends_with("weight") && (name.contains("norm") || name.contains("projection_head.1."))
}

/// Images by a formula of batch `b`, channel `c`, row `y`, column `x`, step `s`.
pub(crate) struct Images(Formula);

impl Images {
    /// Reads "batch b=…, step s: FORMULA, float64 then float32 …" or "image(c,y,x) = FORMULA, float64 …".
    ///
    /// # Errors
    /// The sentence is worded otherwise, or the formula is not understood.
    pub(crate) fn read(sentence: &str) -> Result<Self, String> {
        let head = &sentence[..sentence.find(", float64").must("image rule (`FORMULA, float64 …`)")?];
        let start = [head.rfind(": "), head.rfind(" = ").map(|at| at + 1)].into_iter().flatten().max();
        let formula = &head[start.must("image rule")? + 2..];
        Ok(Self(Formula::parse(formula, &["b", "c", "y", "x", "s"], &Functions::new())?))
    }

    /// (B, 3, side, side) at step `s`, rounded to f32.
    #[must_use]
    pub(crate) fn values(&self, batch: usize, side: usize, s: f64) -> Vec<f32> {
        let mut out = Vec::with_capacity(batch * 3 * side * side);
        for b in 0..batch {
            for c in 0..3 {
                for y in 0..side {
                    let at = |x: usize| self.0.at(&[b as f64, f64::from(c), y as f64, x as f64, s]) as f32;
                    out.extend((0..side).map(at));
                }
            }
        }
        out
    }
}

/// Labels by a formula of sample `b` and step `s`: "y = 1 if (b+s) mod 3 != 0 else 0".
pub(crate) struct Labels(Formula);

impl Labels {
    /// Reads the sentence.
    ///
    /// # Errors
    /// It is worded otherwise, or the formula is not understood.
    pub(crate) fn read(sentence: &str) -> Result<Self, String> {
        let formula = &sentence[find(sentence, "y = ")?..];
        Ok(Self(Formula::parse(formula.trim(), &["b", "s"], &Functions::new())?))
    }

    /// Labels of a batch at step `s`.
    #[must_use]
    pub(crate) fn values(&self, batch: usize, s: usize) -> Vec<u32> {
        (0..batch).map(|b| self.0.at(&[b as f64, s as f64]) as u32).collect()
    }
}

/// Bits of a hexadecimal string, most significant first, the first `count` of them.
///
/// # Errors
/// A character is no digit, or there are too few.
pub(crate) fn bits(hex: &str, count: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(count);
    for c in hex.chars() {
        let d = c.to_digit(16).must("hexadecimal digit")?;
        out.extend((0..4).rev().map(|k| (d >> k & 1) as u8));
    }
    if out.len() < count || out.len() >= count + 4 {
        return Err(format!("{} bits in `{hex}`, expected {count}", out.len()));
    }
    out.truncate(count);
    Ok(out)
}

/// SHA-256 as lower-case hex.
#[must_use]
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_yield_their_numbers() {
        let s = "AdamW, lr 1e-3 constant, betas (0.9, 0.95), eps 1e-8, clip at 1.0. l2 of T4 in f64";
        assert_eq!(after::<1>(s, "lr ").unwrap(), [1e-3]);
        assert_eq!(after::<2>(s, "betas").unwrap(), [0.9, 0.95]);
        assert_eq!(numbers_in(s).len(), 5);
        assert!(after::<1>(s, "momentum").unwrap_err().contains("`momentum`"));
        assert_eq!(before("rec + 0.007 * region + 0.1 * Sim", " * Sim").unwrap(), 0.1);
    }

    #[test]
    fn limits_are_those_of_the_quantity() {
        let s = "losses 2e-6 relative + 1e-6 absolute; grad_norm 5e-6 relative (step 0), 2e-5 (later); samples 2e-5 absolute, l2 1e-5 relative";
        assert_eq!(limit(s, "losses").unwrap(), Limit { relative: 2e-6, absolute: 1e-6 });
        assert_eq!(limit(s, "grad_norm").unwrap(), Limit { relative: 5e-6, absolute: 0.0 });
        assert_eq!(limit(s, "samples").unwrap(), Limit::absolute(2e-5));
        assert_eq!(limit(s, "l2").unwrap(), Limit { relative: 1e-5, absolute: 0.0 });
        assert!(limit(s, "logits").unwrap_err().contains("no tolerance for logits"));
        let t = "f64: 1e-11 relative + 1e-12 absolute (gradients 1e-9 absolute); f32: 3e-6 relative";
        assert_eq!(limit_of(section(t, "f32:", &["f64:"])).unwrap(), Limit { relative: 3e-6, absolute: 0.0 });
        assert_eq!(limit(section(t, "f64:", &["f32:"]), "gradients").unwrap(), Limit::absolute(1e-9));
    }

    #[test]
    fn bits_come_most_significant_first() {
        assert_eq!(bits("a8", 5).unwrap(), [1, 0, 1, 0, 1]);
        assert!(bits("a8", 9).is_err() && bits("a8", 4).is_err() && bits("g", 4).is_err());
    }
}
