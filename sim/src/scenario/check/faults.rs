//! Faults: one kind and one time each, within the shake phase, on hosts that there are, and such as the engine can do.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Checker, mend, shown};
use crate::plan::faults::OCCURRENCES_MAX;
use crate::plan::words;
use crate::scenario::model::{Fault, HowDown, Partition};
use crate::world::{self, Capability, Distribution, LinkQuality};

/// What takes longer is kept back, not slow.
const LATENCY_MAX: Duration = Duration::from_secs(60);

const QUALITIES: &str = "one or more of latency, loss, duplicate, reorder, corrupt, bytes_per_second";

impl Checker<'_> {
    pub(super) fn faults(&mut self) {
        let scenario = self.scenario;
        for (index, fault) in scenario.faults.iter().enumerate() {
            let path = format!("faults[{index}]");
            let kinds = kinds(fault);
            match kinds.as_slice() {
                [("toxic", _)] if !self.engine.is_live => self.toxic_in_the_simulator(&path, fault),
                [(kind, capability)] => self.capability(&format!("{path}.{kind}"), *capability),
                [] => {
                    let mend = "write one of crash, restart, pause, partition, hold, latency, loss, reset, link, \
                                skew, lease_lost, backend_restart, backend_pause, \
                                compaction, leader_lost, toxic";
                    self.error(&path, "a fault without a kind", mend.to_owned());
                }
                _ => {
                    let mend = "make each an entry of its own, with a '-'".to_owned();
                    self.error(&path, "a fault of more than one kind", mend);
                }
            }
            self.times(&path, fault);
            self.targets(&path, fault);
            if self.engine.is_live && !self.never_runs() {
                self.real_members(&path, fault);
            }
        }
    }

    pub(super) fn capability(&mut self, path: &str, capability: Capability) {
        if self.engine.capabilities.contains(&capability) || self.never_runs() {
            return;
        }
        if self.engine.is_live {
            let place = self.key(path);
            let mend = "'live: { never_because: … }' leaves the file out of live runs".to_owned();
            return self.problems.error(&place, format!("a live world cannot {capability}"), mend);
        }
        let able: Vec<_> = self
            .engines
            .iter()
            .filter(|engine| engine.capabilities.contains(&capability))
            .map(|engine| engine.name)
            .collect();
        let mend = match able.as_slice() {
            [] => "no engine of this build can".to_owned(),
            able => {
                let able = able.join(", ");
                format!("engine {able} can; 'needs: {{ engine: {able}, because: … }}' leaves the file out on others")
            }
        };
        let place = self.key(path);
        self.problems.error(&place, format!("engine {} cannot {capability}", self.engine.name), mend);
    }

    fn times(&mut self, path: &str, fault: &Fault) {
        let shake = self.scenario.phases.shake;
        match (fault.at, fault.every, fault.between) {
            (None, None, None) => {
                let mend = "write 'at', 'every', or 'between' for one random time".to_owned();
                self.error(path, "a fault without a time", mend);
            }
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                let mend = "'at' stands alone; 'between' may stand with 'every'".to_owned();
                self.error(&format!("{path}.at"), "a fault with two times", mend);
            }
            _ => {}
        }
        if let Some(at) = fault.at {
            self.within_shake(&format!("{path}.at"), at, at < shake);
        }
        if let Some(between) = fault.between {
            if between.from >= between.to {
                let message = format!("the span ends at {} and begins at {}", shown(between.to), shown(between.from));
                self.error(&format!("{path}.between.to"), message, "swap them".to_owned());
            }
            self.within_shake(&format!("{path}.between.to"), between.to, between.to <= shake);
        }
        if let Some(every) = fault.every {
            self.some_time(&format!("{path}.every"), every);
            let (from, to) = fault.between.map_or((Duration::ZERO, shake), |between| (between.from, between.to));
            let count = to.saturating_sub(from).as_nanos() / every.as_nanos().max(1);
            if count > OCCURRENCES_MAX as u128 && !every.is_zero() {
                self.error(
                    &format!("{path}.every"),
                    "the fault happens too often",
                    format!("at most {OCCURRENCES_MAX} times"),
                );
            }
        }
        if let Some(lasting) = fault.lasting {
            self.some_time(&format!("{path}.for"), lasting);
            let at_once = fault.restart.is_some() || fault.reset.is_some();
            if at_once || fault.lease_lost.is_some() || fault.compaction.is_some() {
                let place = self.key(&format!("{path}.for"));
                self.problems.error(
                    &place,
                    "this fault has no end that could be put off",
                    "leave 'for' out".to_owned(),
                );
            }
        }
    }

    /// Refuses what nobody can do to the members of a real cluster, which are no hosts of ours and talk past us.
    fn real_members(&mut self, path: &str, fault: &Fault) {
        let hosts = [
            ("crash", fault.crash.as_ref().map(|crash| &crash.host), "write 'backend_restart'"),
            ("restart", fault.restart.as_ref().map(|restart| &restart.host), "write 'backend_restart' with 'for'"),
            ("pause", fault.pause.as_ref().map(|pause| &pause.host), "write 'backend_pause'"),
            (
                "skew",
                fault.skew.as_ref().map(|skew| &skew.host),
                "leave it out: nobody touches the clock of a real server",
            ),
        ];
        for (kind, host, mend) in hosts {
            if let Some(word) = host.and_then(|host| words(host).find(|word| self.is_clustered(word))) {
                let message = format!("in a live world '{word}' is a real server, and no host");
                self.error(&format!("{path}.{kind}.host"), message, mend.to_owned());
            }
        }
        let links = [
            ("partition", fault.partition.as_ref().map(|partition| partition.groups.iter().collect())),
            ("hold", fault.hold.as_ref().map(|hold| vec![&hold.a, &hold.b])),
            ("latency", fault.latency.as_ref().map(|latency| vec![&latency.a, &latency.b])),
            ("reset", fault.reset.as_ref().map(|reset| vec![&reset.a, &reset.b])),
            ("toxic", fault.toxic.as_ref().map(|toxic| vec![&toxic.a, &toxic.b])),
        ];
        for (kind, sides) in links {
            let kinds_of = |side: &String| -> BTreeSet<String> {
                let members = words(side).filter(|word| self.is_clustered(word));
                members.map(|word| self.group(word).unwrap_or(word).to_owned()).collect()
            };
            let of_sides: Vec<_> = sides.iter().flatten().map(|side| kinds_of(side)).collect();
            let twice = |kind: &&String| of_sides.iter().filter(|kinds| kinds.contains(*kind)).count() > 1;
            if let Some(kind_of_both) = of_sides.iter().flatten().find(twice).cloned() {
                let message =
                    format!("members of '{kind_of_both}' on two sides, and in a live world nobody stands between them");
                let mend = "'live: { never_because: … }' leaves the file out of live runs".to_owned();
                self.error(&format!("{path}.{kind}"), message, mend);
            }
        }
    }

    fn within_shake(&mut self, path: &str, time: Duration, good: bool) {
        if !good {
            let shake = shown(self.scenario.phases.shake);
            let message = format!("{} lies past the end of the shake phase, which takes {shake}", shown(time));
            self.error(path, message, "times count from the start of the shake phase".to_owned());
        }
    }

    fn targets(&mut self, path: &str, fault: &Fault) {
        let hosts = [
            ("crash", fault.crash.as_ref().map(|crash| &crash.host)),
            ("restart", fault.restart.as_ref().map(|restart| &restart.host)),
            ("lease_lost", fault.lease_lost.as_ref().map(|lease| &lease.host)),
            ("pause", fault.pause.as_ref().map(|pause| &pause.host)),
            ("skew", fault.skew.as_ref().map(|skew| &skew.host)),
        ];
        for (kind, host) in hosts {
            if let Some(host) = host {
                self.members_or(&format!("{path}.{kind}.host"), host, false, kind != "lease_lost");
            }
        }
        if let Some(lease) = &fault.lease_lost
            && words(&lease.host).all(|word| !self.is_service(word))
        {
            let message = format!("'{}' registers nothing that could be lost", lease.host);
            self.error(&format!("{path}.lease_lost.host"), message, "name a service or one of its hosts".to_owned());
        }
        let links = [
            ("hold", fault.hold.as_ref().map(|hold| (&hold.a, &hold.b))),
            ("latency", fault.latency.as_ref().map(|latency| (&latency.a, &latency.b))),
            ("loss", fault.loss.as_ref().map(|loss| (&loss.a, &loss.b))),
            ("reset", fault.reset.as_ref().map(|reset| (&reset.a, &reset.b))),
            ("link", fault.link.as_ref().map(|link| (&link.a, &link.b))),
            ("toxic", fault.toxic.as_ref().map(|toxic| (&toxic.a, &toxic.b))),
        ];
        for (kind, sides) in links {
            if let Some((a, b)) = sides {
                self.members(&format!("{path}.{kind}.a"), a, true);
                self.members(&format!("{path}.{kind}.b"), b, true);
                self.apart(&format!("{path}.{kind}.b"), &[a, b]);
            }
        }
        if let Some(loss) = &fault.loss {
            self.share(&format!("{path}.loss.probability"), loss.probability);
        }
        if let Some(latency) = fault.latency.as_ref().filter(|latency| latency.latency > LATENCY_MAX) {
            let message = format!("{} is no latency", shown(latency.latency));
            self.error(
                &format!("{path}.latency.latency"),
                message,
                "at most 1m; to keep messages back, write 'hold'".to_owned(),
            );
        }
        if let Some(link) = &fault.link {
            let path = format!("{path}.link");
            if link.quality() == LinkQuality::default() {
                self.error(&path, "a link that does nothing else than the network", format!("write {QUALITIES}"));
            }
            self.quality(&path, &link.quality());
        }
        if let Some(toxic) = &fault.toxic {
            self.toxic(&format!("{path}.toxic"), toxic);
        }
        if let Some(skew) = fault.skew.as_ref().filter(|skew| skew.by.span.is_zero()) {
            let mend = format!("write how far the date of {} is ahead, as 90s, or behind, as -1h", skew.host);
            self.error(&format!("{path}.skew.by"), "a date that is right", mend);
        }
        if let Some(partition) = &fault.partition {
            self.partition(&format!("{path}.partition"), partition);
        }
        if let Some(restart) = &fault.backend_restart {
            self.backend(&format!("{path}.backend_restart.backend"), &restart.backend);
        }
        if let Some(pause) = &fault.backend_pause {
            self.backend(&format!("{path}.backend_pause.backend"), &pause.backend);
        }
        if let Some(compaction) = &fault.compaction {
            let path = format!("{path}.compaction.backend");
            if let Some((kind, _)) = compaction.backend.rsplit_once('-').filter(|(kind, _)| self.is_clustered(kind)) {
                let message = format!("'{}' is a member, and all of them forget together", compaction.backend);
                self.error(&path, message, format!("write '{kind}'"));
            } else {
                self.backend(&path, &compaction.backend);
            }
        }
        if let Some(lost) = &fault.leader_lost {
            let path = format!("{path}.leader_lost.backend");
            let is_kind = self.backends.contains(lost.backend.as_str());
            if !is_kind && self.backend_members(&lost.backend).is_some() {
                let message = format!("'{}' is a member, and need not be the one that leads", lost.backend);
                self.error(&path, message, "name the backend, or write 'backend_restart'".to_owned());
            } else if is_kind && !self.is_clustered(&lost.backend) {
                let message = format!("'{}' has one member, which leads alone", lost.backend);
                let mend = format!("write 'backends: {{ {}: {{ members: 3 }} }}', or 'backend_restart'", lost.backend);
                self.error(&path, message, mend);
            } else if !is_kind {
                self.backend(&path, &lost.backend);
            }
        }
    }

    /// What is said of the packets of a link, under `path`.
    pub(super) fn quality(&mut self, path: &str, quality: &LinkQuality) {
        for (name, probability) in [
            ("loss", quality.loss),
            ("duplicate", quality.duplicate),
            ("reorder", quality.reorder),
            ("corrupt", quality.corrupt),
        ] {
            self.share(&format!("{path}.{name}"), probability);
        }
        if let Some(latency) = quality.latency {
            self.distribution(&format!("{path}.latency"), latency);
        }
        if quality.bandwidth == Some(0) {
            self.error(
                &format!("{path}.bytes_per_second"),
                "a link that carries nothing",
                "to cut hosts off, write 'partition'".to_owned(),
            );
        }
        if quality.queue.is_some() && quality.bandwidth.is_none() {
            self.error(
                &format!("{path}.queue_bytes"),
                "nothing waits for a link that carries any amount",
                "write bytes_per_second, too".to_owned(),
            );
        }
    }

    fn distribution(&mut self, path: &str, latency: Distribution) {
        let (longest, place) = match latency {
            Distribution::Uniform { min, max } => {
                if min > max {
                    let message = format!("the smallest latency, {}, is above the largest, {}", shown(min), shown(max));
                    self.error(&format!("{path}.min"), message, "swap them".to_owned());
                }
                (max, "max")
            }
            Distribution::Normal { mean, deviation } => (mean.max(deviation), "mean"),
            Distribution::LongTail { median, p99 } => {
                if median.is_zero() || p99 < median {
                    let mend = "half of all packets take up to 'median', 99 of 100 up to 'p99'".to_owned();
                    self.error(&format!("{path}.p99"), "no long tail has this median and this p99", mend);
                }
                (p99, "p99")
            }
        };
        if longest > LATENCY_MAX {
            let message = format!("{} is no latency", shown(longest));
            let mend = "at most 1m; to keep messages back, write 'hold'".to_owned();
            self.error(&format!("{path}.{place}"), message, mend);
        }
    }

    fn is_service(&self, word: &str) -> bool {
        self.scenario.services.contains_key(self.group(word).unwrap_or(word))
    }

    fn partition(&mut self, path: &str, partition: &Partition) {
        let path = format!("{path}.groups");
        for (index, group) in partition.groups.iter().enumerate() {
            self.members(&format!("{path}[{index}]"), group, true);
        }
        match partition.groups.len() {
            0 | 1 => self.error(
                &path,
                "a partition needs two groups",
                "separate the hosts of one group by commas".to_owned(),
            ),
            3.. if partition.one_way => {
                self.error(
                    &path,
                    "a partition that is one way has two groups",
                    "from the first to the second".to_owned(),
                );
            }
            _ => {}
        }
        self.apart(&path, &partition.groups.iter().collect::<Vec<_>>());
    }

    /// Refuses a host on two sides of a link.
    fn apart(&mut self, path: &str, sides: &[&String]) {
        let mut seen: Vec<&str> = Vec::new();
        let mut twice = None;
        for side in sides {
            twice = twice.or_else(|| words(side).find(|word| seen.iter().any(|other| self.overlap(word, other))));
            seen.extend(words(side));
        }
        if let Some(word) = twice {
            let message = format!("'{word}' is on two sides at once");
            self.error(path, message, "name each host on one side".to_owned());
        }
    }

    /// Whether two words mean a host in common.
    fn overlap(&self, one: &str, other: &str) -> bool {
        one == other || self.group(one) == Some(other) || self.group(other) == Some(one)
    }

    /// The group of the host `word`.
    pub(super) fn group<'w>(&self, word: &'w str) -> Option<&'w str> {
        let (group, _) = word.rsplit_once('-')?;
        let is_member =
            self.member(word).is_some() || self.backend_members(word).is_some() && !self.backends.contains(word);
        (self.size(word).is_none() && is_member).then_some(group)
    }

    fn backend(&mut self, path: &str, name: &str) {
        if self.backend_members(name).is_some() {
            return;
        }
        if let Some((kind, _)) = name.rsplit_once('-').filter(|(kind, _)| self.is_clustered(kind)) {
            let mend = format!("there are {kind}-1 to {kind}-{}", self.scenario.members_of(kind));
            return self.error(path, format!("no member is called '{name}'"), mend);
        }
        if self.known_backends().contains(name) {
            let mend = format!("choose a plugin that needs it, as in 'registry: {name}'");
            self.error(path, format!("no plugin of this scenario needs the backend '{name}'"), mend);
        } else {
            let mend = mend(name, self.backends.iter().copied());
            self.error(path, format!("no backend is called '{name}'"), mend);
        }
    }
}

/// The kinds that an entry gives, and what each needs of an engine.
fn kinds(fault: &Fault) -> Vec<(&'static str, Capability)> {
    let none = String::new;
    let (a, b) = (Vec::new, Vec::new);
    let kinds = [
        ("crash", fault.crash.as_ref().map(|crash| world::Fault::Crash { host: none(), fin: crash.fin })),
        ("restart", fault.restart.as_ref().map(|_| world::Fault::Restart { host: none() })),
        ("partition", fault.partition.as_ref().map(|_| world::Fault::Cut { from: a(), to: b() })),
        ("hold", fault.hold.as_ref().map(|_| world::Fault::Hold { a: a(), b: b() })),
        ("latency", fault.latency.as_ref().map(|_| world::Fault::Latency { a: a(), b: b(), latency: None })),
        (
            "loss",
            fault.loss.as_ref().map(|loss| {
                let (probability, granularity) = (loss.probability, loss.granularity);
                world::Fault::Loss { a: a(), b: b(), probability, granularity }
            }),
        ),
        ("reset", fault.reset.as_ref().map(|_| world::Fault::Reset { a: a(), b: b() })),
        ("lease_lost", fault.lease_lost.as_ref().map(|_| world::Fault::LeaseLost { host: none() })),
        (
            "backend_restart",
            fault.backend_restart.as_ref().map(|restart| match restart.how {
                HowDown::Kill => world::Fault::BackendDown { host: none() },
                HowDown::Term => world::Fault::BackendEnd { host: none() },
            }),
        ),
        ("backend_pause", fault.backend_pause.as_ref().map(|_| world::Fault::BackendPause { host: none() })),
        ("compaction", fault.compaction.as_ref().map(|_| world::Fault::Compaction { backend: none() })),
        ("leader_lost", fault.leader_lost.as_ref().map(|_| world::Fault::LeaderDown { backend: none() })),
        ("pause", fault.pause.as_ref().map(|_| world::Fault::Pause { host: none() })),
        ("skew", fault.skew.as_ref().map(|_| world::Fault::Skew { host: none(), by_ns: 0 })),
        ("link", fault.link.as_ref().map(|_| world::Fault::Link { from: a(), to: b(), quality: None })),
        // Whichever toxic it is.
        ("toxic", fault.toxic.as_ref().map(|_| world::Fault::LinkDown { a: a(), b: b() })),
    ];
    kinds.into_iter().filter_map(|(name, fault)| fault.map(|fault| (name, fault.needs()))).collect()
}
