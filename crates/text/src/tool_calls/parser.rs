//! The parser that all formats share: text until calls begin, calls step by step, text again.

use super::calls::{Calls, Piece, ToolSignature, Unfinished};
use super::channels::ChannelReader;
use super::json::{Fed, JsonScan};
use super::literal::LiteralReader;
use super::object::ObjectCall;
use super::parameters::ParameterReader;
use super::{Between, Form, Section, Step, ToolFormat};

/// No function's name is longer (bytes).
const MAX_NAME_BYTES: usize = 256;

/// Reads an answer while it arrives. Joined pieces do not depend on how the text was cut.
///
/// Text goes out at once, but for an end that may still begin a call and whitespace before a call. Whitespace between
/// calls, and between calls and text, is layout and left out; all other text is kept.
#[derive(Debug)]
pub struct ToolCallParser {
    calls: Calls,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Sections(SectionReader),
    Channels(ChannelReader),
}

impl ToolCallParser {
    /// A parser for one answer in which these functions may be called.
    #[must_use]
    pub fn new(
        format: &'static ToolFormat,
        tools: Vec<ToolSignature>,
        unfinished: Unfinished,
    ) -> ToolCallParser {
        let reader = match &format.form {
            Form::Sections(section) => Reader::Sections(SectionReader::new(section)),
            Form::Channels => Reader::Channels(ChannelReader::default()),
        };
        ToolCallParser {
            calls: Calls::new(tools, unfinished),
            reader,
        }
    }

    /// Takes more of the answer.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        for c in text.chars() {
            match &mut self.reader {
                Reader::Sections(reader) => reader.feed(c, &mut self.calls),
                Reader::Channels(reader) => reader.feed(c, &mut self.calls),
            }
        }
        self.calls.take()
    }

    /// The answer is over.
    pub fn finish(&mut self) -> Vec<Piece> {
        match &mut self.reader {
            Reader::Sections(reader) => reader.finish(&mut self.calls),
            Reader::Channels(reader) => reader.finish(&mut self.calls),
        }
        self.calls.take()
    }
}

#[derive(Debug)]
struct SectionReader {
    section: &'static Section,
    at: At,
    /// Whether only whitespace has come so far.
    is_start: bool,
    /// Whether a call came last, so that whitespace before text is layout.
    is_after_call: bool,
    /// Whitespace that is layout if a call follows.
    space: String,
}

#[derive(Debug)]
enum At {
    /// Outside calls; what may be the opening's beginning.
    Text(String),
    /// Before the first call: which text of the head comes next, and what there is of it.
    Head {
        idx: usize,
        mark: String,
        source: String,
    },
    Call(Call),
    /// After a call; what may be a separator or the tail.
    Between(String),
    /// After the last call: which text of the tail comes next, and what there is of it.
    Tail {
        idx: usize,
        mark: String,
    },
}

/// A call that is being read.
#[derive(Debug)]
struct Call {
    step_idx: usize,
    step: StepState,
    /// All of its text, and what led to it: what it is if it turns out to be no call.
    source: String,
    is_named: bool,
}

#[derive(Debug)]
enum StepState {
    /// Before the step; whitespace may come.
    Before,
    Text(String),
    Name(String),
    Object(Box<ObjectCall>),
    Arguments(JsonScan),
    Parameters(ParameterReader),
    Literal(LiteralReader),
}

impl SectionReader {
    fn new(section: &'static Section) -> SectionReader {
        SectionReader {
            section,
            at: At::Text(String::new()),
            is_start: true,
            is_after_call: false,
            space: String::new(),
        }
    }

    fn feed(&mut self, c: char, calls: &mut Calls) {
        match std::mem::replace(&mut self.at, At::Text(String::new())) {
            At::Text(mark) => self.text(mark, c, calls),
            At::Head { idx, mark, source } => self.head(idx, mark, source, c, calls),
            At::Call(call) => self.call(call, c, calls),
            At::Between(mark) => self.between(mark, c, calls),
            At::Tail { idx, mark } => self.tail(idx, mark, c, calls),
        }
    }

    fn text(&mut self, mut mark: String, c: char, calls: &mut Calls) {
        if mark.is_empty() && self.is_start && self.section.bare == Some(c) {
            self.enter(String::new());
            self.feed(c, calls);
            return;
        }
        mark.push(c);
        loop {
            if mark == self.section.open {
                self.enter(mark);
                return;
            }
            if self.section.open.starts_with(mark.as_str()) {
                break;
            }
            // The longest end that may still open calls stays.
            let first = mark.remove(0);
            self.pass(first, calls);
        }
        self.at = At::Text(mark);
    }

    /// Text that opens nothing.
    fn pass(&mut self, c: char, calls: &mut Calls) {
        if c.is_whitespace() {
            self.space.push(c);
            return;
        }
        self.pass_space(calls);
        calls.text(c.encode_utf8(&mut [0; 4]));
    }

    /// Something other than a call follows.
    fn pass_space(&mut self, calls: &mut Calls) {
        let space = std::mem::take(&mut self.space);
        if !self.is_after_call {
            calls.text(&space);
        }
        self.is_start = false;
        self.is_after_call = false;
    }

    fn enter(&mut self, source: String) {
        self.at = if self.section.head.is_empty() {
            At::Call(Call::new(0, source))
        } else {
            At::Head {
                idx: 0,
                mark: String::new(),
                source,
            }
        };
    }

    fn head(&mut self, idx: usize, mut mark: String, mut source: String, c: char, calls: &mut Calls) {
        let text = self.section.head[idx];
        if mark.is_empty() && c.is_ascii_whitespace() {
            source.push(c);
            self.at = At::Head { idx, mark, source };
            return;
        }
        mark.push(c);
        if mark == text {
            source.push_str(&mark);
            self.at = if idx + 1 == self.section.head.len() {
                At::Call(Call::new(0, source))
            } else {
                let mark = String::new();
                At::Head {
                    idx: idx + 1,
                    mark,
                    source,
                }
            };
        } else if text.starts_with(mark.as_str()) {
            self.at = At::Head { idx, mark, source };
        } else {
            self.give_back(&source, &mark, calls);
        }
    }

    /// What looked like a call is text; `again` may yet begin one.
    fn give_back(&mut self, source: &str, again: &str, calls: &mut Calls) {
        if !source.is_empty() {
            self.pass_space(calls);
            calls.text(source);
        }
        self.at = At::Text(String::new());
        // A bare opening has been tried: the same character must not be tried again.
        self.is_start = false;
        for c in again.chars() {
            self.feed(c, calls);
        }
    }

    fn call(&mut self, mut call: Call, c: char, calls: &mut Calls) {
        match call.feed(c, self.section, calls) {
            Fed::More => self.at = At::Call(call),
            Fed::Done => self.end_call(calls),
            Fed::DoneBefore => {
                self.end_call(calls);
                self.feed(c, calls);
            }
            Fed::Broken => self.break_call(&call, c, calls),
        }
    }

    fn break_call(&mut self, call: &Call, c: char, calls: &mut Calls) {
        let again = match &call.step {
            StepState::Text(mark) => mark.clone(),
            _ => String::new(),
        };
        let again = again + c.encode_utf8(&mut [0; 4]);
        if calls.abandon() {
            let source = call.source.strip_suffix(&again).unwrap_or_default();
            self.give_back(source, &again, calls);
        } else {
            self.is_after_call = true;
            self.give_back("", &again, calls);
        }
    }

    fn end_call(&mut self, calls: &mut Calls) {
        calls.end();
        self.space.clear();
        self.is_start = false;
        self.is_after_call = true;
        self.at = match self.section.between {
            Some(_) => At::Between(String::new()),
            None => self.tail_start(),
        };
    }

    fn tail_start(&self) -> At {
        if self.section.tail.is_empty() {
            return At::Text(String::new());
        }
        At::Tail {
            idx: 0,
            mark: String::new(),
        }
    }

    fn between(&mut self, mut mark: String, c: char, calls: &mut Calls) {
        if mark.is_empty() && c.is_ascii_whitespace() {
            self.at = At::Between(mark);
            return;
        }
        mark.push(c);
        let tail = self.section.tail.first().copied().unwrap_or_default();
        let (leads, step_idx) = match self.section.between {
            Some(Between::Separators(separators)) => (separators.to_vec(), 0),
            _ => (self.section.first_text().into_iter().collect(), 1),
        };
        if leads.contains(&mark.as_str()) {
            self.at = At::Call(Call::new(step_idx, mark));
        } else if mark == tail {
            self.after_tail(0);
        } else if leads
            .iter()
            .chain([&tail])
            .any(|text| text.starts_with(mark.as_str()))
        {
            self.at = At::Between(mark);
        } else {
            self.give_back("", &mark, calls);
        }
    }

    fn tail(&mut self, idx: usize, mut mark: String, c: char, calls: &mut Calls) {
        if mark.is_empty() && c.is_ascii_whitespace() {
            self.at = At::Tail { idx, mark };
            return;
        }
        mark.push(c);
        let text = self.section.tail[idx];
        if mark == text {
            self.after_tail(idx);
        } else if text.starts_with(mark.as_str()) {
            self.at = At::Tail { idx, mark };
        } else {
            self.give_back("", &mark, calls);
        }
    }

    fn after_tail(&mut self, idx: usize) {
        self.at = if idx + 1 < self.section.tail.len() {
            At::Tail {
                idx: idx + 1,
                mark: String::new(),
            }
        } else {
            At::Text(String::new())
        };
    }

    fn finish(&mut self, calls: &mut Calls) {
        match std::mem::replace(&mut self.at, At::Text(String::new())) {
            At::Text(mark) => {
                if !mark.is_empty() {
                    self.pass_space(calls);
                    calls.text(&mark);
                }
            }
            At::Head { mark, source, .. } => {
                self.pass_space(calls);
                calls.text(&(source + &mark));
            }
            At::Call(call) if call.is_complete(self.section) => self.end_call(calls),
            At::Call(call) => {
                let separator_only = self.is_after_call && !call.has_begun();
                if calls.abandon() && !separator_only {
                    self.pass_space(calls);
                    calls.text(&call.source);
                }
            }
            // What was to come is layout, and so is the part of it that did.
            At::Between(_) | At::Tail { .. } => {}
        }
        if !self.space.is_empty() {
            self.pass_space(calls);
        }
    }
}

impl Section {
    fn first_text(&self) -> Option<&'static str> {
        match self.call.first() {
            Some(Step::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl Call {
    fn new(step_idx: usize, source: String) -> Call {
        Call {
            step_idx,
            step: StepState::Before,
            source,
            is_named: false,
        }
    }

    /// Whether anything of the call itself has come, beyond what leads to it.
    fn has_begun(&self) -> bool {
        self.step_idx > 0 || !matches!(self.step, StepState::Before)
    }

    /// Whether all that counts has come: a last text that closes the call may be missing.
    fn is_complete(&self, section: &Section) -> bool {
        let rest = &section.call[self.step_idx.min(section.call.len())..];
        let arguments_read = self.is_named && rest.iter().all(|step| matches!(step, Step::Text(_)));
        arguments_read && matches!(self.step, StepState::Before | StepState::Text(_))
    }

    fn feed(&mut self, c: char, section: &Section, calls: &mut Calls) -> Fed {
        self.source.push(c);
        self.feed_step(c, section, calls)
    }

    fn feed_step(&mut self, c: char, section: &Section, calls: &mut Calls) -> Fed {
        let Some(&step) = section.call.get(self.step_idx) else {
            return Fed::Broken;
        };
        if matches!(self.step, StepState::Before) {
            if c.is_ascii_whitespace() {
                return Fed::More;
            }
            self.step = StepState::begin(step);
        }
        let fed = match (&mut self.step, step) {
            (StepState::Text(mark), Step::Text(text)) => feed_text(mark, text, c),
            (StepState::Name(name), Step::Name(ends)) => {
                name.push(c);
                let ended = ends.iter().find_map(|end| name.strip_suffix(end));
                match ended.map(str::to_owned) {
                    Some(name) => self.begin_call(&name, calls, Fed::Done),
                    None if may_be_name(name, ends) => Fed::More,
                    None => Fed::Broken,
                }
            }
            (StepState::Name(name), Step::BareName) if c.is_ascii_whitespace() || c == '<' => {
                let name = std::mem::take(name);
                self.begin_call(&name, calls, Fed::DoneBefore)
            }
            (StepState::Name(name), Step::BareName) => {
                name.push(c);
                if may_be_name(name, &[]) {
                    Fed::More
                } else {
                    Fed::Broken
                }
            }
            (StepState::Object(object), _) => object.feed(c, calls),
            (StepState::Arguments(scan), _) => {
                let fed = scan.feed(c);
                if fed != Fed::Broken {
                    calls.arguments(c.encode_utf8(&mut [0; 4]));
                }
                fed
            }
            (StepState::Parameters(reader), _) => reader.feed(c, calls),
            (StepState::Literal(reader), _) => reader.feed(c, calls),
            _ => Fed::Broken,
        };
        match fed {
            Fed::Done => self.next_step(section),
            Fed::DoneBefore => match self.next_step(section) {
                Fed::Done => Fed::DoneBefore,
                _ => self.feed_step(c, section, calls),
            },
            other => other,
        }
    }

    fn next_step(&mut self, section: &Section) -> Fed {
        if matches!(self.step, StepState::Object(_)) {
            self.is_named = true;
        }
        self.step = StepState::Before;
        self.step_idx += 1;
        if self.step_idx == section.call.len() {
            Fed::Done
        } else {
            Fed::More
        }
    }

    /// The name may carry more than itself: `functions.NAME:0`.
    fn begin_call(&mut self, name: &str, calls: &mut Calls, fed: Fed) -> Fed {
        let name = name.split("[CALL_ID]").next().unwrap_or(name).trim();
        let mut bare = name.strip_prefix("functions.").unwrap_or(name);
        if let Some((before, idx)) = bare.rsplit_once(':')
            && idx.bytes().all(|byte| byte.is_ascii_digit())
        {
            bare = before;
        }
        self.is_named = calls.begin(name) || calls.begin(bare);
        if self.is_named { fed } else { Fed::Broken }
    }
}

/// One more character of a text that must be `text`; what does not fit is not taken.
fn feed_text(mark: &mut String, text: &str, c: char) -> Fed {
    mark.push(c);
    if mark == text {
        Fed::Done
    } else if text.starts_with(mark.as_str()) {
        Fed::More
    } else {
        mark.pop();
        Fed::Broken
    }
}

/// Whether a text may still become a name with one of the `ends` after it.
fn may_be_name(text: &str, ends: &[&str]) -> bool {
    let end_start = |(idx, _): (usize, char)| ends.iter().any(|end| end.starts_with(&text[idx..]));
    let Some(last) = text.chars().next_back() else {
        return true;
    };
    // Brackets: Mistral may put `[CALL_ID]` and an id after the name.
    let is_plain = last.is_alphanumeric() || "_-.:/$[]".contains(last);
    text.len() <= MAX_NAME_BYTES && (is_plain || text.char_indices().any(end_start))
}

impl StepState {
    fn begin(step: Step) -> StepState {
        match step {
            Step::Text(_) => StepState::Text(String::new()),
            Step::Name(_) | Step::BareName => StepState::Name(String::new()),
            Step::Object(argument_keys) => StepState::Object(Box::new(ObjectCall::new(argument_keys))),
            Step::Arguments => StepState::Arguments(JsonScan::new()),
            Step::Parameters(form) => StepState::Parameters(ParameterReader::new(form)),
            Step::Literal(dialect) => StepState::Literal(LiteralReader::new(dialect)),
        }
    }
}
