//! Small pure helpers for messages, shared so that both sides of the boundary speak alike.

/// The candidates closest to `word`, best first, at most three and only near ones.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (word.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &str)> =
        candidates.into_iter().map(|c| (distance(word, c), c)).filter(|(d, _)| *d <= limit).collect();
    near.sort();
    near.into_iter().take(3).map(|(_, c)| c).collect()
}

/// Edits (insert, delete, replace) from one word to the other, case and `-`/`_` ignored.
pub fn distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| -> Vec<char> {
        s.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Whether `name` matches `pattern`, in which `*` stands for any run of characters.
pub fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What each `*` of `pattern` matches in `name`, in order; `None` when it does not match. The shortest match counts, the
/// last star takes the rest.
pub fn captures<'a>(pattern: &str, name: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = pattern.split('*');
    let mut rest = name.strip_prefix(parts.next().unwrap_or_default())?;
    let mut found = Vec::new();
    let parts: Vec<&str> = parts.collect();
    for (i, part) in parts.iter().enumerate() {
        let at = if i + 1 == parts.len() {
            rest.len()
                .checked_sub(part.len())
                .filter(|at| rest.is_char_boundary(*at) && rest.ends_with(part))?
        } else {
            rest.find(part)?
        };
        found.push(&rest[..at]);
        rest = &rest[at + part.len()..];
    }
    rest.is_empty().then_some(found)
}

/// `template` with its stars replaced by these texts, in order; stars beyond them stay.
pub fn fill(template: &str, texts: &[&str]) -> String {
    let mut texts = texts.iter();
    let mut parts = template.split('*');
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        out.push_str(texts.next().copied().unwrap_or("*"));
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word() {
        assert_eq!(nearest("fs-vfm", ["dino", "fsvfm", "mae"]), ["fsvfm"]);
        assert_eq!(nearest("crfr_p", ["crfr-p", "random"]), ["crfr-p"]);
        assert!(nearest("resnet", ["dino", "fsvfm", "mae"]).is_empty());
    }

    #[test]
    fn globs() {
        for (pattern, name, expect) in [
            ("norm.*", "norm.weight", true),
            ("norm.*", "fc_norm.weight", false),
            ("*.bias", "blocks.0.attn.qkv.bias", true),
            ("blocks.*.attn.*", "blocks.11.attn.proj.bias", true),
            ("mask_token", "mask_token", true),
            ("mask_token", "mask_tokens", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, name), expect, "{pattern} on {name}");
        }
    }

    #[test]
    fn stars_are_captured_and_filled_in() {
        let found = captures("layers.*.attn.*.weight", "layers.11.attn.q.weight").unwrap();
        assert_eq!(found, ["11", "q"]);
        assert_eq!(fill("blocks.*.*_w", &found), "blocks.11.q_w");
        assert_eq!(captures("a.*", "a.b.c"), Some(vec!["b.c"]));
        assert_eq!(captures("a.*.c", "a.b.d"), None);
        assert_eq!(captures("abc", "abc"), Some(vec![]));
        assert_eq!(captures("a*a", "a"), None);
    }
}
