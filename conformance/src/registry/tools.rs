//! What checks of registries have in common: services to register, looks at what is there, and times to wait for. It knows
//! the interface and what a plugin promises.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::plugin::Ability;
use shaketable_stack::registry::{
    DeregisterOptions, GetOptions, ListOptions, Node, RegisterOptions, Registry, Service,
};
use shaketable_stack::{ErrorKind, Result as StackResult};

use crate::site::SLACK;
use crate::tolerance::ByWorld;
use crate::{Finding, Need, Outcome, Site};

/// A TTL can be judged only where the plugin says how exactly it keeps one.
pub(super) const TIMELY: Need = Need::Promises("how exactly a TTL is kept", |promises| {
    promises.ttl_granularity.is_some() && promises.expiry_slack.is_some()
});

/// How else than with `InvalidInput` a registry, or the backend behind it, may refuse what makes no sense.
pub(super) const REFUSALS: &[ErrorKind] =
    &[ErrorKind::InvalidInput, ErrorKind::Unsupported, ErrorKind::TooLarge, ErrorKind::Backend, ErrorKind::Remote];

/// Whether the plugin has `ability`.
pub(super) fn has(site: &Site, ability: Ability) -> bool {
    !site.promises().lacks.contains(&ability)
}

/// What to watch where all services would do as well: all, or `name` alone where the plugin cannot watch all.
pub(super) fn all_or<'name>(site: &Site, name: &'name str) -> Option<&'name str> {
    (!has(site, Ability::WatchAll)).then_some(name)
}

/// A service of one node.
pub(super) fn service(name: &str, node: &str) -> Service {
    of_nodes(name, "1.0.0", &[node])
}

/// A service of these nodes; each has an address of its own.
pub(super) fn of_nodes<Id: AsRef<str>>(name: &str, version: &str, ids: &[Id]) -> Service {
    let node = |(number, id): (usize, &Id)| Node {
        id: id.as_ref().to_owned(),
        address: format!("10.1.2.{}:8080", number + 3),
        ..Node::default()
    };
    let nodes = ids.iter().enumerate().map(node).collect();
    Service { name: name.to_owned(), version: version.to_owned(), nodes, ..Service::default() }
}

/// `service` with another value of the label `revision` at every node: a change that anyone can see.
pub(super) fn revised(service: &Service, revision: usize) -> Service {
    let mut revised = service.clone();
    for node in &mut revised.nodes {
        node.metadata.insert("revision".to_owned(), revision.to_string());
    }
    revised
}

/// The label that [`revised`] gave the first node.
pub(super) fn revision(service: &Service) -> Option<usize> {
    service.nodes.first()?.metadata.get("revision")?.parse().ok()
}

/// The TTL of registrations that last as long as a check: none in the simulator; a real backend is to be clean
/// afterwards.
pub(super) fn lasting(site: &Site) -> Option<Duration> {
    let without = site.is_simulated() || !has(site, Ability::Ttl);
    (!without).then_some(Duration::from_secs(60))
}

/// A TTL that a check can wait for. In the simulator, where waiting costs nothing: six units of the plugin's, and long beside
/// what messages take.
pub(super) fn short_ttl(site: &Site) -> Duration {
    let unit = site.promises().ttl_granularity.unwrap_or(Duration::from_secs(1));
    if site.is_simulated() { Duration::from_secs(6).max(unit * 6) } else { shortest_ttl(unit, site.slack()) }
}

/// The shortest TTL in real time of a plugin that keeps TTLs in units of `unit`, on a machine that may be `slack` late. Two
/// units: one is what rounding alone may make of anything, and backends have a least TTL near their unit (etcd: two seconds).
/// And no less than one and a half times the slack: a check that renews each third of a TTL leaves two thirds of it, and a
/// machine that is as late as it may be is no reason to accuse a plugin.
fn shortest_ttl(unit: Duration, slack: Duration) -> Duration {
    (unit * 2).max(slack * 3 / 2)
}

/// A TTL for registrations that a check renews three times within it, on a machine that may be busy meanwhile.
pub(super) fn renewed_ttl(site: &Site) -> Duration {
    if site.is_simulated() { short_ttl(site) } else { short_ttl(site) * 2 }
}

/// How long after the end of its TTL a registration may still be seen.
pub(super) fn lingers(site: &Site) -> Duration {
    let promises = site.promises();
    promises.ttl_granularity.unwrap_or_default() + promises.expiry_slack.unwrap_or_default() + site.slack()
}

/// Within which a change has reached everyone, while nothing is broken: a second, and what the plugin says that it may
/// go
/// on showing something that is gone.
pub(super) fn settling(site: &Site) -> Duration {
    site.by_world(CHANGED_WITHIN) + site.promises().expiry_slack.unwrap_or_default()
}

/// Within which a change has reached everyone who is not promised to go on seeing what was.
pub(super) const CHANGED_WITHIN: ByWorld = SLACK.after(Duration::from_secs(1));

/// How often a lookup is made before its failure counts, where something is or was broken.
pub(super) const LOOKS: usize = 3;

/// Within which a plugin that lost its backend works again once that is back.
pub(super) const RECOVERY: Duration = Duration::from_secs(30);

/// Registers `service` for as long as the check lasts.
pub(super) async fn put(site: &Site, registry: &Arc<dyn Registry>, service: &Service) -> Outcome {
    register(site, registry, service, lasting(site)).await
}

/// Registers `service`, for ever or for `ttl`.
pub(super) async fn register(
    site: &Site,
    registry: &Arc<dyn Registry>,
    service: &Service,
    ttl: Option<Duration>,
) -> Outcome {
    let what = format!("register {}", listed(service));
    site.ask(&what, registry.register(service, RegisterOptions { ttl })).await
}

/// Registers `service` as soon as the registry can, which is within [`RECOVERY`].
pub(super) async fn register_again(
    site: &Site,
    registry: &Arc<dyn Registry>,
    service: &Service,
    ttl: Option<Duration>,
) -> Outcome {
    let attempt = || async { told(registry.register(service, RegisterOptions { ttl }).await) };
    site.eventually(&format!("to register {} again", listed(service)), RECOVERY, attempt).await
}

/// Deregisters `service`.
pub(super) async fn deregister(site: &Site, registry: &Arc<dyn Registry>, service: &Service) -> Outcome {
    let what = format!("deregister {}", listed(service));
    site.ask(&what, registry.deregister(service, DeregisterOptions::default())).await
}

/// What `registry` answers for `name`, asked once: in the order of versions, nodes in the order of ids; nothing when it
/// knows nothing.
///
/// # Errors
/// Any failure but `NotFound`.
pub(super) async fn look(registry: &Arc<dyn Registry>, name: &str) -> StackResult<Vec<Service>> {
    match registry.get_service(name, GetOptions::default()).await {
        Ok(services) => Ok(in_order(&services)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What `registry` answers for `name`, as [`look`] gives it; it must answer.
///
/// # Errors
/// A violation when it fails, but with `NotFound`, or hangs.
pub(super) async fn answered(site: &Site, registry: &Arc<dyn Registry>, name: &str) -> Result<Vec<Service>, Finding> {
    site.ask(&format!("get {}", short(name)), patiently(site, || look(registry, name))).await
}

/// The ids of the nodes that `registry` knows of `name`, in order; none when it knows none.
///
/// # Errors
/// As those of [`answered`].
pub(super) async fn found(site: &Site, registry: &Arc<dyn Registry>, name: &str) -> Result<Vec<String>, Finding> {
    Ok(node_ids(&answered(site, registry, name).await?))
}

/// What `call` gives. Where something is or was broken, a failure may be the network's: it is made [`LOOKS`] times before it
/// counts.
pub(super) async fn patiently<T, Calling>(site: &Site, mut call: impl FnMut() -> Calling) -> StackResult<T>
where
    Calling: Future<Output = StackResult<T>>,
{
    let mut result = call().await;
    for _ in 1..LOOKS {
        if result.is_ok() || !site.is_disturbed() {
            break;
        }
        result = call().await;
    }
    result
}

/// What a probe makes of a call: where something is, or was, broken, a failure is a reason to ask again, and otherwise the end
/// of the wait.
pub(super) fn excused<T>(site: &Site, what: &str, result: StackResult<T>) -> Result<Result<T, Finding>, String> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) if site.is_disturbed() => Err(format!("the error `{error}`")),
        Err(error) => {
            let expected = format!("'{what}' to succeed, while nothing is broken");
            Ok(Err(Finding::violated(expected, format!("the error `{error}`"))))
        }
    }
}

/// Looks `name` up until `judge` complains no more of what is found, at most for `limit`; `what` says what is waited for.
pub(super) async fn found_within(
    site: &Site,
    registry: &Arc<dyn Registry>,
    name: &str,
    (what, limit): (&str, Duration),
    judge: impl Fn(&[Service]) -> Result<(), String>,
) -> Outcome {
    let probe = || async {
        let found = patiently(site, || look(registry, name)).await;
        match excused(site, &format!("get {}", short(name)), found)? {
            Ok(services) => judge(&services).map(Ok),
            Err(finding) => Ok(Err(finding)),
        }
    };
    site.eventually(what, limit, probe).await?
}

/// Waits until a lookup of `name` finds exactly `wanted`, whatever the order.
pub(super) async fn finds(site: &Site, registry: &Arc<dyn Registry>, name: &str, wanted: &[Service]) -> Outcome {
    finds_within(site, registry, name, wanted, settling(site)).await
}

/// The same, at most for `limit`.
pub(super) async fn finds_within(
    site: &Site,
    registry: &Arc<dyn Registry>,
    name: &str,
    wanted: &[Service],
    limit: Duration,
) -> Outcome {
    let wanted = in_order(wanted);
    let what = format!("a lookup of {} to find {}", short(name), summary(&wanted));
    let judge = |services: &[Service]| if services == wanted { Ok(()) } else { Err(difference(services, &wanted)) };
    found_within(site, registry, name, (&what, limit), judge).await
}

/// Waits until a lookup of `name` finds the nodes `ids` and no others.
pub(super) async fn finds_nodes<Id: AsRef<str>>(
    site: &Site,
    registry: &Arc<dyn Registry>,
    name: &str,
    ids: &[Id],
) -> Outcome {
    finds_nodes_within(site, registry, name, ids, settling(site)).await
}

/// The same, at most for `limit`.
pub(super) async fn finds_nodes_within<Id: AsRef<str>>(
    site: &Site,
    registry: &Arc<dyn Registry>,
    name: &str,
    ids: &[Id],
    limit: Duration,
) -> Outcome {
    let mut wanted: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
    wanted.sort_unstable();
    let what = format!("the nodes of {} to be {wanted:?}", short(name));
    let judge = |services: &[Service]| {
        let ids = node_ids(services);
        if ids == wanted { Ok(()) } else { Err(format!("{ids:?}")) }
    };
    found_within(site, registry, name, (&what, limit), judge).await
}

/// Waits until the list of all services holds exactly `wanted` of this check's names.
pub(super) async fn lists(site: &Site, registry: &Arc<dyn Registry>, wanted: &[String]) -> Outcome {
    let mut wanted = wanted.to_vec();
    wanted.sort();
    let probe = || async {
        let listed = patiently(site, || registry.list_services(ListOptions::default())).await;
        let listed = match excused(site, "list", listed)? {
            Ok(listed) => listed,
            Err(finding) => return Ok(Err(finding)),
        };
        let mut names: Vec<&str> =
            listed.iter().map(|service| service.name.as_str()).filter(|name| site.is_own(name)).collect();
        names.sort_unstable();
        names.dedup();
        if names == wanted { Ok(Ok(())) } else { Err(format!("{} names: {}", names.len(), short(&names.join(", ")))) }
    };
    let what = format!("the list to hold these {} services: {}", wanted.len(), short(&wanted.join(", ")));
    site.eventually(&what, settling(site), probe).await?
}

/// What came of a call, in words.
pub(super) fn told<T>(result: StackResult<T>) -> Result<T, String> {
    result.map_err(|error| format!("the error `{error}`"))
}

/// `services` in the order of names and versions, each with its nodes in the order of ids.
pub(super) fn in_order(services: &[Service]) -> Vec<Service> {
    let mut services = services.to_vec();
    for service in &mut services {
        service.nodes.sort_by(|one, other| one.id.cmp(&other.id));
    }
    services.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    services
}

/// The ids of all nodes of `services`, in order.
pub(super) fn node_ids(services: &[Service]) -> Vec<String> {
    let mut ids: Vec<String> = services.iter().flat_map(|service| &service.nodes).map(|node| node.id.clone()).collect();
    ids.sort();
    ids
}

/// The nodes of `service`, for people.
fn listed(service: &Service) -> String {
    let ids = node_ids(std::slice::from_ref(service));
    short(&if ids.is_empty() { format!("{} without nodes", service.name) } else { ids.join(", ") })
}

/// Versions and nodes of `services`, for people.
pub(super) fn summary(services: &[Service]) -> String {
    let one = |service: &Service| {
        let nodes = node_ids(std::slice::from_ref(service)).join(", ");
        format!("{} {} at {nodes}", service.name, service.version)
    };
    let all: Vec<String> = services.iter().map(one).collect();
    if all.is_empty() { "nothing".to_owned() } else { short(&all.join("; ")) }
}

/// What is wrong with `got`, for people.
fn difference(got: &[Service], wanted: &[Service]) -> String {
    let (short_got, short_wanted) = (summary(got), summary(wanted));
    if short_got != short_wanted {
        return short_got;
    }
    let differing = got.iter().zip(wanted).find(|(got, wanted)| got != wanted);
    let Some((got, wanted)) = differing else { return short_got };
    let nodes = got.nodes.iter().zip(&wanted.nodes).find(|(got, wanted)| got != wanted);
    let (got, wanted) = match nodes {
        Some((got, wanted)) => (format!("{got:?}"), format!("{wanted:?}")),
        None => (
            format!("{:?}, {:?}", got.metadata, got.endpoints),
            format!("{:?}, {:?}", wanted.metadata, wanted.endpoints),
        ),
    };
    // What both have in common is of no interest, but for a little before it ends.
    let common = got.chars().zip(wanted.chars()).take_while(|(got, wanted)| got == wanted).count();
    let from = |text: &str| {
        let start = common.saturating_sub(40);
        let shown: String = text.chars().skip(start).collect();
        if start == 0 { short(&shown) } else { short(&format!("…{shown}")) }
    };
    format!("{}, where {} was registered", from(&got), from(&wanted))
}

/// `text`, cut to what a person reads.
pub(super) fn short(text: &str) -> String {
    const SHOWN: usize = 120;
    if text.chars().count() <= SHOWN {
        text.to_owned()
    } else {
        text.chars().take(SHOWN).chain("…".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::shortest_ttl;

    #[test]
    fn the_shortest_ttl_follows_the_granularity_down_to_what_a_busy_machine_allows() {
        let ms = Duration::from_millis;
        for (unit, wanted) in [(0, 1_500), (1, 1_500), (500, 1_500), (900, 1_800), (1_000, 2_000), (30_000, 60_000)] {
            assert_eq!(shortest_ttl(ms(unit), ms(1_000)), ms(wanted), "units of {unit} ms");
        }
    }
}
