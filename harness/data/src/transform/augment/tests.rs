//! Crop geometry and colour blending against torchvision and Pillow.

use proptest::prelude::*;

use super::*;
use crate::testing::{fixture, number, picture, sha256};

#[test]
fn crop_geometry_equals_torchvision() {
    let crop = RandomCrop::default();
    for case in fixture("transforms.json")["random_resized_crop_geometry"].as_array().unwrap() {
        let (width, height) = (number(case, "in_w"), number(case, "in_h"));
        let draws: Vec<[f64; 2]> =
            serde_json::from_value(case["draws_area_fraction_and_log_aspect"].clone()).unwrap();
        let hit = draws.iter().find_map(|d| RandomCrop::fitting(width, height, d[0], d[1]));
        let got = match hit {
            Some((w, h)) => Window { left: 0, top: 0, width: w, height: h }, // the lowest draw
            None => crop.fallback(width, height),
        };
        let expected = Window {
            left: number(case, "left_with_lowest_draw"),
            top: number(case, "top_with_lowest_draw"),
            width: number(case, "crop_w"),
            height: number(case, "crop_h"),
        };
        assert_eq!(got, expected, "{case}");
    }
}

#[test]
fn colours_blend_as_in_pillow() {
    let cases = fixture("transforms.json");
    let cases = cases["colour"].as_array().unwrap();
    for case in cases {
        let kind = match case["op"].as_str().unwrap() {
            "brightness" => Colour::Brightness,
            "contrast" => Colour::Contrast,
            _ => Colour::Saturation,
        };
        let mut image = picture("T3", 64, 64);
        blend_colour(&mut image, kind, case["factor"].as_f64().unwrap() as f32);
        assert_eq!(sha256(&image.pixels), case["sha256_of_data"], "{case}");
    }
    assert_eq!(cases.len(), 12);
}

#[test]
fn about_half_are_mirrored() {
    let image = picture("T1", 8, 8);
    let augment = Augment { flip: true, ..Augment::default() };
    let mirrored = (0..400)
        .filter(|i| {
            let mut stream = Stream::new("flip", 0, &[&i.to_string()]);
            augment.apply(&image, 8, [0; 3], &mut stream, Clone::clone) != image
        })
        .count();
    assert!((150..250).contains(&mirrored), "{mirrored} of 400");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crop_lies_within_the_image(width in 1usize..300, height in 1usize..300, seed: u64) {
        let mut stream = Stream::new("crop", seed, &[]);
        let part = RandomCrop::default().draw(width, height, &mut stream);
        prop_assert!(part.width >= 1 && part.height >= 1);
        prop_assert!(part.left + part.width <= width && part.top + part.height <= height);
    }

    #[test]
    fn factor_one_changes_nothing(seed in 0usize..3, side in 1usize..20) {
        let image = picture(["T1", "T2", "T4"][seed], side, side);
        for kind in [Colour::Brightness, Colour::Contrast, Colour::Saturation] {
            let mut copy = image.clone();
            blend_colour(&mut copy, kind, 1.0);
            prop_assert_eq!(&copy, &image);
        }
    }
}
