//! Printing a stored number with a fixed number of decimals, half-up, exactly.
//!
//! The shortest decimal text that reads back as the stored f64 is what a person means by the number. Percent and
//! millions are a shift of its decimal point and rounding is done on its digits, so 0.91245 prints as 91.25 although
//! `0.91245 * 100.0` is 91.24499…. Ties round away from zero, as people and journals do.

/// `value · 10^shift` with `decimals` digits after the point. Not-finite numbers print as their names.
pub fn fixed(value: f64, shift: i32, decimals: usize) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let text = format!("{:e}", value.abs()); // shortest digits: 9.1245e-1
    let (mantissa, exponent) = text.split_once('e').expect("`{:e}` prints an exponent");
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
    let point = exponent.parse::<i32>().expect("`{:e}` prints an integer exponent") + 1 + shift;
    let kept = point + i32::try_from(decimals).expect("fewer than 2^31 decimals");
    let rounded = round(&digits, kept);
    let negative = value < 0.0 && rounded.iter().any(|&d| d != 0);
    let text: String = rounded.iter().map(|d| char::from(b'0' + d)).collect();
    let text = format!("{text:0>width$}", width = decimals + 1);
    let (whole, fraction) = text.split_at(text.len() - decimals);
    let sign = if negative { "-" } else { "" };
    if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The first `kept` digits as an integer's digits, rounded half-up; digits past the end are zero.
fn round(digits: &[u8], kept: i32) -> Vec<u8> {
    let Ok(kept) = usize::try_from(kept) else { return vec![0] };
    let mut head: Vec<u8> = (0..kept).map(|i| digits.get(i).copied().unwrap_or(0)).collect();
    if digits.get(kept).is_some_and(|&d| d >= 5) {
        let mut i = kept;
        loop {
            if i == 0 {
                head.insert(0, 1);
                break;
            }
            i -= 1;
            if head[i] < 9 {
                head[i] += 1;
                break;
            }
            head[i] = 0;
        }
    }
    let zeros = head.iter().take_while(|&&d| d == 0).count().min(head.len().saturating_sub(1));
    if head.is_empty() { vec![0] } else { head.split_off(zeros) }
}
