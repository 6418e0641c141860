//! Records: what is registered is found, as it was registered, and nothing else is.

use rand::Rng;
use shaketable_stack::ErrorKind;
use shaketable_stack::registry::{Endpoint, GetOptions, Service, Value};

use super::tools::{finds, finds_nodes, found, in_order, of_nodes, put, revised, service};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-001",
        level: Must,
        sentence: "A service that was registered is found by its name, and each of many lookups is answered.",
        source: "go-micro registry/registry.go: Register, GetService; decision of shaketable: a selector that gets an error \
                 has no node to call",
        needs: &[],
        check: check!(a_registered_service_is_found),
    },
    Requirement {
        id: "REG-002",
        level: Must,
        sentence: "A service that nobody registered is answered with NotFound.",
        source: "go-micro registry/registry.go: ErrNotFound; mdns, consul and nats answer an empty list instead",
        needs: &[],
        check: check!(an_unknown_service_is_not_found),
    },
    Requirement {
        id: "REG-003",
        level: Must,
        sentence: "All nodes of a service that is registered with several are found, each with its own address and \
            metadata.",
        source: "go-micro registry/registry.go: Service.Nodes",
        needs: &[],
        check: check!(every_node_of_a_registration_is_found),
    },
    Requirement {
        id: "REG-004",
        level: Must,
        sentence: "Registering a node leaves the other nodes of the service as they were.",
        source: "go-micro issue 793: nodes overwritten through shared values",
        needs: &[],
        check: check!(another_node_leaves_the_others_as_they_were),
    },
    Requirement {
        id: "REG-005",
        level: Must,
        sentence: "Nodes of one version that were registered one by one are answered as one service.",
        source: "go-micro registry/etcd/etcd.go: GetService keys services by version",
        needs: &[],
        check: check!(nodes_of_one_version_are_one_service),
    },
    Requirement {
        id: "REG-006",
        level: Must,
        sentence: "Each version of a service is answered as a service of its own with its own nodes.",
        source: "go-micro registry/etcd/etcd.go: GetService keys services by version",
        needs: &[],
        check: check!(each_version_is_a_service_of_its_own),
    },
    Requirement {
        id: "REG-007",
        level: Must,
        sentence: "Metadata and endpoints, with nested values, are found as they were registered.",
        source: "go-micro registry/registry.go: Service.Metadata, Service.Endpoints, Value.Values",
        needs: &[],
        check: check!(metadata_and_endpoints_are_found_as_registered),
    },
    Requirement {
        id: "REG-008",
        level: Must,
        sentence: "Metadata is text of any kind: empty, with line breaks, quotes and separators, and in any script.",
        source: "go-micro registry/consul/encoding.go: tags are told apart by their first letter",
        needs: &[],
        check: check!(metadata_is_text_of_any_kind),
    },
    Requirement {
        id: "REG-009",
        level: Should,
        sentence: "Versions are answered in their order, and nodes in the order of their ids.",
        source: "decision of shaketable: two who ask see the same; go-micro leaves it to the iteration of a map",
        needs: &[Need::InProcess("the order of answers")],
        check: check!(answers_are_in_order),
    },
];

async fn a_registered_service_is_found(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = service(&site.name("user"), "user-1");
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    for _ in 0..10 {
        // What is found may lag where several answer in turns; that somebody answers is owed.
        found(&site, &registry, &user.name).await?;
    }
    Ok(())
}

async fn an_unknown_service_is_not_found(site: Site) -> Outcome {
    let registry = site.registry().await?;
    put(&site, &registry, &service(&site.name("somebody"), "somebody-1")).await?;
    let name = site.name("nobody");
    let get = registry.get_service(&name, GetOptions::default());
    site.refused("get a service that nobody registered", &[ErrorKind::NotFound], get).await.map(drop)
}

async fn every_node_of_a_registration_is_found(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let count = site.env().random("nodes").random_range(3..=9);
    let ids: Vec<String> = (0..count).map(|number| format!("user-{number}")).collect();
    let mut user = of_nodes(&site.name("user"), "1.0.0", &ids);
    for (number, node) in user.nodes.iter_mut().enumerate() {
        node.metadata.insert("zone".to_owned(), format!("zone-{number}"));
    }
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await
}

async fn another_node_leaves_the_others_as_they_were(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    let first = revised(&service(&name, "user-1"), 1);
    let mut second = revised(&service(&name, "user-2"), 2);
    second.nodes[0].address = "10.9.9.9:9000".to_owned();
    put(&site, &registry, &first).await?;
    finds(&site, &registry, &name, std::slice::from_ref(&first)).await?;
    put(&site, &registry, &second).await?;
    let both = Service { nodes: vec![first.nodes[0].clone(), second.nodes[0].clone()], ..first };
    finds(&site, &registry, &name, &[both]).await
}

async fn nodes_of_one_version_are_one_service(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    for node in ["user-1", "user-2", "user-3"] {
        put(&site, &registry, &service(&name, node)).await?;
    }
    let ids = ["user-1", "user-2", "user-3"];
    finds_nodes(&site, &registry, &name, &ids).await?;
    let services = site.ask("get user", registry.get_service(&name, GetOptions::default())).await?;
    expect_equal("the number of services of one version", &services.len(), &1)
}

async fn each_version_is_a_service_of_its_own(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    let one = of_nodes(&name, "1.0.0", &["user-1", "user-2"]);
    let two = of_nodes(&name, "2.0.0", &["user-3"]);
    put(&site, &registry, &one).await?;
    put(&site, &registry, &two).await?;
    finds(&site, &registry, &name, &[one, two]).await
}

async fn metadata_and_endpoints_are_found_as_registered(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let mut user = service(&site.name("user"), "user-1");
    user.metadata.insert("owner".to_owned(), "accounts".to_owned());
    user.nodes[0].metadata.insert("protocol".to_owned(), "mucp".to_owned());
    let field = |name: &str, kind: &str| Value { name: name.to_owned(), kind: kind.to_owned(), values: Vec::new() };
    let address =
        Value { values: vec![field("city", "string"), field("number", "int64")], ..field("address", "Address") };
    let request = Value { values: vec![field("id", "string"), address], ..field("GetRequest", "GetRequest") };
    user.endpoints = vec![
        Endpoint {
            name: "User.Get".to_owned(),
            request: Some(request),
            response: Some(field("GetResponse", "GetResponse")),
            metadata: [("stream".to_owned(), "true".to_owned())].into(),
        },
        Endpoint { name: "User.Forget".to_owned(), ..Endpoint::default() },
    ];
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await
}

async fn metadata_is_text_of_any_kind(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let mut user = service(&site.name("user"), "user-1");
    let texts = [
        "",
        " ",
        "a=b;c,d",
        "line\nbreak\ttab",
        "\"quoted\" \\ back",
        "Ωμέγα 東京 🦀",
        "e-1",
        "t-2",
        "v-3",
        "{}",
        "null",
    ];
    for (number, text) in texts.into_iter().enumerate() {
        user.nodes[0].metadata.insert(format!("value {number}"), text.to_owned());
        user.metadata.insert(format!("{text}/{number}"), "key".to_owned());
    }
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await
}

async fn answers_are_in_order(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    for (version, node) in [("3.0.0", "b"), ("1.0.0", "e"), ("2.0.0", "d"), ("1.0.0", "a"), ("2.0.0", "c")] {
        put(&site, &registry, &of_nodes(&name, version, &[node])).await?;
    }
    finds_nodes(&site, &registry, &name, &["a", "b", "c", "d", "e"]).await?;
    let services = site.ask("get user", registry.get_service(&name, GetOptions::default())).await?;
    let order = |services: &[Service]| -> Vec<(String, String)> {
        let nodes = |service: &Service| {
            service.nodes.iter().map(|node| (service.version.clone(), node.id.clone())).collect::<Vec<_>>()
        };
        services.iter().flat_map(nodes).collect()
    };
    expect_equal("versions and nodes", &order(&services), &order(&in_order(&services)))
}
