//! One line out of abi_stable's layout report, which runs to a thousand.

use facebench_abi::abi_stable::abi_stability::abi_checking::AbiInstabilityErrors;

/// Most differences worth printing.
const SHOWN: usize = 3;

/// Which field differs, what was expected, what was found.
pub(crate) fn brief(errors: &AbiInstabilityErrors) -> String {
    let text = errors.to_string();
    let mut out: Vec<String> = Vec::new();
    // each block reads: "N error(s)inside:", the path as `field_name:` lines, then "Error: ... Expected: ... Found: ..."
    for block in text.split("error(s)").skip(1) {
        let Some((path, errors)) = block.split_once("\nError:") else { continue };
        let path = path.split("Layout of expected type").next().unwrap_or_default();
        let names: Vec<&str> =
            path.lines().filter_map(|l| l.trim().strip_prefix("field_name:")).filter(|n| *n != "0").collect();
        let tail = &names[names.len().saturating_sub(4)..];
        let facts: Vec<String> = errors
            .split("\nError:")
            .map(|e| {
                let lines = e.lines().map(str::trim).filter(|l| !l.is_empty());
                let lines = lines.filter(|l| {
                    !l.starts_with(|c: char| c.is_ascii_digit()) || l.chars().all(|c| c.is_ascii_digit())
                });
                lines.take(8).collect::<Vec<_>>().join(" ")
            })
            .collect();
        out.push(format!("in {}: {}", tail.join("."), facts.join("; ")));
    }
    if out.is_empty() {
        return short(&text);
    }
    out.truncate(SHOWN);
    out.join(" / ")
}

/// The first lines of a long text, on one line.
pub(crate) fn short(text: &str) -> String {
    const LINES: usize = 6;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let dots = if lines.len() > LINES { " …" } else { "" };
    format!("{}{dots}", lines[..lines.len().min(LINES)].join(" | "))
}
