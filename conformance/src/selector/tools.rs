//! What checks of selectors have in common: a selector over a directory, services to put into it, and picks.

use std::collections::BTreeMap;
use std::sync::Arc;

use shaketable_stack::registry::{Endpoint, Node, Service};
use shaketable_stack::selector::strategy::{Random, RoundRobin};
use shaketable_stack::selector::{Filter, Picked, SelectOptions, Selector, Strategy};
use shaketable_stack::{Error, ErrorKind, Result as StackResult};

use super::directory::Directory;
use crate::{Finding, Outcome, Site, expect, expect_equal};

/// A selector over a directory of its own.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) site: Site,
    pub(super) directory: Arc<Directory>,
    pub(super) selector: Arc<dyn Selector>,
    /// The name of the service that most is asked for.
    pub(super) user: String,
}

impl Bench {
    /// A selector over a directory that knows `user` with these nodes, all of one version.
    pub(super) async fn over(site: &Site, nodes: &[&str]) -> Result<Self, Finding> {
        let bench = Self::empty(site).await?;
        if !nodes.is_empty() {
            bench.directory.put(&service(&bench.user, "1.0.0", nodes));
        }
        Ok(bench)
    }

    /// A selector over a directory that knows nothing.
    pub(super) async fn empty(site: &Site) -> Result<Self, Finding> {
        let directory = Arc::new(Directory::new(site.env().clone()));
        let selector = site.selector(directory.clone()).await?;
        Ok(Self { site: site.clone(), directory, selector, user: site.name("user") })
    }

    /// Looks `service` up, as a caller does who has found nothing.
    pub(super) async fn load(&self, service: &str) -> Outcome {
        self.site.ask(&format!("load {service}"), self.selector.load(service)).await
    }

    /// Picks a node of `user` as a client does, which loads where nothing is known and picks again.
    pub(super) async fn pick(&self, options: &SelectOptions) -> Result<Picked, Finding> {
        self.pick_of(&self.user, options).await
    }

    /// The same of another service.
    pub(super) async fn pick_of(&self, service: &str, options: &SelectOptions) -> Result<Picked, Finding> {
        let picked = self.try_pick(service, options).await?;
        picked.map_err(|error| Finding::violated(format!("a node of {service}"), format!("the error `{error}`")))
    }

    /// What comes of a pick, an error included.
    pub(super) async fn try_pick(
        &self,
        service: &str,
        options: &SelectOptions,
    ) -> Result<StackResult<Picked>, Finding> {
        match self.selector.pick(service, options) {
            Ok(Some(node)) => return Ok(Ok(node)),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
        if let Err(error) = self.site.ends(&format!("load {service}"), self.selector.load(service)).await? {
            return Ok(Err(error));
        }
        match self.selector.pick(service, options) {
            Ok(Some(node)) => Ok(Ok(node)),
            Ok(None) => Err(Finding::violated(format!("to select {service} after it was loaded"), "a miss".to_owned())),
            Err(error) => Ok(Err(error)),
        }
    }

    /// How often each node of `user` is picked in `count` selections.
    pub(super) async fn counts(
        &self,
        count: usize,
        options: &SelectOptions,
    ) -> Result<BTreeMap<String, usize>, Finding> {
        let mut counts = BTreeMap::new();
        for _ in 0..count {
            *counts.entry(self.pick(options).await?.id.clone()).or_default() += 1;
        }
        Ok(counts)
    }

    /// The nodes of `user` that are picked at all, in order; each one that can be is found with near certainty.
    pub(super) async fn reached(&self, options: &SelectOptions) -> Result<Vec<String>, Finding> {
        Ok(self.counts(DRAWS, options).await?.into_keys().collect())
    }

    /// Shows that the nodes of `user` that can be picked are `wanted`.
    pub(super) async fn reaches(&self, wanted: &[&str], options: &SelectOptions) -> Outcome {
        let reached = self.reached(options).await?;
        expect_equal("the nodes that are selected", &reached, &wanted)
    }

    /// A random choice, as an option of a selection.
    pub(super) fn random(&self) -> SelectOptions {
        SelectOptions { filters: Vec::new(), strategy: Some(self.random_strategy()) }
    }

    /// A random choice among what `filters` leave.
    pub(super) fn filtered(&self, filters: Vec<Arc<dyn Filter>>) -> SelectOptions {
        SelectOptions { filters, strategy: Some(self.random_strategy()) }
    }

    fn random_strategy(&self) -> Arc<dyn Strategy> {
        Arc::new(Random::new(self.site.env().random("strategy")))
    }
}

/// Of eight nodes one is missed in so many random draws once in ten milliards of runs.
pub(super) const DRAWS: usize = 200;

/// One node after the other, as an option of a selection.
pub(super) fn in_turns() -> SelectOptions {
    SelectOptions { filters: Vec::new(), strategy: Some(Arc::new(RoundRobin)) }
}

/// A service of one version with these nodes. Nodes are in zones in turns, and the service has an endpoint of its
/// version.
pub(super) fn service(name: &str, version: &str, nodes: &[&str]) -> Service {
    let node = |(index, id): (usize, &&str)| Node {
        id: (*id).to_owned(),
        address: format!("10.1.2.{}:8080", index + 1),
        metadata: [
            ("zone".to_owned(), if index % 2 == 0 { "eu" } else { "us" }.to_owned()),
            ("protocol".to_owned(), "mucp".to_owned()),
        ]
        .into(),
    };
    Service {
        name: name.to_owned(),
        version: version.to_owned(),
        metadata: [("team".to_owned(), "accounts".to_owned())].into(),
        endpoints: vec![Endpoint { name: format!("User.V{version}"), ..Endpoint::default() }],
        nodes: nodes.iter().enumerate().map(node).collect(),
    }
}

/// `count` names of nodes.
pub(super) fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("user-{number}")).collect()
}

/// Texts as what most functions take.
pub(super) fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// A violation unless `result` is an error of one of `kinds`.
pub(super) fn refused<T>(what: &str, result: StackResult<T>, kinds: &[ErrorKind]) -> Outcome {
    let wanted = kinds.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(" or ");
    let kind = result.as_ref().err().map(Error::kind);
    expect(kind.is_some_and(|kind| kinds.contains(&kind)), format!("{what} to fail with {wanted}"), || {
        kind.map_or_else(|| "it succeeded".to_owned(), |kind| format!("{kind:?}"))
    })
}
