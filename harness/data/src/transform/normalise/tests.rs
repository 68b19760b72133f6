//! Golden values, measuring, and the way back.

use super::*;
use crate::image::encode_png;
use crate::testing::{fixture, picture, text_file};

#[test]
fn applying_equals_the_reference() {
    let case = &fixture("transforms.json")["normalise"];
    let image = picture("T1", 16, 12);
    let got = Normalise::VGGFACE2.apply(&image);
    let expected: Vec<f32> = serde_json::from_value(case["f32"].clone()).unwrap();
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(&expected) {
        assert!((g - e).abs() <= 2e-6, "{g} for {e}");
    }
    assert_eq!(Normalise::VGGFACE2.undo(&got, 16, 12), image);
}

#[test]
fn measuring_equals_the_definition_and_ignores_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    let (mut sum, mut square) = (0.0f64, 0.0f64);
    for i in 0..5 {
        let image = Rgb::from_fn(8, 8, |x, y| [(x * 20 + y * i) as u8, 10 * i as u8, (y * 30) as u8]);
        for p in image.pixels.chunks_exact(3) {
            let v = f64::from(p[0]) / 255.0;
            sum += v;
            square += v * v;
        }
        paths.push(folder.path().join(format!("{i}.png")));
        encode_png(&paths[i], &image).unwrap();
    }
    let got = statistics(&paths, 8).unwrap();
    let mean = sum / 320.0;
    assert!((f64::from(got.mean[0]) - mean).abs() < 1e-7, "{got:?}");
    assert!((f64::from(got.std[0]) - (square / 320.0 - mean * mean).sqrt()).abs() < 1e-7, "{got:?}");
    paths.reverse();
    assert_eq!(statistics(&paths, 8).unwrap(), got);
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let flat = folder.path().join("flat.png");
    encode_png(&flat, &Rgb::new(4, 4)).unwrap();
    assert!(statistics(&[], 8).is_err());
    assert!(statistics(std::slice::from_ref(&flat), 0).is_err());
    assert!(statistics(std::slice::from_ref(&flat), 4).unwrap_err().to_string().contains("flat colour"));
    // of two broken images the first one in the list is named, whichever thread was faster
    let broken: Vec<_> = ["b.png", "a.png"].map(|n| folder.path().join(n)).to_vec();
    let error = statistics(&[vec![flat], broken].concat(), 4).unwrap_err().to_string();
    assert!(error.contains("b.png"), "{error}");
}

#[test]
fn published_statistics_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pretrain_ds_mean_std.txt");
    let line = r#"{"mean": [0.5482207536697388, 0.42340534925460815, 0.3654651641845703], "std": [0.2789176106452942, 0.2438540756702423, 0.23493893444538116]}"#;
    text_file(&path, &format!("{line}\n{line}\n"));
    assert_eq!(Normalise::read(&path).unwrap(), Normalise::VGGFACE2);
    text_file(&path, "{\"mean\": [0, 0, 0], \"std\": [1, 0, 1]}");
    assert!(Normalise::read(&path).unwrap_err().to_string().contains("not above zero"));
    text_file(&path, "mean 0.5");
    assert!(Normalise::read(&path).unwrap_err().to_string().contains("\nhint: the file holds one line"));
}
