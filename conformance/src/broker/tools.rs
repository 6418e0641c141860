//! What checks of brokers have in common: a connected broker with a topic, handlers that keep what they are given, and
//! the measure by which what arrived is judged. It knows no plugin; how strictly it judges, the plugin's promises say.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shaketable_stack::Result as StackResult;
use shaketable_stack::broker::{Broker, Event, Handler, Message, PublishOptions, SubscribeOptions, Subscriber};
use shaketable_stack::plugin::{Delivery, Promises};

use super::probes::{self, Fresh};
use crate::requirement::Need;
use crate::{Finding, Host, Outcome, Site, expect};

/// How long a message may be on its way while nothing is broken.
pub(super) const ARRIVES: Duration = Duration::from_secs(5);
/// How often something is published to see whether it arrives, where messages may be lost.
pub(super) const ATTEMPTS: usize = 5;
/// Where messages may be lost, of so many one.
pub(super) const LOST_ONE_OF: usize = 2;
/// Where messages may come twice, of so many messages come at most so many deliveries.
pub(super) const DELIVERIES_OF: (usize, usize) = (2, 3);

/// Judged only where no message may come twice.
pub(super) const NEVER_TWICE: Need = Need::Promises("no message twice", never_twice);
/// Judged only where no message may be lost.
pub(super) const NEVER_LOST: Need = Need::Promises("no message lost", never_lost);

fn never_twice(promises: &Promises) -> bool {
    matches!(promises.delivery, Some(Delivery::AtMostOnce | Delivery::ExactlyOnce))
}

fn never_lost(promises: &Promises) -> bool {
    matches!(promises.delivery, Some(Delivery::AtLeastOnce | Delivery::ExactlyOnce))
}

/// Keeps what it is given.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Vec<Event>>);

#[async_trait]
impl Handler for Inbox {
    async fn handle(&self, event: Event) -> StackResult<()> {
        self.events().push(event);
        Ok(())
    }
}

impl Inbox {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topics that the events named, in the order of their arrival.
    pub(super) fn topics(&self) -> Vec<String> {
        self.events().iter().map(|event| event.topic.to_string()).collect()
    }

    /// The bodies as text, in the order of their arrival.
    pub(super) fn bodies(&self) -> Vec<String> {
        self.events().iter().map(|event| String::from_utf8_lossy(&event.message.body).into_owned()).collect()
    }

    /// How many messages came.
    pub(super) fn count(&self) -> usize {
        self.events().len()
    }

    fn holds(&self, wanted: impl Fn(&Message) -> bool) -> bool {
        self.events().iter().any(|event| wanted(&event.message))
    }

    fn shown(&self) -> String {
        let events = self.events();
        let shown = |event: &Event| {
            let text = String::from_utf8_lossy(&event.message.body).chars().take(20).collect::<String>();
            format!("{text:?} ({} bytes, headers {:?})", event.message.body.len(), event.message.header)
        };
        match events.len() {
            0 => "no message came".to_owned(),
            count => format!("{count} came, the last is {}", events.last().map(shown).unwrap_or_default()),
        }
    }
}

/// A handler made of a function.
struct Calling<F>(F);

#[async_trait]
impl<F, W> Handler for Calling<F>
where
    F: Fn(Event) -> W + Send + Sync,
    W: Future<Output = StackResult<()>> + Send,
{
    async fn handle(&self, event: Event) -> StackResult<()> {
        let work = (self.0)(event);
        work.await
    }
}

/// A handler that does what `function` says.
pub(super) fn calling<F, W>(function: F) -> Arc<dyn Handler>
where
    F: Fn(Event) -> W + Send + Sync + 'static,
    W: Future<Output = StackResult<()>> + Send + 'static,
{
    Arc::new(Calling(move |event| Box::pin(function(event)) as Pin<Box<dyn Future<Output = _> + Send>>))
}

/// A connected broker and a topic.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) site: Site,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) topic: String,
    /// Subscribers are kept, so that only the check that drops one judges what comes of that.
    kept: Arc<Mutex<Vec<Arc<dyn Subscriber>>>>,
    fresh: Arc<Mutex<Vec<Fresh>>>,
}

impl Bench {
    /// A connected broker on this host.
    pub(super) async fn connected(site: &Site) -> Result<Self, Finding> {
        let bench = Self::made(site).await?;
        bench.connect().await?;
        Ok(bench)
    }

    /// A broker on this host that is not connected yet.
    pub(super) async fn made(site: &Site) -> Result<Self, Finding> {
        let registry = site.registry().await?;
        let broker = site.broker(registry).await?;
        Ok(Self::of(site, broker))
    }

    /// A connected broker on another host.
    pub(super) async fn on(site: &Site, host: Host) -> Result<Self, Finding> {
        let bench = Self::of(site, site.broker_on(host).await?);
        bench.connect().await?;
        Ok(bench)
    }

    pub(super) fn of(site: &Site, broker: Arc<dyn Broker>) -> Self {
        Self { site: site.clone(), broker, topic: site.name("orders"), kept: Arc::default(), fresh: Arc::default() }
    }

    pub(super) async fn connect(&self) -> Outcome {
        self.site.ask("connect", self.broker.connect()).await
    }

    pub(super) async fn disconnect(&self) -> Outcome {
        self.site.ask("disconnect", self.broker.disconnect()).await
    }

    /// The same broker with another topic.
    pub(super) fn about(&self, topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..self.clone() }
    }

    /// An inbox that is subscribed to the topic, as a member of `queue` where one is given.
    pub(super) async fn subscribe(&self, queue: Option<&str>) -> Result<(Arc<Inbox>, Arc<dyn Subscriber>), Finding> {
        let inbox = Arc::<Inbox>::default();
        let options = SubscribeOptions { queue: queue.map(str::to_owned), ..SubscribeOptions::default() };
        let subscriber = self.handle(inbox.clone(), options).await?;
        Ok((inbox, subscriber))
    }

    /// Waits until the subscriptions that were made through this broker have taken effect, whatever their topics.
    pub(super) async fn open(&self) -> Outcome {
        probes::open(&self.site, &[self]).await
    }

    /// The subscriptions that nobody has waited for yet.
    pub(super) fn take_fresh(&self) -> Vec<Fresh> {
        std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Subscribes `handler` to the topic.
    pub(super) async fn handle(
        &self,
        handler: Arc<dyn Handler>,
        options: SubscribeOptions,
    ) -> Result<Arc<dyn Subscriber>, Finding> {
        let what = match &options.queue {
            Some(queue) => format!("subscribe to {:.40} in queue {queue:?}", self.topic),
            None => format!("subscribe to {:.40}", self.topic),
        };
        let (fresh, handler) = Fresh::before(handler, &self.topic, &options);
        let subscriber = self.site.ask(&what, self.broker.subscribe(&self.topic, handler, options)).await?;
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).push(fresh);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(subscriber.clone());
        Ok(subscriber)
    }

    /// Publishes what must be accepted.
    pub(super) async fn publish(&self, body: &str) -> Outcome {
        self.publish_message(&message(body)).await
    }

    pub(super) async fn publish_message(&self, message: &Message) -> Outcome {
        let what = format!("publish {} bytes to {:.40}", message.body.len(), self.topic);
        self.site.ask(&what, self.broker.publish(&self.topic, message, PublishOptions::default())).await
    }

    /// Publishes `count` messages one after the other and returns their bodies.
    pub(super) async fn publish_many(&self, name: &str, count: usize) -> Result<Vec<String>, Finding> {
        let bodies: Vec<String> = (0..count).map(|number| format!("{name} {number}")).collect();
        for body in &bodies {
            self.publish(body).await?;
        }
        Ok(bodies)
    }

    /// Publishes `body`, which must come to every inbox.
    pub(super) async fn arrives(&self, body: &str, inboxes: &[&Arc<Inbox>]) -> Outcome {
        let wanted = message(body);
        self.arrives_as(&wanted, inboxes, |came| came.body == wanted.body).await
    }

    /// Publishes `message`; to every inbox must come one that is `wanted`. Where messages may be lost, one of several
    /// must.
    pub(super) async fn arrives_as(
        &self,
        message: &Message,
        inboxes: &[&Arc<Inbox>],
        wanted: impl Fn(&Message) -> bool,
    ) -> Outcome {
        let what = format!("a message of {} bytes to be delivered as it was published", message.body.len());
        let look = || {
            let missing = inboxes.iter().find(|inbox| !inbox.holds(&wanted));
            ready(missing.map_or(Ok(()), |inbox| Err(inbox.shown())))
        };
        let attempts = if never_lost(self.site.promises()) { 1 } else { ATTEMPTS };
        let mut result = Ok(());
        for _ in 0..attempts {
            self.publish_message(message).await?;
            result = self.site.eventually(&what, ARRIVES, look).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Publishes probes until each inbox has got one: from then on the way between the two is known to be open.
    pub(super) async fn opens_within(&self, limit: Duration, inboxes: &[&Arc<Inbox>]) -> Outcome {
        let before: Vec<usize> = inboxes.iter().map(|inbox| inbox.count()).collect();
        let deadline = self.site.env().now() + limit;
        for probe in 0_u32.. {
            let message = message(&format!("probe {probe}"));
            let sent = self.broker.publish(&self.topic, &message, PublishOptions::default());
            // A probe may fail; what counts is that one arrives in time.
            let sent = self.site.within("publish a probe", limit, sent).await?;
            let next = self.site.env().now() + self.site.slack();
            let silent = || inboxes.iter().zip(&before).filter(|(inbox, before)| inbox.count() == **before).count();
            while silent() > 0 && self.site.env().now() < next {
                self.site.look_again(self.site.slack() / 20).await;
            }
            let silent = silent();
            if silent == 0 {
                break;
            }
            if self.site.env().now() >= deadline {
                let said = sent.err().map_or_else(String::new, |error| format!("; publishing says `{error}`"));
                return Err(Finding::violated(
                    format!("messages to arrive again within {limit:?}"),
                    format!("{silent} of {} subscribers get none{said}", inboxes.len()),
                ));
            }
        }
        settle(&self.site).await;
        Ok(())
    }
}

/// A message with one header.
pub(super) fn message(body: &str) -> Message {
    Message { header: [("Content-Type".to_owned(), "text/plain".to_owned())].into(), body: body.to_owned().into() }
}

/// What two parts of a check say, so that neither hides what the other has found.
pub(super) fn both(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (
            Err(Finding::Violated { expected, observed }),
            Err(Finding::Violated { expected: also_expected, observed: also_observed }),
        ) => Err(Finding::Violated {
            expected: format!("{expected}; and {also_expected}"),
            observed: format!("{observed}; and {also_observed}"),
        }),
        (one, other) => one.and(other),
    }
}

/// Lets what was begun take effect where no probe can show that it has: what was ended, refused or is still on its way.
pub(super) async fn settle(site: &Site) {
    site.take_effect(site.slack() * 2).await;
}

/// Waits until the inboxes hold `count` messages together, or no more time is due, and then for what should not come.
pub(super) async fn come_to_rest(site: &Site, inboxes: &[&Arc<Inbox>], count: usize) {
    let total = || inboxes.iter().map(|inbox| inbox.count()).sum::<usize>();
    // A machine that is busy delivers slowly; whoever delivers is waited for.
    let (begun, mut before, mut deadline) = (site.env().now(), 0, site.env().now() + ARRIVES);
    while total() < count && site.env().now() < deadline {
        site.look_again(site.slack() / 10).await;
        let now = total();
        if now > before {
            (before, deadline) = (now, (site.env().now() + ARRIVES).min(begun + ARRIVES * 6));
        }
    }
    site.quiet_for(site.slack()).await;
}

/// Judges what came of `sent` to one subscriber who was owed all of it: nothing is missing, and nothing came twice, as
/// far as the plugin has promised it.
pub(super) fn judge_all(site: &Site, sent: &[String], inbox: &Inbox) -> Outcome {
    judge(site, sent, &inbox.bodies(), "")
}

/// Judges what came of `sent` to the members of one queue: one of them gets each message.
pub(super) fn judge_shared(site: &Site, sent: &[String], members: &[&Arc<Inbox>]) -> Outcome {
    let came: Vec<String> = members.iter().flat_map(|inbox| inbox.bodies()).collect();
    judge(site, sent, &came, " by one member of the queue")
}

fn judge(site: &Site, sent: &[String], came: &[String], by: &str) -> Outcome {
    let mut counts: BTreeMap<&str, usize> = sent.iter().map(|body| (body.as_str(), 0)).collect();
    for body in came {
        if let Some(count) = counts.get_mut(body.as_str()) {
            *count += 1;
        }
    }
    let total: usize = counts.values().sum();
    let missing: Vec<&str> = sent.iter().map(String::as_str).filter(|body| counts.get(body) == Some(&0)).collect();
    let twice = counts.iter().find(|(_, count)| **count > 1);
    let promises = site.promises();
    let expected = |how: &str| format!("{} messages, each handled {how}{by}", sent.len());
    if never_lost(promises) || missing.len() * LOST_ONE_OF > sent.len() {
        expect(missing.is_empty(), expected("once"), || {
            format!("{} never came, such as {:?}", missing.len(), missing.first())
        })?;
    }
    if never_twice(promises) {
        expect(twice.is_none(), expected("once"), || format!("{twice:?}: so often this one came"))?;
    }
    // Who may deliver twice does so when something went wrong, not as a rule.
    let (messages, deliveries) = DELIVERIES_OF;
    expect(sent.len() < 4 || total * messages <= sent.len() * deliveries, expected("once"), || {
        format!("{total} deliveries")
    })
}
