//! Renders results for people. Their model is `shaketable_sim::run`'s; how they came about, and which engine or plugin
//! was behind them, is not known here, and nothing here writes anywhere: every renderer returns text.

#![forbid(unsafe_code)]

pub mod bench;
mod columns;
mod describe;
mod kind;
mod palette;
mod shell;
pub mod terminal;
mod time;
pub mod trace;
pub mod verification;

pub use columns::{Cell, Columns};
pub use describe::{describe, describe_network};
pub use kind::Kind;
pub use palette::Palette;
pub use shell::{live_line, quote, replay_line, sweep_line};
pub use time::duration_in_words;
