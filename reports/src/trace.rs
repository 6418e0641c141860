//! Every event of one run in fixed columns: the history and what passed through network streams, merged by time.

use std::collections::BTreeMap;

use shaketable_sim::history::{Edge, OperationId};
use shaketable_sim::run::RunReport;

use crate::describe::operation_column;
use crate::{Cell, Columns, Kind, Palette, describe, describe_network};

/// What the columns of a trace mean.
pub const LEGEND: &str = "\
TIME       simulated time since the world began
HOST       where it happened; `world` for faults and phases, the backend's host for what the backend did
KIND       what it is about; --kind shows one of them
EDGE       > an operation begins, < it returns, ! it fails, . it has no duration, ~ bytes in a network stream
OPERATION  #17 is the operation, `by #12` the operation that led to it, on this host or another
WHAT       in words; bytes are shown as their number and digest";

/// Which events are shown; what is `None` shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this host.
    pub host: Option<String>,
    /// Those of this kind.
    pub kind: Option<Kind>,
}

/// The trace of a run that was asked to keep its history and trace.
pub fn render(report: &RunReport, filter: &Filter, palette: Palette) -> String {
    let mut rows = Vec::new();
    let mut operations: BTreeMap<OperationId, Kind> = BTreeMap::new();
    for event in report.history.iter().flat_map(|history| &history.events) {
        let kind = match (&*event.edge, event.operation) {
            (Edge::Return(_), Some(operation)) => operations.get(&operation).copied(),
            (edge, _) => Kind::of_edge(edge),
        };
        let Some(kind) = kind else { continue };
        if let (Edge::Invoke(_), Some(operation)) = (&*event.edge, event.operation) {
            operations.insert(operation, kind);
        }
        let edge = match &*event.edge {
            Edge::Invoke(_) => ">",
            Edge::Return(Ok(_)) => "<",
            Edge::Return(Err(_)) => "!",
            Edge::Point(_) => ".",
        };
        let operation = operation_column(event.operation, event.cause);
        rows.push(Row { at: event.at, host: &event.host, kind, edge, operation, what: describe(event) });
    }
    for event in report.trace.iter().flatten() {
        let (edge, operation) = ("~", String::new());
        let what = describe_network(event);
        rows.push(Row { at: event.at, host: &event.host, kind: Kind::Network, edge, operation, what });
    }
    rows.retain(|row| {
        filter.host.as_ref().is_none_or(|host| host == row.host) && filter.kind.is_none_or(|kind| kind == row.kind)
    });
    // Stable: what happened at one moment keeps its order, the history's events first.
    rows.sort_by_key(|row| row.at);
    let mut columns = Columns::default();
    columns
        .row(["TIME", "HOST", "KIND", "EDGE", "OPERATION", "WHAT"].map(|name| Cell::new(name).styled(palette.faint())));
    for row in rows {
        columns.row([
            Cell::right(row.at.to_string()),
            Cell::new(row.host),
            Cell::new(row.kind.name()),
            Cell::new(row.edge).styled(if row.edge == "!" { palette.bad() } else { palette.faint() }),
            Cell::new(row.operation),
            Cell::new(row.what),
        ]);
    }
    columns.render()
}

struct Row<'a> {
    at: shaketable_sim::history::Moment,
    host: &'a str,
    kind: Kind,
    edge: &'static str,
    operation: String,
    what: String,
}
