//! Expressions to values, and what macros write.

use std::sync::Arc;

use super::{Frame, Renderer};
use crate::template::call::{self, CallArgs};
use crate::template::fault::Fault;
use crate::template::syntax::{Args, CompareOp, Expr, ExprKind, Macro};
use crate::template::text::Text;
use crate::template::value::{Value, other, set_entry};
use crate::template::{access, arithmetic, checks, filters, print};

impl<'t> Renderer<'t> {
    pub(super) fn eval(&mut self, expr: &'t Expr) -> Result<Value, Fault> {
        self.budget.work(1)?;
        match &expr.kind {
            ExprKind::Const(value) => Ok(value.clone()),
            ExprKind::Name(name) => self.lookup(name),
            _ => self.deeper(|renderer| renderer.eval_compound(expr)),
        }
    }

    fn eval_compound(&mut self, expr: &'t Expr) -> Result<Value, Fault> {
        match &expr.kind {
            ExprKind::List(items) => {
                let items = self.eval_all(items)?;
                Value::list(items, self.budget)
            }
            ExprKind::Tuple(items) => {
                let items = self.eval_all(items)?;
                Value::tuple(items, self.budget)
            }
            ExprKind::Dict(entries) => self.eval_dict(entries),
            ExprKind::Attr(of, name) => {
                let of = self.eval(of)?;
                access::attr(self, &of, name)
            }
            ExprKind::Index(of, index) => {
                let (of, index) = (self.eval(of)?, self.eval(index)?);
                access::index(self, &of, &index)
            }
            ExprKind::Slice(of, bounds) => {
                let of = self.eval(of)?;
                let mut values = [None, None, None];
                for (value, bound) in values.iter_mut().zip(bounds.iter()) {
                    *value = bound.as_ref().map(|bound| self.eval(bound)).transpose()?;
                }
                access::slice(&of, &values, self.budget)
            }
            ExprKind::Call(function, args) => {
                let function = self.eval(function)?;
                let args = self.args(args)?;
                call::call(self, &function, args)
            }
            ExprKind::Filter(subject, filter) => {
                let subject = self.eval(subject)?;
                let args = self.args(&filter.args)?;
                filters::apply(self, &filter.name, subject, args)
            }
            ExprKind::Test { subject, name, args } => {
                let subject = self.eval(subject)?;
                let args = self.args(args)?;
                checks::apply(self, name, &subject, &args).map(Value::Bool)
            }
            _ => self.eval_operator(expr),
        }
    }

    fn eval_operator(&mut self, expr: &'t Expr) -> Result<Value, Fault> {
        match &expr.kind {
            ExprKind::Not(inner) => Ok(Value::Bool(!self.eval(inner)?.truthy())),
            ExprKind::Negate(inner) => {
                let value = self.eval(inner)?;
                arithmetic::negate(&value)
            }
            ExprKind::Plus(inner) => {
                let value = self.eval(inner)?;
                value
                    .as_float()
                    .map(|_| value.clone())
                    .ok_or_else(|| other(format!("+ of {}", value.kind())))
            }
            ExprKind::Binary(op, left, right) => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                arithmetic::binary(*op, &left, &right, self.budget)
            }
            ExprKind::Concat(parts) => {
                let mut text = Text::default();
                for part in parts {
                    let value = self.eval(part)?;
                    let part = print::to_text(self, &value)?;
                    self.budget.hold(part.cost())?;
                    text.push(&part);
                }
                Ok(Value::Str(Arc::new(text)))
            }
            ExprKind::Compare(first, rest) => {
                let mut left = self.eval(first)?;
                for (op, right) in rest {
                    let right = self.eval(right)?;
                    if !self.compare(*op, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            _ => self.eval_choice(expr),
        }
    }

    fn eval_choice(&mut self, expr: &'t Expr) -> Result<Value, Fault> {
        match &expr.kind {
            ExprKind::And(left, right) => {
                let left = self.eval(left)?;
                if left.truthy() { self.eval(right) } else { Ok(left) }
            }
            ExprKind::Or(left, right) => {
                let left = self.eval(left)?;
                if left.truthy() { Ok(left) } else { self.eval(right) }
            }
            ExprKind::Cond {
                test,
                then,
                otherwise,
            } => match (self.eval(test)?.truthy(), otherwise) {
                (true, _) => self.eval(then),
                (false, Some(otherwise)) => self.eval(otherwise),
                (false, None) => Value::missing("the missing else", self.budget),
            },
            _ => Err(other("an expression of no known kind")),
        }
    }

    fn eval_all(&mut self, exprs: &'t [Expr]) -> Result<Vec<Value>, Fault> {
        exprs.iter().map(|expr| self.eval(expr)).collect()
    }

    fn eval_dict(&mut self, entries: &'t [(Expr, Expr)]) -> Result<Value, Fault> {
        let mut built = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key, value) = (self.eval(key)?, self.eval(value)?);
            set_entry(&mut built, key, value, self.budget)?;
        }
        Value::dict(built, self.budget)
    }

    pub(super) fn args(&mut self, args: &'t Args) -> Result<CallArgs, Fault> {
        let positional = self.eval_all(&args.positional)?;
        let mut named = Vec::with_capacity(args.named.len());
        for (name, value) in &args.named {
            self.budget.hold(name.len())?;
            named.push((name.clone(), self.eval(value)?));
        }
        Ok(CallArgs { positional, named })
    }

    pub(in crate::template) fn compare(
        &self,
        op: CompareOp,
        left: &Value,
        right: &Value,
    ) -> Result<bool, Fault> {
        use std::cmp::Ordering;
        let budget = self.budget;
        match op {
            CompareOp::Eq => left.equals(right, budget),
            CompareOp::Ne => left.equals(right, budget).map(|equal| !equal),
            CompareOp::In => access::contains(right, left, budget),
            CompareOp::NotIn => access::contains(right, left, budget).map(|found| !found),
            _ => {
                let is_nan = |value: &Value| value.as_float().is_some_and(f64::is_nan);
                if is_nan(left) || is_nan(right) {
                    return Ok(false);
                }
                let order = left.order(right, budget)?;
                Ok(match op {
                    CompareOp::Lt => order == Ordering::Less,
                    CompareOp::Le => order != Ordering::Greater,
                    CompareOp::Gt => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                })
            }
        }
    }

    /// What a macro writes. It sees the template's own names and its parameters.
    pub(in crate::template) fn call_macro(&mut self, number: usize, args: CallArgs) -> Result<Value, Fault> {
        let macros = self.macros;
        let node = &macros[number];
        // `caller` also sees where the call stands; it is a block there, not a macro elsewhere.
        let outer = if node.name == "caller" {
            Vec::new()
        } else {
            self.frames.split_off(1)
        };
        let text = self.bind(node, args).and_then(|frame| {
            self.deeper(|renderer| {
                renderer.capture(|renderer| renderer.scoped(frame, &node.body).map(|_| ()))
            })
        });
        self.frames.extend(outer);
        text.map(|text| Value::Str(Arc::new(text)))
    }

    fn bind(&mut self, node: &'t Macro, args: CallArgs) -> Result<Frame<'t>, Fault> {
        let mut frame = Frame::new();
        let mut positional = args.positional.into_iter();
        let mut named = args.named;
        for (name, default) in &node.params {
            self.budget.work(1 + named.len() / 4)?;
            let given = match positional.next() {
                Some(value) => Some(value),
                None => named
                    .iter()
                    .position(|(key, _)| key == name)
                    .map(|at| named.swap_remove(at).1),
            };
            let value = match (given, default) {
                (Some(value), _) => value,
                (None, Some(default)) => {
                    // A default may refer to the parameters before it.
                    self.frames.push(std::mem::take(&mut frame));
                    let value = self.eval(default);
                    frame = self.frames.pop().unwrap_or_default();
                    value?
                }
                (None, None) => Value::missing(name, self.budget)?,
            };
            frame.insert(name, value);
        }
        if let Some(at) = named.iter().position(|(key, _)| key == "caller") {
            frame.insert("caller", named.swap_remove(at).1);
        }
        if positional.next().is_some() || !named.is_empty() {
            return Err(other(format!(
                "the macro {} is given arguments that it does not take",
                node.name
            )));
        }
        Ok(frame)
    }
}
