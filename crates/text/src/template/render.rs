//! Running a parsed template: statements, names and calls.

mod evaluate;

use std::collections::HashMap;
use std::sync::Arc;

use super::fault::{Budget, Fault};
use super::print;
use super::syntax::{Body, Expr, FilterCall, For, Macro, Stmt, StmtKind, Target, Template};
use super::text::Text;
use super::value::{Loop, Value, nest, other};
use super::{Timestamp, filters};

/// Expressions, statements and macros within each other go at most this deep; a level takes a few hundred bytes of
/// stack.
const MAX_DEPTH: usize = 300;

pub(super) type Frame<'t> = HashMap<&'t str, Value>;

/// How a body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

pub(super) struct Renderer<'t> {
    pub(super) budget: &'t Budget,
    pub(super) now: Timestamp,
    macros: &'t [Macro],
    /// The template's own names first, then one frame for every loop and block we are in.
    frames: Vec<Frame<'t>>,
    /// Text being written: the output, or what a block or macro makes of it.
    outputs: Vec<Text>,
    namespaces: Vec<Vec<(Value, Value)>>,
    depth: usize,
    /// The line of the statement being run, for messages.
    pub(super) line: u32,
}

impl<'t> Renderer<'t> {
    pub(super) fn new(
        template: &'t Template,
        budget: &'t Budget,
        now: Timestamp,
        globals: Frame<'t>,
    ) -> Renderer<'t> {
        Renderer {
            budget,
            now,
            macros: &template.macros,
            frames: vec![globals],
            outputs: Vec::new(),
            namespaces: Vec::new(),
            depth: 0,
            line: 1,
        }
    }

    pub(super) fn render(&mut self, body: &'t Body) -> Result<Text, Fault> {
        self.capture(|renderer| renderer.body(body).map(|_| ()))
    }

    /// What `run` writes.
    fn capture(&mut self, run: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<Text, Fault> {
        self.outputs.push(Text::default());
        let ended = run(self);
        let text = self.outputs.pop().unwrap_or_default();
        ended.map(|()| text)
    }

    fn write(&mut self, text: &Text) -> Result<(), Fault> {
        self.budget.hold(text.cost())?;
        if let Some(output) = self.outputs.last_mut() {
            output.push(text);
        }
        Ok(())
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth >= MAX_DEPTH {
            return Err(other(format!(
                "statements and macros go more than {MAX_DEPTH} levels deep"
            )));
        }
        self.depth += 1;
        let ended = inner(self);
        self.depth -= 1;
        ended
    }

    fn body(&mut self, body: &'t Body) -> Result<Flow, Fault> {
        self.deeper(|renderer| {
            for stmt in body {
                let flow = renderer.statement(stmt)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
            }
            Ok(Flow::Next)
        })
    }

    /// Runs a body whose names end with it.
    fn scoped(&mut self, frame: Frame<'t>, body: &'t Body) -> Result<Flow, Fault> {
        self.budget.hold(256)?;
        self.frames.push(frame);
        let ended = self.body(body);
        self.frames.pop();
        ended
    }

    fn statement(&mut self, stmt: &'t Stmt) -> Result<Flow, Fault> {
        self.budget.work(1)?;
        self.line = stmt.line;
        match &stmt.kind {
            StmtKind::Text(Value::Str(text)) => self.write(text)?,
            StmtKind::Text(_) => {}
            StmtKind::Emit(expr) => {
                let value = self.eval(expr)?;
                let text = print::to_text(self, &value)?;
                self.write(&text)?;
            }
            StmtKind::If { branches, otherwise } => {
                for (test, body) in branches {
                    if self.eval(test)?.truthy() {
                        return self.body(body);
                    }
                }
                return self.body(otherwise);
            }
            StmtKind::For(node) => return self.for_loop(node),
            StmtKind::Set { target, value } => {
                let value = self.eval(value)?;
                self.assign(target, value)?;
            }
            StmtKind::SetBlock {
                target,
                filters,
                body,
            } => {
                let value = self.filtered_body(filters, body)?;
                self.assign(target, value)?;
            }
            StmtKind::Macro(number) => self.define(&self.macros[*number].name, Value::Macro(*number)),
            StmtKind::Call { call, caller } => {
                let text = self.call_block(call, *caller)?;
                self.write(&text)?;
            }
            StmtKind::Filter { filters, body } => {
                let value = self.filtered_body(filters, body)?;
                let text = print::to_text(self, &value)?;
                self.write(&text)?;
            }
            StmtKind::Scope { names, body } => {
                let mut frame = Frame::new();
                for (target, value) in names {
                    let Target::Name(name) = target else {
                        return Err(other("a name in 'with' must be a plain name"));
                    };
                    frame.insert(name, self.eval(value)?);
                }
                return self.scoped(frame, body);
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// What a body writes, in a scope of its own, through filters.
    fn filtered_body(&mut self, filters: &'t [FilterCall], body: &'t Body) -> Result<Value, Fault> {
        let text = self.capture(|renderer| renderer.scoped(Frame::new(), body).map(|_| ()))?;
        let mut value = Value::Str(Arc::new(text));
        for filter in filters {
            let args = self.args(&filter.args)?;
            value = filters::apply(self, &filter.name, value, args)?;
        }
        Ok(value)
    }

    fn for_loop(&mut self, node: &'t For) -> Result<Flow, Fault> {
        let all = self.eval(&node.items)?.items(self.budget)?;
        let items = match &node.filter {
            None => all,
            Some(filter) => {
                let mut kept = Vec::new();
                for item in all {
                    self.frames.push(Frame::new());
                    let keep = self
                        .assign(&node.target, item.clone())
                        .and_then(|()| self.eval(filter));
                    self.frames.pop();
                    if keep?.truthy() {
                        kept.push(item);
                    }
                }
                kept
            }
        };
        if items.is_empty() {
            return self.scoped(Frame::new(), &node.otherwise);
        }
        self.iterate(node, &Arc::new(items))
    }

    fn iterate(&mut self, node: &'t For, items: &Arc<Vec<Value>>) -> Result<Flow, Fault> {
        let nesting = nest(items.iter())?;
        for index in 0..items.len() {
            self.budget.work(4)?;
            let state = Loop {
                items: items.clone(),
                index,
                nesting,
            };
            self.frames
                .push(Frame::from([("loop", Value::Loop(Arc::new(state)))]));
            let flow = self
                .assign(&node.target, items[index].clone())
                .and_then(|()| self.body(&node.body));
            self.frames.pop();
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn define(&mut self, name: &'t str, value: Value) {
        if let Some(frame) = self.frames.last_mut() {
            frame.insert(name, value);
        }
    }

    fn assign(&mut self, target: &'t Target, value: Value) -> Result<(), Fault> {
        match target {
            Target::Name(name) => self.define(name, value),
            Target::Attr(name, attr) => {
                let Value::Namespace(number) = self.lookup(name)? else {
                    return Err(other(format!("cannot set {name}.{attr}: {name} is no namespace")));
                };
                self.budget.hold(64 + attr.len())?;
                let budget = self.budget;
                let entries = &mut self.namespaces[number];
                super::value::set_entry(entries, Value::inside(attr.as_str()), value, budget)?;
            }
            Target::Tuple(targets) => {
                let items = value.items(self.budget)?;
                if items.len() != targets.len() {
                    return Err(other(format!(
                        "cannot unpack {} values into {}",
                        items.len(),
                        targets.len()
                    )));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item)?;
                }
            }
        }
        Ok(())
    }

    /// The value of a name: innermost first, then what every template has.
    fn lookup(&self, name: &str) -> Result<Value, Fault> {
        self.budget.work(self.frames.len() / 4)?;
        if let Some(value) = self.frames.iter().rev().find_map(|frame| frame.get(name)) {
            return Ok(value.clone());
        }
        match super::call::function(name) {
            Some(function) => Ok(Value::Function(function)),
            None => Value::missing(name, self.budget),
        }
    }

    pub(super) fn new_namespace(&mut self, entries: Vec<(Value, Value)>) -> Result<Value, Fault> {
        self.budget.hold(64 + entries.len() * 64)?;
        self.namespaces.push(entries);
        Ok(Value::Namespace(self.namespaces.len() - 1))
    }

    pub(super) fn namespace(&self, number: usize) -> &[(Value, Value)] {
        &self.namespaces[number]
    }

    fn call_block(&mut self, call: &'t Expr, caller: usize) -> Result<Arc<Text>, Fault> {
        let super::syntax::ExprKind::Call(function, args) = &call.kind else {
            return Err(other("a call block must call a macro"));
        };
        let function = self.eval(function)?;
        let mut args = self.args(args)?;
        args.named.push(("caller".into(), Value::Macro(caller)));
        let value = super::call::call(self, &function, args)?;
        print::to_text(self, &value)
    }
}
