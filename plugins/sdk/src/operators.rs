//! `+ - * /` between tensors, results of tensors, and numbers; every expression is a `Result`.
//!
//! `(&x + branch(&x)?)?` and `&x + branch(&x)` both read naturally, so the right side may be a `Result` itself.

use std::ops::{Add, Div, Mul, Sub};

use facebench_abi::Bin;

use crate::{Result, Tensor};

macro_rules! operator {
    ($Trait:ident $method:ident $code:ident $scalar:expr) => {
        impl $Trait<&Tensor> for &Tensor {
            type Output = Result<Tensor>;
            #[inline]
            fn $method(self, right: &Tensor) -> Result<Tensor> {
                self.bin(right, Bin::$code)
            }
        }
        impl $Trait<Tensor> for &Tensor {
            type Output = Result<Tensor>;
            fn $method(self, right: Tensor) -> Result<Tensor> {
                self.bin(&right, Bin::$code)
            }
        }
        impl $Trait<Result<Tensor>> for &Tensor {
            type Output = Result<Tensor>;
            fn $method(self, right: Result<Tensor>) -> Result<Tensor> {
                self.bin(&right?, Bin::$code)
            }
        }
        impl $Trait<f64> for &Tensor {
            type Output = Result<Tensor>;
            fn $method(self, right: f64) -> Result<Tensor> {
                let scalar: fn(f64) -> (f64, f64) = $scalar;
                let (mul, add) = scalar(right);
                self.affine(mul, add)
            }
        }
        impl<R> $Trait<R> for Tensor
        where
            for<'a> &'a Tensor: $Trait<R, Output = Result<Tensor>>,
        {
            type Output = Result<Tensor>;
            fn $method(self, right: R) -> Result<Tensor> {
                $Trait::$method(&self, right)
            }
        }
    };
}

operator!(Add add ADD |r| (1.0, r));
operator!(Sub sub SUB |r| (1.0, -r));
operator!(Mul mul MUL |r| (r, 0.0));
operator!(Div div DIV |r| (1.0 / r, 0.0));
