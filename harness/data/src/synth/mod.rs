//! wip
mod backdrop; pub mod camera; mod error; mod features; mod frame; mod identity; mod noise; mod outline; mod plane; mod relief; mod render; mod shade; mod skin; mod spec;
pub use camera::Camera; pub use error::Error; pub use spec::*; pub use frame::*; pub use identity::*;
pub struct SynthSummary;
pub fn generate() {}
pub fn look(seed: u64, size: usize) -> (crate::image::Rgb, Vec<u8>) {
    let mut r = facebench_protocols::rng::Stream::new("look", seed, &["id"]);
    let id = Identity::draw(&mut r);
    let m = Motion::draw(&mut r, Range::STUDIO);
    let f = m.at(r.uniform() as f32);
    let c = render::draw(&id, &f, size);
    let p = Camera::clean().shoot(&c, &mut r);
    (p.to_rgb(), c.labels)
}
