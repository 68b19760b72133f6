//! SSH signatures over `SHA256SUMS`: the key people have anyway, checked by the program that made it.
//!
//! Signing and checking are `ssh-keygen -Y` (OpenSSH ≥ 8.2) with the name space `facebench`. A signature says nothing
//! about a person until a list of allowed signers names the key; without such a list only its integrity is checked, and
//! the verdict says so.

use super::{Error, Result, sums};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NAMESPACE: &str = "facebench";
const INSTALL: &str = "install OpenSSH 8.2 or later, or pack without a key";

/// Who may sign, in the form of `ssh-keygen`'s allowed-signers file: `name@example.org ssh-ed25519 AAAA…`.
#[derive(Clone, Debug)]
pub struct Signers {
    /// The file.
    pub file: PathBuf,
}

/// What a bundle's signature is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// There is none.
    None,
    /// Made with this key over these files, whoever owns it.
    Unknown {
        /// Fingerprint of the key.
        key: String,
    },
    /// Made by somebody on the list.
    By {
        /// The name on the list.
        signer: String,
        /// Fingerprint of the key.
        key: String,
    },
    /// Wrong: other files, a damaged signature, or a key that is not on the list.
    Wrong {
        /// What `ssh-keygen` said.
        why: String,
    },
}

impl Signature {
    /// One line for people.
    pub fn line(&self) -> String {
        match self {
            Signature::None => "not signed".to_owned(),
            Signature::Unknown { key } => format!("signed with {key}; no list of signers was given"),
            Signature::By { signer, key } => format!("signed by {signer} with {key}"),
            Signature::Wrong { why } => format!("wrong signature: {why}"),
        }
    }
}

/// Signs `SHA256SUMS` of a bundle with the private key in `key`.
pub(super) fn sign(bundle: &Path, key: &Path) -> Result<()> {
    let file = bundle.join(sums::FILE);
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key).arg(&file);
    let out = run(&mut command, None)?;
    if !out.ok {
        let hint =
            "give the private key (not the .pub file); unlock it or use ssh-agent if it has a passphrase";
        return Err(Error::Ssh { message: out.said, hint });
    }
    Ok(())
}

/// Checks the signature of a bundle.
pub(super) fn check(bundle: &Path, signers: Option<&Signers>) -> Result<Signature> {
    let file = bundle.join(sums::SIGNATURE);
    if !file.is_file() {
        return Ok(Signature::None);
    }
    let text_path = bundle.join(sums::FILE);
    let text = std::fs::read(&text_path).map_err(|e| Error::io(&text_path, e))?;
    let Some(signers) = signers else {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "check-novalidate", "-n", NAMESPACE, "-s"]).arg(&file);
        let out = run(&mut command, Some(&text))?;
        return Ok(match out.ok {
            true => Signature::Unknown { key: key_in(&out.said) },
            false => Signature::Wrong { why: out.said },
        });
    };
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "find-principals", "-s"]).arg(&file).arg("-f").arg(&signers.file);
    let out = run(&mut command, None)?;
    let Some(signer) = out.said.lines().next().filter(|l| out.ok && !l.is_empty()).map(str::to_owned) else {
        let why = format!("the key is not in {} ({})", signers.file.display(), out.said);
        return Ok(Signature::Wrong { why });
    };
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-Y", "verify", "-n", NAMESPACE, "-I", &signer, "-f"])
        .arg(&signers.file)
        .arg("-s")
        .arg(&file);
    let out = run(&mut command, Some(&text))?;
    Ok(match out.ok {
        true => Signature::By { signer, key: key_in(&out.said) },
        false => Signature::Wrong { why: out.said },
    })
}

struct Out {
    ok: bool,
    said: String,
}

fn run(command: &mut Command, stdin: Option<&[u8]>) -> Result<Out> {
    use std::io::Write as _;
    let failed = |e: std::io::Error| Error::Ssh { message: e.to_string(), hint: INSTALL };
    let input = if stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    // no terminal: a key with a passphrase must fail instead of asking
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).env("SSH_ASKPASS_REQUIRE", "never");
    let mut child = command.spawn().map_err(failed)?;
    if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
        // a program that has seen enough closes the pipe: its exit status says what it thought
        let _ = pipe.write_all(bytes);
    }
    let out = child.wait_with_output().map_err(failed)?;
    let text = [out.stdout, out.stderr].map(|b| String::from_utf8_lossy(&b).trim().to_owned());
    let said = text.iter().filter(|t| !t.is_empty()).cloned().collect::<Vec<_>>().join("; ");
    Ok(Out { ok: out.status.success(), said: said.replace('\n', "; ") })
}

/// `… key SHA256:abc` → `SHA256:abc`.
fn key_in(said: &str) -> String {
    said.split_whitespace().find(|w| w.starts_with("SHA256:")).unwrap_or("an unnamed key").to_owned()
}
