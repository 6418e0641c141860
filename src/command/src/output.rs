//! Standard output and standard error: colours only where a person looks, and a reader that has gone away ends no program.

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
        self.labelled("error", self.error_palette.bad(), text);
    }

    /// Writes a warning to standard error.
    pub(crate) fn warning(&self, text: &str) {
        self.labelled("warning", self.error_palette.doubtful(), text);
    }

    /// Texts that show a place in a file bring their own label.
    fn labelled(&self, label: &str, style: anstyle::Style, text: &str) {
        let text = text.trim_end();
        let line = if text.starts_with("error") || text.starts_with("warning") {
            format!("{text}\n")
        } else {
            format!("{} {text}\n", self.error_palette.paint(style, &format!("{label}:")))
        };
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}
