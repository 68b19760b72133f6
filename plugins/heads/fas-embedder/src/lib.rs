//! The anti-spoofing head of full fine-tuning: embedder with a soft norm, classifier with unit columns (method.md 5.2).
//!
//! `axis: tokens` as released: the pooled vector takes the place of the cls token, every token goes through the
//! embedder, the norm runs over the 197 tokens of each channel, and only token 0 is classified. `axis: channels` embeds
//! the pooled vector alone and normalises over its channels, which is what the adapter variant does (6.4) and what
//! the released code may have meant.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::prelude::*;

choice! {
    /// What the embedder's norm runs along.
    pub enum Axis {
        /// the tokens, one norm per channel, as released
        Tokens = "tokens",
        /// the channels of the pooled vector
        Channels = "channels",
    }
}

choice! {
    /// Which parameters train.
    pub enum Train {
        /// backbone and head
        All = "all",
        /// the head alone
        Head = "head",
    }
}

config! {
    /// Settings of the embedder.
    pub struct EmbedderConfig {
        /// what the norm runs along
        axis: Axis = Axis::Tokens,
        /// width of the embedding
        width: usize = 512,
        /// share of the embedding dropped while training
        dropout: f64 = 0.5,
        /// which parameters train
        train: Train = Train::All,
    }
}

/// The head.
pub struct Embedder {
    config: EmbedderConfig,
    net: nn::FasEmbedder,
}

impl Component for Embedder {
    const NAME: &'static str = "fas-embedder";
    const SUMMARY: &'static str = "anti-spoofing embedder with a soft norm and a unit-column classifier";
    type Config = EmbedderConfig;
}

impl Head for Embedder {
    fn create(config: EmbedderConfig, p: &Params, features: &FeatureSpec, _: &Ctx) -> Result<Self> {
        let net = nn::FasEmbedder::new(features.width, config.width, features.classes, config.dropout, p)?;
        Ok(Self { config, net })
    }

    fn scope(&self) -> Scope {
        match self.config.train {
            Train::All => Scope::All,
            Train::Head => Scope::HeadOnly,
        }
    }

    fn reads_tokens(&self) -> bool {
        self.config.axis == Axis::Tokens
    }

    fn unit_columns(&self) -> Vec<String> {
        vec![nn::UNIT_COLUMNS.to_owned()]
    }

    fn forward(&self, f: &Features, ctx: &Ctx) -> Result<HeadOutput> {
        let embedded = match self.config.axis {
            Axis::Channels => self.net.embed(&f.pooled, 1, ctx)?, // (B, 512)
            Axis::Tokens => {
                let (b, n, d) = f.tokens.dims3()?;
                let pooled = f.pooled.reshape([b, 1, d])?;
                let all = Tensor::cat(&[&pooled, &f.tokens.narrow(1, 1, n - 1)?], 1)?; // (B, 1+N, D)
                self.net.embed(&all, 1, ctx)?.select(1, 0)? // (B, 512)
            }
        };
        Ok(HeadOutput::logits(self.net.classify(&embedded)?)) // (B, C)
    }
}

export_plugin! { heads: [Embedder] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn settings_are_consistent() {
        testing::check_head::<Embedder>().unwrap();
    }
}
