//! Glue between author code and the boundary: panics become errors here, inside the plugin.
//!
//! A panic must never reach a function the host calls: such frames cannot unwind and the process would abort, even if the
//! host catches panics, because every shared library has its own copy of the standard library.

use std::{
    cell::RefCell,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
};

use facebench_abi::{
    BoxBackbone, BoxHead, BoxMasking, ErrKind, Meta, OpResult, PluginError, RawCtx, RawFeatures,
    RawHeadOutput, RawMaskInput, RawParams, RawTensor,
    abi_objects::{BackboneAbi, BackboneAbi_TO, HeadAbi, HeadAbi_TO, MaskingAbi, MaskingAbi_TO},
    abi_stable::{
        sabi_trait::TD_Opaque,
        std_types::{ROption, RResult, RSliceMut, RStr, RString},
    },
    describe::{FeatureSpec, HeadTraits},
};

use crate::{
    Backbone, Component, Config, Context, Ctx, Error, Features, Head, HeadOutput, MaskInput, Masking, Params,
    ParsingView, Result, Tensor, config,
};

thread_local! {
    static WHERE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Remembers where a panic happened and prints nothing; called once when the plugin is opened.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
        // during thread exit the slot may be gone; the place is then missing from the message
        let _ = WHERE.try_with(|w| *w.borrow_mut() = at);
    }));
}

/// Runs plugin code; an error or a panic comes back with the component and the call.
pub fn guard<T>(who: &str, what: &str, f: impl FnOnce() -> Result<T>) -> RResult<T, PluginError> {
    let result = catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no message)".into());
        let at = WHERE.with(|w| w.borrow_mut().take()).map_or_else(String::new, |at| format!(" at {at}"));
        // a payload whose own drop panics must not unwind further
        let _ = catch_unwind(AssertUnwindSafe(move || drop(payload)));
        Err(PluginError::new(ErrKind::PANIC, format!("panicked{at}: {message}")))
    });
    result.context(format_args!("{who}::{what}")).into()
}

fn json<T: serde::Serialize>(value: &T) -> Result<RString> {
    serde_json::to_string(value)
        .map(RString::from)
        .map_err(|e| Error::new(ErrKind::OTHER, format!("cannot be written as JSON: {e}")))
}

/// A component behind the boundary; dropping it is guarded too.
struct Adapter<T>(ManuallyDrop<T>);

impl<T> Adapter<T> {
    fn new(component: T) -> Self {
        Self(ManuallyDrop::new(component))
    }
}

impl<T> Drop for Adapter<T> {
    fn drop(&mut self) {
        // SAFETY: dropped exactly once, here, and not used afterwards.
        let _ = catch_unwind(AssertUnwindSafe(|| unsafe { ManuallyDrop::drop(&mut self.0) }));
    }
}

impl<T: Backbone> BackboneAbi for Adapter<T> {
    fn embed(&self, images: &RawTensor, keep: ROption<&RawTensor>, ctx: &RawCtx) -> OpResult {
        guard(T::NAME, "embed", || {
            let keep = keep.into_option().map(Tensor::from_raw);
            self.0.embed(Tensor::from_raw(images), keep, Ctx::from_raw(ctx)).map(|t| t.0)
        })
    }
    fn encode(&self, tokens: &RawTensor, ctx: &RawCtx) -> OpResult {
        guard(T::NAME, "encode", || self.0.encode(Tensor::from_raw(tokens), Ctx::from_raw(ctx)).map(|t| t.0))
    }
    fn norm(&self, tokens: &RawTensor) -> OpResult {
        guard(T::NAME, "norm", || self.0.norm(Tensor::from_raw(tokens)).map(|t| t.0))
    }
    fn pool(&self, tokens: &RawTensor) -> OpResult {
        guard(T::NAME, "pool", || self.0.pool(Tensor::from_raw(tokens)).map(|t| t.0))
    }
}

impl<T: Masking> MaskingAbi for Adapter<T> {
    fn needs_parsing(&self) -> RResult<bool, PluginError> {
        guard(T::NAME, "needs_parsing", || Ok(self.0.needs_parsing()))
    }
    fn mask(
        &self,
        input: &RawMaskInput<'_>,
        mut mask: RSliceMut<'_, u8>,
        mut region: RSliceMut<'_, u8>,
    ) -> RResult<(), PluginError> {
        guard(T::NAME, "mask", || {
            let input = MaskInput {
                parsing: input.parsing.into_option().map(|p| ParsingView {
                    labels: p.labels.as_slice(),
                    height: p.height,
                    width: p.width,
                }),
                grid: (input.grid_h, input.grid_w),
                ratio: input.ratio,
                patches_key: input.patches,
                region_key: input.region,
            };
            self.0.mask(&input, mask.as_mut_slice(), region.as_mut_slice())
        })
    }
}

impl<T: Head> HeadAbi for Adapter<T> {
    fn scope(&self) -> RResult<RString, PluginError> {
        guard(T::NAME, "scope", || {
            json(&HeadTraits {
                scope: self.0.scope(),
                tokens: self.0.reads_tokens(),
                unit_columns: self.0.unit_columns(),
            })
        })
    }
    fn forward(&self, f: &RawFeatures<'_>, ctx: &RawCtx) -> RResult<RawHeadOutput, PluginError> {
        guard(T::NAME, "forward", || {
            let features = Features {
                pooled: Tensor::from_raw(f.pooled).clone(),
                tokens: Tensor::from_raw(f.tokens).clone(),
            };
            let out = self.0.forward(&features, Ctx::from_raw(ctx))?;
            Ok(RawHeadOutput { logits: out.logits.0, embedding: out.embedding.map(|t| t.0).into() })
        })
    }
    fn loss(
        &self,
        out: &RawHeadOutput,
        labels: &RawTensor,
        ctx: &RawCtx,
    ) -> RResult<ROption<RawTensor>, PluginError> {
        guard(T::NAME, "loss", || {
            let out = HeadOutput {
                logits: Tensor::from_raw(&out.logits).clone(),
                embedding: out.embedding.as_ref().into_option().map(|t| Tensor::from_raw(t).clone()),
            };
            let loss = self.0.loss(&out, Tensor::from_raw(labels), Ctx::from_raw(ctx))?;
            Ok(loss.map(|t| t.0).into())
        })
    }
}

/// Name, version, schema and the settings check of a component.
pub fn meta<T: Component>(version: &'static str) -> Meta {
    Meta {
        name: T::NAME.into(),
        version: version.into(),
        summary: T::SUMMARY.into(),
        schema: schema::<T>,
        resolve: resolve::<T>,
    }
}

extern "C" fn schema<T: Component>() -> RResult<RString, PluginError> {
    guard(T::NAME, "schema", || json(&T::Config::schema()))
}

extern "C" fn resolve<T: Component>(cfg: RStr<'_>) -> RResult<RString, PluginError> {
    guard(T::NAME, "settings", || json(&config::parse::<T::Config>(cfg.as_str())?.to_value()))
}

/// [`Backbone::info`] across the boundary.
pub extern "C" fn info<T: Backbone>(cfg: RStr<'_>) -> RResult<RString, PluginError> {
    guard(T::NAME, "info", || json(&T::info(&config::parse(cfg.as_str())?)?))
}

/// [`Backbone::layer_id`] across the boundary.
pub extern "C" fn layer_id<T: Backbone>(cfg: RStr<'_>, name: RStr<'_>) -> RResult<u64, PluginError> {
    guard(T::NAME, "layer_id", || Ok(T::layer_id(&config::parse(cfg.as_str())?, name.as_str())? as u64))
}

/// [`Backbone::layouts`] across the boundary.
pub extern "C" fn layouts<T: Backbone>(cfg: RStr<'_>) -> RResult<RString, PluginError> {
    guard(T::NAME, "layouts", || json(&T::layouts(&config::parse(cfg.as_str())?)?))
}

/// [`Backbone::create`] across the boundary.
pub extern "C" fn backbone<T: Backbone>(
    cfg: RStr<'_>,
    ctx: &RawCtx,
    p: &RawParams,
) -> RResult<BoxBackbone, PluginError> {
    guard(T::NAME, "create", || {
        let made = T::create(config::parse(cfg.as_str())?, &Params::from_raw(p), Ctx::from_raw(ctx))?;
        Ok(BackboneAbi_TO::from_value(Adapter::new(made), TD_Opaque))
    })
}

/// [`Masking::create`] across the boundary.
pub extern "C" fn masking<T: Masking>(cfg: RStr<'_>) -> RResult<BoxMasking, PluginError> {
    guard(T::NAME, "create", || {
        let made = T::create(config::parse(cfg.as_str())?)?;
        Ok(MaskingAbi_TO::from_value(Adapter::new(made), TD_Opaque))
    })
}

/// [`Head::create`] across the boundary.
pub extern "C" fn head<T: Head>(
    cfg: RStr<'_>,
    features: RStr<'_>,
    ctx: &RawCtx,
    p: &RawParams,
) -> RResult<BoxHead, PluginError> {
    guard(T::NAME, "create", || {
        let features: FeatureSpec = serde_json::from_str(features.as_str())
            .map_err(|e| Error::new(ErrKind::OTHER, format!("feature description: {e}")))?;
        let cfg = config::parse(cfg.as_str())?;
        let made = T::create(cfg, &Params::from_raw(p), &features, Ctx::from_raw(ctx))?;
        Ok(HeadAbi_TO::from_value(Adapter::new(made), TD_Opaque))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_place() {
        let r = guard::<()>("demo", "forward", || panic!("boom {}", 7)).into_result();
        let e = r.unwrap_err();
        assert_eq!(e.kind, ErrKind::PANIC);
        assert!(e.to_string().starts_with("demo::forward: panicked"), "{e}");
        assert!(e.to_string().ends_with("boom 7"), "{e}");
    }

    #[test]
    fn a_component_whose_drop_panics_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        drop(Adapter::new(Bomb));
    }
}
