//! Arithmetic on the 32 lanes of a warp. Registers hold raw bits, zero above the width of the type.
//!
//! Floating point is computed in the type itself with IEEE rounding. The hardware's approximations (`ex2.approx` …) are
//! computed exactly and denormals are kept: results are at least as exact as a GPU's, not equal to them bit by bit.
use crate::ptx::{Alu, Carry, CarryWhat, Compare, Convert, Round, Test, Ty};
use half::{bf16, f16};

/// One value for each lane.
pub(super) type Lanes = [u64; 32];

/// The low bits that belong to a width.
pub(super) fn mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

fn signed(v: u64, bits: u32) -> i64 {
    let free = 64 - bits.min(64);
    ((v << free) as i64) >> free
}

fn each(f: impl Fn(usize) -> u64) -> Lanes {
    std::array::from_fn(f)
}

/// The result for all lanes, or nothing where the operation does not exist for the type.
pub(super) fn compute(alu: Alu, ty: Ty, a: &Lanes, b: &Lanes, c: &Lanes) -> Option<Lanes> {
    let f = |v: u64| f32::from_bits(v as u32);
    let bits = |v: f32| u64::from(v.to_bits());
    match ty {
        // the commonest first: the same results as below, sooner
        Ty::F32 if alu == Alu::Add(Round::Nearest) => Some(each(|i| bits(f(a[i]) + f(b[i])))),
        Ty::F32 if alu == Alu::Sub => Some(each(|i| bits(f(a[i]) - f(b[i])))),
        Ty::F32 if alu == Alu::Mul => Some(each(|i| bits(f(a[i]) * f(b[i])))),
        Ty::F32 if alu == Alu::Fma(Round::Nearest) => Some(fused(a, b, c)),
        Ty::F16 | Ty::Bf16 | Ty::F32 | Ty::F64 => float(alu, ty, a, b, c),
        Ty::Bf16x2 => {
            let low = |l: &Lanes| each(|i| l[i] & 0xffff);
            let high = |l: &Lanes| each(|i| l[i] >> 16 & 0xffff);
            let x = compute(alu, Ty::Bf16, &low(a), &low(b), &low(c))?;
            let y = compute(alu, Ty::Bf16, &high(a), &high(b), &high(c))?;
            Some(each(|i| x[i] | y[i] << 16))
        }
        Ty::Pred | Ty::U(_) | Ty::S(_) => integer(alu, ty, a, b, c),
    }
}

/// `a · b + c` in f32, rounded once. Without the instruction the standard library computes it digit by digit.
fn fused(a: &Lanes, b: &Lanes, c: &Lanes) -> Lanes {
    #[inline]
    fn all(a: &Lanes, b: &Lanes, c: &Lanes) -> Lanes {
        let f = |v: u64| f32::from_bits(v as u32);
        each(|i| u64::from(f(a[i]).mul_add(f(b[i]), f(c[i])).to_bits()))
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn with_instruction(a: &Lanes, b: &Lanes, c: &Lanes) -> Lanes {
            all(a, b, c)
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both.
            return unsafe { with_instruction(a, b, c) };
        }
    }
    all(a, b, c)
}

fn integer(alu: Alu, ty: Ty, a: &Lanes, b: &Lanes, c: &Lanes) -> Option<Lanes> {
    let bits = ty.bits();
    let m = mask(bits);
    let is_signed = matches!(ty, Ty::S(_));
    let s = |v: u64| signed(v, bits);
    Some(match alu {
        Alu::Add(_) => each(|i| a[i].wrapping_add(b[i]) & m),
        Alu::Sub => each(|i| a[i].wrapping_sub(b[i]) & m),
        Alu::Mul => each(|i| a[i].wrapping_mul(b[i]) & m),
        Alu::Mad => each(|i| a[i].wrapping_mul(b[i]).wrapping_add(c[i]) & m),
        Alu::MulHi if is_signed => each(|i| ((i128::from(s(a[i])) * i128::from(s(b[i]))) >> bits) as u64 & m),
        Alu::MulHi => each(|i| ((u128::from(a[i] & m) * u128::from(b[i] & m)) >> bits) as u64 & m),
        Alu::MulWide if is_signed => each(|i| s(a[i]).wrapping_mul(s(b[i])) as u64 & mask(2 * bits)),
        Alu::MulWide => each(|i| (a[i] & m).wrapping_mul(b[i] & m) & mask(2 * bits)),
        Alu::MadWide if is_signed => {
            each(|i| (s(a[i]).wrapping_mul(s(b[i])) as u64).wrapping_add(c[i]) & mask(2 * bits))
        }
        Alu::MadWide => each(|i| (a[i] & m).wrapping_mul(b[i] & m).wrapping_add(c[i]) & mask(2 * bits)),
        // a division by zero gives all ones on the hardware
        Alu::Div if is_signed => {
            each(|i| if b[i] & m == 0 { m } else { s(a[i]).wrapping_div(s(b[i])) as u64 & m })
        }
        Alu::Div => each(|i| (a[i] & m).checked_div(b[i] & m).unwrap_or(m)),
        Alu::Rem if is_signed => {
            each(|i| if b[i] & m == 0 { a[i] } else { s(a[i]).wrapping_rem(s(b[i])) as u64 & m })
        }
        Alu::Rem => each(|i| (a[i] & m).checked_rem(b[i] & m).unwrap_or(a[i] & m)),
        Alu::Min if is_signed => each(|i| s(a[i]).min(s(b[i])) as u64 & m),
        Alu::Min => each(|i| (a[i] & m).min(b[i] & m)),
        Alu::Max if is_signed => each(|i| s(a[i]).max(s(b[i])) as u64 & m),
        Alu::Max => each(|i| (a[i] & m).max(b[i] & m)),
        Alu::And => each(|i| a[i] & b[i] & m),
        Alu::Or => each(|i| (a[i] | b[i]) & m),
        Alu::Xor => each(|i| (a[i] ^ b[i]) & m),
        Alu::Not => each(|i| !a[i] & m),
        Alu::Neg => each(|i| a[i].wrapping_neg() & m),
        Alu::Abs => each(|i| s(a[i]).unsigned_abs() & m),
        // shifts clamp at the width; the amount is 32 bits
        Alu::Shl => each(|i| a[i].checked_shl(b[i] as u32).filter(|_| (b[i] as u32) < bits).unwrap_or(0) & m),
        Alu::Shr if is_signed => each(|i| (s(a[i]) >> (b[i] as u32).min(bits - 1)) as u64 & m),
        Alu::Shr => each(|i| (a[i] & m).checked_shr(b[i] as u32).unwrap_or(0)),
        Alu::FunnelLeft => each(|i| ((((b[i] << 32) | (a[i] & mask(32))) << (c[i] & 31)) >> 32) & m),
        Alu::FunnelRight => each(|i| (((b[i] << 32) | (a[i] & mask(32))) >> (c[i] & 31)) & m),
        Alu::LeadingZeros => each(|i| u64::from((a[i] & m).leading_zeros() - (64 - bits))),
        Alu::Select => each(|i| if c[i] & 1 == 1 { a[i] & m } else { b[i] & m }),
        _ => return None,
    })
}

/// `bfi`: `length` bits of `a` into `b` from bit `position` on.
pub(super) fn insert_bits(bits: u32, a: u64, b: u64, position: u64, length: u64) -> u64 {
    let (position, length) = ((position & 0xff) as u32, (length & 0xff) as u32);
    if position >= bits {
        return b;
    }
    let field = mask(length.min(bits - position)) << position;
    (b & !field) | (a << position & field)
}

fn float(alu: Alu, ty: Ty, a: &Lanes, b: &Lanes, c: &Lanes) -> Option<Lanes> {
    let round = match alu {
        Alu::Add(r) | Alu::Fma(r) => r,
        _ => Round::Nearest,
    };
    let mut out = [0; 32];
    for i in 0..32 {
        out[i] = match alu {
            Alu::Select => [b[i], a[i]][(c[i] & 1) as usize],
            _ => {
                let [x, y, z] = [a[i], b[i], c[i]].map(|v| to_f64(ty, v));
                from_f64(ty, f64_exact(alu, x, y, z)?, round)
            }
        };
    }
    Some(out)
}

/// In f64; a sum, product, quotient or root of two f32 rounds to f32 from there as if it had been rounded once.
fn f64_exact(alu: Alu, x: f64, y: f64, z: f64) -> Option<f64> {
    Some(match alu {
        Alu::Add(Round::Nearest) => x + y,
        Alu::Add(round) => {
            let sum = x + y;
            let back = sum - x;
            let error = (x - (sum - back)) + (y - back); // exact
            directed(sum, error, round)
        }
        Alu::Sub => x - y,
        Alu::Mul => x * y,
        Alu::Fma(_) => x.mul_add(y, z),
        Alu::Div => x / y,
        Alu::Min => x.min(y),
        Alu::Max => x.max(y),
        Alu::Neg => -x,
        Alu::Abs => x.abs(),
        Alu::CopySign => y.copysign(x),
        Alu::Rcp => 1.0 / x,
        Alu::Sqrt => x.sqrt(),
        Alu::Rsqrt => 1.0 / x.sqrt(),
        Alu::Exp2 => x.exp2(),
        Alu::Log2 => x.log2(),
        Alu::Sin => x.sin(),
        Alu::Cos => x.cos(),
        Alu::Tanh => x.tanh(),
        _ => return None,
    })
}

/// The neighbour of `v` in the direction of rounding, if the exact value is `v + error`.
fn directed(v: f64, error: f64, round: Round) -> f64 {
    let down = error < 0.0 && (round == Round::Down || round == Round::Zero && v > 0.0);
    let up = error > 0.0 && (round == Round::Up || round == Round::Zero && v < 0.0);
    match (down, up) {
        (true, _) => v.next_down(),
        (_, true) => v.next_up(),
        _ => v,
    }
}

fn f32_bits(v: f64, round: Round) -> u64 {
    let near = v as f32;
    let (wide, up) = (f64::from(near), v > f64::from(near));
    let off = wide != v && !v.is_nan() && near.is_finite();
    let near = match round {
        Round::Down if off && !up => near.next_down(),
        Round::Up if off && up => near.next_up(),
        Round::Zero if off && wide.abs() > v.abs() => {
            if v > 0.0 {
                near.next_down()
            } else {
                near.next_up()
            }
        }
        _ => near,
    };
    u64::from(near.to_bits())
}

/// Whether the comparison holds, for each lane.
pub(super) fn test(test: Test, a: &Lanes, b: &Lanes) -> [bool; 32] {
    let bits = test.ty.bits();
    let m = mask(bits);
    let whole = |o: std::cmp::Ordering| match test.compare {
        Compare::Eq => o.is_eq(),
        Compare::Ne => o.is_ne(),
        Compare::Lt => o.is_lt(),
        Compare::Le => o.is_le(),
        Compare::Gt => o.is_gt(),
        Compare::Ge => o.is_ge(),
        Compare::Num => true,
        Compare::Nan => false,
    };
    let real = |x: f64, y: f64| match (x.partial_cmp(&y), test.compare) {
        (None, Compare::Nan) => true,
        (None, _) => test.unordered,
        (Some(o), _) => whole(o),
    };
    std::array::from_fn(|i| match test.ty {
        Ty::F32 | Ty::F64 | Ty::F16 | Ty::Bf16 => real(to_f64(test.ty, a[i]), to_f64(test.ty, b[i])),
        Ty::S(_) => whole(signed(a[i], bits).cmp(&signed(b[i], bits))),
        _ => whole((a[i] & m).cmp(&(b[i] & m))),
    })
}

fn to_f64(ty: Ty, v: u64) -> f64 {
    match ty {
        Ty::F16 => f16::from_bits(v as u16).to_f64(),
        Ty::Bf16 => bf16::from_bits(v as u16).to_f64(),
        Ty::F32 => f64::from(f32::from_bits(v as u32)),
        Ty::F64 => f64::from_bits(v),
        Ty::S(bits) => signed(v, bits) as f64,
        _ => (v & mask(ty.bits())) as f64,
    }
}

/// What `set` writes where the comparison holds.
pub(super) fn truth(ty: Ty) -> u64 {
    match ty {
        Ty::F16 => u64::from(f16::ONE.to_bits()),
        Ty::Bf16 => u64::from(bf16::ONE.to_bits()),
        Ty::F32 => u64::from(1f32.to_bits()),
        Ty::F64 => 1f64.to_bits(),
        _ => mask(ty.bits()),
    }
}

/// `cvt` on all lanes.
pub(super) fn convert_all(how: Convert, v: &Lanes) -> Lanes {
    match (how.from, how.to) {
        // between whole numbers only the width matters
        (Ty::U(from), Ty::U(to) | Ty::S(to)) if to >= from => each(|i| v[i] & mask(from)),
        (Ty::U(_) | Ty::S(_), Ty::U(to)) if to <= how.from.bits() => each(|i| v[i] & mask(to)),
        _ => each(|i| convert(how, v[i])),
    }
}

/// `cvt`. Signed results are extended to 64 bits; the register keeps as many as it has.
pub(super) fn convert(how: Convert, v: u64) -> u64 {
    let Convert { to, from, round, .. } = how;
    let is_float = |ty| matches!(ty, Ty::F16 | Ty::Bf16 | Ty::F32 | Ty::F64);
    match (is_float(from), is_float(to)) {
        (false, false) => {
            let v = match from {
                Ty::S(bits) => signed(v, bits) as u64,
                _ => v & mask(from.bits()),
            };
            match to {
                Ty::S(bits) => signed(v, bits) as u64,
                _ => v & mask(to.bits()),
            }
        }
        (false, true) => {
            // a 64-bit whole number may not fit into f64: what is lost goes into the direction of rounding
            let (near, exact) = match from {
                Ty::S(bits) => (signed(v, bits) as f64, i128::from(signed(v, bits))),
                _ => ((v & mask(from.bits())) as f64, i128::from(v & mask(from.bits()))),
            };
            match to {
                Ty::F32 if round == Round::Nearest => match from {
                    Ty::S(bits) => u64::from((signed(v, bits) as f32).to_bits()),
                    _ => u64::from(((v & mask(from.bits())) as f32).to_bits()),
                },
                Ty::F64 => directed(near, (exact - near as i128) as f64, round).to_bits(),
                _ => from_f64(to, near, round),
            }
        }
        (true, true) => {
            let mut v = to_f64(from, v);
            if how.whole {
                v = to_whole(v, round);
            }
            if how.saturate {
                v = if v.is_nan() { 0.0 } else { v.clamp(0.0, 1.0) };
            }
            from_f64(to, v, if how.whole { Round::Nearest } else { round })
        }
        (true, false) => {
            // clamps to the range of the result; NaN is 0
            let v = to_whole(to_f64(from, v), round);
            match to {
                Ty::S(64) => v as i64 as u64,
                Ty::S(bits) => (v as i64).clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) as u64,
                _ => (v as u64).min(mask(to.bits())),
            }
        }
    }
}

fn to_whole(v: f64, round: Round) -> f64 {
    match round {
        Round::Nearest => v.round_ties_even(),
        Round::Zero => v.trunc(),
        Round::Down => v.floor(),
        Round::Up => v.ceil(),
    }
}

fn from_f64(ty: Ty, v: f64, round: Round) -> u64 {
    match ty {
        Ty::F16 => u64::from(f16::from_f64(v).to_bits()),
        Ty::Bf16 => u64::from(bf16::from_f64(v).to_bits()),
        Ty::F32 => f32_bits(v, round),
        _ => v.to_bits(),
    }
}

/// Arithmetic with carry: the result, and the flag after it.
pub(super) fn with_carry(carry: Carry, bits: u32, [a, b, c]: [u64; 3], flag: bool) -> (u64, bool) {
    let m = u128::from(mask(bits));
    let [a, b, c] = [a, b, c].map(|v| u128::from(v) & m);
    let extra = u128::from(carry.takes && flag);
    let (low, high) = ((a * b) & m, (a * b) >> bits);
    let (value, out) = match carry.what {
        CarryWhat::Add => (a + b + extra, a + b + extra > m),
        CarryWhat::Sub => (a.wrapping_sub(b + extra), b + extra > a),
        CarryWhat::MadLow => (low + c + extra, low + c + extra > m),
        CarryWhat::MadHigh => (high + c + extra, high + c + extra > m),
    };
    ((value & m) as u64, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(alu: Alu, ty: Ty, a: u64, b: u64, c: u64) -> u64 {
        compute(alu, ty, &[a; 32], &[b; 32], &[c; 32]).unwrap()[31]
    }

    fn f(v: f32) -> u64 {
        u64::from(v.to_bits())
    }

    #[test]
    fn whole_numbers_wrap_and_keep_their_sign() {
        let minus = |v: i32| u64::from(v as u32);
        assert_eq!(one(Alu::Sub, Ty::S(32), 1, 2, 0), minus(-1));
        assert_eq!(one(Alu::Div, Ty::S(32), minus(-7), 2, 0), minus(-3));
        assert_eq!(one(Alu::Rem, Ty::S(32), minus(-7), 2, 0), minus(-1));
        assert_eq!(one(Alu::MulWide, Ty::S(32), minus(-3), 4, 0), -12i64 as u64);
        assert_eq!(one(Alu::MulHi, Ty::U(64), u64::MAX, 4, 0), 3);
        assert_eq!(one(Alu::Shr, Ty::S(32), minus(-8), 40, 0), minus(-1));
        assert_eq!(one(Alu::Shr, Ty::U(32), 8, 40, 0), 0);
        assert_eq!(one(Alu::Shl, Ty::U(16), 1, 16, 0), 0);
        assert_eq!(one(Alu::FunnelLeft, Ty::U(32), 0x8000_0000, 1, 1), 3);
        assert_eq!(one(Alu::LeadingZeros, Ty::U(64), 1, 0, 0), 63);
        assert_eq!(insert_bits(64, 0b101, u64::MAX, 4, 3), !0x70 | 0x50);
    }

    #[test]
    fn f32_rounds_once() {
        // (1 + 2^-23)^2 - 1 = 2^-22 + 2^-46: only a fused product keeps the second term's effect
        let x = 1.0 + f32::EPSILON;
        assert_eq!(one(Alu::Fma(Round::Nearest), Ty::F32, f(x), f(x), f(-1.0)), f(x.mul_add(x, -1.0)));
        assert_eq!(one(Alu::Add(Round::Zero), Ty::F32, f(1.0), f(1e-10), 0), f(1.0));
        assert_eq!(one(Alu::Add(Round::Zero), Ty::F32, f(0.499_999_97), f(0.5), 0), f(0.999_999_94));
        assert_eq!(one(Alu::CopySign, Ty::F32, f(-1.0), f(3.0), 0), f(-3.0));
        assert_eq!(one(Alu::Max, Ty::F32, f(f32::NAN), f(2.0), 0), f(2.0));
    }

    #[test]
    fn conversions_clamp_and_round_as_told() {
        let how = |to, from, round, whole| Convert { round, whole, saturate: false, to, from };
        assert_eq!(convert(how(Ty::S(32), Ty::F32, Round::Zero, true), f(-2.9)), -2i64 as u64);
        assert_eq!(convert(how(Ty::U(32), Ty::F32, Round::Zero, true), f(-2.9)), 0);
        assert_eq!(
            convert(how(Ty::S(32), Ty::F32, Round::Nearest, true), f(3e9)),
            i64::from(i32::MAX) as u64
        );
        assert_eq!(convert(how(Ty::F32, Ty::F32, Round::Nearest, true), f(2.5)), f(2.0));
        assert_eq!(convert(how(Ty::S(64), Ty::S(32), Round::Nearest, false), 0xffff_ffff), u64::MAX);
        assert_eq!(
            convert(how(Ty::F32, Ty::F64, Round::Down, false), 0.1f64.to_bits()),
            f(0.1f32.next_down())
        );
        assert_eq!(convert(how(Ty::F32, Ty::F64, Round::Up, false), 0.1f64.to_bits()), f(0.1));
    }

    #[test]
    fn comparisons_know_nan_and_sign() {
        let holds =
            |compare, unordered, ty, a, b| test(Test { compare, unordered, ty }, &[a; 32], &[b; 32])[0];
        assert!(!holds(Compare::Lt, false, Ty::F32, f(f32::NAN), f(1.0)));
        assert!(holds(Compare::Lt, true, Ty::F32, f(f32::NAN), f(1.0)));
        assert!(holds(Compare::Lt, false, Ty::S(32), 0xffff_ffff, 0));
        assert!(!holds(Compare::Lt, false, Ty::U(32), 0xffff_ffff, 0));
        assert!(holds(Compare::Nan, false, Ty::F64, f64::NAN.to_bits(), 0));
    }

    #[test]
    fn carries_go_on() {
        let add = |takes| Carry { what: CarryWhat::Add, takes, gives: true };
        assert_eq!(with_carry(add(false), 32, [0xffff_ffff, 1, 0], false), (0, true));
        assert_eq!(with_carry(add(true), 32, [1, 1, 0], true), (3, false));
        let high = Carry { what: CarryWhat::MadHigh, takes: true, gives: false };
        assert_eq!(with_carry(high, 32, [0xffff_ffff, 0xffff_ffff, 0], true), (0xffff_ffff, false));
    }
}
