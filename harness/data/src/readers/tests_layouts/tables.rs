//! Tables and manifests, links, layouts by name.

use super::*;

#[test]
fn tables_of_any_kind() {
    let files = pictures(&["set/img/a_frame_1.png", "set/img/a_frame_2.png", "set/img/Müller.png"]);
    let root = build(&files);
    let table = |text: &str, columns: Columns| -> Result<Vec<String>, String> {
        let list = root.path().join("set/list.csv");
        std::fs::write(&list, text).unwrap();
        let source = Source::table(&list, "folder:mine", columns).map_err(|e| e.to_string())?;
        let mut samples = Vec::new();
        let mut sink = |clip: Clip| {
            samples.extend(clip.samples("m"));
            Ok(())
        };
        source.each(None, &mut sink).map_err(|e| e.to_string())?;
        Ok(samples.iter().map(|s| format!("{} {} {}", s.id(), s.label, s.split)).collect())
    };
    let columns = || Columns { path: "file".into(), label: "y".into(), ..Columns::default() };
    let plain = "\u{feff}file,y\r\nimg\\a_frame_1.png,0\r\nimg/a_frame_2.png,real\r\nimg/Müller.png,1\r\n";
    assert_eq!(
        table(plain, columns()).unwrap(),
        ["m/fake/img_Müller/0 1 test", "m/real/img_a/1 0 test", "m/real/img_a/2 0 test"]
    );
    // where 1 means live, one says so
    let swapped = Columns { real: vec!["1".into()], fake: vec!["0".into()], ..columns() };
    assert!(
        table("file,y\nimg/Müller.png,1\n", swapped.clone()).unwrap()[0].contains("m/real/img_Müller/0 0")
    );
    let more = Columns {
        video: Some("v".into()),
        split: Some("part".into()),
        method: Some("how".into()),
        ..columns()
    };
    let text = "how,part,v,file,y\nprint,devel,clip 1,img/a_frame_2.png,1\n";
    assert_eq!(table(text, more).unwrap(), ["m/print/clip 1/2 1 val"]);
    for (text, columns, expected) in [
        ("file,y\nimg/Müller.png,2\n", columns(), "line 2: the label is `2`, which is neither real nor fake"),
        ("file,y\nimg/none.png,1\n", columns(), "none.png is not there"),
        ("file,z\nimg/Müller.png,1\n", columns(), "column \"y\" is missing"),
        ("file,y\nimg/Müller.png,real\n", swapped, "neither real nor fake"),
        ("file,y\nimg/Müller.png,1,3\n", columns(), "3 fields, expected 2"),
    ] {
        let error = table(text, columns).unwrap_err();
        assert!(error.contains(expected) && error.contains("list.csv"), "{error}");
    }
}

#[test]
fn a_manifest_in_the_root_stands_for_the_data_set() {
    let mut files = pictures(&["elsewhere/x.png", "elsewhere/ünï.png"]);
    files.push(file(
        "manifests/dfdc.csv",
        "dataset,method,video,frame,label,split,subjects,path,synthetic\r\n\
         other,real,x,0,0,test,,../elsewhere/x.png,0\r\nother,fake,y,0,1,test,,../elsewhere/ünï.png,0\r\n",
    ));
    let root = build(&files);
    let manifest = load(root.path(), "dfdc").unwrap();
    assert_eq!(
        manifest.samples.iter().map(Sample::id).collect::<Vec<_>>(),
        ["dfdc/fake/y/0", "dfdc/real/x/0"]
    );
    bad("dfdc", &files, "-elsewhere/x.png", "", &["dfdc.csv: lists ", "x.png, which is not there"]);
}

#[test]
#[cfg(unix)]
fn a_link_that_leads_back_is_found() {
    let root = build(&pictures(&["mine/test/real/a/1.png", "mine/test/fake/2.png"]));
    std::os::unix::fs::symlink(root.path().join("mine"), root.path().join("mine/test/real/a/again")).unwrap();
    let error = load(root.path(), "folder:mine").unwrap_err().to_string();
    assert!(
        error.contains("again: a link that leads back to") && error.contains("hint: remove the link"),
        "{error}"
    );
    // a link to elsewhere is followed
    let other = build(&pictures(&["pics/9.png"]));
    std::fs::remove_file(root.path().join("mine/test/real/a/again")).unwrap();
    std::os::unix::fs::symlink(other.path().join("pics"), root.path().join("mine/test/real/more")).unwrap();
    assert_eq!(load(root.path(), "folder:mine").unwrap().samples.len(), 3);
}

#[test]
fn a_layout_can_be_asked_for_and_unknown_ones_are_named() {
    let root = build(&ffpp::ffpp());
    let error = Source::find(root.path(), "ffpp-c23", Some("ffpp-oficial"), None).unwrap_err().to_string();
    assert!(
        error.contains("no layout `ffpp-oficial`") && error.contains("ffpp-folders, ffpp-official"),
        "{error}"
    );
    assert!(Source::find(root.path(), "ffpp-c23", Some("ffpp-official"), None).is_ok());
    let error = Source::find(root.path(), "cdfv1", None, None).unwrap_err().to_string();
    assert!(error.contains("also looked for Celeb-DF-v1 (celeb-df-official)"), "{error}");
    let error = Source::find(root.path(), "ffpp-c24", None, None).unwrap_err().to_string();
    assert!(error.contains("did you mean `ffpp-c23`"), "{error}");
}
