//! Tables of the user's own, and paths that lead nowhere: what is ambiguous is refused, and the way out is named.

use super::*;
use crate::testing::{text_file, tiny_png};

/// The error of a table `list.csv` with pictures `a.png` and `b.png` beside it; an empty one if there is none.
fn read(table: &str, label: &str, values: Option<(&str, &str)>) -> String {
    let root = tempfile::tempdir().unwrap();
    for name in ["a.png", "b.png"] {
        tiny_png(&root.path().join(name));
    }
    let list = root.path().join("list.csv");
    text_file(&list, table);
    let (real, fake) = values.map_or((vec![], vec![]), |(r, f)| (vec![r.to_owned()], vec![f.to_owned()]));
    let columns = Columns { path: "file".into(), label: label.into(), real, fake, ..Columns::default() };
    let source = Source::table(&list, "folder:mine", columns).unwrap();
    match source.load() {
        Ok(manifest) => {
            let fakes: Vec<&str> =
                manifest.samples.iter().filter(|s| s.label == 1).map(|s| s.video.as_str()).collect();
            assert_eq!(fakes, ["b"], "{table}");
            String::new()
        }
        Err(e) => e.to_string().replace(&root.path().display().to_string(), "ROOT"),
    }
}

#[test]
fn a_label_column_named_after_the_real_class_must_say_what_it_means() {
    for (column, real, fake, values, refused) in [
        ("is_live", "1", "0", None, true),
        ("Genuine", "1", "0", None, true),
        ("BonaFide", "0", "1", None, true),
        ("bona_fide", "1", "0", None, true),
        ("real", "1", "0", None, true),
        ("is_live", "1", "0", Some(("1", "0")), false),
        ("is_live", "live", "spoof", None, false),
        ("label", "0", "1", None, false),
        ("is_fake", "0", "1", None, false),
    ] {
        let message = read(&format!("file,{column}\na.png,{real}\nb.png,{fake}\n"), column, values);
        if refused {
            let start = format!("ROOT/list.csv: line 2: the column `{column}` seems to say 1 = real");
            assert!(message.starts_with(&start), "{message}");
            assert!(message.contains("\nhint: ") && message.contains("`--real 1 --fake 0`"), "{message}");
        } else {
            assert_eq!(message, "", "{column}");
        }
    }
}

#[test]
fn a_picture_with_both_labels_is_refused_with_both_lines() {
    let message = read("file,label\na.png,0\nb.png,1\n./a.png,1\n", "label", None);
    let start = "ROOT/list.csv: line 4: ROOT/a.png is fake here and real in line 2\nhint: ";
    assert!(message.starts_with(start), "{message}");
}

#[test]
fn a_table_that_is_no_manifest_is_told_how_to_become_one() {
    let root = tempfile::tempdir().unwrap();
    let list = root.path().join("list.csv");
    text_file(&list, "file,label\na.png,0\n");
    let find = Source::find(&list, "folder:mine", None, None).unwrap().load().map(|_| ());
    for message in [find.unwrap_err(), manifest(&list).unwrap_err()].map(|e| e.to_string()) {
        assert!(message.contains("list.csv: line 1: column \"dataset\" is missing\nhint: "), "{message}");
        assert!(message.contains("--path-column COLUMN --label-column COLUMN"), "{message}");
    }
}

#[test]
fn a_relative_path_that_leads_nowhere_is_looked_for_here_and_not_at_the_root_of_the_disk() {
    // tests run in the crate's folder
    let here = "; the working folder holds: ";
    for message in [
        load(Path::new("nope"), "ffpp-c23").unwrap_err(),
        Source::find(Path::new("nope.csv"), "folder:mine", None, None).unwrap_err(),
        manifest(Path::new("nope.csv")).unwrap_err(),
        pictures(Path::new("nope")).unwrap_err(),
        pretrain_folders(&["nope".into()]).unwrap_err(),
    ]
    .map(|e| e.to_string())
    {
        assert!(
            message.contains("\nhint: no such file or folder: nope") && message.contains(here),
            "{message}"
        );
    }
    let below = pictures(Path::new("src/nope/deep")).unwrap_err().to_string();
    assert!(below.contains("no such file or folder: src/nope; src holds: "), "{below}");
    let message = load(Path::new("Cargo.toml"), "ffpp-c23").unwrap_err().to_string();
    assert!(message.contains("Cargo.toml exists but is not a folder"), "{message}");
}

#[test]
fn the_data_set_s_own_folder_is_told_apart_from_the_one_above() {
    let root = tempfile::tempdir().unwrap();
    for name in ["mine/real/a.png", "mine/fake/b.png"] {
        tiny_png(&root.path().join(name));
    }
    assert!(load(root.path(), "folder:mine").is_ok());
    let own = root.path().join("mine");
    let message = load(&own, "folder:mine").unwrap_err().to_string();
    assert!(message.contains("hint: the root is the folder that holds `mine`"), "{message}");
    assert!(message.contains("`facebench data index own ") && load(&own, "own").is_ok(), "{message}");
}
