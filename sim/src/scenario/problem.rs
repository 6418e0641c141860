//! What is wrong with a file that a person wrote, with its place and the mend. One style for all of it, whoever found it;
//! nothing here knows what scenarios mean.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A place in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but hardly does what its author thinks.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The bytes that are wrong.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub mend: Option<String>,
}

/// What is wrong with a file; `Display` shows every problem with its line, a caret and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: Arc<str>,
    text: Arc<str>,
    list: Vec<Problem>,
}

impl Problems {
    /// No problems of `file`, whose content is `text`.
    pub fn none(file: &str, text: &str) -> Self {
        Self { file: file.into(), text: text.into(), list: Vec::new() }
    }

    /// Adds what makes the file unusable.
    pub fn error(&mut self, place: &Place, message: impl Into<String>, mend: impl Into<Option<String>>) {
        self.add(Severity::Error, place, message.into(), mend.into());
    }

    /// Adds a warning.
    pub fn warning(&mut self, place: &Place, message: impl Into<String>, mend: impl Into<Option<String>>) {
        self.add(Severity::Warning, place, message.into(), mend.into());
    }

    fn add(&mut self, severity: Severity, place: &Place, message: String, mend: Option<String>) {
        let span = self.within(place);
        let (line, column) = (place.line, place.column);
        self.list.push(Problem { severity, file: self.file.clone(), line, column, span, message, mend });
    }

    /// A span that lies on characters of the text, whatever the parser said.
    fn within(&self, place: &Place) -> Range<usize> {
        let floor = |mut index: usize| {
            index = index.min(self.text.len());
            while !self.text.is_char_boundary(index) {
                index -= 1;
            }
            index
        };
        let start = floor(place.start);
        start..floor(place.end).max(start)
    }

    /// All of them, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Whether there is none, not even a warning.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one makes the file unusable.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Orders them as the file has them.
    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|problem| (problem.span.start, problem.severity));
    }

    /// All of them as people read them, each with its line, a caret and the mend; with `colour` for terminals.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut shown = String::new();
        for problem in &self.list {
            if !shown.is_empty() {
                shown.push('\n');
            }
            shown.push_str(&self.render_one(problem, &renderer));
            shown.push('\n');
        }
        shown
    }

    fn render_one(&self, problem: &Problem, renderer: &Renderer) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = annotate_snippets::normalize_untrusted_str(&problem.message);
        let mend = problem.mend.as_deref().map(annotate_snippets::normalize_untrusted_str);
        // Only the line itself is handed over: rendering stays quick however long the file is.
        let line_start = self.text[..problem.span.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[line_start..].find('\n').map_or(self.text.len(), |length| line_start + length);
        let start = problem.span.start.min(line_end) - line_start;
        let end = problem.span.end.min(line_end).max(problem.span.start) - line_start;
        let mut caret = AnnotationKind::Primary.span(start..end);
        if let Some(mend) = mend {
            caret = caret.label(mend);
        }
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let group = level
            .primary_title(message)
            .element(Snippet::source(line).line_start(problem.line.max(1)).path(self.file.as_ref()).annotation(caret));
        renderer.render(&[group])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
