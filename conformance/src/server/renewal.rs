//! Renewal: a server stays registered while it runs, whatever happens to its registration, and only while its check passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shaketable_stack::registry::DeregisterOptions;
use shaketable_stack::server::RegisterCheck;
use shaketable_stack::{Error, ErrorKind};

use super::tools::Stage;
use crate::Level::Must;
use crate::requirement::check;
use crate::site::SLACK;
use crate::{Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-034",
        level: Must,
        sentence: "A server renews its registration, so that it is found for as long as it runs.",
        source: "go-micro server/rpc_server.go: the ticker of RegisterInterval",
        needs: &[Need::VirtualTime],
        check: check!(a_registration_is_renewed, "looked at every second for {}, with a TTL of {}", WATCHED_FOR, TTL),
    },
    Requirement {
        id: "SRV-035",
        level: Must,
        sentence: "A registration that somebody has removed is restored at the next interval.",
        source: "micro-in-cn questions issue 5; go-plugins issue 127, go-micro pull requests 820 and 2959",
        needs: &[],
        check: check!(
            a_lost_registration_is_restored,
            "with an interval of {} within {}",
            INTERVAL,
            SLACK.after(INTERVAL * 2)
        ),
    },
    Requirement {
        id: "SRV-036",
        level: Must,
        sentence: "A registration that fails at the start fails neither the start nor the server, and is tried again at the next interval.",
        source: "go-micro server/rpc_server.go: Start logs a failing Register",
        needs: &[],
        check: check!(
            a_failed_registration_is_tried_again,
            "with an interval of {} within {}",
            INTERVAL,
            SLACK.after(INTERVAL * 2)
        ),
    },
    Requirement {
        id: "SRV-037",
        level: Must,
        sentence: "A server whose register check fails is not found from the next interval on, until it passes again.",
        source: "go-micro issue 1066; server/options.go: RegisterCheck",
        needs: &[],
        check: check!(
            a_failing_check_keeps_it_out,
            "with an interval of {} within {}",
            INTERVAL,
            SLACK.after(INTERVAL * 2)
        ),
    },
    Requirement {
        id: "SRV-038",
        level: Must,
        sentence: "While its register check fails a server registers nothing, not even for a moment.",
        source: "go-micro v2 to v6 server/rpc_server.go: Deregister and Register in one tick",
        needs: &[],
        check: check!(a_failing_check_registers_nothing, "after {}, for {}", SLACK.after(INTERVAL), INTERVAL * 5),
    },
];

/// How often the servers of these checks renew.
const INTERVAL: Duration = Duration::from_millis(400);
/// For how long a server is looked at whose registration has so short a TTL.
const WATCHED_FOR: Duration = Duration::from_secs(40);
const TTL: Duration = Duration::from_secs(3);

async fn a_registration_is_renewed(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.set(|options| {
        options.register_ttl = TTL;
        options.register_interval = Duration::from_secs(1);
    })?;
    stage.start().await?;
    for second in 1..=WATCHED_FOR.as_secs() {
        site.let_pass(Duration::from_secs(1)).await;
        expect_equal(&format!("the nodes in the registry after {second} s"), &stage.nodes().await?.len(), &1)?;
    }
    stage.stop().await
}

async fn a_lost_registration_is_restored(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.set(|options| options.register_interval = INTERVAL)?;
    stage.start().await?;
    let record = stage.record()?;
    for _ in 0..2 {
        let other = site.registry().await?;
        site.ask("remove the registration", other.deregister(&record, DeregisterOptions::default())).await?;
        stage.until_nodes(1, site.by_world(SLACK.after(INTERVAL * 2))).await?;
        expect_equal("the record in the registry", &stage.registered().await?, &vec![record.clone()])?;
    }
    stage.stop().await
}

async fn a_failed_registration_is_tried_again(site: Site) -> Outcome {
    let (stage, spy) = Stage::spied(&site).await?;
    stage.set(|options| options.register_interval = INTERVAL)?;
    spy.failing.store(true, Ordering::Relaxed);
    stage.start().await?;
    site.let_pass(2 * INTERVAL).await;
    expect_equal("the nodes in the registry while it fails", &stage.nodes().await?.len(), &0)?;
    spy.failing.store(false, Ordering::Relaxed);
    stage.until_nodes(1, site.by_world(SLACK.after(INTERVAL * 2))).await?;
    stage.caller().await?.echo("registered after all").await?;
    stage.stop().await
}

/// A check that passes while the flag holds.
fn check_of(passes: &Arc<AtomicBool>) -> RegisterCheck {
    let passes = passes.clone();
    RegisterCheck::new(move || {
        let passes = passes.load(Ordering::Relaxed);
        async move { if passes { Ok(()) } else { Err(Error::new(ErrorKind::Backend, "check").detail("not well")) } }
    })
}

async fn a_failing_check_keeps_it_out(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let passes = Arc::new(AtomicBool::new(false));
    stage.set(|options| {
        options.register_interval = INTERVAL;
        options.register_check = Some(check_of(&passes));
    })?;
    // A start may say so, or only not register.
    let _ = site.ends("start the server while its check fails", stage.server.start()).await?;
    expect_equal("the nodes in the registry after the start", &stage.nodes().await?.len(), &0)?;
    passes.store(true, Ordering::Relaxed);
    stage.until_nodes(1, site.by_world(SLACK.after(INTERVAL * 2))).await?;
    passes.store(false, Ordering::Relaxed);
    stage.until_nodes(0, site.by_world(SLACK.after(INTERVAL * 2))).await?;
    site.quiet_for(2 * INTERVAL).await;
    expect_equal("the nodes in the registry two intervals later", &stage.nodes().await?.len(), &0)?;
    passes.store(true, Ordering::Relaxed);
    stage.until_nodes(1, site.by_world(SLACK.after(INTERVAL * 2))).await?;
    stage.stop().await
}

async fn a_failing_check_registers_nothing(site: Site) -> Outcome {
    let (stage, spy) = Stage::spied(&site).await?;
    let passes = Arc::new(AtomicBool::new(true));
    stage.set(|options| {
        options.register_interval = INTERVAL;
        options.register_check = Some(check_of(&passes));
    })?;
    stage.start().await?;
    passes.store(false, Ordering::Relaxed);
    // A renewal that is under way may still end.
    site.take_effect(INTERVAL + site.slack()).await;
    let before = spy.registrations();
    site.quiet_for(5 * INTERVAL).await;
    let during = spy.registrations() - before;
    expect(during == 0, "no registration in five intervals of a failing check", || format!("{during}"))?;
    stage.stop().await
}
