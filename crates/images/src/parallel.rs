//! Many things at the same time, on a bounded number of threads.

use parking_lot::Mutex;

use crate::{Error, Result};

/// Works on all items with `jobs` threads, in their order as far as threads allow. The first error ends it: what was
/// begun is finished, nothing more is begun.
pub(crate) fn parallel<T: Send>(
    jobs: usize,
    items: Vec<T>,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let jobs = jobs.clamp(1, items.len().max(1));
    let items = Mutex::new(items.into_iter());
    let failed: Mutex<Option<Error>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while failed.lock().is_none() {
                    let Some(item) = ({ items.lock().next() }) else {
                        return;
                    };
                    if let Err(e) = work(item) {
                        failed.lock().get_or_insert(e);
                    }
                }
            });
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}
