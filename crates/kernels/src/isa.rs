//! Which instruction set to compute with: detected once, forced in tests.
