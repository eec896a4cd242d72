//! What this server would like to be lent, and what it gives back.

use std::collections::{BTreeMap, BTreeSet};

use super::Book;
use crate::ledger::exchange::Want;

impl Book {
    /// What those who wait need, and what should be here beforehand.
    pub(super) fn wants(&self, now_ms: u64) -> Vec<Want> {
        let mut needs: BTreeMap<&String, (i64, &str)> = BTreeMap::new();
        for demand in &self.demands {
            for purse in &demand.usage.purses {
                let need = needs.entry(purse).or_insert((0, &demand.usage.team_id));
                need.0 = need.0.saturating_add(demand.usage.hold.0);
            }
        }
        for (name, purse) in &self.purses {
            // A purse that is lent from exists, and its team need not be told.
            if purse.runs_short(now_ms) {
                needs.entry(name).or_insert((0, ""));
            }
        }
        let want = |(purse, (need, team_id)): (&String, (i64, &str))| {
            let own = self.purses.get(purse).copied().unwrap_or_default();
            let free = own.free.max(0);
            let ahead = own.ahead(now_ms).saturating_sub(free).max(0);
            (need > free || need == 0).then(|| Want {
                purse: purse.clone(),
                team_id: team_id.to_owned(),
                need: (need - free).max(0),
                extra: need.saturating_mul(16).max(ahead),
            })
        };
        needs.into_iter().filter_map(want).collect()
    }

    /// Leases that nobody here needs, taken out of use so that they can be given back.
    pub(super) fn idle(&mut self, wants: &[Want], now_ms: u64) -> BTreeMap<String, i64> {
        let wanted: BTreeSet<&String> = wants.iter().map(|want| &want.purse).collect();
        let waited_for: BTreeSet<&String> = self
            .demands
            .iter()
            .flat_map(|demand| &demand.usage.purses)
            .collect();
        let mut returns = BTreeMap::new();
        for (name, purse) in &mut self.purses {
            let is_called = purse.is_tight && self.is_shared;
            let is_needed = wanted.contains(name) || waited_for.contains(name);
            purse.is_recalled &= purse.free > 0;
            if purse.is_recalled || (purse.free > 0 && !is_needed && (purse.is_idle(now_ms) || is_called)) {
                purse.returning = purse.free;
                purse.free = 0;
                returns.insert(name.clone(), purse.returning);
            }
        }
        // What is all zero would only be carried along.
        self.purses.retain(|_, purse| !purse.is_done_with(now_ms));
        returns
    }

    /// Leases that nothing holds are to go back with the next exchange, whenever they were used.
    pub(crate) fn return_all(&mut self) {
        for purse in self.purses.values_mut() {
            purse.is_let_go = true;
        }
        self.slots.return_all();
    }

    /// What is free of these purses goes back, whoever needs it: their limit has changed.
    pub(crate) fn recall(&mut self, purses: &str) {
        for (name, purse) in &mut self.purses {
            // Also where nothing is free: an exchange that is out may bring something.
            purse.is_recalled |= name.starts_with(purses);
        }
    }

    /// Whether some of that is still here.
    pub(crate) fn is_recalling(&self) -> bool {
        self.purses.values().any(|purse| purse.is_recalled)
    }
}
