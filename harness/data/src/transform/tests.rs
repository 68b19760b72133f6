//! The two evaluation transforms against Pillow and torchvision.

use super::*;
use crate::testing::{fixture, number, picture, sha256};

#[test]
fn short_side_and_centre_crop_equal_torchvision() {
    let cases = fixture("transforms.json");
    for case in cases["short_side_geometry"].as_array().unwrap() {
        let (width, height) = short_side(number(case, "in_w"), number(case, "in_h"), 256);
        assert_eq!((width, height), (number(case, "resized_w"), number(case, "resized_h")), "{case}");
        assert_eq!(
            (centre(width, 224), centre(height, 224)),
            (number(case, "crop_left"), number(case, "crop_top"))
        );
    }
    let mut checked = 0;
    for case in cases["resize"].as_array().unwrap() {
        if case["op"] == "pil_bicubic_short_side_256_then_centre_crop_224" {
            let image = picture(case["rule"].as_str().unwrap(), number(case, "in_w"), number(case, "in_h"));
            let out = to_square(&image, 224, TestTransform::CenterCrop);
            assert_eq!(sha256(&out.pixels), case["sha256_of_data"], "{case}");
            checked += 1;
        }
    }
    assert_eq!(checked, 3);
}

#[test]
fn outside_is_filled_with_the_mean_colour() {
    assert_eq!(Normalise::VGGFACE2.fill(), [140, 108, 93]); // as the published augmentation prints it
}

#[test]
fn direct_is_one_bicubic_resize() {
    let image = picture("T1", 40, 30);
    assert_eq!(to_square(&image, 16, TestTransform::Direct), resize(&image, 16, 16, Filter::Bicubic));
    let same = picture("T2", 16, 16);
    assert_eq!(to_square(&same, 16, TestTransform::Direct), same);
}

#[test]
fn extreme_shapes_do_not_need_extreme_memory() {
    let strip = picture("T2", 10_000, 1); // its short side at 256 would be 2.5 million columns
    let out = to_square(&strip, 224, TestTransform::CenterCrop);
    assert_eq!((out.width, out.height), (224, 224));
}

#[test]
fn a_tensor_is_channels_first() {
    let image = Rgb::from_fn(4, 4, |x, y| [x as u8, y as u8, 255]);
    let unit = Normalise { mean: [0.0; 3], std: [1.0 / 255.0; 3] };
    let tensor = to_tensor(&image, 4, TestTransform::Direct, &unit, None);
    assert_eq!(tensor.len(), 48);
    let near = |a: f32, b: f32| (a - b).abs() < 1e-4;
    assert!(near(tensor[3], 3.0) && near(tensor[16 + 4], 1.0) && near(tensor[32], 255.0), "{tensor:?}");
}

#[test]
fn the_stream_decides_the_picture() {
    let image = picture("T1", 50, 60);
    let augment = Augment {
        crop: Some(RandomCrop::default()),
        flip: true,
        jitter: 0.3,
        saturation: Some(Jitter::Released),
        rand_augment: Some(RandAugment::default()),
        erase: Some(Erase { probability: 1.0, ..Erase::default() }),
    };
    let unit = Normalise::VGGFACE2;
    let draw = |sample: &str| {
        let mut stream = Stream::new("augment", 1, &[sample, "0"]);
        to_tensor(&image, 24, TestTransform::Direct, &unit, Some((&augment, &mut stream)))
    };
    assert_eq!(draw("a"), draw("a"));
    assert_ne!(draw("a"), draw("b"));
    let mut stream = Stream::new("augment", 1, &[]);
    let before = stream.state();
    let nothing = Augment::default();
    assert_eq!(
        to_tensor(&image, 24, TestTransform::CenterCrop, &unit, Some((&nothing, &mut stream))),
        to_tensor(&image, 24, TestTransform::CenterCrop, &unit, None)
    );
    assert_eq!(stream.state(), before, "nothing varied, nothing drawn");
}
