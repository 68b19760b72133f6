//! Shapes as arguments: a number, an array, a slice, or a tuple in which `()` stands for the inferred dimension.

/// Most dimensions a shape may have.
const MAX_RANK: usize = 8;

/// A shape on the stack; −1 is the inferred dimension.
pub struct Dims {
    rank: usize,
    dims: [isize; MAX_RANK],
}

impl Dims {
    /// With −1 for the inferred dimension.
    pub fn signed(&self) -> &[isize] {
        &self.dims[..self.rank]
    }

    /// Plain sizes; an inferred dimension becomes a size no tensor has, which the host refuses.
    pub fn with<R>(&self, f: impl FnOnce(&[usize]) -> R) -> R {
        let sizes = self.dims.map(|d| usize::try_from(d).unwrap_or(usize::MAX));
        f(&sizes[..self.rank])
    }
}

/// One dimension of a shape.
pub trait Dim {
    /// Its size, or −1 for "whatever fits".
    fn size(&self) -> isize;
}

impl Dim for usize {
    fn size(&self) -> isize {
        isize::try_from(*self).unwrap_or(isize::MAX)
    }
}

impl Dim for i32 {
    fn size(&self) -> isize {
        *self as isize
    }
}

impl Dim for () {
    fn size(&self) -> isize {
        -1
    }
}

/// Anything that can be read as a shape.
pub trait Shape {
    /// The dimensions.
    fn dims(&self) -> Dims;
}

impl<D: Dim> Shape for [D] {
    fn dims(&self) -> Dims {
        let mut dims = [0; MAX_RANK];
        // A shape of more than MAX_RANK dimensions is cut and then refused by the host: the counts differ.
        for (to, from) in dims.iter_mut().zip(self) {
            *to = from.size();
        }
        Dims { rank: self.len().min(MAX_RANK), dims }
    }
}

impl<D: Dim, const N: usize> Shape for [D; N] {
    fn dims(&self) -> Dims {
        self[..].dims()
    }
}

impl Shape for usize {
    fn dims(&self) -> Dims {
        [*self].dims()
    }
}

impl<S: Shape + ?Sized> Shape for &S {
    fn dims(&self) -> Dims {
        (**self).dims()
    }
}

/// A scalar.
impl Shape for () {
    fn dims(&self) -> Dims {
        Dims { rank: 0, dims: [0; MAX_RANK] }
    }
}

macro_rules! tuples {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Dim),+> Shape for ($($name,)+) {
            fn dims(&self) -> Dims {
                let sizes = [$(self.$index.size()),+];
                let mut dims = [0; MAX_RANK];
                dims[..sizes.len()].copy_from_slice(&sizes);
                Dims { rank: sizes.len(), dims }
            }
        }
    };
}
tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_infer_one_dimension() {
        assert_eq!((2, 3usize, ()).dims().signed(), [2, 3, -1]);
        assert_eq!(7usize.dims().signed(), [7]);
        assert_eq!([4usize, 5].dims().with(<[usize]>::to_vec), [4, 5]);
    }
}
