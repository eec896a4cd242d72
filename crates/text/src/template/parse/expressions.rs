//! Expressions, by Jinja's order of precedence, loosest first.

use super::{Parsed, Parser};
use crate::template::lex::Token;
use crate::template::syntax::{Args, BinaryOp, CompareOp, Expr, ExprKind};
use crate::template::value::Value;

/// An expression has at most this many levels; long chains of operators count one each.
const MAX_HEIGHT: u16 = 160;

const MATH1: [(&str, BinaryOp); 2] = [("+", BinaryOp::Add), ("-", BinaryOp::Sub)];
const MATH2: [(&str, BinaryOp); 4] = [
    ("*", BinaryOp::Mul),
    ("/", BinaryOp::Div),
    ("//", BinaryOp::FloorDiv),
    ("%", BinaryOp::Mod),
];
const COMPARISONS: [(&str, CompareOp); 6] = [
    ("==", CompareOp::Eq),
    ("!=", CompareOp::Ne),
    ("<", CompareOp::Lt),
    ("<=", CompareOp::Le),
    (">", CompareOp::Gt),
    (">=", CompareOp::Ge),
];

/// The height of something made of these.
fn above<'e>(parts: impl IntoIterator<Item = &'e Expr>) -> u16 {
    parts.into_iter().map(|part| part.height).max().unwrap_or(0) + 1
}

impl Args {
    fn all(&self) -> impl Iterator<Item = &Expr> {
        self.positional
            .iter()
            .chain(self.named.iter().map(|(_, expr)| expr))
    }
}

impl Parser {
    fn node(&self, height: u16, kind: ExprKind) -> Parsed<Expr> {
        if height > MAX_HEIGHT {
            return self.fail(format!("an expression has more than {MAX_HEIGHT} levels"));
        }
        Ok(Expr { height, kind })
    }

    /// Expressions with commas between make a tuple; one without a comma is itself.
    pub(super) fn tuple(&mut self) -> Parsed<Expr> {
        self.tuple_of(Parser::expr)
    }

    pub(super) fn tuple_of(&mut self, item: fn(&mut Parser) -> Parsed<Expr>) -> Parsed<Expr> {
        let first = item(self)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_op(",") {
            if matches!(self.peek(), Some(Token::TagEnd | Token::EmitEnd) | None) || self.is_op(")") {
                break;
            }
            items.push(item(self)?);
        }
        self.node(above(&items), ExprKind::Tuple(items))
    }

    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| {
            let mut expr = parser.or()?;
            while parser.skip_name("if") {
                let test = parser.or()?;
                let otherwise = if parser.skip_name("else") {
                    Some(Box::new(parser.expr()?))
                } else {
                    None
                };
                let height = above([&expr, &test].into_iter().chain(otherwise.as_deref()));
                let (test, then) = (Box::new(test), Box::new(expr));
                expr = parser.node(
                    height,
                    ExprKind::Cond {
                        test,
                        then,
                        otherwise,
                    },
                )?;
            }
            Ok(expr)
        })
    }

    pub(super) fn or(&mut self) -> Parsed<Expr> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            let right = self.and()?;
            left = self.node(
                above([&left, &right]),
                ExprKind::Or(Box::new(left), Box::new(right)),
            )?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            let right = self.not()?;
            left = self.node(
                above([&left, &right]),
                ExprKind::And(Box::new(left), Box::new(right)),
            )?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed<Expr> {
        if self.skip_name("not") {
            let inner = self.deeper(Parser::not)?;
            return self.node(above([&inner]), ExprKind::Not(Box::new(inner)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Parsed<Expr> {
        let first = self.math1()?;
        let mut rest = Vec::new();
        loop {
            let op = if let Some(&(_, op)) = COMPARISONS.iter().find(|(op, _)| self.is_op(op)) {
                self.at += 1;
                op
            } else if self.skip_name("in") {
                CompareOp::In
            } else if self.is_name("not")
                && matches!(self.peek_second(), Some(Token::Name(name)) if name == "in")
            {
                self.at += 2;
                CompareOp::NotIn
            } else {
                break;
            };
            rest.push((op, self.math1()?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        let height = above(rest.iter().map(|(_, expr)| expr).chain([&first]));
        self.node(height, ExprKind::Compare(Box::new(first), rest))
    }

    /// `left op right op …` from the left.
    fn chain(&mut self, ops: &[(&str, BinaryOp)], item: fn(&mut Parser) -> Parsed<Expr>) -> Parsed<Expr> {
        let mut left = item(self)?;
        while let Some(&(_, op)) = ops.iter().find(|(op, _)| self.is_op(op)) {
            self.at += 1;
            let right = item(self)?;
            let height = above([&left, &right]);
            left = self.node(height, ExprKind::Binary(op, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn math1(&mut self) -> Parsed<Expr> {
        self.chain(&MATH1, Parser::concat)
    }

    fn concat(&mut self) -> Parsed<Expr> {
        let first = self.chain(&MATH2, Parser::pow)?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip_op("~") {
            parts.push(self.chain(&MATH2, Parser::pow)?);
        }
        self.node(above(&parts), ExprKind::Concat(parts))
    }

    fn pow(&mut self) -> Parsed<Expr> {
        self.chain(&[("**", BinaryOp::Pow)], |parser| parser.unary(true))
    }

    fn unary(&mut self, with_filters: bool) -> Parsed<Expr> {
        let negate = self.is_op("-");
        let expr = if negate || self.is_op("+") {
            self.at += 1;
            let inner = self.deeper(|parser| parser.unary(false))?;
            let (height, inner) = (above([&inner]), Box::new(inner));
            self.node(
                height,
                if negate {
                    ExprKind::Negate(inner)
                } else {
                    ExprKind::Plus(inner)
                },
            )?
        } else {
            self.primary()?
        };
        let expr = self.postfix(expr)?;
        if with_filters {
            self.filters(expr)
        } else {
            Ok(expr)
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let Some(token) = self.peek().cloned() else {
            return self.unexpected("an expression");
        };
        let kind = match token {
            Token::Name(name) => {
                self.at += 1;
                match name.as_str() {
                    "true" | "True" => ExprKind::Const(Value::Bool(true)),
                    "false" | "False" => ExprKind::Const(Value::Bool(false)),
                    "none" | "None" => ExprKind::Const(Value::None),
                    _ => ExprKind::Name(name),
                }
            }
            Token::Int(value) => {
                self.at += 1;
                ExprKind::Const(Value::Int(value))
            }
            Token::Float(value) => {
                self.at += 1;
                ExprKind::Const(Value::Float(value))
            }
            Token::Str(mut text) => {
                self.at += 1;
                // Strings that stand side by side are one.
                while let Some(Token::Str(more)) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                ExprKind::Const(Value::inside(text))
            }
            Token::Op("(") => return self.deeper(Parser::parenthesis),
            Token::Op("[") => return self.deeper(Parser::list),
            Token::Op("{") => return self.deeper(Parser::dict),
            _ => return self.unexpected("an expression"),
        };
        self.node(1, kind)
    }

    fn parenthesis(&mut self) -> Parsed<Expr> {
        self.at += 1;
        if self.skip_op(")") {
            return self.node(1, ExprKind::Tuple(Vec::new()));
        }
        let inner = self.tuple()?;
        self.expect_op(")")?;
        Ok(inner)
    }

    fn list(&mut self) -> Parsed<Expr> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.skip_op("]") {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.skip_op("]") {
                    break;
                }
            }
            items.push(self.expr()?);
        }
        self.node(above(&items), ExprKind::List(items))
    }

    fn dict(&mut self) -> Parsed<Expr> {
        self.at += 1;
        let mut entries = Vec::new();
        while !self.skip_op("}") {
            if !entries.is_empty() {
                self.expect_op(",")?;
                if self.skip_op("}") {
                    break;
                }
            }
            let key = self.expr()?;
            self.expect_op(":")?;
            entries.push((key, self.expr()?));
        }
        let height = above(entries.iter().flat_map(|(key, value)| [key, value]));
        self.node(height, ExprKind::Dict(entries))
    }

    fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            if self.skip_op(".") {
                expr = match self.peek().cloned() {
                    Some(Token::Int(index)) => {
                        self.at += 1;
                        let index = self.node(1, ExprKind::Const(Value::Int(index)))?;
                        self.node(above([&expr]), ExprKind::Index(Box::new(expr), Box::new(index)))?
                    }
                    _ => {
                        let name = self.expect_name()?;
                        self.node(above([&expr]), ExprKind::Attr(Box::new(expr), name))?
                    }
                };
            } else if self.is_op("[") {
                expr = self.deeper(|parser| parser.subscript(expr))?;
            } else if self.is_op("(") {
                let args = self.args()?;
                let height = above(args.all().chain([&expr]));
                expr = self.node(height, ExprKind::Call(Box::new(expr), args))?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn subscript(&mut self, of: Expr) -> Parsed<Expr> {
        self.at += 1;
        let mut bounds = [None, None, None];
        let mut n_colons = 0;
        while !self.skip_op("]") {
            if self.skip_op(":") {
                n_colons += 1;
                if n_colons > 2 {
                    return self.fail("a slice has at most three parts");
                }
            } else if bounds[n_colons].is_some() {
                return self.unexpected("']'");
            } else {
                bounds[n_colons] = Some(self.tuple()?);
            }
        }
        let height = above(bounds.iter().flatten().chain([&of]));
        match bounds {
            [Some(index), None, None] if n_colons == 0 => {
                self.node(height, ExprKind::Index(Box::new(of), Box::new(index)))
            }
            [None, ..] if n_colons == 0 => self.fail("an empty subscript"),
            bounds => self.node(height, ExprKind::Slice(Box::new(of), Box::new(bounds))),
        }
    }

    /// `(a, b=c)`
    pub(super) fn args(&mut self) -> Parsed<Args> {
        self.deeper(|parser| {
            parser.expect_op("(")?;
            let mut args = Args::default();
            let mut first = true;
            while !parser.skip_op(")") {
                if !first {
                    parser.expect_op(",")?;
                    if parser.skip_op(")") {
                        break;
                    }
                }
                first = false;
                let named = matches!(parser.peek(), Some(Token::Name(_)))
                    && matches!(parser.peek_second(), Some(Token::Op("=")));
                if named {
                    let name = parser.expect_name()?;
                    parser.at += 1;
                    args.named.push((name, parser.expr()?));
                } else if parser.is_op("*") || parser.is_op("**") {
                    return parser.fail("arguments from a list or dict are not supported");
                } else if args.named.is_empty() {
                    args.positional.push(parser.expr()?);
                } else {
                    return parser.fail("an argument without a name follows one with");
                }
            }
            Ok(args)
        })
    }

    fn filters(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            if self.skip_op("|") {
                let filter = self.filter_call()?;
                let height = above(filter.args.all().chain([&expr]));
                expr = self.node(height, ExprKind::Filter(Box::new(expr), filter))?;
            } else if self.skip_name("is") {
                expr = self.test(expr)?;
            } else if self.is_op("(") {
                let args = self.args()?;
                let height = above(args.all().chain([&expr]));
                expr = self.node(height, ExprKind::Call(Box::new(expr), args))?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn test(&mut self, subject: Expr) -> Parsed<Expr> {
        let negated = self.skip_name("not");
        let name = self.expect_name()?;
        let mut args = Args::default();
        let takes_one = match self.peek() {
            Some(Token::Name(name)) => {
                !["else", "or", "and", "is", "if", "in", "not"].contains(&name.as_str())
            }
            Some(Token::Str(_) | Token::Int(_) | Token::Float(_)) => true,
            Some(Token::Op(op)) => ["[", "{"].contains(op),
            _ => false,
        };
        if self.is_op("(") {
            args = self.args()?;
        } else if takes_one {
            let arg = self.primary()?;
            args.positional.push(self.postfix(arg)?);
        }
        let height = above(args.all().chain([&subject]));
        let test = self.node(
            height,
            ExprKind::Test {
                subject: Box::new(subject),
                name,
                args,
            },
        )?;
        if negated {
            self.node(height + 1, ExprKind::Not(Box::new(test)))
        } else {
            Ok(test)
        }
    }
}
