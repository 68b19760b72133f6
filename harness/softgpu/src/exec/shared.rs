//! Shared memory of a block, and who used which byte since the last barrier.

/// Nobody yet.
const NOBODY: u16 = u16::MAX;
/// Several warps have read it.
const MANY: u16 = u16::MAX - 1;

/// Bytes, and for each the warp that wrote and the one that read it since the last barrier.
pub(super) struct Shared {
    bytes: Vec<u8>,
    writer: Vec<u16>,
    reader: Vec<u16>,
    used: bool,
}

impl Shared {
    pub(super) fn new(bytes: usize) -> Self {
        // ones: NaN in every float type, so what is read before it is written shows
        Self {
            bytes: vec![0xff; bytes],
            writer: vec![NOBODY; bytes],
            reader: vec![NOBODY; bytes],
            used: false,
        }
    }

    /// All threads have arrived: what was written may be used by all.
    pub(super) fn barrier(&mut self) {
        if std::mem::take(&mut self.used) {
            self.writer.fill(NOBODY);
            self.reader.fill(NOBODY);
        }
    }

    fn range(&self, at: u64, size: usize) -> Result<std::ops::Range<usize>, String> {
        let begin = usize::try_from(at).unwrap_or(usize::MAX);
        match begin.checked_add(size) {
            Some(end) if end <= self.bytes.len() => Ok(begin..end),
            _ => Err(format!("{size} bytes at {at} of {} bytes of shared memory", self.bytes.len())),
        }
    }

    /// Changes a word in one go, which warps may do to the same word without a barrier. Returns the word before.
    pub(super) fn update(
        &mut self,
        at: u64,
        size: usize,
        new: impl FnOnce(u64) -> u64,
    ) -> Result<u64, String> {
        let range = self.range(at, size)?;
        let mut word = [0; 8];
        word[..size].copy_from_slice(&self.bytes[range.clone()]);
        let old = u64::from_le_bytes(word);
        self.bytes[range].copy_from_slice(&new(old).to_le_bytes()[..size]);
        Ok(old)
    }

    pub(super) fn load(&mut self, at: u64, size: usize, warp: usize) -> Result<u64, String> {
        let range = self.range(at, size)?;
        self.used = true;
        for (writer, reader) in self.writer[range.clone()].iter().zip(&mut self.reader[range.clone()]) {
            if *writer != NOBODY && usize::from(*writer) != warp {
                return Err(format!(
                    "race: warp {warp} reads byte {at} of shared memory, which warp {writer} wrote since the last barrier"
                ));
            }
            *reader = if *reader == NOBODY || usize::from(*reader) == warp { warp as u16 } else { MANY };
        }
        let mut word = [0; 8];
        word[..size].copy_from_slice(&self.bytes[range]);
        Ok(u64::from_le_bytes(word))
    }

    pub(super) fn store(&mut self, at: u64, size: usize, warp: usize, value: u64) -> Result<(), String> {
        let range = self.range(at, size)?;
        self.used = true;
        for (writer, reader) in self.writer[range.clone()].iter_mut().zip(&self.reader[range.clone()]) {
            for other in [*writer, *reader] {
                if other != NOBODY && usize::from(other) != warp {
                    return Err(format!(
                        "race: warp {warp} writes byte {at} of shared memory, which another warp used since the last barrier"
                    ));
                }
            }
            *writer = warp as u16;
        }
        self.bytes[range].copy_from_slice(&value.to_le_bytes()[..size]);
        Ok(())
    }
}
