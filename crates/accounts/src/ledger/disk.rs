//! A folder of files that only grow, as something that is passed in, so that tests can lose it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Files by name.
pub(crate) trait Disk: Send + Sync {
    /// The names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// All of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Adds to a file, which comes into being where there is none. A failure may leave a part of `bytes` behind.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Waits until all of a file, and that it exists, would survive a power cut. After a failure nothing is known about
    /// the file, and trying again would tell nothing: what was not written may count as written.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A folder of this machine.
pub(crate) struct FolderDisk {
    folder: PathBuf,
    /// Files that are being added to.
    open: Mutex<BTreeMap<String, File>>,
}

impl FolderDisk {
    /// Makes the folder if it is not there.
    pub(crate) fn open(folder: &Path) -> io::Result<FolderDisk> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt;
            builder.mode(0o700);
        }
        builder.create(folder)?;
        Ok(FolderDisk {
            folder: folder.to_owned(),
            open: Mutex::default(),
        })
    }

    fn with_file<T>(&self, name: &str, act: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.contains_key(name) {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            #[cfg(unix)]
            {
                use std::os::unix::fs::OpenOptionsExt;
                options.mode(0o600);
            }
            let file = options.open(self.folder.join(name))?;
            // Other systems cannot open a directory, and order its changes themselves.
            if cfg!(unix) {
                File::open(&self.folder)?.sync_all()?;
            }
            open.insert(name.to_owned(), file);
        }
        match open.get_mut(name) {
            Some(file) => act(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Disk for FolderDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(name))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with_file(name, |file| file.write_all(bytes))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.with_file(name, |file| file.sync_data())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        fs::remove_file(self.folder.join(name))
    }
}
