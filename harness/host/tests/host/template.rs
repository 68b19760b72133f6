//! The crates of `plugin new` build, pass their own tests, and open.

use std::{fs, process::Command};

use facebench_host::{Kind, check_file, template};

use crate::common::{target_dir, workspace};

#[test]
fn a_new_crate_of_every_kind_builds_passes_its_test_and_opens() {
    // its own folder in the target directory: dependencies are compiled once, and nothing lands beside the program
    let target = target_dir().parent().unwrap().join("plugin-new");
    let sdk = workspace().join("plugins/sdk");
    for (kind, name) in [(Kind::Backbone, "my-vit"), (Kind::Masking, "my-mask"), (Kind::Head, "my-head")] {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in template::render(kind, name, &sdk).unwrap() {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        // the versions this workspace was tested with; what they were downloaded as serves offline
        fs::copy(workspace().join("Cargo.lock"), dir.path().join("Cargo.lock")).unwrap();
        for command in ["test", "build"] {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args([command, "--release", "--offline", "--quiet"]).current_dir(dir.path());
            let output = cargo.env("CARGO_TARGET_DIR", &target).output().unwrap();
            assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let file = format!("facebench_{kind}_{}", name.replace('-', "_"));
        let file = format!("{}{file}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let list = check_file(&target.join("release").join(file)).unwrap();
        assert_eq!((list[0].kind, list[0].name.as_str()), (kind, name));
    }
}
