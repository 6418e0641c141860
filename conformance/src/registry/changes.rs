//! Changes: what is registered again with something changed is found changed, and once.

use shaketable_stack::registry::Endpoint;

use super::tools::{finds, of_nodes, put, revised, service};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-010",
        level: Must,
        sentence: "A node that is registered again with another address or other metadata is found with these.",
        source: "go-micro registry/memory.go (v6): a node that is known is not stored again",
        needs: &[],
        check: check!(a_changed_node_is_written),
    },
    Requirement {
        id: "REG-011",
        level: Must,
        sentence: "Endpoints and metadata of a service that is registered again with others are found changed.",
        source: "go-micro registry/etcd/etcd.go: what is compared is a hash of the node alone",
        needs: &[],
        check: check!(changed_endpoints_and_metadata_are_written),
    },
    Requirement {
        id: "REG-012",
        level: Must,
        sentence: "A node that is registered again under another version is found under that one alone.",
        source: "go-micro registry/etcd/etcd.go: what is compared is a hash of the node alone",
        needs: &[],
        check: check!(a_changed_version_moves_the_node),
    },
    Requirement {
        id: "REG-013",
        level: Must,
        sentence: "A node that is registered again unchanged is found once.",
        source: "go-micro server/rpc_server.go: registrar registers again at every RegisterInterval",
        needs: &[],
        check: check!(the_same_again_is_found_once),
    },
];

async fn a_changed_node_is_written(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let old = revised(&service(&site.name("user"), "user-1"), 1);
    put(&site, &registry, &old).await?;
    finds(&site, &registry, &old.name, std::slice::from_ref(&old)).await?;
    let labelled = revised(&old, 2);
    put(&site, &registry, &labelled).await?;
    finds(&site, &registry, &old.name, std::slice::from_ref(&labelled)).await?;
    let mut moved = labelled;
    moved.nodes[0].address = "10.7.7.7:7777".to_owned();
    put(&site, &registry, &moved).await?;
    finds(&site, &registry, &old.name, std::slice::from_ref(&moved)).await
}

async fn changed_endpoints_and_metadata_are_written(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let old = service(&site.name("user"), "user-1");
    put(&site, &registry, &old).await?;
    finds(&site, &registry, &old.name, std::slice::from_ref(&old)).await?;
    let mut larger = old.clone();
    larger.endpoints.push(Endpoint { name: "User.Get".to_owned(), ..Endpoint::default() });
    put(&site, &registry, &larger).await?;
    finds(&site, &registry, &old.name, std::slice::from_ref(&larger)).await?;
    let mut owned = larger;
    owned.metadata.insert("owner".to_owned(), "accounts".to_owned());
    put(&site, &registry, &owned).await?;
    finds(&site, &registry, &old.name, std::slice::from_ref(&owned)).await
}

async fn a_changed_version_moves_the_node(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let name = site.name("user");
    put(&site, &registry, &of_nodes(&name, "1.0.0", &["user-1", "user-2"])).await?;
    let mut stays = of_nodes(&name, "1.0.0", &["user-1", "user-2"]);
    let moves = stays.nodes.remove(0);
    let moved =
        shaketable_stack::registry::Service { version: "2.0.0".to_owned(), nodes: vec![moves], ..stays.clone() };
    put(&site, &registry, &moved).await?;
    finds(&site, &registry, &name, &[stays, moved]).await
}

async fn the_same_again_is_found_once(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let user = of_nodes(&site.name("user"), "1.0.0", &["user-1", "user-2"]);
    for _ in 0..3 {
        put(&site, &registry, &user).await?;
    }
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await
}
