//! Marks: what callers tell of nodes takes bad ones out for a while, and never more than that. A selector that does
//! nothing about marks is none the worse.

use std::time::Duration;

use shaketable_stack::selector::Outcome as Marked;
use shaketable_stack::{Error, ErrorKind};

use super::tools::{Bench, service};
use crate::Level::{May, Must};
use crate::requirement::{Need, check};
use crate::{Outcome, Requirement, Site, expect, expect_equal};

/// Twenty times as long as go-micro's blacklist lasts.
const FORGIVEN_WITHIN: Duration = Duration::from_secs(600);
/// More than any selector takes for a bad node.
const MANY: usize = 20;
/// How long who has failed three times in a row is left out, and how exactly.
const LEFT_OUT_FOR: Duration = Duration::from_secs(30);
const GRAIN: Duration = Duration::from_secs(1);
/// How soon a change that the registry tells is known.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SEL-036",
        level: Must,
        sentence: "Answers never take a node out, whatever errors of the application they carry.",
        source: "go-micro issues 87 and 97: application errors blacklist healthy nodes",
        needs: &[],
        check: check!(answers_take_no_node_out),
    },
    Requirement {
        id: "SEL-037",
        level: Must,
        sentence: "Failures of some nodes take no other node out.",
        source: "go-micro selector/selector.go: Mark(service, node); issue 87: only the node that failed is to be left \
                 out",
        needs: &[],
        check: check!(failures_of_one_node_concern_no_other),
    },
    Requirement {
        id: "SEL-038",
        level: Must,
        sentence: "After a reset all nodes of the service are selected, whatever was marked.",
        source: "go-micro selector/selector.go: Reset",
        needs: &[],
        check: check!(a_reset_forgets_what_was_marked),
    },
    Requirement {
        id: "SEL-039",
        level: Must,
        sentence: "A node that has failed is selected again within ten minutes.",
        source: "go-plugins selector/blacklist: 30 seconds; decision of shaketable: a node that is never tried again \
                 cannot show that it is well",
        needs: &[Need::VirtualTime],
        check: check!(a_node_that_failed_comes_back, "within {}", FORGIVEN_WITHIN),
    },
    Requirement {
        id: "SEL-040",
        level: Must,
        sentence: "What is marked for one service concerns no other, also where nodes share their id.",
        source: "go-micro selector/selector.go: Mark(service, node)",
        needs: &[],
        check: check!(marks_of_one_service_concern_no_other),
    },
    Requirement {
        id: "SEL-041",
        level: May,
        sentence: "A node that has failed many times in a row is left out until it answers, and where all are, NoneAvailable.",
        source: "go-plugins selector/blacklist; go-micro selector/selector.go: Mark",
        needs: &[],
        check: check!(a_node_that_fails_is_left_out, "after {} failures", MANY),
    },
    Requirement {
        id: "SEL-042",
        level: May,
        sentence: "A node is left out after three failures in a row, for half a minute since the last of them.",
        source: "go-plugins selector/blacklist and go-micro pull request 81: three errors, 30 seconds",
        needs: &[Need::VirtualTime],
        check: check!(three_failures_count_for_half_a_minute, "{}, but for {} less or more", LEFT_OUT_FOR, GRAIN),
    },
    Requirement {
        id: "SEL-043",
        level: May,
        sentence: "A node that has moved to another address is not held for what happened at the old one.",
        source: "decision of shaketable: a process that was started again elsewhere under its old id is a new one",
        needs: &[Need::VirtualTime],
        check: check!(a_node_that_moved_is_innocent, "{} after the registry has told so", TOLD_WITHIN),
    },
    Requirement {
        id: "SEL-044",
        level: Must,
        sentence: "A node that the registry does not know is never selected, whatever is marked of it.",
        source: "decision of shaketable: a caller may mark late, when the node is gone",
        needs: &[],
        check: check!(a_mark_makes_no_node),
    },
];

impl Bench {
    fn mark(&self, id: &str, outcome: Marked) {
        self.mark_times(id, outcome, MANY);
    }

    fn mark_times(&self, id: &str, outcome: Marked, times: usize) {
        let known = service(&self.user, "1.0.0", &["a", "b", "c"]);
        for node in known.nodes.iter().filter(|node| node.id == id) {
            for _ in 0..times {
                self.selector.mark(&self.user, node, outcome);
            }
        }
    }
}

async fn answers_take_no_node_out(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c"]).await?;
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    for kind in [ErrorKind::Remote, ErrorKind::InvalidInput, ErrorKind::Internal] {
        let outcome = Marked::of(Err(&Error::new(kind, "call")));
        for id in ["a", "b", "c"] {
            bench.mark(id, outcome);
        }
    }
    bench.mark("a", Marked::of(Ok(())));
    bench.reaches(&["a", "b", "c"], &bench.random()).await
}

async fn failures_of_one_node_concern_no_other(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c"]).await?;
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    bench.mark("b", Marked::Failed);
    let reached = bench.reached(&bench.random()).await?;
    let others = ["a", "c"].iter().all(|id| reached.iter().any(|reached| reached == id));
    expect(others, "the nodes that have not failed to be selected", || format!("{reached:?}"))
}

async fn a_reset_forgets_what_was_marked(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c"]).await?;
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    for ids in [&["b"][..], &["a", "b", "c"]] {
        for id in ids {
            bench.mark(id, Marked::Failed);
        }
        // What a selection works out while they are out must not outlive the reset.
        let _ = bench.try_pick(&bench.user, &bench.random()).await?;
        bench.selector.reset(&bench.user);
        bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    }
    Ok(())
}

async fn a_node_that_fails_is_left_out(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c"]).await?;
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    bench.mark("b", Marked::Failed);
    bench.reaches(&["a", "c"], &bench.random()).await?;
    bench.mark("a", Marked::Failed);
    bench.mark("c", Marked::Failed);
    let picked = bench.try_pick(&bench.user, &bench.random()).await?;
    super::tools::refused("to select where all nodes have failed", picked, &[ErrorKind::NoneAvailable])?;
    bench.mark("b", Marked::Answered);
    bench.reaches(&["b"], &bench.random()).await?;
    // One comes back and another is left out, without a selection between them.
    bench.mark("a", Marked::Answered);
    bench.mark("b", Marked::Failed);
    bench.reaches(&["a"], &bench.random()).await
}

async fn three_failures_count_for_half_a_minute(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c"]).await?;
    let second = Duration::from_secs(1);
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    bench.mark_times("b", Marked::Failed, 2);
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    bench.mark_times("b", Marked::Answered, 1);
    bench.mark_times("b", Marked::Failed, 2);
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    bench.mark_times("b", Marked::Failed, 1);
    bench.reaches(&["a", "c"], &bench.random()).await?;
    site.let_pass(20 * second).await;
    bench.mark_times("b", Marked::Failed, 1);
    site.let_pass(LEFT_OUT_FOR - GRAIN).await;
    bench.reaches(&["a", "c"], &bench.random()).await?;
    site.let_pass(2 * GRAIN).await;
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    // What was marked before counts no more.
    bench.mark_times("b", Marked::Failed, 2);
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    // A node that comes meanwhile changes nothing of it.
    bench.directory.put(&service(&bench.user, "1.0.0", &["a", "b", "c", "d"]));
    comes_to_reach(&bench, &["a", "b", "c", "d"]).await?;
    bench.mark_times("b", Marked::Failed, 1);
    bench.reaches(&["a", "c", "d"], &bench.random()).await?;
    // Each has half a minute of its own.
    site.let_pass(20 * second).await;
    bench.mark_times("c", Marked::Failed, 3);
    site.let_pass(LEFT_OUT_FOR - 20 * second + GRAIN).await;
    bench.reaches(&["a", "b", "d"], &bench.random()).await?;
    site.let_pass(20 * second).await;
    bench.mark_times("a", Marked::Failed, 3);
    bench.reaches(&["b", "c", "d"], &bench.random()).await
}

/// Waits until selections reach exactly `nodes`.
async fn comes_to_reach(bench: &Bench, nodes: &[&str]) -> Outcome {
    let look = || async { bench.reaches(nodes, &bench.random()).await.map_err(|finding| finding.to_string()) };
    bench.site.eventually(&format!("selections to reach {nodes:?}"), TOLD_WITHIN, look).await
}

async fn a_node_that_moved_is_innocent(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    bench.reaches(&["a", "b"], &bench.random()).await?;
    bench.mark("b", Marked::Failed);
    bench.reaches(&["a"], &bench.random()).await?;
    let mut moved = service(&bench.user, "1.0.0", &["a", "b"]);
    for node in moved.nodes.iter_mut().filter(|node| node.id == "b") {
        node.address = "10.9.8.7:9090".to_owned();
    }
    bench.directory.put(&moved);
    comes_to_reach(&bench, &["a", "b"]).await?;
    // A late word about the old address does not concern the new one.
    bench.mark("b", Marked::Failed);
    bench.reaches(&["a", "b"], &bench.random()).await
}

async fn a_node_that_failed_comes_back(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c"]).await?;
    bench.reaches(&["a", "b", "c"], &bench.random()).await?;
    bench.mark("b", Marked::Failed);
    bench.mark("c", Marked::Failed);
    site.let_pass(FORGIVEN_WITHIN).await;
    bench.reaches(&["a", "b", "c"], &bench.random()).await
}

async fn marks_of_one_service_concern_no_other(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c"]).await?;
    let other = site.name("payment");
    bench.directory.put(&service(&other, "1.0.0", &["a", "b"]));
    bench.pick_of(&other, &bench.random()).await?;
    bench.pick(&bench.random()).await?;
    for id in ["a", "b", "c"] {
        bench.mark(id, Marked::Failed);
    }
    let options = bench.random();
    let mut picked = Vec::new();
    for _ in 0..100 {
        let node = bench.pick_of(&other, &options).await?;
        if !picked.contains(&node.id) {
            picked.push(node.id.clone());
        }
    }
    picked.sort();
    expect_equal("the nodes of a service of which nothing was marked", &picked, &["a", "b"])
}

async fn a_mark_makes_no_node(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    // Before anything is known of the service, of a service that does not exist, and of a node that does not.
    bench.mark("c", Marked::Failed);
    let stranger = &service("nobody", "1.0.0", &["x"]).nodes[0];
    for outcome in [Marked::Failed, Marked::Answered] {
        bench.selector.mark("nobody", stranger, outcome);
        bench.selector.mark(&bench.user, stranger, outcome);
    }
    bench.selector.reset("nobody");
    bench.reaches(&["a", "b"], &bench.random()).await?;
    for outcome in [Marked::Failed, Marked::Answered] {
        bench.mark("c", outcome);
        bench.selector.mark(&bench.user, stranger, outcome);
    }
    bench.reaches(&["a", "b"], &bench.random()).await?;
    let picked = bench.try_pick("nobody", &bench.random()).await?;
    super::tools::refused(
        "to select a service of which only marks are known",
        picked,
        &[ErrorKind::NotFound, ErrorKind::NoneAvailable],
    )
}
