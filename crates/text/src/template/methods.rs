//! Python's methods of strings, dicts and lists.

use std::ops::Range;
use std::sync::Arc;

use super::call::CallArgs;
use super::fault::{Budget, Fault};
use super::print;
use super::render::Renderer;
use super::text::Text;
use super::value::{Dict, List, Value, other};

pub(super) const STR: [&str; 37] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
    "zfill",
];
/// The bytes that a short string takes as a value of its own, with what the allocator adds.
pub(super) const PART_BYTES: usize = 256;

pub(super) const DICT: [&str; 5] = ["copy", "get", "items", "keys", "values"];
pub(super) const LIST: [&str; 3] = ["copy", "count", "index"];

pub(super) fn call(
    renderer: &mut Renderer<'_>,
    of: &Value,
    name: &str,
    args: CallArgs,
) -> Result<Value, Fault> {
    match of {
        Value::Str(text) => {
            // Every method looks at the whole string at most a few times, and makes at most a few copies.
            renderer.budget.hold(text.cost() * 2)?;
            renderer.budget.work(text.len() / 8)?;
            call_str(renderer, text, name, args)
        }
        Value::Dict(dict) => call_dict(renderer, of, dict, name, args),
        Value::List(list) => call_list(renderer, of, list, name, args),
        Value::Loop(state) => {
            if args.positional.is_empty() {
                return Err(other("loop.cycle needs arguments"));
            }
            Ok(args.positional[state.index % args.positional.len()].clone())
        }
        _ => Err(other(format!("{} has no method {name}", of.kind()))),
    }
}

fn call_dict(
    renderer: &Renderer<'_>,
    of: &Value,
    dict: &Dict,
    name: &str,
    args: CallArgs,
) -> Result<Value, Fault> {
    let budget = renderer.budget;
    if name == "get" {
        let [key, default] = args.bind("get", ["key", "default"])?;
        let key = key.ok_or_else(|| other("get needs a key"))?;
        return Ok(dict.get(&key, budget)?.or(default).unwrap_or(Value::None));
    }
    let [] = args.bind(name, [])?;
    match name {
        "copy" => Ok(of.clone()),
        _ => {
            budget.hold(dict.entries.len() * 2 * size_of::<Value>())?;
            let mut items = Vec::with_capacity(dict.entries.len());
            for (key, value) in &dict.entries {
                items.push(match name {
                    "keys" => key.clone(),
                    "values" => value.clone(),
                    _ => Value::tuple(vec![key.clone(), value.clone()], budget)?,
                });
            }
            Value::list(items, budget)
        }
    }
}

fn call_list(
    renderer: &Renderer<'_>,
    of: &Value,
    list: &List,
    name: &str,
    args: CallArgs,
) -> Result<Value, Fault> {
    if name == "copy" {
        let [] = args.bind(name, [])?;
        return Ok(of.clone());
    }
    let [item] = args.bind(name, ["value"])?;
    let item = item.ok_or_else(|| other(format!("{name} needs a value")))?;
    let mut count = 0;
    for (at, candidate) in list.items.iter().enumerate() {
        if candidate.equals(&item, renderer.budget)? {
            if name == "index" {
                return Ok(Value::Int(at as i128));
            }
            count += 1;
        }
    }
    if name == "index" {
        Err(other("index: the value is not in the list"))
    } else {
        Ok(Value::Int(count))
    }
}

fn text_value(text: Text) -> Result<Value, Fault> {
    Ok(Value::Str(Arc::new(text)))
}

fn wanted(value: Option<Value>, method: &str) -> Result<Arc<Text>, Fault> {
    match value {
        Some(Value::Str(text)) => Ok(text),
        Some(value) => Err(other(format!("{method} needs a str, not {}", value.kind()))),
        None => Err(other(format!("{method} needs an argument"))),
    }
}

/// A string that a method searches for or compares with, and its whole length paid for.
fn needle(value: Option<Value>, method: &str, budget: &Budget) -> Result<Arc<Text>, Fault> {
    let text = wanted(value, method)?;
    budget.work(text.len() / 8)?;
    Ok(text)
}

fn call_str(
    renderer: &mut Renderer<'_>,
    text: &Arc<Text>,
    name: &str,
    args: CallArgs,
) -> Result<Value, Fault> {
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.bind(name, ["chars"])?;
            let chars = match chars {
                None | Some(Value::None) => None,
                some => Some(wanted(some, name)?),
            };
            renderer
                .budget
                .work(chars.as_ref().map_or(0, |chars| chars.len() * text.len() / 64))?;
            text_value(strip(
                text,
                name != "rstrip",
                name != "lstrip",
                chars.as_deref().map(Text::as_str),
            ))
        }
        "split" | "rsplit" | "splitlines" | "partition" | "rpartition" => split(renderer, text, name, args),
        "startswith" | "endswith" => affix(renderer.budget, text, name, args),
        "find" | "rfind" | "index" | "count" => search(renderer.budget, text, name, args),
        "replace" => {
            let [old, new, count] = args.bind(name, ["old", "new", "count"])?;
            let (old, new) = (wanted(old, name)?, wanted(new, name)?);
            let count = count.and_then(|count| count.as_int()).unwrap_or(-1);
            text_value(replace(text, &old, &new, count, renderer.budget)?)
        }
        "removeprefix" | "removesuffix" => {
            let [affix] = args.bind(name, ["affix"])?;
            let affix = needle(affix, name, renderer.budget)?;
            text_value(text.part(|str| {
                let kept = if name == "removeprefix" {
                    str.strip_prefix(affix.as_str())
                } else {
                    str.strip_suffix(affix.as_str())
                };
                kept.unwrap_or(str)
            }))
        }
        "join" => {
            let [items] = args.bind(name, ["iterable"])?;
            let items = items
                .ok_or_else(|| other("join needs a list"))?
                .items(renderer.budget)?;
            for item in &items {
                wanted(Some(item.clone()), "join")?;
            }
            text_value(join(renderer, &items, text)?)
        }
        "center" | "ljust" | "rjust" | "zfill" => pad(renderer.budget, text, name, args),
        "format" => super::filters::format_braces(renderer, text, &args),
        _ => {
            let [] = args.bind(name, [])?;
            case_or_class(text, name)
        }
    }
}

/// The text without white space (or `chars`) at its ends.
pub(super) fn strip(text: &Text, left: bool, right: bool, chars: Option<&str>) -> Text {
    let drop = |char: char| match chars {
        Some(chars) => chars.contains(char),
        None => is_python_space(char),
    };
    text.part(|str| {
        let str = if left { str.trim_start_matches(drop) } else { str };
        if right { str.trim_end_matches(drop) } else { str }
    })
}

/// Python counts four separators as white space that Unicode does not.
fn is_python_space(char: char) -> bool {
    char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char)
}

/// Matches of `old` replaced, at most `count` (any number if negative), paid for in advance.
pub(super) fn replace(
    text: &Text,
    old: &Text,
    new: &Text,
    count: i128,
    budget: &Budget,
) -> Result<Text, Fault> {
    let limit = if count < 0 {
        usize::MAX
    } else {
        usize::try_from(count).unwrap_or(usize::MAX)
    };
    budget.work(text.len() / 8 + old.len() / 8)?;
    let n_matches = text.as_str().matches(old.as_str()).take(limit).count();
    budget.work(n_matches)?;
    // Each replacement may also cut a range from outside in two.
    let span = size_of::<Range<usize>>();
    budget.hold(
        n_matches
            .saturating_mul(new.cost() + span)
            .saturating_add(text.cost()),
    )?;
    Ok(text.replace(old.as_str(), new, limit))
}

/// The items with `between` between them, each as `str` writes it.
pub(super) fn join(renderer: &Renderer<'_>, items: &[Value], between: &Text) -> Result<Text, Fault> {
    let mut out = Text::default();
    for (idx, item) in items.iter().enumerate() {
        let item = print::to_text(renderer, item)?;
        renderer.budget.work(1)?;
        renderer.budget.hold(item.cost() + between.cost())?;
        if idx > 0 {
            out.push(between);
        }
        out.push(&item);
    }
    Ok(out)
}

fn split(renderer: &Renderer<'_>, text: &Text, name: &str, args: CallArgs) -> Result<Value, Fault> {
    let budget = renderer.budget;
    let str = text.as_str();
    let mut ranges: Vec<Range<usize>> = match name {
        "splitlines" => {
            let [keep] = args.bind(name, ["keepends"])?;
            lines(str, keep.is_some_and(|keep| keep.truthy()), budget)?
        }
        "partition" | "rpartition" => {
            let [sep] = args.bind(name, ["sep"])?;
            let sep = needle(sep, name, budget)?;
            pay_for_parts(3, budget)?;
            let at = if name == "partition" {
                str.find(sep.as_str())
            } else {
                str.rfind(sep.as_str())
            };
            match at {
                Some(at) => vec![0..at, at..at + sep.len(), at + sep.len()..str.len()],
                None if name == "partition" => vec![0..str.len(), 0..0, 0..0],
                None => vec![0..0, 0..0, 0..str.len()],
            }
        }
        _ => {
            let [sep, max] = args.bind(name, ["sep", "maxsplit"])?;
            let max = max
                .and_then(|max| max.as_int())
                .and_then(|max| usize::try_from(max).ok());
            let max = max.unwrap_or(usize::MAX - 1);
            let from_right = name == "rsplit";
            match sep {
                None | Some(Value::None) => split_blank(str, max, from_right, budget)?,
                sep => {
                    let sep = needle(sep, name, budget)?;
                    if sep.len() == 0 {
                        return Err(other("split by an empty str"));
                    }
                    split_by(str, sep.as_str(), max, from_right, budget)?
                }
            }
        }
    };
    let items = ranges
        .drain(..)
        .map(|range| Value::Str(Arc::new(text.slice(range))))
        .collect();
    if name.ends_with("partition") {
        Value::tuple(items, budget)
    } else {
        Value::list(items, budget)
    }
}

/// Pays for parts of a string before they are collected: the range of each, the value it becomes and that value's own
/// allocations.
fn pay_for_parts(n_parts: usize, budget: &Budget) -> Result<(), Fault> {
    budget.work(n_parts * 4)?;
    budget.hold(n_parts * PART_BYTES)
}

fn split_by(
    str: &str,
    sep: &str,
    max: usize,
    from_right: bool,
    budget: &Budget,
) -> Result<Vec<Range<usize>>, Fault> {
    budget.work(str.len() / 8)?;
    let n_separators = str.matches(sep).take(max).count();
    pay_for_parts(n_separators + 1, budget)?;
    let span = |part: &str| {
        let start = part.as_ptr() as usize - str.as_ptr() as usize;
        start..start + part.len()
    };
    if from_right {
        let mut parts: Vec<_> = str.rsplitn(max + 1, sep).map(span).collect();
        parts.reverse();
        Ok(parts)
    } else {
        Ok(str.splitn(max + 1, sep).map(span).collect())
    }
}

/// Splits at runs of white space, with none at the ends.
fn split_blank(str: &str, max: usize, from_right: bool, budget: &Budget) -> Result<Vec<Range<usize>>, Fault> {
    let mut parts = Vec::new();
    let (mut start, mut end) = (0, str.len());
    loop {
        let rest = &str[start..end];
        if from_right {
            end -= rest.len() - rest.trim_end_matches(is_python_space).len();
        } else {
            start += rest.len() - rest.trim_start_matches(is_python_space).len();
        }
        let rest = &str[start..end];
        if rest.is_empty() {
            break;
        }
        pay_for_parts(1, budget)?;
        let border = if from_right {
            rest.rfind(is_python_space)
        } else {
            rest.find(is_python_space)
        };
        match border {
            Some(at) if parts.len() < max && from_right => {
                let next = at + rest[at..].chars().next().map_or(1, char::len_utf8);
                parts.push(start + next..end);
                end = start + at;
            }
            Some(at) if parts.len() < max => {
                parts.push(start..start + at);
                start += at;
            }
            _ => {
                parts.push(start..end);
                break;
            }
        }
    }
    if from_right {
        parts.reverse();
    }
    Ok(parts)
}

fn lines(str: &str, keep_ends: bool, budget: &Budget) -> Result<Vec<Range<usize>>, Fault> {
    let is_end =
        |char: char| matches!(char, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut parts = Vec::new();
    let mut start = 0;
    pay_for_parts(1, budget)?;
    while let Some(at) = str[start..].find(is_end).map(|at| at + start) {
        pay_for_parts(1, budget)?;
        let len = if str[at..].starts_with("\r\n") {
            2
        } else {
            str[at..].chars().next().map_or(1, char::len_utf8)
        };
        parts.push(start..if keep_ends { at + len } else { at });
        start = at + len;
    }
    if start < str.len() {
        parts.push(start..str.len());
    }
    Ok(parts)
}

fn affix(budget: &Budget, text: &Text, name: &str, args: CallArgs) -> Result<Value, Fault> {
    let [affix] = args.bind(name, ["affix"])?;
    let options = match &affix {
        Some(Value::List(list)) if list.tuple => &list.items[..],
        Some(value) => std::slice::from_ref(value),
        None => return Err(other(format!("{name} needs an argument"))),
    };
    for option in options {
        budget.work(1)?;
        let option = needle(Some(option.clone()), name, budget)?;
        let str = text.as_str();
        let found = if name == "startswith" {
            str.starts_with(option.as_str())
        } else {
            str.ends_with(option.as_str())
        };
        if found {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn search(budget: &Budget, text: &Text, name: &str, args: CallArgs) -> Result<Value, Fault> {
    let [part] = args.bind(name, ["sub"])?;
    let part = needle(part, name, budget)?;
    let (str, part) = (text.as_str(), part.as_str());
    if name == "count" {
        return Ok(Value::Int(str.matches(part).count() as i128));
    }
    let at = if name == "rfind" {
        str.rfind(part)
    } else {
        str.find(part)
    };
    match at {
        Some(at) => Ok(Value::Int(str[..at].chars().count() as i128)),
        None if name == "index" => Err(other("index: the part is not in the str")),
        None => Ok(Value::Int(-1)),
    }
}

fn pad(budget: &Budget, text: &Text, name: &str, args: CallArgs) -> Result<Value, Fault> {
    let [width, fill] = args.bind(name, ["width", "fillchar"])?;
    let width = width
        .and_then(|width| width.as_int())
        .ok_or_else(|| other(format!("{name} needs a width")))?;
    let fill = match fill {
        Some(fill) => wanted(Some(fill), name)?,
        None => Arc::new(Text::inside(if name == "zfill" { "0" } else { " " })),
    };
    let missing = width.saturating_sub(text.as_str().chars().count() as i128).max(0);
    let missing = usize::try_from(missing).map_err(|_| Fault::OverLimit)?;
    budget.hold(missing.saturating_mul(fill.cost()))?;
    budget.work(missing)?;
    let left = match name {
        "ljust" => 0,
        // As Python: the odd one goes left only if the width is odd too.
        "center" => missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1),
        _ => missing,
    };
    let mut out = Text::default();
    let sign = usize::from(name == "zfill" && text.as_str().starts_with(['-', '+']));
    out.push_slice(text, 0..sign);
    (0..left).for_each(|_| out.push(&fill));
    out.push_slice(text, sign..text.len());
    (left..missing).for_each(|_| out.push(&fill));
    text_value(out)
}

fn case_or_class(text: &Text, name: &str) -> Result<Value, Fault> {
    let str = text.as_str();
    let all = |class: fn(char) -> bool| Ok(Value::Bool(!str.is_empty() && str.chars().all(class)));
    let cased = |wrong: fn(char) -> bool, right: fn(char) -> bool| {
        Ok(Value::Bool(str.chars().any(right) && !str.chars().any(wrong)))
    };
    match name {
        "lower" | "casefold" => text_value(lower(text)),
        "upper" => text_value(upper(text)),
        "capitalize" => text_value(capitalize(text)),
        "title" => text_value(title(text, char::is_alphabetic)),
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => Ok(Value::Bool(str.is_ascii())),
        "isdecimal" | "isdigit" => all(|char| char.is_ascii_digit()),
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_python_space),
        "islower" => cased(char::is_uppercase, char::is_lowercase),
        "isupper" => cased(char::is_lowercase, char::is_uppercase),
        _ => Err(other(format!("a str has no method {name}"))),
    }
}

pub(super) fn lower(text: &Text) -> Text {
    text.map_chars(|char, out| out.extend(char.to_lowercase()))
}

pub(super) fn upper(text: &Text) -> Text {
    text.map_chars(|char, out| out.extend(char.to_uppercase()))
}

pub(super) fn capitalize(text: &Text) -> Text {
    title(text, |_| true)
}

/// Upper case where a word begins: after a character that does not `continue` one. The first always begins one.
pub(super) fn title(text: &Text, continues: impl Fn(char) -> bool) -> Text {
    let mut before = None;
    text.map_chars(|char, out| {
        if before.is_some_and(&continues) {
            out.extend(char.to_lowercase());
        } else {
            out.extend(char.to_uppercase());
        }
        before = Some(char);
    })
}
