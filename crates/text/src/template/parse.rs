//! Tokens to statements. Nesting is limited here, so that nothing later can run out of stack.

mod expressions;

use super::lex::{SyntaxError, Token, Tokens, tokens};
use super::syntax::{Body, Expr, FilterCall, For, Macro, Stmt, StmtKind, Target, Template};
use super::value::Value;

/// Statements, and brackets within an expression, nest at most this deep.
const MAX_NESTING: u16 = 48;

/// Parses a whole template.
pub(super) fn parse(source: &str) -> Result<Template, SyntaxError> {
    let mut parser = Parser {
        tokens: tokens(source)?,
        at: 0,
        nesting: 0,
        loops: 0,
        macros: Vec::new(),
    };
    let (body, _) = parser.body(&[])?;
    Ok(Template {
        body,
        macros: parser.macros,
    })
}

struct Parser {
    tokens: Tokens,
    at: usize,
    nesting: u16,
    /// How many loops we are in, within the present macro.
    loops: usize,
    macros: Vec<Macro>,
}

type Parsed<T> = Result<T, SyntaxError>;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn peek_second(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1).map(|(token, _)| token)
    }

    fn line(&self) -> u32 {
        self.tokens
            .get(self.at)
            .or(self.tokens.last())
            .map_or(1, |(_, line)| *line)
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(SyntaxError {
            line: self.line(),
            message: message.into(),
        })
    }

    fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        let found = match self.peek() {
            None => "the end of the template".to_owned(),
            Some(Token::Name(name)) => format!("'{name}'"),
            Some(Token::Op(op)) => format!("'{op}'"),
            Some(Token::TagEnd) => "'%}'".to_owned(),
            Some(Token::EmitEnd) => "'}}'".to_owned(),
            Some(_) => "something else".to_owned(),
        };
        self.fail(format!("expected {wanted}, found {found}"))
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(found)) if *found == op)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if found == name)
    }

    fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    fn expect_op(&mut self, op: &str) -> Parsed<()> {
        if self.skip_op(op) {
            Ok(())
        } else {
            self.unexpected(&format!("'{op}'"))
        }
    }

    fn expect_name(&mut self) -> Parsed<String> {
        let Some(Token::Name(name)) = self.peek() else {
            return self.unexpected("a name");
        };
        let name = name.clone();
        self.at += 1;
        Ok(name)
    }

    fn expect_tag_end(&mut self) -> Parsed<()> {
        if self.peek() == Some(&Token::TagEnd) {
            self.at += 1;
            return Ok(());
        }
        self.unexpected("'%}'")
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Parser) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return self.fail(format!("nested more than {MAX_NESTING} deep"));
        }
        self.nesting += 1;
        let parsed = inner(self);
        self.nesting -= 1;
        parsed
    }

    /// Statements up to a tag with one of the names in `ends`, which is consumed and returned; its end is not.
    fn body(&mut self, ends: &[&str]) -> Parsed<(Body, String)> {
        self.deeper(|parser| {
            let mut body = Body::new();
            loop {
                let line = parser.line();
                let kind = match parser.peek() {
                    None if ends.is_empty() => return Ok((body, String::new())),
                    None => return parser.unexpected(&format!("'{}'", ends[ends.len() - 1])),
                    Some(Token::Data(text)) => {
                        let text = Value::inside(text.as_str());
                        parser.at += 1;
                        StmtKind::Text(text)
                    }
                    Some(Token::EmitStart) => {
                        parser.at += 1;
                        let expr = parser.tuple()?;
                        if parser.peek() != Some(&Token::EmitEnd) {
                            return parser.unexpected("'}}'");
                        }
                        parser.at += 1;
                        StmtKind::Emit(expr)
                    }
                    Some(_) => {
                        parser.at += 1;
                        let name = parser.expect_name()?;
                        if ends.contains(&name.as_str()) {
                            return Ok((body, name));
                        }
                        parser.statement(&name)?
                    }
                };
                body.push(Stmt { line, kind });
            }
        })
    }

    /// A body up to its end tag, which is consumed whole.
    fn closed_body(&mut self, end: &str) -> Parsed<Body> {
        self.expect_tag_end()?;
        let (body, _) = self.body(&[end])?;
        self.expect_tag_end()?;
        Ok(body)
    }

    fn statement(&mut self, name: &str) -> Parsed<StmtKind> {
        match name {
            "if" => self.if_statement(),
            "for" => self.for_statement(),
            "set" => self.set(),
            "macro" => {
                let name = self.expect_name()?;
                let params = self.params()?;
                Ok(StmtKind::Macro(self.macro_body(name, params, "endmacro")?))
            }
            "call" => {
                let params = if self.is_op("(") {
                    self.params()?
                } else {
                    Vec::new()
                };
                let call = self.expr()?;
                Ok(StmtKind::Call {
                    call,
                    caller: self.macro_body("caller".into(), params, "endcall")?,
                })
            }
            "filter" => {
                let mut filters = vec![self.filter_call()?];
                while self.skip_op("|") {
                    filters.push(self.filter_call()?);
                }
                Ok(StmtKind::Filter {
                    filters,
                    body: self.closed_body("endfilter")?,
                })
            }
            "with" => self.with(),
            "generation" => Ok(StmtKind::Scope {
                names: Vec::new(),
                body: self.closed_body("endgeneration")?,
            }),
            "break" | "continue" if self.loops == 0 => self.fail(format!("'{name}' outside a loop")),
            "break" | "continue" => {
                self.expect_tag_end()?;
                Ok(if name == "break" {
                    StmtKind::Break
                } else {
                    StmtKind::Continue
                })
            }
            _ => {
                self.at -= 1;
                self.fail(format!("the tag '{name}' is not known, or not expected here"))
            }
        }
    }

    fn with(&mut self) -> Parsed<StmtKind> {
        let mut names = Vec::new();
        while self.peek() != Some(&Token::TagEnd) {
            if !names.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.target()?;
            self.expect_op("=")?;
            names.push((target, self.expr()?));
        }
        Ok(StmtKind::Scope {
            names,
            body: self.closed_body("endwith")?,
        })
    }

    fn if_statement(&mut self) -> Parsed<StmtKind> {
        let mut branches = Vec::new();
        let mut otherwise = Body::new();
        let mut test = self.condition()?;
        loop {
            self.expect_tag_end()?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((test, body));
            match end.as_str() {
                "elif" => {
                    test = self.condition()?;
                    continue;
                }
                "else" => otherwise = self.closed_body("endif")?,
                _ => self.expect_tag_end()?,
            }
            return Ok(StmtKind::If { branches, otherwise });
        }
    }

    /// An expression that may be a tuple, without `if`.
    fn condition(&mut self) -> Parsed<Expr> {
        self.tuple()
    }

    fn for_statement(&mut self) -> Parsed<StmtKind> {
        let target = self.target()?;
        if !self.skip_name("in") {
            return self.unexpected("'in'");
        }
        let items = self.tuple_of(Parser::or)?;
        let filter = if self.skip_name("if") {
            Some(self.expr()?)
        } else {
            None
        };
        if self.is_name("recursive") {
            return self.fail("recursive loops are not supported");
        }
        self.expect_tag_end()?;
        self.loops += 1;
        let (body, end) = self.body(&["else", "endfor"])?;
        self.loops -= 1;
        let otherwise = if end == "else" {
            self.closed_body("endfor")?
        } else {
            Body::new()
        };
        if end == "endfor" {
            self.expect_tag_end()?;
        }
        Ok(StmtKind::For(Box::new(For {
            target,
            items,
            filter,
            body,
            otherwise,
        })))
    }

    fn set(&mut self) -> Parsed<StmtKind> {
        let target = self.target()?;
        if self.skip_op("=") {
            let value = self.tuple()?;
            self.expect_tag_end()?;
            return Ok(StmtKind::Set { target, value });
        }
        let mut filters = Vec::new();
        while self.skip_op("|") {
            filters.push(self.filter_call()?);
        }
        Ok(StmtKind::SetBlock {
            target,
            filters,
            body: self.closed_body("endset")?,
        })
    }

    fn filter_call(&mut self) -> Parsed<FilterCall> {
        let mut name = self.expect_name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.expect_name()?);
        }
        let args = if self.is_op("(") {
            self.args()?
        } else {
            Default::default()
        };
        Ok(FilterCall { name, args })
    }

    /// `a`, `a.b` or `a, b`.
    fn target(&mut self) -> Parsed<Target> {
        let mut targets = vec![self.single_target()?];
        let mut tuple = false;
        while self.skip_op(",") {
            tuple = true;
            if self.is_name("in") || self.is_op("=") || self.is_op(")") {
                break;
            }
            targets.push(self.single_target()?);
        }
        Ok(if tuple {
            Target::Tuple(targets)
        } else {
            targets.swap_remove(0)
        })
    }

    fn single_target(&mut self) -> Parsed<Target> {
        if self.skip_op("(") {
            let target = self.deeper(Parser::target)?;
            self.expect_op(")")?;
            return Ok(target);
        }
        let name = self.expect_name()?;
        if self.skip_op(".") {
            return Ok(Target::Attr(name, self.expect_name()?));
        }
        Ok(Target::Name(name))
    }

    /// `(a, b=1)`
    fn params(&mut self) -> Parsed<Vec<(String, Option<Expr>)>> {
        self.expect_op("(")?;
        let mut params: Vec<(String, Option<Expr>)> = Vec::new();
        while !self.skip_op(")") {
            if !params.is_empty() {
                self.expect_op(",")?;
            }
            let name = self.expect_name()?;
            let default = if self.skip_op("=") {
                Some(self.expr()?)
            } else {
                None
            };
            if default.is_none() && params.iter().any(|(_, default)| default.is_some()) {
                return self.fail("a parameter without default follows one with");
            }
            params.push((name, default));
        }
        Ok(params)
    }

    fn macro_body(&mut self, name: String, params: Vec<(String, Option<Expr>)>, end: &str) -> Parsed<usize> {
        let loops = std::mem::take(&mut self.loops);
        let body = self.closed_body(end)?;
        self.loops = loops;
        self.macros.push(Macro { name, params, body });
        Ok(self.macros.len() - 1)
    }
}
