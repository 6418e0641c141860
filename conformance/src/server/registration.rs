//! Registration by hand, and what a registration carries.

use std::time::Duration;

use super::tools::Stage;
use crate::Level::Must;
use crate::client::stage::lock;
use crate::requirement::check;
use crate::{Outcome, Requirement, Site, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-031",
        level: Must,
        sentence: "A registration lives as long as the options say, so that a server that dies is forgotten.",
        source: "go-micro server/options.go: RegisterTTL",
        needs: &[],
        check: check!(a_registration_has_a_ttl),
    },
    Requirement {
        id: "SRV-032",
        level: Must,
        sentence: "A server that is deregistered by hand goes on serving but is not found, until it is registered by hand.",
        source: "go-micro server/rpc_server.go: Register, Deregister",
        needs: &[],
        check: check!(registration_by_hand),
    },
    Requirement {
        id: "SRV-033",
        level: Must,
        sentence: "A version and metadata that changed while the server runs are what it registers by hand next.",
        source: "go-micro server/rpc_server.go: rsvc is built once and registered for ever",
        needs: &[],
        check: check!(changes_are_registered),
    },
];

async fn a_registration_has_a_ttl(site: Site) -> Outcome {
    let (stage, spy) = Stage::spied(&site).await?;
    let ttl = Duration::from_secs(47);
    stage.set(|options| options.register_ttl = ttl)?;
    stage.start().await?;
    let registered = lock(&spy.options).clone().and_then(|options| options.ttl);
    expect_equal("the time that the registration lives", &registered, &Some(ttl))?;
    stage.stop().await
}

async fn registration_by_hand(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.set(|options| options.register_interval = Duration::from_secs(3_600))?;
    stage.start().await?;
    let (caller, address) = (stage.caller().await?, stage.address()?);
    site.ask("deregister by hand", stage.server.deregister()).await?;
    expect_equal("the nodes in the registry", &stage.nodes().await?.len(), &0)?;
    let ask = crate::client::stage::Ask::of("Probe.Where", "x").with(|options| options.addresses = vec![address]);
    expect_equal("the server that answered", &caller.ask(ask).await?.as_str(), &"one")?;
    site.ask("register by hand", stage.server.register()).await?;
    expect_equal("the nodes in the registry then", &stage.nodes().await?.len(), &1)?;
    stage.stop().await
}

async fn changes_are_registered(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    stage.set(|options| {
        options.version = "2.0.0".to_owned();
        options.metadata.insert("zone".to_owned(), "south".to_owned());
    })?;
    site.ask("register by hand", stage.server.register()).await?;
    let records = stage.registered().await?;
    let newest = records.iter().find(|record| record.version == "2.0.0");
    let zone = newest.and_then(|record| record.nodes.first()).and_then(|node| node.metadata.get("zone").cloned());
    expect_equal("the zone of version 2.0.0 in the registry", &zone.as_deref(), &Some("south"))?;
    stage.stop().await
}
