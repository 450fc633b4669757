//! How long work tells what it does. Engine crates know no terminal: they call this.

/// Receiver of progress; every method has a default that does nothing.
pub trait Progress: Send + Sync {
    /// A named step begins, e.g. `freeze`. Steps are the points at which a crash test may stop us.
    fn step(&self, _name: &str) {}
    /// A step of a plan begins: the `at`-th of `of`, in words. Until the next one, what
    /// [`Progress::step`] says is within it. 0 of 0: no step of a plan is under way any more.
    fn planned(&self, _at: usize, _of: usize, _label: &str) {}
    /// So much work is known to lie ahead in this step (added to what was said before).
    fn expect(&self, _files: u64, _bytes: u64) {}
    /// So much of it is done.
    fn advance(&self, _files: u64, _bytes: u64) {}
    /// Something that a person should read, and that ends up in the report.
    fn warn(&self, _message: &str) {}
}

/// Nobody listens.
pub struct Silent;

impl Progress for Silent {}
