//! The promises of the store: whole or absent, skip what is done, believe nothing else.

use super::*;
use serde_json::json;

const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("deep/runs")).unwrap();
    (dir, store)
}

fn names(store: &Store) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(store.root()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_unit_is_absent_until_published_and_then_whole() {
    let (_dir, store) = store();
    let work = store.begin("tune", DIGEST).unwrap().unwrap();
    fs::write(work.dir().join("scores.csv"), "x").unwrap();
    fs::create_dir(work.state()).unwrap();
    assert_eq!(store.finished("tune", DIGEST, Marker::Run).unwrap(), None);
    let folder = work.publish(Marker::Run, &json!({"unit": DIGEST})).unwrap();
    assert_eq!(folder, store.root().join("tune-0011223344556677"));
    assert_eq!(store.finished("tune", DIGEST, Marker::Run).unwrap(), Some(folder));
    assert_eq!(names(&store), ["tune-0011223344556677"]);
}

#[test]
fn abandoned_work_leaves_only_its_resume_state() {
    let (_dir, store) = store();
    let work = store.begin("tune", DIGEST).unwrap().unwrap();
    fs::create_dir(work.state()).unwrap();
    drop(work);
    assert_eq!(names(&store), [".state-0011223344556677"]);
    assert!(store.begin("tune", DIGEST).unwrap().is_some(), "the lease ends with its holder");
}

#[test]
fn one_store_gives_a_unit_to_one_worker() {
    let (_dir, store) = store();
    let work = store.begin("tune", DIGEST).unwrap().unwrap();
    assert!(store.begin("tune", DIGEST).unwrap().is_none());
    drop(work);
}

#[test]
fn publishing_twice_keeps_the_first_result() {
    let (_dir, store) = store();
    let first = store.begin("tune", DIGEST).unwrap().unwrap();
    // another machine, whose lease we cannot see
    let other = Store::at(store.root());
    fs::remove_file(other.root().join(".lock-0011223344556677")).unwrap();
    let folder = store.folder("tune", DIGEST);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("run.json"), json!({"unit": DIGEST, "by": "other"}).to_string()).unwrap();
    assert_eq!(first.publish(Marker::Run, &json!({"unit": DIGEST})).unwrap(), folder);
    assert!(fs::read_to_string(folder.join("run.json")).unwrap().contains("other"));
    assert_eq!(names(&other), ["tune-0011223344556677"]);
}

#[test]
fn what_only_looks_like_a_result_is_named_and_refused() {
    for (content, needle) in [
        (None, "run.json: No such file"),
        (Some("{\"unit\": \"0011"), "run.json: EOF"),
        (Some("{}"), "names no unit"),
        (Some("{\"unit\": \"ffee\"}"), "is of unit ffee"),
    ] {
        let (_dir, store) = store();
        let folder = store.folder("tune", DIGEST);
        fs::create_dir(&folder).unwrap();
        if let Some(text) = content {
            fs::write(folder.join("run.json"), text).unwrap();
        }
        let message = store.finished("tune", DIGEST, Marker::Run).unwrap_err().to_string();
        assert!(message.contains(needle) && message.contains("hint: "), "{message}");
        // and it is never replaced behind the user's back
        let work = store.begin("tune", DIGEST).unwrap().unwrap();
        fs::write(folder.join("precious"), "x").unwrap();
        assert!(work.publish(Marker::Run, &json!({"unit": DIGEST})).is_err());
        assert!(folder.join("precious").exists());
    }
}

#[test]
fn working_folders_of_dead_processes_are_swept_and_others_are_not() {
    let (_dir, store) = store();
    let host = sys::hostname();
    // no process has this number: it is above the largest that Linux gives out
    let dead = format!(".tmp-{}-4194999-{host}", short(DIGEST));
    let living = format!(".tmp-{}-1-{host}", short(DIGEST));
    let elsewhere = format!(".tmp-{}-4194999-another{host}", short(DIGEST));
    let partial = format!("{dead}.partial-{host}-4194999");
    for name in [&dead, &partial, &living, &elsewhere] {
        fs::create_dir(store.root().join(name)).unwrap();
    }
    Store::open(store.root()).unwrap();
    let left = names(&store);
    assert!(!left.contains(&dead) && !left.contains(&partial));
    assert!(left.contains(&living) && left.contains(&elsewhere), "{left:?}");
}

#[test]
fn a_process_killed_between_publishing_and_tidying_leaves_nothing_for_long() {
    let (_dir, store) = store();
    let id = short(DIGEST);
    for name in [format!("tune-{id}"), format!(".state-{id}"), ".state-ffff".into()] {
        fs::create_dir(store.root().join(name)).unwrap();
    }
    for name in [format!(".lock-{id}"), ".lock-ffff".into()] {
        fs::write(store.root().join(name), "").unwrap();
    }
    Store::open(store.root()).unwrap();
    assert_eq!(names(&store), [".state-ffff", &format!("tune-{id}")]);
}

#[test]
fn a_lease_that_somebody_holds_is_never_removed() {
    let (_dir, store) = store();
    let held = store.begin("tune", DIGEST).unwrap().unwrap();
    let elsewhere = format!(".tmp-ffff-4194999-another{}", sys::hostname());
    fs::create_dir(store.root().join(&elsewhere)).unwrap();
    fs::write(store.root().join(".lock-ffff"), "").unwrap();
    Store::open(store.root()).unwrap();
    let left = names(&store);
    assert!(left.contains(&".lock-0011223344556677".to_owned()), "held here: {left:?}");
    assert!(left.contains(&".lock-ffff".to_owned()), "worked on by another machine: {left:?}");
    // a lease whose file was removed and made anew by another process is not ours to remove
    fs::remove_file(store.root().join(".lock-0011223344556677")).unwrap();
    let other = store.begin("tune", DIGEST);
    drop(held);
    assert!(names(&store).contains(&".lock-0011223344556677".to_owned()));
    drop(other);
    assert!(!names(&store).contains(&".lock-0011223344556677".to_owned()));
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let message = Store::open(&file.join("runs")).unwrap_err().to_string();
    assert!(message.contains("results cannot be written here") && message.contains("--runs"), "{message}");
}

#[test]
fn digests_do_not_depend_on_the_order_of_keys() {
    let a: Value = serde_json::from_str("{\"a\": 1, \"b\": {\"x\": 0.1, \"c\": []}}").unwrap();
    let b: Value = serde_json::from_str("{\"b\": {\"c\": [], \"x\": 1e-1}, \"a\": 1}").unwrap();
    assert_eq!(digest(&a), digest(&b));
    assert_eq!(digest(&json!({"a": 1})), "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862");
}
