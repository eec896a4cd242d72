//! Anthropic's parameters, for the doors below `/v1/messages`.

pub(crate) mod blocks;
pub(crate) mod conversation;
pub(crate) mod ending;
pub(crate) mod thinking;
pub(crate) mod tools;
pub(crate) mod without_effect;
