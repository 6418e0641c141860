//! Names, hosts, leases, the network and the phases.

use std::time::Duration;

use super::{Checker, shown};
use crate::world::{Capability, Distribution};

/// More hosts, a longer run or more steps are a slip, not a scenario. An engine that ticks visits every link of every host in
/// every step.
const HOSTS_MAX: u64 = 10_000;
const HOSTS_MAX_WITH_TICKS: u64 = 200;
const TIME_MAX: Duration = Duration::from_secs(3600);
const STEPS_MAX: u128 = 10_000_000;

impl Checker<'_> {
    pub(super) fn hosts(&mut self) {
        let scenario = self.scenario;
        self.label("name", &scenario.name, false);
        if scenario.seeds == 0 {
            self.error("seeds", "no seed, no run", "write 1 or more".to_owned());
        }
        if scenario.services.is_empty() {
            self.error("services", "there is no service", "write one, as in 'user: { replicas: 3 }'".to_owned());
        }
        for (name, service) in &scenario.services {
            let path = format!("services.{name}");
            self.label(&path, name, true);
            if service.replicas == 0 {
                self.error(&format!("{path}.replicas"), "a service without replicas", "write 1 or more".to_owned());
            }
            self.some_time(&format!("{path}.register_interval"), service.register_interval);
            if service.register_interval >= service.register_ttl {
                let (interval, ttl) = (shown(service.register_interval), shown(service.register_ttl));
                // Whichever of the two the file gives is shown.
                let given = self.tree.nearest(&format!("{path}.register_interval")).0;
                let field = match given.is_some_and(|key| key.name == "register_interval") {
                    true => "register_interval",
                    false => "register_ttl",
                };
                let path = format!("{path}.{field}");
                let message = format!("'{name}' is registered for {ttl} and renewed only every {interval}");
                self.error(&path, message, "let the register_interval be a third of the register_ttl".to_owned());
            }
        }
        for (name, clients) in &scenario.clients {
            let path = format!("clients.{name}");
            self.label(&path, name, true);
            if clients.count == 0 {
                self.error(&format!("{path}.count"), "clients without hosts", "write 1 or more".to_owned());
            }
            if scenario.services.contains_key(name) {
                let place = self.key(&path);
                self.problems.error(
                    &place,
                    format!("'{name}' is a service, too"),
                    "give one of them another name".to_owned(),
                );
            }
        }
        self.hosts_and_groups();
        self.network();
        self.phases();
    }

    /// Hosts get names of their own in the network's name lookup: letters, digits and hyphens.
    fn label(&mut self, path: &str, name: &str, is_key: bool) {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = !name.is_empty()
            && name.len() <= 50
            && name.bytes().all(plain)
            && name.as_bytes()[0].is_ascii_lowercase()
            && !name.ends_with('-');
        let place = if is_key { self.key(path) } else { self.place(path) };
        if !good {
            let mend = "write it in kebab-case: small letters, digits and hyphens, a letter first, at most 50";
            self.problems.error(&place, format!("'{name}' cannot be a name"), mend.to_owned());
        } else if is_key && (name == "world" || self.known_backends().contains(name)) {
            self.problems.error(&place, format!("'{name}' is taken"), "choose another name".to_owned());
        }
    }

    /// `user-1` as a group would be the first host of `user` as well.
    fn hosts_and_groups(&mut self) {
        let scenario = self.scenario;
        let services = scenario.services.iter().map(|(name, service)| ("services", name, service.replicas));
        let clients = scenario.clients.iter().map(|(name, clients)| ("clients", name, clients.count));
        let groups: Vec<_> = services.chain(clients).collect();
        let mut total = 0_u64;
        for (area, name, count) in groups {
            total = total.saturating_add(u64::from(count));
            let host_of = name.rsplit_once('-').filter(|(group, number)| {
                number
                    .parse()
                    .is_ok_and(|number: u32| self.size(group).is_some_and(|size| (1..=size).contains(&number)))
            });
            if let Some((group, _)) = host_of {
                let place = self.key(&format!("{area}.{name}"));
                let message = format!("'{name}' is a host of '{group}', too");
                self.problems.error(&place, message, "choose another name".to_owned());
            }
        }
        let most = if self.engine.ticks { HOSTS_MAX_WITH_TICKS } else { HOSTS_MAX };
        if total > most {
            let message = format!("{total} hosts; a world on engine {} holds at most {most}", self.engine.name);
            self.error("services", message, None);
        }
    }

    fn network(&mut self) {
        let network = &self.scenario.network;
        let quality = network.quality();
        self.quality("network", &quality);
        for (name, own) in [
            ("latency", !matches!(network.latency, Distribution::Uniform { .. })),
            ("loss", quality.loss > 0.0),
            ("duplicate", quality.duplicate > 0.0),
            ("reorder", quality.reorder > 0.0),
            ("corrupt", quality.corrupt > 0.0),
            ("bytes_per_second", quality.bandwidth.is_some()),
        ] {
            if own {
                self.capability(&format!("network.{name}"), Capability::LinkQuality);
            }
        }
        let tick = network.tick;
        self.some_time("network.tick", tick);
        if let Distribution::Uniform { max, .. } = network.latency
            && self.engine.ticks
            && tick > max
            && !max.is_zero()
        {
            let message = format!("steps of {} cannot show latencies of at most {}", shown(tick), shown(max));
            self.error("network.tick", message, format!("write {} or less", shown(max)));
        }
    }

    fn phases(&mut self) {
        let phases = &self.scenario.phases;
        self.some_time("phases.warmup", phases.warmup);
        self.some_time("phases.settle", phases.settle);
        if phases.shake.is_zero()
            && (!self.scenario.faults.is_empty() || self.scenario.load.iter().any(|load| load.churn.is_some()))
        {
            self.error("phases.shake", "faults and churn need a shake phase", "write it as 30s".to_owned());
        }
        let total = phases.warmup.saturating_add(phases.shake).saturating_add(phases.settle);
        if total > TIME_MAX {
            let message = format!("a run of {} is too long", shown(total));
            self.error("phases", message, format!("at most {} together", shown(TIME_MAX)));
        } else if !self.scenario.network.tick.is_zero()
            && total.as_nanos() / self.scenario.network.tick.as_nanos().max(1) > STEPS_MAX
        {
            let message = format!(
                "a run of {} in steps of {} has too many of them",
                shown(total),
                shown(self.scenario.network.tick)
            );
            self.error("network.tick", message, "take longer steps".to_owned());
        }
    }
}
