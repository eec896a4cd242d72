//! What a template's source is parsed into.

use super::value::Value;

/// A whole template.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) body: Body,
    /// All macros, wherever they are defined.
    pub(super) macros: Vec<Macro>,
}

/// A statement and the line it stands on.
#[derive(Debug)]
pub(super) struct Stmt {
    pub(super) line: u32,
    pub(super) kind: StmtKind,
}

pub(super) type Body = Vec<Stmt>;

#[derive(Debug)]
pub(super) enum StmtKind {
    /// Literal text.
    Text(Value),
    /// `{{ … }}`
    Emit(Expr),
    If {
        branches: Vec<(Expr, Body)>,
        otherwise: Body,
    },
    For(Box<For>),
    Set {
        target: Target,
        value: Expr,
    },
    /// `{% set x %}…{% endset %}`
    SetBlock {
        target: Target,
        filters: Vec<FilterCall>,
        body: Body,
    },
    /// By its number in [`Template::macros`].
    Macro(usize),
    /// `{% call macro() %}…{% endcall %}`: the body becomes `caller`.
    Call {
        call: Expr,
        /// By its number.
        caller: usize,
    },
    Filter {
        filters: Vec<FilterCall>,
        body: Body,
    },
    /// `{% with %}`, and `{% generation %}`: names set in it end with it.
    Scope {
        names: Vec<(Target, Expr)>,
        body: Body,
    },
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) items: Expr,
    pub(super) filter: Option<Expr>,
    pub(super) body: Body,
    pub(super) otherwise: Body,
}

/// What is assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(String),
    /// `namespace.name`
    Attr(String, String),
    Tuple(Vec<Target>),
}

#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: String,
    pub(super) params: Vec<(String, Option<Expr>)>,
    pub(super) body: Body,
}

#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) positional: Vec<Expr>,
    pub(super) named: Vec<(String, Expr)>,
}

#[derive(Debug)]
pub(super) struct FilterCall {
    pub(super) name: String,
    pub(super) args: Args,
}

/// An expression and how many levels it has.
#[derive(Debug)]
pub(super) struct Expr {
    pub(super) height: u16,
    pub(super) kind: ExprKind,
}

#[derive(Debug)]
pub(super) enum ExprKind {
    Const(Value),
    Name(String),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attr(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Args),
    Filter(Box<Expr>, FilterCall),
    Test {
        subject: Box<Expr>,
        name: String,
        args: Args,
    },
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Plus(Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// `then if test else otherwise`
    Cond {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}
