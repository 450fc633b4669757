//! The one place of this crate where async code runs: a small runtime that blocking callers wait on.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::{Result, StoreError};

/// A runtime of a store's own. Dropped, it ends without waiting for anything.
pub(crate) struct Waiter {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Waiter {
    pub(crate) fn new() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("store-io")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|source| StoreError::Io {
            context: "start the threads that talk to the store".to_owned(),
            source,
        })?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Waits on the caller's thread, which is none of a runtime's.
    pub(crate) fn wait<F: Future>(&self, work: F) -> F::Output {
        self.handle.block_on(work)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
