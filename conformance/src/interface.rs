//! The eight interfaces by name.

use std::fmt;
use std::str::FromStr;

use shaketable_stack::Result;
use shaketable_stack::plugin::{Plugins, Promises, nearest};

/// One of the eight interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// Messages between two hosts.
    Transport,
    /// Messages and bodies to bytes and back.
    Codec,
    /// Which services exist and at which nodes.
    Registry,
    /// Which node serves the next request.
    Selector,
    /// Events to everyone who subscribed.
    Broker,
    /// Calls and streams to services by name.
    Client,
    /// Receives requests and events.
    Server,
    /// Client and server as one.
    Service,
}

impl Interface {
    /// All of them, in the order in which they stand on each other.
    pub const ALL: [Self; 8] = [
        Self::Transport,
        Self::Codec,
        Self::Registry,
        Self::Selector,
        Self::Broker,
        Self::Client,
        Self::Server,
        Self::Service,
    ];

    /// What people write: `registry`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Codec => "codec",
            Self::Registry => "registry",
            Self::Selector => "selector",
            Self::Broker => "broker",
            Self::Client => "client",
            Self::Server => "server",
            Self::Service => "service",
        }
    }

    /// What the plugin called `name` promises.
    ///
    /// # Errors
    /// `UnknownPlugin`, with the names that exist.
    pub fn promises(self, plugins: &Plugins, name: &str) -> Result<Promises> {
        Ok(match self {
            Self::Transport => plugins.transports.get(name)?.promises.clone(),
            Self::Codec => plugins.codecs.get(name)?.promises.clone(),
            Self::Registry => plugins.registries.get(name)?.promises.clone(),
            Self::Selector => plugins.selectors.get(name)?.promises.clone(),
            Self::Broker => plugins.brokers.get(name)?.promises.clone(),
            Self::Client => plugins.clients.get(name)?.promises.clone(),
            Self::Server => plugins.servers.get(name)?.promises.clone(),
            Self::Service => plugins.services.get(name)?.promises.clone(),
        })
    }

    /// The names of the plugins that there are of this interface, in order.
    pub fn plugins(self, plugins: &Plugins) -> Vec<String> {
        fn names<F: ?Sized>(table: &shaketable_stack::plugin::Table<F>) -> Vec<String> {
            table.names().map(str::to_owned).collect()
        }
        match self {
            Self::Transport => names(&plugins.transports),
            Self::Codec => names(&plugins.codecs),
            Self::Registry => names(&plugins.registries),
            Self::Selector => names(&plugins.selectors),
            Self::Broker => names(&plugins.brokers),
            Self::Client => names(&plugins.clients),
            Self::Server => names(&plugins.servers),
            Self::Service => names(&plugins.services),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Interface {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Some(interface) = Self::ALL.into_iter().find(|interface| interface.as_str() == text) {
            return Ok(interface);
        }
        let names = Self::ALL.map(Self::as_str);
        let mend = match nearest(text, names.into_iter()) {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None => format!("there are: {}", names.join(", ")),
        };
        Err(format!("no interface is called '{text}'; {mend}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Interface;

    #[test]
    fn an_interface_survives_its_name_and_a_slip_is_mended() {
        for interface in Interface::ALL {
            assert_eq!(interface.to_string().parse(), Ok(interface));
        }
        assert!("regstry".parse::<Interface>().unwrap_err().contains("did you mean 'registry'?"));
    }
}
