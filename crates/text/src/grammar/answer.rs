//! The whole of an answer as a grammar: thinking in channels, calls, and the form that was asked for.

use serde_json::{Value, json};

use super::blame::blame;
use super::calls::{CallParts, CallWriter};
pub use super::calls::{CallRules, ToolRule};
use super::lark::{Lark, Layout, MAX_REPETITIONS, quoted, repetitions, slashed, text_without};
use super::schema::{Unenforced, enforceable};
use super::{GrammarCompiler, GrammarError, GrammarMatcher};

/// What an answer must be.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerForm {
    /// Anything.
    Free,
    /// A JSON object.
    JsonObject,
    /// JSON of a schema, every keyword enforced.
    JsonSchema(Value),
    /// All of it matches a regular expression.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A grammar in Lark, whose rule `start` is all of it.
    Lark(String),
}

/// All that is known of an answer's form.
#[derive(Debug, Clone)]
pub struct AnswerRules {
    /// What text must be.
    pub form: AnswerForm,
    /// How the caller named the form, for messages.
    pub form_param: String,
    /// Calls, if functions may be called.
    pub calls: Option<CallRules>,
    /// Whether the model writes messages in channels.
    pub in_channels: bool,
}

impl AnswerRules {
    /// Compiles them. Blocks its thread.
    ///
    /// # Errors
    /// The parameter at fault, by the caller's name for it, and the fault.
    pub fn compile(&self, compiler: &GrammarCompiler) -> Result<GrammarMatcher, (String, GrammarError)> {
        let first = compiler.compile(&self.lark(compiler, false)?);
        let has_loose_tools = self
            .calls
            .iter()
            .any(|calls| calls.tools.iter().any(|tool| !tool.is_strict));
        match first {
            Err(GrammarError::Compile(_)) if has_loose_tools => {
                // What a function that is not strict asks for is a wish, and this one cannot be granted.
                let lark = self.lark(compiler, true)?;
                compiler
                    .compile(&lark)
                    .map_err(|error| self.blamed(compiler, error))
            }
            Err(error @ GrammarError::Compile(_)) => Err(self.blamed(compiler, error)),
            other => other.map_err(|error| (self.form_param.clone(), error)),
        }
    }

    /// The parameter whose part does not compile, and which part that is, where that can be told.
    fn blamed(&self, compiler: &GrammarCompiler, error: GrammarError) -> (String, GrammarError) {
        if let AnswerForm::JsonSchema(schema) = &self.form
            && let Ok(schema) = enforceable(schema, Unenforced::Refused)
            && let Some(error) = blame(compiler, &schema)
        {
            return (self.form_param.clone(), error);
        }
        let tools = self.calls.iter().flat_map(|calls| &calls.tools);
        for tool in tools.filter(|tool| tool.is_strict) {
            if let Ok(schema) = enforceable(&tool.parameters, Unenforced::Refused)
                && let Some(error) = blame(compiler, &schema)
            {
                return (tool.param.clone(), error);
            }
        }
        let param = match (&self.form, &self.calls) {
            (AnswerForm::Free, Some(_)) => "tools".to_owned(),
            _ => self.form_param.clone(),
        };
        (param, error)
    }

    fn lark(&self, compiler: &GrammarCompiler, is_lenient: bool) -> Result<String, (String, GrammarError)> {
        if let (AnswerForm::Lark(grammar), None, false) = (&self.form, &self.calls, self.in_channels) {
            return Ok(grammar.clone());
        }
        let mut lark = Lark::default();
        let start = if self.in_channels {
            self.channels(&mut lark, compiler, is_lenient)?
        } else {
            self.plain(&mut lark, compiler, is_lenient)?
        };
        Ok(lark.finish(&start))
    }

    fn plain(
        &self,
        lark: &mut Lark,
        compiler: &GrammarCompiler,
        is_lenient: bool,
    ) -> Result<String, (String, GrammarError)> {
        let Some(rules) = &self.calls else {
            return self.form(lark).map_err(|error| (self.form_param.clone(), error));
        };
        let Some(section) = rules.section() else {
            return self.channels(lark, compiler, is_lenient);
        };
        let mut writer = CallWriter {
            lark,
            compiler,
            rules,
            is_lenient,
        };
        let CallParts {
            from_start,
            after_text,
            text,
        } = writer.sections(section)?;
        if rules.is_required {
            return Ok(from_start);
        }
        if self.form == AnswerForm::Free {
            return Ok(format!("{after_text} {text}? | {text}?"));
        }
        let form = self
            .form(lark)
            .map_err(|error| (self.form_param.clone(), error))?;
        Ok(format!("{from_start} | {form}"))
    }

    /// The rule of the text's own form.
    fn form(&self, lark: &mut Lark) -> Result<String, GrammarError> {
        Ok(match &self.form {
            AnswerForm::Free => lark.terminal("/(?s:.+)/") + "?",
            AnswerForm::JsonObject => lark.json(&json!({"type": "object"}), Layout::Free),
            AnswerForm::JsonSchema(schema) => {
                let schema = enforceable(schema, Unenforced::Refused)?;
                lark.json(&schema, Layout::Free)
            }
            AnswerForm::Regex(regex) => {
                if repetitions(regex) > MAX_REPETITIONS {
                    let fault = format!("asks for more than {MAX_REPETITIONS} repetitions");
                    return Err(GrammarError::Malformed {
                        fault,
                        path: "its beginning".to_owned(),
                    });
                }
                // All of the answer is matched, anchors or not.
                let regex = regex.strip_prefix('^').unwrap_or(regex);
                let regex = match regex.strip_suffix('$') {
                    Some(before) if !before.ends_with('\\') => before,
                    _ => regex,
                };
                lark.terminal(&format!("/{}/", slashed(regex)))
            }
            AnswerForm::Choice(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                lark.rule(&texts.join(" | "))
            }
            AnswerForm::Lark(grammar) => lark.rule(&format!("%lark {{\n{grammar}\n}}")),
        })
    }

    /// Messages, from behind `<|start|>assistant` on; the last one ends the answer without a mark of its own.
    fn channels(
        &self,
        lark: &mut Lark,
        compiler: &GrammarCompiler,
        is_lenient: bool,
    ) -> Result<String, (String, GrammarError)> {
        let mark = |text: &str| compiler.mark(text);
        let (channel, message) = (mark("<|channel|>"), mark("<|message|>"));
        let next = format!("{} {} \"assistant\"", mark("<|end|>"), mark("<|start|>"));
        let text = match compiler.is_special_mark("<|end|>") {
            true => lark.terminal("/(?s:.+)/"),
            false => lark.terminal(&text_without(&["<|end|>", "<|start|>", "<|call|>", "<|return|>"])),
        };
        let thinking = lark.rule(&format!("{channel} \"analysis\" {message} {text}? {next}"));
        let remark = lark.rule(&format!("{channel} \"commentary\" {message} {text}? {next}"));
        let form = match &self.form {
            AnswerForm::Free => format!("{text}?"),
            _ => self
                .form(lark)
                .map_err(|error| (self.form_param.clone(), error))?,
        };
        let last = lark.rule(&format!("{channel} \"final\" {message} {form}"));
        let Some(rules) = &self.calls else {
            return Ok(format!("{thinking}? {last}"));
        };
        let mut writer = CallWriter {
            lark,
            compiler,
            rules,
            is_lenient,
        };
        let call = writer.channel_call()?;
        Ok(match rules.is_required {
            true => format!("{thinking}? {call}"),
            false => format!("{thinking}? {remark}? ({call} | {last})"),
        })
    }
}
