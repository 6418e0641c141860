//! What the benches have measured, for people and for CI: figures of contests as Markdown, JSON and a chart, and what has
//! changed since a baseline. Texts in, texts out; it knows neither folders nor how anything was measured.

mod chart;
mod compare;
mod contest;
mod json;
mod markdown;
mod published;
mod ratio;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

pub use chart::svg;
pub use compare::{Comparison, Judged, TOLERANCE, Verdict};
pub use contest::{Clock, Compared, Contender, Contest, Ground, Machine, Once, Role, Versions};
pub use json::json;
pub use markdown::markdown;
pub use published::{Figures, Pair, Published, Took};
pub use ratio::{Ratio, median_of_turns};
pub use terminal::{render_comparison, render_figures};
pub use words::nanoseconds;
