//! Dialling: who is there is reached, who is not there is told apart from silence, and options mean what they say.

use std::collections::BTreeMap;
use std::time::Duration;

use shaketable_stack::ErrorKind;
use shaketable_stack::plugin::{Setting, Settings};
use shaketable_stack::transport::{DialOptions, ListenOptions};

use super::tools::{Ends, OPTIONS, Role, changed, free, listen, message, open, pair, pass};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::site::SLACK;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-001",
        level: Must,
        sentence: "A listener that is dialled at the address that it tells accepts the connection, and a message \
                   passes each way.",
        source: "go-micro transport/transport.go: Dial, Listen, Accept; transport/memory_test.go",
        needs: &[],
        check: check!(a_dialled_listener_answers),
    },
    Requirement {
        id: "TRA-002",
        level: Must,
        sentence: "A dial to an address that nobody listens at fails, as unreachable or by its time limit.",
        source: "go-micro transport/memory.go: Dial; decision of shaketable: a client must learn before it sends that \
                 it may safely try another node",
        needs: &[],
        check: check!(a_dial_to_nobody_fails, "within {}", SLACK.times(4)),
    },
    Requirement {
        id: "TRA-003",
        level: Should,
        sentence: "An address that is no host and port is refused, to dial and to listen at.",
        source: "decision of shaketable: a slip in a configuration is told where it is made, not as an unreachable \
                 node",
        needs: &[],
        check: check!(an_address_without_a_port_is_refused),
    },
    Requirement {
        id: "TRA-004",
        level: Must,
        sentence: "A dial that nobody answers ends by the time limit of the dial, and not before.",
        source: "go-micro transport/options.go: DialOptions.Timeout, 5 s by default",
        needs: &[Need::Network],
        check: check!(a_dial_that_nobody_answers_ends_in_time, "a limit of {}, kept but for {}", DIAL_LIMIT, SLACK),
    },
    Requirement {
        id: "TRA-005",
        level: Must,
        sentence: "A transport that is asked for encryption either refuses to dial and to listen, or can talk to \
                   itself.",
        source: "go-micro transport/http_transport.go (v6.10.0): Secure without TLSConfig self-signs at the listener \
                 and verifies at the dialler, so that the transport cannot reach itself",
        needs: &[OPTIONS],
        check: check!(encryption_is_refused_or_works),
    },
    Requirement {
        id: "TRA-006",
        level: Must,
        sentence: "Options that were given to init are the options in force.",
        source: "go-micro transport/transport.go: Init, Options",
        needs: &[OPTIONS],
        check: check!(init_replaces_the_options),
    },
    Requirement {
        id: "TRA-007",
        level: Should,
        sentence: "A setting that the transport does not know is refused when it is made.",
        source: "decision of shaketable: a misspelt setting that is silently ignored is found in production",
        needs: &[Need::InProcess("a setting")],
        check: check!(an_unknown_setting_is_refused),
    },
    Requirement {
        id: "TRA-008",
        level: Should,
        sentence: "The local address of one end is the remote address of the other, and two connections of one host have \
                   different ones.",
        source: "go-micro transport/transport.go: Socket.Local, Socket.Remote",
        needs: &[],
        check: check!(the_ends_know_each_other),
    },
    Requirement {
        id: "TRA-070",
        level: Should,
        sentence: "A transport promises how often and in which order it delivers, and what becomes of who reads slowly.",
        source: "decision of shaketable: what is not promised is not judged, and nobody who writes a service can build on it",
        needs: &[],
        check: check!(delivery_order_and_slow_readers_are_promised),
    },
];

/// The time limit of a dial that nobody answers.
const DIAL_LIMIT: Duration = Duration::from_secs(3);

async fn a_dialled_listener_answers(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        for (from, to) in pair.ways() {
            pass(&site, from, to, "a message", &message(b"how are you?")).await?;
        }
    }
    Ok(())
}

async fn a_dial_to_nobody_fails(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    let address = listener.address();
    site.ask("close the listener", listener.close()).await?;
    let kinds = [ErrorKind::Unreachable, ErrorKind::Timeout];
    // A listener may take a moment to be gone for others.
    site.eventually("a dial to nobody to fail", site.by_world(SLACK.times(4)), async || {
        match ends.home.dial(&address, free()).await {
            Err(error) if kinds.contains(&error.kind()) => Ok(()),
            Err(error) => Err(format!("{:?}: `{error}`", error.kind())),
            Ok(_) => Err("the dial succeeded".to_owned()),
        }
    })
    .await
}

async fn an_address_without_a_port_is_refused(site: Site) -> Outcome {
    let transport = site.transport().await?;
    let dial = transport.dial("second", DialOptions::default());
    let kinds = [ErrorKind::InvalidInput, ErrorKind::Unreachable];
    site.refused("dial 'second', which has no port", &kinds, dial).await?;
    let listen = transport.listen("home", ListenOptions::default());
    site.refused("listen at 'home', which has no port", &[ErrorKind::InvalidInput], listen).await.map(drop)
}

async fn a_dial_that_nobody_answers_ends_in_time(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    site.cut(Host::Home, Host::Second, true).await?;
    let limit = DIAL_LIMIT;
    let options = DialOptions { timeout: limit, ..free() };
    let start = site.env().now();
    let address = listener.address();
    let dial = ends.home.dial(&address, options);
    site.refused("dial a host that is silent", &[ErrorKind::Timeout, ErrorKind::Unreachable], dial).await?;
    let took = site.env().now() - start;
    let most = limit + site.slack();
    expect(took <= most, format!("the dial to end after its limit of {limit:?}, at most {most:?}"), || {
        format!("it took {took:?}")
    })?;
    let least = limit - site.slack();
    expect(took >= least, format!("the dial to wait for its limit of {limit:?}"), || format!("it took {took:?}"))
}

async fn encryption_is_refused_or_works(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let unsupported = [ErrorKind::Unsupported];
    let plain = listen(&site, &ends.second).await?.address();
    for transport in [&ends.home, &ends.second] {
        let mut options = transport.options();
        options.secure = true;
        match transport.init(options) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            Err(error) => {
                return Err(Finding::violated("'init' with encryption to be taken, or Unsupported", error.to_string()));
            }
        }
    }
    let made = site.ends("listen with encryption", ends.second.listen(":0", ListenOptions::default())).await?;
    match made {
        Ok(listener) => open(&site, &ends.home, &listener).await.map(drop),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let dial = ends.home.dial(&plain, free());
            site.refused("dial with encryption, as listening is refused", &unsupported, dial).await.map(drop)
        }
        Err(error) => Err(Finding::violated("listening with encryption to work, or Unsupported", error.to_string())),
    }
}

async fn init_replaces_the_options(site: Site) -> Outcome {
    let transport = site.transport().await?;
    let timeout = Some(Duration::from_secs(17));
    changed(&transport, |options| {
        options.timeout = timeout;
        options.message_bytes_max = 12_345;
    })?;
    let options = transport.options();
    expect(options.timeout == timeout && options.message_bytes_max == 12_345, "the options as given to init", || {
        format!("{options:?}")
    })
}

async fn an_unknown_setting_is_refused(site: Site) -> Outcome {
    let settings = BTreeMap::from([("no_such_setting".to_owned(), Setting::Bool(true))]);
    let subject = &site.shared.subject;
    let factory = site.shared.plugins.transports.get(&subject.plugin).map(|plugin| plugin.factory.clone());
    let factory = factory.map_err(|error| Finding::Broke(error.to_string()))?;
    let made = factory(site.env().clone(), Settings::new(subject.addresses.clone(), settings));
    site.refused("make it with 'no_such_setting'", &[ErrorKind::InvalidInput], made).await.map(drop)
}

async fn the_ends_know_each_other(site: Site) -> Outcome {
    let pair = pair(&site, Role::Dialling).await?;
    let (own, peer) = ((pair.own.local(), pair.own.remote()), (pair.peer.local(), pair.peer.remote()));
    expect(own.0 == peer.1 && own.1 == peer.0, "the ends to know each other's addresses", || {
        format!("local {}, remote {} here; local {}, remote {} there", own.0, own.1, peer.0, peer.1)
    })?;
    let port = |address: &str| address.rsplit_once(':').map(|(_, port)| port.to_owned());
    // The listener may be at every address of its host; its port is one.
    let listens = pair.listener.address();
    let expected = format!("the dialled end's remote address to have the listener's port, that of {listens}");
    expect(port(&own.1) == port(&listens), expected, || own.1.clone())?;
    let (other, _peer) = open(&site, &site.transport().await?, &pair.listener).await?;
    let expected = "two connections of one host to be told apart by their local addresses";
    expect(other.local() != own.0, expected, || format!("{} twice", own.0))
}

async fn delivery_order_and_slow_readers_are_promised(site: Site) -> Outcome {
    let promises = site.promises();
    for (what, is_promised) in [
        ("how often it delivers", promises.delivery.is_some()),
        ("in which order it delivers", promises.order.is_some()),
        ("what becomes of who reads slowly", promises.slow_consumer.is_some()),
    ] {
        expect(is_promised, format!("a promise of {what}"), || "none".to_owned())?;
    }
    Ok(())
}
