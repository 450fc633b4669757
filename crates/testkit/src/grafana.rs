//! Grafana's own library of dashboards: whether a dashboard is one by its published schema. Grafana itself is not to be
//! had here.

use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::command::run;
use crate::go::GoTool;

/// Reads a dashboard strictly: a field that the schema does not have or that is of another kind there, of the dashboard
/// or its panels, is an error. One that is left out is none: Grafana fills it in.
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
	"strings"

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
	wrong := false
	if err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			// Grafana fills in what a panel leaves out; the schema calls it required.
			if !strings.Contains(line, "required field is missing") {
				fmt.Fprintln(os.Stderr, line)
				wrong = true
			}
		}
	}
	if wrong {
		os.Exit(1)
	}
	fmt.Println(strings.Count(string(raw), "\"gridPos\""))
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
