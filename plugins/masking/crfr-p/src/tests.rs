//! CRFR-P against masks of the published implementation, and its promises under random choices.

use super::*;
use facebench_plugin::{serde_json::Value, testing};

const GOLDEN: &str = include_str!("../tests/data/masks.json");

fn list<'a>(v: &'a Value, key: &str) -> &'a [Value] {
    v[key].as_array().map_or(&[], Vec::as_slice)
}

fn numbers(v: &Value) -> Vec<i64> {
    v.as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect()
}

/// The label map of a case, by the rules in its file.
fn label_map(case: &Value) -> Vec<u8> {
    let side = case["size"].as_i64().unwrap();
    let patch = case["patch"].as_i64().unwrap();
    let at = |x: i64, y: i64| (y * side + x) as usize;
    let mut map = vec![case["background"].as_u64().unwrap_or(0) as u8; (side * side) as usize];
    for r in list(case, "rects") {
        let [label, y0, y1, x0, x1] = numbers(r)[..] else { panic!("a rectangle has 5 numbers") };
        for y in y0..y1 {
            map[at(x0, y)..at(x1, y)].fill(label as u8);
        }
    }
    for e in list(case, "ellipses") {
        let [label, cx, cy, a, b] = numbers(e)[..] else { panic!("an ellipse has 5 numbers") };
        for (x, y) in (0..side).flat_map(|y| (0..side).map(move |x| (x, y))) {
            if (x - cx).pow(2) * b * b + (y - cy).pow(2) * a * a < a * a * b * b {
                map[at(x, y)] = label as u8;
            }
        }
    }
    let mut next = 0;
    for run in list(case, "runs") {
        let [label, count] = numbers(run)[..] else { panic!("a run has 2 numbers") };
        for p in next..next + count {
            let (px, py) = (p % (side / patch) * patch, p / (side / patch) * patch);
            for y in py..py + patch {
                map[at(px, y)..at(px + patch, y)].fill(label as u8);
            }
        }
        next += count;
    }
    if case["type"] == "formula" {
        assert_eq!(case["formula"], "label = (x div 9 + y div 7) mod 11");
        for (x, y) in (0..side).flat_map(|y| (0..side).map(move |x| (x, y))) {
            map[at(x, y)] = ((x / 9 + y / 7) % 11) as u8;
        }
    }
    map
}

fn bits(hex: &str, n: usize) -> Vec<u8> {
    let digits = hex.chars().map(|c| c.to_digit(16).unwrap() as u8);
    digits.flat_map(|d| [d >> 3 & 1, d >> 2 & 1, d >> 1 & 1, d & 1]).take(n).collect()
}

fn identity(covered: Covered) -> CrfrP {
    CrfrP { config: CrfrConfig { covered, choice: Choice::Identity } }
}

fn input(map: &[u8], side: usize, grid: usize, ratio: f64, key: u64) -> MaskInput<'_> {
    MaskInput {
        parsing: Some(ParsingView { labels: map, height: side, width: side }),
        grid: (grid, grid),
        ratio,
        patches_key: [key, 1],
        region_key: [key, 2],
    }
}

#[test]
fn published_masks_are_met_bit_for_bit() {
    let golden: Value = facebench_plugin::serde_json::from_str(GOLDEN).unwrap();
    let mut compared = 0;
    for case in list(&golden, "cases") {
        let map = label_map(case);
        let side = case["size"].as_u64().unwrap() as usize;
        let grid = case["grid"].as_u64().unwrap() as usize;
        let input = input(&map, side, grid, case["ratio"].as_f64().unwrap(), 0);
        for result in list(case, "results") {
            let covered = Covered::ALL.iter().find(|c| result["covered"] == c.word()).unwrap();
            let (mask, region) = testing::run(&identity(*covered), &input).unwrap();
            let place = format!("{} covering {covered}", case["name"]);
            assert_eq!(mask, bits(result["mask_hex"].as_str().unwrap(), grid * grid), "{place}");
            assert_eq!(
                region,
                bits(result["region_mask_hex"].as_str().unwrap(), grid * grid),
                "{place}: region"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 72);
}

/// The table of method.md 10.2.
#[test]
fn the_published_table_is_met() {
    let rects = [
        [10, 16, 80, 40, 184],
        [1, 60, 200, 56, 168],
        [2, 84, 92, 66, 100],
        [3, 84, 92, 124, 158],
        [4, 98, 108, 70, 96],
        [5, 98, 108, 128, 154],
        [6, 100, 140, 104, 120],
        [7, 152, 158, 90, 134],
        [8, 158, 162, 90, 134],
        [9, 162, 170, 92, 132],
    ];
    let mut map = vec![0u8; 224 * 224];
    for [label, y0, y1, x0, x1] in rects {
        for y in y0..y1 {
            map[y * 224 + x0..y * 224 + x1].fill(label as u8);
        }
    }
    for (covered, hex) in [
        (Covered::Eyebrows, "fffffffffcf7fbdfeffffffbfffffcffffffe7f4080000000"),
        (Covered::Eyes, "fffffffffcf7fbdfeffcfffffffffcffffffe7fc080000000"),
        (Covered::Nose, "fffffffffcf7fbdfeffcfffbffffffffffffe7f4080000000"),
        (Covered::Mouth, "fffffffffcf7fbdfeffcfffbfffffcfffffffff4080000000"),
        (Covered::Boundary, "7ffffffff8f7fbdfeffcfffbfffffcffffffe384081fe0000"),
        (Covered::Hair, "fffffffffffffffffffcfffbfffffcffffffe304081000000"),
    ] {
        let (mask, _) = testing::run(&identity(covered), &input(&map, 224, 14, 0.75, 0)).unwrap();
        assert_eq!(mask, bits(hex, 196), "{covered}");
    }
}

#[test]
fn masks_keep_every_promise() {
    testing::check_masking::<CrfrP>("").unwrap();
    testing::check_masking::<CrfrP>(r#"{"covered": "hair"}"#).unwrap();
    testing::check_covering::<CrfrP>().unwrap();
}

/// Each group of first-match patches outside the covered region is masked to the share ρ, up to rounding and the correction
/// of the count.
#[test]
fn every_other_region_keeps_its_share() {
    let map = testing::made_up_face(224);
    let view = ParsingView { labels: &map, height: 224, width: 224 };
    let predicates = testing::input(&view, (14, 14), 0.75, 0).predicates().unwrap();
    let strategy = CrfrP { config: CrfrConfig::default() };
    for key in 0..300 {
        let (mask, region) = testing::run(&strategy, &testing::input(&view, (14, 14), 0.75, key)).unwrap();
        let size = region.iter().filter(|r| **r == 1).count();
        let rho = (147 - size) as f64 / (196 - size) as f64;
        let groups: Vec<Vec<usize>> = (0..8)
            .map(|j| (0..196).filter(|p| region[*p] == 0 && predicates[*p].trailing_zeros() == j).collect())
            .collect();
        let before: f64 = groups.iter().map(|g| (g.len() as f32 * rho as f32).round_ties_even() as f64).sum();
        let correction = (before - (147 - size) as f64).abs();
        for group in &groups {
            let masked = group.iter().filter(|p| mask[**p] == 1).count() as f64;
            assert!((masked - group.len() as f64 * rho).abs() <= 0.5 + correction + 1e-4);
        }
    }
}
