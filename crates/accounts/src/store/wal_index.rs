//! Whether anything was committed to a SQLite database since one last looked, for the price of one read.
//!
//! In WAL mode every commit changes the header of the index of the log, a file beside the database whose form is part of
//! SQLite's documentation (`walformat.html`): it says how long the log is, with a counter of changes and checksums. As
//! long as its bytes are the same, nothing was committed, by whichever process.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::Path;

/// Two copies of the header.
const HEADER_BYTES: usize = 96;

/// The header's bytes at one moment.
pub(crate) type Header = [u8; HEADER_BYTES];

/// The index's file. Open until the process ends: SQLite's locks on it are the process's, and the system takes all of them
/// away when any descriptor of the file is closed.
pub(crate) struct WalIndex(Option<ManuallyDrop<File>>);

impl WalIndex {
    /// The index beside `database`, which must be open, or else there is none yet.
    pub(super) fn open(database: &Path) -> WalIndex {
        let mut name = database.as_os_str().to_owned();
        name.push("-shm");
        // Elsewhere a read may not see what is written through a mapping.
        let file = cfg!(unix).then(|| File::open(name).ok()).flatten();
        WalIndex(file.map(ManuallyDrop::new))
    }

    /// The header now; `None` where it cannot be read, and the database itself must be asked.
    pub(super) fn header(&self) -> Option<Header> {
        let file = self.0.as_ref()?;
        let mut header = [0; HEADER_BYTES];
        #[cfg(unix)]
        std::os::unix::fs::FileExt::read_exact_at(&**file, &mut header, 0).ok()?;
        #[cfg(not(unix))]
        let _ = file;
        Some(header)
    }
}
