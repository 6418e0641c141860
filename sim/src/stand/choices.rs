//! Which plugins a scenario chooses, with defaults in place and options as plugins read them.

use std::collections::BTreeMap;

use shaketable_stack::Result;
use shaketable_stack::plugin::{Plugins, Promises, Setting, Settings, defaults};

use crate::scenario::model::{Choice, OptionValue, Stack};

/// A plugin and its options.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Name of the plugin.
    pub plugin: String,
    /// Its options, with the backend's addresses.
    pub settings: Settings,
}

/// One plugin for each interface.
#[derive(Clone, Debug)]
pub struct Choices {
    /// Transport.
    pub transport: Chosen,
    /// Codec.
    pub codec: Chosen,
    /// Registry.
    pub registry: Chosen,
    /// Selector.
    pub selector: Chosen,
    /// Broker.
    pub broker: Chosen,
    /// Client.
    pub client: Chosen,
    /// Server.
    pub server: Chosen,
    /// Service.
    pub service: Chosen,
}

impl Choices {
    /// What `stack` chooses, with defaults where it is silent.
    pub fn of(stack: &Stack) -> Self {
        Self {
            transport: chosen(stack.transport.as_ref(), defaults::TRANSPORT),
            codec: chosen(stack.codec.as_ref(), defaults::CODEC),
            registry: chosen(stack.registry.as_ref(), defaults::REGISTRY),
            selector: chosen(stack.selector.as_ref(), defaults::SELECTOR),
            broker: chosen(stack.broker.as_ref(), defaults::BROKER),
            client: chosen(stack.client.as_ref(), defaults::CLIENT),
            server: chosen(stack.server.as_ref(), defaults::SERVER),
            service: chosen(stack.service.as_ref(), defaults::SERVICE),
        }
    }

    /// What the chosen plugins promise, in the order of the interfaces.
    ///
    /// # Errors
    /// An unknown name.
    pub fn promises(&self, plugins: &Plugins) -> Result<Vec<(&'static str, Promises)>> {
        Ok(vec![
            ("transport", plugins.transports.get(&self.transport.plugin)?.promises.clone()),
            ("codec", plugins.codecs.get(&self.codec.plugin)?.promises.clone()),
            ("registry", plugins.registries.get(&self.registry.plugin)?.promises.clone()),
            ("selector", plugins.selectors.get(&self.selector.plugin)?.promises.clone()),
            ("broker", plugins.brokers.get(&self.broker.plugin)?.promises.clone()),
            ("client", plugins.clients.get(&self.client.plugin)?.promises.clone()),
            ("server", plugins.servers.get(&self.server.plugin)?.promises.clone()),
            ("service", plugins.services.get(&self.service.plugin)?.promises.clone()),
        ])
    }

    /// Gives `addresses` to every plugin whose promises name the backend `kind`.
    ///
    /// # Errors
    /// An unknown name.
    pub fn point_at(&mut self, plugins: &Plugins, kind: &str, addresses: &[String]) -> Result<()> {
        for (interface, promises) in self.promises(plugins)? {
            if promises.backend == Some(kind) {
                self.by_interface(interface).settings.addresses = addresses.to_vec();
            }
        }
        Ok(())
    }

    fn by_interface(&mut self, interface: &str) -> &mut Chosen {
        match interface {
            "transport" => &mut self.transport,
            "codec" => &mut self.codec,
            "registry" => &mut self.registry,
            "selector" => &mut self.selector,
            "broker" => &mut self.broker,
            "client" => &mut self.client,
            "server" => &mut self.server,
            _ => &mut self.service,
        }
    }
}

fn chosen(choice: Option<&Choice>, default: &str) -> Chosen {
    let options: BTreeMap<String, Setting> = choice
        .map(|choice| choice.options.iter().map(|(name, value)| (name.clone(), setting(value))).collect())
        .unwrap_or_default();
    Chosen {
        plugin: choice.map_or(default, |choice| choice.plugin.as_str()).to_owned(),
        settings: Settings::new(Vec::new(), options),
    }
}

fn setting(value: &OptionValue) -> Setting {
    match value {
        OptionValue::Bool(value) => Setting::Bool(*value),
        OptionValue::Integer(value) => Setting::Integer(*value),
        OptionValue::Number(value) => Setting::Number(*value),
        OptionValue::Text(value) => Setting::Text(value.clone()),
        OptionValue::Duration(value) => Setting::Duration(*value),
    }
}
