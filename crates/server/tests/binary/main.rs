//! The real binary, as a person or a service manager starts it.

mod http;
mod process;

mod chat;
mod commands;
mod killed;
mod serve;
