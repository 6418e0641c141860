//! Standing a stack up on a host: the plugins that a scenario names, made from the tables and decorated for the history. It
//! knows names and promises, no particular plugin.

mod choices;

use std::sync::Arc;

use shaketable_stack::broker::Broker;
use shaketable_stack::client::{Client, ClientParts};
use shaketable_stack::codec::{CodecFactory, Codecs};
use shaketable_stack::metadata::Metadata;
use shaketable_stack::plugin::Plugins;
use shaketable_stack::registry::Registry;
use shaketable_stack::selector::Selector;
use shaketable_stack::server::{Server, ServerParts};
use shaketable_stack::service::{Service, ServiceOptions};
use shaketable_stack::transport::Transport;
use shaketable_stack::{Env, Result};

use crate::decorate::{
    RecordedBroker, RecordedClient, RecordedCodec, RecordedRegistry, RecordedSelector, RecordedServer, RecordedService,
    RecordedTransport, Scribe,
};
use crate::history::Recorder;
use crate::scenario::model;

pub use choices::{Choices, Chosen};

/// A stack that stands on one host.
#[derive(Debug)]
pub struct Standing {
    /// The host's environment.
    pub env: Env,
    /// Writes for this host.
    pub scribe: Scribe,
    /// The registry, without the selector's cache.
    pub registry: Arc<dyn Registry>,
    /// The selector, over its cache.
    pub selector: Arc<dyn Selector>,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The client.
    pub client: Arc<RecordedClient>,
    /// Client and server as one; absent on a host that only calls.
    pub service: Option<Arc<dyn Service>>,
}

/// What a service is called and how it registers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// What the scenario says of it.
    pub service: model::Service,
    /// The version in force; churn changes it.
    pub version: String,
    /// The labels in force; churn changes them.
    pub metadata: Metadata,
}

impl Standing {
    /// Makes the stack of one host; with `identity` it serves as well.
    ///
    /// # Errors
    /// What a factory answers.
    pub async fn new(
        env: &Env,
        recorder: &Recorder,
        plugins: &Plugins,
        choices: &Choices,
        identity: Option<&Identity>,
    ) -> Result<Self> {
        let scribe = Scribe::new(recorder.clone(), env.clone());
        let chosen = &choices.registry;
        let registry = (plugins.registries.get(&chosen.plugin)?.factory)(env.clone(), chosen.settings.clone()).await?;
        let registry: Arc<dyn Registry> = Arc::new(RecordedRegistry::new(registry, scribe.clone()));

        let chosen = &choices.transport;
        let transport = (plugins.transports.get(&chosen.plugin)?.factory)(env.clone(), chosen.settings.clone()).await?;
        let transport: Arc<dyn Transport> = Arc::new(RecordedTransport::new(transport, scribe.clone()));

        let (codecs, content_type) = codecs(env, plugins, choices, &scribe).await?;

        let chosen = &choices.selector;
        let make = &plugins.selectors.get(&chosen.plugin)?.factory;
        let selector = make(env.clone(), registry.clone(), chosen.settings.clone()).await?;
        let selector: Arc<dyn Selector> = Arc::new(RecordedSelector::new(selector, scribe.clone()));

        let chosen = &choices.broker;
        let make = &plugins.brokers.get(&chosen.plugin)?.factory;
        let broker = make(env.clone(), registry.clone(), chosen.settings.clone()).await?;
        let broker: Arc<dyn Broker> = Arc::new(RecordedBroker::new(broker, scribe.clone()));

        let parts = ClientParts {
            transport: transport.clone(),
            codecs: codecs.clone(),
            selector: selector.clone(),
            broker: broker.clone(),
        };
        let chosen = &choices.client;
        let client =
            (plugins.clients.get(&chosen.plugin)?.factory)(env.clone(), parts, chosen.settings.clone()).await?;
        let mut options = client.options();
        options.content_type = content_type;
        options.from_service = identity.map(|identity| identity.name.clone());
        client.init(options)?;
        let client = Arc::new(RecordedClient::new(client, scribe.clone())?);

        let service = match identity {
            Some(identity) => {
                let parts = ServerParts { transport, codecs, registry: registry.clone(), broker: broker.clone() };
                Some(serve(env, plugins, choices, &scribe, parts, client.clone(), identity).await?)
            }
            None => None,
        };
        Ok(Self { env: env.clone(), scribe, registry, selector, broker, client, service })
    }

    /// Releases what the stack holds.
    pub async fn close(&self) {
        // What cannot be closed ends with its tasks when the stack is dropped.
        let _ = self.client.close().await;
        let _ = self.selector.close().await;
        let _ = self.broker.disconnect().await;
        let _ = self.registry.close().await;
    }
}

/// The chosen codec first, then all others, so that a server answers in the codec of the request.
async fn codecs(env: &Env, plugins: &Plugins, choices: &Choices, scribe: &Scribe) -> Result<(Codecs, String)> {
    let chosen = plugins.codecs.get(&choices.codec.plugin)?;
    let mut factories: Vec<Arc<dyn CodecFactory>> = Vec::new();
    let first = (chosen.factory)(env.clone(), choices.codec.settings.clone()).await?;
    let content_type = first.content_types().first().copied().unwrap_or_default().to_owned();
    factories.push(Arc::new(RecordedCodec::new(first, scribe.clone())));
    for plugin in plugins.codecs.iter().filter(|plugin| plugin.name != chosen.name) {
        let other = (plugin.factory)(env.clone(), shaketable_stack::plugin::Settings::default()).await?;
        factories.push(Arc::new(RecordedCodec::new(other, scribe.clone())));
    }
    Ok((Codecs::new(factories), content_type))
}

async fn serve(
    env: &Env,
    plugins: &Plugins,
    choices: &Choices,
    scribe: &Scribe,
    parts: ServerParts,
    client: Arc<dyn Client>,
    identity: &Identity,
) -> Result<Arc<dyn Service>> {
    let chosen = &choices.server;
    let server = (plugins.servers.get(&chosen.plugin)?.factory)(env.clone(), parts, chosen.settings.clone()).await?;
    let mut options = server.options();
    options.name.clone_from(&identity.name);
    options.version.clone_from(&identity.version);
    options.metadata.extend(identity.metadata.clone());
    options.register_ttl = identity.service.register_ttl;
    options.register_interval = identity.service.register_interval;
    server.init(options)?;
    let server: Arc<dyn Server> = Arc::new(RecordedServer::new(server, scribe.clone()));
    let chosen = &choices.service;
    let make = &plugins.services.get(&chosen.plugin)?.factory;
    let service = make(env.clone(), ServiceOptions::new(client, server), chosen.settings.clone()).await?;
    Ok(Arc::new(RecordedService::new(service, scribe.clone())))
}
