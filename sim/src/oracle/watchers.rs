//! Watchers with what they delivered and when they were open.

use std::collections::BTreeMap;

use crate::history::{Change, Edge, History, Moment, NodeRecord, Operation, OperationId, Point};

use super::operations::{Operations, Stamp};

/// A watcher that was opened.
#[derive(Debug)]
pub(super) struct Watching<'a> {
    pub(super) host: &'a str,
    /// None: all services.
    pub(super) service: Option<&'a str>,
    pub(super) invoked: Stamp,
    pub(super) opened: Stamp,
    /// None: open until the run ended.
    pub(super) closed: Option<Stamp>,
    pub(super) reports: Vec<Report<'a>>,
}

/// One change that a watcher delivered.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) stamp: Stamp,
    pub(super) change: Change,
    pub(super) nodes: &'a [NodeRecord],
}

impl Watching<'_> {
    pub(super) fn watches(&self, service: &str) -> bool {
        self.service.is_none_or(|watched| watched == service)
    }

    /// Whether it was still open at `at`.
    pub(super) fn open_at(&self, at: Moment) -> bool {
        self.closed.is_none_or(|closed| at < closed.at)
    }
}

/// All watchers, in the order in which they were asked for.
pub(super) fn watchers<'a>(history: &'a History, operations: &Operations<'a>) -> Vec<Watching<'a>> {
    let mut watchers = BTreeMap::<OperationId, Watching<'a>>::new();
    for run in operations.iter() {
        if let (Operation::Watch { service }, Some(opened)) = (run.operation, run.succeeded()) {
            let closed = operations.crash_after(run.host, opened.sequence);
            let (host, service, invoked) = (run.host, service.as_deref(), run.invoked);
            watchers.insert(run.id, Watching { host, service, invoked, opened, closed, reports: Vec::new() });
        }
    }
    for event in &history.events {
        match &*event.edge {
            Edge::Point(Point::Watched { watcher, change, nodes, .. }) => {
                if let Some(watching) = watchers.get_mut(watcher) {
                    watching.reports.push(Report { stamp: Stamp::of(event), change: *change, nodes });
                }
            }
            Edge::Point(Point::WatchEnded { watcher, .. }) => {
                if let Some(watching) = watchers.get_mut(watcher)
                    && watching.closed.is_none_or(|closed| event.sequence < closed.sequence)
                {
                    watching.closed = Some(Stamp::of(event));
                }
            }
            _ => {}
        }
    }
    watchers.into_values().collect()
}
