//! How a folder of photographs becomes a detection data set.

use serde::{Deserialize, Serialize};

use super::Error;

/// Version of the forger; a folder made by another version is not taken for this one.
pub const FORGER_VERSION: u32 = 1;

/// Everything that decides what [`forge`](super::forge) writes, besides the photographs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForgeSpec {
    /// Seed of every random stream.
    pub seed: u64,
    /// Side of the pictures written, pixels. Photographs are cropped to their central square.
    pub size: usize,
    /// Share of the people in the validation split.
    pub val: f64,
    /// Share of the people in the test split.
    pub test: f64,
    /// Differently processed copies of each photograph in `real` (its frames 0, 1 …).
    pub reals: usize,
    /// Self-blended pictures per photograph.
    pub self_blends: usize,
    /// Swaps per photograph.
    pub swaps: usize,
    /// Strength of the forgeries' traces; 1 is calibrated.
    pub trace: f64,
    /// Lowest and highest JPEG quality of the final compression, real and fake alike.
    pub quality: [u8; 2],
    /// Photographs lie in one folder, each shows somebody else. Otherwise: one folder per person.
    pub flat: bool,
    /// Leave out photographs that cannot be read, and report them, instead of stopping.
    pub skip_unreadable: bool,
}

impl Default for ForgeSpec {
    fn default() -> Self {
        Self {
            seed: 0,
            size: 112,
            val: 0.15,
            test: 0.30,
            reals: 2,
            self_blends: 1,
            swaps: 1,
            trace: 1.0,
            quality: [70, 95],
            flat: false,
            skip_unreadable: false,
        }
    }
}

impl ForgeSpec {
    /// Refuses values that make no data set.
    ///
    /// # Errors
    /// Names the field, what it is and what it may be.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |field: &'static str, got: String, expected: &'static str| {
            Err(Error::Spec { field, got, expected })
        };
        if !(16..=1024).contains(&self.size) {
            return bad("size", self.size.to_string(), "16 to 1024 pixels");
        }
        if !(self.val > 0.0 && self.test > 0.0 && self.val + self.test < 1.0) {
            return bad(
                "val and test",
                format!("{} and {}", self.val, self.test),
                "positive shares that leave something to train on",
            );
        }
        if !(1..=64).contains(&self.reals) {
            return bad("reals", self.reals.to_string(), "1 to 64");
        }
        if !(1..=64).contains(&(self.self_blends + self.swaps)) {
            return bad("self_blends + swaps", (self.self_blends + self.swaps).to_string(), "1 to 64");
        }
        if !(0.0..=4.0).contains(&self.trace) {
            return bad("trace", self.trace.to_string(), "a number from 0 to 4");
        }
        let [low, high] = self.quality;
        if !(1 <= low && low <= high && high <= 100) {
            return bad("quality", format!("{low} to {high}"), "two numbers from 1 to 100, the lower first");
        }
        Ok(())
    }
}
