//! Tables: plain columns, two spaces apart, that `awk` can read.

use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};

/// A table being filled.
pub struct Table {
    grid: Grid,
}

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Figures.
    Right,
}

impl Table {
    /// A table with these columns. With a `width`, long cells are wrapped to fit it.
    pub fn new(columns: &[(&str, Align)], width: Option<u16>) -> Self {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        if let Some(width) = width {
            grid.set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        } else {
            grid.set_content_arrangement(ContentArrangement::Disabled);
        }
        grid.set_header(columns.iter().map(|(name, _)| *name));
        for (column, (_, align)) in grid.column_iter_mut().zip(columns) {
            column.set_padding((0, 2));
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        Self { grid }
    }

    /// Adds a line. An empty cell is shown as `-`, so that columns can be counted.
    pub fn row<I, S>(&mut self, cells: I)
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.grid.add_row(cells.into_iter().map(|cell| {
            let cell = cell.into();
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell
            }
        }));
    }

    /// The text, one line a row, no space at the end of a line.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for line in self.grid.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(width: Option<u16>) -> Table {
        let columns = [
            ("ID", Align::Left),
            ("SIZE", Align::Right),
            ("NOTES", Align::Left),
        ];
        let mut table = Table::new(&columns, width);
        table.row(["6f1d3c20", "1.2 GiB", ""]);
        table.row(["a", "12 B", "incomplete, with a long story behind it"]);
        table
    }

    #[test]
    fn columns_stand_in_line() {
        insta::assert_snapshot!(sample(None).render(), @r"
        ID           SIZE  NOTES
        6f1d3c20  1.2 GiB  -
        a            12 B  incomplete, with a long story behind it
        ");
    }

    #[test]
    fn a_narrow_terminal_wraps_cells() {
        insta::assert_snapshot!(sample(Some(40)).render(), @r"
        ID           SIZE  NOTES
        6f1d3c20  1.2 GiB  -
        a            12 B  incomplete, with a
                           long story behind
                           it
        ");
    }

    #[test]
    fn a_table_without_rows_has_its_header() {
        let table = Table::new(&[("APP", Align::Left), ("SIZE", Align::Right)], None);
        assert_eq!(table.render(), "APP  SIZE\n");
    }
}
