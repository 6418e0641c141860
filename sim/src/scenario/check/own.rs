//! Services that are the user's own: where they can run, what they are told, and what can be done with them.

use shaketable_stack::plugin::Plugins;

use super::{Checker, mend, shown};
use crate::load::http::Asked;
use crate::plan::words;
use crate::scenario::model::{Calls, ChurnAction, Runs, Service, placeholders};

impl Checker<'_> {
    pub(super) fn own_services(&mut self) {
        let scenario = self.scenario;
        for (name, service) in &scenario.services {
            if let Some(runs) = &service.runs {
                self.own_service(name, service, runs);
            }
        }
        for (index, load) in scenario.load.iter().enumerate() {
            let path = format!("load[{index}]");
            let on = [
                ("calls.from", load.calls.as_ref().map(|calls| &calls.from)),
                ("publish.from", load.publish.as_ref().map(|publish| &publish.from)),
                ("subscribe.on", load.subscribe.as_ref().map(|subscribe| &subscribe.on)),
                ("watch.on", load.watch.as_ref().map(|watch| &watch.on)),
            ];
            for (field, hosts) in on {
                if let Some((word, _)) = hosts.and_then(|hosts| self.own_in(hosts)) {
                    let message = format!("'{word}' is the user's own, and does only what it does by itself");
                    self.error(&format!("{path}.{field}"), message, "name clients, or a service of ours".to_owned());
                }
            }
            if let Some(calls) = &load.calls {
                self.what_is_asked(&format!("{path}.calls"), calls);
            }
            if let Some(churn) = load.churn.as_ref().filter(|churn| self.own_in(&churn.of).is_some()) {
                let able = [ChurnAction::Join, ChurnAction::Leave, ChurnAction::Flap];
                if churn.actions.iter().any(|action| !able.contains(action)) {
                    let message = format!("'{}' is the user's own, and cannot be told to change", churn.of);
                    let mend = "write some of join, leave, flap".to_owned();
                    self.error(&format!("{path}.churn.actions"), message, mend);
                }
            }
        }
        self.faults_on_own();
    }

    fn own_service(&mut self, name: &str, service: &Service, runs: &Runs) {
        let path = format!("services.{name}.runs");
        if !self.engine.is_live {
            let place = self.key(&path);
            let message = format!("the simulator cannot run '{name}', which is a program of the user's own");
            let mend = "run the file with '--world live', or leave 'runs' out for a service of ours".to_owned();
            self.problems.error(&place, message, mend);
            return;
        }
        match runs.kinds().as_slice() {
            [_] => {}
            [] => {
                let mend = "write one of command, image, url".to_owned();
                self.error(&path, format!("nothing says how '{name}' runs"), mend);
            }
            [_, other, ..] => {
                let place = self.key(&format!("{path}.{other}"));
                self.problems.error(&place, format!("'{name}' runs in two ways"), "leave one of them out".to_owned());
            }
        }
        if runs.command.as_ref().is_some_and(|command| command.line.first().is_none_or(String::is_empty)) {
            let mend = "write a program and its arguments, as in [./user, --port, '{port}']".to_owned();
            self.error(&format!("{path}.command.line"), "a command without a program", mend);
        }
        if runs.image.as_ref().is_some_and(|image| image.name.trim().is_empty()) {
            let mend = "write one, as in 'name: example/user:1.4'".to_owned();
            self.error(&format!("{path}.image.name"), "an image without a name", mend);
        }
        self.placeholders(&path, name, service, runs);
        self.url(&path, runs);
        self.registration(&path, name, runs);
        let readies = [
            ("command", runs.command.as_ref().map(|command| &command.ready)),
            ("image", runs.image.as_ref().map(|image| &image.ready)),
        ];
        for (kind, ready) in readies {
            let Some(ready) = ready else { continue };
            self.some_time(&format!("{path}.{kind}.ready.within"), ready.within);
            if ready.path.as_ref().is_some_and(|path| Asked::of(&format!("GET {path}")).is_none()) {
                let mend = "write it as /health".to_owned();
                self.error(&format!("{path}.{kind}.ready.path"), "this is no path", mend);
            }
        }
        if let Some(ttl) = runs.ttl {
            self.some_time(&format!("{path}.ttl"), ttl);
        }
    }

    fn placeholders(&mut self, path: &str, name: &str, service: &Service, runs: &Runs) {
        for (field, text) in runs.texts() {
            let path = format!("{path}.{field}");
            for word in placeholders(text) {
                if !Runs::PLACEHOLDERS.contains(&word.as_str()) {
                    let mend = mend(&word, Runs::PLACEHOLDERS.into_iter());
                    self.error(&path, format!("nothing stands for '{{{word}}}'"), mend);
                } else if runs.url.is_some() && word != "replica" {
                    let mend = "only '{replica}' stands for something in a url".to_owned();
                    self.error(&path, format!("nobody tells '{{{word}}}' to what somebody else runs"), mend);
                }
            }
        }
        let used = runs.placeholders();
        if runs.url.is_none() && !runs.kinds().is_empty() && !used.contains("port") {
            let message = format!("nothing tells '{name}' where to listen");
            let mend = "write '{port}' in 'line' or 'env', as in '--address=:{port}'".to_owned();
            self.error(path, message, mend);
        }
        if runs.url.is_some() && service.replicas > 1 && !used.contains("replica") {
            let message = format!("{} replicas of '{name}' at one address", service.replicas);
            let mend = "write '{replica}' in the url, or 'replicas: 1'".to_owned();
            self.error(&format!("{path}.url"), message, mend);
        }
    }

    fn url(&mut self, path: &str, runs: &Runs) {
        let Some(url) = &runs.url else { return };
        let at = url.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let is_good = at.and_then(|at| at.rsplit_once(':')).is_some_and(|(host, port)| {
            !host.is_empty()
                && !host.contains(['/', '@', ' '])
                && (port.parse::<u16>().is_ok_and(|port| port > 0) || !placeholders(port).is_empty())
        });
        if !is_good {
            let mend = "write it as http://HOST:PORT; what is encrypted cannot be listened to".to_owned();
            self.error(&format!("{path}.url"), format!("'{url}' says nowhere to go"), mend);
        }
    }

    /// Who registers itself needs a server to register at.
    fn registration(&mut self, path: &str, name: &str, runs: &Runs) {
        if runs.url.is_some() && runs.registers_itself() {
            let mend = "leave 'registered_by' out: shaketable registers it in the run's own registry".to_owned();
            let message = format!(
                "what somebody else runs knows nothing of the registry of the run, so '{name}' cannot register"
            );
            self.error(&format!("{path}.registered_by"), message, mend);
            return;
        }
        let needs = runs.registers_itself() || runs.placeholders().contains("registry");
        let without = self.registries().into_iter().find(|registry| !has_server(self.plugins, registry));
        if let Some(registry) = without.filter(|_| needs) {
            let message = format!("'{name}' cannot reach registry '{registry}', which has no server");
            let mend =
                "choose 'registry: etcd', or write 'registered_by: shaketable' and leave '{registry}' out".to_owned();
            self.error(path, message, mend);
        }
        let own = ["version", "metadata", "register_ttl", "register_interval"];
        for field in own.into_iter().filter(|_| runs.registers_itself()) {
            let field = format!("services.{name}.{field}");
            if self.is_given(&field) {
                let place = self.key(&field);
                let message = format!("'{name}' registers itself, as it likes");
                let mend = "leave this out; 'ttl' in 'runs' says what it is to ask for".to_owned();
                self.problems.error(&place, message, mend);
            }
        }
        if let Some(ttl) = runs.ttl.filter(|_| !runs.registers_itself()) {
            let message = format!("'{name}' asks for nothing, so it cannot ask for {}", shown(ttl));
            self.error(&format!("{path}.ttl"), message, "write 'register_ttl' beside 'runs'".to_owned());
        }
    }

    /// Whether the file says something at `path`.
    fn is_given(&self, path: &str) -> bool {
        let field = path.rsplit('.').next().unwrap_or_default();
        self.tree.nearest(path).0.is_some_and(|key| key.name == field)
    }

    fn registries(&self) -> Vec<String> {
        match self.scenario.matrix.get("registry") {
            Some(names) => names.clone(),
            None => vec![self.scenario.stack.plugin("registry").to_owned()],
        }
    }

    fn what_is_asked(&mut self, path: &str, calls: &Calls) {
        let is_own = self.own_in(&calls.to).is_some();
        if let Some(http) = &calls.http {
            let field = format!("{path}.http");
            if Asked::of(http).is_none() {
                let mend = "write a method and a path, as in 'GET /users/1'".to_owned();
                self.error(&field, format!("'{http}' is no request"), mend);
            } else if !is_own && self.scenario.services.contains_key(&calls.to) {
                let message = format!("'{}' speaks the stack's own protocol", calls.to);
                self.error(&field, message, "leave this out".to_owned());
            }
        }
        if calls.http.is_some() && calls.endpoint.is_some() {
            let place = self.key(&format!("{path}.endpoint"));
            let mend = "leave one of 'http' and 'endpoint' out".to_owned();
            self.problems.error(&place, "calls that ask for two things", mend);
        }
        let says = calls.http.is_some() || calls.endpoint.is_some();
        for (field, given) in [("body", calls.body.is_some()), ("content_type", calls.content_type.is_some())] {
            if given && !says {
                let place = self.key(&format!("{path}.{field}"));
                let mend = "write 'http' or 'endpoint', too".to_owned();
                self.problems.error(&place, "the probe has a body of its own", mend);
            }
        }
        if says && calls.stream_messages.is_some() {
            let place = self.key(&format!("{path}.stream_messages"));
            let mend = "leave it out; only the probe gives back what it is sent".to_owned();
            self.problems.error(&place, "nothing is known of streams of others", mend);
        }
        let is_json = calls.content_type.as_ref().is_none_or(|kind| kind.ends_with("json"));
        if calls.endpoint.is_some()
            && is_json
            && calls.body.as_ref().is_some_and(|body| serde_json::from_str::<serde_json::Value>(body).is_err())
            && calls.content_type.is_some()
        {
            self.error(&format!("{path}.body"), "this is no JSON", "or name another 'content_type'".to_owned());
        }
    }

    fn faults_on_own(&mut self) {
        let scenario = self.scenario;
        for (index, fault) in scenario.faults.iter().enumerate() {
            let skew = fault.skew.as_ref().map(|skew| &skew.host);
            if let Some((word, _)) = skew.and_then(|hosts| self.own_in(hosts)) {
                let message = format!("the date of '{word}', which is the user's own, is this machine's");
                let mend = "name hosts of ours".to_owned();
                self.error(&format!("faults[{index}].skew.host"), message, mend);
            }
            let to_process = [
                ("crash", fault.crash.as_ref().map(|crash| &crash.host)),
                ("restart", fault.restart.as_ref().map(|restart| &restart.host)),
                ("pause", fault.pause.as_ref().map(|pause| &pause.host)),
            ];
            for (kind, hosts) in to_process {
                let found = hosts.and_then(|hosts| self.own_in(hosts));
                if let Some((word, _)) = found.filter(|(_, runs)| runs.url.is_some()) {
                    let message = format!("somebody else runs '{word}', and nobody here can {kind} it");
                    let mend = "partition, hold, latency and reset can be done to the way to it".to_owned();
                    self.error(&format!("faults[{index}].{kind}.host"), message, mend);
                }
            }
        }
    }

    /// The first of `hosts` whose service is the user's own.
    fn own_in<'h>(&self, hosts: &'h str) -> Option<(&'h str, &Runs)> {
        words(hosts).find_map(|word| {
            let group = self.group(word).unwrap_or(word);
            Some((word, self.scenario.services.get(group)?.runs.as_ref()?))
        })
    }
}

fn has_server(plugins: &Plugins, registry: &str) -> bool {
    // One that is unknown is told elsewhere.
    plugins.registries.get(registry).map_or(true, |plugin| plugin.promises.backend.is_some())
}
