//! A real browser for tests: Chromium without a window, spoken to over its DevTools pipe.
//!
//! `--remote-debugging-pipe` makes Chromium read commands from file descriptor 3 and write answers to 4, as JSON with a
//! zero byte after each message. So no port is opened, no driver program is needed and no crate: a test writes
//! `page.eval("document.title")`. One page per browser, a fresh profile each, gone at the end of the test.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for one answer; a machine that builds something else beside is slow, not broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// Names Chromium goes by.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// No window, no network of its own, nothing asked at the first start.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: File,
    answers: Receiver<Value>,
    events: VecDeque<Value>,
    session: String,
    number: u64,
    _profile: TempDir,
}

/// Chromium on this machine, if there is one.
pub fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES.iter().flat_map(|n| folders.iter().map(move |f| f.join(n))).find(|p| p.is_file())
}

impl Browser {
    /// Starts Chromium; `None`, with a line on stderr, where none is installed.
    ///
    /// # Panics
    /// It is installed and does not start.
    pub fn start() -> Option<Self> {
        let Some(program) = chromium() else {
            eprintln!("skipped: no Chromium on the path (Debian: `apt-get install chromium`)");
            return None;
        };
        let profile = tempfile::tempdir().expect("a temporary folder");
        let (theirs_in, ours_out) = std::io::pipe().expect("a pipe");
        let (ours_in, theirs_out) = std::io::pipe().expect("a pipe");
        let mut command = Command::new(program);
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.env("HOME", profile.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (read, write) = (theirs_in.as_raw_fd(), theirs_out.as_raw_fd());
        // SAFETY: between fork and exec only `fcntl` and `dup2` are called, which are async-signal-safe. The ends are
        // first moved above 4, so that neither is overwritten before it is copied.
        unsafe {
            command.pre_exec(move || {
                let read = libc::fcntl(read, libc::F_DUPFD_CLOEXEC, 10);
                let write = libc::fcntl(write, libc::F_DUPFD_CLOEXEC, 10);
                if read < 0 || write < 0 || libc::dup2(read, 3) < 0 || libc::dup2(write, 4) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("Chromium starts");
        drop((theirs_in, theirs_out));
        let (send, answers) = channel();
        std::thread::spawn(move || {
            let mut from = BufReader::new(ours_in);
            let mut message = Vec::new();
            while from.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if send.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            commands: File::from(OwnedFd::from(ours_out)),
            answers,
            events: VecDeque::new(),
            session: String::new(),
            number: 0,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.call("Emulation.setFocusEmulationEnabled", &json!({"enabled": true}));
        Some(browser)
    }

    /// Calls a DevTools method and returns its result.
    ///
    /// # Panics
    /// The method fails, or no answer comes.
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap_or_else(|e| panic!("{method}: Chromium is gone: {e}"));
        loop {
            let answer = self.next(method);
            if answer["id"] != json!(self.number) {
                self.events.push_back(answer);
                continue;
            }
            assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
            return answer["result"].clone();
        }
    }

    fn next(&mut self, waiting_for: &str) -> Value {
        self.answers.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{waiting_for}: no answer: {e}"))
    }

    /// Opens a file and waits until it is loaded; what was noted before is forgotten.
    ///
    /// # Panics
    /// It does not load.
    pub fn open(&mut self, file: &Path) {
        self.events.clear();
        let url = url(file);
        let answer = self.call("Page.navigate", &json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {}", answer["errorText"]);
        let began = Instant::now();
        while !self.events.iter().any(|e| e["method"] == "Page.loadEventFired") {
            assert!(began.elapsed() < PATIENCE, "{url} does not load");
            let event = self.next("the page to load");
            self.events.push_back(event);
        }
        self.eval("document.fonts.ready.then(() => 0)");
    }

    /// Value of a JavaScript expression in the page; promises are waited for.
    ///
    /// # Panics
    /// It throws.
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Presses and releases a key, by its DevTools name and code, such as `("Enter", 13)`.
    pub fn key(&mut self, key: &str, code: u32) {
        let text = match key {
            "Enter" => "\r",
            " " => " ",
            _ => "",
        };
        let name = if key == " " { "Space" } else { key };
        let kind = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        let down =
            json!({"type": kind, "key": key, "code": name, "windowsVirtualKeyCode": code, "text": text});
        self.call("Input.dispatchKeyEvent", &down);
        let up = json!({"type": "keyUp", "key": key, "code": name, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", &up);
    }

    /// Clicks in the middle of the element that a JavaScript expression names.
    ///
    /// # Panics
    /// There is no such element.
    pub fn click(&mut self, element: &str) {
        let at = self.eval(&format!(
            "(() => {{ const e = {element}; e.scrollIntoView({{block: 'center', inline: 'center'}}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "buttons": 1, "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &params);
        }
    }

    /// Window size in CSS pixels; narrow ones behave as telephones do.
    pub fn window(&mut self, width: u32, height: u32) {
        let mobile = width < 600;
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.call("Emulation.setDeviceMetricsOverride", &params);
    }

    /// Screen or paper, light or dark.
    pub fn media(&mut self, media: &str, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"media": media, "features": features}));
    }

    /// Warnings, errors and exceptions since the page was opened.
    pub fn complaints(&mut self) -> Vec<String> {
        self.eval("0");
        let loud = |level: &Value| matches!(level.as_str(), Some("warning" | "error" | "assert"));
        let complaint = |e: &&Value| {
            let p = &e["params"];
            match e["method"].as_str() {
                Some("Runtime.exceptionThrown") => true,
                Some("Runtime.consoleAPICalled") => loud(&p["type"]),
                Some("Log.entryAdded") => loud(&p["entry"]["level"]),
                _ => false,
            }
        };
        self.events.iter().filter(complaint).map(ToString::to_string).collect()
    }

    /// Addresses asked for since the page was opened; what is inside the page (`data:`) is no request.
    pub fn requests(&mut self) -> Vec<String> {
        self.eval("0");
        let asked = self.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent");
        let urls = asked.filter_map(|e| e["params"]["request"]["url"].as_str());
        urls.filter(|u| !u.starts_with("data:")).map(str::to_owned).collect()
    }

    /// The page as PNG, the whole of it.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn screenshot(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
        std::fs::write(file, base64(shot["data"].as_str().expect("data"))).expect("file");
    }

    /// The page printed on A4.
    ///
    /// # Panics
    /// It does not print.
    pub fn pdf(&mut self) -> Vec<u8> {
        let paper = json!({"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": true});
        base64(self.call("Page.printToPDF", &paper)["data"].as_str().expect("data"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session.clear();
        self.number += 1;
        let close = format!("{{\"id\":{},\"method\":\"Browser.close\"}}\0", self.number);
        let asked = self.commands.write_all(close.as_bytes()).is_ok();
        let began = Instant::now();
        while asked && began.elapsed() < Duration::from_secs(10) {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Address of a file.
pub fn url(file: &Path) -> String {
    let path = file.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    format!("file://{}", path.display())
}

/// Bytes of standard base64.
fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(digit).collect();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let n = group.iter().fold(0_u32, |n, d| n << 6 | u32::from(*d)) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&n.to_be_bytes()[1..group.len()]);
    }
    bytes
}
