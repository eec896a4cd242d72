//! Who has had how much: rows computed for each tenant, so that one with little to ask is not starved by one with much.
//!
//! Counting, not reserving: whoever is alone gets everything, and what somebody left unused is not owed later. A tenant
//! that comes (again) starts where the least served of those present stands.

use std::collections::HashMap;

pub(crate) type Tenant = [u8; 32];

/// Tenants that are remembered after their last sequence ended.
const MAX_ABSENT: usize = 1024;

/// Rows computed so far, by tenant.
#[derive(Debug, Default)]
pub(crate) struct Served {
    accounts: HashMap<Tenant, Account>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Account {
    n_rows: u64,
    /// Its sequences that wait or run.
    n_sequences: usize,
}

impl Served {
    /// One more sequence of a tenant is there.
    pub(crate) fn join(&mut self, tenant: Tenant) {
        let present = self.accounts.values().filter(|account| account.n_sequences > 0);
        let least = present.map(|account| account.n_rows).min().unwrap_or(0);
        let account = self.accounts.entry(tenant).or_default();
        if account.n_sequences == 0 {
            account.n_rows = account.n_rows.max(least);
        }
        account.n_sequences += 1;
    }

    /// One of its sequences is over.
    pub(crate) fn leave(&mut self, tenant: &Tenant) {
        if let Some(account) = self.accounts.get_mut(tenant) {
            account.n_sequences = account.n_sequences.saturating_sub(1);
        }
        if self.accounts.len() > MAX_ABSENT {
            // All at once and rarely, rather than the longest absent each time.
            self.accounts.retain(|_, account| account.n_sequences > 0);
        }
    }

    pub(crate) fn add(&mut self, tenant: &Tenant, n_rows: usize) {
        if let Some(account) = self.accounts.get_mut(tenant) {
            account.n_rows += n_rows as u64;
        }
    }

    pub(crate) fn n_rows(&self, tenant: &Tenant) -> u64 {
        self.accounts.get(tenant).map_or(0, |account| account.n_rows)
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
    fn who_comes_starts_with_the_least_served_and_absence_earns_nothing() {
        let (heavy, light, third) = ([1; 32], [2; 32], [3; 32]);
        let mut served = Served::default();
        served.join(heavy);
        served.add(&heavy, 500);
        served.join(light);
        assert_eq!(served.n_rows(&light), 500);
        served.add(&light, 10);
        served.leave(&light);
        served.add(&heavy, 300);
        served.join(third);
        assert_eq!(served.n_rows(&third), 800);
        served.join(light);
        assert_eq!(served.n_rows(&light), 800);
        // To leave and come back does not wipe out what one has had.
        served.leave(&heavy);
        served.add(&light, 5);
        served.join(heavy);
        assert_eq!(served.n_rows(&heavy), 800);
        assert_eq!(served.check([heavy, light, third].iter()), Ok(()));
        assert!(served.check([heavy].iter()).is_err());
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
