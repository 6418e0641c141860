//! Operations with their ends: invocations paired with returns, and the crashes that cut operations off.

use std::collections::BTreeMap;

use crate::history::{Answer, Edge, Event, Events, Failure, History, Moment, Operation, OperationId, Point};
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
#[derive(Debug)]
pub(super) struct Operations<'a> {
    events: &'a Events,
    /// By id, where each was invoked and where it returned, as positions in the history.
    places: Vec<(u32, u32)>,
    crashes: BTreeMap<&'a str, Vec<Stamp>>,
}

/// No position.
const NOWHERE: u32 = u32::MAX;

impl<'a> Operations<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut operations = Self { events: &history.events, places: Vec::new(), crashes: BTreeMap::new() };
        for (position, event) in (0..NOWHERE).zip(&history.events) {
            match (&*event.edge, event.operation) {
                (Edge::Invoke(_), Some(id)) => operations.place(id).0 = position,
                (Edge::Return(_), Some(id)) => operations.place(id).1 = position,
                (Edge::Point(Point::Fault(fault)), _) => {
                    if let Fault::Crash { host, .. } = &**fault {
                        operations.crashes.entry(host).or_default().push(Stamp::of(event));
                    }
                }
                _ => {}
            }
        }
        operations
    }

    fn place(&mut self, id: OperationId) -> &mut (u32, u32) {
        let index = usize::try_from(id.0.get() - 1).unwrap_or(usize::MAX);
        if index >= self.places.len() {
            self.places.resize(index + 1, (NOWHERE, NOWHERE));
        }
        &mut self.places[index]
    }

    /// In the order of invocation.
    pub(super) fn iter(&self) -> impl Iterator<Item = Run<'a>> {
        self.places.iter().filter_map(|place| self.at(*place))
    }

    pub(super) fn get(&self, id: OperationId) -> Option<Run<'a>> {
        self.at(*self.places.get(usize::try_from(id.0.get() - 1).ok()?)?)
    }

    fn at(&self, (invoked, returned): (u32, u32)) -> Option<Run<'a>> {
        let event = self.events.get(invoked as usize)?;
        let (Edge::Invoke(operation), Some(id)) = (&*event.edge, event.operation) else { return None };
        let end = self.events.get(returned as usize);
        let result = end.and_then(|end| match &*end.edge {
            Edge::Return(result) => Some(result.as_ref()),
            _ => None,
        });
        let (host, cause, invoked, returned) = (&*event.host, event.cause, Stamp::of(event), end.map(Stamp::of));
        Some(Run { id, host, operation, cause, invoked, returned, result })
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
