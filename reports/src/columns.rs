//! Aligned columns of text. Widths are counted before colours are put on, so that escape sequences move nothing.

use anstyle::Style;

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// A cell with `text` at its left edge.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A cell with `text`, usually a number, at its right edge.
    pub fn right(text: impl Into<String>) -> Self {
        Self { text: text.into(), right: true, ..Self::default() }
    }

    /// The same cell in `style`.
    #[must_use]
    pub fn styled(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// Rows of cells; each column is as wide as its widest cell. The last column of a row is never padded.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    indent: usize,
    rows: Vec<Vec<Cell>>,
}

impl Columns {
    /// No rows yet; each will start with `indent` spaces.
    pub fn indented(indent: usize) -> Self {
        Self { indent, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The text, each row with its line break, two spaces between columns, no blanks at a line's end.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let filled = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
            text.push_str(&" ".repeat(if filled == 0 { 0 } else { self.indent }));
            for (column, cell) in row[..filled].iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.width());
                let style = cell.style;
                if cell.right {
                    text.push_str(&padding);
                }
                text.push_str(&format!("{style}{}{style:#}", cell.text));
                if column + 1 < filled {
                    if !cell.right {
                        text.push_str(&padding);
                    }
                    text.push_str("  ");
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Columns};
    use crate::Palette;

    #[test]
    fn columns_align_whatever_their_colour() {
        let mut columns = Columns::indented(2);
        columns.row([Cell::new("a"), Cell::right("7"), "held".into()]);
        columns.row([Cell::new("longer").styled(Palette::COLOURED.good()), Cell::right("123"), "".into()]);
        assert_eq!(columns.render(), "  a         7  held\n  \u{1b}[32mlonger\u{1b}[0m  123\n");
    }
}
