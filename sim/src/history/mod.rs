//! The history of a run: what components were asked and answered, what the backend did, which faults came. It belongs to no
//! engine and no renderer; oracles are pure functions of it.

mod event;
mod events;
mod recorder;
mod said;

pub use event::{
    Answer, Change, Edge, Event, Failure, History, Moment, NodeRecord, Operation, OperationId, Point, Truth, VERSION,
};
pub use events::Events;
pub use recorder::{Recorder, WorldClock, current_cause, with_cause};
