//! What a plugin calls itself: one requirement for each interface, because each has a name, and the same is true of all. It
//! knows the table's name of the plugin, and no other plugin's.

use shaketable_stack::service::ServiceOptions;

use crate::Level::Should;
use crate::requirement::{Need, check};
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

const ASKED_FOR: &str = "go-micro cmd/cmd.go, Before: what is asked for is looked up in a table by its name, and is made \
                         anew unless String() says that it is there already";
const ONE_TABLE: &str =
    "decision of shaketable: the name in a log is then the one that people write in their configuration";

macro_rules! naming {
    ($constant:ident, $id:literal, $interface:literal, $source:ident, $check:ident) => {
        pub(crate) const $constant: &[Requirement] = &[Requirement {
            id: $id,
            level: Should,
            sentence: concat!(
                "A ",
                $interface,
                " always calls itself by the name under which it is asked for; what follows a dash or a dot in it may be \
                 left out."
            ),
            source: $source,
            needs: &[Need::InProcess("a name")],
            check: check!($check),
        }];
    };
}

naming!(TRANSPORT, "TRA-062", "transport", ASKED_FOR, a_transport_has_its_name);
naming!(CODEC, "COD-055", "codec", ONE_TABLE, a_codec_has_its_name);
naming!(REGISTRY, "REG-145", "registry", ASKED_FOR, a_registry_has_its_name);
naming!(SELECTOR, "SEL-059", "selector", ONE_TABLE, a_selector_has_its_name);
naming!(BROKER, "BRK-095", "broker", ASKED_FOR, a_broker_has_its_name);
naming!(CLIENT, "CLI-067", "client", ASKED_FOR, a_client_has_its_name);
naming!(SERVER, "SRV-069", "server", ASKED_FOR, a_server_has_its_name);
naming!(SERVICE, "SVC-021", "service", ONE_TABLE, a_service_has_its_name);

/// The names of two plugins that were made alike.
fn called(site: &Site, names: [&str; 2]) -> Outcome {
    let (asked, [first, second]) = (site.plugin(), names);
    let short = asked.strip_prefix(first).is_some_and(|rest| rest.starts_with(['-', '.']));
    let expected = format!("what is asked for as '{asked}' to call itself so");
    expect(asked == first || (short && !first.is_empty()), expected, || format!("it calls itself '{first}'"))?;
    expect_equal("the name of another one", &second, &first)
}

async fn a_transport_has_its_name(site: Site) -> Outcome {
    called(&site, [site.transport().await?.name(), site.transport().await?.name()])
}

async fn a_codec_has_its_name(site: Site) -> Outcome {
    called(&site, [site.codec().await?.name(), site.codec().await?.name()])
}

async fn a_registry_has_its_name(site: Site) -> Outcome {
    called(&site, [site.registry().await?.name(), site.registry().await?.name()])
}

async fn a_selector_has_its_name(site: Site) -> Outcome {
    let registry = site.registry().await?;
    called(&site, [site.selector(registry.clone()).await?.name(), site.selector(registry).await?.name()])
}

async fn a_broker_has_its_name(site: Site) -> Outcome {
    let registry = site.registry().await?;
    called(&site, [site.broker(registry.clone()).await?.name(), site.broker(registry).await?.name()])
}

async fn a_client_has_its_name(site: Site) -> Outcome {
    let parts = site.parts().await?;
    called(&site, [site.client(&parts).await?.name(), site.client(&parts).await?.name()])
}

async fn a_server_has_its_name(site: Site) -> Outcome {
    let parts = site.parts().await?;
    called(&site, [site.server(&parts).await?.name(), site.server(&parts).await?.name()])
}

async fn a_service_has_its_name(site: Site) -> Outcome {
    called(&site, [service_name(&site).await?, service_name(&site).await?])
}

async fn service_name(site: &Site) -> Result<&'static str, Finding> {
    let parts = site.parts().await?;
    let options = ServiceOptions::new(site.client(&parts).await?, site.server(&parts).await?);
    Ok(site.service(options).await?.name())
}
