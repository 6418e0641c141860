//! What is demanded of two works beside each other, whatever they come to: ours at most so many times what a peer needs. A
//! target that is committed as not met is ignored and says so, and fails when it is met, so that it is held from then on.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use libtest_mimic::{Completion, Trial};
use shaketable_bench_counters::{Committed, MEND};

use crate::{All, codecs, of_this_build, selecting};

/// A demand.
#[derive(Clone, Debug)]
struct Target {
    ours: String,
    /// Beside this; `None` where ours may need nothing at all.
    peer: Option<String>,
    what: What,
    /// Ours may need so many times as much as the peer.
    at_most: f64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Counted(&'static str),
    Instructions,
}

/// All of them, as the issue that asked for counters has them.
fn targets() -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |ours: &str, peer: Option<&str>, what, at_most| {
        targets.push(Target { ours: ours.to_owned(), peer: peer.map(str::to_owned), what, at_most });
    };
    let allocations = What::Counted("allocations");
    add("grpc/ours", Some("grpc/tonic"), allocations, 1.0);
    add("grpc/ours", Some("grpc/tonic"), What::Instructions, 1.02);
    for operation in selecting::OPERATIONS {
        add(&format!("select/{operation}"), None, allocations, 0.0);
    }
    for operation in ["encode", "decode"] {
        for message in codecs::MESSAGES {
            let by = |codec: &str| format!("codec/{operation}/{message}/{codec}");
            add(&by("ours"), Some(&by("prost")), allocations, 1.0);
            add(&by("ours"), Some(&by("prost")), What::Instructions, 1.02);
        }
    }
    let (one, all) = ("etcd/renew 1 node for a minute", "etcd/renew 10 nodes for a minute");
    add(all, Some(one), What::Counted("requests"), 1.0);
    targets
}

/// The names of those that are not met now, of instructions or of what is counted otherwise.
///
/// # Errors
/// When a work cannot be counted.
pub(crate) fn unmet(all: &All, of_instructions: bool) -> Result<BTreeSet<String>, String> {
    let mut unmet = BTreeSet::new();
    for target in targets().into_iter().filter(|target| (target.what == What::Instructions) == of_instructions) {
        if !target.found(all)?.is_met {
            unmet.insert(target.to_string());
        }
    }
    Ok(unmet)
}

pub(crate) fn trials(all: &Arc<All>, committed: &Committed) -> Vec<Trial> {
    targets().into_iter().map(|target| target.trial(all.clone(), committed)).collect()
}

/// Both sides of a target.
struct Found {
    is_met: bool,
    words: String,
}

impl Target {
    fn trial(self, all: Arc<All>, committed: &Committed) -> Trial {
        let name = self.to_string();
        let unmet = match self.what {
            What::Counted(_) => Ok(committed.unmet.contains(&name)),
            What::Instructions => of_this_build(committed).map(|of_build| of_build.unmet.contains(&name)),
        };
        Trial::ignorable_test(format!("target/{name}"), move || {
            let unmet = match unmet {
                Ok(unmet) => unmet,
                Err(absent) => return Ok(Completion::ignored_with(absent)),
            };
            let Found { is_met, words } = self.found(&all)?;
            match (is_met, unmet) {
                (true, false) => Ok(Completion::Completed),
                (false, true) => Ok(Completion::ignored_with(format!("not met: {words}"))),
                (true, true) => Err(format!("it is met now: {words}; commit that: {MEND}").into()),
                (false, false) => Err(words.into()),
            }
        })
    }

    fn found(&self, all: &All) -> Result<Found, String> {
        let of = |work: &str| match self.what {
            What::Instructions => all.instructions(work),
            What::Counted(what) => all.counts(work)?.of(what).ok_or_else(|| format!("{work} counts no {what}")),
        };
        let (ours, peer) = (of(&self.ours)?, self.peer.as_deref().map_or(Ok(0), of)?);
        let most = peer as f64 * self.at_most;
        Ok(Found { is_met: ours as f64 <= most, words: format!("{ours}, where {most:.0} are demanded at most") })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, peer, at_most, .. } = self;
        let what = match self.what {
            What::Counted(what) => what,
            What::Instructions => "instructions",
        };
        match peer {
            Some(peer) => write!(formatter, "{ours} needs at most {at_most} times the {what} of {peer}"),
            None => write!(formatter, "{ours} needs no {what}"),
        }
    }
}
