//! Strategies: which of the nodes is taken, across selections and within one. What a selector takes when nobody says
//! how is its own affair, as long as it does what it calls it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::Rng;
use shaketable_stack::selector::filter::{ByEndpoint, ByLabel, ByVersion};
use shaketable_stack::selector::strategy::RoundRobin;
use shaketable_stack::selector::{
    Filter, NodeSet, Outcome as Marked, SelectOptions, Selection, Strategy, StrategyState,
};

use super::tools::{Bench, ids, in_turns, service, strs};
use crate::Level::{Must, Should};
use crate::requirement::{Need, base_name, check};
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

/// Draws for each node, where a spread is judged.
const DRAWS_PER_NODE: usize = 300;
/// Further from the mean than six standard deviations comes one count in five hundred millions.
const DEVIATIONS: f64 = 6.0;

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SEL-012",
        level: Must,
        sentence: "The strategy that a selection brings along is the one that picks.",
        source: "go-micro selector/options.go: WithStrategy",
        needs: &[Need::InProcess("the caller's strategy")],
        check: check!(the_strategy_of_the_selection_picks),
    },
    Requirement {
        id: "SEL-013",
        level: Must,
        sentence: "With the random strategy every node is as likely as any other.",
        source: "go-micro selector/strategy.go: Random",
        needs: &[],
        check: check!(
            random_spreads_evenly,
            "{} standard deviations of the mean of {} selections for each node",
            DEVIATIONS,
            DRAWS_PER_NODE
        ),
    },
    Requirement {
        id: "SEL-014",
        level: Must,
        sentence: "The default strategy does what its name says: random spreads evenly, round_robin takes turns.",
        source: "go-micro selector/default.go: Options.Strategy; issue 116: round robin in name only",
        needs: &[],
        check: check!(
            the_default_strategy_does_what_its_name_says,
            "{} standard deviations of the mean of {} selections for each node",
            DEVIATIONS,
            DRAWS_PER_NODE
        ),
    },
    Requirement {
        id: "SEL-015",
        level: Must,
        sentence: "Round robin is fair across selections: of any number of them, two nodes get the same, but for one.",
        source: "go-micro issue 116 and go-plugins issue 323: it begins anew at random for each request",
        needs: &[],
        check: check!(round_robin_is_fair_across_selections),
    },
    Requirement {
        id: "SEL-016",
        level: Must,
        sentence: "The turns of one service are not moved on by selections of another.",
        source: "decision of shaketable: two services that are called in turns would each reach half of their nodes",
        needs: &[Need::Upheld(&["SEL-015"])],
        check: check!(each_service_has_turns_of_its_own),
    },
    Requirement {
        id: "SEL-017",
        level: Should,
        sentence: "Nodes that come and go do not disturb the turns of those that stay.",
        source: "decision of shaketable: while a deployment goes on, turns that begin anew overload the first nodes",
        needs: &[],
        check: check!(turns_go_on_while_nodes_come_and_go, "but for {} turns", TURNS),
    },
    Requirement {
        id: "SEL-018",
        level: Must,
        sentence: "One selection hands out further nodes, so that a retry reaches another one.",
        source: "go-micro selector/selector.go: Next",
        needs: &[],
        check: check!(a_selection_hands_out_further_nodes),
    },
    Requirement {
        id: "SEL-058",
        level: Should,
        sentence: "Selections through different filters take turns of their own, also where each brings filters made anew.",
        source: "decision of shaketable: callers make filters for each call, and two that ask for one zone each would \
                 reach half of its nodes",
        needs: &[],
        check: check!(each_filter_has_turns_of_its_own),
    },
    Requirement {
        id: "SEL-060",
        level: Should,
        sentence: "A selector that is called random or round_robin selects so by default, and its options name that strategy.",
        source: "decision of shaketable: a name that says how nodes are taken is taken at its word",
        needs: &[Need::Named(&["random", "round_robin"]), Need::InProcess("options")],
        check: check!(a_selector_called_after_a_strategy_has_it),
    },
    Requirement {
        id: "SEL-062",
        level: Should,
        sentence: "What one strategy does to its position moves the turns of no other on.",
        source: "decision of shaketable: a caller's own strategy may count as it likes, and others go on in turns",
        needs: &[Need::InProcess("the caller's strategy"), Need::Upheld(&["SEL-015"])],
        check: check!(each_strategy_has_a_position_of_its_own),
    },
];

/// Takes the first node, and moves the position on by one.
#[derive(Debug)]
struct Moving;

impl Strategy for Moving {
    fn pick(&self, _set: &NodeSet, state: &StrategyState) -> usize {
        state.fetch_add(1, Ordering::Relaxed);
        0
    }

    fn name(&self) -> &'static str {
        "moving"
    }
}

/// Takes the node whose id is the last one.
#[derive(Debug)]
struct Last;

impl Strategy for Last {
    fn pick(&self, set: &NodeSet, _state: &StrategyState) -> usize {
        let ids = set.nodes.iter().enumerate().max_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        ids.map_or(0, |(index, _)| index)
    }

    fn name(&self) -> &'static str {
        "last"
    }
}

async fn the_strategy_of_the_selection_picks(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c", "d"]).await?;
    let last = SelectOptions { filters: Vec::new(), strategy: Some(Arc::new(Last)) };
    for _ in 0..20 {
        expect_equal("the node that the strategy picks", &bench.pick(&last).await?.id, &"d")?;
        bench.pick(&SelectOptions::default()).await?;
    }
    Ok(())
}

fn nodes_by_seed(site: &Site) -> Vec<String> {
    ids(site.env().random("nodes").random_range(2..8))
}

fn is_even(counts: &BTreeMap<String, usize>, nodes: &[String]) -> Outcome {
    let share = 1.0 / nodes.len() as f64;
    let draws = (DRAWS_PER_NODE * nodes.len()) as f64;
    let (mean, deviation) = (draws * share, (draws * share * (1.0 - share)).sqrt());
    let far = |count: usize| (count as f64 - mean).abs() > DEVIATIONS * deviation;
    let wrong = nodes.iter().find(|id| far(counts.get(*id).copied().unwrap_or(0)));
    expect(
        wrong.is_none(),
        format!("about {mean:.0} of {draws:.0} selections for each of {} nodes", nodes.len()),
        || format!("{counts:?}"),
    )
}

async fn random_spreads_evenly(site: Site) -> Outcome {
    let nodes = nodes_by_seed(&site);
    let bench = Bench::over(&site, &strs(&nodes)).await?;
    // What the registry tells more than once is still there once.
    bench.load(&bench.user).await?;
    bench.directory.put(&service(&bench.user, "1.0.0", &strs(&nodes)));
    site.take_effect(site.slack()).await;
    is_even(&bench.counts(DRAWS_PER_NODE * nodes.len(), &bench.random()).await?, &nodes)
}

async fn the_default_strategy_does_what_its_name_says(site: Site) -> Outcome {
    let nodes = nodes_by_seed(&site);
    let bench = Bench::over(&site, &strs(&nodes)).await?;
    let counts = bench.counts(DRAWS_PER_NODE * nodes.len(), &SelectOptions::default()).await?;
    match bench.selector.options().strategy.name() {
        "random" => is_even(&counts, &nodes),
        "round_robin" => {
            is_fair(&counts, &nodes)?;
            let nodes = ids(MANY_NODES);
            let bench = Bench::over(&site, &strs(&nodes)).await?;
            is_fair(&bench.counts(MANY_NODES * 3 / 2, &SelectOptions::default()).await?, &nodes)
        }
        _ => {
            let unknown = counts.keys().find(|id| !nodes.contains(id));
            expect(unknown.is_none(), "nodes that are registered", || format!("{unknown:?}"))
        }
    }
}

async fn a_selector_called_after_a_strategy_has_it(site: Site) -> Outcome {
    let bench = Bench::empty(&site).await?;
    expect_equal("the default strategy", &bench.selector.options().strategy.name(), &base_name(site.plugin()))
}

async fn each_strategy_has_a_position_of_its_own(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    let moving = SelectOptions { filters: Vec::new(), strategy: Some(Arc::new(Moving)) };
    let mut counts = BTreeMap::new();
    for _ in 0..10 {
        *counts.entry(bench.pick(&in_turns()).await?.id.clone()).or_default() += 1;
        bench.pick(&moving).await?;
    }
    is_fair(&counts, &["a".to_owned(), "b".to_owned()])
}

fn is_fair(counts: &BTreeMap<String, usize>, nodes: &[String]) -> Outcome {
    let count = |id: &String| counts.get(id).copied().unwrap_or(0);
    let least = nodes.iter().map(count).min().unwrap_or(0);
    let most = nodes.iter().map(count).max().unwrap_or(0);
    expect(most - least <= 1, "counts of selections that differ by one at most", || {
        if nodes.len() > 16 { format!("{least} to {most}") } else { format!("{counts:?}") }
    })
}

async fn round_robin_is_fair_across_selections(site: Site) -> Outcome {
    let nodes = nodes_by_seed(&site);
    let bench = Bench::over(&site, &strs(&nodes)).await?;
    let options = in_turns();
    let mut counts = BTreeMap::new();
    let mut random = site.env().random("marks");
    for _ in 0..nodes.len() * 6 + 1 {
        // Fair at every moment, and not only in the end.
        let node = bench.pick(&options).await?;
        *counts.entry(node.id.clone()).or_default() += 1;
        is_fair(&counts, &nodes)?;
        // Whoever calls tells how it went, and that it went well takes nobody's turn.
        if random.random() {
            bench.selector.mark(&bench.user, &node, Marked::Answered);
        }
    }
    Ok(())
}

async fn each_service_has_turns_of_its_own(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    let other = site.name("payment");
    bench.directory.put(&service(&other, "1.0.0", &["c", "d"]));
    let options = in_turns();
    let (mut users, mut payments) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..10 {
        *users.entry(bench.pick(&options).await?.id.clone()).or_default() += 1;
        *payments.entry(bench.pick_of(&other, &options).await?.id.clone()).or_default() += 1;
    }
    is_fair(&users, &["a".to_owned(), "b".to_owned()])?;
    is_fair(&payments, &["c".to_owned(), "d".to_owned()])
}

/// How many turns nodes that come and go may take from one that stays.
const TURNS: usize = 2;

/// So many combinations of filters are brought once.
const COMBINATIONS: usize = 90;

/// So many nodes are very many.
const MANY_NODES: usize = 1_024;

async fn turns_go_on_while_nodes_come_and_go(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c", "d"]).await?;
    let options = in_turns();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut random = site.env().random("selections");
    for round in 0..16 {
        for _ in 0..random.random_range(1..6) {
            *counts.entry(bench.pick(&options).await?.id.clone()).or_default() += 1;
        }
        match round % 2 {
            0 => bench.directory.remove(&bench.user, "b"),
            _ => bench.directory.put(&service(&bench.user, "1.0.0", &["a", "b"])),
        }
        site.take_effect(site.slack()).await;
    }
    let (c, d) = (counts.get("c").copied().unwrap_or(0), counts.get("d").copied().unwrap_or(0));
    expect(c.abs_diff(d) <= TURNS, "nodes that stay to get the same, but for two", || format!("{counts:?}"))?;
    turns_go_on_among_many(&site).await
}

/// The same where there are so many that who selects may well take some turns ahead.
async fn turns_go_on_among_many(site: &Site) -> Outcome {
    let nodes = ids(MANY_NODES);
    let bench = Bench::over(site, &strs(&nodes)).await?;
    let takes_turns = bench.selector.options().strategy.name() == RoundRobin.name();
    let options = if takes_turns { SelectOptions::default() } else { in_turns() };
    let (comes_and_goes, stop) = (nodes[nodes.len() - 1].as_str(), nodes[nodes.len() / 2].as_str());
    let mut counts = BTreeMap::new();
    for round in 0..6 {
        // At the same node each time: who loses the turns behind it loses them each time.
        for _ in 0..2 * MANY_NODES {
            let picked = bench.pick(&options).await?.id.clone();
            let is_there = picked == stop;
            *counts.entry(picked).or_default() += 1;
            if is_there {
                break;
            }
        }
        match round % 2 {
            0 => bench.directory.remove(&bench.user, comes_and_goes),
            _ => bench.directory.put(&service(&bench.user, "1.0.0", &[comes_and_goes])),
        }
        site.take_effect(site.slack()).await;
    }
    let staying = || nodes.iter().filter(|id| *id != comes_and_goes);
    let count = |id: &String| counts.get(id).copied().unwrap_or(0);
    let (least, most) = (staying().map(count).min().unwrap_or(0), staying().map(count).max().unwrap_or(0));
    expect(most - least <= TURNS, format!("nodes that stay among {MANY_NODES} to get the same, but for two"), || {
        format!("{least} to {most}")
    })
}

async fn each_filter_has_turns_of_its_own(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c", "d"]).await?;
    bench.directory.put(&service(&bench.user, "2.0.0", &["e", "f", "g", "h"]));
    type Kind = fn(bool) -> Arc<dyn Filter>;
    let kinds: [(Kind, [&str; 4]); 3] = [
        (|one| Arc::new(ByVersion::new(if one { "1.0.0" } else { "2.0.0" })), ["a", "b", "c", "d"]),
        (|one| Arc::new(ByEndpoint::new(if one { "User.V1.0.0" } else { "User.V2.0.0" })), ["a", "b", "c", "d"]),
        (|one| Arc::new(ByLabel::new("zone", if one { "eu" } else { "us" })), ["a", "c", "e", "g"]),
    ];
    let all = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (filter, first) in kinds {
        let mut counts = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
        for _ in 0..16 {
            for (turn, filters) in
                [vec![filter(true)], Vec::new(), vec![filter(false)], Vec::new()].into_iter().enumerate()
            {
                let options = SelectOptions { filters, ..in_turns() };
                let of = [0, 1, 2, 1][turn];
                *counts[of].entry(bench.pick(&options).await?.id.clone()).or_default() += 1;
            }
        }
        let (first, others): (Vec<&str>, Vec<&str>) = all.iter().copied().partition(|id| first.contains(id));
        for (counts, nodes) in counts.iter().zip([&first[..], &all, &others]) {
            is_fair(counts, &nodes.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())?;
        }
    }
    // Filters that nobody brings again take nobody's turns, however many there were.
    let version: Kind = |one| Arc::new(ByVersion::new(if one { "1.0.0" } else { "2.0.0" }));
    bench.pick(&SelectOptions::default()).await?;
    for number in 0..COMBINATIONS {
        let zones = (0..=number % 9).map(|_| Arc::new(ByLabel::new("zone", "eu")) as Arc<dyn Filter>);
        let filters = zones.chain((0..number / 9).map(|_| version(true))).collect();
        bench.pick(&SelectOptions { filters, ..in_turns() }).await?;
    }
    let mut counts = [BTreeMap::new(), BTreeMap::new()];
    for turn in 0..32 {
        let options = SelectOptions { filters: vec![version(turn % 2 == 0)], ..in_turns() };
        *counts[turn % 2].entry(bench.pick(&options).await?.id.clone()).or_default() += 1;
    }
    for (counts, nodes) in counts.iter().zip([&all[..4], &all[4..]]) {
        is_fair(counts, &nodes.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())?;
    }
    Ok(())
}

async fn a_selection_hands_out_further_nodes(site: Site) -> Outcome {
    let nodes = nodes_by_seed(&site);
    let bench = Bench::over(&site, &strs(&nodes)).await?;
    bench.load(&bench.user).await?;
    let selected = bench.selector.select(&bench.user, &in_turns());
    let Ok(Selection::Ready(next)) = selected else {
        return Err(Finding::violated("a selection after the service was loaded", format!("{selected:?}")));
    };
    let mut handed_out = Vec::new();
    for _ in &nodes {
        let node = next.node().map_err(|error| Finding::violated("a further node", format!("the error `{error}`")))?;
        handed_out.push(node.id.clone());
    }
    handed_out.sort();
    expect_equal("the nodes that one selection hands out in turns", &handed_out, &nodes)?;
    // A selector in another process does not tell.
    let Some(set) = next.set() else { return Ok(()) };
    let mut told: Vec<String> = set.nodes.iter().map(|node| node.id.clone()).collect();
    told.sort();
    expect_equal("the nodes that one selection tells that it takes from", &told, &nodes)
}
