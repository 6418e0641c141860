//! Sizes: records are stored whole or refused, from the smallest to those beyond what backends take.

use shaketable_stack::registry::{Endpoint, RegisterOptions, Service, Value};

use super::tools::{finds, lasting, put, service};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "REG-022",
        level: Must,
        sentence: "A service with two hundred endpoints is found as it was registered.",
        source: "go-micro issue 2072: reply too long for UDP when there are many endpoints",
        needs: &[],
        check: check!(two_hundred_endpoints_are_found),
    },
    Requirement {
        id: "REG-023",
        level: Must,
        sentence: "A record of any size is stored whole or refused, never cut.",
        source: "go-micro registry/mdns_registry.go: encode cuts a record into texts of 255 bytes; issue 2072: what is \
                 too long for a datagram is lost",
        needs: &[Need::Upheld(&["REG-010"])],
        check: check!(a_record_is_stored_whole_or_refused),
    },
    Requirement {
        id: "REG-024",
        level: Must,
        sentence: "A record that is refused for its size leaves what was registered before it, and the registry \
            working.",
        source: "decision of shaketable: etcd refuses requests beyond 1.5 MiB, and a refusal changes nothing",
        needs: &[],
        check: check!(a_refused_record_changes_nothing),
    },
];

async fn two_hundred_endpoints_are_found(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let mut user = service(&site.name("user"), "user-1");
    let value = |name: String| Some(Value { kind: name.clone(), name, values: Vec::new() });
    user.endpoints = (0..200)
        .map(|number| Endpoint {
            name: format!("User.Method{number:03}"),
            request: value(format!("Request{number}")),
            response: value(format!("Response{number}")),
            ..Endpoint::default()
        })
        .collect();
    put(&site, &registry, &user).await?;
    finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await
}

/// A service with a label of `bytes` bytes.
fn of_size(site: &Site, bytes: usize) -> Service {
    let mut user = service(&site.name("user"), "user-1");
    // Not one letter over and over: what is cut, doubled or moved within is to be seen.
    let text: String = (0..=bytes / 64).map(|number| format!("{number:064}")).collect();
    user.nodes[0].metadata.insert("text".to_owned(), text[..bytes].to_owned());
    user
}

async fn a_record_is_stored_whole_or_refused(site: Site) -> Outcome {
    let registry = site.registry().await?;
    for bytes in [1, 255, 256, 4_095, 4_096, 4_097, 16_383, 16_384, 16_385, 65_536, 1 << 20] {
        let user = of_size(&site, bytes);
        let register = registry.register(&user, RegisterOptions { ttl: lasting(&site) });
        if site.ends(&format!("register a record with a label of {bytes} bytes"), register).await?.is_err() {
            return Ok(());
        }
        finds(&site, &registry, &user.name, std::slice::from_ref(&user)).await?;
    }
    Ok(())
}

async fn a_refused_record_changes_nothing(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let small = of_size(&site, 100);
    put(&site, &registry, &small).await?;
    let large = of_size(&site, (4 << 20) + 1);
    let register = registry.register(&large, RegisterOptions { ttl: lasting(&site) });
    if site.ends("register a record with a label of more than 4 MiB", register).await?.is_ok() {
        return Ok(());
    }
    finds(&site, &registry, &small.name, std::slice::from_ref(&small)).await?;
    let other = of_size(&site, 200);
    put(&site, &registry, &other).await?;
    finds(&site, &registry, &other.name, std::slice::from_ref(&other)).await
}
