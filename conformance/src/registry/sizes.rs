//! Sizes: records are stored whole or refused, from the smallest to those beyond what backends take.

use std::fmt::Write as _;

use shaketable_stack::registry::{Endpoint, RegisterOptions, Service, Value};
use shaketable_stack::{Error, ErrorKind};

use super::tools::{RECOVERY, REFUSALS, finds, finds_within, lasting, put, register_again, service, settling};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site, expect};

/// Labels that every registry takes, whatever it promises.
const SMALL_BYTES: usize = 4 << 10;

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
        sentence: "A record of any size is stored whole or refused, never cut; one with a label of 4 KiB, or of half of what \
                   is promised, is stored.",
        source: "go-micro registry/mdns_registry.go: encode cuts a record into texts of 255 bytes; issue 2072: what is \
                 too long for a datagram is lost; decision of shaketable: what is written around a label takes as much again \
                 at most",
        needs: &[Need::Upheld(&["REG-010"])],
        check: check!(a_record_is_stored_whole_or_refused),
    },
    Requirement {
        id: "REG-024",
        level: Must,
        sentence: "A record beyond the promised size is refused, one of more than 4 MiB where no size is promised is refused \
                   or stored whole, and a refusal leaves what was registered before it, and the registry working.",
        source: "decision of shaketable: etcd refuses requests beyond 1.5 MiB, and a refusal changes nothing",
        needs: &[Need::Upheld(&["REG-010"])],
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
    const REST: &str = "-of-the-numbers-of-eight-digits-that-the-label-is-made-o";
    let mut user = service(&site.name("user"), "user-1");
    // Not one letter over and over: what is cut, doubled or moved within is to be seen.
    let mut text = String::with_capacity(bytes + REST.len() + 8);
    for number in 0..=bytes / 64 {
        // Writing to a string does not fail.
        let _ = write!(text, "{number:08}{REST}");
    }
    text.truncate(bytes);
    user.nodes[0].metadata.insert("text".to_owned(), text);
    user
}

async fn a_record_is_stored_whole_or_refused(site: Site) -> Outcome {
    const SIZES: [usize; 12] =
        [1, 255, 256, 4_095, 4_096, 4_097, 16_383, 16_384, 16_385, 65_536, 1 << 20, (4 << 20) + 1];
    let registry = site.registry().await?;
    let taken = site.promises().message_bytes_max.map_or(SMALL_BYTES, |bytes_max| bytes_max / 2);
    for bytes in SIZES {
        let user = of_size(&site, bytes);
        let what = format!("register a record with a label of {bytes} bytes");
        let register = registry.register(&user, RegisterOptions { ttl: lasting(&site) });
        if let Err(error) = site.ends(&what, register).await? {
            let or = if bytes > taken { format!(", or to be refused with one of {REFUSALS:?}") } else { String::new() };
            let may = bytes > taken && refuses(&error);
            expect(may, format!("'{what}' to succeed{or}"), || format!("the error `{error}`"))?;
            // Who hangs up on what is too large takes a moment to be connected again.
            site.disturb();
            continue;
        }
        let limit = if bytes > SMALL_BYTES {
            // A bad network takes its time for a large one, and may take longer than the registry waits.
            site.disturb();
            RECOVERY
        } else {
            settling(&site)
        };
        finds_within(&site, &registry, &user.name, std::slice::from_ref(&user), limit).await?;
    }
    Ok(())
}

/// Whether `error` is how a registry, or the backend behind it, says no to a record; some hang up on what is too large, and it
/// may take longer to carry than anybody waits.
fn refuses(error: &Error) -> bool {
    let kind = error.kind();
    REFUSALS.contains(&kind) || matches!(kind, ErrorKind::Disconnected | ErrorKind::Timeout)
}

async fn a_refused_record_changes_nothing(site: Site) -> Outcome {
    let registry = site.registry().await?;
    let small = of_size(&site, 100);
    put(&site, &registry, &small).await?;
    let promised = site.promises().message_bytes_max;
    let bytes = promised.unwrap_or(4 << 20) + 1;
    let what = format!("register a record with a label of {bytes} bytes");
    let large = of_size(&site, bytes);
    let register = registry.register(&large, RegisterOptions { ttl: lasting(&site) });
    let Err(error) = site.ends(&what, register).await? else {
        expect(promised.is_none(), format!("'{what}', which is more than is promised, to be refused"), || {
            "it succeeded".to_owned()
        })?;
        return finds_within(&site, &registry, &large.name, std::slice::from_ref(&large), RECOVERY).await;
    };
    expect(refuses(&error), format!("'{what}' to be refused with one of {REFUSALS:?}"), || {
        format!("the error `{error}`")
    })?;
    // Who hangs up on what is too large takes a moment to be connected again.
    site.disturb();
    finds_within(&site, &registry, &small.name, std::slice::from_ref(&small), RECOVERY).await?;
    let other = of_size(&site, 200);
    register_again(&site, &registry, &other, lasting(&site)).await?;
    finds(&site, &registry, &other.name, std::slice::from_ref(&other)).await
}
