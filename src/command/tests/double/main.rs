//! `serve`: a double of etcd as people meet it who use it: the program, its sockets, and clients that others wrote. What
//! clients are told is compared with what a real etcd tells them. Where a client or an etcd is missing, a test is listed as
//! ignored, with the reason.
#![expect(clippy::disallowed_methods, reason = "a double lives in real time")]

mod clients;
#[path = "../../../../fixtures/tests/common/mod.rs"]
mod common;
mod document;
mod double;
mod normalised;
mod orders;
mod start;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed};

fn main() -> ExitCode {
    let mut trials = start::trials();
    trials.extend(orders::trials());
    trials.extend(clients::trials());
    trials.extend(document::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
