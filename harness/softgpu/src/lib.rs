//! A GPU made of software.
//!
//! This library has the entry points of the CUDA driver, cuBLAS and cuRAND that candle uses, under their names: opened
//! as `libcuda.so.1`, `libcublas.so.13` and `libcurand.so.10` it lets the CUDA build of the program run, whole, on a
//! machine without a GPU. Kernels are not replaced: the PTX that the program embeds is read and interpreted
//! ([`ptx`], `exec`), with every access checked, so an error of the kind that a GPU would answer with wrong numbers is
//! a message here. `cargo xtask cuda --test` builds it and runs the self-test of the operations on it.
//!
//! What it is not: a GPU. It says nothing about speed, about the rounding of cuBLAS's own kernels and of the hardware's
//! approximations, or about kernels of different streams running at the same time; random numbers are not cuRAND's.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ptx;

/// Functions under the names of NVIDIA's libraries, each with its error code as the result.
macro_rules! entry {
    ($(fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        /// # Safety
        /// As NVIDIA documents it: handles were made here, and pointers are valid for what the call reads and writes.
        #[unsafe(no_mangle)]
        pub(super) unsafe extern "C" fn $name($($arg: $ty),*) -> std::ffi::c_int $body
    )*};
}
use entry;

mod blas;
mod driver;
mod exec;
mod memory;
mod random;
