//! Parameters of OpenAI's Responses, where they differ from those of chats.

pub(crate) mod form;
pub(crate) mod input;
pub(crate) mod parts;
pub(crate) mod state;
pub(crate) mod tools;
