//! What makes a protocol sensible beyond its syntax: names are unique, data sets exist, nothing is tested twice.

use std::collections::BTreeSet;

use super::{Aggregation, Dev, Family, Metric, Protocol, Selector};
use crate::dataset::{dataset, datasets};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Prefixes of data-set ids that name a folder of the user's own.
const FREE_PREFIXES: [&str; 2] = ["folder:", "forge:"];

impl Protocol {
    /// Check everything that the type system does not.
    ///
    /// # Errors
    /// Empty id, title or lists; names that repeat; an unknown data set; a hold-out share outside (0, 0.5];
    /// a selector that selects nothing by construction; a test set that selects the same as training.
    pub fn check(&self) -> Result<()> {
        self.check_as(&format!("protocol {}", self.id))
    }

    pub(super) fn check_as(&self, origin: &str) -> Result<()> {
        let fail = |message: String, hint: Option<String>| {
            Err(Error::Config { origin: origin.to_owned(), line: None, message, hint })
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.id.is_empty() || !self.id.chars().all(plain) {
            return fail(
                format!("id is {:?}, expected lower-case letters, digits and dashes", self.id),
                None,
            );
        }
        if self.version == 0 || self.title.trim().is_empty() || self.folds.is_empty() {
            return fail("version, title and folds are needed; versions start at 1".into(), None);
        }
        if let Some(twice) = repeated(self.folds.iter().map(|f| f.name.as_str())) {
            return fail(format!("fold {twice:?} appears twice"), None);
        }
        let pad = [Metric::ApcerDev, Metric::BpcerDev, Metric::AcerDev].contains(&self.primary);
        if pad && self.family != Family::AntiSpoofing {
            let (primary, hint) = (self.primary.id(), "family: anti-spoofing, or primary: hter-dev");
            return fail(format!("primary `{primary}` is of anti-spoofing"), Some(hint.into()));
        }
        if self.over_folds && self.folds.len() < 2 {
            return fail("over_folds needs at least two folds".into(), None);
        }
        if self.aggregation == Aggregation::TopK(0) {
            return fail("aggregation `top-0` keeps no frame".into(), None);
        }
        for fold in &self.folds {
            let at = |what: &str| format!("fold {:?}: {what}", fold.name);
            if fold.name.trim().is_empty() || fold.train.is_empty() || fold.tests.is_empty() {
                return fail(at("a name, training selectors and test sets are needed"), None);
            }
            match &fold.dev {
                Dev::HoldOut { fraction } if !(*fraction > 0.0 && *fraction <= 0.5) => {
                    return fail(at(&format!("hold_out is {fraction}, expected a share in (0, 0.5]")), None);
                }
                Dev::Select(list) if list.is_empty() => return fail(at("dev selects nothing"), None),
                Dev::HoldOut { .. } | Dev::Select(_) => {}
            }
            if let Some(twice) = repeated(fold.tests.iter().map(|t| t.name.as_str())) {
                return fail(at(&format!("test set {twice:?} appears twice")), None);
            }
            for test in &fold.tests {
                if test.name.trim().is_empty() || test.name == "dev" || test.select.is_empty() {
                    return fail(at("a test set needs a name other than `dev`, and selectors"), None);
                }
                if let Some(same) = test.select.iter().find(|s| fold.train.contains(s)) {
                    return fail(
                        at(&format!("test set {:?} selects {same}, which is trained on", test.name)),
                        None,
                    );
                }
            }
            for selector in fold.selectors() {
                if let Some((message, hint)) = selector.fault() {
                    return fail(at(&message), hint);
                }
            }
        }
        Ok(())
    }
}

impl super::Fold {
    /// All selectors of the fold: training, development, tests.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        let dev: &[Selector] = match &self.dev {
            Dev::Select(list) => list,
            Dev::HoldOut { .. } => &[],
        };
        self.train.iter().chain(dev).chain(self.tests.iter().flat_map(|t| &t.select))
    }
}

impl Selector {
    /// What is wrong with this selector by itself, and what would help.
    fn fault(&self) -> Option<(String, Option<String>)> {
        let free =
            FREE_PREFIXES.iter().any(|p| self.dataset.strip_prefix(p).is_some_and(|name| !name.is_empty()));
        if !free && dataset(&self.dataset).is_none() {
            let hint = match nearest(&self.dataset, datasets().iter().map(|d| d.id.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a folder of your own is `folder:NAME` or `forge:NAME`".into(),
            };
            return Some((format!("unknown data set {:?}", self.dataset), Some(hint)));
        }
        if self.frames == Some(0) {
            return Some((format!("{self} keeps 0 frames"), None));
        }
        None
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.dataset, self.split)?;
        if !self.methods.is_empty() {
            write!(f, " [{}]", self.methods.join(", "))?;
        }
        if !self.reals {
            f.write_str(" without reals")?;
        }
        match self.frames {
            Some(n) => write!(f, " ≤ {n} frames"),
            None => Ok(()),
        }
    }
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|n| !seen.insert(*n))
}
