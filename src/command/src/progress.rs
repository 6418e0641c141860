//! How far a command is, on standard error: a bar where a person looks, a line every ten seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines where no bar is shown.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Measures how long a person waits; no result depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the time that a person waits is real; it reaches no verdict")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// How far a command is.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// What has ended.
    pub(crate) done: usize,
    /// What there is in all.
    pub(crate) total: usize,
    /// What has found something or failed.
    pub(crate) failed: usize,
    /// What has just ended.
    pub(crate) what: String,
}

/// Shows progress.
pub(crate) struct Meter {
    noun: &'static str,
    started: Stopwatch,
    bar: Option<ProgressBar>,
    lines: u32,
}

impl Meter {
    pub(crate) fn new(noun: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} left {eta} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5)).with_style(style);
            bar.set_position(0);
            bar
        });
        Self { noun, started: Stopwatch::start(), bar, lines: 0 }
    }

    pub(crate) fn show(&mut self, progress: &Step) {
        let failed = if progress.failed == 0 { String::new() } else { format!(", {} failed", progress.failed) };
        if let Some(bar) = &self.bar {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
            bar.set_message(format!("{}{failed}", progress.what));
            return;
        }
        let elapsed = self.started.elapsed();
        if elapsed < LINE_EVERY * (self.lines + 1) {
            return;
        }
        self.lines = u32::try_from(elapsed.as_secs() / LINE_EVERY.as_secs()).unwrap_or(u32::MAX - 1);
        let seconds = elapsed.as_secs();
        let line = format!("{} of {} {} after {seconds}s{failed}\n", progress.done, progress.total, self.noun);
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
