//! Where the files of artifacts lie: a folder with one folder for each version.
//!
//! A version's folder appears under its name when it is complete and on the disk, and not before: a server that is killed
//! leaves at most a folder that nobody knows.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::create_private_dir;
use crate::key::{ID_LEN, random_text};

/// Folders that are not complete begin so.
const INCOMING: &str = "incoming-";

/// The folder of all versions.
#[derive(Clone, Debug)]
pub(super) struct ArtifactFiles {
    folder: PathBuf,
}

/// A folder that files are written into. Unless it is added, it goes with what it holds.
#[derive(Debug)]
pub struct Incoming {
    folder: PathBuf,
    id: String,
    is_kept: bool,
}

impl Incoming {
    /// Where to write.
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{INCOMING}{}", self.id))
    }

    /// Makes it a version's folder: its name among them.
    pub(super) async fn keep(mut self) -> io::Result<String> {
        on_a_thread(move || {
            let path = self.path();
            for entry in fs::read_dir(&path)? {
                File::open(entry?.path())?.sync_all()?;
            }
            sync_folder(&path)?;
            fs::rename(&path, self.folder.join(&self.id))?;
            sync_folder(&self.folder)?;
            self.is_kept = true;
            Ok(self.id.clone())
        })
        .await
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_kept {
            // What stays is swept up later.
            let _ = fs::remove_dir_all(self.path());
        }
    }
}

impl ArtifactFiles {
    pub(super) fn new(folder: PathBuf) -> ArtifactFiles {
        ArtifactFiles { folder }
    }

    pub(super) fn path(&self, folder: &str) -> PathBuf {
        self.folder.join(folder)
    }

    pub(super) fn incoming(&self) -> io::Result<Incoming> {
        create_private_dir(&self.folder)?;
        let incoming = Incoming {
            folder: self.folder.clone(),
            id: random_text(ID_LEN).map_err(io::Error::other)?,
            is_kept: false,
        };
        fs::create_dir(incoming.path())?;
        Ok(incoming)
    }

    /// Removes a version's folder, which nobody knows any more; what stays is swept up later.
    pub(super) async fn remove(&self, folder: &str) {
        let path = self.path(folder);
        let _ = on_a_thread(move || fs::remove_dir_all(path)).await;
    }

    /// Removes folders that are not among the known ones and have not been touched for so long.
    pub(super) async fn sweep(&self, known: HashSet<String>, age: Duration) {
        let folder = self.folder.clone();
        let _ = on_a_thread(move || {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let is_known = entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| known.contains(name));
                let touched = entry.metadata()?.modified()?;
                if !is_known && touched.elapsed().is_ok_and(|since| since > age) {
                    fs::remove_dir_all(entry.path())?;
                }
            }
            io::Result::Ok(())
        })
        .await;
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows has no such thing, and needs none.
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

async fn on_a_thread<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(act).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}
