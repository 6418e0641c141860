//! What the etcd registry costs on a real etcd, in a container where there is an engine: this stack's beside `etcd-client` used
//! bare, as somebody would write it who wants nothing but these operations, and beside go-micro's own registry in Go, if
//! `SHAKETABLE_GO_ADAPTER` names the adapter; and what a whole call costs of somebody who has to look the service up first. All
//! of them talk to one etcd, by turns, and are compared by the wall clock: most of the time is etcd's. Its data lies in memory,
//! so that nobody waits for a disk.

mod bare;
#[path = "../peers/bare_hyper.rs"]
#[allow(dead_code, reason = "it can HTTP/2, too")]
mod bare_hyper;
#[path = "../peers/bare_tonic.rs"]
mod bare_tonic;
mod calling;
#[path = "../peers/echo.rs"]
#[allow(dead_code, reason = "nothing is asked on lanes here")]
mod echo;
#[path = "../codec/fixture.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "services are registered here, and nothing else")]
mod fixture;
mod gomicro;
mod ours;
#[path = "../peers/pair.rs"]
mod pair;
mod services;
#[path = "../peers/stack.rs"]
#[allow(dead_code, reason = "clients are told where to go here")]
mod stack;
mod watching;

use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use criterion::Criterion;
use shaketable_bench_room::{Amount, Contest, Kind, Placement, Role};
use shaketable_fixtures::etcd::{Location, RealEtcd, Settings, Storage, is_required, locate};
use tokio::runtime::{Builder, Runtime};

use bare::Bare;
use calling::CODECS;
use gomicro::Peer;
use ours::Ours;

/// As the program `shaketable` allocates, and the same for every contender.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An operation takes half a millisecond and more.
const TURN: Duration = Duration::from_millis(25);

/// A hundred registrations and more, so that one of a hundred means something.
const LONG_TURN: Duration = Duration::from_millis(250);

/// Registrations of a storm.
const STORM: usize = 1_000;

/// How the names of all services begin.
const NAME: &str = "bench-";

/// Services of a list.
const LISTED: usize = 1_000;

/// The etcd of all contests.
struct Ground {
    etcd: RealEtcd,
    kind: Kind,
    gomicro: Option<Rc<Peer>>,
}

fn main() -> ExitCode {
    let location = locate();
    let kind = match &location {
        Location::Nowhere if is_required() => {
            eprintln!("registry: there is no etcd, and one is required");
            return ExitCode::FAILURE;
        }
        Location::Nowhere => {
            println!("registry: left out, because there is no etcd: `shaketable doctor` says how to get one");
            return ExitCode::SUCCESS;
        }
        Location::Address(_) => Kind::SomebodysServer,
        Location::Program(_) => Kind::ServerProcess,
        Location::Container(_) => Kind::ServerInContainer,
    };
    let settings = Settings { storage: Storage::Memory, ..Settings::default() };
    let etcd = runtime().block_on(RealEtcd::start_with(&location, &settings)).expect("etcd starts");
    let gomicro = Peer::start(etcd.address()).map(Rc::new);
    let ground = Ground { etcd, kind, gomicro };
    let mut criterion = Criterion::default().configure_from_args();
    ground.hold(&mut criterion);
    // An etcd that somebody else runs goes on.
    Bare::new(&ground, NAME).clean(&format!("/micro/registry/{NAME}"));
    criterion.final_summary();
    ExitCode::SUCCESS
}

impl Ground {
    fn hold(&self, criterion: &mut Criterion) {
        self.contest("register", "one", 1, TURN)
            .enter_timed("etcd", Role::Ours, || Ours::new(self, "bench-one-ours").registers(1))
            .enter_timed("etcd-client", Role::Limit, || Bare::new(self, "bench-one-bare").registers(1))
            .enter_peer(self, "register bench-one-go 1")
            .hold(criterion);
        self.contest("register", "storm", STORM, LONG_TURN)
            .enter_timed("etcd", Role::Ours, || Ours::new(self, "bench-storm-ours").registers(STORM))
            .enter_timed("etcd-client", Role::Limit, || Bare::new(self, "bench-storm-bare").registers(STORM))
            .enter_peer(self, &format!("storm bench-storm-go {STORM}"))
            .hold(criterion);
        self.renew(criterion);
        for nodes in [1, 100] {
            let service = format!("bench-get-{nodes}");
            self.contest("get", &nodes.to_string(), 1, TURN)
                .enter_batch("etcd", Role::Ours, || Ours::new(self, &service).gets(nodes))
                .enter_batch("etcd-client", Role::Limit, || Bare::new(self, &service).gets(nodes))
                .enter_peer(self, &format!("get {service} {nodes}"))
                .hold(criterion);
            let cached = format!("bench-cached-{nodes}");
            self.contest("get-cached", &nodes.to_string(), 1, TURN)
                .enter_batch("cache over etcd", Role::Ours, || Ours::new(self, &cached).gets_cached(nodes))
                .enter_batch("a map behind an ArcSwap", Role::Limit, || Bare::new(self, &cached).gets_kept(nodes))
                .enter_batch("etcd-client, not cached", Role::Peer, || Bare::new(self, &cached).gets(nodes))
                .hold(criterion);
            for codec in CODECS {
                self.call(codec, nodes, criterion);
            }
        }
        self.contest("list", &LISTED.to_string(), LISTED, LONG_TURN)
            .enter_batch("etcd", Role::Ours, || Ours::new(self, "bench-list").lists(LISTED))
            .enter_batch("etcd-client", Role::Limit, || Bare::new(self, "bench-list").lists(LISTED))
            .enter_peer(self, &format!("list bench-list {LISTED}"))
            .hold(criterion);
        for watchers in [1, 10, 100] {
            self.watch("watch", watchers, TURN, criterion);
        }
        self.watch("watch-p99", 100, LONG_TURN, criterion);
    }

    /// A service is registered again, as a server does three times within each TTL: nothing has changed, and what costs is to
    /// make sure of it. The lease is kept alive by one message for all nodes, whatever their number.
    fn renew(&self, criterion: &mut Criterion) {
        for nodes in [1, 100] {
            let name = |who: &str| format!("bench-again-{nodes}-{who}");
            let contest = self
                .contest("renew", &nodes.to_string(), nodes, TURN)
                .enter_batch("etcd", Role::Ours, || Ours::new(self, &name("ours")).registers_again(nodes))
                .enter_batch("etcd-client, a look", Role::Peer, || Bare::new(self, &name("bare")).looks(nodes))
                .enter_batch("etcd-client, a look at the lease", Role::Limit, || {
                    Bare::new(self, &name("leased")).looks_at_lease(nodes)
                })
                .enter_batch("etcd-client, a keep-alive", Role::Peer, || Bare::new(self, &name("kept")).renews());
            // go-micro's bench knows one node.
            let contest = if nodes == 1 { contest.enter_peer(self, "again bench-again-go 1") } else { contest };
            contest.hold(criterion);
        }
    }

    /// A service with so many nodes is looked up and called, with messages written by `codec`.
    fn call(&self, codec: &str, nodes: usize, criterion: &mut Criterion) {
        let name = |who: &str| format!("bench-call-{codec}-{nodes}-{who}");
        let stack = |who: &str, ways| calling::by_stack(self, &name(who), codec, nodes, ways);
        let contest = self
            .contest("call", &format!("{codec}-{nodes}"), 1, TURN)
            .enter_batch("direct", Role::Ours, || calling::direct(self, &name("direct"), codec, nodes))
            .enter_batch("grpc", Role::Ours, || stack("grpc", ["grpc", "memory"]))
            .enter_batch("http", Role::Ours, || stack("http", ["rpc", "http"]))
            .enter_batch("etcd-client and hyper", Role::Limit, || {
                calling::by_hand(self, &name("hyper"), nodes, bare_hyper::http1)
            });
        // tonic has no JSON.
        let contest = if codec == "protobuf" {
            let by_tonic = || calling::by_hand(self, &name("tonic"), nodes, bare_tonic::unary);
            contest.enter_batch("etcd-client and tonic", Role::Peer, by_tonic)
        } else {
            contest
        };
        contest.hold(criterion);
    }

    /// From a registration to the event at every watcher: on average, or the time that one of a hundred takes.
    fn watch(&self, what: &str, watchers: usize, turn: Duration, criterion: &mut Criterion) {
        let service = |who: &str| format!("{NAME}{what}-{watchers}-{who}");
        let worst = what == "watch-p99";
        self.contest(what, &watchers.to_string(), watchers, turn)
            .enter_timed("etcd", Role::Ours, || Ours::new(self, &service("ours")).watches(watchers, worst))
            .enter_timed("etcd-client", Role::Limit, || Bare::new(self, &service("bare")).watches(watchers, worst))
            .enter_peer(self, &format!("{what} {} {watchers}", service("go")))
            .hold(criterion);
    }

    fn contest(&self, what: &str, case: &str, elements: usize, turn: Duration) -> Contest<'_> {
        Contest::new("registry", format!("{what}/{case}"), Amount::Elements(elements))
            .on(Placement::CoreEach, self.kind)
            .in_turns_of(turn)
    }
}

/// Enters go-micro's registry, if there is one.
trait EnterPeer {
    fn enter_peer(self, ground: &Ground, order: &str) -> Self;
}

impl EnterPeer for Contest<'_> {
    fn enter_peer(self, ground: &Ground, order: &str) -> Self {
        let Some(peer) = ground.gomicro.clone() else { return self };
        let order = order.to_owned();
        self.enter_timed("go-micro", Role::Peer, move || move |times| peer.takes(&order, times))
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}
