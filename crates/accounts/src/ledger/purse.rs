//! The part of a purse that is lent to this server, and how fast it is spent.

/// A lease that lies idle so long is given back.
const IDLE_MS: u64 = 10_000;
const MINUTE_MS: u64 = 60_000;
/// So many minutes of spending are asked for beforehand, so that an outage of the database is not felt at once.
pub(super) const AHEAD_MINUTES: i64 = 4;

/// The money of one purse that is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Purse {
    pub(super) free: i64,
    pub(super) held: i64,
    /// Spent, and the database does not know it.
    pub(super) unposted: i64,
    /// On its way back.
    pub(super) returning: i64,
    /// So little is left in the database that nothing should lie idle here.
    pub(super) is_tight: bool,
    used_at_ms: u64,
    /// Nobody needs it any more, however lately it was used.
    pub(super) is_let_go: bool,
    /// What is free was lent under a limit that holds no more, and goes back at once.
    pub(super) is_recalled: bool,
    pub(super) pace: Pace,
    /// Nothing is asked for ahead of need before this: there was too little.
    pub(super) ask_ahead_at_ms: u64,
}

impl Purse {
    /// Somebody needs it now.
    pub(super) fn use_at(&mut self, now_ms: u64) {
        (self.used_at_ms, self.is_let_go) = (now_ms, false);
    }

    /// Whether nobody has used it for a while.
    pub(super) fn is_idle(&self, now_ms: u64) -> bool {
        self.is_let_go || now_ms.saturating_sub(self.used_at_ms) >= IDLE_MS
    }

    /// Whether there is nothing to know of it.
    pub(super) fn is_done_with(&self, now_ms: u64) -> bool {
        (self.free, self.held, self.unposted, self.returning) == (0, 0, 0, 0) && self.is_idle(now_ms)
    }

    /// Whether more should be asked for before anybody needs it.
    pub(super) fn runs_short(&self, now_ms: u64) -> bool {
        let may_ask = !self.is_tight && !self.is_idle(now_ms) && now_ms >= self.ask_ahead_at_ms;
        may_ask && self.free < self.ahead(now_ms) / 2
    }

    /// What should be here so that requests go on while the database is away.
    pub(super) fn ahead(&self, now_ms: u64) -> i64 {
        self.pace.of_a_minute(now_ms).saturating_mul(AHEAD_MINUTES)
    }
}

/// How much is spent in a minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Pace {
    begun_ms: u64,
    this_minute: i64,
    last_minute: i64,
}

impl Pace {
    fn turn(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.begun_ms);
        if elapsed_ms >= MINUTE_MS {
            self.last_minute = if elapsed_ms < 2 * MINUTE_MS {
                self.this_minute
            } else {
                0
            };
            (self.this_minute, self.begun_ms) = (0, now_ms);
        }
    }

    pub(super) fn spend(&mut self, amount: i64, now_ms: u64) {
        self.turn(now_ms);
        self.this_minute = self.this_minute.saturating_add(amount);
    }

    /// The more of what was spent in the minute before this and of what this one is going to come to.
    fn of_a_minute(mut self, now_ms: u64) -> i64 {
        self.turn(now_ms);
        let elapsed_ms = now_ms.saturating_sub(self.begun_ms).max(1_000);
        let scale = i64::try_from((MINUTE_MS / elapsed_ms).max(1)).unwrap_or(1);
        self.last_minute.max(self.this_minute.saturating_mul(scale))
    }
}
