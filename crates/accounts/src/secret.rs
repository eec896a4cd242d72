//! The server's own secret: a file beside the database, not in it, so that a copy of the database
//! alone can neither check nor make a key.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The name of the file in the data directory.
pub(crate) const FILE_NAME: &str = "server-secret";

/// 32 random bytes. Has no `Debug`.
pub(crate) struct ServerSecret([u8; 32]);

impl ServerSecret {
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> ServerSecret {
        ServerSecret(bytes)
    }

    /// The secret in `data_dir`, or `None` where there is none yet.
    pub(crate) fn read(data_dir: &Path) -> io::Result<Option<ServerSecret>> {
        match fs::read(data_dir.join(FILE_NAME)) {
            Ok(bytes) => match <[u8; 32]>::try_from(bytes) {
                Ok(bytes) => Ok(Some(ServerSecret(bytes))),
                Err(bytes) => {
                    let fault = format!("it has {} bytes where 32 are expected", bytes.len());
                    Err(io::Error::new(io::ErrorKind::InvalidData, fault))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the secret of `data_dir`; the caller holds the directory's lock. The file appears whole or not
    /// at all, also when the process is killed.
    pub(crate) fn create(data_dir: &Path) -> io::Result<ServerSecret> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let draft = data_dir.join(format!("{FILE_NAME}.new"));
        // One that a killed process has left, or that somebody has put there, keeps its own permissions: away with it.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        write_private(&draft, &bytes)?;
        fs::rename(&draft, data_dir.join(FILE_NAME))?;
        sync_dir(data_dir)?;
        Ok(ServerSecret(bytes))
    }

    /// HMAC-SHA256 of `parts` under the secret. `purpose` keeps the values of different uses apart; none tells
    /// anything about the secret.
    pub(crate) fn derive(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC pads a key to the hash's block with zeros; written out, the length cannot be wrong.
        let mut block = [0u8; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(purpose.as_bytes());
        for part in parts {
            // Lengths keep ("ab", "c") apart from ("a", "bc").
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// Waits until the directory's entries are on the disk: without it, a power cut could lose the name of a file that
/// is itself there, and the database be left without its secret.
fn sync_dir(path: &Path) -> io::Result<()> {
    // Other systems cannot open a directory, and order its changes themselves.
    if cfg!(unix) {
        fs::File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Writes a new file that only its owner can read, and waits until it is on the disk.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_reads_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ServerSecret::read(dir.path()).unwrap().is_none());
        let made = ServerSecret::create(dir.path()).unwrap();
        let read = ServerSecret::read(dir.path()).unwrap().unwrap();
        assert_eq!(made.0, read.0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(dir.path().join(FILE_NAME))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_draft_that_others_can_read_or_that_leads_elsewhere_is_not_written_to() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        let draft = dir.path().join(format!("{FILE_NAME}.new"));
        let prepare: [&dyn Fn(); 2] = [
            &|| {
                fs::write(&draft, b"left over").unwrap();
                fs::set_permissions(&draft, fs::Permissions::from_mode(0o644)).unwrap();
            },
            &|| symlink(&elsewhere, &draft).unwrap(),
        ];
        for prepare in prepare {
            prepare();
            ServerSecret::create(dir.path()).unwrap();
            let made = fs::symlink_metadata(dir.path().join(FILE_NAME)).unwrap();
            assert!(made.is_file());
            assert_eq!(made.permissions().mode() & 0o777, 0o600);
            assert!(!draft.exists() && !elsewhere.exists());
        }
    }

    #[test]
    fn a_cut_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), b"short").unwrap();
        assert!(ServerSecret::read(dir.path()).is_err());
    }
}
