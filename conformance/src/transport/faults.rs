//! Faults: links that are cut and heal, peers that die, dates that jump.

use std::time::Duration;

use rand::Rng;
use shaketable_sim::world::{Capability, Fault};
use shaketable_stack::env::Task;
use shaketable_stack::transport::ListenOptions;
use tokio::sync::oneshot;

use super::tools::{
    End, Ends, KEEPS_ALL, LARGE_WITHIN, Role, SEEN_WITHIN, body, changed, ending, free, largest, listen, message,
    number_of, numbered, open, pair, pass, same,
};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Finding, Host, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-056",
        level: Must,
        sentence: "Of messages that were sent while the link was cut none is lost unnoticed: they arrive after it has \
                   healed, or an end is told that the connection broke.",
        source: "RFC 9293, section 3.8: TCP repeats what was not acknowledged",
        needs: &[Need::Network, Need::World(Capability::Cut), KEEPS_ALL],
        check: check!(a_cut_loses_nothing_unnoticed, "within {}", LARGE_WITHIN),
    },
    Requirement {
        id: "TRA-057",
        level: Must,
        sentence: "After a cut has healed a new connection can be made.",
        source: "decision of shaketable: networks heal, and whoever waited for one must not need a restart",
        needs: &[Need::Network, Need::World(Capability::Cut)],
        check: check!(a_new_connection_after_a_cut),
    },
    Requirement {
        id: "TRA-058",
        level: Must,
        sentence: "A peer whose process dies ends the recv of the other end.",
        source: "go-micro issue 111: no sign of the end reaches who receives",
        needs: &[Need::World(Capability::Crash)],
        check: check!(a_dead_peer_ends_the_recv, "within {}", SEEN_WITHIN),
    },
    Requirement {
        id: "TRA-059",
        level: Must,
        sentence: "A peer that dies inside a message gives no part of it.",
        source: "RFC 9112, section 8: a message that ends before its length is incomplete",
        needs: &[Need::World(Capability::Crash)],
        check: check!(a_peer_that_dies_gives_no_part),
    },
    Requirement {
        id: "TRA-060",
        level: Must,
        sentence: "A peer whose machine vanished and came back is noticed by who goes on sending to it.",
        source: "RFC 9293, sections 3.5.1 and 3.5.2: data for a connection that is not known is answered with a reset",
        needs: &[Need::Network, Need::World(Capability::CrashWithoutFin)],
        check: check!(a_machine_that_came_back_is_noticed, "within {}", LARGE_WITHIN),
    },
    Requirement {
        id: "TRA-061",
        level: Must,
        sentence: "A time limit is kept by a clock that no change of the date moves.",
        source: "decision of shaketable: machines correct their dates while programs wait; go-micro uses Go's \
                 monotonic time",
        needs: &[Need::World(Capability::Skew)],
        check: check!(a_date_that_jumps_ends_no_recv),
    },
    Requirement {
        id: "TRA-071",
        level: Must,
        sentence: "A recv whose connection is reset inside a message ends in bounded time with an error, or with the whole \
                   message where that takes another way, never with a part of it; and the peer can be dialled again.",
        source: "RFC 9293, section 3.5.3: a reset ends the connection, and who uses it is told; RFC 9112, section 8: a message \
                 that ends before its length is incomplete",
        needs: &[Need::Network, Need::World(Capability::Reset), Need::World(Capability::LinkLatency)],
        check: check!(a_reset_gives_no_part, "the error within {}", LARGE_WITHIN),
    },
];

async fn a_cut_loses_nothing_unnoticed(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        site.cut(Host::Home, Host::Second, true).await?;
        let heal = async {
            site.let_pass(Duration::from_secs(3)).await;
            site.cut(Host::Home, Host::Second, false).await
        };
        let send = async {
            for number in 0..5 {
                let said = numbered(number, 100);
                if site.within("send while the link is cut", LARGE_WITHIN, pair.own.send(&said)).await?.is_err() {
                    return Ok(false);
                }
            }
            Ok::<_, Finding>(true)
        };
        let receive = async {
            let mut got = Vec::new();
            while got.len() < 5 {
                match site.env().timeout(LARGE_WITHIN, pair.peer.recv()).await {
                    Ok(Ok(received)) => got.push(number_of(&received)),
                    // The receiver is told.
                    Ok(Err(_)) => return Ok((got, true)),
                    Err(_) => return Ok((got, false)),
                }
            }
            Ok((got, false))
        };
        let ((), sent, (got, told)) = tokio::try_join!(heal, send, receive)?;
        if !sent || told {
            continue;
        }
        let wanted: Vec<_> = (0..5).map(Some).collect();
        expect_equal("the messages that arrive when nobody was told of a loss", &got, &wanted)?;
    }
    Ok(())
}

async fn a_new_connection_after_a_cut(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let pair = ends.connect(&site, Role::Dialling).await?;
    site.cut(Host::Home, Host::Second, true).await?;
    let listener = pair.listener.clone();
    let (said, address) = (message(b"here I am"), listener.address());
    let dial = ends.home.dial(&address, free());
    // Whether it fails or waits is not the question here.
    let _ = site.env().timeout(Duration::from_secs(2), dial).await;
    site.cut(Host::Home, Host::Second, false).await?;
    // What was given up may still wait to be accepted: the connection that speaks is the new one.
    let near = async {
        let near = site.ask("dial after the cut", ends.home.dial(&address, free())).await?;
        site.ask("send", near.send(&said)).await?;
        Ok::<_, Finding>(near)
    };
    let far = async {
        for _ in 0..3 {
            let far = site.ask("accept", listener.accept()).await?;
            if let Ok(Ok(received)) = site.env().timeout(SEEN_WITHIN, far.recv()).await {
                same("the first message", &received, &said)?;
                return Ok(far);
            }
        }
        Err(Finding::violated("the new connection to be accepted", "three others, on which nothing was said"))
    };
    let (near, far) = tokio::try_join!(near, far)?;
    pass(&site, &far, &near, "an answer", &message(b"there you are")).await
}

/// An end on another host that lives and dies with it: `work` is given the socket over there.
async fn peer_that_may_die<W>(
    site: &Site,
    role: Role,
    work: impl FnOnce(Site, End) -> W + Send + 'static,
) -> Result<(End, Task), Finding>
where
    W: Future<Output = ()> + Send + 'static,
{
    let home = site.transport().await?;
    match role {
        Role::Dialling => {
            let (told, address) = oneshot::channel();
            let there = async move |site: Site| {
                let transport = site.transport().await?;
                let listener = site.ask("listen", transport.listen(":0", ListenOptions::default())).await?;
                let _ = told.send(listener.address());
                let far = site.ask("accept", listener.accept()).await?;
                site.ask("receive the first message", far.recv()).await?;
                work(site, far).await;
                Ok::<_, Finding>(())
            };
            let host = site.clone();
            let task = site.env().spawn("peer", async move { drop(host.on(Host::Second, there).await) });
            let address = site.ends("the peer to listen", address).await?;
            let address = address.map_err(|_| Finding::violated("the peer to listen", "it failed"))?;
            let near = site.ask("dial the peer", home.dial(&address, free())).await?;
            site.ask("send the first message", near.send(&message(b"hello"))).await?;
            Ok((near, task))
        }
        Role::Accepting => {
            let listener = listen(site, &home).await?;
            let address = listener.address();
            let there = async move |site: Site| {
                let transport = site.transport().await?;
                let near = site.ask("dial", transport.dial(&address, free())).await?;
                site.ask("send the first message", near.send(&message(b"hello"))).await?;
                work(site, near).await;
                Ok::<_, Finding>(())
            };
            let host = site.clone();
            let task = site.env().spawn("peer", async move { drop(host.on(Host::Second, there).await) });
            let far = site.ask("accept the peer", listener.accept()).await?;
            site.ask("receive the first message", far.recv()).await?;
            Ok((far, task))
        }
    }
}

fn crash(fin: bool) -> Fault {
    Fault::Crash { host: Host::Second.name().to_owned(), fin }
}

async fn revive(site: &Site) -> Outcome {
    site.inflict(Fault::Restart { host: Host::Second.name().to_owned() }).await
}

async fn a_dead_peer_ends_the_recv(site: Site) -> Outcome {
    for role in Role::BOTH {
        let stays = |_, socket: End| async move {
            std::future::pending::<()>().await;
            drop(socket);
        };
        let (own, _task) = peer_that_may_die(&site, role, stays).await?;
        site.take_effect(site.slack()).await;
        site.inflict(crash(true)).await?;
        ending(&site, &own).await?;
        revive(&site).await?;
    }
    Ok(())
}

async fn a_peer_that_dies_gives_no_part(site: Site) -> Outcome {
    for role in Role::BOTH {
        let large = message(&body(largest(&site).min(2 << 20)));
        let copy = large.clone();
        let (begin, begun) = oneshot::channel();
        let sends = move |_, socket: End| async move {
            let _ = begin.send(());
            let _ = socket.send(&copy).await;
            std::future::pending::<()>().await;
        };
        let (own, _task) = peer_that_may_die(&site, role, sends).await?;
        let dies_after = Duration::from_millis(site.env().random("death").random_range(2..25));
        let die = async {
            let _ = begun.await;
            site.let_pass(dies_after).await;
            site.inflict(crash(true)).await
        };
        let receive = site.within("receive, while the peer dies", LARGE_WITHIN, own.recv());
        let (died, received) = tokio::join!(die, receive);
        died?;
        if let Ok(received) = received? {
            expect(received.body == large.body, format!("an error, or all {} bytes", large.body.len()), || {
                format!("a message of {} bytes", received.body.len())
            })?;
        }
        revive(&site).await?;
    }
    Ok(())
}

/// How long a packet takes while a message is to be caught on its way: the first of it arrives after one such time, and
/// 64 KiB have not arrived after four, because TCP begins with ten packets (RFC 6928).
const ON_THE_WAY: Duration = Duration::from_millis(100);

async fn a_reset_gives_no_part(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let large = message(&body(largest(&site).min(2 << 20)));
    let (home, second) = (vec![Host::Home.name().to_owned()], vec![Host::Second.name().to_owned()]);
    let latency = |latency| Fault::Latency { a: home.clone(), b: second.clone(), latency };
    for role in Role::BOTH {
        let pair = ends.connect(&site, role).await?;
        site.inflict(latency(Some(ON_THE_WAY))).await?;
        let reset_after = ON_THE_WAY.mul_f64(site.env().random("reset").random_range(1.5..4.5));
        let reset = async {
            site.let_pass(reset_after).await;
            site.inflict(Fault::Reset { a: home.clone(), b: second.clone() }).await?;
            site.inflict(latency(None)).await
        };
        // Whether the sender is told depends on how much the system has taken from it.
        let send = async {
            let _ = site.env().timeout(LARGE_WITHIN, pair.peer.send(&large)).await;
            Ok(())
        };
        let receive = async {
            let first = site.within("receive, while the connection is reset", LARGE_WITHIN, pair.own.recv()).await?;
            let received = match first {
                Ok(received) => Some(received),
                // What had come of it is no message later on either.
                Err(_) => site.env().timeout(site.slack(), pair.own.recv()).await.ok().and_then(Result::ok),
            };
            received.map_or(Ok(()), |received| same("nothing, or the whole message", &received, &large))
        };
        tokio::try_join!(reset, send, receive)?;
        let dialling = match role {
            Role::Dialling => &ends.home,
            Role::Accepting => &ends.second,
        };
        let (near, far) = open(&site, dialling, &pair.listener).await?;
        pass(&site, &near, &far, "a message over a new connection", &large).await?;
    }
    Ok(())
}

async fn a_machine_that_came_back_is_noticed(site: Site) -> Outcome {
    for role in Role::BOTH {
        let stays = |_, socket: End| async move {
            std::future::pending::<()>().await;
            drop(socket);
        };
        let (own, _task) = peer_that_may_die(&site, role, stays).await?;
        site.inflict(crash(false)).await?;
        site.let_pass(Duration::from_secs(2)).await;
        revive(&site).await?;
        let noticed = async {
            let received = async { while own.recv().await.is_ok() {} };
            let sent = async {
                while own.send(&message(b"anybody there?")).await.is_ok() {
                    site.look_again(Duration::from_secs(1)).await;
                }
            };
            tokio::select! {
                () = received => {}
                () = sent => {}
            }
        };
        site.within("see that the peer is another one now", LARGE_WITHIN, noticed).await?;
    }
    Ok(())
}

async fn a_date_that_jumps_ends_no_recv(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    changed(&ends.home, |options| options.timeout = Some(Duration::from_secs(60)))?;
    let pair = ends.connect(&site, Role::Dialling).await?;
    let jump = async {
        site.take_effect(site.slack()).await;
        let day = 24 * 3_600 * 1_000_000_000;
        let fault = |by_ns| Fault::Skew { host: Host::Home.name().to_owned(), by_ns };
        site.inflict(fault(day)).await?;
        site.let_pass(Duration::from_secs(2)).await;
        site.inflict(fault(-day)).await?;
        site.let_pass(Duration::from_secs(2)).await;
        site.ask("send after the date has jumped", pair.peer.send(&message(b"on time"))).await
    };
    let receive = async {
        let received = site.ask("receive, while the date jumps", pair.own.recv()).await?;
        same("a message that came within the limit", &received, &message(b"on time"))
    };
    tokio::try_join!(jump, receive).map(drop)
}
