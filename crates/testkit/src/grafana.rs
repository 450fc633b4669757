//! Grafana's own library of dashboards: whether a dashboard is one by its published schema. Grafana itself is not to be
//! had here.

use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::command::run;
use crate::go::GoTool;

/// Reads a dashboard strictly: a field that the schema does not have, of the dashboard, its panels or its queries, is an
/// error.
pub const SCHEMA: GoTool = GoTool {
    program: "grafana-schema",
    module: "github.com/grafana/grafana-foundation-sdk/go",
    version: "v0.0.22",
    package: "github.com/grafana/grafana-foundation-sdk/go/dashboard",
    flags: "",
    main: r#"package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	raw, err := os.ReadFile(os.Args[1])
	board := dashboard.Dashboard{}
	if err == nil {
		err = board.UnmarshalJSONStrict(raw)
	}
	if err == nil {
		err = board.Validate()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(len(board.Panels))
}
"#,
};

/// The number of its panels.
///
/// # Errors
/// It is no dashboard; each fault is named.
pub fn check(dashboard: &Path) -> Result<usize> {
    let said = run(Command::new(SCHEMA.ensure()?).arg(dashboard))?;
    let count = said.trim().parse();
    count.map_err(|_| crate::Error::malformed("the schema's answer", &said))
}
