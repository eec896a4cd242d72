//! `tokenmill chat`: a conversation in the terminal, with the engine in this process.

mod input;

use std::io::IsTerminal;

use clap::{Arg, ArgMatches, Command, value_parser};
use futures::StreamExt;
use tokenmill_inference::{
    Draft, Event, FinishReason, InferenceError, Message, RequestSampling, Role, Router,
};

use super::{Output, resolve};
use crate::assemble::{self, Models};
use crate::builtin;
use crate::config::{Group, flags};
use crate::failure::Failure;
use crate::logging;
use crate::model_spec::ModelSpec;
use input::{Input, Line};

const LONG_ABOUT: &str = "\
Holds a conversation with a model in the terminal. Needs no server and no key. Ctrl-C stops an answer, Ctrl-D ends the \
program; /new begins another conversation. Nothing of what is said is kept on the disk.

Where standard input is no terminal, each of its lines is a turn, and only the answers are printed:

  echo 'Tell me a joke.' | tokenmill chat";

const HELP: &str = "Ctrl-C stops an answer. /new begins another conversation, /exit or Ctrl-D ends.";

pub(super) fn cli() -> Command {
    Command::new("chat")
        .about("Talk to a model in the terminal")
        .long_about(LONG_ABOUT)
        .arg(
            Arg::new("MODEL")
                .value_name("MODEL")
                .default_value(builtin::ID)
                .help("A .gguf file, a Hugging Face folder, or the id of the built-in model"),
        )
        .arg(
            Arg::new("system")
                .long("system")
                .value_name("TEXT")
                .help("Instructions that stand before the conversation"),
        )
        .arg(
            Arg::new("temperature")
                .long("temperature")
                .value_name("NUMBER")
                .value_parser(value_parser!(f32))
                .help("0 to 2: how freely words are chosen; without it, as the model's files say"),
        )
        .arg(
            Arg::new("max-tokens")
                .long("max-tokens")
                .value_name("N")
                .value_parser(value_parser!(u32))
                .help("The longest answer; without it, as long as the context has room"),
        )
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .help("The same seed and the same turns give the same answers"),
        )
        .args(flags(&[Group::Engine, Group::Log]))
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let mut config = resolve(matches)?;
    if matches.value_source("log-level").is_none() {
        // Log lines between the turns would be in the way.
        config.log_level = "warn".to_owned();
    }
    logging::start(&config);
    let spec = ModelSpec::parse(
        matches
            .get_one::<String>("MODEL")
            .map_or(builtin::ID, String::as_str),
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let Models { router, engines } = assemble::models(&config, std::slice::from_ref(&spec))?;
    let mut conversation = Conversation::new(&spec.id, matches);
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut input = if is_terminal {
        Input::terminal()?
    } else {
        Input::piped()
    };
    if is_terminal {
        writeln!(out, "{} is listening. {HELP}\n", spec.id)?;
    }
    let ended = converse(&mut conversation, &mut input, &router, &runtime, out);
    for engine in engines {
        engine.shutdown();
    }
    ended
}

fn converse(
    conversation: &mut Conversation,
    input: &mut Input,
    router: &Router,
    runtime: &tokio::runtime::Runtime,
    out: Output<'_>,
) -> Result<(), Failure> {
    loop {
        let text = match input.read()? {
            Line::End => return Ok(()),
            Line::Nothing => continue,
            Line::New => {
                conversation.begin_again();
                writeln!(out, "A new conversation.\n")?;
                continue;
            }
            Line::Help => {
                writeln!(out, "{HELP}\n")?;
                continue;
            }
            Line::Text(text) => text,
        };
        let stop_at_interrupt = input.is_terminal();
        let answered = runtime.block_on(conversation.turn(text, router, stop_at_interrupt, out));
        writeln!(out)?;
        match answered {
            Ok(()) => {}
            // A person can say something else; a script cannot know that it should.
            Err(failure) if stop_at_interrupt => writeln!(out, "[{}]", failure.message)?,
            Err(failure) => return Err(failure),
        }
        if stop_at_interrupt {
            writeln!(out)?;
        }
        out.flush()?;
    }
}

/// What has been said, and how answers are made.
struct Conversation {
    model: String,
    system: Option<String>,
    messages: Vec<Message>,
    sampling: RequestSampling,
    max_tokens: Option<u32>,
}

impl Conversation {
    fn new(model: &str, matches: &ArgMatches) -> Conversation {
        let mut conversation = Conversation {
            model: model.to_owned(),
            system: matches.get_one::<String>("system").cloned(),
            messages: Vec::new(),
            sampling: RequestSampling {
                temperature: matches.get_one("temperature").copied(),
                seed: matches.get_one("seed").copied(),
                ..RequestSampling::default()
            },
            max_tokens: matches.get_one("max-tokens").copied(),
        };
        conversation.begin_again();
        conversation
    }

    fn begin_again(&mut self) {
        let system = self
            .system
            .iter()
            .map(|content| Message::new(Role::System, content.clone()));
        self.messages = system.collect();
    }

    /// Says `text` and prints the answer as it comes. What was not answered at all is as if it had not been said.
    async fn turn(
        &mut self,
        text: String,
        router: &Router,
        stop_at_interrupt: bool,
        out: Output<'_>,
    ) -> Result<(), Failure> {
        self.messages.push(Message::new(Role::User, text));
        let mut answer = String::new();
        let ended = self.answer(&mut answer, router, stop_at_interrupt, out).await;
        if answer.is_empty() {
            self.messages.pop();
        } else {
            self.messages.push(Message::new(Role::Assistant, answer));
        }
        ended
    }

    async fn answer(
        &self,
        answer: &mut String,
        router: &Router,
        stop_at_interrupt: bool,
        out: Output<'_>,
    ) -> Result<(), Failure> {
        let mut draft = Draft::new(self.model.clone(), self.messages.clone());
        draft.sampling = self.sampling.clone();
        draft.max_tokens = self.max_tokens;
        let request = draft.check().map_err(|error| Failure::usage(error.to_string()))?;
        let mut events = router.start(request).await.map_err(failure)?;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = interrupt(), if stop_at_interrupt => {
                    // Dropping the events frees the engine.
                    write!(out, " [stopped]")?;
                    return Ok(());
                }
            };
            match event {
                Some(Ok(Event::Text { text, .. })) => {
                    answer.push_str(&text);
                    out.write_all(printable(&text).as_bytes())?;
                    out.flush()?;
                }
                Some(Ok(Event::ChoiceFinished {
                    reason: FinishReason::Length,
                    ..
                })) if stop_at_interrupt => {
                    write!(out, " [the answer was longer than it may be]")?;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(failure(error)),
                None => return Ok(()),
            }
        }
    }
}

/// Waits for Ctrl-C.
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn failure(error: InferenceError) -> Failure {
    match error {
        InferenceError::ContextLengthExceeded { .. } => Failure::new(format!(
            "the conversation is too long: {error}; /new begins another"
        )),
        InferenceError::Invalid(error) => Failure::usage(error.to_string()),
        error => Failure::new(error.to_string()),
    }
}

/// What a model says, without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_cannot_command_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n\tc\u{9b}d\r"), "a[2Jb\n\tcd");
    }
}
