//! Every event in words. One sentence fragment per event kind, without its time, host and operation: those have columns
//! of their own.

use std::time::Duration;

use shaketable_sim::history::{Answer, Change, Edge, Event, Failure, NodeRecord, Operation, OperationId, Point, Truth};
use shaketable_sim::scenario::model::LossGranularity;
use shaketable_sim::trace::{TraceEvent, TraceKind};
use shaketable_sim::world::{Distribution, Fault, LinkQuality};

use crate::time::exact;

/// How many names a list shows before it counts the rest.
const NAMES_MAX: usize = 6;

/// `event` in words.
pub fn describe(event: &Event) -> String {
    match &*event.edge {
        Edge::Invoke(operation) => describe_operation(operation),
        Edge::Return(Ok(answer)) => describe_answer(answer),
        Edge::Return(Err(failure)) => format!("failed: {}", describe_failure(failure)),
        Edge::Point(point) => describe_point(point),
    }
}

/// What passed through a network stream, in words.
pub fn describe_network(event: &TraceEvent) -> String {
    let connection = event.connection;
    match &event.kind {
        TraceKind::Connect { address } => format!("connection {connection}: asks for {address}"),
        TraceKind::Connected { peer } => format!("connection {connection}: open to {peer}"),
        TraceKind::Accepted { peer } => format!("connection {connection}: accepted from {peer}"),
        TraceKind::Bound { address } => format!("socket {connection}: bound to {address}"),
        TraceKind::Sent { bytes, digest } => format!("connection {connection}: sent {bytes} bytes, {digest:016x}"),
        TraceKind::Received { bytes, digest } => {
            format!("connection {connection}: received {bytes} bytes, {digest:016x}")
        }
        TraceKind::EndOfStream => format!("connection {connection}: the other end has finished"),
        TraceKind::Closed => format!("connection {connection}: closed"),
        TraceKind::Failed { error } => format!("connection {connection}: failed, {error}"),
    }
}

fn describe_operation(operation: &Operation) -> String {
    match operation {
        Operation::Register { service, node, ttl } => {
            let life = ttl.map_or_else(|| "without a TTL".to_owned(), |ttl| format!("for {}", exact(ttl)));
            format!("register {} of '{service}' {life}", describe_node(node))
        }
        Operation::Deregister { service, nodes } => format!("deregister {} of '{service}'", list(nodes)),
        Operation::GetService { service } => format!("look up '{service}'"),
        Operation::ListServices => "list all services".to_owned(),
        Operation::Watch { service: Some(service) } => format!("watch '{service}'"),
        Operation::Watch { service: None } => "watch all services".to_owned(),
        Operation::Select { service, strategy } => format!("select a node of '{service}' by {strategy}"),
        Operation::Load { service } => format!("load '{service}' into the selector"),
        Operation::Call { service, endpoint, idempotent, timeout } => {
            let repeatable = if *idempotent { ", idempotent" } else { "" };
            format!("call {service} {endpoint}, at most {}{repeatable}", exact(*timeout))
        }
        Operation::Stream { service, endpoint } => format!("open a stream to {service} {endpoint}"),
        Operation::ClientPublish { topic } => format!("publish to '{topic}' through the client"),
        Operation::Handle { endpoint, node } => format!("handle {endpoint} at {node}"),
        Operation::Connect => "connect the broker".to_owned(),
        Operation::Disconnect => "disconnect the broker".to_owned(),
        Operation::Publish { topic, bytes } => format!("publish {bytes} bytes to '{topic}'"),
        Operation::Subscribe { topic, queue: Some(queue) } => format!("subscribe to '{topic}' in queue '{queue}'"),
        Operation::Subscribe { topic, queue: None } => format!("subscribe to '{topic}'"),
        Operation::Unsubscribe { subscription } => format!("end subscription {subscription}"),
        Operation::Deliver { subscription, topic } => format!("deliver from '{topic}' to subscription {subscription}"),
        Operation::Dial { address } => format!("dial {address}"),
        Operation::Listen { address } => format!("listen at {address}"),
        Operation::StartService { service } => format!("start service '{service}'"),
        Operation::StopService { service } => format!("stop service '{service}'"),
        Operation::Start { service } => format!("start '{service}'"),
        Operation::Stop { service } => format!("stop '{service}'"),
    }
}

fn describe_answer(answer: &Answer) -> String {
    match answer {
        Answer::Done => "done".to_owned(),
        Answer::Nodes(nodes) if nodes.is_empty() => "found no node".to_owned(),
        Answer::Nodes(nodes) => format!("found {}", list_nodes(nodes)),
        Answer::Listed(count) => format!("listed {}", counted(*count, "service")),
        Answer::Selected(count) => format!("selected among {}", counted(*count, "node")),
        Answer::Miss => "not known yet".to_owned(),
        Answer::Address(address) => format!("listens at {address}"),
    }
}

fn describe_point(point: &Point) -> String {
    match point {
        Point::Phase { name } => format!("phase '{name}' begins"),
        Point::Watched { watcher, change, service, nodes } => {
            format!("watcher {watcher} sees {} of '{service}': {}", describe_change(*change), list_nodes(nodes))
        }
        Point::WatchEnded { watcher, failure: Some(failure) } => {
            format!("watcher {watcher} ended: {}", describe_failure(failure))
        }
        Point::WatchEnded { watcher, failure: None } => format!("watcher {watcher} was stopped"),
        Point::Attempt { service, node, address, attempt, strategy } => {
            format!("attempt {attempt} goes to {node} of '{service}' at {address}, picked by {strategy}")
        }
        Point::AttemptEnded { node, attempt, failure: Some(failure) } => {
            format!("attempt {attempt} at {node} failed: {}", describe_failure(failure))
        }
        Point::AttemptEnded { node, attempt, failure: None } => format!("attempt {attempt} at {node} succeeded"),
        Point::Answered { asked: Some(asked), answered: None } => format!("'{asked}' is answered"),
        Point::Answered { asked: Some(asked), answered: Some(answered) } => {
            format!("'{asked}' gets the answer to '{answered}'")
        }
        Point::Answered { asked: None, answered } => {
            format!("gets one more answer to '{}'", answered.as_deref().unwrap_or_default())
        }
        Point::StreamEnded { unanswered } if unanswered.is_empty() => "the stream ends".to_owned(),
        Point::StreamEnded { unanswered } => format!("the stream ends without an answer to {}", list(unanswered)),
        Point::CodecFailed { codec, failure } => format!("codec {codec} failed: {}", describe_failure(failure)),
        Point::Marked { service, node, failed } => {
            format!("marks {node} of '{service}' as {}", if *failed { "failed" } else { "healthy" })
        }
        Point::Reset { service } => format!("forgets the marks of '{service}'"),
        Point::Fault(fault) => describe_fault(fault),
        Point::Churn { host, action } => format!("{host}: {action}, on purpose"),
        Point::Truth(truth) => describe_truth(truth),
        Point::View { service, nodes } if nodes.is_empty() => format!("sees no node of '{service}'"),
        Point::View { service, nodes } => format!("sees {} of '{service}'", list(nodes)),
        Point::Loss { node, reason, restored } => {
            format!("lost the registration of {node}{}: {reason}", if *restored { " and restored it" } else { "" })
        }
        Point::Step { text } => text.clone(),
        Point::Tasks { counts } if counts.is_empty() => "has no living task".to_owned(),
        Point::Tasks { counts } => {
            let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            format!("has living tasks: {}", counts.join(", "))
        }
    }
}

fn describe_fault(fault: &Fault) -> String {
    match fault {
        Fault::Crash { host, fin: true } => format!("{host} crashes, its connections close"),
        Fault::Crash { host, fin: false } => format!("{host} dies without a sign to its peers"),
        Fault::Restart { host } => format!("{host} starts again"),
        Fault::Pause { host } => format!("{host} executes nothing"),
        Fault::Resume { host } => format!("{host} goes on"),
        Fault::Cut { from, to } => format!("nothing passes from {} to {}", list(from), list(to)),
        Fault::Heal { from, to } => format!("messages pass again from {} to {}", list(from), list(to)),
        Fault::Hold { a, b } => format!("messages between {} and {} are kept back", list(a), list(b)),
        Fault::Release { a, b } => format!("messages between {} and {} are delivered", list(a), list(b)),
        Fault::Latency { a, b, latency: Some(latency) } => {
            format!("messages between {} and {} take {}", list(a), list(b), exact(*latency))
        }
        Fault::Latency { a, b, latency: None } => {
            format!("messages between {} and {} take as long as before", list(a), list(b))
        }
        Fault::Loss { a, b, probability: 0.0, .. } => {
            format!("messages between {} and {} are no longer lost", list(a), list(b))
        }
        Fault::Loss { a, b, probability, granularity } => {
            let what = match granularity {
                LossGranularity::Link => "links",
                LossGranularity::Packet => "packets",
            };
            let fate = match granularity {
                LossGranularity::Link => "break",
                LossGranularity::Packet => "are lost",
            };
            format!("{what} between {} and {} {fate} with probability {probability}", list(a), list(b))
        }
        Fault::Reset { a, b } => format!("connections between {} and {} are reset", list(a), list(b)),
        Fault::Link { from, to, quality: None } => {
            format!("links from {} to {} are as before", list(from), list(to))
        }
        Fault::Link { from, to, quality: Some(quality) } => {
            format!("links from {} to {} change: {}", list(from), list(to), describe_quality(quality))
        }
        Fault::Toxic { a, b, toxic } => {
            format!("connections between {} and {} pass {}", list(a), list(b), toxic.clone().named(""))
        }
        Fault::Antidote { a, b, toxic } => {
            let (kind, direction) = (toxic.kind().name, toxic.direction());
            format!("connections between {} and {} pass no {kind} {direction} any more", list(a), list(b))
        }
        Fault::LinkDown { a, b } => {
            format!("connections between {} and {} are closed, and none are accepted", list(a), list(b))
        }
        Fault::LinkUp { a, b } => format!("connections between {} and {} are accepted again", list(a), list(b)),
        Fault::Skew { host, by_ns: 0 } => format!("the date of {host} is right again"),
        Fault::Skew { host, by_ns } => {
            let by = exact(Duration::from_nanos(by_ns.unsigned_abs()));
            format!("the date of {host} is {by} {}", if *by_ns > 0 { "ahead" } else { "behind" })
        }
        Fault::LeaderDown { backend } => format!("the leader of {backend} goes down"),
        Fault::LeaderUp { backend } => format!("the former leader of {backend} comes up again"),
        Fault::LeaseLost { host } => format!("the backend loses the leases of {host}"),
        Fault::BackendDown { host } => format!("backend {host} goes down"),
        Fault::BackendEnd { host } => format!("backend {host} is asked to end, and ends"),
        Fault::BackendPause { host } => format!("backend {host} executes nothing"),
        Fault::BackendResume { host } => format!("backend {host} goes on"),
        Fault::Compaction { backend } => format!("{backend} forgets its history"),
        Fault::BackendUp { host } => format!("backend {host} is up again"),
    }
}

fn describe_quality(quality: &LinkQuality) -> String {
    let latency = quality.latency.map(|latency| match latency {
        Distribution::Uniform { min, max } if min == max => format!("latency {}", exact(min)),
        Distribution::Uniform { min, max } => format!("latency {} to {}", exact(min), exact(max)),
        Distribution::Normal { mean, deviation } => format!("latency {} ± {}", exact(mean), exact(deviation)),
        Distribution::LongTail { median, p99 } => {
            format!("latency {}, one in a hundred over {}", exact(median), exact(p99))
        }
    });
    let shares = [
        ("lost", quality.loss),
        ("doubled", quality.duplicate),
        ("overtaken", quality.reorder),
        ("corrupted", quality.corrupt),
    ];
    let shares =
        shares.iter().filter(|(_, share)| *share > 0.0).map(|(what, share)| format!("{}% {what}", share * 100.0));
    let bandwidth = quality.bandwidth.map(|bandwidth| format!("{bandwidth} bytes/s"));
    let queue = quality.queue.map(|queue| format!("a queue of {queue} bytes"));
    latency.into_iter().chain(shares).chain(bandwidth).chain(queue).collect::<Vec<_>>().join(", ")
}

fn describe_truth(truth: &Truth) -> String {
    match truth {
        Truth::Granted { lease, ttl_requested, ttl_granted } if ttl_requested == ttl_granted => {
            format!("lease {lease} granted for {}", exact(*ttl_granted))
        }
        Truth::Granted { lease, ttl_requested, ttl_granted } => {
            format!("lease {lease} granted for {} ({} asked for)", exact(*ttl_granted), exact(*ttl_requested))
        }
        Truth::Renewed { lease } => format!("lease {lease} renewed"),
        Truth::Put { key, lease, created, altered } => {
            let hangs = lease.as_ref().map(|lease| format!(", on lease {lease}")).unwrap_or_default();
            let what = match (created, altered) {
                (true, _) => "created",
                (false, true) => "changed",
                (false, false) => "written again as it was",
            };
            format!("key {key} {what}{hangs}")
        }
        Truth::Deleted { key } => format!("key {key} deleted"),
        Truth::Expired { lease, keys } => format!("lease {lease} ran out, with it {}", list(keys)),
        Truth::Revoked { lease, keys } => format!("lease {lease} revoked, with it {}", list(keys)),
        Truth::Lost { lease, keys } => format!("lease {lease} lost by a fault, with it {}", list(keys)),
        Truth::Compacted { revision } => format!("history before revision {revision} is gone"),
        Truth::Restarted => "started again, every lease has its full time anew".to_owned(),
    }
}

fn describe_change(change: Change) -> &'static str {
    match change {
        Change::Create => "a create",
        Change::Update => "an update",
        Change::Delete => "a delete",
    }
}

fn describe_failure(failure: &Failure) -> String {
    if failure.text.is_empty() { failure.kind.clone() } else { format!("{} ({})", failure.text, failure.kind) }
}

fn describe_node(node: &NodeRecord) -> String {
    format!("{} at {}, version {}", node.id, node.address, node.version)
}

fn list_nodes(nodes: &[NodeRecord]) -> String {
    let ids: Vec<String> = nodes.iter().map(|node| node.id.clone()).collect();
    list(&ids)
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names if names.len() <= NAMES_MAX => names.join(", "),
        names => format!("{} and {} more", names[..NAMES_MAX].join(", "), names.len() - NAMES_MAX),
    }
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The operation column of an event: `#17`, `#17 by #12`, or nothing.
pub(crate) fn operation_column(operation: Option<OperationId>, cause: Option<OperationId>) -> String {
    match (operation, cause) {
        (Some(operation), Some(cause)) => format!("{operation} by {cause}"),
        (Some(operation), None) => operation.to_string(),
        (None, Some(cause)) => format!("by {cause}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shaketable_sim::history::{
        Answer, Change, Edge, Event, Failure, Moment, NodeRecord, Operation, OperationId, Point, Truth,
    };
    use shaketable_sim::scenario::model::LossGranularity;
    use shaketable_sim::world::Fault;

    use super::{describe, list};

    fn check(edge: Edge, expected: &str) {
        let (sequence, at, host) = (0, Moment(0), "user-1".into());
        let event = Event { sequence, at, wall_ns: 0, host, operation: None, cause: None, edge: edge.into() };
        assert_eq!(describe(&event), expected);
    }

    fn node() -> NodeRecord {
        let (id, address) = ("user-1a".to_owned(), "10.0.0.1:80".to_owned());
        NodeRecord { id, address, version: "latest".to_owned(), metadata: Default::default() }
    }

    #[test]
    fn events_read_as_words() {
        let (service, nodes) = ("user".to_owned(), vec![node()]);
        let register = Operation::Register {
            service: service.clone(),
            node: Box::new(node()),
            ttl: Some(Duration::from_secs(90)),
        };
        check(Edge::Invoke(register), "register user-1a at 10.0.0.1:80, version latest of 'user' for 1m 30s");
        check(Edge::Return(Ok(Answer::Selected(1))), "selected among 1 node");
        let failure = Failure { kind: "Timeout".to_owned(), text: "register: deadline exceeded".to_owned() };
        check(Edge::Return(Err(failure)), "failed: register: deadline exceeded (Timeout)");
        let watched = Point::Watched { watcher: OperationId::nth(4), change: Change::Update, service, nodes };
        check(Edge::Point(watched), "watcher #4 sees an update of 'user': user-1a");
        let answered = Point::Answered { asked: Some("web-1/0/7".to_owned()), answered: Some("web-1/0/6".to_owned()) };
        check(Edge::Point(answered), "'web-1/0/7' gets the answer to 'web-1/0/6'");
        let (a, b) = (vec!["user-1".to_owned()], vec!["etcd".to_owned()]);
        let mended = Fault::Loss { a, b, probability: 0.0, granularity: LossGranularity::Link };
        check(Edge::Point(Point::Fault(Box::new(mended))), "messages between user-1 and etcd are no longer lost");
        let (ttl_requested, ttl_granted) = (Duration::from_secs(1), Duration::from_secs(2));
        let granted = Truth::Granted { lease: "7".to_owned(), ttl_requested, ttl_granted };
        check(Edge::Point(Point::Truth(granted)), "lease 7 granted for 2s (1s asked for)");
    }

    #[test]
    fn long_lists_count_the_rest() {
        let names: Vec<String> = (1..=9).map(|number| format!("n{number}")).collect();
        assert_eq!(list(&names), "n1, n2, n3, n4, n5, n6 and 3 more");
    }
}
