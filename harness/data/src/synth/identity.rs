//! A person who does not exist: proportions, colours and textures that stay the same in every picture of them.
//!
//! Face coordinates: u to the right of the picture, v down, origin between the eyes' lower lids, chin near v = 1,
//! half the face's width near 0.72. Colours are linear RGB. Distributions are wide enough that two people differ as
//! much as two people do in a small real set, and carry no meaning beyond that.

/// Linear RGB.
pub type Colour = [f32; 3];

/// A person: everything that does not change between frames.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Outline of the face.
    pub shape: Shape,
    /// Eyes and irises.
    pub eyes: Eyes,
    /// Eyebrows.
    pub brows: Brows,
    /// Nose.
    pub nose: Nose,
    /// Mouth and lips.
    pub mouth: Mouth,
    /// Hair on the head.
    pub hair: Hair,
    /// Skin colour and texture.
    pub skin: Skin,
    /// Key of the person's own texture noise.
    pub key: u32,
}

/// Outline of the face, in face coordinates.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Half width at the cheekbones.
    pub width: f32,
    /// Half width at the jaw angle, relative to `width`.
    pub jaw: f32,
    /// Half width near the chin, relative to `width`.
    pub chin_width: f32,
    /// v of the chin.
    pub chin: f32,
    /// Half width at the temples, relative to `width`.
    pub temple: f32,
    /// Left-right asymmetry of the outline, small.
    pub skew: f32,
    /// Size of the ears, 1 is average.
    pub ears: f32,
}

/// Eyes, in face coordinates.
#[derive(Clone, Debug)]
pub struct Eyes {
    /// |u| of the centres.
    pub distance: f32,
    /// v of the centres.
    pub height: f32,
    /// Half width of the opening.
    pub width: f32,
    /// Half height of the open eye.
    pub opening: f32,
    /// Slant: rise of the outer corner per unit of u.
    pub slant: f32,
    /// Iris colour.
    pub iris: Colour,
    /// Radius of the iris.
    pub iris_radius: f32,
    /// Strength of the crease above the lid.
    pub crease: f32,
    /// Strength of the shade under the eye.
    pub bags: f32,
}

/// Eyebrows, in face coordinates.
#[derive(Clone, Debug)]
pub struct Brows {
    /// v of the middle.
    pub height: f32,
    /// Rise of the arch.
    pub arch: f32,
    /// Slope: rise of the outer end.
    pub slope: f32,
    /// Half thickness.
    pub thickness: f32,
    /// Half length.
    pub length: f32,
    /// How dense the hairs are, 0 to 1.
    pub density: f32,
    /// Colour.
    pub colour: Colour,
}

/// Nose, in face coordinates.
#[derive(Clone, Debug)]
pub struct Nose {
    /// v of the lower end.
    pub length: f32,
    /// Half width at the nostrils.
    pub width: f32,
    /// Half width of the bridge.
    pub bridge: f32,
    /// How far it stands out.
    pub relief: f32,
    /// Roundness of the tip.
    pub tip: f32,
}

/// Mouth, in face coordinates.
#[derive(Clone, Debug)]
pub struct Mouth {
    /// v of the line between the lips.
    pub height: f32,
    /// Half width.
    pub width: f32,
    /// Thickness of the upper lip.
    pub upper: f32,
    /// Thickness of the lower lip.
    pub lower: f32,
    /// Depth of the bow in the upper lip.
    pub bow: f32,
    /// Lip colour.
    pub colour: Colour,
    /// Gloss of the lips.
    pub gloss: f32,
}

/// How the hair is worn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HairStyle {
    /// None but a shade at the sides.
    Bald,
    /// Short, hairline free.
    Short,
    /// Short with a parting to one side.
    Parted,
    /// A fringe over the forehead.
    Fringe,
    /// Long, falling beside the face.
    Long,
    /// Long, with a fringe.
    LongFringe,
    /// A round mass of curls.
    Curly,
}

/// Hair.
#[derive(Clone, Debug)]
pub struct Hair {
    /// Style.
    pub style: HairStyle,
    /// Colour.
    pub colour: Colour,
    /// v of the hairline in the middle.
    pub line: f32,
    /// How far the hair stands off the head.
    pub volume: f32,
    /// u of the parting, and which way a fringe falls.
    pub parting: f32,
    /// Roughness of its edge.
    pub rough: f32,
}

/// Skin.
#[derive(Clone, Debug)]
pub struct Skin {
    /// Albedo.
    pub colour: Colour,
    /// Redness of cheeks, nose and ears.
    pub blush: f32,
    /// Depth of coarse, blotchy variation.
    pub blotch: f32,
    /// Depth of pores and fine grain.
    pub pores: f32,
    /// Number of freckles and moles, 0 to 1.
    pub freckles: f32,
    /// Beard: 0 none, 0.3 stubble, 1 full.
    pub beard: f32,
    /// Lines on the forehead and beside the mouth.
    pub age: f32,
    /// Shine.
    pub shine: f32,
}
