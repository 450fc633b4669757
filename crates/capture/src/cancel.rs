//! Stopping long work from outside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{CaptureError, Result};

/// A switch that stops work at its next safe place. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A switch that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets it, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was set.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// [`CaptureError::Interrupted`] once it was set.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            Err(CaptureError::Interrupted)
        } else {
            Ok(())
        }
    }
}
