//! A module: its functions as text, its variables as memory; a kernel is read when it is first asked for.
use super::instruction::{Scope, Symbol, read as read_statement};
use super::{Instruction, Kernel, Op, PtxError, Reg, Ty};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One file of PTX.
#[derive(Debug)]
pub struct Module {
    functions: HashMap<String, Function>,
    /// Module variables in global memory.
    globals: HashMap<String, Box<[u64]>>,
    /// Shared variables of the module: name, alignment, bytes (0: as many as the launch says).
    shared: Vec<(String, usize, usize)>,
    kernels: Mutex<HashMap<String, Arc<Kernel>>>,
}

#[derive(Debug)]
struct Function {
    /// Returned values, then parameters: (name, alignment, bytes).
    results: Vec<Variable>,
    parameters: Vec<Variable>,
    statements: Vec<String>,
}

type Variable = (String, usize, usize);

impl Module {
    /// Reads the outline of a module.
    ///
    /// # Errors
    /// A directive that is not known.
    pub fn new(text: &str) -> Result<Self, PtxError> {
        let mut module = Self {
            functions: HashMap::new(),
            globals: HashMap::new(),
            shared: Vec::new(),
            kernels: Mutex::default(),
        };
        let text = without_comments(text);
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let word = rest.split_whitespace().next().unwrap_or_default();
            if matches!(word, ".version" | ".target" | ".address_size") {
                rest = rest.split_once('\n').map_or("", |(_, after)| after).trim_start();
                continue;
            }
            let end = rest.find([';', '{', '=']).unwrap_or(rest.len());
            let head = &rest[..end];
            rest = &rest[end..];
            if rest.starts_with('{') {
                let body = braces(rest);
                rest = rest[body.len() + 2..].trim_start();
                let (name, function) = function(head, body)?;
                module.functions.insert(name, function);
            } else {
                let value = rest.split(';').next().unwrap_or_default();
                rest = rest[value.len()..].trim_start_matches(';').trim_start();
                module.variable(head, value.trim_start_matches('='))?;
            }
        }
        Ok(module)
    }

    /// A variable of the module, or a prototype, which says nothing new.
    fn variable(&mut self, head: &str, value: &str) -> Result<(), PtxError> {
        if head.contains(".func") || head.contains(".entry") {
            return Ok(());
        }
        let (name, align, bytes) = variable(head)?;
        if head.contains(".shared") {
            self.shared.push((name, align, bytes));
        } else {
            let ty = element(head)?;
            let mut memory = vec![0u8; bytes.next_multiple_of(8)];
            let numbers = value.trim().trim_start_matches('{').trim_end_matches('}');
            for (i, number) in numbers.split(',').map(str::trim).filter(|n| !n.is_empty()).enumerate() {
                let number = super::instruction::number(number)
                    .ok_or_else(|| PtxError::unknown("an initial value", number))?;
                let at = i * ty.bytes();
                memory[at..at + ty.bytes()].copy_from_slice(&number.to_le_bytes()[..ty.bytes()]);
            }
            let words = memory.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap_or_default()));
            self.globals.insert(name, words.collect());
        }
        Ok(())
    }

    /// Address and bytes of each variable in global memory.
    pub(crate) fn global_ranges(&self) -> impl Iterator<Item = (u64, usize)> {
        self.globals.values().map(|m| (m.as_ptr() as u64, m.len() * 8))
    }

    /// The kernel of that name.
    ///
    /// # Errors
    /// There is none, or it holds something that is not known.
    pub(crate) fn kernel(&self, name: &str) -> Result<Arc<Kernel>, PtxError> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = kernels.get(name) {
            return Ok(Arc::clone(kernel));
        }
        let function = self.functions.get(name).ok_or_else(|| PtxError::NoKernel(name.to_owned()))?;
        let mut build = Build { module: self, code: Vec::new(), registers: Vec::new(), shared: 0, local: 0 };
        let mut symbols = HashMap::new();
        for (name, memory) in &self.globals {
            symbols.insert(name.clone(), Symbol::Global(memory.as_ptr() as u64));
        }
        // variables of a size of their own first; the launch's memory begins where they end
        let mut dynamic = Vec::new();
        for (name, align, bytes) in &self.shared {
            if *bytes == 0 {
                dynamic.push((name, *align));
                continue;
            }
            symbols.insert(name.clone(), Symbol::Shared(build.take_shared(*align, *bytes)));
        }
        let mut parameters = Vec::new();
        let mut offset = 0usize;
        for (name, align, bytes) in &function.parameters {
            offset = offset.next_multiple_of(*align);
            symbols.insert(name.clone(), Symbol::Param(offset as u64));
            parameters.push((offset, *bytes));
            offset += bytes;
        }
        // the launch's shared memory begins after the kernel's own variables, which its body declares
        let own: usize = function
            .statements
            .iter()
            .filter(|s| s.starts_with(".shared"))
            .filter_map(|s| variable(s).ok())
            .map(|(_, align, bytes)| bytes.next_multiple_of(align.max(16)))
            .sum();
        let start = (build.shared + own).next_multiple_of(16);
        for (name, _) in dynamic {
            symbols.insert(name.clone(), Symbol::Shared(start as u64));
        }
        build.expand(function, Scope::new(symbols))?;
        build.code.push(Instruction { guard: None, op: Op::Return });
        let kernel = Arc::new(Kernel {
            name: name.to_owned(),
            parameters,
            code: build.code,
            registers: build.registers,
            shared: start,
            local: build.local,
        });
        kernels.insert(name.to_owned(), Arc::clone(&kernel));
        Ok(kernel)
    }
}

/// A kernel in the making.
pub(super) struct Build<'a> {
    module: &'a Module,
    code: Vec<Instruction>,
    registers: Vec<u32>,
    shared: usize,
    local: usize,
}

impl Build<'_> {
    pub(super) fn register(&mut self, bits: u32) -> Reg {
        self.registers.push(bits);
        (self.registers.len() - 1) as Reg
    }

    fn take_shared(&mut self, align: usize, bytes: usize) -> u64 {
        let at = self.shared.next_multiple_of(align.max(1));
        self.shared = at + bytes;
        at as u64
    }

    fn take_local(&mut self, align: usize, bytes: usize) -> u64 {
        let at = self.local.next_multiple_of(align.max(1));
        self.local = at + bytes;
        at as u64
    }

    /// Appends the body of a function. Its `ret` is a jump behind it.
    fn expand(&mut self, function: &Function, mut scope: Scope) -> Result<(), PtxError> {
        let begin = self.code.len();
        let mut labels: HashMap<&str, u32> = HashMap::new();
        let mut jumps: Vec<(usize, String)> = Vec::new();
        for statement in &function.statements {
            if let Some(label) = statement.strip_suffix(':') {
                labels.insert(label, self.code.len() as u32);
            } else if statement.starts_with('.') {
                self.declare(statement, &mut scope)?;
            } else if let Some(call) = statement.strip_prefix("call") {
                self.call(call, statement, &scope)?;
            } else {
                let (instruction, target) = read_statement(statement, self, &mut scope)?;
                if let Some(target) = target {
                    jumps.push((self.code.len(), target));
                }
                self.code.push(instruction);
            }
        }
        let end = self.code.len() as u32;
        for (at, label) in jumps {
            let to = *labels.get(label.as_str()).ok_or_else(|| PtxError::unknown("a label", &label))?;
            self.code[at].op = Op::Branch { to };
        }
        for instruction in &mut self.code[begin..] {
            if instruction.op == Op::Return {
                instruction.op = Op::Branch { to: end };
            }
        }
        Ok(())
    }

    fn declare(&mut self, statement: &str, scope: &mut Scope) -> Result<(), PtxError> {
        let unknown = || PtxError::unknown("a declaration", statement);
        if let Some(rest) = statement.strip_prefix(".reg") {
            // `.reg .b32 %r<10>` or `.reg.b16 h, r`
            let (ty, names) = rest.trim_start().split_once(char::is_whitespace).ok_or_else(unknown)?;
            let bits = Ty::parse(ty.trim_start_matches('.')).ok_or_else(unknown)?.bits();
            for name in names.split(',').map(str::trim) {
                match name.split_once('<') {
                    None => {
                        let register = self.register(bits);
                        scope.registers.insert(name.to_owned(), register);
                    }
                    Some((stem, count)) => {
                        let count: usize = count.trim_end_matches('>').parse().map_err(|_| unknown())?;
                        for i in 0..count {
                            let register = self.register(bits);
                            scope.registers.insert(format!("{stem}{i}"), register);
                        }
                    }
                }
            }
        } else if statement.starts_with(".shared") {
            let (name, align, bytes) = variable(statement)?;
            let at = self.take_shared(align, bytes);
            scope.symbols.insert(name, Symbol::Shared(at));
        } else if statement.starts_with(".local") || statement.starts_with(".param") {
            let (name, align, bytes) = variable(statement)?;
            let at = self.take_local(align, bytes);
            scope.symbols.insert(name, Symbol::Local(at));
        } else if !statement.starts_with(".pragma") {
            return Err(unknown());
        }
        Ok(())
    }

    /// `call.uni (retval0), name, (param0, param1)`: the body in place, its parameters being the caller's variables.
    fn call(&mut self, call: &str, statement: &str, scope: &Scope) -> Result<(), PtxError> {
        let unknown = || PtxError::unknown("a call", statement);
        let words: Vec<&str> = call
            .split([',', '(', ')'])
            .map(|w| w.trim().trim_start_matches(".uni").trim())
            .filter(|w| !w.is_empty())
            .collect();
        if words.contains(&"__assertfail") {
            self.code.push(Instruction { guard: None, op: Op::Fail });
            return Ok(());
        }
        let callee = words.iter().position(|w| self.module.functions.contains_key(*w)).ok_or_else(unknown)?;
        let function = &self.module.functions[words[callee]];
        let mut inner = scope.inside();
        let names = function.results.iter().zip(&words[..callee]);
        for ((name, ..), given) in names.chain(function.parameters.iter().zip(&words[callee + 1..])) {
            let symbol = *scope.symbols.get(*given).ok_or_else(unknown)?;
            inner.symbols.insert(name.clone(), symbol);
        }
        self.expand(function, inner)
    }
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("/*") {
        out.push_str(&rest[..at]);
        rest = rest[at..].find("*/").map_or("", |end| &rest[at + end + 2..]);
    }
    out.push_str(rest);
    out.lines().map(|line| line.split("//").next().unwrap_or_default()).fold(
        String::new(),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    )
}

/// What stands between the brace `text` begins with and the one that closes it.
fn braces(text: &str) -> &str {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return &text[1..i],
            '}' => depth -= 1,
            _ => {}
        }
    }
    &text[1..text.len() - 1]
}

fn function(head: &str, body: &str) -> Result<(String, Function), PtxError> {
    let unknown = || PtxError::unknown("a function", head);
    let (_, after) = head.split_once(".entry").or_else(|| head.split_once(".func")).ok_or_else(unknown)?;
    let mut lists = Vec::new();
    let mut names = String::new();
    let mut rest = after;
    while let Some((before, inside)) = rest.split_once('(') {
        let (list, behind) = inside.split_once(')').ok_or_else(unknown)?;
        names.push_str(before);
        let is_result = names.trim().is_empty();
        let variables: Result<Vec<Variable>, PtxError> =
            list.split(',').map(str::trim).filter(|v| !v.is_empty()).map(variable).collect();
        lists.push((is_result, variables?));
        rest = behind;
    }
    if lists.is_empty() {
        names.push_str(rest);
    }
    let name = names.split_whitespace().next().ok_or_else(unknown)?.to_owned();
    let mut function = Function { results: Vec::new(), parameters: Vec::new(), statements: statements(body) };
    for (is_result, list) in lists {
        if is_result {
            function.results = list;
        } else {
            function.parameters = list;
        }
    }
    Ok((name, function))
}

/// The statements of a body, labels with their colon. Blocks only limit names, which are unique enough without.
fn statements(body: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut now = String::new();
    let mut vector = 0;
    for c in body.chars() {
        match c {
            '{' if now.trim().is_empty() => now.clear(),
            '}' if vector == 0 && now.trim().is_empty() => now.clear(),
            ';' => {
                out.push(now.split_whitespace().collect::<Vec<_>>().join(" "));
                now.clear();
            }
            ':' => {
                out.push(format!("{}:", now.trim()));
                now.clear();
            }
            '{' => {
                vector += 1;
                now.push(c);
            }
            '}' => {
                vector -= 1;
                now.push(c);
            }
            _ => now.push(c),
        }
    }
    out.retain(|s| !s.is_empty());
    out
}

fn element(text: &str) -> Result<Ty, PtxError> {
    text.split_whitespace()
        .filter_map(|word| Ty::parse(word.trim_start_matches('.')))
        .next_back()
        .ok_or_else(|| PtxError::unknown("an element type", text))
}

/// `.param .align 8 .b8 name[16]`: name, alignment, bytes. A size left open is 0.
fn variable(text: &str) -> Result<Variable, PtxError> {
    let unknown = || PtxError::unknown("a variable", text);
    let ty = element(text)?;
    let mut words = text.split_whitespace();
    let mut align = ty.bytes();
    if let Some(at) = text.split_whitespace().position(|w| w == ".align") {
        align = words.nth(at + 1).and_then(|w| w.parse().ok()).ok_or_else(unknown)?;
    }
    let name = text.split_whitespace().next_back().ok_or_else(unknown)?;
    Ok(match name.split_once('[') {
        None => (name.to_owned(), align, ty.bytes()),
        Some((name, count)) => {
            let count = count.trim_end_matches(']');
            let count: usize = if count.is_empty() { 0 } else { count.parse().map_err(|_| unknown())? };
            (name.to_owned(), align, count * ty.bytes())
        }
    })
}
