//! The few colours of a terminal report, by meaning. Whether there are any is the caller's choice; nothing here looks
//! at the terminal or the environment.

use anstyle::{AnsiColor, Style};

/// Colours by meaning, or none at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    coloured: bool,
}

impl Palette {
    /// Text without escape sequences.
    pub const PLAIN: Self = Self { coloured: false };
    /// Text with ANSI colours.
    pub const COLOURED: Self = Self { coloured: true };

    /// What held.
    pub fn good(self) -> Style {
        self.style(Style::new().fg_color(Some(AnsiColor::Green.into())))
    }

    /// What was violated, or failed.
    pub fn bad(self) -> Style {
        self.style(Style::new().fg_color(Some(AnsiColor::Red.into())).bold())
    }

    /// What a person should look at, though nothing broke.
    pub fn doubtful(self) -> Style {
        self.style(Style::new().fg_color(Some(AnsiColor::Yellow.into())))
    }

    /// What a section is about.
    pub fn heading(self) -> Style {
        self.style(Style::new().bold())
    }

    /// What one may skip.
    pub fn faint(self) -> Style {
        self.style(Style::new().dimmed())
    }

    /// `text` in `style`.
    pub fn paint(self, style: Style, text: &str) -> String {
        if style.is_plain() { text.to_owned() } else { format!("{style}{text}{style:#}") }
    }

    fn style(self, style: Style) -> Style {
        if self.coloured { style } else { Style::new() }
    }
}
