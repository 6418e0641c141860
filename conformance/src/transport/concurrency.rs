//! Many at once: tasks that share a socket, sockets that share a listener, and operations that are given up half-way.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::try_join_all;
use rand::Rng;
use shaketable_stack::transport::Message;

use super::tools::{
    End, Ends, KEEPS_ALL, LARGE_WITHIN, Role, body, largest, listen, message, number_of, numbered, open, pair,
    pair_for_requests, pass, same,
};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Finding, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-029",
        level: Must,
        sentence: "Of several connections to one listener each end gets what its own peer has sent.",
        source: "go-micro transport/memory.go: Dial makes two pipes for each connection",
        needs: &[],
        check: check!(connections_do_not_mix),
    },
    Requirement {
        id: "TRA-030",
        level: Must,
        sentence: "An end that waits for a message can send meanwhile.",
        source: "go-micro pull request 884: the lock of Recv blocks Send; transport/http_client.go (v5.30.0): Send \
                 needs the lock that Recv holds while it reads",
        needs: &[],
        check: check!(a_waiting_end_can_send),
    },
    Requirement {
        id: "TRA-031",
        level: Must,
        sentence: "Both ends can send more than the connection holds at the same time, while both receive.",
        source: "decision of shaketable: two ends that each send before they read again would wait for each other for \
                 ever; go-micro pull request 884",
        needs: &[],
        check: check!(both_ends_send_at_once),
    },
    Requirement {
        id: "TRA-032",
        level: Must,
        sentence: "Messages that several tasks send on one end at once arrive whole.",
        source: "go-micro transport/http_client.go: Send writes to the connection without a lock",
        needs: &[KEEPS_ALL],
        check: check!(tasks_share_an_end_to_send),
    },
    Requirement {
        id: "TRA-033",
        level: Must,
        sentence: "Of several tasks that receive on one end each message reaches one.",
        source: "go-micro transport/http_client.go: Recv holds a lock while it reads; decision of shaketable: a \
                 message is the work of one task",
        needs: &[KEEPS_ALL],
        check: check!(tasks_share_an_end_to_receive),
    },
    Requirement {
        id: "TRA-034",
        level: Must,
        sentence: "A recv that is given up takes no message and no part of one with it.",
        source: "decision of shaketable: in Rust every time limit around a future drops it",
        needs: &[KEEPS_ALL, Need::InProcess("that a call is given up")],
        check: check!(a_recv_that_is_given_up_loses_nothing),
    },
    Requirement {
        id: "TRA-035",
        level: Must,
        sentence: "A send that is given up never gives the peer a part of a message.",
        source: "decision of shaketable: in Rust every time limit around a future drops it",
        needs: &[],
        check: check!(a_send_that_is_given_up_leaves_no_part),
    },
];

async fn connections_do_not_mix(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    let mut pairs = Vec::new();
    for _ in 0..6 {
        pairs.push(open(&site, &ends.home, &listener).await?);
    }
    let talk = |(index, (near, far)): (usize, &(End, End))| {
        let (site, near, far) = (site.clone(), near.clone(), far.clone());
        async move {
            let mut random = site.env().random("pauses");
            for round in 0..8_u32 {
                site.sleep(Duration::from_millis(random.random_range(0..4))).await;
                let said = numbered(index as u32 * 100 + round, 50);
                pass(&site, &near, &far, &format!("request {round} of connection {index}"), &said).await?;
                pass(&site, &far, &near, &format!("answer {round} of connection {index}"), &said).await?;
            }
            Ok::<_, Finding>(())
        }
    };
    try_join_all(pairs.iter().enumerate().map(talk)).await.map(drop)
}

async fn a_waiting_end_can_send(site: Site) -> Outcome {
    let [dialling, accepting] = Role::BOTH;
    let pairs = [pair(&site, dialling).await?, pair(&site, accepting).await?, pair_for_requests(&site).await?];
    for pair in pairs {
        let (question, answer) = (message(b"question"), message(b"answer"));
        // The answer comes only when the question has been heard.
        let own = async {
            let received = site.ask("receive what the peer answers", pair.own.recv()).await?;
            same("the answer", &received, &answer)
        };
        let ask = async {
            site.sleep(Duration::from_millis(50)).await;
            site.ask("send while another task receives", pair.own.send(&question)).await
        };
        let peer = async {
            let received = site.ask("hear the question", pair.peer.recv()).await?;
            same("the question", &received, &question)?;
            site.ask("answer", pair.peer.send(&answer)).await
        };
        tokio::try_join!(own, ask, peer)?;
    }
    Ok(())
}

async fn both_ends_send_at_once(site: Site) -> Outcome {
    let pair = pair(&site, Role::Dialling).await?;
    let size = largest(&site).min(1 << 20);
    let sent: Vec<Message> = (0..3).map(|number| numbered(number, size)).collect();
    let send = |socket: End| {
        let (site, sent) = (&site, &sent);
        async move {
            for message in sent {
                site.within("send, while the peer sends, too", LARGE_WITHIN, socket.send(message)).await?.map_err(
                    |error| Finding::violated("'send' to succeed while the peer sends, too", error.to_string()),
                )?;
            }
            Ok::<_, Finding>(())
        }
    };
    let receive = |socket: End| {
        let (site, sent) = (&site, &sent);
        async move {
            // Only when both have filled what the connection holds.
            site.sleep(site.slack()).await;
            for message in sent {
                let what = "receive, while both ends send";
                let received = site.within(what, LARGE_WITHIN, socket.recv()).await?;
                let received = received.map_err(|error| Finding::violated(what, error.to_string()))?;
                expect(received.body.len() == message.body.len(), "a whole message", || {
                    format!("{} bytes", received.body.len())
                })?;
            }
            Ok::<_, Finding>(())
        }
    };
    let (own, peer) = (&pair.own, &pair.peer);
    tokio::try_join!(send(own.clone()), send(peer.clone()), receive(own.clone()), receive(peer.clone())).map(drop)
}

async fn tasks_share_an_end_to_send(site: Site) -> Outcome {
    const TASKS: u32 = 8;
    const EACH: u32 = 6;
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let lengths: Vec<usize> = {
            let mut random = site.env().random("sizes");
            // What is written in several pieces is mixed sooner; on a bad network it only takes longer.
            let most = if site.is_simulated() { 30_000 } else { largest(&site).min(1 << 20) };
            (0..TASKS * EACH).map(|_| random.random_range(10..most)).collect()
        };
        let send = |task: u32| {
            let (site, own, lengths) = (&site, &pair.own, &lengths);
            async move {
                for number in (task * EACH)..((task + 1) * EACH) {
                    let message = numbered(number, lengths[number as usize]);
                    site.ask(&format!("send message {number}"), own.send(&message)).await?;
                }
                Ok::<_, Finding>(())
            }
        };
        let receive = async {
            let mut seen = BTreeSet::new();
            for count in 1..=TASKS * EACH {
                let what = format!("receive message {count} of {}", TASKS * EACH);
                let received = site.ask(&what, pair.peer.recv()).await?;
                let number = number_of(&received).filter(|number| *number < TASKS * EACH);
                let whole = number.is_some_and(|number| {
                    received.body == numbered(number, lengths[number as usize]).body && seen.insert(number)
                });
                expect(whole, "each message whole and once", || {
                    format!("{} bytes that begin with number {number:?}", received.body.len())
                })?;
            }
            Ok(())
        };
        tokio::try_join!(try_join_all((0..TASKS).map(send)), receive)?;
    }
    Ok(())
}

async fn tasks_share_an_end_to_receive(site: Site) -> Outcome {
    const COUNT: u32 = 24;
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let receive = |_| {
            let (site, own) = (&site, &pair.own);
            async move {
                let mut got = Vec::new();
                for _ in 0..COUNT / 4 {
                    got.push(number_of(&site.ask("receive beside others", own.recv()).await?));
                }
                Ok::<_, Finding>(got)
            }
        };
        let send = async {
            for number in 0..COUNT {
                site.ask(&format!("send message {number}"), pair.peer.send(&numbered(number, 500))).await?;
            }
            Ok(())
        };
        let (got, ()) = tokio::try_join!(try_join_all((0..4).map(receive)), send)?;
        let mut got: Vec<_> = got.into_iter().flatten().collect();
        got.sort_unstable();
        let wanted: Vec<_> = (0..COUNT).map(Some).collect();
        expect_equal("what all of them got", &got, &wanted)?;
    }
    Ok(())
}

async fn a_recv_that_is_given_up_loses_nothing(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let sent = [numbered(1, largest(&site).min(300_000)), numbered(2, 10), numbered(3, 20_000)];
        let send = async {
            for message in &sent {
                site.sleep(Duration::from_millis(3)).await;
                site.ask("send", pair.peer.send(message)).await?;
            }
            Ok::<_, Finding>(())
        };
        let receive = async {
            let mut got = Vec::new();
            while got.len() < sent.len() {
                // Waits for a millisecond, and gives up.
                if let Ok(received) = site.env().timeout(Duration::from_millis(1), pair.own.recv()).await {
                    got.push(received.map_err(|error| {
                        Finding::violated("'receive' to succeed after others were given up", error.to_string())
                    })?);
                }
            }
            Ok(got)
        };
        let both = async { tokio::try_join!(send, receive) };
        let ((), got) = site.within("receive three messages with an impatient recv", LARGE_WITHIN, both).await??;
        for (received, sent) in got.iter().zip(&sent) {
            same("a message after receives that were given up", received, sent)?;
        }
    }
    Ok(())
}

async fn a_send_that_is_given_up_leaves_no_part(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let large = message(&body(largest(&site).min(1 << 20)));
        {
            // Begun, and given up at the first wait: some of it may be under way.
            let mut send = pin!(pair.own.send(&large));
            let _ = poll_fn(|context| Poll::Ready(send.as_mut().poll(context))).await;
        }
        let small = message(b"after");
        let send = site.env().timeout(site.slack() * 4, pair.own.send(&small));
        let receive = async {
            let mut got = Vec::new();
            while let Ok(Ok(received)) = site.env().timeout(site.slack() * 8, pair.peer.recv()).await {
                got.push(received);
            }
            got
        };
        // Whether the connection goes on is the transport's choice.
        let (_, got) =
            site.within("receive what there is", LARGE_WITHIN, async { tokio::join!(send, receive) }).await?;
        for received in got {
            let whole = received.body == large.body || received.body == small.body;
            expect(whole, "a whole message, or an error", || {
                format!("{} bytes; {} and {} were sent", received.body.len(), large.body.len(), small.body.len())
            })?;
        }
    }
    Ok(())
}
