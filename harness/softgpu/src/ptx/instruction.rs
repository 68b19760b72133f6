//! One statement to one instruction.
use super::module::Build;
use super::{
    Address, Alu, Atomic, Carry, CarryWhat, Compare, Convert, Instruction, Logic, Op, Operand, PtxError, Reg,
    Round, Shuffle, Space, Special, Test, Ty,
};
use std::collections::HashMap;

/// What a name of a variable stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Symbol {
    Param(u64),
    Local(u64),
    Shared(u64),
    Global(u64),
}

/// Names of one expansion of a function.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) registers: HashMap<String, Reg>,
    pub(super) symbols: HashMap<String, Symbol>,
    carry: Option<Reg>,
}

impl Scope {
    pub(super) fn new(symbols: HashMap<String, Symbol>) -> Self {
        Self { registers: HashMap::new(), symbols, carry: None }
    }

    /// A function called from here: module variables are the same, registers are its own.
    pub(super) fn inside(&self) -> Self {
        let module = self.symbols.iter().filter(|(_, s)| matches!(s, Symbol::Global(_) | Symbol::Shared(_)));
        Self::new(module.map(|(name, symbol)| (name.clone(), *symbol)).collect())
    }
}

/// `12`, `-3`, `0x1F`, `0f3F800000`, `0d3FF0000000000000`, with the bits as they are stored.
pub(super) fn number(text: &str) -> Option<u64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let digits = digits.trim_end_matches('U');
    let value = if let Some(hex) = digits.strip_prefix("0f").or_else(|| digits.strip_prefix("0F")) {
        u64::from(u32::from_str_radix(hex, 16).ok()?)
    } else if let Some(hex) = digits.strip_prefix("0d").or_else(|| digits.strip_prefix("0D")) {
        u64::from_str_radix(hex, 16).ok()?
    } else if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()?
    } else {
        digits.parse().ok()?
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

struct Reader<'a> {
    statement: &'a str,
    scope: &'a Scope,
}

impl Reader<'_> {
    fn unknown(&self, what: &'static str) -> PtxError {
        PtxError::unknown(what, self.statement)
    }

    fn operand(&self, text: &str) -> Result<Operand, PtxError> {
        if let Some(register) = self.scope.registers.get(text) {
            return Ok(Operand::Reg(*register));
        }
        if let Some(register) = text.strip_prefix('!').and_then(|t| self.scope.registers.get(t)) {
            return Ok(Operand::Not(*register));
        }
        if let Some(symbol) = self.scope.symbols.get(text) {
            return Ok(Operand::Imm(match *symbol {
                Symbol::Param(at) | Symbol::Local(at) | Symbol::Shared(at) | Symbol::Global(at) => at,
            }));
        }
        let axis = |stem: &str| {
            let letter = text.strip_prefix(stem)?.strip_prefix('.')?;
            "xyz".find(letter)
        };
        if let Some(i) = axis("%tid") {
            return Ok(Operand::Special(Special::Tid(i)));
        }
        if let Some(i) = axis("%ntid") {
            return Ok(Operand::Special(Special::Ntid(i)));
        }
        if let Some(i) = axis("%ctaid") {
            return Ok(Operand::Special(Special::Ctaid(i)));
        }
        if let Some(i) = axis("%nctaid") {
            return Ok(Operand::Special(Special::Nctaid(i)));
        }
        if text == "%laneid" {
            return Ok(Operand::Special(Special::Lane));
        }
        number(text).map(Operand::Imm).ok_or_else(|| self.unknown("an operand"))
    }

    fn register(&self, text: &str) -> Result<Reg, PtxError> {
        self.scope.registers.get(text).copied().ok_or_else(|| self.unknown("a register"))
    }

    /// `{%r1, _, %r3}` or a single register.
    fn registers(&self, text: &str) -> Result<Vec<Reg>, PtxError> {
        elements(text).map(|t| self.register(t)).collect()
    }

    fn operands(&self, text: &str) -> Result<Vec<Operand>, PtxError> {
        elements(text).map(|t| self.operand(t)).collect()
    }

    /// `[%rd1+16]`; what a variable's name says about the space wins, since expanded calls keep parameters elsewhere.
    fn address(&self, text: &str, space: Space) -> Result<(Space, Address), PtxError> {
        let inside = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .ok_or_else(|| self.unknown("an address"))?;
        let (base, offset) = match inside.split_once('+') {
            Some((base, offset)) => {
                (base.trim(), number(offset.trim()).ok_or_else(|| self.unknown("an offset"))?)
            }
            None => (inside.trim(), 0),
        };
        let space = match self.scope.symbols.get(base) {
            Some(Symbol::Param(_)) => Space::Param,
            Some(Symbol::Local(_)) => Space::Local,
            Some(Symbol::Shared(_)) => Space::Shared,
            Some(Symbol::Global(_)) => Space::Global,
            None => space,
        };
        Ok((space, Address { base: self.operand(base)?, offset }))
    }

    fn three(&self, list: &[&str]) -> Result<[Operand; 3], PtxError> {
        let mut out = [Operand::Imm(0); 3];
        if list.len() > 3 {
            return Err(self.unknown("a number of operands"));
        }
        for (to, text) in out.iter_mut().zip(list) {
            *to = self.operand(text)?;
        }
        Ok(out)
    }
}

fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.trim_start_matches('{').trim_end_matches('}').split(',').map(str::trim)
}

/// Splits at commas outside braces, brackets and `p|q`.
fn arguments(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (i, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                out.push(text[from..i].trim());
                from = i + 1;
            }
            _ => {}
        }
    }
    let last = text[from..].trim();
    if !last.is_empty() {
        out.push(last);
    }
    out
}

fn round(words: &[&str]) -> Round {
    for word in words {
        match *word {
            "rz" | "rzi" => return Round::Zero,
            "rm" | "rmi" => return Round::Down,
            "rp" | "rpi" => return Round::Up,
            _ => {}
        }
    }
    Round::Nearest
}

fn space(words: &[&str]) -> Space {
    for word in words {
        match *word {
            "param" => return Space::Param,
            "global" | "const" => return Space::Global,
            "shared" => return Space::Shared,
            "local" => return Space::Local,
            _ => {}
        }
    }
    Space::Generic
}

fn compare(word: &str) -> Option<(Compare, bool)> {
    Some(match word {
        "eq" => (Compare::Eq, false),
        "ne" => (Compare::Ne, false),
        "lt" | "lo" => (Compare::Lt, false),
        "le" | "ls" => (Compare::Le, false),
        "gt" | "hi" => (Compare::Gt, false),
        "ge" | "hs" => (Compare::Ge, false),
        "equ" => (Compare::Eq, true),
        "neu" => (Compare::Ne, true),
        "ltu" => (Compare::Lt, true),
        "leu" => (Compare::Le, true),
        "gtu" => (Compare::Gt, true),
        "geu" => (Compare::Ge, true),
        "num" => (Compare::Num, false),
        "nan" => (Compare::Nan, false),
        _ => return None,
    })
}

/// The instruction, and the label it jumps to.
pub(super) fn read(
    statement: &str,
    build: &mut Build,
    scope: &mut Scope,
) -> Result<(Instruction, Option<String>), PtxError> {
    let unknown = |what| PtxError::unknown(what, statement);
    let (guard, text) = match statement.strip_prefix('@') {
        None => (None, statement),
        Some(rest) => {
            let (predicate, text) = rest.split_once(' ').ok_or_else(|| unknown("a guard"))?;
            let inverted = predicate.starts_with('!');
            let register = scope.registers.get(predicate.trim_start_matches('!'));
            (Some((*register.ok_or_else(|| unknown("a guard"))?, inverted)), text)
        }
    };
    let (opcode, rest) = text.split_once(' ').unwrap_or((text, ""));
    let words: Vec<&str> = opcode.split('.').collect();
    let list = arguments(rest);
    let carries = matches!(words[0], "addc" | "subc" | "madc") || words.contains(&"cc");
    if carries && scope.carry.is_none() {
        scope.carry = Some(build.register(1));
    }
    if words[0] == "bra" {
        let label = list.first().ok_or_else(|| unknown("a jump"))?;
        return Ok((Instruction { guard, op: Op::Branch { to: 0 } }, Some((*label).to_owned())));
    }
    let reader = Reader { statement, scope };
    let types: Vec<Ty> = words.iter().filter_map(|w| Ty::parse(w)).collect();
    let op =
        if carries { carry(&reader, &words, &list)? } else { operation(&reader, &words, &types, &list)? };
    Ok((Instruction { guard, op }, None))
}

fn operation(r: &Reader, words: &[&str], types: &[Ty], list: &[&str]) -> Result<Op, PtxError> {
    let ty = || types.last().copied().ok_or_else(|| r.unknown("a type"));
    let first = || list.first().copied().ok_or_else(|| r.unknown("a result"));
    let second = || list.get(1).copied().ok_or_else(|| r.unknown("an operand"));
    Ok(match words[0] {
        "ret" | "exit" => Op::Return,
        "bar" if words.contains(&"warp") => Op::SyncWarp { members: r.operand(first()?)? },
        "bar" | "barrier" => Op::Barrier,
        "mov" => match (first()?, second()?) {
            (to, from) if to.starts_with('{') => {
                let to: Result<Vec<Option<Reg>>, PtxError> =
                    elements(to).map(|t| if t == "_" { Ok(None) } else { r.register(t).map(Some) }).collect();
                let to = to?;
                Op::Unpack { bits: ty()?.bits() / to.len() as u32, to, from: r.operand(from)? }
            }
            (to, from) if from.starts_with('{') => {
                let parts = r.operands(from)?;
                Op::Pack { to: r.register(to)?, bits: ty()?.bits() / parts.len() as u32, parts }
            }
            (to, from) => Op::Move { to: r.register(to)?, from: r.operand(from)? },
        },
        "cvta" => {
            let (to, from) = (r.register(first()?)?, r.operand(second()?)?);
            let window = match space(words) {
                Space::Shared => super::SHARED_WINDOW,
                Space::Local => super::LOCAL_WINDOW,
                _ => 0,
            };
            let ty = Ty::U(64);
            match words.contains(&"to") {
                true => {
                    Op::Alu { alu: Alu::Sub, ty, to, from: [from, Operand::Imm(window), Operand::Imm(0)] }
                }
                false => {
                    let from = [from, Operand::Imm(window), Operand::Imm(0)];
                    Op::Alu { alu: Alu::Add(Round::Nearest), ty, to, from }
                }
            }
        }
        "cvt" => {
            let [.., to, from] = types else { return Err(r.unknown("a conversion")) };
            let whole = words.iter().any(|w| matches!(*w, "rni" | "rzi" | "rmi" | "rpi"));
            let saturate = words.contains(&"sat");
            let how = Convert { round: round(words), whole, saturate, to: *to, from: *from };
            Op::Convert { how, to: r.register(first()?)?, from: r.operand(second()?)? }
        }
        "bfi" => {
            let [to, from, into, position, length] = list else { return Err(r.unknown("a bit field")) };
            Op::Insert {
                bits: ty()?.bits(),
                to: r.register(to)?,
                from: [r.operand(from)?, r.operand(into)?],
                position: r.operand(position)?,
                length: r.operand(length)?,
            }
        }
        "setp" => set_predicate(r, words, ty()?, list)?,
        "set" => {
            let [result, ty] = types else { return Err(r.unknown("a comparison")) };
            let (compare, unordered) = compare(words.get(1).copied().unwrap_or_default())
                .ok_or_else(|| r.unknown("a comparison"))?;
            let [from, other, _] = r.three(&list[1..])?;
            let test = Test { compare, unordered, ty: *ty };
            Op::Set { test, result: *result, to: r.register(first()?)?, from: [from, other] }
        }
        "ld" | "ldu" => {
            let (space, at) = r.address(second()?, space(words))?;
            Op::Load { space, ty: ty()?, to: r.registers(first()?)?, at }
        }
        "st" => {
            let (space, at) = r.address(first()?, space(words))?;
            Op::Store { space, ty: ty()?, from: r.operands(second()?)?, at }
        }
        "atom" | "red" => {
            let what = match () {
                () if words.contains(&"add") => Atomic::Add,
                () if words.contains(&"min") => Atomic::Min,
                () if words.contains(&"max") => Atomic::Max,
                () if words.contains(&"exch") => Atomic::Exchange,
                () if words.contains(&"cas") => Atomic::CompareAndSwap,
                () => return Err(r.unknown("an atomic operation")),
            };
            if !matches!(ty()?, Ty::U(_) | Ty::S(_) | Ty::F32 | Ty::F64) {
                return Err(r.unknown("an atomic operation"));
            }
            let (to, list) = match words[0] {
                "atom" => (Some(r.register(first()?)?), &list[1..]),
                _ => (None, list),
            };
            let (space, at) =
                r.address(list.first().ok_or_else(|| r.unknown("an address"))?, space(words))?;
            let [from, other, _] = r.three(&list[1..])?;
            Op::Atomic { space, what, ty: ty()?, to, at, from: [from, other] }
        }
        "shfl" => {
            let how = match words.get(2).copied().unwrap_or_default() {
                "bfly" => Shuffle::Butterfly,
                "down" => Shuffle::Down,
                "up" => Shuffle::Up,
                "idx" => Shuffle::Index,
                _ => return Err(r.unknown("a shuffle")),
            };
            let (to, valid) = match first()?.split_once('|') {
                Some((to, valid)) => (r.register(to)?, Some(r.register(valid)?)),
                None => (r.register(first()?)?, None),
            };
            let [_, from @ .., members] = list else { return Err(r.unknown("a shuffle")) };
            Op::Shuffle { how, to, valid, from: r.three(from)?, members: r.operand(members)? }
        }
        _ => {
            let (alu, ty) = alu(words, ty()?).ok_or_else(|| r.unknown("an instruction"))?;
            Op::Alu { alu, ty, to: r.register(first()?)?, from: r.three(&list[1..])? }
        }
    })
}

fn alu(words: &[&str], ty: Ty) -> Option<(Alu, Ty)> {
    let round = round(words);
    Some((
        match words[0] {
            "add" => Alu::Add(round),
            "sub" => Alu::Sub,
            "mul" if words.contains(&"hi") => Alu::MulHi,
            "mul" if words.contains(&"wide") => Alu::MulWide,
            "mul" => Alu::Mul,
            "mad" if words.contains(&"wide") => Alu::MadWide,
            "mad" if words.contains(&"lo") => Alu::Mad,
            "mad" | "fma" if matches!(ty, Ty::F16 | Ty::Bf16 | Ty::Bf16x2 | Ty::F32 | Ty::F64) => {
                Alu::Fma(round)
            }
            "div" => Alu::Div,
            "rem" => Alu::Rem,
            "min" => Alu::Min,
            "max" => Alu::Max,
            "and" => Alu::And,
            "or" => Alu::Or,
            "xor" => Alu::Xor,
            "not" => Alu::Not,
            "neg" => Alu::Neg,
            "abs" => Alu::Abs,
            "shl" => Alu::Shl,
            "shr" => Alu::Shr,
            "shf" if words.contains(&"wrap") && words[1] == "l" => Alu::FunnelLeft,
            "shf" if words.contains(&"wrap") && words[1] == "r" => Alu::FunnelRight,
            "clz" => Alu::LeadingZeros,
            "selp" => Alu::Select,
            "copysign" => Alu::CopySign,
            "rcp" => Alu::Rcp,
            "sqrt" => Alu::Sqrt,
            "rsqrt" => Alu::Rsqrt,
            "ex2" => Alu::Exp2,
            "lg2" => Alu::Log2,
            "sin" => Alu::Sin,
            "cos" => Alu::Cos,
            "tanh" => Alu::Tanh,
            _ => return None,
        },
        ty,
    ))
}

/// `setp.lt.and.f32 %p1|%p2, a, b, %p3`
fn set_predicate(r: &Reader, words: &[&str], ty: Ty, list: &[&str]) -> Result<Op, PtxError> {
    let (compare, unordered) =
        compare(words.get(1).copied().unwrap_or_default()).ok_or_else(|| r.unknown("a comparison"))?;
    let [to, from @ ..] = list else { return Err(r.unknown("a comparison")) };
    let (to, other) = match to.split_once('|') {
        Some((to, other)) => (r.register(to)?, Some(r.register(other)?)),
        None => (r.register(to)?, None),
    };
    let [a, b, c] = r.three(from)?;
    let and = match words.get(2).copied().unwrap_or_default() {
        "and" => Some((Logic::And, c)),
        "or" => Some((Logic::Or, c)),
        "xor" => Some((Logic::Xor, c)),
        _ => None,
    };
    Ok(Op::SetPredicate { test: Test { compare, unordered, ty }, to, other, from: [a, b], and })
}

/// `add.cc.u32`, `addc.u32`, `mad.lo.cc.u32`, `madc.hi.cc.u32` …
fn carry(r: &Reader, words: &[&str], list: &[&str]) -> Result<Op, PtxError> {
    let what = match words[0] {
        "add" | "addc" => CarryWhat::Add,
        "sub" | "subc" => CarryWhat::Sub,
        "mad" | "madc" if words.contains(&"hi") => CarryWhat::MadHigh,
        "mad" | "madc" => CarryWhat::MadLow,
        _ => return Err(r.unknown("an instruction with carry")),
    };
    let ty = words.last().and_then(|w| Ty::parse(w)).ok_or_else(|| r.unknown("a type"))?;
    let [to, from @ ..] = list else { return Err(r.unknown("an instruction with carry")) };
    Ok(Op::Carry {
        carry: Carry { what, takes: words[0].ends_with('c'), gives: words.contains(&"cc") },
        bits: ty.bits(),
        to: r.register(to)?,
        from: r.three(from)?,
        flag: r.scope.carry.ok_or_else(|| r.unknown("a carry flag"))?,
    })
}
