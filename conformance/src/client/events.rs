//! Events: what a client publishes, as those who subscribed at the broker get it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shaketable_stack::broker::{Event, Handler, Message, SubscribeOptions};
use shaketable_stack::client::{Context, MessageOptions, PublishOptions};
use shaketable_stack::codec::Payload;
use shaketable_stack::metadata::get_ignoring_case;
use shaketable_stack::plugin::Ability;
use shaketable_stack::{ErrorKind, Result as StackResult};

use super::stage::{Caller, Text, lock};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Finding, Need, Outcome, Parts, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-062",
        level: Must,
        sentence: "An event that is published reaches who subscribed to its topic, once, with its body encoded as its content type says.",
        source: "go-micro client/rpc_client.go: Publish",
        needs: &[Need::Has(Ability::Events)],
        check: check!(an_event_reaches_its_subscribers, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "CLI-063",
        level: Must,
        sentence: "Publishing connects the broker where it is not connected, the first time as well as later.",
        source: "go-micro client/rpc_client.go: Publish connects once",
        needs: &[Need::Has(Ability::Events)],
        check: check!(publishing_connects_the_broker, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "CLI-064",
        level: Must,
        sentence: "An event carries the headers of the context that it was published with, its content type and its topic.",
        source: "go-micro client/rpc_client.go: Publish, Content-Type and Micro-Topic",
        needs: &[Need::Has(Ability::Events)],
        check: check!(an_event_carries_headers, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "CLI-065",
        level: Must,
        sentence: "An event with an exchange is published to that topic of the broker instead of its own.",
        source: "go-micro client/options.go: WithExchange",
        needs: &[Need::Has(Ability::Events)],
        check: check!(an_exchange_replaces_the_topic, "within {}", ARRIVES_WITHIN),
    },
    Requirement {
        id: "CLI-066",
        level: Must,
        sentence: "A client that carries no events refuses to publish with Unsupported.",
        source: "decision of shaketable: an event that is dropped in silence is lost, and nobody knows",
        needs: &[Need::Lacks(Ability::Events)],
        check: check!(without_events_publishing_is_refused),
    },
];

/// Keeps the messages that it gets.
#[derive(Default)]
struct Keeper(Mutex<Vec<Message>>);

#[async_trait]
impl Handler for Keeper {
    async fn handle(&self, event: Event) -> StackResult<()> {
        lock(&self.0).push(Arc::unwrap_or_clone(event.message));
        Ok(())
    }
}

/// Subscribes to `topic` with parts of its own, so that those of the client are untouched.
async fn subscribed(site: &Site, topic: &str) -> Result<(Parts, Arc<Keeper>), Finding> {
    let (parts, keeper) = (site.parts().await?, Arc::new(Keeper::default()));
    let broke = |error: shaketable_stack::Error| Finding::Broke(format!("failed to subscribe: {error}"));
    site.ends("connect the subscriber's broker", parts.broker.connect()).await?.map_err(broke)?;
    let subscribe = parts.broker.subscribe(topic, keeper.clone(), SubscribeOptions::default());
    site.ends("subscribe", subscribe).await?.map_err(broke)?;
    Ok((parts, keeper))
}

/// Publishes a text to `topic`.
async fn publish(
    site: &Site,
    caller: &Caller,
    topic: &str,
    text: &str,
    context: Context,
    content_type: Option<&str>,
    exchange: Option<&str>,
) -> Outcome {
    let options = MessageOptions { content_type: content_type.map(str::to_owned) };
    let message = caller.client.new_message(topic, Arc::new(Text::new(text)), options);
    let options = PublishOptions { exchange: exchange.map(str::to_owned) };
    site.ask(&format!("publish '{text}'"), caller.client.publish(&context, &message, options)).await
}

/// How long an event may be on its way.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5);

/// Waits for `count` messages, and sees that no more come.
async fn messages(site: &Site, keeper: &Keeper, count: usize) -> Result<Vec<Message>, Finding> {
    site.eventually(&format!("{count} events at the subscriber"), ARRIVES_WITHIN, || async {
        let arrived = lock(&keeper.0).len();
        if arrived >= count { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await?;
    site.quiet_for(site.slack()).await;
    let messages = lock(&keeper.0).clone();
    expect_equal("the number of events", &messages.len(), &count)?;
    Ok(messages)
}

async fn an_event_reaches_its_subscribers(site: Site) -> Outcome {
    let topic = site.name("news");
    let (_parts, keeper) = subscribed(&site, &topic).await?;
    let caller = Caller::new(&site, crate::Host::Home, &site.name("user")).await?;
    let published =
        [("plain", None), ("as json", Some("application/json")), ("as protobuf", Some("application/protobuf"))];
    for (text, content_type) in published {
        publish(&site, &caller, &topic, text, Context::new(), content_type, None).await?;
    }
    let messages = messages(&site, &keeper, published.len()).await?;
    let own = caller.client.options().content_type;
    for (text, content_type) in published {
        let wanted = content_type.unwrap_or(&own);
        let fits = |message: &Message| {
            let mut read = Text::default();
            let body = &message.body;
            let decoded = if wanted.ends_with("json") { read.read_json(body) } else { read.read_protobuf(body) };
            decoded.is_ok() && read.text == text
        };
        expect(messages.iter().any(fits), format!("the event '{text}' in {wanted}"), || {
            format!("{:?}", messages.iter().map(|message| &message.body).collect::<Vec<_>>())
        })?;
    }
    Ok(())
}

async fn publishing_connects_the_broker(site: Site) -> Outcome {
    let topic = site.name("news");
    let (_parts, keeper) = subscribed(&site, &topic).await?;
    let own = site.parts().await?;
    let caller = Caller::of_parts(&site, &own, &site.name("user")).await?;
    publish(&site, &caller, &topic, "first", Context::new(), None, None).await?;
    // Somebody else may disconnect it.
    site.ends("disconnect the client's broker", own.broker.disconnect())
        .await?
        .map_err(|error| Finding::Broke(format!("failed to disconnect: {error}")))?;
    publish(&site, &caller, &topic, "second", Context::new(), None, None).await?;
    messages(&site, &keeper, 2).await.map(drop)
}

async fn an_event_carries_headers(site: Site) -> Outcome {
    let topic = site.name("news");
    let (_parts, keeper) = subscribed(&site, &topic).await?;
    let caller = Caller::new(&site, crate::Host::Home, &site.name("user")).await?;
    let context = Context::new().with_header("X-User-Id", "ada");
    publish(&site, &caller, &topic, "text", context, Some("application/json"), None).await?;
    let messages = messages(&site, &keeper, 1).await?;
    let wanted = [("X-User-Id", "ada"), ("Content-Type", "application/json"), ("Micro-Topic", topic.as_str())];
    for (name, value) in wanted {
        let got = messages.first().and_then(|message| get_ignoring_case(&message.header, name));
        expect_equal(&format!("the event's header {name}"), &got, &Some(value))?;
    }
    Ok(())
}

async fn an_exchange_replaces_the_topic(site: Site) -> Outcome {
    let (topic, exchange) = (site.name("news"), site.name("exchange"));
    let (_own, at_topic) = subscribed(&site, &topic).await?;
    let (_other, at_exchange) = subscribed(&site, &exchange).await?;
    let caller = Caller::new(&site, crate::Host::Home, &site.name("user")).await?;
    publish(&site, &caller, &topic, "text", Context::new(), None, Some(&exchange)).await?;
    messages(&site, &at_exchange, 1).await?;
    messages(&site, &at_topic, 0).await.map(drop)
}

async fn without_events_publishing_is_refused(site: Site) -> Outcome {
    let caller = Caller::new(&site, crate::Host::Home, &site.name("user")).await?;
    let message = caller.client.new_message(&site.name("news"), Arc::new(Text::new("x")), MessageOptions::default());
    let context = Context::new();
    let publish = caller.client.publish(&context, &message, PublishOptions::default());
    site.refused("publish", &[ErrorKind::Unsupported], publish).await.map(drop)
}
