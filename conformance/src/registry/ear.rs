//! Whoever listens to a watcher for a check: a task that takes every event as it comes, and waits for some of them. It
//! knows
//! nothing of who makes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::env::Task;
use shaketable_stack::registry::{Action, Event, Registry, WatchOptions, Watcher};

use super::tools::{settling, short, summary};
use crate::{Finding, Outcome, Site};

/// A watcher, and what it has told.
pub(super) struct Ear {
    site: Site,
    pub(super) watcher: Arc<dyn Watcher>,
    heard: Arc<Mutex<Heard>>,
    _task: Task,
}

/// What a watcher has told.
#[derive(Default)]
struct Heard {
    events: Vec<Event>,
    /// How it ended.
    end: Option<(ErrorKind, String)>,
}

/// Watches `service`, or all, and listens from now on.
///
/// # Errors
/// A violation when the registry does not let one watch.
pub(super) async fn listen(site: &Site, registry: &Arc<dyn Registry>, service: Option<&str>) -> Result<Ear, Finding> {
    let watcher = open(site, registry, service).await?;
    let heard = Arc::new(Mutex::new(Heard::default()));
    let (listening, writing) = (watcher.clone(), heard.clone());
    let task = site.env().spawn("check-ear", async move {
        loop {
            let next = listening.next().await;
            let mut heard = writing.lock().unwrap_or_else(PoisonError::into_inner);
            match next {
                Ok(event) => heard.events.push(event),
                Err(error) => {
                    heard.end = Some((error.kind(), error.to_string()));
                    return;
                }
            }
        }
    });
    Ok(Ear { site: site.clone(), watcher, heard, _task: task })
}

/// A watcher of `service`, or of all services.
///
/// # Errors
/// A violation when the registry does not let one watch.
pub(super) async fn open(
    site: &Site,
    registry: &Arc<dyn Registry>,
    service: Option<&str>,
) -> Result<Arc<dyn Watcher>, Finding> {
    let what = service.map_or_else(|| "watch all services".to_owned(), |name| format!("watch {}", short(name)));
    site.ask(&what, registry.watch(WatchOptions { service: service.map(str::to_owned) })).await
}

impl Ear {
    /// What was told of this check's services so far.
    pub(super) fn events(&self) -> Vec<Event> {
        let own = |event: &Event| self.site.is_own(&event.service.name);
        self.lock().events.iter().filter(|event| own(event)).cloned().collect()
    }

    /// How the watch ended, if it has.
    pub(super) fn end(&self) -> Option<(ErrorKind, String)> {
        self.lock().end.clone()
    }

    /// Waits until `holds` of the events, within `limit`; `what` is what is waited for.
    ///
    /// # Errors
    /// A violation that shows the last events.
    pub(super) async fn hears_within(&self, what: &str, limit: Duration, holds: impl Fn(&[Event]) -> bool) -> Outcome {
        let probe = || {
            let events = self.events();
            let holds = holds(&events);
            let end = self.end().map(|(_, end)| format!("; then the watch ended: {end}")).unwrap_or_default();
            async move { if holds { Ok(()) } else { Err(format!("{}{end}", shown(&events))) } }
        };
        self.site.eventually(&format!("the watcher to tell {what}"), limit, probe).await
    }

    /// Waits until `holds` of the events, as long as a change may take to arrive.
    ///
    /// # Errors
    /// As [`hears_within`](Self::hears_within).
    pub(super) async fn hears(&self, what: &str, holds: impl Fn(&[Event]) -> bool) -> Outcome {
        self.hears_within(what, settling(&self.site), holds).await
    }

    /// Waits until `action` was told of `node`.
    ///
    /// # Errors
    /// As [`hears_within`](Self::hears_within).
    pub(super) async fn hears_of(&self, action: Action, node: &str) -> Outcome {
        let what = format!("{} of {node}", action.as_str());
        self.hears(&what, |events| events.iter().any(|event| is(event, action, node))).await
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // That a watcher can be stopped twice is a requirement of its own.
        if self.end().is_none() {
            self.watcher.stop();
        }
    }
}

/// Whether `event` tells `action` of `node`.
pub(super) fn is(event: &Event, action: Action, node: &str) -> bool {
    event.action == action && names(event, node)
}

/// Whether `event` tells anything of `node`.
pub(super) fn names(event: &Event, node: &str) -> bool {
    event.service.nodes.iter().any(|told| told.id == node)
}

/// The last events, for people.
pub(super) fn shown(events: &[Event]) -> String {
    const SHOWN: usize = 6;
    let one = |event: &Event| {
        let labels: Vec<String> =
            event.service.nodes.iter().filter_map(|node| node.metadata.get("revision").cloned()).collect();
        let labels = if labels.is_empty() { String::new() } else { format!(" (revision {})", labels.join(", ")) };
        format!("{} {}{labels}", event.action.as_str(), summary(std::slice::from_ref(&event.service)))
    };
    let last: Vec<String> = events.iter().skip(events.len().saturating_sub(SHOWN)).map(one).collect();
    match (events.len(), last.len()) {
        (0, _) => "no event".to_owned(),
        (all, some) if all > some => format!("{all} events, at last {}", last.join(", ")),
        _ => last.join(", "),
    }
}
