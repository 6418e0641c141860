//! Lifecycle: init, close and drop, and selectors beside each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::{Setting, Settings};
use shaketable_stack::selector::strategy::RoundRobin;
use shaketable_stack::selector::{SelectOptions, SelectorOptions};

use super::directory::Directory;
use super::tools::{Bench, refused, service};
use crate::Level::{Must, Should};
use crate::requirement::{Need, check};
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

/// How long what was closed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SEL-045",
        level: Must,
        sentence: "After close, selecting is refused with Closed.",
        source: "go-micro selector/selector.go: Close",
        needs: &[],
        check: check!(after_close_selecting_is_refused),
    },
    Requirement {
        id: "SEL-046",
        level: Must,
        sentence: "A second close does nothing, and closing before anything was selected is no error.",
        source: "go-micro selector/selector.go: Close",
        needs: &[],
        check: check!(a_second_close_does_nothing),
    },
    Requirement {
        id: "SEL-047",
        level: Must,
        sentence: "Close ends the tasks of the selector and the watchers that it has opened.",
        source: "go-micro issue 631 and pull request 634: watchers leak",
        needs: &[Need::InProcess("which tasks are the plugin's")],
        check: check!(close_releases_watchers_and_tasks, "within {}", GONE_WITHIN),
    },
    Requirement {
        id: "SEL-048",
        level: Must,
        sentence: "Close leaves the registry open, which others use.",
        source: "go-micro selector/default.go: Close stops its own cache alone",
        needs: &[],
        check: check!(close_leaves_the_registry_open),
    },
    Requirement {
        id: "SEL-049",
        level: Must,
        sentence: "Two selectors with registries of their own know nothing of each other's nodes.",
        source: "go-micro client/options.go of v2 to v6: Registry re-points the selector that all clients share",
        needs: &[],
        check: check!(two_selectors_are_two),
    },
    Requirement {
        id: "SEL-050",
        level: Must,
        sentence: "After init with another registry, the nodes of that one are selected and no others.",
        source: "go-micro selector/default.go: Init makes a new cache",
        needs: &[Need::InProcess("options by init")],
        check: check!(init_changes_the_registry),
    },
    Requirement {
        id: "SEL-051",
        level: Must,
        sentence: "After init with another strategy, selections that bring none use it, and options tell it.",
        source: "go-micro selector/options.go: SetStrategy",
        needs: &[Need::InProcess("options by init")],
        check: check!(init_changes_the_strategy),
    },
    Requirement {
        id: "SEL-052",
        level: Should,
        sentence: "A selector that is dropped without close ends its tasks and its watchers.",
        source: "decision of shaketable: in Rust what is dropped is gone",
        needs: &[Need::InProcess("that a value is dropped")],
        check: check!(a_dropped_selector_leaves_nothing, "within {}", GONE_WITHIN),
    },
    Requirement {
        id: "SEL-061",
        level: Should,
        sentence: "A setting that the selector does not know is refused when it is made.",
        source: "decision of shaketable: a misspelt setting that is silently ignored is found in production",
        needs: &[Need::InProcess("a setting")],
        check: check!(an_unknown_setting_is_refused_by_the_selector),
    },
];

async fn after_close_selecting_is_refused(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a"]).await?;
    bench.pick(&SelectOptions::default()).await?;
    site.ask("close", bench.selector.close()).await?;
    for name in [bench.user.as_str(), "nobody"] {
        let selected = bench.selector.select(name, &SelectOptions::default());
        refused(&format!("to select {name} after close"), selected, &[ErrorKind::Closed])?;
    }
    Ok(())
}

async fn a_second_close_does_nothing(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a"]).await?;
    bench.pick(&SelectOptions::default()).await?;
    site.ask("close", bench.selector.close()).await?;
    site.ask("close again", bench.selector.close()).await?;
    let unused = Bench::empty(&site).await?;
    site.ask("close what was never used", unused.selector.close()).await
}

/// Waits until no watcher is open and no more tasks live than `tasks`.
async fn nothing_left(site: &Site, after: &str, directory: &Directory, tasks: usize) -> Outcome {
    let look = || {
        let (watchers, live) = (directory.watchers(), site.env().live_tasks());
        let gone = watchers == 0 && live.total() <= tasks;
        std::future::ready(if gone {
            Ok(())
        } else {
            Err(format!("{watchers} watchers and the tasks {:?}", live.counts()))
        })
    };
    site.eventually(&format!("no watchers and {tasks} tasks {after}"), GONE_WITHIN, look).await
}

async fn close_releases_watchers_and_tasks(site: Site) -> Outcome {
    let tasks = site.env().live_tasks().total();
    let bench = Bench::over(&site, &["a"]).await?;
    for name in ["user", "payment", "order"] {
        let name = site.name(name);
        bench.directory.put(&service(&name, "1.0.0", &["a"]));
        bench.pick_of(&name, &SelectOptions::default()).await?;
    }
    site.take_effect(site.slack()).await;
    site.ask("close", bench.selector.close()).await?;
    nothing_left(&site, "after close", &bench.directory, tasks).await
}

async fn close_leaves_the_registry_open(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a"]).await?;
    let other = site.selector(bench.directory.clone()).await?;
    let other = Bench { selector: other, ..bench.clone() };
    bench.pick(&SelectOptions::default()).await?;
    other.pick(&SelectOptions::default()).await?;
    site.ask("close", bench.selector.close()).await?;
    expect(!bench.directory.is_closed(), "the registry to be left open", || "it was closed".to_owned())?;
    other.pick(&SelectOptions::default()).await.map(drop)
}

async fn two_selectors_are_two(site: Site) -> Outcome {
    let one = Bench::over(&site, &["a", "b"]).await?;
    let two = Bench::over(&site, &["c", "d"]).await?;
    for _ in 0..2 {
        one.reaches(&["a", "b"], &one.random()).await?;
        two.reaches(&["c", "d"], &two.random()).await?;
    }
    let third = Bench::empty(&site).await?;
    let picked = third.try_pick(&third.user, &SelectOptions::default()).await?;
    refused("to select what only other selectors' registries know", picked, &[ErrorKind::NotFound])?;
    one.reaches(&["a", "b"], &one.random()).await
}

async fn init_changes_the_registry(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b"]).await?;
    bench.reaches(&["a", "b"], &bench.random()).await?;
    let other = Arc::new(Directory::new(site.env().clone()));
    other.put(&service(&bench.user, "1.0.0", &["c", "d"]));
    let options = SelectorOptions { registry: other.clone(), ..bench.selector.options() };
    let initialised = bench.selector.init(options);
    expect(initialised.is_ok(), "init with another registry to succeed", || format!("{initialised:?}"))?;
    bench.load(&bench.user).await?;
    bench.reaches(&["c", "d"], &bench.random()).await?;
    bench.directory.put(&service(&bench.user, "1.0.0", &["e"]));
    site.quiet_for(site.slack()).await;
    bench.reaches(&["c", "d"], &bench.random()).await
}

async fn init_changes_the_strategy(site: Site) -> Outcome {
    let bench = Bench::over(&site, &["a", "b", "c"]).await?;
    bench.pick(&SelectOptions::default()).await?;
    let options = SelectorOptions { strategy: Arc::new(RoundRobin), ..bench.selector.options() };
    let initialised = bench.selector.init(options);
    expect(initialised.is_ok(), "init with another strategy to succeed", || format!("{initialised:?}"))?;
    expect_equal("the strategy that options tell", &bench.selector.options().strategy.name(), &"round_robin")?;
    let counts = bench.counts(30, &SelectOptions::default()).await?;
    expect(counts.len() == 3 && counts.values().all(|count| *count == 10), "30 selections in turns", || {
        format!("{counts:?}")
    })
}

async fn a_dropped_selector_leaves_nothing(site: Site) -> Outcome {
    let tasks = site.env().live_tasks().total();
    let bench = Bench::over(&site, &["a"]).await?;
    bench.pick(&SelectOptions::default()).await?;
    site.take_effect(site.slack()).await;
    let Bench { directory, selector, .. } = bench;
    drop(selector);
    nothing_left(&site, "after the selector was dropped", &directory, tasks).await
}

async fn an_unknown_setting_is_refused_by_the_selector(site: Site) -> Outcome {
    let factory = site.shared.plugins.selectors.get(site.plugin()).map(|plugin| plugin.factory.clone());
    let factory = factory.map_err(|error| Finding::Broke(error.to_string()))?;
    let settings = BTreeMap::from([("no_such_setting".to_owned(), Setting::Bool(true))]);
    let settings = Settings::new(site.shared.subject.addresses.clone(), settings);
    let made = factory(site.env().clone(), Arc::new(Directory::new(site.env().clone())), settings);
    site.refused("make it with 'no_such_setting'", &[ErrorKind::InvalidInput], made).await.map(drop)
}
