//! One request's line in the ledger, from its admission to its end, and how the log on the disk holds it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::{Period, Timestamp};
use crate::limits::{Scope, cap_purse, credit_purse};
use crate::money::{Nanos, Price, Tokens};

/// Bytes of a record before its JSON: length and checksum.
const HEAD_BYTES: usize = 8;
/// The longest record; a length over it is no length.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// Names a request in the ledger for ever: a UUID of version 7, so that ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageId([u8; 16]);

impl UsageId {
    /// The id of a request admitted at `at`, with 74 bits from `random`.
    pub fn new(at: Timestamp, random: [u8; 10]) -> UsageId {
        let mut bytes = [0; 16];
        let millis = at.as_millis().max(0).to_be_bytes();
        bytes[..6].copy_from_slice(&millis[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        UsageId(bytes)
    }

    /// The id that is displayed as `text`.
    pub fn parse(text: &str) -> Option<UsageId> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 16];
        for (idx, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * idx..2 * idx + 2)?, 16).ok()?;
        }
        Some(UsageId(bytes))
    }
}

impl fmt::Display for UsageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (idx, byte) in self.0.iter().enumerate() {
            text[2 * idx] = DIGITS[usize::from(byte >> 4)];
            text[2 * idx + 1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for UsageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UsageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UsageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<UsageId, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        UsageId::parse(&text).ok_or_else(|| serde::de::Error::custom("not a usage id"))
    }
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has not.
    Open,
    /// The answer is complete.
    Done,
    /// A fault that was not the caller's; costs nothing.
    Failed,
    /// The caller left; costs what ran.
    Cancelled,
    /// The server was killed; costs what is known to have run.
    Interrupted,
    /// The upstream used more than it was allowed: all of it is charged.
    Overrun,
}

impl Status {
    /// The status called `name`.
    pub fn from_name(name: &str) -> Option<Status> {
        use Status::{Cancelled, Done, Failed, Interrupted, Open, Overrun};
        let all = [Open, Done, Failed, Cancelled, Interrupted, Overrun];
        all.into_iter().find(|status| status.name() == name)
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Done => "done",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Interrupted => "interrupted",
            Status::Overrun => "overrun",
        }
    }
}

/// A request that was admitted: who, what, at which price, held how much, and in the end how much it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Its name.
    pub id: UsageId,
    /// Who pays.
    pub team_id: String,
    /// What it counts under.
    pub project_id: String,
    /// Who asked.
    pub key_id: String,
    /// The served name of the model.
    pub model: String,
    /// The version of the adapter that changed it, as `team/project/name:v3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The version pinned at its admission.
    pub price: Price,
    /// The worst case, held from its admission to its end.
    pub hold: Nanos,
    /// The purses that the hold lies in: the team's credit, and each cap for the window of the admission.
    pub purses: Vec<String>,
    /// What ran.
    pub tokens: Tokens,
    /// How it ended.
    pub status: Status,
    /// What it costs.
    pub cost: Nanos,
    /// When it was admitted.
    pub admitted_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
}

impl Usage {
    /// With its end: the cost is what the tokens cost, or nothing for a failure.
    pub(crate) fn ended(mut self, tokens: Tokens, status: Status, at: Timestamp) -> Usage {
        self.tokens = tokens;
        self.cost = if status == Status::Failed {
            Nanos::ZERO
        } else {
            self.price.cost(tokens)
        };
        self.status = if self.cost > self.hold {
            Status::Overrun
        } else {
            status
        };
        self.ended_at = at.max(self.admitted_at);
        self
    }

    /// The part of the cost that the hold pays for. The rest is charged all the same.
    pub(crate) fn charge(&self) -> Nanos {
        self.cost.min(self.hold)
    }

    /// Every purse that counts this request, whether there is one or not.
    pub(crate) fn counted_by(&self) -> Vec<String> {
        let mut purses = vec![credit_purse(&self.team_id)];
        for (scope, target) in [
            (Scope::Team, &self.team_id),
            (Scope::Project, &self.project_id),
            (Scope::Key, &self.key_id),
        ] {
            for period in Period::ALL {
                purses.push(cap_purse(scope, target, period, self.admitted_at));
            }
        }
        purses
    }
}

/// One record of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// Admitted.
    Start(Arc<Usage>),
    /// So many tokens were generated by now.
    Tick { id: UsageId, n_completion: u64 },
    /// Over.
    End(Arc<Usage>),
}

impl Entry {
    pub(crate) fn id(&self) -> UsageId {
        match self {
            Entry::Start(usage) | Entry::End(usage) => usage.id,
            Entry::Tick { id, .. } => *id,
        }
    }

    /// Length, checksum of length and text, and the record as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        if serde_json::to_writer(&mut *out, self).is_err() {
            // No type in it can fail to be written; a record that did would be no record.
            out.truncate(start);
            return;
        }
        let length = ((out.len() - start - HEAD_BYTES) as u32).to_le_bytes();
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&length);
        checksum.update(&out[start + HEAD_BYTES..]);
        out[start..start + 4].copy_from_slice(&length);
        out[start + 4..start + HEAD_BYTES].copy_from_slice(&checksum.finalize().to_le_bytes());
    }

    /// The first record of `bytes` and how many bytes it has; `None` at the end, or where what follows is none: nothing
    /// after such a place was ever acknowledged.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Entry, usize)> {
        let head = bytes.get(..HEAD_BYTES)?;
        let length = u32::from_le_bytes(head[..4].try_into().ok()?);
        let expected = u32::from_le_bytes(head[4..].try_into().ok()?);
        let end = HEAD_BYTES + (length as usize).min(MAX_RECORD_BYTES + 1);
        let text = bytes.get(HEAD_BYTES..end)?;
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&head[..4]);
        checksum.update(text);
        if checksum.finalize() != expected {
            return None;
        }
        Some((serde_json::from_slice(text).ok()?, end))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn usage(id: u8) -> Usage {
        Usage {
            id: UsageId::new(Timestamp::from_millis(1_764_000_000_000), [id; 10]),
            team_id: "team".into(),
            project_id: "project".into(),
            key_id: "key".into(),
            model: "a/b".into(),
            adapter: None,
            price: Price {
                version: 3,
                input: Nanos(2_000_000),
                cached_input: Nanos(1_000_000),
                output: Nanos(3_000_000),
            },
            hold: Nanos(50),
            purses: vec!["credit/team".into()],
            tokens: Tokens::default(),
            status: Status::Open,
            cost: Nanos::ZERO,
            admitted_at: Timestamp::from_millis(1_764_000_000_000),
            ended_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn an_id_is_a_uuid_that_sorts_by_time() {
        let id = |millis| UsageId::new(Timestamp::from_millis(millis), [0xff; 10]);
        assert_eq!(
            id(0x0123_4567_89ab).to_string(),
            "0123456789ab7fffbfffffffffffffff"
        );
        assert!(id(1) < id(2) && id(255) < id(256));
        assert_eq!(UsageId::parse(&id(77).to_string()), Some(id(77)));
        for wrong in [
            "",
            "+123456789ab7fffbfffffffffffffff",
            "é123456789ab7fffbffffffffffffff",
        ] {
            assert_eq!(UsageId::parse(wrong), None);
        }
    }

    #[test]
    fn records_are_read_back_up_to_the_first_that_is_torn() {
        let tokens = Tokens {
            n_prompt: 5,
            n_cached: None,
            n_completion: 2,
        };
        let entries = [
            Entry::Start(Arc::new(usage(1))),
            Entry::Tick {
                id: usage(1).id,
                n_completion: 32,
            },
            Entry::End(Arc::new(usage(1).ended(
                tokens,
                Status::Done,
                Timestamp::from_millis(9),
            ))),
        ];
        let mut bytes = Vec::new();
        for entry in &entries {
            entry.write(&mut bytes);
        }
        let read_all = |mut bytes: &[u8]| {
            let mut read = Vec::new();
            while let Some((entry, length)) = Entry::read(bytes) {
                read.push(entry);
                bytes = &bytes[length..];
            }
            read
        };
        assert_eq!(read_all(&bytes), entries);
        for cut in 0..bytes.len() {
            let read = read_all(&bytes[..cut]);
            assert!(read.len() < 3 && entries.starts_with(&read));
            let mut flipped = bytes.clone();
            flipped[cut] ^= 1 << (cut % 8);
            let read = read_all(&flipped);
            assert!(read.len() < 3 && entries.starts_with(&read), "byte {cut}");
        }
    }

    #[test]
    fn a_failure_costs_nothing_and_an_overrun_all() {
        let tokens = |n_completion| Tokens {
            n_prompt: 5,
            n_cached: Some(5),
            n_completion,
        };
        let at = Timestamp::from_millis(0);
        let failed = usage(1).ended(tokens(10), Status::Failed, at);
        assert_eq!((failed.cost, failed.status), (Nanos(0), Status::Failed));
        let cancelled = usage(1).ended(tokens(10), Status::Cancelled, at);
        assert_eq!((cancelled.cost, cancelled.charge()), (Nanos(35), Nanos(35)));
        let over = usage(1).ended(tokens(20), Status::Done, at);
        assert_eq!(
            (over.cost, over.charge(), over.status),
            (Nanos(65), Nanos(50), Status::Overrun)
        );
        assert_eq!(over.ended_at, over.admitted_at, "time does not go backwards");
    }
}
