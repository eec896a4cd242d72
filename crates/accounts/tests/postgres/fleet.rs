//! Servers that share a database, and requests to them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokenmill_accounts::{
    Accounts, Caller, CreditKind, CreditRequest, HoldError, Ledger, Nanos, OpenError, Price, SlotLease,
    SystemClock, Tokens,
};

/// A data folder with the secret that all servers share.
fn folder(first: Option<&Path>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("it works on a good machine");
    if let Some(first) = first {
        std::fs::copy(first.join("server-secret"), folder.path().join("server-secret"))
            .expect("it works on a good machine");
    }
    folder
}

async fn open(folder: &Path, url: &str) -> Accounts {
    let mut last = None;
    for _ in 0..200 {
        match Accounts::open_with(folder, Some(url), Arc::new(SystemClock)).await {
            Ok(accounts) => return accounts,
            // It is still starting.
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{last:?}");
}

/// What a token costs.
const PRICE: Price = Price {
    version: 0,
    input: Nanos::dollars(1),
    cached_input: Nanos::dollars(1),
    output: Nanos::dollars(2),
};

/// Servers that share a database, and somebody who asks.
pub(crate) struct Fleet {
    pub(crate) servers: Vec<(Accounts, Ledger)>,
    url: String,
    pub(crate) caller: Arc<Caller>,
    pub(crate) price: Price,
    folders: Vec<tempfile::TempDir>,
}

impl Fleet {
    /// Ends a server as a kill would, without a word to the database.
    pub(crate) fn kill(&mut self, idx: usize) {
        self.servers.remove(idx);
    }

    /// Starts a server on the data folder of the one that was the `idx`th.
    pub(crate) async fn start_again(&self, idx: usize) -> (Accounts, Ledger) {
        let accounts = open(self.folders[idx].path(), &self.url).await;
        let ledger = loop {
            match accounts.start_ledger().await {
                Ok(ledger) => break ledger,
                // The one before it has not let go of the folder yet.
                Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        (accounts, ledger)
    }
}

pub(crate) async fn fleet(n_servers: usize, url: &str) -> Fleet {
    fleet_with(n_servers, url, SlotLease::default()).await
}

pub(crate) async fn fleet_with(n_servers: usize, url: &str, slots: SlotLease) -> Fleet {
    let first_folder = folder(None);
    let first = open(first_folder.path(), url).await;
    let key = first
        .ensure_first()
        .await
        .expect("it works on a good machine")
        .key
        .expect("it works on a good machine");
    first
        .set_price("test", "m", PRICE, None)
        .await
        .expect("it works on a good machine");
    let price = first
        .catalogue()
        .await
        .expect("it works on a good machine")
        .price("m", first.now());
    let caller = first
        .authenticate(key.expose(), None)
        .await
        .expect("it works on a good machine");
    let mut folders = vec![first_folder];
    let mut servers = vec![(
        first.clone(),
        first
            .start_ledger_with(slots)
            .await
            .expect("it works on a good machine"),
    )];
    for _ in 1..n_servers {
        let folder = folder(Some(folders[0].path()));
        let accounts = open(folder.path(), url).await;
        let ledger = accounts
            .start_ledger_with(slots)
            .await
            .expect("it works on a good machine");
        servers.push((accounts, ledger));
        folders.push(folder);
    }
    Fleet {
        servers,
        caller,
        price,
        url: url.to_owned(),
        folders,
    }
}

pub(crate) async fn add_credit(accounts: &Accounts, amount: i64, reference: &str) {
    let request = CreditRequest {
        kind: CreditKind::Purchase,
        amount: Nanos(amount),
        reference: reference.into(),
        note: String::new(),
        expires_at: None,
    };
    accounts
        .add_credit("test", "default", &request)
        .await
        .expect("it works on a good machine");
}

/// One request: false where the money does not reach.
pub(crate) async fn ask(accounts: &Accounts, ledger: &Ledger, fleet: &(Arc<Caller>, Price)) -> bool {
    let hold = loop {
        let mut usage = accounts.usage(&fleet.0, "m", None, fleet.1);
        usage.tokens.n_prompt = 10;
        usage.hold = fleet.1.worst_case(10, 20);
        match ledger.hold(usage).await {
            Ok(hold) => break hold,
            Err(HoldError::Insufficient { .. }) => return false,
            // On a busy machine the database may take longer than a request waits: a 503, not a 402.
            Err(HoldError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let tokens = Tokens {
        n_prompt: 10,
        n_cached: None,
        n_completion: 13,
    };
    hold.settle(tokens).await.expect("it works on a good machine");
    true
}
