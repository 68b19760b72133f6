//! Features as a figure: the layout, its data beside it, and what cannot be drawn.

use facebench_tests::Bench;

use crate::fixture::data_root;

#[test]
fn features_of_two_data_sets_are_drawn_with_their_places_beside() {
    let b = Bench::new();
    let root = data_root();
    let root = root.to_str().expect("utf-8");
    for set in ["ffpp-c23", "dfdc"] {
        b.run(&["data", "index", set, root, "--out", &format!("{set}.csv")]).ok();
    }
    let features = |out: &str, more: &[&str]| {
        let args = ["features", "--backbone", "fsvfm", "-s", "size=micro", "--random-weights", "--out", out];
        b.run(&[&args[..], more].concat())
    };
    let both = ["--manifest", "ffpp-c23.csv", "--manifest", "dfdc.csv"];
    let lines = |name: &str| b.read(name).lines().count() - 1;
    let total = lines("ffpp-c23.csv") + lines("dfdc.csv");
    let said = features("f.npz", &[&both[..], &["--plot", "figures/tsne.svg"]].concat()).ok().json();
    assert_eq!(said["arrays"]["pooled"][0], total, "{said}");
    let svg = b.read("figures/tsne.svg");
    assert!(
        svg.contains("<title>Features of fsvfm · synthetic</title>") && svg.contains("perplexity"),
        "{svg}"
    );
    assert_eq!(lines("figures/tsne.csv"), total);
    let csv = b.read("figures/tsne.csv");
    assert!(csv.starts_with("id,domain,label,x,y\n"), "{csv}");
    for part in [",ffpp-c23,fake,", ",ffpp-c23,real,", ",dfdc,fake,"] {
        assert!(csv.contains(part), "{part}: {csv}");
    }
    // drawing changes nothing in the file, and tokens alone can be drawn, too
    features("g.npz", &both).ok();
    let bytes = |name: &str| std::fs::read(b.path(name)).expect("file");
    assert!(bytes("f.npz") == bytes("g.npz"), "the file of features differs");
    let alone = ["--manifest", "ffpp-c23.csv", "--tokens", "--plot", "alone.png"];
    assert!(features("t.npz", &alone).ok().json()["arrays"]["pooled"].is_null());
    assert!(b.read("alone.csv").contains(",DeepFakes,fake,"), "one data set: colour is the method");
    assert!(bytes("alone.png").starts_with(b"\x89PNG"));

    let twice = ["--manifest", "ffpp-c23.csv", "--manifest", "ffpp-c23.csv"];
    features("x.npz", &twice).code(2).stderr_has("is in two manifests");
    let wrong = ["--manifest", "ffpp-c23.csv", "--plot", "tsne.pdf"];
    features("x.npz", &wrong).code(2).one_message(2).stderr_has("ends in .svg or .png");
    let bare = ["--folder", root, "--plot", "x.svg"];
    features("x.npz", &bare).code(2).one_message(2).stderr_has("--plot needs --manifest");
    assert!(!b.path("x.npz").exists() && !b.path("x.svg").exists());
}
