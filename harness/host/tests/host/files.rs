//! Files that are no usable plugin, search paths, duplicates, locks.

use std::{collections::BTreeMap, fs, path::Path};

use facebench_host::{HostError, Kind, Lock, PluginDir, Plugins, check_file, default_dirs};

use crate::common::{folder_of, library, plugins};

/// A changed copy of a good plugin, in a folder of its own.
fn altered(change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, std::path::PathBuf) {
    let from = library("facebench_head_linear");
    let mut bytes = fs::read(&from).unwrap();
    change(&mut bytes);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(from.file_name().unwrap());
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|w| w == needle).unwrap()
}

#[track_caller]
fn refused(path: &Path, parts: &[&str]) -> HostError {
    let e = check_file(path).expect_err("the file must be refused");
    let message = e.to_string();
    for part in [path.file_name().unwrap().to_str().unwrap(), "hint:"].iter().chain(parts) {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert!(message.len() < 1500, "a message, not a report: {message}");
    e
}

#[test]
fn a_good_file_says_what_it_brings() {
    let list = check_file(&library("facebench_backbone_fsvfm")).unwrap();
    assert_eq!((list.len(), list[0].kind, list[0].name.as_str()), (1, Kind::Backbone, "fsvfm"));
    assert_eq!(list[0].sha256.len(), 64);
    assert_eq!(list[0].schema["properties"]["size"]["enum"][0], "micro");
}

#[test]
fn what_is_no_library_is_refused_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    refused(
        &write("text.so", b"I am a text file called .so\n"),
        &["not a loadable library: not an ELF file"],
    );
    refused(&write("empty.so", b""), &["the file is empty"]);
    refused(dir.path(), &["a folder, not a file"]);
    refused(&dir.path().join("absent.so"), &["No such file"]);
    let whole = fs::read(library("facebench_head_linear")).unwrap();
    for part in [40, 1000, whole.len() / 2, whole.len() - 1] {
        refused(&write("cut.so", &whole[..part]), &["truncated"]);
    }
}

/// A library that every Linux has.
#[cfg(target_os = "linux")]
fn libc() -> std::path::PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.split_whitespace().find(|w| w.starts_with('/') && w.contains("libc.so")).unwrap().into()
}

#[cfg(target_os = "linux")]
#[test]
fn a_foreign_library_is_refused_unopened() {
    let e = refused(&libc(), &["a library, but not a facebench plugin"]);
    assert!(matches!(e, HostError::NotAPlugin { .. }));
}

#[cfg(target_os = "linux")]
#[test]
fn a_foreign_library_in_an_automatic_folder_is_no_reason_to_complain() {
    let dir = folder_of(&["facebench_head_linear"]);
    fs::copy(libc(), dir.path().join("libfacebench_other.so")).unwrap();
    let plugins = Plugins::open(&[PluginDir::automatic(dir.path())]).unwrap();
    assert!(matches!(plugins.problems(), [p] if p.is_foreign()), "{:?}", plugins.problems());
    let e = plugins.info(Kind::Backbone, "other").unwrap_err().to_string();
    assert!(!e.contains("not opened"), "{e}");
    assert!(Plugins::open(&[PluginDir::named(dir.path())]).is_err(), "a named folder holds plugins only");
}

#[test]
fn a_plugin_of_another_api_generation_is_refused_by_version() {
    let (_dir, path) = altered(|bytes| {
        let mut needle = b"facebnch".to_vec();
        needle.extend(1u32.to_le_bytes());
        let at = find(bytes, &needle);
        bytes[at + 8..at + 12].copy_from_slice(&9u32.to_le_bytes());
    });
    let e = refused(&path, &["built for plugin API 9.1", "this program has 1.1"]);
    assert!(matches!(e, HostError::Api { .. }));
}

#[test]
fn a_plugin_with_a_wrong_handshake_is_no_plugin() {
    let (_dir, path) = altered(|bytes| {
        let mut needle = b"facebnch".to_vec();
        needle.extend(1u32.to_le_bytes());
        let at = find(bytes, &needle);
        bytes[at] = b'F';
    });
    assert!(matches!(refused(&path, &[]), HostError::NotAPlugin { .. }));
}

#[test]
fn a_plugin_with_other_types_is_refused_by_field() {
    let e = refused(&library("fixture_other_layout"), &["its boundary types differ", "Expected"]);
    assert!(matches!(e, HostError::Layout { .. }));
}

#[test]
fn a_plugin_that_needs_more_is_refused_by_feature() {
    let e = refused(&library("fixture_needs_feature"), &["needs [\"time-travel\"]", "this one offers"]);
    assert!(matches!(e, HostError::Features { .. }));
}

#[test]
fn two_files_with_one_component_are_refused_and_twins_are_not() {
    let (other, path) = altered(|bytes| bytes.push(0)); // another file, still a good library
    let dir = folder_of(&["facebench_head_linear"]);
    let both = [PluginDir::named(dir.path()), PluginDir::named(other.path())];
    let e = Plugins::open(&both).err().unwrap().to_string();
    assert!(e.contains("head \"linear\" is provided by both") && e.contains(path.to_str().unwrap()), "{e}");
    let twin = folder_of(&["facebench_head_linear"]);
    let both = [PluginDir::named(dir.path()), PluginDir::named(twin.path())];
    assert_eq!(Plugins::open(&both).unwrap().list().len(), 1);
}

#[test]
fn the_lock_stops_a_changed_file_before_it_is_opened() {
    let dir = folder_of(&["facebench_head_linear"]);
    let dirs = [PluginDir::automatic(dir.path())];
    let (_, sha256) = plugins().stamp(Kind::Head, "linear").unwrap();
    let file = library("facebench_head_linear").file_name().unwrap().to_str().unwrap().to_string();
    let lock = |digest: &str| Lock(BTreeMap::from([(file.clone(), digest.to_string())]));
    assert_eq!(Plugins::open_locked(&dirs, &lock(&sha256)).unwrap().list().len(), 1);
    let e = Plugins::open_locked(&dirs, &lock(&"0".repeat(64))).err().unwrap();
    assert!(matches!(e, HostError::Locked { .. }) && e.to_string().contains(&sha256), "{e}");
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let e = plugins().info(Kind::Backbone, "fs_vfm").unwrap_err().to_string();
    assert!(e.contains("no backbone is called \"fs_vfm\"\nhint: did you mean \"fsvfm\"?"), "{e}");
    let e = plugins().info(Kind::Masking, "nothing-like-it").unwrap_err().to_string();
    assert!(e.contains("hint: there are: crfr-p, faulty, random; plugins of your own"), "{e}");
    assert!(e.contains("--plugins DIR or FACEBENCH_PLUGINS"), "{e}");
    let e = Plugins::default().info(Kind::Head, "linear").unwrap_err().to_string();
    assert!(e.contains("hint: no plugins found; build them"), "{e}");
}

#[test]
fn automatic_folders_take_our_names_and_report_damage_when_it_matters() {
    let dir = folder_of(&["facebench_head_linear", "fixture_faulty"]);
    fs::write(dir.path().join("libfacebench_backbone_broken.so"), "text").unwrap();
    let plugins = Plugins::open(&[PluginDir::automatic(dir.path())]).unwrap();
    assert_eq!(plugins.list().len(), 1, "fixtures are not ours");
    assert_eq!(plugins.problems().len(), 1);
    let e = plugins.info(Kind::Backbone, "broken").unwrap_err().to_string();
    assert!(e.contains("not opened: plugin") && e.contains("not an ELF file"), "{e}");
    assert!(Plugins::open(&[PluginDir::named(dir.path())]).is_err(), "in a named folder damage is an error");
    assert!(Plugins::open(&[PluginDir::automatic(dir.path().join("absent"))]).is_ok());
    assert!(Plugins::open(&[PluginDir::named(dir.path().join("absent"))]).is_err());
}

/// A named folder's libraries are all plugins, except the one that the engine opens.
#[test]
fn the_library_for_cudnn_is_no_plugin() {
    let dir = folder_of(&["facebench_head_linear"]);
    fs::write(dir.path().join("libfacebench_cudnn.so"), "text").unwrap();
    for dir in [PluginDir::automatic(dir.path()), PluginDir::named(dir.path())] {
        let plugins = Plugins::open(&[dir]).unwrap();
        assert_eq!((plugins.list().len(), plugins.problems().len()), (1, 0));
    }
}

#[test]
fn the_search_path_begins_beside_the_program() {
    let extra = std::path::PathBuf::from("/some/folder");
    let dirs = default_dirs(std::slice::from_ref(&extra));
    assert!(dirs[0].automatic && dirs[0].path == std::env::current_exe().unwrap().parent().unwrap());
    assert_eq!(*dirs.last().unwrap(), PluginDir::named(extra));
}
