//! The anti-spoofing networks' last two layers: an embedder with a soft norm and a classifier with unit columns
//! (method.md 5.2, 6.4).
//!
//! h = Dropout(ReLU(W x + b)), W: in → 512; then h / √(2 · max(‖h‖, 1e-12)). Which axis the norm runs along is where
//! the published networks differ: full fine-tuning takes it along the *tokens* (one norm per image and channel over
//! 197 tokens), the adapter along the *channels*. The classifier's columns are scaled to unit length before every
//! forward pass; that is the program's work, see [`UNIT_COLUMNS`].

use crate::{Ctx, Init, Params, Result, Tensor};

use super::Linear;

/// Name of the classifier's weight, for [`Head::unit_columns`](crate::Head::unit_columns).
pub const UNIT_COLUMNS: &str = "classifier.classifier_layer.weight";

/// Embedder and classifier.
pub struct FasEmbedder {
    bottleneck: Linear, // (512, in)
    classifier: Linear, // (C, 512)
    dropout: f64,
}

impl FasEmbedder {
    /// On features of `input` channels; published: `width` 512, `dropout` 0.5.
    pub fn new(input: usize, width: usize, classes: usize, dropout: f64, p: &Params) -> Result<Self> {
        if width == 0 || !(0.0..1.0).contains(&dropout) {
            crate::bail!(
                "the embedder needs a width of at least 1 and a dropout in [0, 1), got {width} and {dropout}"
            );
        }
        let fc = p.pp("embedder.bottleneck_layer_fc");
        Ok(Self {
            bottleneck: Linear {
                weight: fc.get("weight", [width, input], Init::normal(0.005))?,
                bias: Some(fc.get("bias", width, Init::constant(0.1))?),
            },
            classifier: Linear::with_init(
                width,
                classes,
                Init::normal(0.01),
                &p.pp("classifier.classifier_layer"),
            )?,
            dropout,
        })
    }

    /// Features (…, in) → softly normalised along `axis` (…, 512).
    pub fn embed(&self, x: &Tensor, axis: i32, ctx: &Ctx) -> Result<Tensor> {
        let h = self.bottleneck.forward(x)?.relu()?.dropout(self.dropout, ctx)?;
        let square = h.sqr()?.sum_keep(axis)?;
        // the maximum comes before the root: a channel that is zero everywhere must have gradient 0, not 0/0
        let floor = ctx.full(1e-24, ())?.cast_like(&h)?;
        let norm = square.maximum(&floor)?.sqrt()?;
        &h / (norm * 2.0)?.sqrt()?
    }

    /// Embedded features (B, 512) → logits (B, C).
    pub fn classify(&self, embedded: &Tensor) -> Result<Tensor> {
        self.classifier.forward(embedded)
    }
}
