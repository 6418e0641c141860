//! Operations with their ends: invocations paired with returns, and the crashes that cut operations off.

use std::collections::BTreeMap;

use crate::history::{Answer, Edge, Event, Failure, History, Moment, Operation, OperationId, Point};
use crate::world::Fault;

/// Where in the history something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) at: Moment,
    pub(super) sequence: u64,
}

impl Stamp {
    pub(super) fn of(event: &Event) -> Self {
        Self { at: event.at, sequence: event.sequence }
    }
}

/// An operation from its invocation to its return.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) id: OperationId,
    pub(super) host: &'a str,
    pub(super) operation: &'a Operation,
    pub(super) cause: Option<OperationId>,
    pub(super) invoked: Stamp,
    pub(super) returned: Option<Stamp>,
    /// Its result; none without a return.
    pub(super) result: Option<Result<&'a Answer, &'a Failure>>,
}

impl Run<'_> {
    /// When it returned without an error.
    pub(super) fn succeeded(&self) -> Option<Stamp> {
        self.returned.filter(|_| matches!(self.result, Some(Ok(_))))
    }
}

/// All operations of a history.
#[derive(Debug, Default)]
pub(super) struct Operations<'a> {
    runs: BTreeMap<OperationId, Run<'a>>,
    crashes: BTreeMap<&'a str, Vec<Stamp>>,
}

impl<'a> Operations<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut operations = Self::default();
        for event in &history.events {
            match (&event.edge, event.operation) {
                (Edge::Invoke(operation), Some(id)) => {
                    let (host, cause, invoked) = (&*event.host, event.cause, Stamp::of(event));
                    let run = Run { id, host, operation, cause, invoked, returned: None, result: None };
                    operations.runs.insert(id, run);
                }
                (Edge::Return(result), Some(id)) => {
                    if let Some(run) = operations.runs.get_mut(&id) {
                        run.returned = Some(Stamp::of(event));
                        run.result = Some(result.as_ref());
                    }
                }
                (Edge::Point(Point::Fault(Fault::Crash { host, .. })), _) => {
                    operations.crashes.entry(host).or_default().push(Stamp::of(event));
                }
                _ => {}
            }
        }
        operations
    }

    /// In the order of invocation.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Run<'a>> {
        self.runs.values()
    }

    pub(super) fn get(&self, id: OperationId) -> Option<&Run<'a>> {
        self.runs.get(&id)
    }

    /// The crash of its own host that cut `run` off.
    pub(super) fn cut_off(&self, run: &Run<'_>) -> Option<Stamp> {
        if run.returned.is_some() {
            return None;
        }
        self.crash_after(run.host, run.invoked.sequence)
    }

    /// The first crash of `host` after the event `sequence`.
    pub(super) fn crash_after(&self, host: &str, sequence: u64) -> Option<Stamp> {
        let crashes = self.crashes.get(host)?;
        crashes.get(crashes.partition_point(|crash| crash.sequence <= sequence)).copied()
    }
}
