//! Project chores: tidy, test, bench, golden, dist.
fn main() {}
