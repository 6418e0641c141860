//! Which requirements apply to a plugin in a world; known before anything runs, because a test runner shows a check that
//! finds out at run time as passed. Nothing here touches a network.

use shaketable_sim::allocation::bytes_in_use;
use shaketable_sim::engine::EngineInfo;
use shaketable_stack::plugin::{Plugins, Promises, Simulatable};

use super::live::LiveWorld;
use crate::backend::Verb;
use crate::requirement::base_name;
use crate::{Check, Interface, Need, Requirement, requirements};

/// Why a plugin behind an adapter does not run in the simulator.
pub(crate) const BEHIND_AN_ADAPTER: &str = "it runs in an adapter's process";

/// Whether a requirement applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applicability {
    /// It does.
    Applies,
    /// It does not; why.
    Not(String),
}

/// The requirements of one interface as they concern one plugin in one world.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Each requirement with whether it applies.
    pub rows: Vec<(&'static Requirement, Applicability)>,
}

/// What a world offers to checks.
pub(super) enum Offer<'a> {
    Simulated(&'a EngineInfo),
    Live(&'a LiveWorld),
}

impl Suite {
    /// The suite for the plugin called `plugin` in the simulator.
    ///
    /// # Errors
    /// When there is no such plugin.
    pub fn simulated(
        interface: Interface,
        plugin: &str,
        plugins: &Plugins,
        engine: &EngineInfo,
    ) -> shaketable_stack::Result<Self> {
        let promises = interface.promises(plugins, plugin)?;
        Ok(Self::of(interface, plugin, &promises, &Offer::Simulated(engine)))
    }

    /// The suite for the plugin called `plugin` on real machines.
    ///
    /// # Errors
    /// When there is no such plugin.
    pub fn live(
        interface: Interface,
        plugin: &str,
        plugins: &Plugins,
        world: &LiveWorld,
    ) -> shaketable_stack::Result<Self> {
        let promises = interface.promises(plugins, plugin)?;
        Ok(Self::of(interface, plugin, &promises, &Offer::Live(world)))
    }

    fn of(interface: Interface, plugin: &str, promises: &Promises, offer: &Offer<'_>) -> Self {
        let row =
            |requirement: &'static Requirement| (requirement, applicability(requirement, plugin, promises, offer));
        Self { rows: requirements(interface).into_iter().map(row).collect() }
    }
}

fn applicability(requirement: &Requirement, plugin: &str, promises: &Promises, offer: &Offer<'_>) -> Applicability {
    if matches!(requirement.check, Check::NoReference) {
        return Applicability::Not("no reference yet".to_owned());
    }
    if let (Offer::Simulated(_), Simulatable::No(reason)) = (offer, promises.simulatable) {
        return Applicability::Not(format!("the plugin is not simulatable: {reason}; it can be judged live"));
    }
    match requirement.needs.iter().find_map(|need| missing(*need, plugin, promises, offer)) {
        Some(why) => Applicability::Not(why),
        None => Applicability::Applies,
    }
}

/// Why `need` is not met, if it is not.
fn missing(need: Need, plugin: &str, promises: &Promises, offer: &Offer<'_>) -> Option<String> {
    match (need, offer) {
        (Need::Has(ability), _) => promises
            .lacks
            .contains(&ability)
            .then(|| format!("the plugin declares that it has no {}", ability.as_str())),
        (Need::Lacks(ability), _) => {
            (!promises.lacks.contains(&ability)).then(|| format!("the plugin has {}", ability.as_str()))
        }
        (Need::Named(names), _) => {
            (!names.contains(&base_name(plugin))).then(|| format!("it is not called {}", names.join(" or ")))
        }
        (Need::Promises(what, holds), _) => (!holds(promises)).then(|| format!("not promised: {what}")),
        (Need::Network, Offer::Simulated(_)) => {
            promises.shared_state.then(|| "no network fault touches the plugin: its hosts share memory".to_owned())
        }
        (Need::Network, Offer::Live(_)) => Some("a live world does nothing to the network between hosts".to_owned()),
        (Need::World(capability), Offer::Simulated(engine)) => {
            (!engine.capabilities.contains(&capability)).then(|| format!("engine {} cannot {capability}", engine.name))
        }
        (Need::World(capability), Offer::Live(_)) => Some(format!("a live world cannot {capability}")),
        (Need::InProcess(what), _) => (promises.simulatable == Simulatable::No(BEHIND_AN_ADAPTER))
            .then(|| format!("the protocol of adapters does not carry {what}")),
        // An adapter tells them too, or the verdict is that nothing is known.
        (Need::Tasks, _) => None,
        (Need::Memory, Offer::Simulated(_)) => {
            bytes_in_use().is_none().then(|| "this program does not count the memory that it has in use".to_owned())
        }
        (Need::Memory, Offer::Live { .. }) => (promises.simulatable != Simulatable::No(BEHIND_AN_ADAPTER))
            .then(|| "in a live world the plugin shares its process's memory with the suite".to_owned()),
        // Known only when these have been checked.
        (Need::Upheld(_), _) => None,
        (Need::VirtualTime, Offer::Simulated(_)) => None,
        (Need::VirtualTime, Offer::Live(world)) => {
            (!world.virtual_clock).then(|| "it would wait for minutes of real time".to_owned())
        }
        (Need::Backend(verb), Offer::Live(world)) => match &world.backend {
            Some(backend) => backend.refusal(verb),
            None => Some(format!("nobody can {verb}: there is no backend")),
        },
        (Need::Backend(verb), Offer::Simulated(_)) => match (promises.backend, promises.shared_state) {
            (Some(_), _) => None,
            (None, true) if matches!(verb, Verb::LoseLeases | Verb::DeleteEntries | Verb::Restart) => None,
            (None, true) => Some(format!("a backend in the world's memory: nobody can {verb}")),
            (None, false) => Some("the plugin has no backend".to_owned()),
        },
    }
}
