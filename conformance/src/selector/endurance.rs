//! Many at once, callers that give up, and what repetition leaves behind.

use std::time::Duration;

use futures_util::future::join_all;
use rand::Rng;
use shaketable_sim::allocation::allocated;
use shaketable_stack::ErrorKind;
use shaketable_stack::selector::{Outcome as Marked, SelectOptions, Selection};

use super::tools::{Bench, ids, refused, service, strs};
use crate::Level::{Must, Should};
use crate::requirement::{Need, check};
use crate::{Outcome, Requirement, Site, expect, expect_equal};

/// How often something is done that must leave nothing behind.
const CYCLES: usize = 1000;
/// Tasks and watchers that may come and go by themselves.
const SPARE: usize = 4;
/// How long they may take to go.
const GONE_WITHIN: Duration = Duration::from_secs(5);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SEL-053",
        level: Must,
        sentence: "Services that are loaded at the same time each get their own nodes.",
        source: "go-micro registry/cache/cache.go of v6: lookups in flight are shared",
        needs: &[],
        check: check!(services_loaded_at_once_get_their_own_nodes),
    },
    Requirement {
        id: "SEL-054",
        level: Must,
        sentence: "A load that is given up keeps no other from its answer.",
        source: "decision of shaketable: in Rust a caller gives up by dropping the future, others waiting or not",
        needs: &[],
        check: check!(a_load_that_is_given_up_keeps_no_other_from_its_answer),
    },
    Requirement {
        id: "SEL-055",
        level: Must,
        sentence: "A thousand selectors that were used and closed leave no task and no watcher.",
        source: "go-micro issue 631 and pull request 634: watchers leak",
        needs: &[Need::Tasks],
        check: check!(
            a_thousand_selectors_leave_nothing,
            "{} watchers and tasks more than before, within {}",
            SPARE,
            GONE_WITHIN
        ),
    },
    Requirement {
        id: "SEL-056",
        level: Must,
        sentence: "A thousand lookups of services that do not exist leave no task and no watcher.",
        source: "go-micro issue 631 and go-plugins issue 383: watching a service that does not exist leaks",
        needs: &[Need::Tasks],
        check: check!(
            a_thousand_misses_leave_nothing,
            "{} watchers and tasks more than before, within {}",
            SPARE,
            GONE_WITHIN
        ),
    },
    Requirement {
        id: "SEL-057",
        level: Must,
        sentence: "The number of watchers of a service does not grow with the number of lookups and changes.",
        source: "go-micro registry/cache/cache.go: watchedRunning keeps one loop for a service",
        needs: &[Need::Tasks],
        check: check!(watchers_do_not_grow, "{} watchers and tasks more than before, within {}", SPARE, GONE_WITHIN),
    },
    Requirement {
        id: "SEL-070",
        level: Should,
        sentence: "Of a thousand services that were selected from, marked, and have gone, the second five hundred leave less \
                   than 1 KiB of memory each in use.",
        source: "go-micro registry/cache/cache.go: what a watch tells as gone is deleted from the cache; decision of \
                 shaketable: what has gone is forgotten in the end, also where nobody watches",
        needs: &[Need::Memory, Need::VirtualTime],
        check: check!(services_that_have_gone_take_no_memory),
    },
    Requirement {
        id: "SEL-071",
        level: Should,
        sentence: "Selecting again and again among a thousand nodes that stay the same allocates no memory.",
        source: "decision of shaketable: each call selects, and what is the same for all of them is worked out once",
        needs: &[Need::Memory, Need::InProcess("what it allocates"), Need::Upheld(&["SEL-001"])],
        check: check!(selecting_allocates_nothing, "{} selections of either kind, after as many", SELECTIONS),
    },
];

async fn services_loaded_at_once_get_their_own_nodes(site: Site) -> Outcome {
    let bench = Bench::empty(&site).await?;
    let count = site.env().random("services").random_range(5..20);
    let names: Vec<String> = (0..count).map(|number| site.name(&format!("service-{number}"))).collect();
    for name in &names {
        bench.directory.put(&service(name, "1.0.0", &[&format!("node of {name}")]));
    }
    bench.directory.take_time(Duration::from_millis(20));
    let loads = join_all(names.iter().chain(&names).map(|name| bench.selector.load(name)));
    let loaded = site.ends("load many services at once", loads).await?;
    let failed = loaded.iter().find(|loaded| loaded.is_err());
    expect(failed.is_none(), "every load to succeed", || format!("{failed:?}"))?;
    for name in &names {
        let selected = bench.selector.select(name, &SelectOptions::default());
        expect(matches!(selected, Ok(Selection::Ready(_))), format!("{name} to be selected after its load"), || {
            format!("{selected:?}")
        })?;
        let node = bench.pick_of(name, &bench.random()).await?;
        expect_equal(&format!("the node of {name}"), &node.id, &format!("node of {name}"))?;
    }
    Ok(())
}

async fn a_load_that_is_given_up_keeps_no_other_from_its_answer(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a"]).await?;
    bench.directory.take_time(Duration::from_millis(200));
    let given_up = site.env().timeout(Duration::from_millis(50), bench.selector.load(&bench.user));
    let waiting = async {
        site.let_pass(Duration::from_millis(10)).await;
        bench.load(&bench.user).await
    };
    let (_given_up, waited) = tokio::join!(given_up, waiting);
    waited?;
    bench.pick(&bench.random()).await?;
    let other = site.name("payment");
    bench.directory.put(&service(&other, "1.0.0", &["b"]));
    // Whether it is done by then is not what is judged.
    let _ = site.env().timeout(Duration::from_millis(50), bench.selector.load(&other)).await;
    bench.load(&other).await?;
    bench.pick_of(&other, &bench.random()).await.map(drop)
}

async fn a_thousand_selectors_leave_nothing(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a"]).await?;
    let tasks = site.tasks().await?.total;
    for _ in 0..CYCLES {
        let selector = site.selector(bench.directory.clone()).await?;
        let one = Bench { selector, ..bench.clone() };
        one.pick(&SelectOptions::default()).await?;
        site.ask("close", one.selector.close()).await?;
    }
    few(&bench, "after a thousand selectors", SPARE, tasks + site.tolerated(SPARE, CYCLES)).await
}

async fn services_that_have_gone_take_no_memory(site: Site) -> Outcome {
    let bench = Bench::empty(&site).await?;
    let label = "l".repeat(4 << 10);
    let cycle = |number: usize| {
        let (bench, name, label) = (&bench, site.name(&format!("service-{number}")), &label);
        async move {
            let mut known = service(&name, "1.0.0", &["a", "b"]);
            for node in &mut known.nodes {
                node.metadata.insert("label".to_owned(), label.clone());
            }
            bench.directory.put(&known);
            let node = bench.pick_of(&name, &SelectOptions::default()).await?;
            bench.selector.mark(&name, &node, Marked::Failed);
            for node in &known.nodes {
                bench.directory.remove(&name, &node.id);
            }
            Ok(())
        }
    };
    site.remembers_nothing("services that have gone", cycle).await
}

/// Waits until no more watchers are open and tasks live than allowed.
async fn few(bench: &Bench, after: &str, watchers: usize, tasks: usize) -> Outcome {
    let look = || {
        let open = bench.directory.watchers();
        std::future::ready(if open <= watchers { Ok(()) } else { Err(format!("{open} watchers")) })
    };
    bench.site.eventually(&format!("at most {watchers} watchers {after}"), GONE_WITHIN, look).await?;
    bench.site.few_tasks(after, tasks, GONE_WITHIN).await
}

async fn a_thousand_misses_leave_nothing(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a"]).await?;
    bench.pick(&SelectOptions::default()).await?;
    site.take_effect(site.slack()).await;
    let (watchers, tasks) = (bench.directory.watchers(), site.tasks().await?.total);
    for number in 0..CYCLES {
        let picked = bench.try_pick(&site.name(&format!("nobody-{number}")), &SelectOptions::default()).await?;
        refused("to select a service that does not exist", picked, &[ErrorKind::NotFound])?;
    }
    few(&bench, "after a thousand misses", watchers + SPARE, tasks + site.tolerated(SPARE, CYCLES)).await
}

async fn watchers_do_not_grow(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a"]).await?;
    bench.pick(&SelectOptions::default()).await?;
    site.take_effect(site.slack()).await;
    let (watchers, tasks) = (bench.directory.watchers(), site.tasks().await?.total);
    for round in 0..100 {
        bench.load(&bench.user).await?;
        match round % 2 {
            0 => bench.directory.put(&service(&bench.user, "1.0.0", &["a", "b"])),
            _ => bench.directory.remove(&bench.user, "b"),
        }
        site.let_pass(Duration::from_millis(10)).await;
        bench.pick(&SelectOptions::default()).await?;
    }
    few(&bench, "after a hundred lookups and changes", watchers.max(1) + SPARE, tasks + site.tolerated(SPARE, 100))
        .await
}

/// Whatever is kept for the next ones is there after so many.
const SELECTIONS: usize = 1_000;

async fn selecting_allocates_nothing(site: Site) -> Outcome {
    let nodes = ids(1_000);
    let bench = Bench::over(&site, &strs(&nodes)).await?;
    let options = SelectOptions::default();
    bench.pick(&options).await?;
    let select = || match bench.selector.select(&bench.user, &options) {
        Ok(Selection::Ready(next)) => next.node().is_ok(),
        _ => false,
    };
    let pick = || match bench.selector.pick(&bench.user, &options) {
        Ok(Some(picked)) => {
            bench.selector.mark(&bench.user, &picked, Marked::Answered);
            true
        }
        _ => false,
    };
    let all = || (0..SELECTIONS).all(|_| select() && pick());
    let first = all();
    let before = allocated();
    let selected = all();
    let (calls, bytes) = (allocated().calls - before.calls, allocated().bytes - before.bytes);
    expect(first && selected, "a node each time", || "an error, or a miss".to_owned())?;
    expect(calls == 0, "no allocation", || format!("{calls} allocations of {bytes} bytes in all"))
}
