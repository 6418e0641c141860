//! Plugins by name: they exist, may run in the simulator, and leave something to shake.

use std::collections::BTreeSet;

use shaketable_stack::plugin::{Plugins, Promises, Simulatable, Table};

use super::{Checker, mend};
use crate::scenario::overrides::INTERFACES;

/// More cases are a slip, not a matrix.
const CASES_MAX: usize = 64;

impl Checker<'_> {
    pub(super) fn plugins(&mut self) {
        let scenario = self.scenario;
        let mut cases = 1_usize;
        for (interface, names) in &scenario.matrix {
            let path = format!("matrix.{interface}");
            if !INTERFACES.contains(&interface.as_str()) {
                let place = self.key(&path);
                let mend = mend(interface, INTERFACES.into_iter());
                self.problems.error(&place, format!("there is no interface '{interface}'"), mend);
                continue;
            }
            if names.is_empty() {
                self.error(&path, format!("no {interface} is named"), "name one, or leave the line out".to_owned());
            }
            let mut seen = BTreeSet::new();
            for (index, name) in names.iter().enumerate() {
                let path = format!("{path}[{index}]");
                self.plugin(&path, interface, name);
                if !seen.insert(name) {
                    self.warning(&path, format!("'{name}' stands here twice"), "it runs once all the same".to_owned());
                }
            }
            if let Some(choice) = scenario.stack.choice(interface).filter(|choice| !names.contains(&choice.plugin)) {
                let message = format!("'{}' is never used: the matrix chooses the {interface}", choice.plugin);
                self.warning(&format!("stack.{interface}"), message, None);
            }
            cases = cases.saturating_mul(seen.len().max(1));
        }
        if cases > CASES_MAX {
            self.error("matrix", format!("the matrix has {cases} cases; at most {CASES_MAX} are run"), None);
        }
        for interface in INTERFACES.into_iter().filter(|interface| !scenario.matrix.contains_key(*interface)) {
            let path = match scenario.stack.choice(interface) {
                Some(choice) if choice.options.is_empty() => format!("stack.{interface}"),
                Some(_) => format!("stack.{interface}.plugin"),
                None => "stack".to_owned(),
            };
            self.plugin(&path, interface, scenario.stack.plugin(interface));
        }
        self.nothing_shaken();
    }

    fn plugin(&mut self, path: &str, interface: &str, name: &str) {
        match promises(self.plugins, interface, name) {
            Ok(promises) => {
                self.backends.extend(promises.backend);
                if let Simulatable::No(reason) = promises.simulatable
                    && !self.engine.is_live
                {
                    let message = format!("{interface} '{name}' cannot run in the simulator: {reason}");
                    self.error(path, message, "choose one that reaches the outside through its Env".to_owned());
                }
            }
            Err(mend) => self.error(path, format!("no {interface} is called '{name}'"), mend),
        }
    }

    /// Every name that an interface may have in the cases of the matrix.
    fn chosen(&self, interface: &str) -> Vec<&str> {
        match self.scenario.matrix.get(interface) {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => vec![self.scenario.stack.plugin(interface)],
        }
    }

    /// Whether each choice for `interface` keeps its state in the world, out of reach of the network.
    fn shared(&self, interface: &str) -> bool {
        let shared = |name| promises(self.plugins, interface, name).is_ok_and(|promises| promises.shared_state);
        self.chosen(interface).into_iter().all(shared)
    }

    /// Warns of faults of the network where nothing that the loads use goes over it.
    fn nothing_shaken(&mut self) {
        let scenario = self.scenario;
        let network_only = scenario.faults.iter().all(|fault| {
            fault.crash.is_none() && fault.restart.is_none() && fault.pause.is_none() && fault.lease_lost.is_none()
        });
        let calls = scenario.load.iter().any(|load| load.calls.is_some());
        let events = scenario.load.iter().any(|load| load.publish.is_some() || load.subscribe.is_some());
        let exempt = self.shared("registry")
            && (!calls || self.shared("transport") && self.chosen("client") == ["rpc"])
            && (!events || self.shared("broker"));
        if !scenario.faults.is_empty() && network_only && exempt {
            let message = "this shakes nothing: the state of memory plugins belongs to the world, and no network fault touches it";
            let mend = "choose a plugin that uses the network, or crash a host".to_owned();
            self.warning("faults", message, mend);
        }
    }

    /// Every kind of backend that some plugin of this build needs.
    pub(super) fn known_backends(&self) -> BTreeSet<&'static str> {
        fn of<F: ?Sized>(table: &Table<F>) -> impl Iterator<Item = &'static str> {
            table.iter().filter_map(|plugin| plugin.promises.backend)
        }
        of(&self.plugins.registries)
            .chain(of(&self.plugins.brokers))
            .chain(of(&self.plugins.transports))
            .chain(of(&self.plugins.selectors))
            .collect()
    }
}

/// What a plugin promises, or what to write instead of its name.
fn promises<'a>(plugins: &'a Plugins, interface: &str, name: &str) -> Result<&'a Promises, String> {
    fn of<'a, F: ?Sized>(table: &'a Table<F>, name: &str) -> Result<&'a Promises, String> {
        table.get(name).map(|plugin| &plugin.promises).map_err(|_| table.mend(name))
    }
    match interface {
        "transport" => of(&plugins.transports, name),
        "codec" => of(&plugins.codecs, name),
        "registry" => of(&plugins.registries, name),
        "selector" => of(&plugins.selectors, name),
        "broker" => of(&plugins.brokers, name),
        "client" => of(&plugins.clients, name),
        "server" => of(&plugins.servers, name),
        _ => of(&plugins.services, name),
    }
}
