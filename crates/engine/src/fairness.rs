//! Who has had how much: rows computed for each tenant, so that one with little to ask is not starved by one with much.
//!
//! Counting, not reserving: whoever is alone gets everything, and what somebody left unused is owed only up to a head
//! start. A tenant that comes (again) starts so much before the least served of those present, or before the last that was.

use std::collections::HashMap;

pub(crate) type Tenant = [u8; 32];

/// What absence earns, in rows. A tenant that asks now and then has a prompt of this length read before those of tenants
/// that ask all the time; one that has had its share has none of it left when it comes back.
pub(crate) const HEAD_START: u64 = 1024;

/// A tenant that was there within so many rows, anyone's, may come back any moment.
const RECENT_ROWS: u64 = 1 << 16;

/// Tenants that are remembered after their last sequence ended.
const MAX_ABSENT: usize = 1024;

/// Rows computed so far, by tenant.
#[derive(Debug, Default)]
pub(crate) struct Served {
    accounts: HashMap<Tenant, Account>,
    /// Of all tenants.
    n_rows: u64,
    /// Where the last one stood that left the engine to nobody: what it had had alone, nobody else wanted.
    left_by_last: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Account {
    n_rows: u64,
    /// Its sequences that wait or run.
    n_sequences: usize,
    /// How many rows all tenants had had when its last sequence ended.
    left_at: u64,
}

impl Served {
    /// One more sequence of a tenant is there.
    pub(crate) fn join(&mut self, tenant: Tenant) {
        let present = self.accounts.values().filter(|account| account.n_sequences > 0);
        let least = present
            .map(|account| account.n_rows)
            .min()
            .unwrap_or(self.left_by_last);
        let account = self.accounts.entry(tenant).or_default();
        if account.n_sequences == 0 {
            account.n_rows = account.n_rows.max(least.saturating_sub(HEAD_START));
        }
        account.n_sequences += 1;
    }

    /// One of its sequences is over.
    pub(crate) fn leave(&mut self, tenant: &Tenant) {
        if let Some(account) = self.accounts.get_mut(tenant) {
            account.n_sequences = account.n_sequences.saturating_sub(1);
            account.left_at = self.n_rows;
            if self.accounts.values().all(|account| account.n_sequences == 0) {
                self.left_by_last = self.n_rows(tenant);
            }
        }
        if self.accounts.len() > MAX_ABSENT {
            // All at once and rarely, rather than the longest absent each time.
            self.accounts.retain(|_, account| account.n_sequences > 0);
        }
    }

    pub(crate) fn add(&mut self, tenant: &Tenant, n_rows: usize) {
        self.n_rows += n_rows as u64;
        if let Some(account) = self.accounts.get_mut(tenant) {
            account.n_rows += n_rows as u64;
        }
    }

    pub(crate) fn n_rows(&self, tenant: &Tenant) -> u64 {
        self.accounts.get(tenant).map_or(0, |account| account.n_rows)
    }

    /// Rows of all tenants together: the nearest to a clock that the engine has.
    pub(crate) fn n_rows_of_all(&self) -> u64 {
        self.n_rows
    }

    /// Whether more than one tenant is there or was lately.
    pub(crate) fn is_shared(&self) -> bool {
        let is_near =
            |account: &&Account| account.n_sequences > 0 || self.n_rows - account.left_at < RECENT_ROWS;
        self.accounts.values().filter(is_near).count() > 1
    }

    /// Compares with the tenants of all sequences that wait or run.
    pub(crate) fn check<'a>(&self, present: impl Iterator<Item = &'a Tenant>) -> Result<(), String> {
        let mut n_present: HashMap<&Tenant, usize> = HashMap::new();
        for tenant in present {
            *n_present.entry(tenant).or_default() += 1;
        }
        let counted = self
            .accounts
            .iter()
            .filter(|(_, account)| account.n_sequences > 0);
        let counted: HashMap<&Tenant, usize> = counted
            .map(|(tenant, account)| (tenant, account.n_sequences))
            .collect();
        if counted == n_present {
            Ok(())
        } else {
            Err("tenants' sequences are not counted right".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_starts_a_little_before_the_least_served_and_absence_earns_no_more() {
        let (heavy, light, third) = ([1; 32], [2; 32], [3; 32]);
        let mut served = Served::default();
        served.join(heavy);
        served.add(&heavy, 5_000);
        served.join(light);
        assert_eq!(served.n_rows(&light), 5_000 - HEAD_START);
        served.add(&light, 10);
        served.leave(&light);
        served.join(light);
        // To leave and come back does not wipe out what one has had.
        assert_eq!(served.n_rows(&light), 5_010 - HEAD_START);
        served.add(&light, 2_000);
        served.leave(&light);
        served.join(light);
        assert_eq!(served.n_rows(&light), 7_010 - HEAD_START);
        served.add(&heavy, 10_000);
        served.join(third);
        assert_eq!(served.n_rows(&third), 7_010 - 2 * HEAD_START);
        assert_eq!(served.check([heavy, light, third].iter()), Ok(()));
        assert!(served.check([heavy].iter()).is_err());
    }

    #[test]
    fn what_one_had_alone_is_not_held_against_it() {
        let (first, second) = ([1; 32], [2; 32]);
        let mut served = Served::default();
        served.join(first);
        served.add(&first, 9_000);
        served.leave(&first);
        served.join(second);
        assert_eq!(served.n_rows(&second), 9_000 - HEAD_START);
    }

    #[test]
    fn who_left_counts_as_near_for_a_while() {
        let (one, other) = ([1; 32], [2; 32]);
        let mut served = Served::default();
        served.join(one);
        assert!(!served.is_shared());
        served.join(other);
        assert!(served.is_shared());
        served.leave(&other);
        served.add(&one, RECENT_ROWS as usize - 1);
        assert!(served.is_shared());
        served.add(&one, 1);
        assert!(!served.is_shared());
    }

    #[test]
    fn the_absent_are_forgotten_in_bounds() {
        let mut served = Served::default();
        for idx in 0..3 * MAX_ABSENT as u64 {
            let mut tenant = [0; 32];
            tenant[..8].copy_from_slice(&idx.to_le_bytes());
            served.join(tenant);
            served.leave(&tenant);
            assert!(served.accounts.len() <= MAX_ABSENT + 1);
        }
    }
}
