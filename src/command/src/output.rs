//! Standard output and standard error: colours only where a person looks, and a reader that has gone away ends no
//! program.

use std::io::{self, IsTerminal, Write};

use shaketable_reports::Palette;

/// Where a command writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    palette: Palette,
    error_palette: Palette,
}

impl Output {
    /// Looks at the terminal and at `NO_COLOR`, see <https://no-color.org>.
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        let palette = |terminal: bool| if terminal && wanted { Palette::COLOURED } else { Palette::PLAIN };
        Self { palette: palette(io::stdout().is_terminal()), error_palette: palette(io::stderr().is_terminal()) }
    }

    /// The colours of standard output.
    pub(crate) fn palette(&self) -> Palette {
        self.palette
    }

    /// Writes `text` to standard output. What cannot be written is lost: the exit code still says what came of it.
    pub(crate) fn print(&self, text: &str) {
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }

    /// Writes an error to standard error.
    pub(crate) fn error(&self, text: &str) {
        let label = self.error_palette.paint(self.error_palette.bad(), "error:");
        self.problems(&format!("{label} {text}"));
    }

    /// Whether standard error takes colours.
    pub(crate) fn colours_errors(&self) -> bool {
        self.error_palette == Palette::COLOURED
    }

    /// Writes what is wrong with files to standard error; such a text brings its own labels.
    pub(crate) fn problems(&self, text: &str) {
        let _ = io::stderr().lock().write_all(format!("{}\n", text.trim_end()).as_bytes());
    }
}
