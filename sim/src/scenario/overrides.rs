//! The cases of a scenario's matrix, and what a person sets on the command line: both choose plugins by interface.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use shaketable_stack::plugin::{defaults, nearest};

use super::model::{Choice, Scenario, Stack};

/// The eight interfaces as a scenario file names them.
pub const INTERFACES: [&str; 8] =
    ["transport", "codec", "registry", "selector", "broker", "client", "server", "service"];

/// Plugins by interface, in the order of the interfaces' names; prints and parses as `broker=http,registry=etcd`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Overrides(BTreeMap<String, String>);

impl Overrides {
    /// Chooses `plugin` for `interface`, whatever was chosen before.
    ///
    /// # Errors
    /// A sentence with the mend for an unknown interface or a name that cannot be printed.
    pub fn set(&mut self, interface: &str, plugin: &str) -> Result<(), String> {
        known(interface)?;
        if plugin.is_empty() || plugin.contains([',', '=']) || plugin.trim() != plugin {
            return Err(format!("'{plugin}' cannot be the name of a plugin"));
        }
        self.0.insert(interface.to_owned(), plugin.to_owned());
        Ok(())
    }

    /// Chooses what `others` choose as well, theirs before ours.
    pub fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.clone());
    }

    /// Interfaces and plugins.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(interface, plugin)| (interface.as_str(), plugin.as_str()))
    }

    /// Whether nothing is chosen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn known(interface: &str) -> Result<(), String> {
    if INTERFACES.contains(&interface) {
        return Ok(());
    }
    let mend = match nearest(interface, INTERFACES.into_iter()) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => format!("there are: {}", INTERFACES.join(", ")),
    };
    Err(format!("there is no interface '{interface}'; {mend}"))
}

impl fmt::Display for Overrides {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(|(interface, plugin)| format!("{interface}={plugin}")).collect();
        formatter.write_str(&words.join(","))
    }
}

impl FromStr for Overrides {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut overrides = Self::default();
        for word in text.split(',').filter(|word| !word.trim().is_empty()) {
            let (interface, plugin) = word
                .split_once('=')
                .ok_or_else(|| format!("'{}' sets nothing; write it as registry=etcd", word.trim()))?;
            let interface = interface.trim();
            if overrides.0.contains_key(interface) {
                return Err(format!("'{interface}' is set twice"));
            }
            overrides.set(interface, plugin.trim())?;
        }
        Ok(overrides)
    }
}

impl Scenario {
    /// The combinations of the matrix, in order, the last interface changing fastest; without a matrix one that sets
    /// nothing. A plugin that stands twice makes one case.
    pub fn cases(&self) -> Vec<Overrides> {
        let mut cases = vec![Overrides::default()];
        for (interface, plugins) in self.matrix.iter().filter(|(_, plugins)| !plugins.is_empty()) {
            let mut more: Vec<Overrides> = Vec::new();
            for case in &cases {
                for plugin in plugins {
                    let mut case = case.clone();
                    case.0.insert(interface.clone(), plugin.clone());
                    if !more.contains(&case) {
                        more.push(case);
                    }
                }
            }
            cases = more;
        }
        cases
    }

    /// The scenario with `overrides`: they win over `stack`, and their interfaces leave the matrix. Options stay where the
    /// plugin stays the same; another plugin has other options.
    pub fn apply(&self, overrides: &Overrides) -> Self {
        let mut scenario = self.clone();
        for (interface, plugin) in overrides.iter() {
            scenario.matrix.remove(interface);
            if let Some(slot) = scenario.stack.slot(interface)
                && slot.as_ref().is_none_or(|choice| choice.plugin != plugin)
            {
                *slot = Some(Choice { plugin: plugin.to_owned(), options: BTreeMap::new() });
            }
        }
        scenario
    }
}

impl Stack {
    /// What is chosen for `interface`, one of [`INTERFACES`].
    pub fn choice(&self, interface: &str) -> Option<&Choice> {
        match interface {
            "transport" => self.transport.as_ref(),
            "codec" => self.codec.as_ref(),
            "registry" => self.registry.as_ref(),
            "selector" => self.selector.as_ref(),
            "broker" => self.broker.as_ref(),
            "client" => self.client.as_ref(),
            "server" => self.server.as_ref(),
            "service" => self.service.as_ref(),
            _ => None,
        }
    }

    /// The plugin that applies for `interface`: what is chosen, or the default of a world without addresses.
    pub fn plugin(&self, interface: &str) -> &str {
        self.choice(interface).map_or_else(|| default(interface), |choice| choice.plugin.as_str())
    }

    fn slot(&mut self, interface: &str) -> Option<&mut Option<Choice>> {
        Some(match interface {
            "transport" => &mut self.transport,
            "codec" => &mut self.codec,
            "registry" => &mut self.registry,
            "selector" => &mut self.selector,
            "broker" => &mut self.broker,
            "client" => &mut self.client,
            "server" => &mut self.server,
            "service" => &mut self.service,
            _ => return None,
        })
    }
}

fn default(interface: &str) -> &'static str {
    match interface {
        "transport" => defaults::TRANSPORT,
        "codec" => defaults::CODEC,
        "registry" => defaults::REGISTRY,
        "selector" => defaults::SELECTOR,
        "broker" => defaults::BROKER,
        "client" => defaults::CLIENT,
        "server" => defaults::SERVER,
        "service" => defaults::SERVICE,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::Overrides;
    use crate::scenario::parse;

    #[test]
    fn the_matrix_is_every_combination() {
        let text = "name: x\nstack: { registry: { plugin: etcd, options: { timeout: 2s } } }\n\
                    matrix: { registry: [memory, etcd], broker: [memory, http, memory] }\nservices: {}\nexpect: {}\n";
        let scenario = parse("x.yaml", text).unwrap();
        let cases: Vec<_> = scenario.cases().iter().map(ToString::to_string).collect();
        assert_eq!(
            cases,
            [
                "broker=memory,registry=memory",
                "broker=memory,registry=etcd",
                "broker=http,registry=memory",
                "broker=http,registry=etcd"
            ]
        );
        let memory = scenario.apply(&cases[0].parse().unwrap());
        assert_eq!((memory.stack.plugin("registry"), memory.matrix.len()), ("memory", 0));
        let etcd = scenario.apply(&"registry=etcd".parse().unwrap());
        assert_eq!(etcd.stack.registry, scenario.stack.registry, "its options stay");
        assert_eq!(etcd.cases().len(), 2, "the broker is still open");
        assert_eq!(memory.cases(), [Overrides::default()]);
    }

    #[test]
    fn what_cannot_be_set_is_refused_with_the_mend() {
        let error = |text: &str| text.parse::<Overrides>().unwrap_err();
        assert_eq!(error("regstry=etcd"), "there is no interface 'regstry'; did you mean 'registry'?");
        assert_eq!(error("etcd"), "'etcd' sets nothing; write it as registry=etcd");
        assert_eq!(error("registry=etcd,registry=memory"), "'registry' is set twice");
        assert_eq!(error("registry="), "'' cannot be the name of a plugin");
        assert!("".parse::<Overrides>().unwrap().is_empty());
    }
}
