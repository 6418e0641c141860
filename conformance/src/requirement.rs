//! A requirement: one numbered sentence, where it comes from, what it presumes, and the check that judges a plugin by it.

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shaketable_sim::world::Capability;
use shaketable_stack::plugin::{Ability, Promises};

use crate::backend::Verb;
use crate::{Interface, Outcome, Site};

/// One numbered sentence that a plugin must satisfy.
#[derive(Clone, Copy, Debug)]
pub struct Requirement {
    /// Stable: never used again for another sentence, as in `REG-012`.
    pub id: &'static str,
    /// How binding it is.
    pub level: Level,
    /// The sentence.
    pub sentence: &'static str,
    /// Where it comes from: a file or issue of go-micro, a guarantee of etcd, an RFC, or "decision of shaketable" with the
    /// reason.
    pub source: &'static str,
    /// What it presumes of the plugin and the world. What is missing makes it not applicable.
    pub needs: &'static [Need],
    /// What judges.
    pub check: Check,
}

/// How binding a requirement is, in the sense of RFC 2119.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// A plugin that does not is wrong.
    Must,
    /// A plugin that does not needs a reason; it is warned.
    Should,
    /// A plugin may; it is told, and never blamed.
    May,
}

/// What a requirement presumes.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The plugin has this.
    Has(Ability),
    /// The plugin is without this: the check shows that it refuses.
    Lacks(Ability),
    /// The plugin is called one of these, or one of these, a dot and what is special about it (`json.fast`): the name says
    /// which bytes it writes.
    Named(&'static [&'static str]),
    /// The plugin's promises fulfil a condition; in words: `it promises …`.
    Promises(&'static str, fn(&Promises) -> bool),
    /// Whoever provides the backend can do this to it.
    Backend(Verb),
    /// The world can do this; real machines cannot.
    World(Capability),
    /// The plugin reaches others over the network that its `Env` gives it.
    Network,
    /// The plugin's tasks can be counted: on this host, or in its adapter's process.
    Tasks,
    /// The memory that is in use where the plugin runs can be told from others': in the simulator, or in its adapter's process.
    Memory,
    /// The plugin upholds these requirements, by id, each a MUST: the check sees what it judges through them. Where one of them
    /// is broken, the accusation is withdrawn beside that one, and never becomes a pass.
    Upheld(&'static [&'static str]),
    /// Time is virtual: the check waits longer than a person would.
    VirtualTime,
    /// The plugin runs in this process, because the protocol of adapters does not carry this. What the harness's side of an
    /// adapter does in its stead says nothing of the plugin.
    InProcess(&'static str),
}

/// What judges a plugin by a requirement.
#[derive(Clone, Copy)]
pub enum Check {
    /// This function, on a host of its own.
    Run {
        /// The function's name, which is also that of the test.
        name: &'static str,
        /// The function.
        function: fn(Site) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
        /// The times, shares and counts by which it decides, where the sentence and what is [true of
        /// all](crate::spec::tolerances) do not say them; empty where there are none.
        tolerance: fn() -> String,
    },
    /// Nothing yet: the stack has no implementation that could show that the check is right.
    NoReference,
}

impl Check {
    /// The test's name, after the requirement's id.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Run { name, .. } => name,
            Self::NoReference => "no_reference_yet",
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Makes a [`Check`] of an `async fn(Site) -> Outcome`, and of what it tolerates where it does: words with a `{}` for each of
/// the constants by which the function judges.
macro_rules! check {
    ($function:ident) => {
        $crate::requirement::check!(@run $function, String::new)
    };
    ($function:ident, $tolerance:literal) => {
        $crate::requirement::check!(@run $function, || String::from($tolerance))
    };
    ($function:ident, $tolerance:literal, $($value:expr),+ $(,)?) => {
        $crate::requirement::check!(
            @run $function, || format!($tolerance, $($crate::tolerance::InWords::in_words(&$value)),+)
        )
    };
    (@run $function:ident, $tolerance:expr) => {
        $crate::Check::Run {
            name: stringify!($function),
            function: |site| Box::pin($function(site)),
            tolerance: $tolerance,
        }
    };
}
pub(crate) use check;

/// The name of a plugin without what is special about it: `json` of `json.fast`.
pub(crate) fn base_name(plugin: &str) -> &str {
    plugin.split('.').next().unwrap_or(plugin)
}

impl Requirement {
    /// The times, shares and counts by which its check decides, where it has some of its own.
    pub fn tolerance(&self) -> Option<String> {
        match self.check {
            Check::Run { tolerance, .. } => Some(tolerance()).filter(|tolerance| !tolerance.is_empty()),
            Check::NoReference => None,
        }
    }

    /// The requirements through which the check sees what it judges.
    pub fn presumed(&self) -> impl Iterator<Item = &'static str> {
        self.needs
            .iter()
            .flat_map(|need| match need {
                Need::Upheld(ids) => *ids,
                _ => &[],
            })
            .copied()
    }
}

impl Level {
    /// As RFC 2119 writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let levels = [Self::Must, Self::Should, Self::May];
        let level = levels.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text));
        level.ok_or_else(|| format!("no level is called '{text}'; there are MUST, SHOULD and MAY"))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Has(ability) => write!(formatter, "{}", ability.as_str()),
            Self::Lacks(ability) => write!(formatter, "no {}", ability.as_str()),
            Self::Named(names) => write!(formatter, "a plugin called {}", names.join(" or ")),
            Self::Promises(what, _) => formatter.write_str(what),
            Self::Backend(verb) => write!(formatter, "backend_access: {verb}"),
            Self::World(capability) => write!(formatter, "a world that can {capability}"),
            Self::Network => formatter.write_str("a plugin that reaches others over the network"),
            Self::Tasks => formatter.write_str("tasks that can be counted"),
            Self::Memory => formatter.write_str("memory that can be counted"),
            Self::Upheld(ids) => formatter.write_str(&ids.join(", ")),
            Self::VirtualTime => formatter.write_str("virtual time"),
            Self::InProcess(what) => write!(formatter, "a plugin in this process: {what}"),
        }
    }
}

/// The requirements of `interface`, in the order of their ids.
pub fn requirements(interface: Interface) -> Vec<&'static Requirement> {
    let modules: &[&'static [Requirement]] = match interface {
        Interface::Transport => crate::transport::REQUIREMENTS,
        Interface::Codec => crate::codec::REQUIREMENTS,
        Interface::Registry => crate::registry::REQUIREMENTS,
        Interface::Selector => crate::selector::REQUIREMENTS,
        Interface::Broker => crate::broker::REQUIREMENTS,
        Interface::Client => crate::client::REQUIREMENTS,
        Interface::Server => crate::server::REQUIREMENTS,
        Interface::Service => crate::service::REQUIREMENTS,
    };
    let mut all: Vec<&'static Requirement> = modules.iter().flat_map(|module| module.iter()).collect();
    all.sort_by_key(|requirement| requirement.id);
    all
}

/// The requirement called `id`, and its interface.
pub fn by_id(id: &str) -> Option<(Interface, &'static Requirement)> {
    Interface::ALL.into_iter().find_map(|interface| {
        let found = requirements(interface).into_iter().find(|requirement| requirement.id == id);
        found.map(|requirement| (interface, requirement))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Check, Level, requirements};
    use crate::Interface;

    #[test]
    fn ids_are_unique_and_belong_to_their_interface() {
        let mut seen = BTreeSet::new();
        for interface in Interface::ALL {
            let prefix = match interface {
                Interface::Transport => "TRA-",
                Interface::Codec => "COD-",
                Interface::Registry => "REG-",
                Interface::Selector => "SEL-",
                Interface::Broker => "BRK-",
                Interface::Client => "CLI-",
                Interface::Server => "SRV-",
                Interface::Service => "SVC-",
            };
            for requirement in requirements(interface) {
                let number = requirement.id.strip_prefix(prefix).unwrap_or_default();
                assert!(number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()), "{}", requirement.id);
                assert!(seen.insert(requirement.id), "{} is there twice", requirement.id);
            }
        }
    }

    #[test]
    fn every_sentence_is_one_and_names_its_source() {
        let mut sentences = BTreeSet::new();
        let mut checks = BTreeSet::new();
        for interface in Interface::ALL {
            for requirement in requirements(interface) {
                let (id, sentence) = (requirement.id, requirement.sentence);
                assert!(sentence.ends_with('.') && sentence.matches(". ").count() == 0, "{id}: {sentence}");
                assert!(sentence.chars().next().is_some_and(char::is_uppercase), "{id}: {sentence}");
                assert!(sentences.insert(sentence), "{id}: the same sentence is there twice");
                assert!(requirement.source.len() > 8, "{id} names no source");
                assert!(
                    !requirement.source.contains("decision of shaketable") || requirement.source.contains(':'),
                    "{id}: a decision has a reason"
                );
                for presumed in requirement.presumed() {
                    let (of, base) = super::by_id(presumed).unwrap_or_else(|| panic!("{id} presumes {presumed}"));
                    assert!(of == interface, "{id} presumes {presumed}");
                    for further in base.presumed() {
                        // An accusation that is withdrawn itself withdraws none.
                        let is_named = requirement.presumed().any(|presumed| presumed == further);
                        assert!(is_named, "{id} presumes {presumed}, and not {further}, which that presumes");
                    }
                    // Where it is broken an accusation is withdrawn, and the verdict must be bad all the same.
                    assert!(base.level == Level::Must, "{id} presumes {presumed}, which may be broken");
                }
                if let Check::Run { name, .. } = requirement.check {
                    assert!(checks.insert((interface, name)), "{id}: {name} checks two requirements");
                }
            }
        }
    }
}
