//! Open code sets: newtypes with constants instead of enums.
//!
//! A new constant is not a layout change, and a host that meets a code it does not know answers with an ordinary error
//! that names it. That is how operations can be added without invalidating plugins.

use abi_stable::StableAbi;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident($repr:ty) { $($(#[$vdoc:meta])* $v:ident = $n:literal $label:literal,)* }) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name(pub $repr);
        impl $name {
            $($(#[$vdoc])* pub const $v: Self = Self($n);)*
            /// The name used in messages; `None` for a code this side does not know.
            pub fn label(self) -> Option<&'static str> {
                match self.0 { $($n => Some($label),)* _ => None }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.label() {
                    Some(l) => f.write_str(l),
                    None => write!(f, "{}#{}", stringify!($name), self.0),
                }
            }
        }
    };
}

codes! {
    /// Kinds of failure.
    ErrKind(u8) {
        /// Anything a component reports about its own work.
        OTHER = 0 "error",
        /// A host operation failed (shapes, types).
        OP = 1 "operation",
        /// A panic, caught where it happened.
        PANIC = 2 "panic",
        /// The component's configuration is wrong.
        CONFIG = 3 "configuration",
        /// The other side does not have what was asked for.
        UNSUPPORTED = 4 "unsupported",
    }
}

codes! {
    /// Element types.
    Dtype(u8) {
        /// IEEE single.
        F32 = 0 "f32",
        /// IEEE half.
        F16 = 1 "f16",
        /// bfloat16.
        BF16 = 2 "bf16",
        /// Unsigned 32 bit; the type of patch indices.
        U32 = 3 "u32",
        /// Signed 64 bit; the type of labels.
        I64 = 4 "i64",
        /// Bytes; the type of comparisons.
        U8 = 5 "u8",
        /// IEEE double.
        F64 = 6 "f64",
    }
}

codes! {
    /// Element-wise functions of one tensor.
    Un(u32) {
        /// −x
        NEG = 0 "neg",
        /// eˣ
        EXP = 1 "exp",
        /// natural logarithm
        LOG = 2 "log",
        /// x²
        SQR = 3 "sqr",
        /// √x
        SQRT = 4 "sqrt",
        /// Gaussian error linear unit, exact (erf)
        GELU = 5 "gelu",
        /// max(x, 0)
        RELU = 6 "relu",
        /// hyperbolic tangent
        TANH = 7 "tanh",
        /// 1 / (1 + e⁻ˣ)
        SIGMOID = 8 "sigmoid",
        /// a copy in row-major order, if it is not already
        CONTIGUOUS = 9 "contiguous",
        /// the same values, cut off from the graph
        DETACH = 10 "detach",
        /// GELU, tanh approximation
        GELU_TANH = 11 "gelu_tanh",
        /// |x|
        ABS = 12 "abs",
        /// sine
        SIN = 13 "sin",
        /// cosine
        COS = 14 "cos",
        /// 1 / x
        RECIP = 15 "recip",
        /// error function
        ERF = 16 "erf",
        /// x · sigmoid(x)
        SILU = 17 "silu",
        /// sum of all elements, a scalar
        SUM_ALL = 18 "sum_all",
        /// mean of all elements, a scalar
        MEAN_ALL = 19 "mean_all",
    }
}

codes! {
    /// Functions of two tensors; shapes broadcast as in NumPy.
    Bin(u32) {
        /// a + b
        ADD = 0 "add",
        /// a − b
        SUB = 1 "sub",
        /// a · b
        MUL = 2 "mul",
        /// a / b
        DIV = 3 "div",
        /// matrix product over the last two dimensions
        MATMUL = 4 "matmul",
        /// element-wise maximum
        MAX = 5 "maximum",
        /// element-wise minimum
        MIN = 6 "minimum",
        /// a = b, as u8
        EQ = 7 "eq",
        /// a < b, as u8
        LT = 8 "lt",
        /// a ≤ b, as u8
        LE = 9 "le",
        /// a > b, as u8
        GT = 10 "gt",
        /// a ≥ b, as u8
        GE = 11 "ge",
        /// a ≠ b, as u8
        NE = 12 "ne",
    }
}

codes! {
    /// Reductions along one dimension.
    Red(u32) {
        /// sum
        SUM = 0 "sum",
        /// mean
        MEAN = 1 "mean",
        /// maximum
        MAX = 2 "max",
        /// index of the maximum, u32
        ARGMAX = 3 "argmax",
        /// softmax (keeps the dimension)
        SOFTMAX = 4 "softmax",
        /// logarithm of the softmax (keeps the dimension)
        LOG_SOFTMAX = 5 "log_softmax",
        /// minimum
        MIN = 6 "min",
    }
}

codes! {
    /// Distributions of the host's seeded streams.
    RandomKind(u32) {
        /// uniform on [0, 1)
        UNIFORM = 0 "uniform",
        /// standard normal
        NORMAL = 1 "normal",
    }
}

codes! {
    /// What a component is created for.
    Purpose(u32) {
        /// Self-supervised pre-training: the encoder's final norm exists, fixed position tables stay fixed.
        PRETRAIN = 0 "pretrain",
        /// Fine-tuning, scoring: what pooling needs exists, everything may train.
        DOWNSTREAM = 1 "downstream",
    }
}

codes! {
    /// Importance of a log line.
    Level(u8) {
        /// the run cannot be trusted
        ERROR = 0 "error",
        /// worth a look
        WARN = 1 "warn",
        /// progress
        INFO = 2 "info",
        /// for the author
        DEBUG = 3 "debug",
    }
}

/// How a parameter starts: a kind and up to two numbers. Values depend on the seed and the parameter's name only.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, PartialEq, Debug)]
pub struct Init {
    /// One of the `Init::*_KIND` codes.
    pub kind: u32,
    /// First number of the kind.
    pub a: f64,
    /// Second number of the kind.
    pub b: f64,
}

impl Init {
    /// all elements `a`
    pub const CONSTANT_KIND: u32 = 0;
    /// N(a, b²)
    pub const NORMAL_KIND: u32 = 1;
    /// N(0, b²) cut at ±2 absolute, as timm 0.4.5 does
    pub const TRUNC_NORMAL_KIND: u32 = 2;
    /// U(±√(6 / (fan in + fan out))) on the (first dimension, rest) view
    pub const XAVIER_KIND: u32 = 3;
    /// U(±b)
    pub const UNIFORM_KIND: u32 = 4;
    /// all elements `a`; never trains, operations change it (running statistics), saved with what was trained
    pub const STATE_KIND: u32 = 5;

    /// All zeros.
    pub const ZEROS: Self = Self::constant(0.0);
    /// All ones.
    pub const ONES: Self = Self::constant(1.0);
    /// Xavier-uniform.
    pub const XAVIER: Self = Self { kind: Self::XAVIER_KIND, a: 0.0, b: 0.0 };

    /// Every element `v`.
    pub const fn constant(v: f64) -> Self {
        Self { kind: Self::CONSTANT_KIND, a: v, b: 0.0 }
    }
    /// Normal with mean 0.
    pub const fn normal(std: f64) -> Self {
        Self { kind: Self::NORMAL_KIND, a: 0.0, b: std }
    }
    /// Normal with mean 0, cut at ±2 (absolute, not in units of `std`).
    pub const fn trunc_normal(std: f64) -> Self {
        Self { kind: Self::TRUNC_NORMAL_KIND, a: 0.0, b: std }
    }
    /// Uniform on (−bound, bound).
    pub const fn uniform(bound: f64) -> Self {
        Self { kind: Self::UNIFORM_KIND, a: 0.0, b: bound }
    }
    /// State: starts with every element `v`, never trains, is changed by operations such as batch norm while training.
    pub const fn state(v: f64) -> Self {
        Self { kind: Self::STATE_KIND, a: v, b: 0.0 }
    }
    /// PyTorch's default for linear and convolution layers: U(±1/√fan_in).
    pub fn torch_default(fan_in: usize) -> Self {
        Self::uniform(1.0 / (fan_in.max(1) as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_code_is_named_by_its_number() {
        assert_eq!(Un::GELU.to_string(), "gelu");
        assert_eq!(Un(999).to_string(), "Un#999");
    }
}
