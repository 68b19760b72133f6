//! Parsing maps as runs: (label, length) pairs, lengths as LEB128.
//!
//! A map is a few dozen areas of one label, so 50 KB of labels become 1 to 3 KB, and a set of three million
//! faces keeps 140 GB off the disk. Lossless; the labels that come back are checked like those of a `.npy`.

use crate::parsing::{LABELS, ParsingMap};

/// Longest side a map in a shard may have.
pub(super) const MAX_SIDE: usize = 20_000;

/// The runs of a map's labels, row-major.
pub(super) fn encode(labels: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = labels;
    while let Some(&label) = rest.first() {
        let mut length = rest.iter().take_while(|l| **l == label).count();
        rest = &rest[length..];
        out.push(label);
        while length >= 0x80 {
            out.push((length & 0x7F) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
    }
    out
}

/// The map of these runs; what is wrong with them otherwise.
pub(super) fn decode(runs: &[u8], width: usize, height: usize) -> Result<ParsingMap, String> {
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(format!("a parsing map of {width}x{height}"));
    }
    let total = width * height;
    let mut labels = Vec::with_capacity(total);
    let mut bytes = runs.iter();
    while let Some(&label) = bytes.next() {
        if label >= LABELS {
            return Err(format!("parsing label {} is outside 0..=10", label.cast_signed()));
        }
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let Some(&b) = bytes.next().filter(|_| shift <= 28) else {
                return Err("the parsing map ends within a run".into());
            };
            length |= usize::from(b & 0x7F) << shift;
            shift += 7;
            if b & 0x80 == 0 {
                break;
            }
        }
        if length == 0 || length > total - labels.len() {
            return Err(format!("a run of {length} labels at {} of {total}", labels.len()));
        }
        labels.resize(labels.len() + length, label);
    }
    if labels.len() != total {
        return Err(format!("{} labels in a parsing map of {width}x{height}", labels.len()));
    }
    Ok(ParsingMap { width, height, labels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_map_comes_back(side in 1usize..40, areas in proptest::collection::vec((0u8..11, 1usize..300), 1..60)) {
            let mut labels: Vec<u8> =
                areas.iter().cycle().flat_map(|(l, n)| std::iter::repeat_n(*l, *n)).take(side * side).collect();
            labels.truncate(side * side);
            let map = decode(&encode(&labels), side, side).unwrap();
            prop_assert_eq!(map.labels, labels);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes, 5, 5);
        }
    }

    #[test]
    fn areas_are_small() {
        assert_eq!(encode(&[3; 300]), [3, 0xAC, 0x02]);
        assert!(decode(&[3, 0xAC, 0x02], 20, 15).is_ok());
        assert!(decode(&[3, 0xAC, 0x02], 20, 14).unwrap_err().contains("a run of 300 labels at 0 of 280"));
        assert!(decode(&[11, 1], 1, 1).unwrap_err().contains("label 11"));
        assert!(decode(&[1, 0x80], 1, 1).unwrap_err().contains("ends within a run"));
    }
}
