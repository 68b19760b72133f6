//! A look at the file before the dynamic linker sees it.
//!
//! Opening a truncated library ends the process with SIGBUS, and opening any library runs its initialisers. So the file
//! is read once, its headers are checked against its size, and a file without our two symbols is refused unopened.
//! Only ELF is understood; elsewhere the symbols alone decide.

use facebench_abi::{HANDSHAKE_SYMBOL, ROOT_SYMBOL};

/// Why a file is not opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No library, or a damaged one, or one for another machine.
    NotALibrary(String),
    /// A library without our symbols.
    NotAPlugin,
}

const HEADER: usize = 64;
const PROGRAM_HEADER: u64 = 56;
const SECTION_HEADER: u64 = 64;
const SHARED_OBJECT: u64 = 3;
const LOADED_SEGMENT: u64 = 1;

/// Checks the bytes of a library.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::NotALibrary("the file is empty".into()));
    }
    if cfg!(target_os = "linux") {
        check_elf(bytes).map_err(|reason| Refusal::NotALibrary(reason.into()))?;
    }
    let has = |symbol: &str| bytes.windows(symbol.len()).any(|w| w == symbol.as_bytes());
    if has(HANDSHAKE_SYMBOL) && has(ROOT_SYMBOL) { Ok(()) } else { Err(Refusal::NotAPlugin) }
}

fn check_elf(bytes: &[u8]) -> Result<(), &'static str> {
    let number = |at: usize, len: usize| -> Option<u64> {
        let field = bytes.get(at..at.checked_add(len)?)?;
        Some(field.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    };
    if !bytes.starts_with(b"\x7fELF") {
        return Err("not an ELF file");
    }
    if bytes.len() < HEADER {
        return Err("the file is truncated");
    }
    if bytes[4] != 2 || bytes[5] != 1 {
        return Err("not a 64-bit little-endian ELF file");
    }
    let machine = match std::env::consts::ARCH {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        _ => None,
    };
    if machine.is_some() && number(18, 2) != machine {
        return Err("built for another processor");
    }
    if number(16, 2) != Some(SHARED_OBJECT) {
        return Err("not a shared object");
    }
    let truncated = "the file is truncated";
    let size = bytes.len() as u64;
    let field = |at, len| number(at, len).ok_or(truncated);
    let (programs, program_count) = (field(32, 8)?, field(56, 2)?);
    let (sections, section_count) = (field(40, 8)?, field(60, 2)?);
    let fits = |start: u64, len: u64| start.checked_add(len).is_some_and(|end| end <= size);
    if !fits(programs, program_count * PROGRAM_HEADER) || !fits(sections, section_count * SECTION_HEADER) {
        return Err(truncated);
    }
    for i in 0..program_count {
        let at = (programs + i * PROGRAM_HEADER) as usize;
        if field(at, 4)? == LOADED_SEGMENT && !fits(field(at + 8, 8)?, field(at + 32, 8)?) {
            return Err(truncated);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_refused() {
        for (bytes, reason) in [
            (&b""[..], "the file is empty"),
            (b"hello, I am text", "not an ELF file"),
            (b"\x7fELF\x02\x01", "the file is truncated"),
        ] {
            assert_eq!(check(bytes), Err(Refusal::NotALibrary(reason.into())));
        }
    }

    #[test]
    fn offsets_beyond_the_file_are_refused_without_overflow() {
        let mut bytes = vec![0u8; 128];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16] = 3;
        bytes[18] = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
        assert_eq!(check(&bytes), Err(Refusal::NotAPlugin));
        bytes[32..40].fill(0xff); // program headers at 2^64 - 1
        bytes[56] = 3;
        assert_eq!(check(&bytes), Err(Refusal::NotALibrary("the file is truncated".into())));
    }
}
