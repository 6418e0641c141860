//! Probes: messages that show whether a subscription has taken effect. A sieve before each handler keeps them away from it, so
//! that no check counts them. They judge nothing: who never gets one is waited for, and then judged by the messages that
//! follow.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use shaketable_stack::Result as StackResult;
use shaketable_stack::broker::{Event, Handler, PublishOptions, SubscribeOptions};

use super::tools::{Bench, message};
use crate::site::SLACK;
use crate::tolerance::ByWorld;
use crate::{Outcome, Site};

/// What the body of a probe begins with.
const MARK: &str = "shaketable probe ";
/// How long subscriptions are waited for that get no probe.
pub(super) const WAITED_FOR: ByWorld = SLACK.times(4);
/// With so many a member of a queue that takes turns, or is picked by chance, has got one.
const PROBES_MAX: usize = 24;

/// The probes that came to a subscription.
type Came = Arc<Mutex<BTreeSet<String>>>;

/// A subscription that nobody has waited for yet.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    topic: String,
    is_member: bool,
    came: Came,
}

/// Keeps probes away from the handler behind it.
struct Sieve {
    came: Came,
    auto_ack: bool,
    behind: Arc<dyn Handler>,
}

#[async_trait]
impl Handler for Sieve {
    async fn handle(&self, event: Event) -> StackResult<()> {
        if !event.message.body.starts_with(MARK.as_bytes()) {
            return self.behind.handle(event).await;
        }
        lock(&self.came).insert(String::from_utf8_lossy(&event.message.body).into_owned());
        if self.auto_ack { Ok(()) } else { event.ack().await }
    }
}

impl Fresh {
    /// A subscription to `topic`, and the handler that it is made with instead of `behind`.
    pub(super) fn before(
        behind: Arc<dyn Handler>,
        topic: &str,
        options: &SubscribeOptions,
    ) -> (Self, Arc<dyn Handler>) {
        let came = Came::default();
        let sieve = Sieve { came: came.clone(), auto_ack: options.auto_ack, behind };
        (Self { topic: topic.to_owned(), is_member: options.queue.is_some(), came }, Arc::new(sieve))
    }

    fn has_any(&self, probes: &[String]) -> bool {
        let came = lock(&self.came);
        probes.iter().any(|probe| came.contains(probe))
    }
}

fn lock(came: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    came.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one bench has published to one topic to see who gets it.
struct Way {
    bench: usize,
    topic: String,
    probes: Vec<String>,
}

/// Publishes probes from each of `benches` until all subscriptions that were made through them since the last time have got
/// one: a member of a queue from any bench, all others from each. Who gets none is waited for no longer than
/// [`WAITED_FOR`].
///
/// # Errors
/// A violation when a publish does not end.
pub(super) async fn open(site: &Site, benches: &[&Bench]) -> Outcome {
    let fresh: Vec<Fresh> = benches.iter().flat_map(|bench| bench.take_fresh()).collect();
    let begun = site.env().now();
    let topics: BTreeSet<&str> = fresh.iter().map(|fresh| fresh.topic.as_str()).collect();
    let mut ways: Vec<Way> = (0..benches.len())
        .flat_map(|bench| topics.iter().map(move |topic| (bench, *topic)))
        .map(|(bench, topic)| Way { bench, topic: topic.to_owned(), probes: Vec::new() })
        .collect();
    let (mut pending, mut late) = (!fresh.is_empty(), false);
    for number in 0..PROBES_MAX {
        if !pending || site.env().now() - begun >= site.by_world(WAITED_FOR) {
            break;
        }
        for (index, way) in ways.iter_mut().enumerate().filter(|(_, way)| !is_open(way, &fresh)) {
            let probe = format!("{MARK}{number} of way {index} at {:?}", begun.since_origin());
            let publish = message(&probe);
            way.probes.push(probe);
            let publish = benches[way.bench].broker.publish(&way.topic, &publish, PublishOptions::default());
            // A probe may fail; what counts is that one arrives.
            let _ = site.ends("publish a probe", publish).await?;
        }
        let sent = site.env().now();
        while !ways.iter().all(|way| is_answered(way, &fresh)) {
            if site.env().now() - sent >= site.slack() / 2 {
                late = true;
                break;
            }
            site.look_again(site.slack() / 50).await;
        }
        pending = !ways.iter().all(|way| is_open(way, &fresh));
    }
    if late {
        // What is late is not to come among what is counted.
        site.quiet_for(site.slack()).await;
    }
    Ok(())
}

/// Whether all that `way` leads to have got one of its probes, and of the members of queues one has, and the others any.
fn is_open(way: &Way, fresh: &[Fresh]) -> bool {
    let mut members = ends(way, fresh).filter(|end| end.is_member).peekable();
    let is_shared = members.peek().is_none() || members.clone().any(|end| end.has_any(&way.probes));
    !way.probes.is_empty() && all_have_one(way, fresh) && is_shared && members.all(|end| !lock(&end.came).is_empty())
}

/// Whether the last probe of `way` has come to somebody, and each who is in no queue has got one.
fn is_answered(way: &Way, fresh: &[Fresh]) -> bool {
    let Some(last) = way.probes.last() else { return true };
    let mut members = ends(way, fresh).filter(|end| end.is_member).peekable();
    let is_shared = members.peek().is_none() || members.any(|end| lock(&end.came).contains(last));
    all_have_one(way, fresh) && is_shared
}

fn ends<'fresh>(way: &Way, fresh: &'fresh [Fresh]) -> impl Iterator<Item = &'fresh Fresh> + Clone {
    let topic = way.topic.clone();
    fresh.iter().filter(move |end| end.topic == topic)
}

fn all_have_one(way: &Way, fresh: &[Fresh]) -> bool {
    ends(way, fresh).filter(|end| !end.is_member).all(|end| end.has_any(&way.probes))
}
