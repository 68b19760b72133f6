//! [`export_plugin!`](crate::export_plugin): the two statics a plugin exports.

/// Makes the crate a plugin: `export_plugin! { backbones: [Vit], maskings: [], heads: [Linear] }` (any subset, in this
/// order; an optional `requires: ["feature"]` first names host features the plugin cannot do without).
#[macro_export]
macro_rules! export_plugin {
    (
        $(requires: [$($feature:literal),* $(,)?] $(,)?)?
        $(backbones: [$($backbone:ty),* $(,)?] $(,)?)?
        $(maskings: [$($masking:ty),* $(,)?] $(,)?)?
        $(heads: [$($head:ty),* $(,)?] $(,)?)?
    ) => {
        #[cfg(panic = "abort")]
        compile_error!("a plugin must be built with panic = \"unwind\": with \"abort\" its panics end the program");

        #[doc(hidden)]
        mod facebench_export {
            #[allow(unused_imports)]
            use super::*;
            use $crate::abi::{
                API_MAJOR, API_MINOR, BackboneDesc, Handshake, HeadDesc, MAGIC, MaskingDesc, PluginModule,
                PluginModuleRef,
                abi_stable::{
                    self, StableAbi,
                    library::{CheckTypeLayout, LibHeader, RootModuleResult},
                    prefix_type::PrefixTypeTrait,
                    std_types::{RSlice, RStr, RVec},
                },
            };
            use $crate::boundary;

            const VERSION: &str = env!("CARGO_PKG_VERSION");
            const REQUIRES: &[RStr<'static>] = &[$($(RStr::from_str($feature)),*)?];

            /// Read first: which boundary this was built for.
            #[unsafe(export_name = "FACEBENCH_PLUGIN_HANDSHAKE")]
            pub static HANDSHAKE: Handshake = Handshake {
                magic: MAGIC,
                api_major: API_MAJOR,
                api_minor: API_MINOR,
                rustc: RStr::from_str($crate::RUSTC),
                requires: RSlice::from_slice(REQUIRES),
            };

            extern "C" fn backbones() -> RVec<BackboneDesc> {
                #[allow(unused_mut)]
                let mut list = RVec::new();
                $($(list.push(BackboneDesc {
                    meta: boundary::meta::<$backbone>(VERSION),
                    info: boundary::info::<$backbone>,
                    layer_id: boundary::layer_id::<$backbone>,
                    layouts: boundary::layouts::<$backbone>,
                    create: boundary::backbone::<$backbone>,
                });)*)?
                list
            }

            extern "C" fn maskings() -> RVec<MaskingDesc> {
                #[allow(unused_mut)]
                let mut list = RVec::new();
                $($(list.push(MaskingDesc {
                    meta: boundary::meta::<$masking>(VERSION),
                    create: boundary::masking::<$masking>,
                });)*)?
                list
            }

            extern "C" fn heads() -> RVec<HeadDesc> {
                #[allow(unused_mut)]
                let mut list = RVec::new();
                $($(list.push(HeadDesc {
                    meta: boundary::meta::<$head>(VERSION),
                    create: boundary::head::<$head>,
                });)*)?
                list
            }

            fn root() -> PluginModuleRef {
                boundary::quiet_panics();
                PluginModule {
                    host_ops_layout: <$crate::abi::HostOpsRef as StableAbi>::LAYOUT,
                    backbones,
                    maskings,
                    heads,
                }
                .leak_into_prefix()
            }

            extern "C" fn erased() -> RootModuleResult {
                abi_stable::library::__call_root_module_loader(root)
            }

            // What `#[export_root_module]` writes, with paths that work without a dependency on abi_stable.
            // SAFETY: `erased` returns the root module of exactly this type.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static LIB_HEADER: LibHeader =
                unsafe { LibHeader::from_constructor::<PluginModuleRef>(erased, CheckTypeLayout::Yes) };
        }
    };
}
