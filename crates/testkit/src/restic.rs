//! The newest restic, built from its source beside the distribution's.

use std::path::PathBuf;

use crate::Result;
use crate::go::GoTool;

/// The newest that the Go module proxy has.
pub const RESTIC: GoTool = GoTool {
    program: "restic",
    module: "github.com/restic/restic",
    version: "v0.18.1",
    package: "github.com/restic/restic/cmd/restic",
    flags: "",
    main: "",
};

/// The program, built if it is not in the cache.
pub fn newest_restic() -> Result<PathBuf> {
    RESTIC.ensure()
}
