//! cuBLAS: the batched products that candle asks for, with operands looked up in the book of memory.
//!
//! Column-major, as cuBLAS is. bf16 and f16 are widened, multiplied and summed in f32, and rounded once, which is what
//! `CUBLAS_COMPUTE_32F` promises up to the order of the sum. TF32 is not imitated.
use crate::driver::refuse;
use crate::memory;
use gemm::Parallelism;
use half::{bf16, f16};
use std::ffi::{c_int, c_longlong, c_void};

const OK: c_int = 0;
const INVALID_VALUE: c_int = 7;
const NOT_SUPPORTED: c_int = 15;

/// One product: `c = alpha * op(a) * op(b) + beta * c`, `op(a)` m × k, `op(b)` k × n.
#[derive(Debug, Clone, Copy)]
struct Product {
    transposed: [bool; 2],
    m: usize,
    n: usize,
    k: usize,
    leading: [usize; 3],
}

impl Product {
    fn new(transposed: [c_int; 2], [m, n, k]: [c_int; 3], leading: [c_int; 3]) -> Option<Self> {
        let size = |v: c_int| usize::try_from(v).ok();
        let leading = [size(leading[0])?, size(leading[1])?, size(leading[2])?];
        let transposed = transposed.map(|op| op != 0);
        let product = Self { transposed, m: size(m)?, n: size(n)?, k: size(k)?, leading };
        let rows = product.stored().map(|(rows, _)| rows);
        // as cuBLAS: a leading dimension is at least the number of rows that are stored
        (0..3).all(|i| product.leading[i] >= rows[i].max(1)).then_some(product)
    }

    /// Rows and columns of the three matrices as they lie in memory.
    fn stored(&self) -> [(usize, usize); 3] {
        let turn = |(a, b): (usize, usize), yes: bool| if yes { (b, a) } else { (a, b) };
        [
            turn((self.m, self.k), self.transposed[0]),
            turn((self.k, self.n), self.transposed[1]),
            (self.m, self.n),
        ]
    }

    /// Elements from the first to the last of each matrix.
    fn spans(&self) -> [usize; 3] {
        let stored = self.stored();
        std::array::from_fn(|i| match stored[i] {
            (0, _) | (_, 0) => 0,
            (rows, columns) => (columns - 1) * self.leading[i] + rows,
        })
    }

    /// Strides over rows and columns of `op(a)`, `op(b)` and `c`.
    fn strides(&self) -> [(isize, isize); 3] {
        std::array::from_fn(|i| {
            let far = self.leading[i] as isize;
            if i < 2 && self.transposed[i] { (far, 1) } else { (1, far) }
        })
    }
}

/// `cudaDataType`: bytes of an element.
fn bytes(ty: c_int) -> Option<usize> {
    match ty {
        0 => Some(4),
        1 => Some(8),
        2 | 14 => Some(2),
        _ => None,
    }
}

fn widened(ty: c_int, at: *const c_void, count: usize) -> Vec<f32> {
    // SAFETY: the caller has looked up that many elements of this type.
    let words = unsafe { std::slice::from_raw_parts(at.cast::<u16>(), count) };
    words
        .iter()
        .map(|w| if ty == 14 { bf16::from_bits(*w).to_f32() } else { f16::from_bits(*w).to_f32() })
        .collect()
}

fn multiply<T: Copy + 'static>(
    p: Product,
    a: *const T,
    b: *const T,
    c: *mut T,
    alpha: T,
    beta: T,
    add: bool,
) {
    let [(ar, ac), (br, bc), (cr, cc)] = p.strides();
    // SAFETY: the three matrices were looked up; the strides stay inside of them.
    unsafe {
        gemm::gemm(
            p.m,
            p.n,
            p.k,
            c,
            cc,
            cr,
            add,
            a,
            ac,
            ar,
            b,
            bc,
            br,
            beta,
            alpha,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// All products of a batch.
///
/// # Safety
/// `alpha` and `beta` are scalars of the compute type.
unsafe fn batched(
    product: Option<Product>,
    types: [c_int; 3],
    at: [u64; 3],
    strides: [c_longlong; 3],
    count: c_int,
    scalars: [*const c_void; 2],
) -> c_int {
    let (Some(p), Ok(count)) = (product, usize::try_from(count)) else {
        return refuse(INVALID_VALUE, "cuBLAS: sizes or leading dimensions that cannot be");
    };
    let [ty, ..] = types;
    let (Some(size), true) = (bytes(ty), types.iter().all(|t| *t == ty)) else {
        return refuse(NOT_SUPPORTED, &format!("cuBLAS: a product of the types {types:?}"));
    };
    let spans = p.spans();
    for i in 0..count {
        let places: [u64; 3] = std::array::from_fn(|k| {
            at[k].wrapping_add((i as u64).wrapping_mul(strides[k] as u64).wrapping_mul(size as u64))
        });
        let book = memory::book();
        for (k, name) in ["a", "b", "c"].iter().enumerate() {
            if spans[k] > 0 && book.find(places[k], spans[k] * size).is_none() {
                let place = book.describe(places[k]);
                return refuse(
                    INVALID_VALUE,
                    &format!("cuBLAS: matrix {name} of {p:?} needs {} bytes at {place}", spans[k] * size),
                );
            }
        }
        drop(book);
        let [a, b, c] = places;
        // SAFETY: scalars of the compute type: f64 for f64, f32 for all others.
        unsafe {
            if ty == 1 {
                let (alpha, beta) = (*scalars[0].cast::<f64>(), *scalars[1].cast::<f64>());
                multiply(p, a as *const f64, b as *const f64, c as *mut f64, alpha, beta, beta != 0.0);
                continue;
            }
            let (alpha, beta) = (*scalars[0].cast::<f32>(), *scalars[1].cast::<f32>());
            if ty == 0 {
                multiply(p, a as *const f32, b as *const f32, c as *mut f32, alpha, beta, beta != 0.0);
                continue;
            }
            let (a, b) =
                (widened(ty, a as *const c_void, spans[0]), widened(ty, b as *const c_void, spans[1]));
            let mut wide = widened(ty, c as *const c_void, spans[2]);
            multiply(p, a.as_ptr(), b.as_ptr(), wide.as_mut_ptr(), alpha, beta, beta != 0.0);
            let narrow = std::slice::from_raw_parts_mut(c as *mut u16, spans[2]);
            for column in 0..p.n {
                let rows = column * p.leading[2]..column * p.leading[2] + p.m;
                for (to, from) in narrow[rows.clone()].iter_mut().zip(&wide[rows]) {
                    *to = if ty == 14 {
                        bf16::from_f32(*from).to_bits()
                    } else {
                        f16::from_f32(*from).to_bits()
                    };
                }
            }
        }
    }
    OK
}

#[expect(clippy::undocumented_unsafe_blocks, reason = "each is promised by the entry point's contract")]
mod entries {
    use super::*;

    crate::entry! {
        fn cublasCreate_v2(handle: *mut *mut c_void) {
            unsafe { handle.write(std::ptr::without_provenance_mut(1)) };
            OK
        }
        fn cublasDestroy_v2(_handle: *mut c_void) { OK }
        fn cublasSetStream_v2(_handle: *mut c_void, _stream: *mut c_void) { OK }
        fn cublasGemmStridedBatchedEx(
            _handle: *mut c_void, op_a: c_int, op_b: c_int, m: c_int, n: c_int, k: c_int, alpha: *const c_void,
            a: u64, a_type: c_int, a_leading: c_int, a_stride: c_longlong,
            b: u64, b_type: c_int, b_leading: c_int, b_stride: c_longlong, beta: *const c_void,
            c: u64, c_type: c_int, c_leading: c_int, c_stride: c_longlong,
            count: c_int, _compute: c_int, _algorithm: c_int,
        ) {
            let product = Product::new([op_a, op_b], [m, n, k], [a_leading, b_leading, c_leading]);
            let (types, strides) = ([a_type, b_type, c_type], [a_stride, b_stride, c_stride]);
            unsafe { batched(product, types, [a, b, c], strides, count, [alpha, beta]) }
        }
        fn cublasDgemmStridedBatched(
            _handle: *mut c_void, op_a: c_int, op_b: c_int, m: c_int, n: c_int, k: c_int, alpha: *const f64,
            a: u64, a_leading: c_int, a_stride: c_longlong, b: u64, b_leading: c_int, b_stride: c_longlong,
            beta: *const f64, c: u64, c_leading: c_int, c_stride: c_longlong, count: c_int,
        ) {
            let product = Product::new([op_a, op_b], [m, n, k], [a_leading, b_leading, c_leading]);
            let strides = [a_stride, b_stride, c_stride];
            unsafe { batched(product, [1; 3], [a, b, c], strides, count, [alpha.cast(), beta.cast()]) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Device memory with these numbers.
    fn device<T: Copy>(values: &[T]) -> u64 {
        let at = memory::allocate(std::mem::size_of_val(values)).unwrap();
        // SAFETY: just allocated with that many bytes.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), at as *mut T, values.len()) };
        at
    }

    fn run(transposed: [c_int; 2], [a, b, c]: [u64; 3], ty: c_int, leading: [c_int; 3]) -> c_int {
        let (alpha, beta) = (1f32, 0f32);
        let scalars = [(&raw const alpha).cast(), (&raw const beta).cast()];
        // SAFETY: the scalars are f32, as the types compute.
        unsafe {
            batched(Product::new(transposed, [2, 2, 3], leading), [ty; 3], [a, b, c], [0; 3], 1, scalars)
        }
    }

    #[test]
    fn products_are_column_major_and_fresh_results_are_not_read() {
        // a = [1 3 5; 2 4 6] by columns, b = [1 4; 2 5; 3 6] by columns
        let numbers = [1f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let c = device(&[f32::NAN; 4]);
        // SAFETY: four numbers were allocated.
        let result = || unsafe { std::slice::from_raw_parts(c as *const f32, 4) }.to_vec();
        assert_eq!(run([0, 0], [device(&numbers), device(&numbers), c], 0, [2, 3, 2]), OK);
        assert_eq!(result(), [22.0, 28.0, 49.0, 64.0]);
        // the same memory of a, read as its transpose: [1 2 3; 4 5 6]
        assert_eq!(run([1, 0], [device(&numbers), device(&numbers), c], 0, [3, 3, 2]), OK);
        assert_eq!(result(), [14.0, 32.0, 32.0, 77.0]);
        let short = numbers.map(|v| bf16::from_f32(v).to_bits());
        let c = device(&[0xffffu16; 4]);
        assert_eq!(run([0, 0], [device(&short), device(&short), c], 14, [2, 3, 2]), OK);
        // SAFETY: four numbers were allocated.
        let halves = unsafe { std::slice::from_raw_parts(c as *const u16, 4) };
        assert_eq!(
            halves.iter().map(|b| bf16::from_bits(*b).to_f32()).collect::<Vec<_>>(),
            [22.0, 28.0, 49.0, 64.0]
        );
    }

    #[test]
    fn operands_that_reach_out_of_their_memory_are_refused() {
        let (a, b, c) = (device(&[0f32; 6]), device(&[0f32; 5]), device(&[0f32; 4]));
        assert_eq!(run([0, 0], [a, b, c], 0, [2, 3, 2]), INVALID_VALUE);
        assert_eq!(run([0, 0], [a, a, c], 0, [2, 3, 3]), INVALID_VALUE);
        assert_eq!(run([0, 0], [a, a, c], 0, [1, 3, 2]), INVALID_VALUE);
        assert_eq!(run([0, 0], [a, a, c], 3, [2, 3, 2]), NOT_SUPPORTED);
    }
}
