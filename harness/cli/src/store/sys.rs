//! Facts about this machine and process: host name, liveness of a process, CPU, memory, commit, clock.
//!
//! Read from `/proc` and the environment, without a dependency. Nothing here may enter a digest.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use facebench_protocols::Machine;

/// Name of this machine, fit for a file name.
pub(crate) fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let read = |p: &str| std::fs::read_to_string(p).ok();
        let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"));
        let name = name.unwrap_or_else(|| "localhost".into());
        name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    })
}

/// Whether a process of this machine exists.
pub(crate) fn alive(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: signal 0 sends nothing; it only asks whether the process exists.
    let answer = unsafe { libc::kill(pid, 0) };
    // someone else's process answers EPERM: it is alive
    answer == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The machine, for a run record.
pub(crate) fn machine(device: &str, attention: Option<&str>, threads: usize) -> Machine {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|l| l.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let kib = after(&meminfo, "MemTotal").and_then(|m| m.split_whitespace().next()?.parse::<u64>().ok());
    Machine {
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: after(&cpuinfo, "model name").unwrap_or_else(|| "unknown".into()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: kib.unwrap_or(0) * 1024,
        device: device.to_owned(),
        attention: attention.map(str::to_owned),
        threads,
    }
}

/// Commit of the repository around `folder`, if it is one: read from `.git`, without running git.
pub(crate) fn git_commit(folder: &Path) -> Option<String> {
    let git = folder.ancestors().map(|a| a.join(".git")).find(|g| g.is_dir())?;
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().to_owned()) };
    if let Ok(commit) = std::fs::read_to_string(git.join(name)) {
        return Some(commit.trim().to_owned());
    }
    let packed = std::fs::read_to_string(git.join("packed-refs")).ok()?;
    let line = packed.lines().find(|l| l.ends_with(name))?;
    line.split_whitespace().next().map(str::to_owned)
}
