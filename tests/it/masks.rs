//! The five masking strategies through the program: the same masks for ever, and clear words for maps that cannot be used.

use facebench_tests::Bench;

/// A face of rectangles, 64 x 64, as `parsing_maps/*.npy` are written: label, rows, columns.
fn face() -> Vec<u8> {
    const PARTS: [[usize; 5]; 10] = [
        [10, 4, 24, 10, 54],
        [1, 16, 58, 14, 50],
        [2, 22, 25, 17, 28],
        [3, 22, 25, 36, 47],
        [4, 27, 31, 18, 27],
        [5, 27, 31, 37, 46],
        [6, 28, 41, 29, 35],
        [7, 44, 46, 24, 40],
        [8, 46, 48, 24, 40],
        [9, 48, 51, 25, 39],
    ];
    let mut labels = vec![0u8; 64 * 64];
    for [label, y0, y1, x0, x1] in PARTS {
        for y in y0..y1 {
            labels[y * 64 + x0..y * 64 + x1].fill(label as u8);
        }
    }
    labels
}

fn npy(labels: &[u8], shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '|i1', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").into_bytes());
    bytes.extend(labels);
    bytes
}

/// A mask is a function of map, settings and seed: these were printed when the strategies were written, and a result that
/// was computed then must be repeatable now.
#[test]
fn masks_stay_the_same_for_ever() {
    let b = Bench::new();
    b.file("face.npy", npy(&face(), "(1, 64, 64)"));
    for (strategy, mask) in PRINTED {
        let said =
            b.run(&["mask", "--strategy", strategy, "--parsing", "face.npy", "--grid", "8", "--seed", "7"]);
        assert_eq!(said.ok().stdout().lines().collect::<Vec<_>>().join(" "), mask, "{strategy}");
    }
}

const PRINTED: [(&str, &str); 5] = [
    ("random", ".####.#. ##..#### .####.## .#####.# .#.##### #.##.##. ######## #..#####"),
    ("fasking-i", "#.....## ######## ######## ..###### ######.. #.####.. ######.. #..#####"),
    ("frp", "######.. #####..# ...##### ####.### #.##.### ##.####. #####.#. #.#.####"),
    ("crfr-r", ".####### ##.#.### ###.#.## ##RRRR## ##.#.##. .#.##.#. .####.## ##.#.###"),
    ("crfr-p", "##.#..## .######. #####.## ##RRRR## .###.### #.###### ##.#..#. #.#.#.##"),
];

#[test]
fn every_strategy_hides_exactly_its_share_and_says_what_it_cannot_use() {
    let b = Bench::new();
    b.file("face.npy", npy(&face(), "(1, 64, 64)"));
    b.file("strange.npy", npy(&[77; 64 * 64], "(1, 64, 64)"));
    b.file("cut.npy", &npy(&face(), "(1, 64, 64)")[..900]);
    for strategy in ["random", "fasking-i", "frp", "crfr-r", "crfr-p"] {
        // 64 patches: ratio · N is rounded to the nearest, halves up
        for (ratio, hidden) in [("0.75", 48), ("0.6", 38), ("0.7", 45), ("0.0078125", 1), ("0", 0)] {
            let args =
                ["mask", "--strategy", strategy, "--parsing", "face.npy", "--grid", "8", "--ratio", ratio];
            let said = b.run(&args).ok().stdout();
            assert_eq!(said.matches(['#', 'R']).count(), hidden, "{strategy} at {ratio}:\n{said}");
            assert!(strategy.starts_with("crfr") || !said.contains('R'), "{strategy} covers no region");
        }
        if strategy != "random" {
            for file in ["strange.npy", "cut.npy"] {
                let said = b.run(&["mask", "--strategy", strategy, "--parsing", file, "--grid", "8"]);
                said.code(2).one_message(3);
            }
            b.run(&["mask", "--strategy", strategy]).code(2).one_message(3).stderr_has("parsing map");
        }
    }
}
