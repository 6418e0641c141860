//! Freshness: what the registry learns is selected in time, what it cannot tell now is not forgotten, and it is not
//! asked more than it must be.

use std::time::Duration;

use futures_util::future::join_all;
use shaketable_stack::ErrorKind;
use shaketable_stack::registry::Service;
use shaketable_stack::selector::{SelectOptions, Selection};

use super::directory::Mood;
use super::tools::{Bench, service};
use crate::Level::{May, Must, Should};
use crate::requirement::{Need, check};
use crate::{Outcome, Requirement, Site, expect, expect_equal};

/// Twice what go-micro's cache keeps an answer for.
const KNOWN_WITHIN: Duration = Duration::from_secs(120);
/// With a watch, a change is known as soon as an event arrives.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Longer than any answer is kept.
const OUTAGE: Duration = Duration::from_secs(300);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SEL-026",
        level: Must,
        sentence: "A node that was deregistered is no longer selected after two minutes.",
        source: "go-micro issues 244 and 2805: the cache returns stopped nodes",
        needs: &[Need::VirtualTime],
        check: check!(a_node_that_left_is_not_selected, "within {}", KNOWN_WITHIN),
    },
    Requirement {
        id: "SEL-027",
        level: Must,
        sentence: "A node that was registered is selected after two minutes.",
        source: "go-micro registry/cache/cache.go: a TTL of one minute",
        needs: &[Need::VirtualTime],
        check: check!(a_node_that_came_is_selected, "within {}", KNOWN_WITHIN),
    },
    Requirement {
        id: "SEL-028",
        level: Must,
        sentence: "A node that has changed is handed out as it is now, after two minutes.",
        source: "go-micro registry/memory.go of v6: changed metadata of a known node is lost",
        needs: &[Need::VirtualTime],
        check: check!(a_node_that_changed_is_handed_out_as_it_is, "within {}", KNOWN_WITHIN),
    },
    Requirement {
        id: "SEL-029",
        level: Must,
        sentence: "A service that is gone is refused after two minutes, and selected when it comes back.",
        source: "go-micro registry/cache/cache.go: a delete that leaves no nodes drops the service",
        needs: &[Need::VirtualTime],
        check: check!(a_service_that_is_gone_is_refused, "within {}", KNOWN_WITHIN),
    },
    Requirement {
        id: "SEL-030",
        level: Should,
        sentence: "A change of any of several services is known within two seconds.",
        source: "go-micro pull requests 2517 and 2600: only the first service of a cache is watched",
        needs: &[],
        check: check!(changes_of_every_service_are_known_soon, "within {}", TOLD_WITHIN),
    },
    Requirement {
        id: "SEL-031",
        level: Should,
        sentence: "While the registry fails, for five minutes, the nodes that are known are selected.",
        source: "go-micro registry/cache/cache.go: get answers with what it has when the registry fails; issue 2821: \
                 caches are empty while the registry is overloaded",
        needs: &[Need::VirtualTime],
        check: check!(known_nodes_are_selected_while_the_registry_fails, "for {}", OUTAGE),
    },
    Requirement {
        id: "SEL-032",
        level: Must,
        sentence: "Two minutes after the registry works again, what has changed meanwhile is known.",
        source: "go-micro registry/cache/cache.go: a watcher that broke is opened again",
        needs: &[Need::VirtualTime],
        check: check!(changes_are_known_after_an_outage, "within {}", KNOWN_WITHIN),
    },
    Requirement {
        id: "SEL-033",
        level: Must,
        sentence: "A service that was loaded stays known: selections that follow do not each ask the registry.",
        source: "go-micro registry/cache/cache.go: get answers from the cache; issue 2821: callers that stampede the \
                 registry",
        needs: &[],
        check: check!(selections_do_not_ask_the_registry, "{} lookups for {} selections", LOOKUPS_MOST, SELECTIONS),
    },
    Requirement {
        id: "SEL-034",
        level: Must,
        sentence: "A node that is gone without an event is no longer selected after two minutes, though others are renewed.",
        source: "go-micro pull requests 2736 and 2740: one live node keeps dead siblings valid in the cache",
        needs: &[Need::VirtualTime],
        check: check!(a_node_that_is_gone_without_an_event_is_not_selected, "within {}", KNOWN_WITHIN),
    },
    Requirement {
        id: "SEL-035",
        level: Should,
        sentence: "Callers who load one service at the same time share a lookup.",
        source: "go-micro registry/cache/cache.go: singleflight; issue 2821: callers that stampede the registry",
        needs: &[],
        check: check!(callers_share_a_lookup, "{} lookups at a time for {} callers", AT_ONCE_MOST, CALLERS),
    },
    Requirement {
        id: "SEL-065",
        level: May,
        sentence: "A change that the registry tells is known within two seconds although it answers no lookup.",
        source: "go-micro registry/cache/cache.go: update merges what the watcher tells into what was looked up before",
        needs: &[Need::VirtualTime],
        check: check!(what_is_told_needs_no_lookup, "within {}", TOLD_WITHIN),
    },
    Requirement {
        id: "SEL-066",
        level: May,
        sentence: "A service that is in use stays known, at the cost of at most one lookup in ten seconds.",
        source: "decision of shaketable: a call that waits for a lookup each time an answer grows old is slow once a minute",
        needs: &[Need::VirtualTime],
        check: check!(what_is_in_use_stays_known, "a lookup in {}, for {}", LOOKUP_EVERY, OUTAGE),
    },
    Requirement {
        id: "SEL-067",
        level: May,
        sentence: "A service that nobody selects any more is neither watched nor looked up after five minutes.",
        source: "decision of shaketable: who once called every service need not hear of all of them for ever",
        needs: &[Need::VirtualTime],
        check: check!(what_nobody_uses_is_not_followed, "after {}", OUTAGE),
    },
    Requirement {
        id: "SEL-068",
        level: Should,
        sentence: "While the registry fails, for five minutes, it is asked at most once a second on average.",
        source: "go-micro registry/cache/cache.go (v5.30.0): backoff between attempts to watch, MinimumRetryInterval between \
                 lookups; issue 2821: callers that stampede the registry",
        needs: &[Need::VirtualTime],
        check: check!(a_registry_that_fails_is_asked_rarely, "{} questions in {}", OUTAGE.as_secs(), OUTAGE),
    },
    Requirement {
        id: "SEL-069",
        level: May,
        sentence: "What has changed during an outage of half a minute is known within fifteen seconds after it.",
        source: "go-micro registry/cache/cache.go: backoff waits ten seconds at most before a watcher is opened again; \
                 decision of shaketable: what was missed meanwhile is looked up then",
        needs: &[Need::VirtualTime],
        check: check!(an_outage_is_made_good_soon, "within {}, after an outage of {}", GOOD_WITHIN, SHORT_OUTAGE),
    },
];

/// How often a registry may be asked for so many selections of a service that is known.
const LOOKUPS_MOST: usize = 20;
const SELECTIONS: usize = 1000;
/// How many lookups so many callers at once may cause: one, and perhaps one besides.
const AT_ONCE_MOST: usize = 2;
const CALLERS: usize = 50;
/// How often a service that is in use may be looked up.
const LOOKUP_EVERY: Duration = Duration::from_secs(10);
/// An outage, and how soon after it everything is known.
const SHORT_OUTAGE: Duration = Duration::from_secs(30);
const GOOD_WITHIN: Duration = Duration::from_secs(15);

/// Draws that find all of four nodes, but for one run in ten thousand millions; a look that misses one is repeated.
const DRAWS: usize = 80;

/// Waits while calls go on, as they do, until `done` says so of the nodes that are picked.
async fn known(bench: &Bench, what: &str, within: Duration, done: impl Fn(&[String]) -> bool) -> Outcome {
    let deadline = bench.site.env().now() + within;
    let options = bench.random();
    loop {
        let mut picked: Vec<String> = Vec::new();
        for _ in 0..DRAWS {
            match bench.try_pick(&bench.user, &options).await? {
                Ok(node) if picked.contains(&node.id) => {}
                Ok(node) => picked.push(node.id.clone()),
                // There is none, for all draws.
                Err(_) => break,
            }
        }
        picked.sort();
        if done(&picked) {
            return Ok(());
        }
        let late = bench.site.env().now() >= deadline;
        expect(!late, format!("{what} within {within:?}"), || format!("the nodes that are selected are {picked:?}"))?;
        let pause = within / 24;
        bench.site.look_again(pause).await;
    }
}

async fn a_node_that_left_is_not_selected(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c"]).await?;
    known(&bench, "three nodes", KNOWN_WITHIN, |nodes| nodes == ["a", "b", "c"]).await?;
    bench.directory.remove(&bench.user, "b");
    known(&bench, "the node that was deregistered to be selected no more", KNOWN_WITHIN, |nodes| nodes == ["a", "c"])
        .await
}

async fn a_node_that_is_gone_without_an_event_is_not_selected(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    known(&bench, "two nodes", KNOWN_WITHIN, |nodes| nodes == ["a", "b"]).await?;
    site.take_effect(site.slack()).await;
    bench.directory.lose(&bench.user, "b");
    let end = site.env().now() + KNOWN_WITHIN;
    while site.env().now() < end {
        bench.directory.put(&service(&bench.user, "1.0.0", &["a"]));
        bench.pick(&bench.random()).await?;
        site.let_pass(Duration::from_secs(10)).await;
    }
    known(&bench, "the node that is gone to be selected no more", Duration::ZERO, |nodes| nodes == ["a"]).await
}

async fn a_node_that_came_is_selected(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a"]).await?;
    known(&bench, "one node", KNOWN_WITHIN, |nodes| nodes == ["a"]).await?;
    bench.directory.put(&service(&bench.user, "1.0.0", &["b"]));
    bench.directory.put(&service(&bench.user, "2.0.0", &["c"]));
    known(&bench, "two further nodes to be selected", KNOWN_WITHIN, |nodes| nodes == ["a", "b", "c"]).await
}

async fn a_node_that_changed_is_handed_out_as_it_is(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a"]).await?;
    bench.pick(&SelectOptions::default()).await?;
    let mut moved: Service = service(&bench.user, "1.0.0", &["a"]);
    for node in &mut moved.nodes {
        node.address = "10.9.8.7:9090".to_owned();
        node.metadata.insert("zone".to_owned(), "asia".to_owned());
    }
    bench.directory.put(&moved);
    let deadline = site.env().now() + KNOWN_WITHIN;
    loop {
        let node = bench.pick(&SelectOptions::default()).await?;
        if *node == moved.nodes[0] || site.env().now() >= deadline {
            return expect_equal("the node that has changed", &*node, &moved.nodes[0]);
        }
        site.look_again(Duration::from_secs(5)).await;
    }
}

async fn a_service_that_is_gone_is_refused(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    known(&bench, "two nodes", KNOWN_WITHIN, |nodes| nodes == ["a", "b"]).await?;
    bench.directory.remove(&bench.user, "a");
    bench.directory.remove(&bench.user, "b");
    known(&bench, "no node of a service that is gone", KNOWN_WITHIN, <[String]>::is_empty).await?;
    let picked = bench.try_pick(&bench.user, &SelectOptions::default()).await?;
    super::tools::refused("to select what is gone", picked, &[ErrorKind::NotFound, ErrorKind::NoneAvailable])?;
    bench.directory.put(&service(&bench.user, "1.0.0", &["c"]));
    known(&bench, "the node that came back to be selected", KNOWN_WITHIN, |nodes| nodes == ["c"]).await
}

async fn changes_of_every_service_are_known_soon(site: Site) -> Outcome {
    let bench = Bench::empty(&site).await?;
    let names = ["user", "payment", "order"].map(|name| site.name(name));
    for name in &names {
        bench.directory.put(&service(name, "1.0.0", &["a"]));
        bench.pick_of(name, &SelectOptions::default()).await?;
    }
    site.take_effect(site.slack() * 2).await;
    for name in names.iter().rev() {
        bench.directory.put(&service(name, "1.0.0", &["b"]));
        bench.directory.remove(name, "a");
        let of_one = Bench { user: name.clone(), ..bench.clone() };
        known(&of_one, &format!("the change of {name} to be known"), TOLD_WITHIN, |nodes| nodes == ["b"]).await?;
    }
    Ok(())
}

async fn known_nodes_are_selected_while_the_registry_fails(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    known(&bench, "two nodes", KNOWN_WITHIN, |nodes| nodes == ["a", "b"]).await?;
    bench.directory.turn(Mood::Fails);
    let end = site.env().now() + OUTAGE;
    while site.env().now() < end {
        for _ in 0..3 {
            bench.pick(&SelectOptions::default()).await?;
        }
        // Longer than anybody waits who asks the registry again.
        site.let_pass(Duration::from_secs(25)).await;
    }
    Ok(())
}

async fn changes_are_known_after_an_outage(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    known(&bench, "two nodes", KNOWN_WITHIN, |nodes| nodes == ["a", "b"]).await?;
    for (gone, came) in [("b", "c"), ("a", "d")] {
        bench.directory.turn(Mood::Fails);
        bench.directory.remove(&bench.user, gone);
        bench.directory.put(&service(&bench.user, "1.0.0", &[came]));
        for _ in 0..15 {
            // Whether it serves what it knew is another check's affair.
            let _ = bench.try_pick(&bench.user, &SelectOptions::default()).await?;
            site.let_pass(Duration::from_secs(2)).await;
        }
        bench.directory.turn(Mood::Works);
        let what = "what has changed during an outage to be known";
        known(&bench, what, KNOWN_WITHIN, |nodes| {
            nodes.iter().any(|id| id == came) && !nodes.iter().any(|id| id == gone)
        })
        .await?;
    }
    Ok(())
}

async fn selections_do_not_ask_the_registry(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    bench.load(&bench.user).await?;
    for number in 0..SELECTIONS {
        let selected = bench.selector.select(&bench.user, &SelectOptions::default());
        expect(matches!(selected, Ok(Selection::Ready(_))), "a service that was loaded to stay known", || {
            format!("selection {number}: {selected:?}")
        })?;
        if number % 100 == 99 {
            // Whatever it has begun gets a chance to happen.
            site.let_pass(Duration::from_millis(1)).await;
        }
    }
    let lookups = bench.directory.lookups();
    let expected = format!("at most {LOOKUPS_MOST} lookups for {SELECTIONS} selections");
    expect(lookups <= LOOKUPS_MOST, expected, || format!("{lookups}"))
}

async fn callers_share_a_lookup(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    bench.directory.take_time(Duration::from_millis(100));
    let callers = join_all((0..CALLERS).map(|_| bench.selector.load(&bench.user)));
    let loaded = site.ends("load from 50 callers at once", callers).await?;
    expect(loaded.iter().all(Result::is_ok), "every caller to be served", || {
        format!("{:?}", loaded.iter().find(|l| l.is_err()))
    })?;
    let at_once = bench.directory.in_flight_max();
    expect(at_once <= AT_ONCE_MOST, "one lookup for 50 callers, and perhaps one besides", || {
        format!("{at_once} at the same time")
    })
}

async fn what_is_told_needs_no_lookup(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    known(&bench, "two nodes", KNOWN_WITHIN, |nodes| nodes == ["a", "b"]).await?;
    site.take_effect(site.slack()).await;
    bench.directory.turn(Mood::OnlyTells);
    bench.directory.put(&service(&bench.user, "1.0.0", &["c"]));
    known(&bench, "a third node to be selected", TOLD_WITHIN, |nodes| nodes == ["a", "b", "c"]).await?;
    bench.directory.remove(&bench.user, "b");
    known(&bench, "the second to be selected no more", TOLD_WITHIN, |nodes| nodes == ["a", "c"]).await
}

/// Shows that `user` is selected without a load, every five seconds for so long.
async fn stays_known(bench: &Bench, duration: Duration) -> Outcome {
    let end = bench.site.env().now() + duration;
    while bench.site.env().now() < end {
        bench.site.let_pass(Duration::from_secs(5)).await;
        let selected = bench.selector.select(&bench.user, &SelectOptions::default());
        expect(matches!(selected, Ok(Selection::Ready(_))), "a service that is in use to stay known", || {
            format!("{selected:?}")
        })?;
    }
    Ok(())
}

async fn what_is_in_use_stays_known(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    bench.load(&bench.user).await?;
    let before = bench.directory.lookups();
    stays_known(&bench, OUTAGE).await?;
    let lookups = bench.directory.lookups() - before;
    let most = usize::try_from(OUTAGE.as_secs() / LOOKUP_EVERY.as_secs()).unwrap_or(usize::MAX);
    expect(lookups <= most, format!("at most {most} lookups in {OUTAGE:?}"), || format!("{lookups}"))
}

async fn what_nobody_uses_is_not_followed(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    bench.pick(&SelectOptions::default()).await?;
    site.let_pass(OUTAGE).await;
    let watchers = bench.directory.watchers();
    expect(watchers == 0, "no watcher of a service that nobody has selected for five minutes", || {
        format!("{watchers}")
    })?;
    let before = bench.directory.requests();
    site.let_pass(OUTAGE).await;
    let asked = bench.directory.requests() - before;
    expect(asked == 0, "no question about it", || format!("{asked}"))?;
    bench.pick(&SelectOptions::default()).await.map(drop)
}

async fn a_registry_that_fails_is_asked_rarely(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    known(&bench, "two nodes", KNOWN_WITHIN, |nodes| nodes == ["a", "b"]).await?;
    bench.directory.turn(Mood::Fails);
    let before = bench.directory.requests();
    let seconds = OUTAGE.as_secs();
    for _ in 0..seconds / 5 {
        // Whether it serves what it knew is another check's affair.
        let _ = bench.try_pick(&bench.user, &SelectOptions::default()).await?;
        site.let_pass(Duration::from_secs(5)).await;
    }
    let asked = bench.directory.requests() - before;
    let bound = usize::try_from(seconds).unwrap_or(usize::MAX);
    expect(asked <= bound, format!("at most {bound} questions in {seconds} s"), || format!("{asked}"))
}

async fn an_outage_is_made_good_soon(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    known(&bench, "two nodes", KNOWN_WITHIN, |nodes| nodes == ["a", "b"]).await?;
    site.take_effect(site.slack()).await;
    bench.directory.turn(Mood::Fails);
    bench.directory.remove(&bench.user, "b");
    bench.directory.put(&service(&bench.user, "1.0.0", &["c"]));
    for _ in 0..6 {
        let _ = bench.try_pick(&bench.user, &SelectOptions::default()).await?;
        site.let_pass(SHORT_OUTAGE / 6).await;
    }
    bench.directory.turn(Mood::Works);
    known(&bench, "what has changed during an outage to be known", GOOD_WITHIN, |nodes| nodes == ["a", "c"]).await
}
