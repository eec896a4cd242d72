//! Why a rendering ends early, and the budget that ends it.

use std::cell::Cell;

/// Why a rendering ends early.
#[derive(Debug)]
pub(super) enum Fault {
    /// Work or memory ran out.
    OverLimit,
    /// The template called `raise_exception`.
    Raised(String),
    /// Anything that Jinja would refuse too, or that we do not do.
    Failed(String),
}

/// What a rendering may still use. Both only ever go down: memory that is given back is not credited, so the sum of
/// all that was ever allocated is bounded, and with it what is alive at once.
#[derive(Debug)]
pub(super) struct Budget {
    work: Cell<u64>,
    memory: Cell<u64>,
}

impl Budget {
    pub(super) fn new(work: u64, memory: u64) -> Budget {
        Budget {
            work: Cell::new(work),
            memory: Cell::new(memory),
        }
    }

    /// Pays for `steps` small steps, about ten nanoseconds to a hundred each.
    pub(super) fn work(&self, steps: usize) -> Result<(), Fault> {
        take(&self.work, steps as u64)
    }

    /// Pays for `bytes` of new memory and the work of filling it. Call it before allocating.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), Fault> {
        take(&self.memory, bytes as u64)?;
        self.work(bytes / 64)
    }
}

fn take(left: &Cell<u64>, amount: u64) -> Result<(), Fault> {
    match left.get().checked_sub(amount) {
        Some(rest) => {
            left.set(rest);
            Ok(())
        }
        None => {
            left.set(0);
            Err(Fault::OverLimit)
        }
    }
}
