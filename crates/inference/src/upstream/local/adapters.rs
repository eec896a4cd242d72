//! The adapters of one model that are in memory: loaded when a request first wants them, and let go, the least recently
//! used first, when others need the room. Those that sequences run with stay until these are done.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokenmill_kernels::pool::Pool;
use tokenmill_model::adapter::check;
use tokenmill_model::{Adapter, AdapterFault, AdapterShape, AdapterSummary};

use crate::event::InferenceError;
use crate::request::AdapterSource;
use crate::upstream::Adapters;

/// Adapters are checked against their model's limit where they are uploaded; one that was let in then stays good.
const NO_LIMIT: usize = usize::MAX;

pub(super) struct LocalAdapters {
    shape: AdapterShape,
    /// Packs in the thread that loads, so that no step waits for it.
    pool: Pool,
    max_bytes: usize,
    /// By use, the last used last.
    resident: Mutex<Vec<Arc<Adapter>>>,
    /// Held while one is loaded: who wants the same one meanwhile does not load it again.
    loading: tokio::sync::Mutex<()>,
    /// Held while one is checked, which has its files in memory.
    checking: Mutex<()>,
}

impl LocalAdapters {
    /// For a model of this shape, on these instructions; together they take at most so many bytes.
    pub(super) fn new(
        shape: AdapterShape,
        isa: tokenmill_kernels::isa::Isa,
        max_bytes: usize,
    ) -> LocalAdapters {
        LocalAdapters {
            shape,
            pool: Pool::new(NonZeroUsize::MIN, isa),
            max_bytes,
            resident: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            checking: Mutex::default(),
        }
    }

    /// The adapter, from memory or from its files.
    pub(super) async fn get(
        self: &Arc<Self>,
        source: &AdapterSource,
    ) -> Result<Arc<Adapter>, InferenceError> {
        if let Some(adapter) = self.find(&source.digest) {
            return Ok(adapter);
        }
        let _loading = self.loading.lock().await;
        if let Some(adapter) = self.find(&source.digest) {
            return Ok(adapter);
        }
        let (this, folder) = (Arc::clone(self), source.folder.clone());
        let loaded = tokio::task::spawn_blocking(move || this.load(&folder));
        let loaded = loaded
            .await
            .map_err(|error| InferenceError::Fault(format!("loading an adapter: {error}")))?;
        let adapter = loaded.map_err(|fault| unusable(source, &fault))?;
        if *adapter.digest() != source.digest {
            return Err(InferenceError::Fault(format!(
                "the files of adapter {} are not those that were uploaded",
                source.name
            )));
        }
        self.admit(Arc::new(adapter))
    }

    fn load(&self, folder: &Path) -> Result<Adapter, AdapterFault> {
        // Before its matrices are packed, so that one that can never stay takes no memory.
        self.check_size(&check(&self.shape, folder, NO_LIMIT)?)?;
        Adapter::load(&self.pool, &self.shape, folder, NO_LIMIT)
    }

    fn check_size(&self, summary: &AdapterSummary) -> Result<(), AdapterFault> {
        if summary.memory_bytes > self.max_bytes {
            return Err(AdapterFault::TooLarge {
                needed: summary.memory_bytes,
                available: self.max_bytes,
            });
        }
        Ok(())
    }

    /// Of those in memory, and makes it the last used.
    fn find(&self, digest: &[u8; 32]) -> Option<Arc<Adapter>> {
        let mut resident = self.lock();
        let idx = resident.iter().position(|adapter| adapter.digest() == digest)?;
        let adapter = resident.remove(idx);
        resident.push(Arc::clone(&adapter));
        Some(adapter)
    }

    /// Keeps one more, and lets go of as many as that takes.
    fn admit(&self, adapter: Arc<Adapter>) -> Result<Arc<Adapter>, InferenceError> {
        let mut resident = self.lock();
        let room = self.max_bytes.saturating_sub(adapter.n_bytes());
        while n_bytes(&resident) > room {
            // Whoever has it besides this list is about to run with it, or runs.
            let Some(idx) = resident.iter().position(|one| Arc::strong_count(one) == 1) else {
                return Err(InferenceError::Overloaded);
            };
            resident.remove(idx);
        }
        resident.push(Arc::clone(&adapter));
        Ok(adapter)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Adapter>>> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn n_bytes(resident: &[Arc<Adapter>]) -> usize {
    resident.iter().map(|adapter| adapter.n_bytes()).sum()
}

fn unusable(source: &AdapterSource, fault: &AdapterFault) -> InferenceError {
    match fault {
        // Said to be there by whoever keeps them.
        AdapterFault::Read { .. } => InferenceError::Fault(format!("adapter {}: {fault}", source.name)),
        _ => InferenceError::Adapter(format!(
            "the adapter {} cannot be applied to this model: {fault}",
            source.name
        )),
    }
}

impl Adapters for LocalAdapters {
    fn check(&self, folder: &Path, max_rank: usize) -> Result<AdapterSummary, AdapterFault> {
        let _checking = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        let summary = check(&self.shape, folder, max_rank)?;
        self.check_size(&summary)?;
        Ok(summary)
    }

    fn n_resident(&self) -> usize {
        self.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;
    use tokenmill_kernels::isa::Isa;
    use tokenmill_model::{LoadOptions, load_from_bytes};
    use tokenmill_testkit::{TinyAdapter, TinyModel};

    /// Room for so many adapters, and some adapters.
    struct Rig {
        adapters: Arc<LocalAdapters>,
        sources: Vec<(AdapterSource, TempDir)>,
    }

    fn rig(n_fit: usize) -> Rig {
        let model = TinyModel::new("qwen3", 1);
        let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
        let loaded = load_from_bytes(&pool, "tiny", &model.gguf().bytes(), &LoadOptions::default());
        let shape = loaded.expect("a model that loads").adapter_shape;
        let mut n_bytes = 0;
        let sources = (0..3).map(|seed| {
            let folder = tempfile::tempdir().expect("a folder");
            TinyAdapter::new(&model, seed)
                .write(folder.path())
                .expect("two files");
            let adapter = Adapter::load(&pool, &shape, folder.path(), 64).expect("it loads");
            n_bytes = adapter.n_bytes();
            let source = AdapterSource {
                name: format!("t/p/{seed}:v0"),
                folder: folder.path().to_owned(),
                digest: *adapter.digest(),
            };
            (source, folder)
        });
        let sources = sources.collect();
        let adapters = Arc::new(LocalAdapters::new(shape, Isa::detect(), n_fit * n_bytes));
        Rig { adapters, sources }
    }

    #[tokio::test]
    async fn the_least_recently_used_makes_room_and_one_in_use_does_not() {
        let Rig { adapters, sources } = rig(2);
        let get = async |idx: usize| adapters.get(&sources[idx].0).await;
        let is_there = |idx: usize| {
            let resident = adapters.lock();
            resident
                .iter()
                .any(|adapter| *adapter.digest() == sources[idx].0.digest)
        };
        get(0).await.expect("it fits");
        get(1).await.expect("it fits");
        get(0).await.expect("it is there");
        get(2).await.expect("another makes room");
        assert!(is_there(0) && !is_there(1) && is_there(2));
        let used = (
            get(0).await.expect("it is there"),
            get(2).await.expect("it is there"),
        );
        assert_eq!(get(1).await, Err(InferenceError::Overloaded), "both are in use");
        drop(used.0);
        get(1).await.expect("one is free");
        assert!(!is_there(0) && is_there(1) && is_there(2));
        assert_eq!(adapters.n_resident(), 2);
    }

    #[tokio::test]
    async fn one_that_can_never_fit_is_refused_by_name() {
        let Rig { adapters, sources } = rig(0);
        let refused = adapters.get(&sources[0].0).await.expect_err("no room");
        assert!(
            matches!(&refused, InferenceError::Adapter(why) if why.contains("t/p/0:v0")),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn requests_that_come_together_share_one_load_and_changed_files_are_noticed() {
        let Rig { adapters, sources } = rig(3);
        let asks = (0..8).map(|_| adapters.get(&sources[0].0));
        let got = futures::future::join_all(asks).await;
        let first = got[0].as_ref().expect("it loads");
        assert!(
            got.iter()
                .all(|one| Arc::ptr_eq(one.as_ref().expect("it loads"), first))
        );
        let changed = AdapterSource {
            folder: sources[1].0.folder.clone(),
            ..sources[2].0.clone()
        };
        let refused = adapters.get(&changed).await.expect_err("other files");
        assert!(matches!(refused, InferenceError::Fault(_)), "{refused}");
    }
}
