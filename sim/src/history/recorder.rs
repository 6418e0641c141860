//! Records events while a world runs. Decorators, loads and the world write; oracles read when it is over.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use shaketable_stack::Error;

use super::event::{Answer, Edge, Event, Failure, History, Moment, Operation, OperationId, Point};
use super::said::Said;

tokio::task_local! {
    static CAUSE: Option<OperationId>;
}

/// The operation that the current task works for.
pub fn current_cause() -> Option<OperationId> {
    CAUSE.try_with(|cause| *cause).ok().flatten()
}

/// Runs `future` on behalf of `cause`.
pub async fn with_cause<F: Future>(cause: Option<OperationId>, future: F) -> F::Output {
    CAUSE.scope(cause, future).await
}

/// Tells the world's time.
pub type WorldClock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Writes to one history; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    clock: WorldClock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    history: History,
    operations: u64,
    /// What was told of the past, in the order of telling.
    late: Vec<Event>,
    /// What may be said again.
    said: Said,
    /// A host that is dying: what its dropped tasks say is not heard.
    dying: Option<String>,
    /// Whether nobody is heard any more.
    is_closed: bool,
}

impl Recorder {
    /// An empty history whose events are dated by `clock`.
    pub fn new(clock: WorldClock) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Records that an operation begins on `host`, caused by what the current task works for.
    pub fn invoke(&self, host: &Arc<str>, wall: SystemTime, operation: Operation) -> OperationId {
        self.invoke_for(current_cause(), host, wall, operation)
    }

    /// Records that an operation begins on `host` because of `cause`.
    pub fn invoke_for(
        &self,
        cause: Option<OperationId>,
        host: &Arc<str>,
        wall: SystemTime,
        operation: Operation,
    ) -> OperationId {
        let mut state = self.state();
        state.operations += 1;
        let id = OperationId::nth(state.operations);
        self.push(&mut state, self.now(), host, wall, (Some(id), cause), Edge::Invoke(operation));
        id
    }

    /// Records how `operation` ended.
    pub fn complete(&self, host: &Arc<str>, wall: SystemTime, operation: OperationId, result: Result<Answer, Failure>) {
        let edge = Edge::Return(result);
        self.push(&mut self.state(), self.now(), host, wall, (Some(operation), None), edge);
    }

    /// Records how `operation` ended at `at`, now or before.
    pub fn complete_at(
        &self,
        at: Moment,
        host: &Arc<str>,
        wall: SystemTime,
        operation: OperationId,
        result: Result<Answer, Failure>,
    ) {
        self.push(&mut self.state(), at, host, wall, (Some(operation), None), Edge::Return(result));
    }

    /// Records something without a duration, caused by what the current task works for.
    pub fn point(&self, host: &Arc<str>, wall: SystemTime, operation: Option<OperationId>, point: Point) {
        let cause = current_cause().filter(|cause| Some(*cause) != operation);
        self.push(&mut self.state(), self.now(), host, wall, (operation, cause), Edge::Point(point));
    }

    /// Records something that happened at `at`, now or before; the history stays in the order of time because backends are
    /// asked for their truths after every step.
    pub fn point_at(&self, at: Moment, host: &Arc<str>, wall: SystemTime, point: Point) {
        self.push(&mut self.state(), at, host, wall, (None, None), Edge::Point(point));
    }

    /// Records an operation that was seen from outside, as a whole: it was asked for and done at `at`, now or before.
    pub fn operation_at(&self, at: Moment, host: &Arc<str>, wall: SystemTime, operation: Operation) {
        let mut state = self.state();
        state.operations += 1;
        let id = Some(OperationId::nth(state.operations));
        self.push(&mut state, at, host, wall, (id, None), Edge::Invoke(operation));
        self.push(&mut state, at, host, wall, (id, None), Edge::Return(Ok(Answer::Done)));
    }

    /// Runs `death`, in which `host` dies: nothing that it says then is recorded, so that the operations which it cuts off
    /// have no return.
    pub fn while_dying<T>(&self, host: &str, death: impl FnOnce() -> T) -> T {
        self.state().dying = Some(host.to_owned());
        let result = death();
        self.state().dying = None;
        result
    }

    /// From now on nothing is recorded, so that the world can be dropped.
    pub fn close(&self) {
        self.state().is_closed = true;
    }

    /// The world's time.
    pub fn now(&self) -> Moment {
        (self.clock)()
    }

    /// Looks at the history so far.
    pub fn read<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.state().history)
    }

    /// Takes the history, in the order of time; what is recorded later starts an empty one.
    pub fn take(&self) -> History {
        let mut state = self.state();
        let (mut history, mut late) = (std::mem::take(&mut state.history), std::mem::take(&mut state.late));
        drop(state);
        if late.is_empty() {
            return history;
        }
        late.sort_by_key(|event| event.at);
        let (in_time, mut late) = (std::mem::take(&mut history.events), late.into_iter().peekable());
        let mut add = |event: Event| history.events.push(Event { sequence: history.events.len() as u64, ..event });
        for event in in_time {
            // Of what happened at one moment, that which was told late comes last.
            while let Some(earlier) = late.next_if(|late| late.at < event.at) {
                add(earlier);
            }
            add(event);
        }
        late.for_each(add);
        history
    }

    fn push(
        &self,
        state: &mut State,
        at: Moment,
        host: &Arc<str>,
        wall: SystemTime,
        (operation, cause): (Option<OperationId>, Option<OperationId>),
        edge: Edge,
    ) {
        if state.is_closed || state.dying.as_deref() == Some(&**host) {
            return;
        }
        let sequence = (state.history.events.len() + state.late.len()) as u64;
        let wall_ns = wall
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        let edge = state.said.share(edge);
        let event = Event { sequence, at, wall_ns, host: host.clone(), operation, cause, edge };
        let late = state.history.events.last().is_some_and(|last| last.at > at);
        if late { state.late.push(event) } else { state.history.events.push(event) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").field("events", &self.state().history.events.len()).finish()
    }
}

impl Failure {
    /// The caller has let go of the operation before it ended.
    pub fn cancelled() -> Self {
        Self { kind: "Cancelled".to_owned(), text: "cancelled by the caller".to_owned() }
    }

    /// The failure that `error` is.
    pub fn of(error: &Error) -> Self {
        Self { kind: format!("{:?}", error.kind()), text: error.to_string() }
    }
}
