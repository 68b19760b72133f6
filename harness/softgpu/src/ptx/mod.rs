//! Kernels as the interpreter runs them, and the reader of PTX that makes them.
//!
//! PTX is the text that the CUDA compiler writes and the program embeds, so what runs here is what the driver of a GPU
//! would translate. Only what the compiler writes for our kernels and candle's is known; anything else is an error
//! that names the instruction. Calls are expanded in place: device functions are not recursive.
//! Source: NVIDIA, "Parallel Thread Execution ISA", version 9.0.
mod instruction;
mod module;

pub use module::Module;

/// What went wrong while reading a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PtxError {
    /// An instruction, directive or operand that is not known here.
    #[error("softgpu: {what} is not known here, in `{statement}`")]
    Unknown {
        /// What kind of thing it is.
        what: &'static str,
        /// The statement it stands in.
        statement: String,
    },
    /// No such kernel.
    #[error("softgpu: no kernel `{0}` in this module")]
    NoKernel(String),
}

impl PtxError {
    pub(crate) fn unknown(what: &'static str, statement: &str) -> Self {
        Self::Unknown { what, statement: statement.to_owned() }
    }
}

/// Element types of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    Pred,
    /// Bits or unsigned, by width.
    U(u32),
    /// Signed, by width.
    S(u32),
    F16,
    Bf16,
    Bf16x2,
    F32,
    F64,
}

impl Ty {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "pred" => Self::Pred,
            "u8" | "b8" => Self::U(8),
            "u16" | "b16" => Self::U(16),
            "u32" | "b32" => Self::U(32),
            "u64" | "b64" => Self::U(64),
            "s8" => Self::S(8),
            "s16" => Self::S(16),
            "s32" => Self::S(32),
            "s64" => Self::S(64),
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "bf16x2" => Self::Bf16x2,
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => return None,
        })
    }

    /// Width, bits.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Pred => 1,
            Self::U(n) | Self::S(n) => n,
            Self::F16 | Self::Bf16 => 16,
            Self::F32 | Self::Bf16x2 => 32,
            Self::F64 => 64,
        }
    }

    pub(crate) fn bytes(self) -> usize {
        self.bits().div_ceil(8) as usize
    }
}

/// Number of a register; each holds 64 bits for each of the 32 lanes.
pub(crate) type Reg = u32;

/// What an instruction reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    Reg(Reg),
    /// A predicate, inverted.
    Not(Reg),
    Imm(u64),
    Special(Special),
}

/// Registers the hardware sets; the number is the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    Tid(usize),
    Ntid(usize),
    Ctaid(usize),
    Nctaid(usize),
    Lane,
}

/// Where an address points. Parameters of expanded calls are local memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Param,
    Global,
    Shared,
    Local,
    /// Found from the address itself.
    Generic,
}

/// Where the windows of shared and local memory begin in generic addresses.
pub(crate) const SHARED_WINDOW: u64 = 0x7100_0000_0000_0000;
pub(crate) const LOCAL_WINDOW: u64 = 0x7200_0000_0000_0000;

/// An address: a base, and bytes to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) base: Operand,
    pub(crate) offset: u64,
}

/// Arithmetic of one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alu {
    Add(Round),
    Sub,
    Mul,
    MulHi,
    MulWide,
    Mad,
    MadWide,
    Fma(Round),
    Div,
    Rem,
    Min,
    Max,
    And,
    Or,
    Xor,
    Not,
    Neg,
    Abs,
    Shl,
    Shr,
    FunnelLeft,
    FunnelRight,
    LeadingZeros,
    Select,
    CopySign,
    Rcp,
    Sqrt,
    Rsqrt,
    Exp2,
    Log2,
    Sin,
    Cos,
    Tanh,
}

/// Direction of rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    Nearest,
    Zero,
    Down,
    Up,
}

/// Arithmetic with the carry flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carry {
    pub(crate) what: CarryWhat,
    pub(crate) takes: bool,
    pub(crate) gives: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CarryWhat {
    Add,
    Sub,
    MadLow,
    MadHigh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Both are numbers.
    Num,
    /// One is not.
    Nan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logic {
    And,
    Or,
    Xor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Atomic {
    Add,
    Min,
    Max,
    Exchange,
    CompareAndSwap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shuffle {
    Butterfly,
    Down,
    Up,
    Index,
}

/// How `cvt` rounds and clamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Convert {
    pub(crate) round: Round,
    /// To a whole number.
    pub(crate) whole: bool,
    pub(crate) saturate: bool,
    pub(crate) to: Ty,
    pub(crate) from: Ty,
}

/// A comparison: `unordered` ones are true where a NaN is involved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) compare: Compare,
    pub(crate) unordered: bool,
    pub(crate) ty: Ty,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Move {
        to: Reg,
        from: Operand,
    },
    Pack {
        to: Reg,
        parts: Vec<Operand>,
        bits: u32,
    },
    Unpack {
        to: Vec<Option<Reg>>,
        from: Operand,
        bits: u32,
    },
    Alu {
        alu: Alu,
        ty: Ty,
        to: Reg,
        from: [Operand; 3],
    },
    Carry {
        carry: Carry,
        bits: u32,
        to: Reg,
        from: [Operand; 3],
        flag: Reg,
    },
    Convert {
        how: Convert,
        to: Reg,
        from: Operand,
    },
    /// `length` bits of the first into the second from `position` on.
    Insert {
        bits: u32,
        to: Reg,
        from: [Operand; 2],
        position: Operand,
        length: Operand,
    },
    SetPredicate {
        test: Test,
        to: Reg,
        other: Option<Reg>,
        from: [Operand; 2],
        and: Option<(Logic, Operand)>,
    },
    Set {
        test: Test,
        result: Ty,
        to: Reg,
        from: [Operand; 2],
    },
    Load {
        space: Space,
        ty: Ty,
        to: Vec<Reg>,
        at: Address,
    },
    Store {
        space: Space,
        ty: Ty,
        from: Vec<Operand>,
        at: Address,
    },
    Atomic {
        space: Space,
        what: Atomic,
        ty: Ty,
        to: Option<Reg>,
        at: Address,
        from: [Operand; 2],
    },
    Shuffle {
        how: Shuffle,
        to: Reg,
        valid: Option<Reg>,
        from: [Operand; 3],
        members: Operand,
    },
    /// Waits for the lanes named, which run in step here.
    SyncWarp {
        members: Operand,
    },
    Barrier,
    Branch {
        to: u32,
    },
    /// A failed `assert`.
    Fail,
    Return,
}

/// An instruction, run where its guard holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) guard: Option<(Reg, bool)>,
    pub(crate) op: Op,
}

/// A kernel ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    /// Offset and size of each parameter, bytes.
    pub(crate) parameters: Vec<(usize, usize)>,
    pub(crate) code: Vec<Instruction>,
    /// Width of each register, bits.
    pub(crate) registers: Vec<u32>,
    /// Shared memory with a size of its own, bytes; the launch's own comes after it.
    pub(crate) shared: usize,
    /// Local memory of a thread, bytes.
    pub(crate) local: usize,
}
