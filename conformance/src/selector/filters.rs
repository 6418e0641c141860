//! Filters: what they leave is selected and nothing else, in this selection and no other.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use shaketable_stack::ErrorKind;
use shaketable_stack::registry::Service;
use shaketable_stack::selector::Filter;
use shaketable_stack::selector::filter::{ByEndpoint, ByLabel, ByVersion};

use super::tools::{Bench, refused, service};
use crate::Level::Must;
use crate::requirement::{Need, check};
use crate::{Finding, Outcome, Requirement, Site, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SEL-019",
        level: Must,
        sentence: "Nodes that a filter leaves out are not selected, and all others are.",
        source: "go-micro selector/filter.go: FilterVersion, FilterEndpoint, FilterLabel",
        needs: &[],
        check: check!(what_a_filter_leaves_is_selected),
    },
    Requirement {
        id: "SEL-020",
        level: Must,
        sentence: "Of several filters all are applied.",
        source: "go-micro selector/default.go: the filters in a loop",
        needs: &[],
        check: check!(all_filters_are_applied),
    },
    Requirement {
        id: "SEL-021",
        level: Must,
        sentence: "Filters are applied in the order in which they are given, each to what the one before has left.",
        source: "go-micro selector/default.go: the filters in a loop",
        needs: &[Need::InProcess("the caller's filter")],
        check: check!(filters_are_applied_in_order),
    },
    Requirement {
        id: "SEL-022",
        level: Must,
        sentence: "Filters that leave nothing are answered with NoneAvailable.",
        source: "go-micro selector/selector.go: ErrNoneAvailable; the label selector of go-micro/plugins answers \
                 ErrNotFound",
        needs: &[],
        check: check!(filters_that_leave_nothing_are_refused),
    },
    Requirement {
        id: "SEL-023",
        level: Must,
        sentence: "What the filters of one selection leave out is there for the next one.",
        source: "go-micro issue 793: the cache and its callers share what one of them changes",
        needs: &[],
        check: check!(filters_of_one_selection_concern_no_other),
    },
    Requirement {
        id: "SEL-024",
        level: Must,
        sentence: "A filter is given each version of the service with what the registry has of it.",
        source: "go-micro selector/selector.go: Filter; FilterEndpoint needs endpoints, FilterLabel metadata",
        needs: &[Need::InProcess("the caller's filter")],
        check: check!(filters_see_what_the_registry_has),
    },
    Requirement {
        id: "SEL-025",
        level: Must,
        sentence: "Two filters that look alike in a log are still two filters.",
        source: "decision of shaketable: how a filter shows itself is for people, and need not be unique",
        needs: &[Need::InProcess("the caller's filter")],
        check: check!(filters_are_not_known_by_their_looks),
    },
];

/// Two versions of three and two nodes; see [`service`] for their zones and endpoints.
async fn two_versions(site: &Site) -> Result<Bench, Finding> {
    let bench = Bench::empty(site).await?;
    bench.directory.put(&service(&bench.user, "1", &["a", "b", "c"]));
    bench.directory.put(&service(&bench.user, "2", &["d", "e"]));
    Ok(bench)
}

async fn what_a_filter_leaves_is_selected(site: Site) -> Outcome {
    let bench = two_versions(&site).await?;
    bench.reaches(&["a", "b", "c"], &bench.filtered(vec![Arc::new(ByVersion::new("1"))])).await?;
    bench.reaches(&["d", "e"], &bench.filtered(vec![Arc::new(ByEndpoint::new("User.V2"))])).await?;
    bench.reaches(&["a", "c", "d"], &bench.filtered(vec![Arc::new(ByLabel::new("zone", "eu"))])).await
}

async fn all_filters_are_applied(site: Site) -> Outcome {
    let bench = two_versions(&site).await?;
    let zone = || Arc::new(ByLabel::new("zone", "us"));
    bench.reaches(&["b"], &bench.filtered(vec![zone(), Arc::new(ByVersion::new("1"))])).await?;
    bench.reaches(&["e"], &bench.filtered(vec![Arc::new(ByVersion::new("2")), zone()])).await?;
    let three = vec![
        Arc::new(ByLabel::new("protocol", "mucp")) as Arc<dyn Filter>,
        Arc::new(ByEndpoint::new("User.V1")),
        zone(),
    ];
    bench.reaches(&["b"], &bench.filtered(three)).await
}

/// Leaves everything, and keeps what it was given.
#[derive(Debug, Default)]
struct Witness {
    given: Mutex<Vec<Service>>,
}

impl Witness {
    fn given(&self) -> Vec<Service> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Filter for Witness {
    fn apply(&self, services: &[Service]) -> Vec<Service> {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = services.to_vec();
        services.to_vec()
    }
}

fn node_ids(services: &[Service]) -> Vec<String> {
    let mut ids: Vec<String> = services.iter().flat_map(|service| &service.nodes).map(|node| node.id.clone()).collect();
    ids.sort();
    ids
}

async fn filters_are_applied_in_order(site: Site) -> Outcome {
    let bench = two_versions(&site).await?;
    let (first, second, third) = (Arc::<Witness>::default(), Arc::<Witness>::default(), Arc::<Witness>::default());
    let filters: Vec<Arc<dyn Filter>> = vec![
        first.clone(),
        Arc::new(ByVersion::new("1")),
        second.clone(),
        Arc::new(ByLabel::new("zone", "eu")),
        third.clone(),
    ];
    bench.pick(&bench.filtered(filters)).await?;
    expect_equal("what comes to the first filter", &node_ids(&first.given()), &["a", "b", "c", "d", "e"])?;
    expect_equal("what comes to a filter after that of the version", &node_ids(&second.given()), &["a", "b", "c"])?;
    expect_equal("what comes to the last filter", &node_ids(&third.given()), &["a", "c"])
}

async fn filters_that_leave_nothing_are_refused(site: Site) -> Outcome {
    let bench = two_versions(&site).await?;
    let lists: [Vec<Arc<dyn Filter>>; 3] = [
        vec![Arc::new(ByVersion::new("3"))],
        vec![Arc::new(ByLabel::new("zone", "asia"))],
        vec![Arc::new(ByVersion::new("1")), Arc::new(ByEndpoint::new("User.V2"))],
    ];
    for filters in lists {
        let what = format!("{filters:?}");
        let picked = bench.try_pick(&bench.user, &bench.filtered(filters)).await?;
        refused(&format!("to select through {what}"), picked, &[ErrorKind::NoneAvailable])?;
    }
    Ok(())
}

async fn filters_of_one_selection_concern_no_other(site: Site) -> Outcome {
    let bench = two_versions(&site).await?;
    for _ in 0..2 {
        bench.reaches(&["d", "e"], &bench.filtered(vec![Arc::new(ByVersion::new("2"))])).await?;
        bench.reaches(&["a", "b", "c"], &bench.filtered(vec![Arc::new(ByVersion::new("1"))])).await?;
        bench.reaches(&["a", "b", "c", "d", "e"], &bench.random()).await?;
    }
    Ok(())
}

async fn filters_see_what_the_registry_has(site: Site) -> Outcome {
    let bench = two_versions(&site).await?;
    let witness = Arc::<Witness>::default();
    bench.pick(&bench.filtered(vec![witness.clone()])).await?;
    let mut given = witness.given();
    given.sort_by(|one, other| one.version.cmp(&other.version));
    for service in &mut given {
        service.nodes.sort_by(|one, other| one.id.cmp(&other.id));
    }
    let registered = [service(&bench.user, "1", &["a", "b", "c"]), service(&bench.user, "2", &["d", "e"])];
    expect_equal("what a filter is given", &given, &registered)
}

/// Leaves one node, and says nothing of which.
struct Only(&'static str);

impl fmt::Debug for Only {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the right one")
    }
}

impl Filter for Only {
    fn apply(&self, services: &[Service]) -> Vec<Service> {
        let only = |service: &Service| {
            let nodes = service.nodes.iter().filter(|node| node.id == self.0).cloned().collect();
            Service { nodes, ..service.clone() }
        };
        services.iter().map(only).filter(|service| !service.nodes.is_empty()).collect()
    }
}

async fn filters_are_not_known_by_their_looks(site: Site) -> Outcome {
    let bench = two_versions(&site).await?;
    for id in ["a", "d", "e", "a"] {
        let node = bench.pick(&bench.filtered(vec![Arc::new(Only(id))])).await?;
        expect_equal("the node that the filter leaves", &node.id, &id)?;
    }
    Ok(())
}
