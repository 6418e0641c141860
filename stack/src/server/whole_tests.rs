//! Clients and servers with the stack's own plugins around them: each transport, each protocol.

use std::sync::Arc;
use std::time::Duration;

use crate::client::{CallOptions, Client, ClientParts, Context, RequestOptions};
use crate::codec::Codecs;
use crate::env::Env;
use crate::env::testing::Hosts;
use crate::plugin::{Plugins, Settings};
use crate::registry::Registry;
use crate::server::{Handler, Server, ServerParts, Subscription};
use crate::testing::{Text, World, text};
use crate::{ErrorKind, Result};

/// The stack of one host.
struct Stack {
    env: Env,
    registry: Arc<dyn Registry>,
    client: Arc<dyn Client>,
    server: Arc<dyn Server>,
}

async fn stack(env: Env, transport: &str, protocol: &str) -> Stack {
    let plugins = Plugins::reference();
    let none = Settings::default;
    let transport = (plugins.transports.get(transport).unwrap().factory)(env.clone(), none()).await.unwrap();
    let mut codecs = Vec::new();
    for plugin in plugins.codecs.iter() {
        codecs.push((plugin.factory)(env.clone(), none()).await.unwrap());
    }
    let codecs = Codecs::new(codecs);
    let registry = (plugins.registries.get("memory").unwrap().factory)(env.clone(), none()).await.unwrap();
    let selector = plugins.selectors.get("round_robin").unwrap();
    let selector = (selector.factory)(env.clone(), registry.clone(), none()).await.unwrap();
    let broker = plugins.brokers.get("memory").unwrap();
    let broker = (broker.factory)(env.clone(), registry.clone(), none()).await.unwrap();
    let parts = ClientParts { transport: transport.clone(), codecs: codecs.clone(), selector, broker: broker.clone() };
    let client = (plugins.clients.get(protocol).unwrap().factory)(env.clone(), parts, none()).await.unwrap();
    let parts = ServerParts { transport, codecs, registry: registry.clone(), broker };
    let server = (plugins.servers.get(protocol).unwrap().factory)(env.clone(), parts, none()).await.unwrap();
    Stack { env, registry, client, server }
}

fn handler(node: &'static str) -> Handler {
    Handler::new("Say")
        .unary("Who", move |_, request: Text| async move { Ok(text(&format!("{node} {}", request.text.len()))) })
        .stream("Echo", |_, stream| async move {
            let mut message = Text::default();
            loop {
                match stream.recv(&mut message).await {
                    Ok(()) => stream.send(&message).await?,
                    Err(error) if error.kind() == ErrorKind::EndOfStream => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        })
}

async fn who(client: &Arc<dyn Client>, bytes: usize) -> Result<String> {
    let body = Arc::new(text(&"x".repeat(bytes)));
    let request = client.new_request("go.micro.server", "Say.Who", body, RequestOptions::default());
    let mut response = Text::default();
    client.call(&Context::new(), &request, &mut response, CallOptions::default()).await?;
    Ok(response.text)
}

async fn echo(client: &Arc<dyn Client>) {
    let request = client.new_request("go.micro.server", "Say.Echo", Arc::new(text("")), RequestOptions::default());
    let stream = client.stream(&Context::new(), &request, CallOptions::default()).await.unwrap();
    let mut message = Text::default();
    for number in 0..20 {
        stream.send(&text(&number.to_string())).await.unwrap();
        stream.recv(&mut message).await.unwrap();
        assert_eq!(message.text, number.to_string());
    }
    stream.close_send().await.unwrap();
    assert_eq!(stream.recv(&mut message).await.unwrap_err().kind(), ErrorKind::EndOfStream);
    stream.close().await.unwrap();
}

async fn works_whole(transport: &str, protocol: &str) {
    let hosts = Hosts::default();
    let one = stack(hosts.host(1), transport, protocol).await;
    let two = stack(hosts.host(2), transport, protocol).await;
    let caller = stack(hosts.host(3), transport, protocol).await;
    for (server, node) in [(&one, "one"), (&two, "two")] {
        server.server.handle(handler(node)).unwrap();
        server.server.subscribe(Subscription::new("news", |_, _: Text| async { Ok(()) })).unwrap();
        server.server.start().await.unwrap();
    }
    let mut answers = Vec::new();
    for bytes in [0, 1, 5_000, 100_000] {
        for _ in 0..2 {
            answers.push(who(&caller.client, bytes).await.unwrap());
        }
    }
    answers.sort();
    let expected = [0, 1, 100_000, 5_000].map(|bytes| format!("one {bytes}"));
    assert_eq!(answers[..4], expected, "{transport} {protocol}");
    assert!(answers[4..].iter().all(|answer| answer.starts_with("two ")));
    echo(&caller.client).await;
    // One stops: nobody is called in vain, whatever connections are pooled.
    one.server.stop().await.unwrap();
    caller.env.sleep(Duration::from_secs(1)).await;
    for _ in 0..4 {
        assert_eq!(who(&caller.client, 0).await.unwrap(), "two 0", "{transport} {protocol}");
    }
    // It comes back at another address, and the other one restarts.
    two.server.stop().await.unwrap();
    one.server.start().await.unwrap();
    caller.env.sleep(Duration::from_secs(1)).await;
    assert_eq!(who(&caller.client, 0).await.unwrap(), "one 0");
    one.server.stop().await.unwrap();
    for stack in [one, two, caller] {
        stack.client.close().await.unwrap();
        stack.client.options().parts.selector.close().await.unwrap();
        stack.registry.close().await.unwrap();
        let env = stack.env.clone();
        drop(stack);
        World::settle().await;
        let left = env.live_tasks().counts();
        let own = left.keys().filter(|name| name.contains("client") || name.contains("server"));
        assert_eq!(own.count(), 0, "{transport} {protocol}: {left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rpc_works_over_every_transport() {
    for transport in ["memory", "http", "grpc"] {
        works_whole(transport, "rpc").await;
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_works_with_the_stacks_own_plugins() {
    works_whole("memory", "grpc").await;
}
