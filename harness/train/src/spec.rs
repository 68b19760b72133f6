//! What a training or scoring unit is told to do: plain data, every default in one place.
//!
//! The experiment file embeds these types, the plan stores them fully resolved, and their canonical
//! JSON names the result folder. So nothing here may depend on the machine: no absolute path, no
//! thread count, no device. Odd values say where they come from (`method.md` = the published method
//! as restated for this project; FSFM is arXiv 2412.12032, FS-VFM is arXiv 2510.10663).
//! The shape of an experiment file (which model meets which head) is the command line's business.

mod augment;
mod check;
mod component;
mod objective;
mod optim;
mod pretrain;
mod score;
mod tune;

pub use augment::{Augment, Mixing, RandAugment, Saturation};
pub use check::Fault;
pub(crate) use check::refuse;
pub use component::Component;
pub use objective::{
    DecoderSpec, DinoSpec, MaskToken, ObjectiveKind, ObjectiveSpec, RepPosEmbed, SimilarityLoss,
    SimilaritySpec, TargetUpdate,
};
pub use optim::{Optimiser, Precision, PretrainOptim};
pub use pretrain::{MaskingSpec, MissingParsing, PretrainData, PretrainSpec, RegionChoice, WatchSpec};
pub use score::ScoreSpec;
pub use tune::{LrSchedule, Sampling, TuneRecipe, TuneSpec, Validation, WeightsFrom};

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_false(value: &bool) -> bool {
    !*value
}
