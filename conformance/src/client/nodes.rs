//! Nodes: which one an attempt goes to, and what the selector hears of it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use shaketable_stack::client::Backoff;
use shaketable_stack::registry::{Node, RegisterOptions, Service};
use shaketable_stack::selector::{
    Filter, Next, NodeSet, Outcome as NodeOutcome, SelectOptions, Selection, Selector, SelectorOptions, Strategy,
    StrategyState,
};
use shaketable_stack::{ErrorKind, Result as StackResult};

use super::stage::{Ask, Caller, Seen, dead_address, lock, serve};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Host, Outcome, Requirement, Site, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-029",
        level: Must,
        sentence: "A call with addresses goes there, past registry and selector.",
        source: "go-micro client/options.go: WithAddress",
        needs: &[],
        check: check!(addresses_bypass_the_registry),
    },
    Requirement {
        id: "CLI-030",
        level: Must,
        sentence: "Of several addresses each attempt takes the next, so that one that nobody listens at costs one attempt.",
        source: "go-micro client/rpc_client.go: next picks among the addresses of WithAddress by the Unix second, so \
                 that retries meet the same node",
        needs: &[],
        check: check!(each_attempt_takes_the_next_address),
    },
    Requirement {
        id: "CLI-031",
        level: Must,
        sentence: "The filters of a call decide which nodes it may go to, and a call that they leave none fails with NoneAvailable or NotFound.",
        source: "go-micro client/options.go: WithSelectOption; selector/filter.go",
        needs: &[],
        check: check!(a_calls_filters_decide),
    },
    Requirement {
        id: "CLI-032",
        level: Must,
        sentence: "After a node could not be reached the next attempt asks the selector again, and so may reach another.",
        source: "go-micro client/rpc_client.go: next() for each attempt",
        needs: &[],
        check: check!(the_next_attempt_selects_again),
    },
    Requirement {
        id: "CLI-033",
        level: Must,
        sentence: "The selector is told of each attempt: an answer, also a handler's error, as Answered, and a node that was not reached as Failed.",
        source: "go-micro issues 87 and 97: application errors blacklist healthy nodes",
        needs: &[],
        check: check!(the_selector_is_told),
    },
    Requirement {
        id: "CLI-034",
        level: Must,
        sentence: "A second client with a selector and options of its own changes nothing for the first.",
        source: "go-micro client/options.go v2 to v6: clients share DefaultSelector, and Registry of the second one \
                 redirects the first",
        needs: &[],
        check: check!(a_second_client_changes_nothing),
    },
];

async fn addresses_bypass_the_registry(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let _served = serve(&site, Host::Third, &service, "two", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let stranger = caller.of_service(&site.name("unregistered"));
    for caller in [&caller, &stranger] {
        for _ in 0..4 {
            let ask = Ask::of("Probe.Where", "x").with(|options| options.addresses = vec![served.address()]);
            expect_equal("the server that answered", &caller.ask(ask).await?.as_str(), &"one")?;
        }
    }
    Ok(())
}

async fn each_attempt_takes_the_next_address(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let dead = [dead_address(&site).await?, dead_address(&site).await?];
    let addresses = vec![dead[0].clone(), dead[1].clone(), served.address()];
    let ask = Ask::of("Probe.Where", "x").retries(2).with(|options| {
        options.addresses = addresses;
        options.backoff = Some(Backoff::new(|_| std::time::Duration::ZERO));
    });
    expect_equal("the server that answered", &caller.ask(ask).await?.as_str(), &"one")
}

/// Leaves the nodes with one address, or none.
#[derive(Debug)]
struct Only(Option<String>);

impl Filter for Only {
    fn apply(&self, services: &[Service]) -> Vec<Service> {
        let mut services = services.to_vec();
        for service in &mut services {
            service.nodes.retain(|node| Some(&node.address) == self.0.as_ref());
        }
        services.retain(|service| !service.nodes.is_empty());
        services
    }
}

async fn a_calls_filters_decide(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let mut served = Vec::new();
    for (host, label) in [(Host::Second, "one"), (Host::Third, "two")] {
        served.push((label, serve(&site, host, &service, label, &seen).await?));
    }
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let filtered = |only: Only| {
        let select = SelectOptions { filters: vec![Arc::new(only)], strategy: None };
        Ask::of("Probe.Where", "x").with(|options| options.select = Some(select))
    };
    for (label, served) in &served {
        for _ in 0..5 {
            let answer = caller.ask(filtered(Only(Some(served.address())))).await?;
            expect_equal("the server that answered", &answer.as_str(), label)?;
        }
    }
    let kinds = [ErrorKind::NoneAvailable, ErrorKind::NotFound];
    caller.refused(filtered(Only(None)).retries(0), &kinds).await.map(drop)
}

/// Takes the nodes in turn.
#[derive(Debug)]
struct InTurn(Mutex<usize>);

impl Strategy for InTurn {
    fn pick(&self, set: &NodeSet, _state: &StrategyState) -> usize {
        let mut turn = lock(&self.0);
        *turn += 1;
        *turn % set.nodes.len().max(1)
    }

    fn name(&self) -> &'static str {
        "in turn"
    }
}

async fn the_next_attempt_selects_again(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let dead = Node { id: "a-dead-one".to_owned(), address: dead_address(&site).await?, ..Node::default() };
    let mut record = served.record.clone();
    record.nodes = vec![Node { metadata: served.record.nodes[0].metadata.clone(), ..dead }];
    let parts = site.parts().await?;
    site.ask("register a node that is dead", parts.registry.register(&record, RegisterOptions::default())).await?;
    let caller = Caller::of_parts(&site, &parts, &service).await?;
    let strategy: Arc<dyn Strategy> = Arc::new(InTurn(Mutex::default()));
    for _ in 0..4 {
        let select = SelectOptions { filters: Vec::new(), strategy: Some(strategy.clone()) };
        let ask = Ask::of("Probe.Where", "x").retries(1).with(|options| {
            options.select = Some(select);
            options.backoff = Some(Backoff::new(|_| std::time::Duration::ZERO));
        });
        expect_equal("the server that answered", &caller.ask(ask).await?.as_str(), &"one")?;
    }
    Ok(())
}

/// A selector that knows one node, and writes down what it is told.
#[derive(Debug)]
struct Fixed {
    options: SelectorOptions,
    address: Mutex<String>,
    told: Mutex<Vec<NodeOutcome>>,
}

#[async_trait]
impl Selector for Fixed {
    fn init(&self, _options: SelectorOptions) -> StackResult<()> {
        Ok(())
    }

    fn options(&self) -> SelectorOptions {
        self.options.clone()
    }

    fn select(&self, service: &str, _options: &SelectOptions) -> StackResult<Selection> {
        let address = lock(&self.address).clone();
        let node = Node { id: format!("{service}-fixed"), address, ..Node::default() };
        let set = NodeSet { service: service.to_owned(), nodes: vec![Arc::new(node)] };
        let strategy: Arc<dyn Strategy> = Arc::new(InTurn(Mutex::default()));
        Ok(Selection::Ready(Next::new(Arc::new(set), strategy, StrategyState::default())))
    }

    async fn load(&self, _service: &str) -> StackResult<()> {
        Ok(())
    }

    fn mark(&self, _service: &str, _node: &Node, outcome: NodeOutcome) {
        lock(&self.told).push(outcome);
    }

    fn reset(&self, _service: &str) {}

    async fn close(&self) -> StackResult<()> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "fixed"
    }
}

/// A client whose selector knows nothing but `address`.
async fn fixed(site: &Site, service: &str, address: &str) -> Result<(Caller, Arc<Fixed>), crate::Finding> {
    let mut parts = site.parts().await?;
    let options = parts.selector.options();
    let selector = Arc::new(Fixed { options, address: Mutex::new(address.to_owned()), told: Mutex::default() });
    parts.selector = selector.clone();
    Ok((Caller::of_parts(site, &parts, service).await?, selector))
}

async fn the_selector_is_told(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let (caller, selector) = fixed(&site, &service, &served.address()).await?;
    caller.ask(Ask::of("Probe.Echo", "x").retries(0)).await?;
    expect_equal("what the selector was told of a success", &*lock(&selector.told), &vec![NodeOutcome::Answered])?;
    caller.refused(Ask::of("Probe.Fail", "500 broken").retries(0), &[ErrorKind::Remote]).await?;
    let answered = vec![NodeOutcome::Answered; 2];
    expect_equal("what the selector was told up to a handler's error", &*lock(&selector.told), &answered)?;
    let dead = dead_address(&site).await?;
    dead.clone_into(&mut lock(&selector.address));
    let kinds = [ErrorKind::Unreachable, ErrorKind::Disconnected];
    caller.refused(Ask::of("Probe.Echo", "x").retries(0), &kinds).await?;
    let told = vec![NodeOutcome::Answered, NodeOutcome::Answered, NodeOutcome::Failed];
    expect_equal("what the selector was told up to a node that is dead", &*lock(&selector.told), &told)
}

async fn a_second_client_changes_nothing(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let one = serve(&site, Host::Second, &service, "one", &seen).await?;
    let two = serve(&site, Host::Third, &service, "two", &seen).await?;
    let (first, _) = fixed(&site, &service, &one.address()).await?;
    let mark = |options: &mut shaketable_stack::client::ClientOptions, name: &str| {
        options.from_service = Some(name.to_owned());
    };
    first.init(|options| mark(options, "first"))?;
    expect_equal("the server that answered", &first.ask(Ask::of("Probe.Where", "x")).await?.as_str(), &"one")?;
    let (second, _) = fixed(&site, &service, &two.address()).await?;
    second.init(|options| mark(options, "second"))?;
    expect_equal("the second client's server", &second.ask(Ask::of("Probe.Where", "x")).await?.as_str(), &"two")?;
    expect_equal("the first client's server then", &first.ask(Ask::of("Probe.Where", "x")).await?.as_str(), &"one")?;
    let options = first.client.options().from_service;
    expect_equal("the first client's option then", &options.as_deref(), &Some("first"))
}
