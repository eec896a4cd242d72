//! The ledger over a real Postgres, with several servers at once. Where Postgres is not installed the tests say so and pass
//! over it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokenmill_accounts::{
    Accounts, Caller, CreditKind, CreditRequest, HoldError, Ledger, Nanos, Price, SystemClock, Tokens,
};

/// A server of its own on a socket in its own folder; gone when dropped.
struct Postgres {
    folder: tempfile::TempDir,
    server: std::process::Child,
}

/// Where Debian and others keep the programs.
fn program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let folders = versions.map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = folders.chain(std::env::split_paths(&path));
    all.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Postgres refuses to run as root: there it runs as the user `nobody`.
fn as_ordinary_user(program: &Path) -> Command {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program);
    command
}

impl Postgres {
    fn start() -> Option<Postgres> {
        let (Some(initdb), Some(postgres)) = (program("initdb"), program("postgres")) else {
            eprintln!("passed over: Postgres is not installed");
            return None;
        };
        let folder = tempfile::Builder::new()
            .prefix("pg")
            .tempdir_in("/tmp")
            .expect("it works on a good machine");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))
                .expect("it works on a good machine");
        }
        let data = folder.path().join("data");
        let made = as_ordinary_user(&initdb)
            .args([
                "--auth=trust",
                "--username=tokenmill",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("passed over: initdb did not work here");
            return None;
        }
        let mut server = as_ordinary_user(&postgres);
        let server = server
            .args(["-c", "listen_addresses=", "-c", "max_connections=100", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stderr(std::fs::File::create(folder.path().join("log")).expect("it works on a good machine"))
            .spawn()
            .expect("it works on a good machine");
        Some(Postgres { folder, server })
    }

    fn url(&self) -> String {
        let socket = self
            .folder
            .path()
            .to_str()
            .expect("it works on a good machine")
            .replace('/', "%2F");
        format!("postgres://tokenmill@{socket}/postgres")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args(["-QUIT", pid]).status();
        }
        let _ = self.server.wait();
    }
}

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

const PRICE: Price = Price {
    version: 0,
    input: Nanos::dollars(1),
    cached_input: Nanos::dollars(1),
    output: Nanos::dollars(2),
};

/// Servers that share a database, and somebody who asks.
struct Fleet {
    servers: Vec<(Accounts, Ledger)>,
    caller: Caller,
    price: Price,
    _folders: Vec<tempfile::TempDir>,
}

async fn fleet(n_servers: usize, url: &str) -> Fleet {
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
        first.start_ledger().await.expect("it works on a good machine"),
    )];
    for _ in 1..n_servers {
        let folder = folder(Some(folders[0].path()));
        let accounts = open(folder.path(), url).await;
        let ledger = accounts.start_ledger().await.expect("it works on a good machine");
        servers.push((accounts, ledger));
        folders.push(folder);
    }
    Fleet {
        servers,
        caller,
        price,
        _folders: folders,
    }
}

async fn add_credit(accounts: &Accounts, amount: i64, reference: &str) {
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
async fn ask(accounts: &Accounts, ledger: &Ledger, fleet: &(Caller, Price)) -> bool {
    let hold = loop {
        let mut usage = accounts.usage(&fleet.0, "m", fleet.1);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_servers_spend_what_there_is_and_not_a_nano_dollar_more() {
    let Some(postgres) = Postgres::start() else { return };
    let fleet = fleet(4, &postgres.url()).await;
    let n_rounds: usize = std::env::var("TOKENMILL_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(3);
    // 0.01 USD, of which one request holds a half percent.
    let credit = 10_000_000;
    let hold = fleet.price.worst_case(10, 20).0;
    let shared = Arc::new((fleet.caller.clone(), fleet.price));
    for round in 0..n_rounds {
        let (first, _) = &fleet.servers[0];
        let (before, _) = first
            .credit("default", 1)
            .await
            .expect("it works on a good machine");
        add_credit(first, credit - before.left().0, &format!("round {round}")).await;
        let n_asked = Arc::new(AtomicI64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = (0..64).map(|client| {
            let (accounts, ledger) = fleet.servers[client % 4].clone();
            let (shared, n_asked, is_over) = (shared.clone(), n_asked.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    if ask(&accounts, &ledger, &shared).await {
                        n_asked.fetch_add(1, Ordering::SeqCst);
                    } else {
                        is_over.store(true, Ordering::SeqCst);
                    }
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("it works on a good machine");
        }
        for (accounts, ledger) in &fleet.servers {
            // What came back from those who ended last is usable, too.
            while ask(accounts, ledger, &shared).await {}
            ledger.flush().await;
        }
        let (balance, _) = first
            .credit("default", 1)
            .await
            .expect("it works on a good machine");
        assert!(balance.spent <= balance.credit, "round {round}: {balance:?}");
        assert!(
            balance.left().0 <= credit / 100,
            "round {round}: {balance:?}, a request holds {hold}"
        );
        let found = first.verify().await.expect("it works on a good machine");
        assert_eq!(found.faults, Vec::<String>::new(), "round {round}");
    }
    for (_, ledger) in &fleet.servers {
        ledger.close().await;
    }
    let (balance, _) = fleet.servers[0]
        .0
        .credit("default", 1)
        .await
        .expect("it works on a good machine");
    assert_eq!(balance.lent, Nanos(0), "all leases came back");
    eprintln!("{n_rounds} rounds; spent {} of {}", balance.spent, balance.credit);
}
