//! Turns put together from smaller parts, for the doors whose bodies have blocks or items instead of messages.

use tokenmill_inference::{Message, Role};

/// A conversation being put together, and where each message of it stood.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) messages: Vec<Message>,
    /// The index of each in the caller's list; `None` stood outside.
    pub(crate) origins: Vec<Option<usize>>,
}

impl Turns {
    /// Adds a message. What one speaker says in a row is one turn, for many templates take speakers in turn only; each
    /// result of a function stays by itself.
    pub(crate) fn push(&mut self, origin: Option<usize>, message: Message) {
        let last = self.messages.last_mut();
        let goes_on = |last: &&mut Message| speaker(last.role) == speaker(message.role);
        match last.filter(goes_on) {
            Some(last) if message.role != Role::Tool => {
                join(&mut last.content, &message.content);
                if let Some(more) = message.reasoning {
                    join(last.reasoning.get_or_insert_default(), &more);
                }
                last.tool_calls.extend(message.tool_calls);
            }
            _ => {
                self.messages.push(message);
                self.origins.push(origin);
            }
        }
    }

    /// Adds what a function gave.
    pub(crate) fn push_result(&mut self, origin: usize, id: String, content: String) {
        let mut message = Message::new(Role::Tool, content);
        // Some templates want it, and here only the call has it.
        message.name = self.called(&id);
        message.tool_call_id = Some(id);
        self.push(Some(origin), message);
    }

    /// The function of an earlier call.
    fn called(&self, id: &str) -> Option<String> {
        let calls = self.messages.iter().rev().flat_map(|message| &message.tool_calls);
        let mut of_id = calls.filter(|call| call.id == id);
        of_id.next().map(|call| call.name.clone())
    }
}

/// `developer` is the newer name of `system`.
fn speaker(role: Role) -> Role {
    match role {
        Role::Developer => Role::System,
        other => other,
    }
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}
