//! The requirements as text: for people in Markdown, for programs in JSON. The files in `conformance/spec` are made of this.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Check, Interface, Level, Need, Requirement, requirements};

/// The requirements of `interface` in Markdown.
pub fn markdown(interface: Interface) -> String {
    let requirements = requirements(interface);
    let mut text = format!("# What a {interface} requires\n\n");
    text.push_str(&format!(
        "Written by `shaketable spec {interface}`; a test keeps it true. {} requirements: {}. A MUST that is not upheld fails \
         a plugin, a SHOULD warns, a MAY is told. What a requirement presumes and a plugin or a world lacks makes it not \
         applicable; what a plugin has not promised it is not judged by.\n",
        requirements.len(),
        counts(&requirements),
    ));
    text.push_str("\n## What is allowed for everywhere\n\n");
    for tolerance in tolerances(interface) {
        text.push_str(&format!("- {tolerance}\n"));
    }
    for requirement in requirements {
        text.push_str(&format!("\n## {} {}\n\n{}\n\n", requirement.id, requirement.level, requirement.sentence));
        if let Some(tolerance) = requirement.tolerance() {
            text.push_str(&format!("- allowed: {tolerance}\n"));
        }
        text.push_str(&format!("- source: {}\n", requirement.source));
        if !requirement.needs.is_empty() {
            text.push_str(&format!("- presumes: {}\n", needs(requirement).join("; ")));
        }
        match requirement.check {
            Check::Run { name, .. } => text.push_str(&format!("- check: `{name}`\n")),
            Check::NoReference => text.push_str("- check: no reference yet\n"),
        }
    }
    text
}

/// What the checks of `interface` have in common: how long a thing may take where its requirement says nothing else, and how
/// much may be missing.
pub fn tolerances(interface: Interface) -> Vec<String> {
    let own = match interface {
        Interface::Transport => crate::transport::tolerances(),
        Interface::Codec => Vec::new(),
        Interface::Registry => crate::registry::tolerances(),
        Interface::Selector => crate::selector::tolerances(),
        Interface::Broker => crate::broker::tolerances(),
        Interface::Client => crate::client::tolerances(),
        Interface::Server => crate::server::tolerances(),
        Interface::Service => crate::service::tolerances(),
    };
    crate::site::tolerances().into_iter().chain(own).collect()
}

/// The requirements of `interfaces` in JSON, by interface.
pub fn json(interfaces: &[Interface]) -> String {
    let all: BTreeMap<&str, Vec<Value>> = interfaces
        .iter()
        .map(|interface| (interface.as_str(), requirements(*interface).into_iter().map(value).collect()))
        .collect();
    let text = serde_json::to_string_pretty(&all).unwrap_or_default();
    format!("{text}\n")
}

fn value(requirement: &Requirement) -> Value {
    json!({
        "id": requirement.id,
        "level": requirement.level.as_str(),
        "sentence": requirement.sentence,
        "allowed": requirement.tolerance(),
        "source": requirement.source,
        "presumes": needs(requirement),
        "check": match requirement.check {
            Check::Run { name, .. } => Value::from(name),
            Check::NoReference => Value::Null,
        },
    })
}

fn needs(requirement: &Requirement) -> Vec<String> {
    requirement.needs.iter().map(Need::to_string).collect()
}

fn counts(requirements: &[&Requirement]) -> String {
    let count = |level: Level| requirements.iter().filter(|requirement| requirement.level == level).count();
    let of = |level: Level| format!("{} {level}", count(level));
    [Level::Must, Level::Should, Level::May].map(of).join(", ")
}
