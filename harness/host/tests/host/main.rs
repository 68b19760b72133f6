//! The host against built plugins: numbers, gradients, bad input, misbehaviour, and the crates of `plugin new`.
//!
//! One test program, so that plugins are built and opened once. `common` builds them with the cargo that runs the tests.
#![allow(clippy::unwrap_used)]

mod cnn;
mod common;
mod equality;
mod faults;
mod files;
mod layouts;
mod template;
mod vectors;
