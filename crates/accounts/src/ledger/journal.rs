//! The log on this machine's disk: what was admitted and how it ended, before the database has heard of it.
//!
//! Files are only ever added to, and given up at the first fault: nothing is written behind a torn record, and no file
//! is synced again after a sync has failed. A file goes when everything in it is in the database.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::record::{Entry, Status, Usage, UsageId};
use crate::clock::Timestamp;

/// A file over this is followed by another.
const FILE_BYTES: usize = 4 << 20;

/// Writes the log and knows which of its files are still needed.
pub(crate) struct Journal<D> {
    disk: D,
    /// The number of the file that is written to.
    current: u64,
    current_bytes: usize,
    /// Whether the current file is still good.
    is_good: bool,
    /// How many requests that are not in the database yet each file speaks of.
    live: BTreeMap<u64, usize>,
    /// The files that speak of each of these requests; a few at most.
    spoken_of: HashMap<UsageId, Vec<u64>>,
}

fn file_name(number: u64) -> String {
    format!("usage-{number:012}.log")
}

fn file_number(name: &str) -> Option<u64> {
    name.strip_prefix("usage-")?.strip_suffix(".log")?.parse().ok()
}

impl<D: Disk> Journal<D> {
    /// Opens the log and reads what a process before this one has left: the requests in it, each with its end. One that
    /// was running ended when the process did, after the last tokens that the log knows of.
    pub(crate) fn open(disk: D, now: Timestamp) -> io::Result<(Journal<D>, Vec<Usage>)> {
        let mut left: BTreeMap<UsageId, Usage> = BTreeMap::new();
        let mut journal = Journal {
            disk,
            current: 0,
            current_bytes: 0,
            is_good: false,
            live: BTreeMap::new(),
            spoken_of: HashMap::new(),
        };
        for name in journal.disk.list()? {
            let Some(number) = file_number(&name) else {
                continue;
            };
            journal.current = journal.current.max(number);
            journal.live.entry(number).or_default();
            let bytes = journal.disk.read(&name)?;
            let mut rest = &bytes[..];
            while let Some((entry, length)) = Entry::read(rest) {
                journal.note(entry.id(), number);
                remember(&mut left, entry);
                rest = &rest[length..];
            }
        }
        // A tick whose start lies in a file that is gone speaks of nothing that is still to be told.
        let ids: Vec<_> = journal.spoken_of.keys().copied().collect();
        let strays: Vec<_> = ids.into_iter().filter(|id| !left.contains_key(id)).collect();
        journal.forget(&strays);
        let ended = left.into_values().map(|usage| match usage.status {
            Status::Open => {
                let mut tokens = usage.tokens;
                // Without a token nothing is known to have run.
                if tokens.n_completion == 0 {
                    tokens.n_prompt = 0;
                }
                usage.ended(tokens, Status::Interrupted, now)
            }
            _ => usage,
        });
        let ended = ended.collect();
        journal.remove_finished();
        Ok((journal, ended))
    }

    /// Adds entries, and where `sync` is asked for, returns only once they would survive a power cut. After an error the
    /// next call begins a new file, and must be given everything that is not known to be safe.
    pub(crate) fn write(&mut self, entries: &[Entry], sync: bool) -> io::Result<()> {
        if !self.is_good || self.current_bytes >= FILE_BYTES {
            self.current += 1;
            self.current_bytes = 0;
            self.live.insert(self.current, 0);
            self.is_good = true;
        }
        let name = file_name(self.current);
        let mut bytes = Vec::new();
        for entry in entries {
            entry.write(&mut bytes);
        }
        let mut written = self.disk.append(&name, &bytes);
        if written.is_ok() && sync {
            written = self.disk.sync(&name);
        }
        for entry in entries {
            self.note(entry.id(), self.current);
        }
        self.current_bytes += bytes.len();
        self.is_good = written.is_ok();
        written
    }

    /// These are in the database now.
    pub(crate) fn forget(&mut self, posted: &[UsageId]) {
        for id in posted {
            for number in self.spoken_of.remove(id).unwrap_or_default() {
                if let Some(n) = self.live.get_mut(&number) {
                    *n -= 1;
                }
            }
        }
    }

    /// Removes files that speak of nothing that is still to be told. One that cannot be removed is tried again later.
    pub(crate) fn remove_finished(&mut self) {
        let is_current = |number: u64| self.is_good && number == self.current;
        let finished = self
            .live
            .iter()
            .filter(|&(number, n)| *n == 0 && !is_current(*number));
        let finished: Vec<u64> = finished.map(|(number, _)| *number).collect();
        for number in finished {
            match self.disk.remove(&file_name(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                _ => {
                    self.live.remove(&number);
                }
            }
        }
    }

    /// Gives the current file up, so that it goes, too, once it is finished.
    pub(crate) fn close(&mut self) {
        self.is_good = false;
        self.remove_finished();
    }

    fn note(&mut self, id: UsageId, number: u64) {
        let files = self.spoken_of.entry(id).or_default();
        if !files.contains(&number) {
            files.push(number);
            *self.live.entry(number).or_default() += 1;
        }
    }
}

/// What is known of each request after one more entry. An end is final; a start that is told again changes nothing.
fn remember(left: &mut BTreeMap<UsageId, Usage>, entry: Entry) {
    match entry {
        Entry::Start(usage) => {
            left.entry(usage.id)
                .or_insert_with(|| Arc::unwrap_or_clone(usage));
        }
        Entry::Tick { id, n_completion } => {
            if let Some(usage) = left.get_mut(&id)
                && usage.status == Status::Open
            {
                usage.tokens.n_completion = usage.tokens.n_completion.max(n_completion);
            }
        }
        Entry::End(usage) => {
            left.insert(usage.id, Arc::unwrap_or_clone(usage));
        }
    }
}
