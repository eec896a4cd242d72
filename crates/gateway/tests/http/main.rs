//! The gateway at its border: the real service on a real socket, a raw client, and behind it either a scripted
//! upstream or the real engine on a model without weights.

mod adapters;
mod client;
mod completions;
mod contract;
mod country_database;
mod doors;
mod idempotency;
mod identity_provider;
mod local_model;
mod scripted;
mod server;
mod tokens;
mod wishes;

mod answers;
mod console;
mod limits;
mod local;
mod messages;
mod money;
mod parameters;
mod random_bodies;
mod refusals;
mod responses;
mod routes;
mod sign_in;
mod storm;
mod streams;

/// Counts what this process holds.
#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
