//! Making plugins: the one under judgement where its interface is asked for, and those of the reference for the others.

use std::sync::Arc;

use shaketable_sim::decorate::{RecordedRegistry, Scribe};
use shaketable_stack::Result as StackResult;
use shaketable_stack::broker::Broker;
use shaketable_stack::client::{Client, ClientParts};
use shaketable_stack::codec::{CodecFactory, Codecs};
use shaketable_stack::plugin::{Settings, defaults};
use shaketable_stack::registry::Registry;
use shaketable_stack::selector::Selector;
use shaketable_stack::server::{Server, ServerParts};
use shaketable_stack::service::{Service, ServiceOptions};
use shaketable_stack::transport::Transport;

use super::{Host, Site};
use crate::remote::{RemoteBroker, RemoteRegistry, RemoteTransport};
use crate::{Finding, Interface};

/// What clients and servers are made of, on one host.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Carries requests.
    pub transport: Arc<dyn Transport>,
    /// By content type.
    pub codecs: Codecs,
    /// Knows who is there.
    pub registry: Arc<dyn Registry>,
    /// Picks nodes.
    pub selector: Arc<dyn Selector>,
    /// Carries events.
    pub broker: Arc<dyn Broker>,
}

impl Parts {
    /// A client's.
    pub fn client(&self) -> ClientParts {
        ClientParts {
            transport: self.transport.clone(),
            codecs: self.codecs.clone(),
            selector: self.selector.clone(),
            broker: self.broker.clone(),
        }
    }

    /// A server's.
    pub fn server(&self) -> ServerParts {
        ServerParts {
            transport: self.transport.clone(),
            codecs: self.codecs.clone(),
            registry: self.registry.clone(),
            broker: self.broker.clone(),
        }
    }
}

impl Site {
    /// Which plugin of `interface` is used, with its options.
    fn chosen(&self, interface: Interface) -> (String, Settings) {
        let subject = &self.shared.subject;
        let name = if subject.interface == interface {
            subject.plugin.clone()
        } else if let Some((_, name)) = subject.beside.iter().find(|(beside, _)| *beside == interface) {
            name.clone()
        } else if let Some(name) = self.counterpart(interface) {
            name
        } else {
            match interface {
                Interface::Transport => defaults::TRANSPORT,
                Interface::Codec => defaults::CODEC,
                Interface::Registry => defaults::REGISTRY,
                Interface::Selector => defaults::SELECTOR,
                Interface::Broker => "memory",
                Interface::Client => defaults::CLIENT,
                Interface::Server => defaults::SERVER,
                Interface::Service => defaults::SERVICE,
            }
            .to_owned()
        };
        let promises = interface.promises(&self.shared.plugins, &name).unwrap_or_default();
        let addresses = if promises.backend.is_some() { subject.addresses.clone() } else { Vec::new() };
        (name, Settings::new(addresses, Default::default()))
    }

    /// What speaks the protocol of the client or server under judgement, when `interface` is the other end: the plugin of
    /// the same name, or of what comes before the first dash in it.
    fn counterpart(&self, interface: Interface) -> Option<String> {
        let subject = &self.shared.subject;
        if !matches!(
            (subject.interface, interface),
            (Interface::Client, Interface::Server) | (Interface::Server, Interface::Client)
        ) {
            return None;
        }
        let names = interface.plugins(&self.shared.plugins);
        let protocol = subject.plugin.split('-').next().unwrap_or_default();
        [subject.plugin.as_str(), protocol]
            .into_iter()
            .find(|name| names.iter().any(|own| own == name))
            .map(str::to_owned)
    }

    /// A failure of the plugin under judgement to be made is its own; that of another is ours.
    fn made<T>(&self, interface: Interface, name: &str, made: StackResult<T>) -> Result<T, Finding> {
        made.map_err(|error| {
            if interface == self.shared.subject.interface {
                Finding::violated(format!("{interface} '{name}' to be made"), format!("the error `{error}`"))
            } else {
                Finding::Broke(format!("failed to make {interface} '{name}': {error}"))
            }
        })
    }

    /// A new registry on this host: the plugin under judgement if it is one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn registry(&self) -> Result<Arc<dyn Registry>, Finding> {
        let (name, settings) = self.chosen(Interface::Registry);
        let factory = self.shared.plugins.registries.get(&name).map(|plugin| plugin.factory.clone());
        let factory = self.made(Interface::Registry, &name, factory)?;
        let made = self.ends("make the registry", factory(self.env.clone(), settings)).await?;
        let registry = self.made(Interface::Registry, &name, made)?;
        let scribe = Scribe::new(self.shared.recorder.clone(), self.env.clone());
        Ok(Arc::new(RecordedRegistry::new(registry, scribe)))
    }

    /// The same on another host, to be used from this one.
    ///
    /// # Errors
    /// As [`registry`](Self::registry).
    pub async fn registry_on(&self, host: Host) -> Result<Arc<dyn Registry>, Finding> {
        let inner = self.on(host, |site| async move { site.registry().await }).await??;
        Ok(Arc::new(RemoteRegistry::new(self.clone(), host, inner)))
    }

    /// A new transport on this host.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn transport(&self) -> Result<Arc<dyn Transport>, Finding> {
        let (name, settings) = self.chosen(Interface::Transport);
        let factory = self.shared.plugins.transports.get(&name).map(|plugin| plugin.factory.clone());
        let factory = self.made(Interface::Transport, &name, factory)?;
        let made = self.ends("make the transport", factory(self.env.clone(), settings)).await?;
        self.made(Interface::Transport, &name, made)
    }

    /// The same on another host, to be used from this one.
    ///
    /// # Errors
    /// As [`transport`](Self::transport).
    pub async fn transport_on(&self, host: Host) -> Result<Arc<dyn Transport>, Finding> {
        let inner = self.on(host, |site| async move { site.transport().await }).await??;
        Ok(Arc::new(RemoteTransport::new(self.clone(), host, inner)))
    }

    /// A new codec.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn codec(&self) -> Result<Arc<dyn CodecFactory>, Finding> {
        let (name, _) = self.chosen(Interface::Codec);
        self.codec_called(&name).await
    }

    async fn codec_called(&self, name: &str) -> Result<Arc<dyn CodecFactory>, Finding> {
        let factory = self.shared.plugins.codecs.get(name).map(|plugin| plugin.factory.clone());
        let factory = self.made(Interface::Codec, name, factory)?;
        let made = self.ends("make the codec", factory(self.env.clone(), Settings::default())).await?;
        self.made(Interface::Codec, name, made)
    }

    /// A new selector over `registry`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn selector(&self, registry: Arc<dyn Registry>) -> Result<Arc<dyn Selector>, Finding> {
        let (name, settings) = self.chosen(Interface::Selector);
        let factory = self.shared.plugins.selectors.get(&name).map(|plugin| plugin.factory.clone());
        let factory = self.made(Interface::Selector, &name, factory)?;
        let made = self.ends("make the selector", factory(self.env.clone(), registry, settings)).await?;
        self.made(Interface::Selector, &name, made)
    }

    /// A new broker on this host, not connected yet, that finds its peers in `registry`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn broker(&self, registry: Arc<dyn Registry>) -> Result<Arc<dyn Broker>, Finding> {
        let (name, settings) = self.chosen(Interface::Broker);
        let factory = self.shared.plugins.brokers.get(&name).map(|plugin| plugin.factory.clone());
        let factory = self.made(Interface::Broker, &name, factory)?;
        let made = self.ends("make the broker", factory(self.env.clone(), registry, settings)).await?;
        self.made(Interface::Broker, &name, made)
    }

    /// The same on another host, over a registry of that host, to be used from this one. Handlers run there.
    ///
    /// # Errors
    /// As [`broker`](Self::broker).
    pub async fn broker_on(&self, host: Host) -> Result<Arc<dyn Broker>, Finding> {
        let make = |site: Self| async move {
            let registry = site.registry().await?;
            site.broker(registry).await
        };
        let inner = self.on(host, make).await??;
        Ok(Arc::new(RemoteBroker::new(self.clone(), host, inner)))
    }

    /// Everything that a client or a server on this host is made of; the codec under judgement comes first.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub async fn parts(&self) -> Result<Parts, Finding> {
        let registry = self.registry().await?;
        let (first, _) = self.chosen(Interface::Codec);
        let mut codecs = vec![self.codec_called(&first).await?];
        let others: Vec<String> =
            self.shared.plugins.codecs.names().filter(|name| **name != first).map(str::to_owned).collect();
        for other in others {
            codecs.push(self.codec_called(&other).await?);
        }
        Ok(Parts {
            transport: self.transport().await?,
            codecs: Codecs::new(codecs),
            selector: self.selector(registry.clone()).await?,
            broker: self.broker(registry.clone()).await?,
            registry,
        })
    }

    /// A new client of `parts`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn client(&self, parts: &Parts) -> Result<Arc<dyn Client>, Finding> {
        let (name, settings) = self.chosen(Interface::Client);
        let factory = self.shared.plugins.clients.get(&name).map(|plugin| plugin.factory.clone());
        let factory = self.made(Interface::Client, &name, factory)?;
        let made = self.ends("make the client", factory(self.env.clone(), parts.client(), settings)).await?;
        self.made(Interface::Client, &name, made)
    }

    /// A new server of `parts`, not started yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn server(&self, parts: &Parts) -> Result<Arc<dyn Server>, Finding> {
        let (name, settings) = self.chosen(Interface::Server);
        let factory = self.shared.plugins.servers.get(&name).map(|plugin| plugin.factory.clone());
        let factory = self.made(Interface::Server, &name, factory)?;
        let made = self.ends("make the server", factory(self.env.clone(), parts.server(), settings)).await?;
        self.made(Interface::Server, &name, made)
    }

    /// A new service of `client` and `server`, with what `options` adds.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn service(&self, options: ServiceOptions) -> Result<Arc<dyn Service>, Finding> {
        let (name, settings) = self.chosen(Interface::Service);
        let factory = self.shared.plugins.services.get(&name).map(|plugin| plugin.factory.clone());
        let factory = self.made(Interface::Service, &name, factory)?;
        let made = self.ends("make the service", factory(self.env.clone(), options, settings)).await?;
        self.made(Interface::Service, &name, made)
    }
}
