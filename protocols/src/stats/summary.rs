//! Means and spreads over seeds and test sets, and the rounding of printed tables.

/// Arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation with divisor n (numpy's default, what this field prints); `None` of nothing.
pub fn std_population(values: &[f64]) -> Option<f64> {
    Some((squares(values)? / values.len() as f64).sqrt())
}

/// Standard deviation with divisor n − 1; `None` of fewer than two values.
pub fn std_sample(values: &[f64]) -> Option<f64> {
    if values.len() < 2 { None } else { Some((squares(values)? / (values.len() - 1) as f64).sqrt()) }
}

fn squares(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    Some(values.iter().map(|v| (v - mean).powi(2)).sum())
}

/// `value` with `decimals` places, halves away from zero, judged on its shortest decimal form.
///
/// 87.895 becomes `87.90`, as in printed tables; binary rounding would give `87.89`.
pub fn half_up(value: f64, decimals: usize) -> String {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if !value.is_finite() || fraction.len() <= decimals {
        return format!("{value:.decimals$}");
    }
    let up = fraction.as_bytes()[decimals] >= b'5';
    let mut digits: Vec<u8> =
        whole.trim_start_matches('-').bytes().chain(fraction.bytes().take(decimals)).collect();
    if up {
        match digits.iter().rposition(|&d| d != b'9') {
            Some(i) => {
                digits[i] += 1;
                digits[i + 1..].fill(b'0');
            }
            None => {
                digits.fill(b'0');
                digits.insert(0, b'1');
            }
        }
    }
    let all_zero = digits.iter().all(|&d| d == b'0');
    let digits = String::from_utf8(digits).expect("decimal digits are ASCII");
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let sign = if value < 0.0 && !all_zero { "-" } else { "" };
    if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::{half_up, mean, std_population, std_sample};

    #[test]
    fn halves_go_up_in_decimal() {
        for (value, decimals, expected) in [
            (87.895, 2, "87.90"),
            (0.125, 2, "0.13"),
            (2.5, 0, "3"),
            (9.995, 2, "10.00"),
            (99.99, 1, "100.0"),
            (-0.004, 2, "0.00"),
            (-1.005, 2, "-1.01"),
            (7.0, 2, "7.00"),
            (1e-9, 3, "0.000"),
        ] {
            assert_eq!(half_up(value, decimals), expected, "{value}");
        }
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!((mean(&[]), std_population(&[]), std_sample(&[1.0])), (None, None, None));
    }
}
