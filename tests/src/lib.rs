//! A few words to write integration tests in: make files, run the program, look at what it says.
//!
//! The tests see what a user sees: exit code, stdout, stderr, files. The program is built first, once, with
//! every plugin beside it, in the same profile as the tests. Nothing of the workspace is linked here.
//!
//! ```ignore
//! let b = Bench::new();
//! b.file("typo.yaml", "seed: [0]\n");
//! b.run(&["plan", "typo.yaml"]).code(2).stderr_has("typo.yaml:1: unknown key `seed`");
//! ```

pub mod browser;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest time any call may take; a test that hangs must fail, not wait.
const PATIENCE: Duration = Duration::from_secs(300);

/// The workspace's root.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace")
}

/// Cargo, as the tests themselves were started with.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    // what cargo set for this test run must not reach another one
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    command
}

/// The folder with the built program and plugins.
///
/// # Panics
/// The workspace does not build.
pub fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out =
            cargo().args(["build", "--release"]).current_dir(workspace()).output().expect("cargo starts");
        assert!(out.status.success(), "the workspace builds: {}", String::from_utf8_lossy(&out.stderr));
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(workspace().join("target"), PathBuf::from);
        target.join("release")
    })
}

/// A folder of a test's own, in which the program runs.
pub struct Bench {
    dir: TempDir,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// An empty folder; gone at the end of the test.
    ///
    /// # Panics
    /// There is no room for temporary files.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, with the folders above it.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folder");
        std::fs::write(&path, content).expect("file");
        path
    }

    /// The text of a file.
    ///
    /// # Panics
    /// It cannot be read.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Names in a folder, sorted.
    ///
    /// # Panics
    /// It cannot be read.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let mut names: Vec<String> =
            entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The program with these arguments, ready to start in this folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(built().join("facebench"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_remove("FACEBENCH_PLUGINS").env("COLUMNS", "200").env("NO_COLOR", "1");
        command
    }

    /// Runs the program.
    pub fn run(&self, args: &[&str]) -> Said {
        said(&mut self.command(args), args)
    }

    /// Starts the program and leaves it running; stderr goes to a file of that name.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(&self, args: &[&str], log: &str) -> Running {
        let file = std::fs::File::create(self.path(log)).expect("log");
        let child =
            self.command(args).stdout(Stdio::null()).stderr(file).spawn().expect("the program starts");
        Running { child, log: self.path(log) }
    }
}

/// Runs any command and notes what it says.
///
/// # Panics
/// It cannot be started.
pub fn said(command: &mut Command, args: &[&str]) -> Said {
    Said { call: args.join(" "), output: command.output().expect("the program starts") }
}

/// What a call said.
pub struct Said {
    call: String,
    output: Output,
}

impl Said {
    /// Its stdout.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Its stderr.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Its stdout as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout())
            .unwrap_or_else(|e| self.fail(&format!("stdout is not JSON: {e}")))
    }

    /// Demands an exit code.
    ///
    /// # Panics
    /// It is another.
    pub fn code(self, expected: i32) -> Self {
        if self.output.status.code() != Some(expected) {
            self.fail(&format!("expected exit code {expected}, got {}", self.output.status));
        }
        self
    }

    /// Demands exit code 0.
    ///
    /// # Panics
    /// It is another.
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Demands a text in stdout.
    ///
    /// # Panics
    /// It is not there.
    pub fn stdout_has(self, needle: &str) -> Self {
        if !self.stdout().contains(needle) {
            self.fail(&format!("stdout lacks `{needle}`"));
        }
        self
    }

    /// Demands a text in stderr.
    ///
    /// # Panics
    /// It is not there.
    pub fn stderr_has(self, needle: &str) -> Self {
        if !self.stderr().contains(needle) {
            self.fail(&format!("stderr lacks `{needle}`"));
        }
        self
    }

    /// Demands one clear message: one `error:`, a `hint:`, at most `lines` lines, no panic.
    ///
    /// # Panics
    /// It is not so.
    pub fn one_message(self, lines: usize) -> Self {
        let text = self.stderr();
        let errors = text.lines().filter(|l| l.starts_with("error: ")).count();
        let hinted = text.lines().any(|l| l.starts_with("hint: "));
        if errors != 1 || !hinted || text.lines().count() > lines || text.contains("panicked") {
            self.fail(&format!("expected one error with a hint in at most {lines} lines"));
        }
        self
    }

    fn fail(&self, why: &str) -> ! {
        panic!("facebench {}: {why}\n--- stdout\n{}\n--- stderr\n{}", self.call, self.stdout(), self.stderr())
    }
}

/// A program that is running.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// What it has said on stderr so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until something is true, or fails.
    ///
    /// # Panics
    /// The program ended first, or patience did.
    pub fn wait_until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            if let Some(status) = self.child.try_wait().expect("status") {
                panic!("ended ({status}) before {what}:\n{}", self.log());
            }
            assert!(began.elapsed() < PATIENCE, "waited too long for {what}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// The process is gone.
    pub fn signal(&self, number: i32) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process number");
        // SAFETY: sends a signal to a child that has not been waited for, so the number is still its own.
        let answer = unsafe { libc::kill(pid, number) };
        assert_eq!(answer, 0, "the program still runs:\n{}", self.log());
    }

    /// Waits for the end; the exit code, or none after a deadly signal.
    ///
    /// # Panics
    /// It does not end.
    pub fn end(mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("status") {
                return (status.code(), self.log());
            }
            if began.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("does not end:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
