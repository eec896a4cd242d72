//! What a request comes to on this model: its prompt, how its answer is read, and what decides on its tokens.

use serde_json::{Map, Value, json};
use tokenmill_text::grammar::{self, AnswerRules, CallRules, GrammarMatcher, ToolRule};
use tokenmill_text::reasoning::ThinkingMarks;
use tokenmill_text::tool_calls::{ToolFormat, ToolSignature};
use tokenmill_text::{ChatForm, RenderedPrompt, Specials, Thinking, ThinkingSwitch};

use super::mask::ThinkingWatch;
use super::reading::Reading;
use super::text_side::TextSide;
use crate::event::InferenceError;
use crate::form::{AnswerForm, Effort, TextForm, Tool, ToolChoice};
use crate::request::{Conversation, InvalidRequest, Message, Prompt, PromptEnding, Request, Role};

/// A request on this model.
pub(super) struct Plan {
    pub(super) prompt: Vec<u32>,
    pub(super) reading: Reading,
    /// Thinking that the prompt has opened, where somebody must watch it.
    pub(super) thinking: Option<ThinkingWatch>,
    pub(super) grammar: Option<GrammarMatcher>,
    pub(super) format: Option<&'static ToolFormat>,
}

/// Variables that templates are given anyway. Sorted.
const RESERVED: &[&str] = &[
    "add_generation_prompt",
    "bos_token",
    "documents",
    "eos_token",
    "messages",
    "pad_token",
    "strftime_now",
    "tools",
    "unk_token",
];

impl Plan {
    /// Renders, tokenises and compiles; keeps a thread busy.
    pub(super) fn of(text: &TextSide, request: &Request) -> Result<Plan, InferenceError> {
        let form = &request.form;
        let Prompt::Conversation(conversation) = &request.prompt else {
            return Plan::of_plain_prompt(text, request);
        };
        let chat = &text.form;
        let Turn {
            rendered,
            callable,
            wish,
            thinking,
            needs_grammar,
        } = Turn::of(text, form, conversation)?;
        let watch = match thinking {
            Some((marks, true)) if needs_grammar || wish.max_tokens.is_some() => {
                Some(watch(text, marks, wish.max_tokens)?)
            }
            _ => None,
        };
        let grammar = match needs_grammar {
            true => Some(compile(text, form, &callable)?),
            false => None,
        };
        let in_channels = chat.thinking == Thinking::Channels;
        let format = chat.tools.and_then(ToolFormat::named);
        let calls = format.filter(|_| in_channels || !callable.is_empty());
        let reading = Reading {
            thinking,
            calls,
            tools: callable.iter().map(|tool| signature(tool)).collect(),
            shown: shown(text, thinking.map(|(marks, _)| marks), calls),
        };
        Ok(Plan {
            prompt: text.encoded(&rendered)?,
            reading,
            thinking: watch,
            grammar,
            format,
        })
    }

    fn of_plain_prompt(text: &TextSide, request: &Request) -> Result<Plan, InferenceError> {
        let form = &request.form;
        check_plain_prompt(form)?;
        let grammar = match form.text {
            TextForm::Free => None,
            _ => Some(compile(text, form, &[])?),
        };
        Ok(Plan {
            prompt: text.tokens(request.prompt.clone())?,
            reading: Reading::default(),
            thinking: None,
            grammar,
            format: None,
        })
    }
}

/// The tokens of a request's prompt, without compiling what its answer must be.
pub(super) fn prompt_tokens(text: &TextSide, request: &Request) -> Result<Vec<u32>, InferenceError> {
    match &request.prompt {
        Prompt::Conversation(conversation) => {
            text.encoded(&Turn::of(text, &request.form, conversation)?.rendered)
        }
        prompt => {
            check_plain_prompt(&request.form)?;
            text.tokens(prompt.clone())
        }
    }
}

/// A request's prompt as the model is shown it.
pub(super) fn prompt_text(text: &TextSide, request: &Request) -> Result<String, InferenceError> {
    match &request.prompt {
        Prompt::Conversation(conversation) => {
            let turn = Turn::of(text, &request.form, conversation)?;
            Ok(turn.rendered.text().to_owned())
        }
        Prompt::Text(plain) => Ok(plain.clone()),
        Prompt::Tokens(_) => {
            Err(InvalidRequest::new("prompt", "is token ids, and has no form to be put into").into())
        }
    }
}

fn check_plain_prompt(form: &AnswerForm) -> Result<(), InvalidRequest> {
    if form.tools.is_empty() {
        return Ok(());
    }
    Err(InvalidRequest::new(
        "tools",
        "belong to conversations, and this is a plain prompt",
    ))
}

/// A conversation as the model is shown it, and what is known of the answer by then.
struct Turn<'f> {
    rendered: RenderedPrompt,
    callable: Vec<&'f Tool>,
    wish: ThinkingWish,
    /// Thinking comes between these marks; and whether the prompt has opened it.
    thinking: Option<(&'static ThinkingMarks, bool)>,
    needs_grammar: bool,
}

impl Turn<'_> {
    fn of<'f>(
        text: &TextSide,
        form: &'f AnswerForm,
        conversation: &Conversation,
    ) -> Result<Turn<'f>, InferenceError> {
        let chat = &text.form;
        check_messages(chat, conversation)?;
        let tools = Tools::of(chat, form)?;
        let mut conversation = conversation.clone();
        conversation.tools = tools.told;
        let wish = ThinkingWish::of(chat, form, &mut conversation.variables)?;
        let mut rendered = text.render(&conversation)?;
        let needs_grammar = form.text != TextForm::Free || !tools.callable.is_empty();
        let mut thinking = None;
        if let Thinking::Marked { marks, .. } = chat.thinking {
            let is_watched = needs_grammar || wish.max_tokens.is_some();
            let is_reply = conversation.ending == PromptEnding::Reply;
            if wish.is_on && is_watched && is_reply && !marks.is_open_at_end_of(rendered.text()) {
                // The model would open its thinking itself; so it is known from the first token that it thinks.
                rendered.push_trusted(&format!("{}\n", marks.open));
            }
            let is_open = marks.is_open_at_end_of(rendered.text());
            thinking = Some((marks, is_open));
        }
        Ok(Turn {
            rendered,
            callable: tools.callable,
            wish,
            thinking,
            needs_grammar,
        })
    }
}

/// Functions: those that the model is told of, and those that it may call.
struct Tools<'f> {
    told: Vec<Tool>,
    callable: Vec<&'f Tool>,
}

impl Tools<'_> {
    fn of<'f>(chat: &ChatForm, form: &'f AnswerForm) -> Result<Tools<'f>, InferenceError> {
        let callable = form.callable();
        if form.tools.is_empty() || form.tool_choice == ToolChoice::None {
            return Ok(Tools {
                told: Vec::new(),
                callable: Vec::new(),
            });
        }
        let fault = match (chat.takes_tools, chat.tools) {
            (true, Some(_)) => {
                return Ok(Tools {
                    told: form.tools.clone(),
                    callable,
                });
            }
            (false, _) => "cannot be honoured: this model's template has no place for functions",
            (true, None) => "cannot be honoured: nothing is known of how this model writes calls",
        };
        Err(InvalidRequest::new("tools", fault).into())
    }
}

/// Whether the template shows all that the messages hold.
fn check_messages(chat: &ChatForm, conversation: &Conversation) -> Result<(), InvalidRequest> {
    for (idx, message) in conversation.messages.iter().enumerate() {
        let missing = match message {
            Message { role: Role::Tool, .. } if !chat.takes_tool_results => "role",
            Message { tool_calls, .. } if !tool_calls.is_empty() && !chat.takes_tool_calls => "tool_calls",
            Message {
                name: Some(_), role, ..
            } if *role != Role::Tool && !chat.takes_names => "name",
            _ => continue,
        };
        let fault = "cannot be honoured: this model's template has no place for it";
        return Err(InvalidRequest::new(format!("messages[{idx}].{missing}"), fault));
    }
    Ok(())
}

/// Whether and how long to think.
struct ThinkingWish {
    is_on: bool,
    max_tokens: Option<u32>,
}

impl ThinkingWish {
    /// From the request, for this model; tells the template.
    fn of(
        chat: &ChatForm,
        form: &AnswerForm,
        variables: &mut Map<String, Value>,
    ) -> Result<ThinkingWish, InvalidRequest> {
        check_variables(chat, variables)?;
        let refused = |param: &str, fault: &str| Err(InvalidRequest::new(param, fault));
        let effort = form.effort;
        match chat.thinking {
            Thinking::None => {
                let fault = "asks for thinking, and this model does not think; leave it out, or turn it off";
                let is_bound = !form.is_thinking_optional;
                if is_bound && effort.is_some_and(|effort| effort != Effort::None) {
                    return refused("reasoning_effort", fault);
                }
                if is_bound && form.thinks == Some(true) {
                    return refused("thinking", fault);
                }
                Ok(ThinkingWish {
                    is_on: false,
                    max_tokens: None,
                })
            }
            Thinking::Channels => {
                if effort == Some(Effort::None) {
                    return refused("reasoning_effort", "must not be 'none': this model always thinks");
                }
                if form.thinks == Some(false) {
                    return refused("thinking", "must not be off: this model always thinks");
                }
                if form.max_thinking_tokens.is_some() {
                    return refused(
                        "max_reasoning_tokens",
                        "cannot be honoured by this model; set 'reasoning_effort'",
                    );
                }
                set_effort(chat, effort, variables);
                Ok(ThinkingWish {
                    is_on: true,
                    max_tokens: None,
                })
            }
            Thinking::Marked { switch, .. } => ThinkingWish::marked(chat, switch, form, variables),
        }
    }

    fn marked(
        chat: &ChatForm,
        switch: ThinkingSwitch,
        form: &AnswerForm,
        variables: &mut Map<String, Value>,
    ) -> Result<ThinkingWish, InvalidRequest> {
        let flag = |name: &str| variables.get(name).and_then(Value::as_bool);
        let asked = [
            (
                "reasoning_effort",
                form.effort.map(|effort| effort != Effort::None),
            ),
            (
                "max_reasoning_tokens",
                (form.max_thinking_tokens == Some(0)).then_some(false),
            ),
            ("thinking", form.thinks),
            ("chat_template_kwargs.enable_thinking", flag("enable_thinking")),
            ("chat_template_kwargs.thinking", flag("thinking")),
        ];
        let mut wish: Option<(&str, bool)> = None;
        for (param, on) in asked {
            match (wish, on) {
                (Some((first, was_on)), Some(on)) if was_on != on => {
                    return Err(InvalidRequest::new(param, format!("contradicts '{first}'")));
                }
                (None, Some(on)) => wish = Some((param, on)),
                _ => {}
            }
        }
        if switch == ThinkingSwitch::AlwaysOn
            && let Some((param, false)) = wish
        {
            return Err(InvalidRequest::new(
                param,
                "asks for no thinking, and this model always thinks",
            ));
        }
        let is_on = wish.map_or(switch != ThinkingSwitch::DefaultOff, |(_, on)| on);
        if wish.is_some() && switch != ThinkingSwitch::AlwaysOn {
            for name in ["enable_thinking", "thinking"] {
                if chat.may_read(name) {
                    variables.insert(name.to_owned(), Value::Bool(is_on));
                }
            }
        }
        let has_levels = set_effort(chat, form.effort, variables);
        let by_effort = form
            .effort
            .filter(|_| !has_levels)
            .and_then(Effort::max_thinking_tokens);
        let bounds = [form.max_thinking_tokens, by_effort];
        Ok(ThinkingWish {
            is_on,
            max_tokens: bounds.into_iter().flatten().min().filter(|_| is_on),
        })
    }
}

/// Tells a template that has levels of effort; false where it has none.
fn set_effort(chat: &ChatForm, effort: Option<Effort>, variables: &mut Map<String, Value>) -> bool {
    if !chat.may_read("reasoning_effort") {
        return false;
    }
    if let Some(effort) = effort.filter(|effort| *effort != Effort::None) {
        variables.insert("reasoning_effort".to_owned(), Value::from(effort.name()));
    }
    true
}

fn check_variables(chat: &ChatForm, variables: &Map<String, Value>) -> Result<(), InvalidRequest> {
    for name in variables.keys() {
        let short: String = name.chars().take(64).collect();
        let param = format!("chat_template_kwargs.{short}");
        if RESERVED.binary_search(&name.as_str()).is_ok() {
            return Err(InvalidRequest::new(param, "is set by the server itself"));
        }
        if !chat.may_read(name) {
            return Err(InvalidRequest::new(
                param,
                "is no variable of this model's template",
            ));
        }
    }
    Ok(())
}

fn watch(
    text: &TextSide,
    marks: &ThinkingMarks,
    max_tokens: Option<u32>,
) -> Result<ThinkingWatch, InferenceError> {
    let encode = |words: &str| {
        let ids = text.tokenizer.encode(words, Specials::Parse);
        ids.map_err(|error| InferenceError::Fault(error.to_string()))
    };
    let gap = text.form.after_thinking;
    Ok(ThinkingWatch {
        close: marks.close.as_bytes().to_vec(),
        closing_tokens: encode(&format!("\n{}{gap}", marks.close))?,
        gap_tokens: encode(gap)?,
        max_tokens,
        tail: Vec::new(),
        n_tokens: 0,
    })
}

fn compile(text: &TextSide, form: &AnswerForm, callable: &[&Tool]) -> Result<GrammarMatcher, InferenceError> {
    let compiler = text.compiler()?;
    let format = text.form.tools.and_then(ToolFormat::named);
    let tool = |tool: &&Tool| {
        let idx = form.tools.iter().position(|other| other.name == tool.name);
        ToolRule {
            name: tool.name.clone(),
            parameters: parameters(tool),
            is_strict: tool.is_strict,
            param: format!("tools[{}].function.parameters", idx.unwrap_or_default()),
        }
    };
    let calls = format.filter(|_| !callable.is_empty()).map(|format| CallRules {
        format,
        tools: callable.iter().map(tool).collect(),
        is_required: matches!(form.tool_choice, ToolChoice::Required | ToolChoice::Named(_)),
        is_parallel: !form.one_call_only && !matches!(form.tool_choice, ToolChoice::Named(_)),
    });
    let rules = AnswerRules {
        form: text_form(&form.text),
        form_param: text_param(form),
        calls,
        in_channels: text.form.thinking == Thinking::Channels,
    };
    let compiled = rules.compile(compiler);
    compiled.map_err(|(param, error)| InvalidRequest::new(param, error.to_string()).into())
}

fn text_param(form: &AnswerForm) -> String {
    match (form.text_param, &form.text) {
        ("response_format", TextForm::JsonSchema(_)) => "response_format.json_schema.schema".to_owned(),
        (param, _) => param.to_owned(),
    }
}

fn text_form(form: &TextForm) -> grammar::AnswerForm {
    match form {
        TextForm::Free => grammar::AnswerForm::Free,
        TextForm::JsonObject => grammar::AnswerForm::JsonObject,
        TextForm::JsonSchema(schema) => grammar::AnswerForm::JsonSchema(schema.clone()),
        TextForm::Regex(regex) => grammar::AnswerForm::Regex(regex.clone()),
        TextForm::Choice(texts) => grammar::AnswerForm::Choice(texts.clone()),
        TextForm::Lark(grammar) => grammar::AnswerForm::Lark(grammar.clone()),
    }
}

fn parameters(tool: &Tool) -> Value {
    match &tool.parameters {
        Some(parameters) => Value::Object(parameters.clone()),
        None => json!({"type": "object", "properties": {}, "additionalProperties": false}),
    }
}

fn signature(tool: &Tool) -> ToolSignature {
    ToolSignature {
        name: tool.name.clone(),
        parameters: parameters(tool),
    }
}

/// Special tokens whose text a reader must see.
fn shown(
    text: &TextSide,
    marks: Option<&'static ThinkingMarks>,
    calls: Option<&'static ToolFormat>,
) -> Vec<u32> {
    let thinking = marks.into_iter().flat_map(|marks| [marks.open, marks.close]);
    let calls = calls.into_iter().flat_map(ToolFormat::marks);
    let ids = thinking
        .chain(calls)
        .filter_map(|mark| text.tokenizer.token_id(mark));
    ids.filter(|&id| text.tokenizer.is_special(id)).collect()
}
