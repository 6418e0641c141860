//! Changes of membership, drawn before the run. Who is in and who is out is simulated here, so that only those who have left
//! come back and never fewer than `keep` stay.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};
use shaketable_stack::env::Random;

use super::faults::uniform;
use super::hosts::PlannedHost;
use super::{PlanError, streams};
use crate::oracle::HostKind;
use crate::scenario::model::{Churn, ChurnAction, Scenario};

/// More changes are a slip, not a scenario.
pub(crate) const CHANGES_MAX: usize = 10_000;

/// A change of membership with its time. A crash may have come before it: the run skips a change of a host that is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChurn {
    /// From the start of the world.
    pub at: Duration,
    /// The replica.
    pub host: String,
    /// What it does.
    pub action: ChurnAction,
    /// The new version of `version`, the new value of `metadata`; each is new in the run.
    pub detail: Option<String>,
    /// Index of the scenario's entry that it comes from.
    pub entry: usize,
}

/// Every change, in the order of time.
pub(super) fn draw(scenario: &Scenario, seed: u64, hosts: &[PlannedHost]) -> Result<Vec<PlannedChurn>, PlanError> {
    let mut planned = Vec::new();
    for (entry, (load, name)) in scenario.load.iter().zip(streams::names("load", &scenario.load)).enumerate() {
        let Some(churn) = &load.churn else { continue };
        let mut random = streams::stream(seed, &name);
        let mut members: BTreeMap<&str, bool> = hosts
            .iter()
            .filter(|host| host.kind == HostKind::Service && host.group == churn.of)
            .map(|host| (host.name.as_str(), true))
            .collect();
        let mut at = scenario.phases.warmup;
        let heal_at = at + scenario.phases.shake;
        for serial in 1.. {
            // A period of nothing would never end.
            let every = churn.every.max(Duration::from_micros(1));
            at = at.saturating_add(uniform(&mut random, every / 2, every + every / 2));
            if at >= heal_at {
                break;
            }
            if serial > CHANGES_MAX {
                return Err(PlanError(format!("load[{entry}] changes the membership too often")));
            }
            if let Some((host, action)) = change(churn, &mut members, &mut random) {
                let detail = detail(action, serial, &mut random);
                planned.push(PlannedChurn { at, host, action, detail, entry });
            }
        }
    }
    planned.sort_by_key(|change| change.at);
    Ok(planned)
}

/// Draws an action among those that are possible now, then a replica among those that can do it.
fn change(churn: &Churn, members: &mut BTreeMap<&str, bool>, random: &mut Random) -> Option<(String, ChurnAction)> {
    let present = members.values().filter(|present| **present).count();
    let possible: Vec<ChurnAction> = churn
        .actions
        .iter()
        .copied()
        .filter(|action| match action {
            ChurnAction::Join => present < members.len(),
            ChurnAction::Leave => present > usize::try_from(churn.keep).unwrap_or(usize::MAX),
            ChurnAction::Flap | ChurnAction::Move | ChurnAction::Metadata | ChurnAction::Version => present > 0,
        })
        .collect();
    if possible.is_empty() {
        return None;
    }
    let action = possible[random.random_range(0..possible.len())];
    let wanted = action != ChurnAction::Join;
    let able: Vec<&str> = members.iter().filter(|(_, present)| **present == wanted).map(|(host, _)| *host).collect();
    let host = able[random.random_range(0..able.len())];
    match action {
        ChurnAction::Join => members.insert(host, true),
        ChurnAction::Leave => members.insert(host, false),
        ChurnAction::Flap | ChurnAction::Move | ChurnAction::Metadata | ChurnAction::Version => None,
    };
    Some((host.to_owned(), action))
}

/// The serial number makes it new; the random part keeps two seeds apart.
fn detail(action: ChurnAction, serial: usize, random: &mut Random) -> Option<String> {
    match action {
        ChurnAction::Version => Some(format!("v{serial}.{}", random.random_range(0..10u32))),
        ChurnAction::Metadata => Some(format!("{serial}-{:04x}", random.random::<u16>())),
        ChurnAction::Join | ChurnAction::Leave | ChurnAction::Flap | ChurnAction::Move => None,
    }
}
