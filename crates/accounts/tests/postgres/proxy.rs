//! A way to the database on which a test can put every fault of a network and of a database that is going down.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What happens to bytes on their way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// They arrive.
    Open,
    /// Connections are cut, and new ones, too.
    Cut,
    /// Nothing arrives and nothing is refused: as if the cable were out.
    Silent,
    /// Each piece takes so long.
    Slow(Duration),
    /// The database does not get the next commit: its connection is cut, once, and the way is open again.
    CutBeforeCommit,
    /// The database does the next commit, and nobody hears of it, as where it fails over just then.
    CutAfterCommit,
}

/// A proxy in front of a database.
pub(crate) struct Proxy {
    at: SocketAddr,
    way: watch::Sender<Way>,
    n_commits_lost: Arc<Mutex<u64>>,
}

impl Proxy {
    /// Leads to the socket in `folder`.
    pub(crate) async fn start(folder: &Path) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let (way, _) = watch::channel(Way::Open);
        let n_commits_lost = Arc::new(Mutex::new(0));
        let (database, ways, n_lost) = (folder.join(".s.PGSQL.5432"), way.clone(), n_commits_lost.clone());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                tokio::spawn(connection(client, database.clone(), ways.clone(), n_lost.clone()));
            }
        });
        Proxy {
            at,
            way,
            n_commits_lost,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://tokenmill@{}/postgres?sslmode=disable", self.at)
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Waits until a fault that happens once has happened.
    pub(crate) async fn until_open(&self) {
        let mut ways = self.way.subscribe();
        ways.wait_for(|way| *way == Way::Open)
            .await
            .expect("the proxy lives");
    }

    pub(crate) fn n_commits_lost(&self) -> u64 {
        *self.n_commits_lost.lock().expect("no panic")
    }
}

async fn connection(client: TcpStream, database: PathBuf, way: watch::Sender<Way>, n_lost: Arc<Mutex<u64>>) {
    let (mut ways, mut cuts) = (way.subscribe(), way.subscribe());
    if *ways.borrow_and_update() == Way::Cut {
        return;
    }
    let Ok(server) = UnixStream::connect(database).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut is_answer_lost = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let n = read.unwrap_or(0);
                let piece = &asked[..n];
                if n == 0 || !pass(&mut ways).await {
                    return;
                }
                let is_commit = piece.windows(6).any(|window| window == b"COMMIT");
                let fault = if is_commit { take_fault(&way) } else { None };
                if fault.is_some() {
                    *n_lost.lock().expect("no panic") += 1;
                }
                if fault == Some(Way::CutBeforeCommit) || to_server.write_all(piece).await.is_err() {
                    return;
                }
                is_answer_lost |= fault == Some(Way::CutAfterCommit);
            }
            read = from_server.read(&mut answered) => {
                let n = read.unwrap_or(0);
                // Its answer is the proof that the database has done it.
                if n == 0 || is_answer_lost || !pass(&mut ways).await {
                    return;
                }
                if to_client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
            // A cut meets idle connections, too.
            () = until_cut(&mut cuts) => return,
        }
    }
}

async fn until_cut(ways: &mut watch::Receiver<Way>) {
    // An error is the end of the test.
    let _ = ways.wait_for(|way| *way == Way::Cut).await.is_ok();
}

/// Takes a fault that happens once.
fn take_fault(way: &watch::Sender<Way>) -> Option<Way> {
    let mut fault = None;
    way.send_if_modified(|way| {
        if !matches!(way, Way::CutBeforeCommit | Way::CutAfterCommit) {
            return false;
        }
        fault = Some(std::mem::replace(way, Way::Open));
        true
    });
    fault
}

/// Waits as long as the way takes; false where it ends here.
async fn pass(ways: &mut watch::Receiver<Way>) -> bool {
    let way = *ways.borrow();
    match way {
        Way::Cut => false,
        Way::Silent => {
            let opened = ways.wait_for(|way| *way != Way::Silent).await;
            opened.is_ok_and(|way| *way != Way::Cut)
        }
        Way::Slow(time) => {
            tokio::time::sleep(time).await;
            true
        }
        Way::Open | Way::CutBeforeCommit | Way::CutAfterCommit => true,
    }
}
