//! SIGINT, SIGTERM and SIGHUP: the first asks the work to stop and to put everything back, a second
//! SIGINT ends the program at once (what is frozen then is thawed by the watchdog).

use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level,
};

use crate::exit::{Exit, Failure, Result};

/// From now on the first signal calls `stop`.
///
/// Called after questions were asked (a signal ends those at once) and before the work begins.
pub fn on_first(stop: impl Fn() + Send + 'static) -> Result<()> {
    on_each(stop, || false)
}

/// The same, but for SIGHUP, which is a service's to read its settings again: `reload` says whether it is taken care of
/// by that; else it stops, too.
pub fn on_each(
    stop: impl Fn() + Send + 'static,
    reload: impl Fn() -> bool + Send + 'static,
) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|e| Failure::new(format!("signals cannot be handled: {e}")))?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let stopping = AtomicBool::new(false);
            for signal in signals.forever() {
                if signal == SIGHUP && reload() {
                    continue;
                }
                if stopping.swap(true, Ordering::SeqCst) {
                    // A service manager repeats SIGTERM when it likes; only a person's second ^C is meant so.
                    if signal == SIGINT {
                        low_level::exit(i32::from(Exit::Interrupted.code()));
                    }
                } else {
                    stop();
                }
            }
        })?;
    Ok(())
}
