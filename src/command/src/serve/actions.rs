//! What can be done to a double, by method and path. It knows no HTTP beyond these words, and no socket.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Value, json};
use shaketable_proto::etcd::v3::rpc::CompactionRequest;
use shaketable_sim::backend::etcd::{EtcdHandle, Throttle};
use shaketable_stack::Env;

use super::state::state;
use crate::target::time_span;

/// What is told at `/`.
const HELP: &str = "\
A simulated etcd. Clients reach it at ADDRESS; here it takes orders. Every answer but this one is JSON; every order that
succeeds answers the state as it is then. Numbers of leases are hexadecimal, as etcdctl prints them.

GET  /                                 this text
GET  /state                            revision, leases, alarms, quota, throttle, clock, how many requests there were
POST /leases/ID/expire                 ends a lease as if its time were over, and deletes its keys
POST /compact[?revision=N]             forgets what was superseded at a revision, by default the newest
POST /leader[?without=2s]              elects a leader, after a time without one: every lease has its full TTL again
POST /throttle[?requests=N]            refuses the next N changes, or all: etcdserver: too many requests
POST /throttle?requests=0              refuses none any more
POST /quota?bytes=N                    sets the quota of the database
POST /quota/fill                       fills it: the next change that needs room raises the alarm NOSPACE. As with a real one,
                                       etcdctl defrag and then etcdctl alarm disarm mend it
POST /quota/free                       does both of these at once
POST /clock?times=N                    lets its clock run N times as fast: leases end N times sooner

Errors have a status of 400 or above and say why: {\"error\": \"…\"}.
";

/// A clock that runs faster would end a lease of a day within a second.
const TIMES_MAX: u32 = 100_000;

/// For longer no client waits.
const LEADERLESS_MAX: Duration = Duration::from_secs(3600);

/// A double, and how to reach its clock.
#[derive(Clone, Debug)]
pub(super) struct Double {
    pub(super) env: Env,
    pub(super) handle: EtcdHandle,
    /// Where its clients reach it.
    pub(super) address: SocketAddr,
}

/// What an order comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Text(String),
    Json(Value),
    /// A status of HTTP, and why.
    Refused(u16, String),
}

type Done = Result<(), (u16, String)>;

impl Double {
    /// The time by the double's clock.
    pub(super) fn now(&self) -> Duration {
        self.handle.time(self.host_now())
    }

    fn host_now(&self) -> Duration {
        self.env.now().since_origin()
    }

    /// Does what is asked.
    pub(super) fn answer(&self, method: &str, path: &str, query: &str) -> Answer {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (reads, act): (bool, &dyn Fn(&Parameters) -> Done) = match parts[..] {
            [] | ["state"] => (true, &|query| query.only(&[])),
            ["leases", id, "expire"] => (false, &move |query| self.expire(id, query)),
            ["compact"] => (false, &|query| self.compact(query)),
            ["leader"] => (false, &|query| self.elect(query)),
            ["throttle"] => (false, &|query| self.throttle(query)),
            ["quota"] => (false, &|query| self.quota(query)),
            ["quota", "fill"] => (false, &|query| self.fill(query)),
            ["quota", "free"] => (false, &|query| self.free(query)),
            ["clock"] => (false, &|query| self.clock(query)),
            _ => return Answer::Refused(404, format!("there is no {path}; GET / tells what there is")),
        };
        let allowed = if reads { "GET" } else { "POST" };
        if method != allowed {
            return Answer::Refused(405, format!("{path} takes {allowed}, not {method}"));
        }
        match Parameters::read(query).and_then(|query| act(&query)) {
            Ok(()) if parts.is_empty() => Answer::Text(HELP.replace("ADDRESS", &self.address.to_string())),
            Ok(()) => Answer::Json(state(self)),
            Err((status, why)) => Answer::Refused(status, why),
        }
    }

    fn expire(&self, id: &str, query: &Parameters) -> Done {
        query.only(&[])?;
        let digits = id.strip_prefix("0x").unwrap_or(id);
        let Ok(lease) = u64::from_str_radix(digits, 16) else {
            return Err((
                400,
                format!("'{id}' is no number of a lease: hexadecimal digits, as etcdctl lease list prints them"),
            ));
        };
        let now = self.now();
        if self.handle.with(|etcd| etcd.expire_lease(now, lease.cast_signed())) {
            Ok(())
        } else {
            Err((404, format!("there is no lease {id}; GET /state tells all leases")))
        }
    }

    fn compact(&self, query: &Parameters) -> Done {
        query.only(&["revision"])?;
        let asked = query.number("revision")?;
        let now = self.now();
        let result = self.handle.with(|etcd| {
            let revision =
                asked.map_or_else(|| etcd.revision(), |revision| i64::try_from(revision).unwrap_or(i64::MAX));
            etcd.compact(now, CompactionRequest { revision, physical: true })
        });
        result.map(drop).map_err(|refusal| (409, refusal.to_string()))
    }

    fn elect(&self, query: &Parameters) -> Done {
        query.only(&["without"])?;
        let without = match query.get("without") {
            Some(text) => time_span(text).map_err(|why| (400, format!("without: {why}")))?,
            None => Duration::ZERO,
        };
        if without > LEADERLESS_MAX {
            return Err((400, "without: an hour at most".to_owned()));
        }
        let now = self.now();
        self.handle.with(|etcd| etcd.lose_leader(now, without));
        Ok(())
    }

    fn throttle(&self, query: &Parameters) -> Done {
        query.only(&["requests"])?;
        let throttle = query.number("requests")?.map_or(Throttle::All, Throttle::Next);
        self.handle.with(|etcd| etcd.set_throttle(throttle));
        Ok(())
    }

    fn quota(&self, query: &Parameters) -> Done {
        query.only(&["bytes"])?;
        match query.number("bytes")? {
            None | Some(0) => Err((400, "say how many bytes: /quota?bytes=N, at least 1".to_owned())),
            bytes => {
                self.handle.with(|etcd| etcd.set_quota_bytes(bytes));
                Ok(())
            }
        }
    }

    fn fill(&self, query: &Parameters) -> Done {
        query.only(&[])?;
        let now = self.now();
        self.handle.with(|etcd| etcd.fill(now));
        Ok(())
    }

    fn free(&self, query: &Parameters) -> Done {
        query.only(&[])?;
        let now = self.now();
        self.handle.with(|etcd| etcd.free(now));
        Ok(())
    }

    fn clock(&self, query: &Parameters) -> Done {
        query.only(&["times"])?;
        let times = query.number("times")?.and_then(|times| u32::try_from(times).ok()).and_then(NonZeroU32::new);
        match times.filter(|times| times.get() <= TIMES_MAX) {
            Some(times) => {
                self.handle.run_times_as_fast(self.host_now(), times);
                Ok(())
            }
            None => Err((400, format!("say how many times as fast: /clock?times=N, from 1 to {TIMES_MAX}"))),
        }
    }
}

/// What stands behind the question mark.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(query: &str) -> Result<Self, (u16, String)> {
        let pair = |pair: &str| match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err((400, format!("'{pair}' has no value; write {}=VALUE", pair.trim_end_matches('=')))),
        };
        query.split('&').filter(|text| !text.is_empty()).map(pair).collect::<Result<_, _>>().map(Self)
    }

    fn only(&self, known: &[&str]) -> Done {
        let unknown = self.0.iter().find(|(name, _)| !known.contains(&name.as_str()));
        match (unknown, known) {
            (None, _) => Ok(()),
            (Some((name, _)), []) => Err((400, format!("'{name}' means nothing here; leave it out"))),
            (Some((name, _)), _) => Err((400, format!("'{name}' means nothing here; there is: {}", known.join(", ")))),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Result<Option<u64>, (u16, String)> {
        let number = |text: &str| text.parse().map_err(|_| (400, format!("{name}: '{text}' is no whole number")));
        self.get(name).map(number).transpose()
    }
}

impl Answer {
    /// The status, the kind of the text, and the text.
    pub(super) fn into_http(self) -> (u16, &'static str, String) {
        match self {
            Self::Text(text) => (200, "text/plain; charset=utf-8", text),
            Self::Json(value) => (200, "application/json", format!("{value:#}\n")),
            Self::Refused(status, why) => (status, "application/json", format!("{}\n", json!({ "error": why }))),
        }
    }
}
