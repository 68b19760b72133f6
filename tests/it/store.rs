//! Results are whole or absent: finished units are skipped, broken folders named, full disks survived.

use std::os::unix::process::CommandExt as _;

use facebench_tests::Said;
use facebench_tests::{built, said};

use crate::fixture::{UNITS, all, bench, copy, finished, one};

#[test]
fn a_finished_experiment_is_not_run_again() {
    let b = bench();
    copy(&finished().join("runs"), &b.path("runs"));
    let before = crate::fixture::contents(&b.path("runs"));
    let again = b.run(&["run", "tiny.yaml"]).ok();
    assert_eq!(again.stdout(), std::fs::read_to_string(finished().join("stdout")).expect("file"));
    let told = again.stderr();
    assert!(told.contains(&format!("{UNITS} of {UNITS} units are finished")), "{told}");
    assert!(!told.contains("[1/"), "nothing begins: {told}");
    assert_eq!(crate::fixture::contents(&b.path("runs")), before);
    b.run(&["plan", "tiny.yaml"]).ok().stdout_has(&format!("{UNITS} units, {UNITS} of them done in runs"));
}

#[test]
fn one_unit_runs_with_what_it_needs() {
    let b = bench();
    let plan = b.run(&["plan", "tiny.yaml", "--format", "sh"]).ok().stdout();
    let lines: Vec<&str> = plan.lines().collect();
    assert_eq!(lines.len(), UNITS);
    let first_tune = lines[2].split_whitespace().last().expect("a digest");
    b.run(&["run", "tiny.yaml", "--unit", first_tune]).ok();
    let units: Vec<String> = b.names("runs").into_iter().filter(|n| !n.starts_with('.')).collect();
    assert_eq!(units.len(), 2, "data and one tuning: {units:?}");
    b.run(&["run", "tiny.yaml", "--unit", "ffffffffffff"]).code(2).one_message(3).stderr_has("no unit");
}

/// What happens to the folder of a finished unit.
type Damage = fn(&std::path::Path);

#[test]
fn a_half_written_folder_is_never_taken_for_a_result() {
    let damages: [(&str, Damage); 3] = [
        ("run.json: No such file", |p| std::fs::remove_file(p.join("run.json")).expect("removed")),
        ("run.json: EOF", |p| {
            let text = std::fs::read_to_string(p.join("run.json")).expect("file");
            std::fs::write(p.join("run.json"), &text[..text.len() / 2]).expect("file");
        }),
        ("is of unit", |p| {
            let text = std::fs::read_to_string(p.join("run.json")).expect("file");
            let at = text.find("\"unit\": \"").expect("its digest") + 9;
            std::fs::write(p.join("run.json"), format!("{}ff{}", &text[..at], &text[at + 2..]))
                .expect("file");
        }),
    ];
    for (needle, damage) in damages {
        let b = bench();
        copy(&finished().join("runs"), &b.path("runs"));
        let victim = all(&b.path("runs"), "tune-")[0].clone();
        damage(&victim);
        b.run(&["run", "tiny.yaml"])
            .code(2)
            .one_message(3)
            .stderr_has(needle)
            .stderr_has("not a finished result");
        assert!(victim.exists(), "it is the user's to remove");
        std::fs::remove_dir_all(&victim).expect("removed");
        let mended = b.run(&["run", "tiny.yaml"]).ok();
        assert_eq!(mended.stdout(), std::fs::read_to_string(finished().join("stdout")).expect("file"));
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_before_anything_runs() {
    let b = bench();
    b.file("taken", "a file");
    for folder in ["taken/runs", "/proc/facebench"] {
        b.run(&["run", "tiny.yaml", "--runs", folder])
            .code(2)
            .one_message(3)
            .stderr_has("results cannot be written here")
            .stderr_has("--runs DIR");
    }
    // for root everything is writable, so this half needs an ordinary user
    let locked = b.path("locked");
    std::fs::create_dir(&locked).expect("folder");
    let mut mode = std::fs::metadata(&locked).expect("folder").permissions();
    mode.set_readonly(true);
    std::fs::set_permissions(&locked, mode).expect("mode");
    let writable = std::fs::write(locked.join("x"), "").is_ok();
    let said = b.run(&["run", "tiny.yaml", "--runs", "locked", "--unit", "0000"]);
    // root gets as far as the unit's name
    said.code(2).stderr_has(if writable { "no unit" } else { "results cannot be written here" });
}

/// Runs the tiny experiment with a limit on the size of a file: a write beyond it fails half-way, as on a
/// full disk.
fn run_with_limit(b: &facebench_tests::Bench, bytes: u64) -> Said {
    let args = ["run", "tiny.yaml"];
    let mut command = std::process::Command::new(built().join("facebench"));
    command.args(args).current_dir(b.path("")).env_remove("FACEBENCH_PLUGINS");
    // SAFETY: between fork and exec only these two async-signal-safe calls are made.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    said(&mut command, &args)
}

#[test]
fn a_disk_that_is_full_costs_the_unit_and_nothing_else() {
    let b = bench();
    // data and pre-training are there; the tuned weights and scores are larger than the limit
    let runs = finished().join("runs");
    for kind in ["data-", "pretrain-"] {
        let from = one(&runs, kind);
        copy(&from, &b.path("runs").join(from.file_name().expect("a name")));
    }
    let full = run_with_limit(&b, 1500).code(42);
    let told = full.stderr();
    assert!(told.contains("error: unit ") && told.contains("hint: free some space"), "{told}");
    assert!(told.contains("units failed") && !told.contains("panicked"), "{told}");
    let left = b.names("runs");
    assert!(left.iter().all(|n| !n.starts_with("tune-") && !n.starts_with(".tmp-")), "{left:?}");
    let mended = b.run(&["run", "tiny.yaml"]).ok();
    assert_eq!(mended.stdout(), std::fs::read_to_string(finished().join("stdout")).expect("file"));
}

#[test]
fn a_full_stdout_is_an_error_and_a_closed_one_is_not() {
    let b = bench();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let out =
        b.command(&["schema"]).stdout(full).stderr(std::process::Stdio::piped()).output().expect("starts");
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("writing to stdout"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let out =
        b.command(&["schema"]).stdout(writer).stderr(std::process::Stdio::piped()).output().expect("starts");
    assert_eq!((out.status.code(), out.stderr.len()), (Some(0), 0), "like `| head`");
}
