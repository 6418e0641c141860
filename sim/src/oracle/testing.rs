//! Histories written by hand, for the oracles' tests: one story reads from top to bottom, in milliseconds. Known to
//! tests alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::plugin::Promises;

use crate::history::{
    Answer, Change, Edge, Event, Failure, History, Moment, NodeRecord, Operation, OperationId, Point, Truth,
};
use crate::scenario::model::{Expect, Live, Network, Phases, Scenario, Stack};
use crate::world::Fault;

use super::{Facts, HostFacts, HostKind, Judgement, Oracle, PhaseSpan};

/// A history under construction, with the facts that go with it. The backend is `etcd`; `warmup` ends at 10 s, `shake`
/// at
/// 40 s, `settle` and the run at 60 s.
pub(super) struct Story {
    history: History,
    pub(super) facts: Facts,
    operations: u64,
}

/// That long.
pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn moment(milliseconds: u64) -> Moment {
    Moment::after(ms(milliseconds))
}

/// A node called `id`, at an address of its own.
pub(super) fn node(id: &str) -> NodeRecord {
    let address = format!("{id}.host:8080");
    NodeRecord { id: id.to_owned(), address, version: "1".to_owned(), metadata: BTreeMap::new() }
}

impl Story {
    pub(super) fn new(expect: Expect) -> Self {
        let scenario = Scenario {
            name: "story".to_owned(),
            needs: None,
            stack: Stack::default(),
            matrix: BTreeMap::new(),
            services: BTreeMap::new(),
            clients: BTreeMap::new(),
            backends: BTreeMap::new(),
            network: Network::default(),
            phases: Phases::default(),
            load: Vec::new(),
            faults: Vec::new(),
            seeds: 1,
            live: Live::default(),
            expect,
        };
        let host = |name: &str, group: &str, kind| HostFacts { name: name.to_owned(), group: group.to_owned(), kind };
        let phase =
            |name: &str, start, end| PhaseSpan { name: name.to_owned(), start: moment(start), end: moment(end) };
        let facts = Facts {
            scenario,
            hosts: vec![
                host("etcd", "etcd", HostKind::Backend),
                host("users-1", "users", HostKind::Service),
                host("users-2", "users", HostKind::Service),
                host("callers-1", "callers", HostKind::Client),
                host("callers-2", "callers", HostKind::Client),
            ],
            phases: vec![phase("warmup", 0, 10_000), phase("shake", 10_000, 40_000), phase("settle", 40_000, 60_000)],
            registry: Promises { backend: Some("etcd"), ..Promises::default() },
            broker: Promises::default(),
            end: moment(60_000),
            early: Duration::ZERO,
        };
        let mut story = Self { history: History::default(), facts, operations: 0 };
        for (at, name) in [(0, "warmup"), (10_000, "shake"), (40_000, "settle")] {
            story.point(at, "world", Point::Phase { name: name.to_owned() });
        }
        story
    }

    fn push(&mut self, at: u64, host: &str, ids: (Option<OperationId>, Option<OperationId>), edge: Edge) {
        let sequence = self.history.events.len() as u64;
        let (operation, cause) = ids;
        let event = Event {
            sequence,
            at: moment(at),
            wall_ns: 0,
            host: Arc::from(host),
            operation,
            cause,
            edge: Arc::new(edge),
        };
        self.history.events.push(event);
    }

    pub(super) fn invoke_for(
        &mut self,
        cause: Option<OperationId>,
        at: u64,
        host: &str,
        operation: Operation,
    ) -> OperationId {
        self.operations += 1;
        let id = OperationId::nth(self.operations);
        self.push(at, host, (Some(id), cause), Edge::Invoke(operation));
        id
    }

    pub(super) fn invoke(&mut self, at: u64, host: &str, operation: Operation) -> OperationId {
        self.invoke_for(None, at, host, operation)
    }

    pub(super) fn answer(&mut self, at: u64, host: &str, id: OperationId, answer: Answer) {
        self.push(at, host, (Some(id), None), Edge::Return(Ok(answer)));
    }

    pub(super) fn fail(&mut self, at: u64, host: &str, id: OperationId, kind: &str) {
        let failure = Failure { kind: kind.to_owned(), text: format!("failed: {kind}") };
        self.push(at, host, (Some(id), None), Edge::Return(Err(failure)));
    }

    /// An operation that succeeds.
    pub(super) fn done(&mut self, from: u64, to: u64, host: &str, operation: Operation) -> OperationId {
        let id = self.invoke(from, host, operation);
        self.answer(to, host, id, Answer::Done);
        id
    }

    pub(super) fn point(&mut self, at: u64, host: &str, point: Point) {
        self.push(at, host, (None, None), Edge::Point(point));
    }

    pub(super) fn point_of(&mut self, at: u64, host: &str, operation: OperationId, point: Point) {
        self.push(at, host, (Some(operation), None), Edge::Point(point));
    }

    pub(super) fn fault(&mut self, at: u64, fault: Fault) {
        self.point(at, "world", Point::Fault(Box::new(fault)));
    }

    /// Cuts `a` and `b` off from each other from `from` to `to`.
    pub(super) fn cut(&mut self, from: u64, to: u64, a: &str, b: &str) {
        for (x, y) in [(a, b), (b, a)] {
            let (x, y) = (vec![x.to_owned()], vec![y.to_owned()]);
            self.fault(from, Fault::Cut { from: x.clone(), to: y.clone() });
            self.fault(to, Fault::Heal { from: x, to: y });
        }
    }

    pub(super) fn crash(&mut self, at: u64, host: &str) {
        self.fault(at, Fault::Crash { host: host.to_owned(), fin: false });
    }

    pub(super) fn truth(&mut self, at: u64, truth: Truth) {
        self.point(at, "etcd", Point::Truth(truth));
    }

    /// The backend has the node from now on; `created` says whether it is new.
    pub(super) fn put(&mut self, at: u64, id: &str, created: bool) {
        self.write(at, id, created, created);
    }

    fn write(&mut self, at: u64, id: &str, created: bool, altered: bool) {
        let key = format!("/micro/registry/users/{id}");
        self.truth(at, Truth::Put { key, lease: Some(format!("lease-{id}")), created, altered });
    }

    /// `users-1` registers the node with another version, which the backend has at `at`.
    pub(super) fn alter(&mut self, at: u64, id: &str, version: &str) {
        self.alter_slowly(at.saturating_sub(2), &[at], id, &[version]);
    }

    /// As [`Self::alter`], with several versions that are asked for at once and written at times of their own.
    pub(super) fn alter_slowly(&mut self, asked: u64, written: &[u64], id: &str, versions: &[&str]) {
        for (at, version) in written.iter().zip(versions) {
            let node = NodeRecord { version: (*version).to_owned(), ..node(id) };
            let operation =
                Operation::Register { service: "users".to_owned(), node: Box::new(node), ttl: Some(ms(10_000)) };
            self.write(*at, id, false, true);
            self.done(asked, at + 2, "users-1", operation);
        }
    }

    pub(super) fn expired(&mut self, at: u64, id: &str) {
        let keys = vec![format!("/micro/registry/users/{id}")];
        self.truth(at, Truth::Expired { lease: format!("lease-{id}"), keys });
    }

    pub(super) fn deleted(&mut self, at: u64, id: &str) {
        self.truth(at, Truth::Deleted { key: format!("/micro/registry/users/{id}") });
    }

    /// `users-1` registers a node: the backend has it at `at`, and 2 ms later the registration returns.
    pub(super) fn register(&mut self, at: u64, id: &str) -> OperationId {
        let operation =
            Operation::Register { service: "users".to_owned(), node: Box::new(node(id)), ttl: Some(ms(10_000)) };
        self.put(at, id, true);
        self.done(at.saturating_sub(2), at + 2, "users-1", operation)
    }

    pub(super) fn watch(&mut self, from: u64, to: u64, host: &str) -> OperationId {
        self.done(from, to, host, Operation::Watch { service: Some("users".to_owned()) })
    }

    pub(super) fn watched(&mut self, at: u64, host: &str, watcher: OperationId, change: Change, id: &str) {
        self.watched_node(at, host, watcher, change, node(id));
    }

    pub(super) fn watched_node(&mut self, at: u64, host: &str, watcher: OperationId, change: Change, node: NodeRecord) {
        self.point(at, host, Point::Watched { watcher, change, service: "users".to_owned(), nodes: vec![node] });
    }

    pub(super) fn look(&mut self, from: u64, to: u64, host: &str, ids: &[&str]) {
        let id = self.invoke(from, host, Operation::GetService { service: "users".to_owned() });
        self.answer(to, host, id, Answer::Nodes(ids.iter().map(|id| node(id)).collect()));
    }

    pub(super) fn view(&mut self, at: u64, host: &str, ids: &[&str]) {
        let nodes = ids.iter().map(|id| (*id).to_owned()).collect();
        self.point(at, host, Point::View { service: "users".to_owned(), nodes });
    }

    pub(super) fn call(&mut self, at: u64, host: &str, timeout: Duration) -> OperationId {
        let (service, endpoint) = ("users".to_owned(), "Users.Get".to_owned());
        self.invoke(at, host, Operation::Call { service, endpoint, idempotent: true, timeout })
    }

    /// A call of `host` that goes to node `id` and succeeds 3 ms later.
    pub(super) fn call_to(&mut self, at: u64, host: &str, id: &str, strategy: &str) {
        let call = self.call(at, host, ms(1_000));
        self.attempt(at, host, call, id, 0, strategy);
        self.answer(at + 3, host, call, Answer::Done);
    }

    pub(super) fn attempt(&mut self, at: u64, host: &str, call: OperationId, id: &str, attempt: u32, strategy: &str) {
        let NodeRecord { id: node, address, .. } = node(id);
        let (service, strategy) = ("users".to_owned(), strategy.to_owned());
        self.point_of(at, host, call, Point::Attempt { service, node, address, attempt, strategy });
    }

    pub(super) fn publish(&mut self, from: u64, to: u64, host: &str) -> OperationId {
        self.done(from, to, host, Operation::Publish { topic: "news".to_owned(), bytes: 64 })
    }

    pub(super) fn subscribe(&mut self, from: u64, to: u64, host: &str, queue: Option<&str>) -> OperationId {
        let queue = queue.map(str::to_owned);
        self.done(from, to, host, Operation::Subscribe { topic: "news".to_owned(), queue })
    }

    pub(super) fn deliver(&mut self, at: u64, host: &str, subscription: OperationId, publication: OperationId) {
        let operation = Operation::Deliver { subscription, topic: "news".to_owned() };
        let id = self.invoke_for(Some(publication), at, host, operation);
        self.answer(at, host, id, Answer::Done);
    }

    /// The history so far, in the order of time, as a recorder hands it over.
    pub(super) fn history(&self) -> History {
        let mut events: Vec<_> = self.history.events.iter().cloned().collect();
        events.sort_by_key(|event| (event.at, event.sequence));
        for (sequence, event) in (0..).zip(&mut events) {
            event.sequence = sequence;
        }
        History { events: events.into_iter().collect(), ..self.history }
    }

    /// What `oracle` says of it; each proving event must be one of the history.
    pub(super) fn judge(&self, oracle: &dyn Oracle) -> Judgement {
        let history = self.history();
        let judgement = oracle.judge(&history, &self.facts).expect("the scenario asks for it");
        assert_eq!(judgement.oracle, oracle.name());
        for finding in &judgement.findings {
            assert!(!finding.events.is_empty(), "no proof: {}", finding.sentence);
            assert!(finding.events.iter().all(|event| *event < history.events.len() as u64));
        }
        judgement
    }

    /// Asserts that `oracle` finds nothing, in so many things that it judged.
    pub(super) fn passes(&self, oracle: &dyn Oracle, judged: u64) {
        let judgement = self.judge(oracle);
        assert_eq!(judgement.findings, []);
        assert_eq!(judgement.judged, judged, "judged");
    }

    /// Asserts that the first thing that `oracle` finds is said in a sentence with each of `parts`.
    pub(super) fn trips(&self, oracle: &dyn Oracle, parts: &[&str]) -> Judgement {
        let judgement = self.judge(oracle);
        let first = judgement.findings.first().expect("something is found");
        for part in parts {
            assert!(first.sentence.contains(part), "'{part}' is not in: {}", first.sentence);
        }
        assert!(judgement.judged > 0, "what is found has been judged");
        judgement
    }
}
