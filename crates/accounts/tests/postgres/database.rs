//! A Postgres server of a test's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A server of its own on a socket in its own folder; gone when dropped.
pub(crate) struct Postgres {
    pub(crate) folder: tempfile::TempDir,
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
    pub(crate) fn start() -> Option<Postgres> {
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
            .args(["-c", "listen_addresses=", "-c", "max_connections=100"])
            .args(["-c", "deadlock_timeout=50ms", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stderr(std::fs::File::create(folder.path().join("log")).expect("it works on a good machine"))
            .spawn()
            .expect("it works on a good machine");
        Some(Postgres { folder, server })
    }

    pub(crate) fn url(&self) -> String {
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
