//! Files as bytes: mapped read-only for what is looked at here and there, read for what is taken once and whole.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::{Mmap, UncheckedAdvice};

/// A whole file, mapped read-only.
#[derive(Debug)]
pub struct MappedFile {
    // `None` for an empty file, which cannot be mapped.
    map: Option<Mmap>,
    file: File,
}

impl MappedFile {
    /// Maps the file.
    ///
    /// Nobody may change the file while it is mapped. A file that is cut short ends the process when a page that is
    /// gone is read (SIGBUS); one that is written to changes bytes that are lent as unchanging, and what then happens
    /// is undefined. No program that maps files can prevent either. Model files are written once and then only read,
    /// so this is the usual state of things; to update one, write the new file beside it and rename.
    ///
    /// # Errors
    /// The file cannot be opened or mapped.
    pub fn open(path: impl AsRef<Path>) -> io::Result<MappedFile> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(MappedFile { map: None, file });
        }
        // SAFETY: the mapping is read-only and private to `map`, which keeps it alive for as long as the bytes are
        // lent. That nobody changes the file meanwhile cannot be ensured here, nor by any reader that maps files: it
        // is a condition on whoever runs the program, stated in the documentation above, and behaviour is undefined
        // where it is broken.
        let map = unsafe { Mmap::map(&file)? };
        Ok(MappedFile { map: Some(map), file })
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    /// Reads the bytes from `at` into `buffer`, without touching the mapping: a file that was cut short meanwhile is an
    /// error here instead of the end of the process.
    ///
    /// # Errors
    /// The file ends before, or cannot be read.
    pub fn read_at(&self, at: usize, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, at as u64)
    }

    /// Lets the system take back the memory behind these bytes; they stay readable and are then read again from the
    /// file. Whole pages inside the range only; a range that leaves the file is cut to it.
    pub fn release(&self, range: Range<usize>) {
        let Some(map) = &self.map else { return };
        let page = rustix::param::page_size();
        let start = range.start.min(map.len()).next_multiple_of(page);
        // The last page of the file is released whole: nothing follows it.
        let end = if range.end >= map.len() {
            map.len()
        } else {
            range.end / page * page
        };
        if start < end {
            // SAFETY: the mapping is shared, read-only and backed by the file, so dropping its pages loses nothing:
            // the next read faults them in again with the same content.
            let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_mapped_and_read() {
        let path = std::env::temp_dir().join(format!("tokenmill-mapped-{}", std::process::id()));
        let content: Vec<u8> = (0..100_003_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let file = MappedFile::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.bytes(), content);
        let mut buffer = [0; 1000];
        for at in [0, 4097, 99_003] {
            file.read_at(at, &mut buffer).unwrap();
            assert_eq!(buffer, content[at..][..1000]);
        }
        let past_the_end = file.read_at(99_004, &mut buffer).unwrap_err();
        assert_eq!(past_the_end.kind(), io::ErrorKind::UnexpectedEof);
        for range in [0..0, 0..100_003, 5..9000, 4096..usize::MAX, 200_000..300_000] {
            file.release(range);
            assert_eq!(file.bytes(), content, "released bytes can be read again");
        }
    }

    #[test]
    fn an_empty_file_has_no_bytes() {
        let path = std::env::temp_dir().join(format!("tokenmill-empty-{}", std::process::id()));
        std::fs::write(&path, []).unwrap();
        let file = MappedFile::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(file.bytes().is_empty());
        assert!(file.read_at(0, &mut [0]).is_err());
    }
}
