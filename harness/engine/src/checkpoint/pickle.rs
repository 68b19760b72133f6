//! An interpreter for pickles that builds data and executes nothing.
//!
//! A pickle is a program for a stack machine whose dangerous instruction is "call this function".
//! Here a call is only ever a lookup in [`reduce`], the list of constructors that PyTorch
//! checkpoints use; they build values of our own. Any other callable is an error that names it.
//! Values live in one arena and refer to each other by number, which allows the shared and
//! self-referring containers pickles can express. Format: PEP 307, 3154, 574 and `pickletools`.
use super::constructors::reduce;
use std::collections::HashMap;

/// Number of a value in the arena.
pub(super) type Id = usize;

/// A value of a pickle.
#[derive(Clone, Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    /// Pairs in order of insertion.
    Dict(Vec<(Id, Id)>),
    /// A function or class by name; never called.
    Global(String),
    /// Reference to data outside the pickle.
    Persistent(Id),
    /// A tensor: storage, offset, size, stride, all in elements.
    Tensor {
        storage: Id,
        offset: usize,
        size: Vec<usize>,
        stride: Vec<usize>,
    },
    /// An object of a known harmless class with its state.
    Object {
        class: String,
        state: Option<Id>,
    },
}

/// A decoded pickle.
pub(super) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
    /// Bytes of input used.
    pub(super) used: usize,
}

pub(super) type Step<T> = Result<T, String>;

/// Decodes the pickle at the start of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Step<Pickle> {
    let mut machine = Machine {
        bytes,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = machine.run()?;
    Ok(Pickle { nodes: machine.nodes, root, used: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("the pickle ends in the middle, at byte {}", self.at))?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    fn uint(&mut self, n: usize) -> Step<u64> {
        Ok(self.take(n)?.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b)))
    }

    fn len(&mut self, n: usize) -> Step<usize> {
        usize::try_from(self.uint(n)?).map_err(|_| "a length exceeds memory".to_owned())
    }

    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|&b| b == b'\n').ok_or("a text line does not end")?;
        let line = text(&rest[..n])?;
        self.at += n + 1;
        Ok(line)
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(format!("the stack is empty at byte {}", self.at));
        }
        self.stack.pop().ok_or_else(|| "the stack is empty".to_owned())
    }

    fn top(&self) -> Step<Id> {
        self.stack.last().copied().ok_or_else(|| "the stack is empty".to_owned())
    }

    fn pop_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn memoize(&mut self, key: u64) -> Step<()> {
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Step<()> {
        let id = *self.memo.get(&key).ok_or_else(|| format!("memo entry {key} does not exist"))?;
        self.stack.push(id);
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Step<()> {
        let target = self.top()?;
        match &mut self.nodes[target] {
            Node::List(list) => list.extend(items),
            // objects of list-like classes: their items are not needed
            Node::Object { .. } => {}
            other => return Err(format!("cannot append to {other:?}")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Step<()> {
        let target = self.top()?;
        let next = self.nodes.len();
        match &mut self.nodes[target] {
            Node::Dict(dict) => dict.extend(items.chunks_exact(2).map(|p| (p[0], p[1]))),
            Node::Object { state, .. } => {
                // a dict-like object: its items become its state
                let pairs = items.chunks_exact(2).map(|p| (p[0], p[1])).collect();
                *state = Some(next);
                self.nodes.push(Node::Dict(pairs));
            }
            other => return Err(format!("cannot set items of {other:?}")),
        }
        Ok(())
    }

    fn run(&mut self) -> Step<Id> {
        loop {
            let op = self.take(1)?[0];
            match op {
                0x80 => drop(self.take(1)?),               // PROTO
                0x95 => drop(self.take(8)?),               // FRAME
                b'.' => return self.pop(),                 // STOP
                b'(' => self.marks.push(self.stack.len()), // MARK
                b'0' => drop(self.pop()?),                 // POP
                b'1' => drop(self.pop_mark()?),            // POP_MARK
                b'2' => self.stack.push(self.top()?),      // DUP
                b'N' => self.push(Node::None),             // NONE
                0x88 => self.push(Node::Bool(true)),       // NEWTRUE
                0x89 => self.push(Node::Bool(false)),      // NEWFALSE
                b'K' => {
                    let v = self.uint(1)?;
                    self.push(Node::Int(v as i64));
                } // BININT1
                b'M' => {
                    let v = self.uint(2)?;
                    self.push(Node::Int(v as i64));
                } // BININT2
                b'J' => {
                    let v = self.uint(4)?;
                    self.push(Node::Int(i64::from(v as u32 as i32)));
                } // BININT
                b'I' | b'L' => {
                    let v = self.line()?;
                    self.push(integer_line(&v)?);
                } // INT, LONG
                b'F' => {
                    let v = self.line()?;
                    self.push(Node::Float(v.parse().map_err(|_| format!("{v} is no number"))?));
                } // FLOAT
                b'G' => {
                    let b = self.take(8)?;
                    self.push(Node::Float(big_endian(b)));
                } // BINFLOAT
                0x8a => {
                    let n = self.len(1)?;
                    let b = self.take(n)?;
                    self.push(long(b));
                } // LONG1
                0x8b => {
                    let n = self.len(4)?;
                    let b = self.take(n)?;
                    self.push(long(b));
                } // LONG4
                b'S' | b'V' => {
                    let v = self.line()?;
                    self.push(Node::Text(v.trim_matches(['\'', '"']).to_owned()));
                } // STRING, UNICODE
                b'U' => self.bytes_or_text(1)?,            // SHORT_BINSTRING
                b'T' => self.bytes_or_text(4)?,            // BINSTRING
                0x8c => self.text(1)?,                     // SHORT_BINUNICODE
                b'X' => self.text(4)?,                     // BINUNICODE
                0x8d => self.text(8)?,                     // BINUNICODE8
                b'C' => self.raw(1)?,                      // SHORT_BINBYTES
                b'B' => self.raw(4)?,                      // BINBYTES
                0x8e | 0x96 => self.raw(8)?,               // BINBYTES8, BYTEARRAY8
                b')' => self.push(Node::Tuple(Vec::new())), // EMPTY_TUPLE
                b']' | 0x8f => self.push(Node::List(Vec::new())), // EMPTY_LIST, EMPTY_SET
                b'}' => self.push(Node::Dict(Vec::new())), // EMPTY_DICT
                b't' => {
                    let v = self.pop_mark()?;
                    self.push(Node::Tuple(v));
                } // TUPLE
                b'l' | 0x91 => {
                    let v = self.pop_mark()?;
                    self.push(Node::List(v));
                } // LIST, FROZENSET
                b'd' => {
                    // DICT
                    let v = self.pop_mark()?;
                    self.push(Node::Dict(v.chunks_exact(2).map(|p| (p[0], p[1])).collect()));
                }
                0x85..=0x87 => {
                    // TUPLE1, 2, 3
                    let n = usize::from(op - 0x84);
                    let mut v = (0..n).map(|_| self.pop()).collect::<Step<Vec<_>>>()?;
                    v.reverse();
                    self.push(Node::Tuple(v));
                }
                b'a' => {
                    let v = self.pop()?;
                    self.append(vec![v])?;
                } // APPEND
                b'e' | 0x90 => {
                    let v = self.pop_mark()?;
                    self.append(v)?;
                } // APPENDS, ADDITEMS
                b's' => {
                    let v = self.pop()?;
                    let k = self.pop()?;
                    self.set_items(&[k, v])?;
                } // SETITEM
                b'u' => {
                    let v = self.pop_mark()?;
                    self.set_items(&v)?;
                } // SETITEMS
                b'p' => {
                    let k = number(&self.line()?)?;
                    self.memoize(k)?;
                } // PUT
                b'q' => {
                    let k = self.uint(1)?;
                    self.memoize(k)?;
                } // BINPUT
                b'r' => {
                    let k = self.uint(4)?;
                    self.memoize(k)?;
                } // LONG_BINPUT
                0x94 => {
                    let k = self.memo.len() as u64;
                    self.memoize(k)?;
                } // MEMOIZE
                b'g' => {
                    let k = number(&self.line()?)?;
                    self.recall(k)?;
                } // GET
                b'h' => {
                    let k = self.uint(1)?;
                    self.recall(k)?;
                } // BINGET
                b'j' => {
                    let k = self.uint(4)?;
                    self.recall(k)?;
                } // LONG_BINGET
                b'c' => {
                    // GLOBAL
                    let name = format!("{}.{}", self.line()?, self.line()?);
                    self.push(Node::Global(name));
                }
                0x93 => {
                    // STACK_GLOBAL
                    let (name, module) = (self.pop()?, self.pop()?);
                    let name = format!("{}.{}", self.as_text(module)?, self.as_text(name)?);
                    self.push(Node::Global(name));
                }
                b'Q' => {
                    let v = self.pop()?;
                    self.push(Node::Persistent(v));
                } // BINPERSID
                b'R' | 0x81 => {
                    let args = self.pop()?;
                    let callee = self.pop()?;
                    self.call(callee, args)?;
                } // REDUCE, NEWOBJ
                0x92 => {
                    let _keywords = self.pop()?;
                    let args = self.pop()?;
                    let callee = self.pop()?;
                    self.call(callee, args)?;
                } // NEWOBJ_EX
                b'b' => {
                    let state = self.pop()?;
                    self.build(state)?;
                } // BUILD
                other => {
                    return Err(format!(
                        "pickle instruction 0x{other:02x} at byte {} is not supported",
                        self.at - 1
                    ));
                }
            }
        }
    }

    fn text(&mut self, n: usize) -> Step<()> {
        let n = self.len(n)?;
        let v = text(self.take(n)?)?;
        self.push(Node::Text(v));
        Ok(())
    }

    fn raw(&mut self, n: usize) -> Step<()> {
        let n = self.len(n)?;
        let v = self.take(n)?.to_vec();
        self.push(Node::Bytes(v));
        Ok(())
    }

    /// A Python 2 string: text if it is UTF-8.
    fn bytes_or_text(&mut self, n: usize) -> Step<()> {
        let n = self.len(n)?;
        let v = self.take(n)?;
        self.push(text(v).map_or_else(|_| Node::Bytes(v.to_vec()), Node::Text));
        Ok(())
    }

    fn as_text(&self, id: Id) -> Step<&str> {
        match &self.nodes[id] {
            Node::Text(text) => Ok(text),
            other => Err(format!("expected text, got {other:?}")),
        }
    }

    fn call(&mut self, callee: Id, args: Id) -> Step<()> {
        let (Node::Global(name), Node::Tuple(args)) = (&self.nodes[callee], &self.nodes[args]) else {
            return Err("a call of something that is not a named function".to_owned());
        };
        let node = reduce(name, args, &self.nodes)?;
        self.push(node);
        Ok(())
    }

    /// Sets the state of an object. Containers ignore theirs (an `OrderedDict` of PyTorch carries
    /// module versions there).
    fn build(&mut self, new: Id) -> Step<()> {
        let target = self.top()?;
        match &mut self.nodes[target] {
            // a dtype's name came with its constructor; its state is byte order and alignment
            Node::Object { class, .. } if class == "numpy.dtype" => {}
            Node::Object { state, .. } => *state = Some(new),
            Node::Dict(_) | Node::List(_) | Node::Tensor { .. } => {}
            other => return Err(format!("cannot set the state of {other:?}")),
        }
        Ok(())
    }
}

pub(super) fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b))
}

fn big_endian(bytes: &[u8]) -> f64 {
    f64::from_bits(bytes.iter().fold(0, |v, &b| v << 8 | u64::from(b)))
}

fn text(bytes: &[u8]) -> Step<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "text is not UTF-8".to_owned())
}

fn number(line: &str) -> Step<u64> {
    line.trim().parse().map_err(|_| format!("{line} is no number"))
}

fn integer_line(line: &str) -> Step<Node> {
    match line {
        "00" => Ok(Node::Bool(false)),
        "01" => Ok(Node::Bool(true)),
        _ => line.trim_end_matches('L').parse().map(Node::Int).map_err(|_| format!("{line} is no integer")),
    }
}

/// Two's complement of any length; beyond 64 bits only the fact that it is large matters.
fn long(bytes: &[u8]) -> Node {
    if bytes.len() > 8 {
        return Node::Bytes(bytes.to_vec());
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let fill = if negative { u64::MAX } else { 0 };
    let value = bytes.iter().rev().fold(fill, |v, &b| v << 8 | u64::from(b));
    Node::Int(value as i64)
}
