//! The ledger over a real Postgres, with several servers at once and with every fault that a database far away can have.
//! Where Postgres is not installed the tests say so and pass over it.

mod database;
mod fleet;
mod proxy;

mod faults;
mod four_servers;
mod identities;
mod slots;
