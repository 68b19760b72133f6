//! The differentiable operations models are built from.
//!
//! Every function takes and returns candle tensors. On the CPU in f32 the large ones run as custom
//! operations with hand-written backward passes; every other dtype or device uses the
//! [`composite`] form, a plain composition of candle operations that is also what tests compare
//! against. Neither form uses candle's own fused layer norm or last-dimension softmax: those
//! silently drop gradients.
pub mod composite;
pub mod losses;

mod activation;
mod attention;
mod block;
mod conv;
mod fast;
mod half;
mod linear;
mod masked;
mod norm;
mod patch;
mod random;
mod tokens;

pub use activation::{gelu, softmax};
pub use attention::{attention, attention_qkv, attention_weights, attention_weights_qkv};
pub use block::{
    BlockWeights, BranchScales, block_attention_weights, transformer_block, transformer_block_with,
};
pub use conv::{Conv2d, avg_pool2d, batch_norm, conv2d, max_pool2d};
pub use linear::{linear, linear_gelu};
pub use losses::cross_entropy;
pub use masked::masked_mse;
pub use norm::{layer_norm, normalise};
pub use patch::{normalise_pixels, patch_targets, patchify};
pub use random::{drop_path, dropout, path_scales};
pub use tokens::{gather_tokens, scatter_tokens};
