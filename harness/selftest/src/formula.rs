//! Formulas as fixtures write them: `0.05*sin(0.37*i + 1.7*j)`, `(7x + 13y) mod 256`, `1 if (b+s) mod 3 != 0 else 0`.
//!
//! Everything is evaluated in f64, operation by operation from left to right, without fused multiply-add: whole
//! numbers are exact below 2⁵³, and `div`, `mod` round towards minus infinity. A number directly before a
//! name or bracket multiplies it (`2p`, `40c`). Comparisons give 1 or 0.

use std::collections::BTreeMap;

/// A parsed formula over named variables.
#[derive(Clone, Debug)]
pub(crate) struct Formula {
    root: Node,
}

/// Functions defined by formulas, such as `tri(n,p) = |(n mod 2p) - p|`.
pub(crate) type Functions = BTreeMap<String, (usize, Formula)>;

/// What joins two values.
type Operator = fn(f64, f64) -> f64;

#[derive(Clone, Debug)]
enum Node {
    Number(f64),
    Variable(usize),
    Negate(Box<Node>),
    Call(fn(f64) -> f64, Box<Node>),
    Own(Box<Node>, Vec<Node>),
    Two(Operator, Box<Node>, Box<Node>),
    Choose(Box<[Node; 3]>),
}

/// Deepest nesting: formulas in files are one line, and the parser is recursive.
const MAX_DEPTH: usize = 60;

impl Formula {
    /// Parses `text` over `variables`; all of it must be a formula.
    ///
    /// # Errors
    /// Says what is not understood, and where.
    pub(crate) fn parse(text: &str, variables: &[&str], functions: &Functions) -> Result<Self, String> {
        let mut p = Parser { text, at: 0, variables, functions, depth: 0 };
        let root = p.choice().map_err(|e| format!("formula `{text}`: {e}"))?;
        p.space();
        match &text[p.at..] {
            "" => Ok(Self { root }),
            rest => Err(format!("formula `{text}`: not understood from `{rest}` on")),
        }
    }

    /// The value where the variables have these values, in the order given when parsing.
    #[must_use]
    pub(crate) fn at(&self, variables: &[f64]) -> f64 {
        self.root.value(variables)
    }
}

impl Node {
    fn value(&self, v: &[f64]) -> f64 {
        match self {
            Self::Number(n) => *n,
            Self::Variable(i) => v.get(*i).copied().unwrap_or(f64::NAN),
            Self::Negate(a) => -a.value(v),
            Self::Call(f, a) => f(a.value(v)),
            Self::Own(body, args) => {
                let args: Vec<f64> = args.iter().map(|a| a.value(v)).collect();
                body.value(&args)
            }
            Self::Two(f, a, b) => f(a.value(v), b.value(v)),
            Self::Choose(parts) => {
                let [yes, condition, no] = &**parts;
                if condition.value(v) != 0.0 { yes.value(v) } else { no.value(v) }
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    variables: &'a [&'a str],
    functions: &'a Functions,
    depth: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes `token` if it comes next; a word must end there.
    fn take(&mut self, token: &str) -> bool {
        self.space();
        let word = token.starts_with(char::is_alphabetic);
        let hit = self.rest().strip_prefix(token).is_some_and(|after| !(word && after.starts_with(is_name)));
        if hit {
            self.at += token.len();
        }
        hit
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("expected `{token}` at `{}`", self.rest())) }
    }

    fn choice(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("nested too deeply".into());
        }
        let yes = self.comparison()?;
        let node = if self.take("if") {
            let condition = self.comparison()?;
            self.expect("else")?;
            Node::Choose(Box::new([yes, condition, self.comparison()?]))
        } else {
            yes
        };
        self.depth -= 1;
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let left = self.sum()?;
        let table: [(&str, Operator); 6] = [
            (">=", |a, b| f64::from(u8::from(a >= b))),
            ("<=", |a, b| f64::from(u8::from(a <= b))),
            ("!=", |a, b| f64::from(u8::from(a != b))),
            ("==", |a, b| f64::from(u8::from(a == b))),
            (">", |a, b| f64::from(u8::from(a > b))),
            ("<", |a, b| f64::from(u8::from(a < b))),
        ];
        for (sign, f) in table {
            if self.take(sign) {
                return Ok(Node::Two(f, Box::new(left), Box::new(self.sum()?)));
            }
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Node, String> {
        let mut left = self.product()?;
        loop {
            let f: fn(f64, f64) -> f64 = if self.take("+") {
                |a, b| a + b
            } else if self.take("-") {
                |a, b| a - b
            } else {
                return Ok(left);
            };
            left = Node::Two(f, Box::new(left), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Node, String> {
        let mut left = self.factor()?;
        loop {
            let f: fn(f64, f64) -> f64 = if self.take("*") {
                |a, b| a * b
            } else if self.take("/") {
                |a, b| a / b
            } else if self.take("div") {
                |a, b| (a / b).floor()
            } else if self.take("mod") {
                f64::rem_euclid
            } else {
                return Ok(left);
            };
            left = Node::Two(f, Box::new(left), Box::new(self.factor()?));
        }
    }

    fn factor(&mut self) -> Result<Node, String> {
        if self.take("-") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err("nested too deeply".into());
            }
            let inner = self.factor()?;
            self.depth -= 1;
            return Ok(Node::Negate(Box::new(inner)));
        }
        self.space();
        let (value, len) = leading_number(self.rest());
        if len > 0 {
            self.at += len;
            let number = Node::Number(value);
            if self.rest().starts_with(|c: char| c.is_ascii_alphabetic() || c == '(') {
                return Ok(Node::Two(|a, b| a * b, Box::new(number), Box::new(self.atom()?)));
            }
            return Ok(number);
        }
        self.atom()
    }

    fn atom(&mut self) -> Result<Node, String> {
        if self.take("(") {
            let inner = self.choice()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.take("|") {
            let inner = self.sum()?;
            self.expect("|")?;
            return Ok(Node::Call(f64::abs, Box::new(inner)));
        }
        let name: String = self.rest().chars().take_while(|&c| is_name(c)).collect();
        if name.is_empty() {
            return Err(format!("expected a value at `{}`", self.rest()));
        }
        self.at += name.len();
        if let Some(i) = self.variables.iter().position(|v| *v == name) {
            return Ok(Node::Variable(i));
        }
        if name == "pi" {
            return Ok(Node::Number(std::f64::consts::PI));
        }
        self.expect("(").map_err(|_| format!("unknown name `{name}`"))?;
        let mut args = vec![self.choice()?];
        while self.take(",") {
            args.push(self.choice()?);
        }
        self.expect(")")?;
        let known: Option<fn(f64) -> f64> = match name.as_str() {
            "sin" => Some(f64::sin),
            "cos" => Some(f64::cos),
            "exp" => Some(f64::exp),
            "sqrt" => Some(f64::sqrt),
            "abs" => Some(f64::abs),
            _ => None,
        };
        match (known, self.functions.get(&name)) {
            (Some(f), _) if args.len() == 1 => Ok(Node::Call(f, Box::new(args.remove(0)))),
            (None, Some((count, body))) if args.len() == *count => {
                Ok(Node::Own(Box::new(body.root.clone()), args))
            }
            _ => Err(format!("unknown function `{name}` of {} values", args.len())),
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A number at the start of `text` and its length; length 0 if there is none.
pub(crate) fn leading_number(text: &str) -> (f64, usize) {
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    if end == 0 {
        return (0.0, 0);
    }
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
    }
    if bytes.get(end) == Some(&b'e') {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    text[..end].parse().map_or((0.0, 0), |v| (v, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, names: &[&str], at: &[f64]) -> f64 {
        Formula::parse(text, names, &Functions::new()).unwrap().at(at)
    }

    #[test]
    fn formulas_mean_what_the_files_mean() {
        assert_eq!(
            value("0.05*sin(0.37*i + 1.7*j)", &["i", "j"], &[3.0, 2.0]),
            0.05 * (0.37 * 3.0 + 1.7 * 2.0f64).sin()
        );
        assert_eq!(
            value("(7x + 13y + 29c + 3*((x*y) div 16)) mod 256", &["x", "y", "c"], &[9.0, 7.0, 2.0]),
            f64::from(63 + 91 + 58 + 3 * 3)
        );
        assert_eq!(value("1 if (b+s) mod 3 != 0 else 0", &["b", "s"], &[1.0, 2.0]), 0.0);
        assert_eq!(value("(5*p + 3*q) mod 196 >= 49", &["p", "q"], &[9.0, 2.0]), 1.0);
        assert_eq!(value("1-0.1+0.1/2", &[], &[]), 1.0 - 0.1 + 0.1 / 2.0);
        assert_eq!(value("1e-3 * 2", &[], &[]), 1e-3 * 2.0);
        assert_eq!(value("-x mod 4", &["x"], &[1.0]), 3.0);
        let tri = Formula::parse("|(n mod 2p) - p|", &["n", "p"], &Functions::new()).unwrap();
        let own = Functions::from([("tri".to_owned(), (2, tri))]);
        let formula = Formula::parse("3*tri(5x,255)", &["x"], &own).unwrap();
        assert_eq!(formula.at(&[100.0]), 3.0 * 245.0);
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["", "3 +", "foo(1)", "x", "(1", "1 2", "sin(1, 2)", &"(".repeat(500), &"-".repeat(500)] {
            assert!(
                Formula::parse(text, &[], &Functions::new()).unwrap_err().starts_with("formula `"),
                "{text}"
            );
        }
    }
}
