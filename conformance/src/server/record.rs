//! The record: what a server registers of itself.

use std::net::IpAddr;

use shaketable_stack::env::split_host_port;
use shaketable_stack::plugin::Ability;

use super::tools::Stage;
use crate::Level::{Must, Should};
use crate::client::stage::Ask;
use crate::requirement::check;
use crate::{Finding, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-023",
        level: Must,
        sentence: "A server that was started is in the registry with its name, its version, one node, and the metadata that it was given.",
        source: "go-micro server/rpc_server.go: Register",
        needs: &[],
        check: check!(a_started_server_is_registered),
    },
    Requirement {
        id: "SRV-024",
        level: Must,
        sentence: "The record that a server tells is the one that it registers, and there is none before the start.",
        source: "go-micro server/rpc_server.go: Register builds it; decision of shaketable: who runs a server can ask for it",
        needs: &[],
        check: check!(the_record_is_what_is_registered),
    },
    Requirement {
        id: "SRV-025",
        level: Must,
        sentence: "Every endpoint of every handler is registered as Type.Method.",
        source: "go-micro server/extractor.go; selector/filter.go: FilterEndpoint needs them",
        needs: &[],
        check: check!(endpoints_are_registered),
    },
    Requirement {
        id: "SRV-026",
        level: Should,
        sentence: "The endpoints of streams are registered with stream=true.",
        source: "go-micro server/extractor.go: extractEndpoint, stream metadata",
        needs: &[Need::Has(Ability::Streams)],
        check: check!(streams_are_marked),
    },
    Requirement {
        id: "SRV-027",
        level: Must,
        sentence: "The node's metadata name the protocol.",
        source: "go-micro client/rpc_codec.go: setupProtocol, which calls a node without protocol in the legacy one",
        needs: &[],
        check: check!(the_protocol_is_registered),
    },
    Requirement {
        id: "SRV-028",
        level: Must,
        sentence: "The registered address is one that other hosts reach the server by, also when it listens everywhere.",
        source: "go-micro internal/util/addr/addr.go: Extract replaces 0.0.0.0 and [::]",
        needs: &[],
        check: check!(the_address_is_reachable),
    },
    Requirement {
        id: "SRV-029",
        level: Must,
        sentence: "Where the options say which address to advertise, that one is registered as it is.",
        source: "go-micro server/options.go: Advertise",
        needs: &[],
        check: check!(the_advertised_address_is_registered),
    },
    Requirement {
        id: "SRV-030",
        level: Must,
        sentence: "Two servers of one service on one host are two nodes, each with an id and an address of its own, and each serves.",
        source: "go-micro server/server.go: DefaultId is one UUID for all servers of a process",
        needs: &[],
        check: check!(two_servers_are_two_nodes),
    },
];

async fn a_started_server_is_registered(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.set(|options| {
        options.version = "1.2.3".to_owned();
        options.metadata = [("zone".to_owned(), "north".to_owned())].into();
    })?;
    expect_equal("the nodes before the start", &stage.nodes().await?.len(), &0)?;
    stage.start().await?;
    let records = stage.registered().await?;
    let told: Vec<_> = records.iter().map(|own| (own.name.clone(), own.version.as_str(), own.nodes.len())).collect();
    expect_equal("name, version and number of nodes", &told, &vec![(stage.service.clone(), "1.2.3", 1)])?;
    let node = &records[0].nodes[0];
    expect(!node.id.is_empty(), "a node with an id", || format!("{node:?}"))?;
    expect_equal("the node's zone", &node.metadata.get("zone").map(String::as_str), &Some("north"))?;
    stage.stop().await
}

async fn the_record_is_what_is_registered(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    expect(stage.server.record().is_none(), "no record before the start", || format!("{:?}", stage.server.record()))?;
    stage.set(|options| options.version = "3.2.1".to_owned())?;
    stage.start().await?;
    let record = stage.record()?;
    expect_equal("the records in the registry", &stage.registered().await?, &vec![record.clone()])?;
    let id = record.nodes.first().map(|node| node.id.clone());
    expect_equal("the node's id", &stage.server.node_id(), &id)?;
    stage.stop().await
}

async fn endpoints_are_registered(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let records = stage.registered().await?;
    let names: Vec<&str> = records.iter().flat_map(|own| &own.endpoints).map(|own| own.name.as_str()).collect();
    for method in ["Echo", "Where", "Wait", "Fail"] {
        let name = format!("Probe.{method}");
        expect(names.contains(&name.as_str()), format!("an endpoint {name}"), || format!("{names:?}"))?;
    }
    stage.stop().await
}

async fn streams_are_marked(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let mut marked = Vec::new();
    for endpoint in stage.registered().await?.into_iter().flat_map(|record| record.endpoints) {
        if endpoint.metadata.get("stream").is_some_and(|value| value == "true") {
            marked.push(endpoint.name);
        }
    }
    marked.sort();
    expect_equal("the endpoints with stream=true", &marked, &vec!["Probe.Chat", "Probe.Late"])?;
    stage.stop().await
}

async fn the_protocol_is_registered(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    stage.start().await?;
    let nodes = stage.nodes().await?;
    let node = nodes.first().ok_or_else(|| Finding::violated("a node in the registry", "none"))?;
    let protocol = node.metadata.get("protocol").is_some_and(|protocol| !protocol.is_empty());
    expect(protocol, "metadata with a protocol", || format!("{:?}", node.metadata))?;
    stage.stop().await
}

async fn the_address_is_reachable(site: Site) -> Outcome {
    for address in [":0", "0.0.0.0:0"] {
        let stage = Stage::new(&site).await?;
        stage.set(|options| options.address = address.to_owned())?;
        stage.start().await?;
        for node in stage.nodes().await? {
            let host = split_host_port(&node.address).map(|(host, _)| host.to_owned());
            let host = host.map_err(|error| Finding::violated("host:port in the registry", error.to_string()))?;
            let nowhere = host.is_empty() || host.parse::<IpAddr>().is_ok_and(|host| host.is_unspecified());
            expect(!nowhere, "an address that says which host", || node.address.clone())?;
        }
        stage.caller().await?.echo("from another host").await?;
        stage.stop().await?;
    }
    Ok(())
}

async fn the_advertised_address_is_registered(site: Site) -> Outcome {
    let stage = Stage::new(&site).await?;
    let advertised = "gateway.example:8443";
    stage.set(|options| options.advertise = Some(advertised.to_owned()))?;
    stage.start().await?;
    let addresses: Vec<_> = stage.nodes().await?.into_iter().map(|node| node.address).collect();
    expect_equal("the addresses in the registry", &addresses, &vec![advertised.to_owned()])?;
    stage.stop().await
}

async fn two_servers_are_two_nodes(site: Site) -> Outcome {
    let one = Stage::of(&site, site.parts().await?, "one").await?;
    let two = Stage::of(&site, site.parts().await?, "two").await?;
    one.start().await?;
    two.start().await?;
    let nodes = one.nodes().await?;
    let differ = nodes.len() == 2 && nodes[0].id != nodes[1].id && nodes[0].address != nodes[1].address;
    expect(differ, "two nodes with ids and addresses of their own", || format!("{nodes:?}"))?;
    let caller = one.caller().await?;
    for (stage, label) in [(&one, "one"), (&two, "two")] {
        let address = stage.address()?;
        let ask = Ask::of("Probe.Where", "x").with(|options| options.addresses = vec![address]);
        expect_equal("the server that answered", &caller.ask(ask).await?.as_str(), &label)?;
    }
    one.stop().await?;
    let left: Vec<_> = two.nodes().await?.into_iter().map(|node| node.address).collect();
    expect_equal("the addresses after the first was stopped", &left, &vec![two.address()?])?;
    two.stop().await
}
