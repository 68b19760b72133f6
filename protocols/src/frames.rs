//! Which frames of a video the field looks at.
//!
//! Deepfake detection takes evenly spaced indices (`linspace(0, N − 1, num)` truncated to whole numbers, ends
//! included); the MCIO anti-spoofing lists take two, 6 and 6 + ⌊N/2⌋.

/// `num` evenly spaced indices of `0..n`; indices repeat when `n < num`, as they do in the field's lists.
pub fn spaced(n: usize, num: usize) -> Vec<usize> {
    if n == 0 || num <= 1 {
        return vec![0; num.min(n)];
    }
    let step = (n - 1) as f64 / (num - 1) as f64;
    (0..num).map(|i| if i + 1 == num { n - 1 } else { (i as f64 * step) as usize }).collect()
}

/// At most `most` different indices of `0..n`, evenly spaced; all of them when `n ≤ most`.
pub fn spaced_at_most(n: usize, most: usize) -> Vec<usize> {
    if n <= most { (0..n).collect() } else { spaced(n, most) }
}

/// The two frames of the MCIO lists: 6 and 6 + ⌊n/2⌋. The second may lie beyond the end of a short video.
pub fn mcio_pair(n: usize) -> [usize; 2] {
    [6, 6 + n / 2]
}
