//! 32 lanes in step.
use super::access::{Reach, Recent};
use super::alu::{self, Lanes};
use super::shared::Shared;
use super::{Block, WARP};
use crate::ptx::{Address, Instruction, Logic, Op, Operand, Reg, Shuffle, Special, Ty};

/// What a lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    AtBarrier,
    /// Waits for other lanes of the warp.
    ForLanes,
    Ended,
}

/// A set of lanes, one bit each.
type Set = u32;

pub(super) struct Warp {
    registers: Vec<Lanes>,
    local: Vec<u8>,
    /// The next instruction of each lane.
    at: [u32; WARP],
    states: [State; WARP],
    /// Number of the first lane in its block, and lanes there are.
    first: usize,
    lanes: usize,
    recent: Recent,
}

/// What follows an instruction.
enum Next {
    Go,
    /// Lanes have parted, wait or have ended; `at` and `states` say where.
    Parted,
}

impl Warp {
    /// Warp `number` of a block of `threads`, at the first instruction.
    pub(super) fn new(block: &Block, number: usize, threads: usize) -> Self {
        let first = number * WARP;
        let lanes = (threads - first).min(WARP);
        let mut states = [State::Ended; WARP];
        states[..lanes].fill(State::Running);
        Self {
            registers: vec![[0; WARP]; block.kernel.registers.len()],
            local: vec![0xff; block.kernel.local * WARP],
            at: [0; WARP],
            states,
            first,
            lanes,
            recent: Recent::default(),
        }
    }

    /// Back to the first instruction, for another block. What registers and local memory hold is undefined on a GPU too.
    pub(super) fn restart(&mut self) {
        self.at = [0; WARP];
        self.states[..self.lanes].fill(State::Running);
        self.local.fill(0xff);
    }

    pub(super) fn states(&self) -> &[State] {
        &self.states[..self.lanes]
    }

    pub(super) fn release(&mut self) {
        for state in &mut self.states {
            if *state == State::AtBarrier {
                *state = State::Running;
            }
        }
    }

    /// Runs until all lanes wait or have ended.
    pub(super) fn run(&mut self, block: &Block, shared: &mut Shared, number: usize) -> Result<(), String> {
        loop {
            // the lanes furthest behind
            let running = (0..WARP).filter(|i| self.states[*i] == State::Running);
            let Some(mut at) = running.clone().map(|i| self.at[i]).min() else { return self.nobody_waits() };
            let mut lanes: Set = running.clone().filter(|i| self.at[*i] == at).map(|i| 1 << i).sum();
            let others = running.filter(|i| self.at[*i] != at).map(|i| self.at[i]).min().unwrap_or(u32::MAX);
            loop {
                let instruction = &block.kernel.code[at as usize];
                if let Op::Shuffle { members, .. } | Op::SyncWarp { members } = &instruction.op {
                    match self.gathered(block, *members, at, lanes)? {
                        Some(all) => lanes = all,
                        None => break,
                    }
                }
                match self.step(block, shared, number, instruction, at, lanes)? {
                    Next::Go => at += 1,
                    Next::Parted => {
                        // a jump that all lanes take is the common case
                        let first = lanes.trailing_zeros() as usize;
                        let together = (0..WARP)
                            .filter(|i| lanes >> i & 1 == 1)
                            .all(|i| self.states[i] == State::Running && self.at[i] == self.at[first]);
                        if !together {
                            break;
                        }
                        at = self.at[first];
                    }
                }
                if at >= others {
                    for i in (0..WARP).filter(|i| lanes >> i & 1 == 1) {
                        self.at[i] = at;
                    }
                    break;
                }
            }
        }
    }

    fn value(&self, block: &Block, operand: Operand) -> Lanes {
        match operand {
            Operand::Reg(r) => self.registers[r as usize],
            Operand::Not(r) => self.registers[r as usize].map(|v| v ^ 1),
            Operand::Imm(v) => [v; WARP],
            Operand::Special(special) => {
                let [x, y, z] = block.shape.block.map(|n| n as usize);
                let lane = |f: fn(usize, usize, usize) -> usize| {
                    std::array::from_fn(|i| f(self.first + i, x, y) as u64)
                };
                match special {
                    Special::Tid(0) if y * z == 1 => std::array::from_fn(|i| (self.first + i) as u64),
                    Special::Tid(0) => lane(|t, x, _| t % x),
                    Special::Tid(1) => lane(|t, x, y| t / x % y),
                    Special::Tid(_) => lane(|t, x, y| t / (x * y)),
                    Special::Ntid(axis) => [u64::from(block.shape.block[axis]); WARP],
                    Special::Ctaid(axis) => [u64::from(block.place[axis]); WARP],
                    Special::Nctaid(axis) => [u64::from(block.shape.grid[axis]); WARP],
                    Special::Lane => std::array::from_fn(|i| i as u64),
                }
            }
        }
    }

    /// The same without a copy where it is a register; `spare` holds what is not.
    fn read<'a>(&'a self, block: &Block, operand: Operand, spare: &'a mut Lanes) -> &'a Lanes {
        if let Operand::Reg(r) = operand {
            return &self.registers[r as usize];
        }
        *spare = self.value(block, operand);
        spare
    }

    /// Writes the lanes of the set.
    fn write(&mut self, block: &Block, to: Reg, lanes: Set, values: &Lanes) {
        let bits = alu::mask(block.kernel.registers[to as usize]);
        let register = &mut self.registers[to as usize];
        if lanes == Set::MAX {
            for i in 0..WARP {
                register[i] = values[i] & bits;
            }
        } else {
            for i in (0..WARP).filter(|i| lanes >> i & 1 == 1) {
                register[i] = values[i] & bits;
            }
        }
    }

    fn step(
        &mut self,
        block: &Block,
        shared: &mut Shared,
        number: usize,
        instruction: &Instruction,
        at: u32,
        all: Set,
    ) -> Result<Next, String> {
        let lanes = match instruction.guard {
            None => all,
            Some((predicate, inverted)) => {
                let values = &self.registers[predicate as usize];
                let set: Set = (0..WARP).map(|i| ((values[i] & 1) as Set) << i).sum();
                all & if inverted { !set } else { set }
            }
        };
        match &instruction.op {
            Op::Branch { to } => {
                if lanes == 0 {
                    return Ok(Next::Go);
                }
                for i in (0..WARP).filter(|i| all >> i & 1 == 1) {
                    self.at[i] = if lanes >> i & 1 == 1 { *to } else { at + 1 };
                }
                return Ok(Next::Parted);
            }
            Op::Return | Op::Barrier => {
                let state = if instruction.op == Op::Return { State::Ended } else { State::AtBarrier };
                for i in (0..WARP).filter(|i| all >> i & 1 == 1) {
                    self.at[i] = at + 1;
                    if lanes >> i & 1 == 1 {
                        self.states[i] = state;
                    }
                }
                return Ok(Next::Parted);
            }
            _ if lanes == 0 => {}
            op => self.compute(block, shared, number, op, lanes)?,
        }
        Ok(Next::Go)
    }

    fn compute(
        &mut self,
        block: &Block,
        shared: &mut Shared,
        number: usize,
        op: &Op,
        lanes: Set,
    ) -> Result<(), String> {
        match op {
            Op::Move { to, from } => {
                let values = self.value(block, *from);
                self.write(block, *to, lanes, &values);
            }
            Op::Pack { to, parts, bits } => {
                let mut values = [0; WARP];
                for (k, part) in parts.iter().enumerate() {
                    let part = self.value(block, *part);
                    for i in 0..WARP {
                        values[i] |= (part[i] & alu::mask(*bits)) << (k as u32 * bits);
                    }
                }
                self.write(block, *to, lanes, &values);
            }
            Op::Unpack { to, from, bits } => {
                let values = self.value(block, *from);
                for (k, to) in to.iter().enumerate() {
                    if let Some(to) = to {
                        let part = values.map(|v| v >> (k as u32 * bits) & alu::mask(*bits));
                        self.write(block, *to, lanes, &part);
                    }
                }
            }
            Op::Alu { alu, ty, to, from } => {
                let mut spare = [[0; WARP]; 3];
                let [x, y, z] = &mut spare;
                let (a, b) = (self.read(block, from[0], x), self.read(block, from[1], y));
                let c = self.read(block, from[2], z);
                let values = alu::compute(*alu, *ty, a, b, c)
                    .ok_or_else(|| format!("{alu:?} of {ty:?} is not known here"))?;
                self.write(block, *to, lanes, &values);
            }
            Op::Insert { bits, to, from, position, length } => {
                let [a, b, p, l] = [from[0], from[1], *position, *length].map(|o| self.value(block, o));
                let values = std::array::from_fn(|i| alu::insert_bits(*bits, a[i], b[i], p[i], l[i]));
                self.write(block, *to, lanes, &values);
            }
            Op::Carry { carry, bits, to, from, flag } => {
                let [a, b, c] = from.map(|o| self.value(block, o));
                let before = self.registers[*flag as usize];
                let results: [(u64, bool); WARP] = std::array::from_fn(|i| {
                    alu::with_carry(*carry, *bits, [a[i], b[i], c[i]], before[i] & 1 == 1)
                });
                self.write(block, *to, lanes, &results.map(|(value, _)| value));
                if carry.gives {
                    self.write(block, *flag, lanes, &results.map(|(_, flag)| u64::from(flag)));
                }
            }
            Op::Convert { how, to, from } => {
                let mut spare = [0; WARP];
                let from = self.read(block, *from, &mut spare);
                let values = alu::convert_all(*how, from);
                self.write(block, *to, lanes, &values);
            }
            Op::SetPredicate { test, to, other, from, and } => {
                let mut spare = [[0; WARP]; 2];
                let [x, y] = &mut spare;
                let holds = alu::test(*test, self.read(block, from[0], x), self.read(block, from[1], y));
                let combine = |holds: bool, i: usize, with: &Option<(Logic, Lanes)>| match with {
                    None => holds,
                    Some((Logic::And, c)) => holds && c[i] & 1 == 1,
                    Some((Logic::Or, c)) => holds || c[i] & 1 == 1,
                    Some((Logic::Xor, c)) => holds != (c[i] & 1 == 1),
                };
                let with = and.map(|(logic, c)| (logic, self.value(block, c)));
                let values = std::array::from_fn(|i| u64::from(combine(holds[i], i, &with)));
                self.write(block, *to, lanes, &values);
                if let Some(other) = other {
                    let values = std::array::from_fn(|i| u64::from(combine(!holds[i], i, &with)));
                    self.write(block, *other, lanes, &values);
                }
            }
            Op::Set { test, result, to, from } => {
                let [a, b] = from.map(|o| self.value(block, o));
                let yes = alu::truth(*result);
                let values = alu::test(*test, &a, &b).map(|holds| if holds { yes } else { 0 });
                self.write(block, *to, lanes, &values);
            }
            Op::Load { space, ty, to, at } => {
                let at = self.addresses(block, *at);
                let mut values = vec![[0; WARP]; to.len()];
                self.reaching(block, shared, number, lanes, |reach, i| {
                    vector_aligned(at[i], ty.bytes() * to.len())?;
                    for (k, values) in values.iter_mut().enumerate() {
                        let raw = reach.load(*space, at[i] + (k * ty.bytes()) as u64, ty.bytes())?;
                        values[i] = match ty {
                            Ty::S(bits) => ((raw << (64 - bits)) as i64 >> (64 - bits)) as u64,
                            _ => raw,
                        };
                    }
                    Ok(())
                })?;
                for (to, values) in to.iter().zip(&values) {
                    self.write(block, *to, lanes, values);
                }
            }
            Op::Store { space, ty, from, at } => {
                let at = self.addresses(block, *at);
                let values: Vec<Lanes> = from.iter().map(|o| self.value(block, *o)).collect();
                self.reaching(block, shared, number, lanes, |reach, i| {
                    vector_aligned(at[i], ty.bytes() * values.len())?;
                    for (k, values) in values.iter().enumerate() {
                        reach.store(*space, at[i] + (k * ty.bytes()) as u64, ty.bytes(), values[i])?;
                    }
                    Ok(())
                })?;
            }
            Op::Atomic { space, what, ty, to, at, from } => {
                let at = self.addresses(block, *at);
                let [a, b] = from.map(|o| self.value(block, o));
                let mut old = [0; WARP];
                self.reaching(block, shared, number, lanes, |reach, i| {
                    old[i] = reach.atomic(*space, (*what, *ty), at[i], [a[i], b[i]])?;
                    Ok(())
                })?;
                if let Some(to) = to {
                    self.write(block, *to, lanes, &old);
                }
            }
            Op::Shuffle { how, to, valid, from, .. } => {
                let [a, b, c] = from.map(|o| self.value(block, o));
                let mut values = [0; WARP];
                let mut inside = [0; WARP];
                for i in 0..WARP {
                    let (there, good) = partner(*how, i as u64, b[i], c[i]);
                    if good && lanes >> i & 1 == 1 && lanes >> there & 1 == 0 {
                        return Err(format!(
                            "lane {i} asks lane {there}, which does not take part in the shuffle"
                        ));
                    }
                    values[i] = a[if good { there } else { i }];
                    inside[i] = u64::from(good);
                }
                self.write(block, *to, lanes, &values);
                if let Some(valid) = valid {
                    self.write(block, *valid, lanes, &inside);
                }
            }
            Op::Fail => {
                return Err(format!(
                    "thread {}: an assertion failed",
                    self.first + lanes.trailing_zeros() as usize
                ));
            }
            Op::SyncWarp { .. } | Op::Barrier | Op::Branch { .. } | Op::Return => {}
        }
        Ok(())
    }

    /// The lanes that go on together from an instruction that names them; none while some are still to come.
    fn gathered(
        &mut self,
        block: &Block,
        members: Operand,
        at: u32,
        lanes: Set,
    ) -> Result<Option<Set>, String> {
        let masks = self.value(block, members);
        let waiting = (0..WARP).filter(|i| self.states[*i] == State::ForLanes && self.at[*i] == at);
        let here: Set = lanes | waiting.map(|i| 1 << i).sum::<Set>();
        let alive: Set = (0..WARP).filter(|i| self.states[*i] != State::Ended).map(|i| 1 << i).sum();
        let set = (0..WARP).filter(|i| here >> i & 1 == 1);
        if let Some(i) = set.clone().find(|i| masks[*i] >> i & 1 == 0) {
            return Err(format!("lane {i} is not among the lanes {:#x} it waits for", masks[i]));
        }
        let complete = set.clone().all(|i| masks[i] as Set & alive & !here == 0);
        for i in set {
            self.at[i] = at;
            self.states[i] = if complete { State::Running } else { State::ForLanes };
        }
        Ok(complete.then_some(here))
    }

    /// With no lane running, none may wait for another.
    fn nobody_waits(&self) -> Result<(), String> {
        match (0..WARP).find(|i| self.states[*i] == State::ForLanes) {
            None => Ok(()),
            Some(i) => Err(format!("thread {} waits for lanes of its warp that do not come", self.first + i)),
        }
    }

    fn addresses(&self, block: &Block, at: Address) -> Lanes {
        self.value(block, at.base).map(|v| v.wrapping_add(at.offset))
    }

    fn reaching(
        &mut self,
        block: &Block,
        shared: &mut Shared,
        number: usize,
        lanes: Set,
        mut access: impl FnMut(&mut Reach, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let size = block.kernel.local;
        for i in (0..WARP).filter(|i| lanes >> i & 1 == 1) {
            let local = &mut self.local[i * size..(i + 1) * size];
            let mut reach = Reach { block, shared, local, recent: &mut self.recent, warp: number };
            access(&mut reach, i).map_err(|what| format!("thread {}: {what}", self.first + i))?;
        }
        Ok(())
    }
}

/// Vectors are aligned as a whole.
fn vector_aligned(at: u64, size: usize) -> Result<(), String> {
    match at.is_multiple_of(size as u64) {
        true => Ok(()),
        false => Err(format!("{size} bytes at {at:#x}, which is not a multiple of {size}")),
    }
}

/// Whose value lane `i` gets, and whether that lane is inside its segment (PTX, `shfl.sync`).
fn partner(how: Shuffle, i: u64, b: u64, c: u64) -> (usize, bool) {
    let (clamp, segment, b) = (c & 31, c >> 8 & 31, b & 31);
    let highest = (i & segment) | (clamp & !segment);
    let (there, good) = match how {
        Shuffle::Up => (i.wrapping_sub(b), i >= b && i - b >= highest),
        Shuffle::Down => (i + b, i + b <= highest),
        Shuffle::Butterfly => (i ^ b, i ^ b <= highest),
        Shuffle::Index => {
            let there = (i & segment) | (b & !segment);
            (there, there <= highest)
        }
    };
    ((there & 31) as usize, good)
}
