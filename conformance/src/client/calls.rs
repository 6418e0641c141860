//! Calls: they reach the endpoint that they name with what they carry, and bring back its answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::Rng;
use shaketable_stack::ErrorKind;
use shaketable_stack::client::{CallOptions, RequestOptions};
use shaketable_stack::codec::Payload;

use super::stage::{Ask, Caller, Seen, Text, serve};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Finding, Host, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-001",
        level: Must,
        sentence: "A call reaches the handler of its endpoint and brings back what that handler answered.",
        source: "go-micro client/client.go: Call",
        needs: &[],
        check: check!(a_call_reaches_its_endpoint),
    },
    Requirement {
        id: "CLI-002",
        level: Must,
        sentence: "A call goes to a node of the service that it names, whichever services were called before.",
        source: "go-micro client/client.go: NewRequest",
        needs: &[],
        check: check!(a_call_goes_to_its_service),
    },
    Requirement {
        id: "CLI-003",
        level: Must,
        sentence: "The headers of a call's context reach the handler, whatever becomes of the case of their names.",
        source: "go-micro metadata/metadata.go v2 to v6; issue 2738",
        needs: &[],
        check: check!(headers_reach_the_handler),
    },
    Requirement {
        id: "CLI-004",
        level: Must,
        sentence: "A body is encoded as the request's content type says, or as the client's own where the request names none.",
        source: "go-micro client/options.go: ContentType, WithContentType",
        needs: &[],
        check: check!(the_content_type_decides_the_encoding),
    },
    Requirement {
        id: "CLI-005",
        level: Must,
        sentence: "A request of a content type that the client has no codec for is refused, and no handler runs.",
        source: "go-micro client/rpc_client.go: newCodec, unsupported Content-Type",
        needs: &[],
        check: check!(an_unknown_content_type_is_refused),
    },
    Requirement {
        id: "CLI-006",
        level: Must,
        sentence: "Each of a hundred calls that run at the same time gets the answer to its own request.",
        source: "go-micro pull request 2744: a response is paired with the wrong request",
        needs: &[],
        check: check!(concurrent_calls_get_their_own_answers),
    },
    Requirement {
        id: "CLI-007",
        level: Must,
        sentence: "Options that a call brings count before the client's own, which count where the call leaves them open.",
        source: "go-micro client/rpc_client.go: callOpts",
        needs: &[],
        check: check!(a_calls_options_come_first),
    },
    Requirement {
        id: "CLI-008",
        level: Should,
        sentence: "The name of the service that calls, where the client is told one, reaches the handler as Micro-From-Service.",
        source: "go-micro util/wrapper/wrapper.go (v1 and v2; internal in v5): FromService",
        needs: &[],
        check: check!(the_callers_name_reaches_the_handler),
    },
    Requirement {
        id: "CLI-009",
        level: Must,
        sentence: "A handler's context can be used to call on: the caller's headers travel further, those of the first hop disturb nothing.",
        source: "go-micro client/rpc_client.go: a handler's context is forwarded with Content-Length and the stream's id",
        needs: &[],
        check: check!(a_handlers_context_calls_on),
    },
];

async fn a_call_reaches_its_endpoint(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("hello").await?;
    let answer = caller.ask(Ask::of("Probe.Where", "hello")).await?;
    expect_equal("the answer of Probe.Where", &answer.as_str(), &"one")?;
    let methods: Vec<&str> = seen.runs().iter().map(|run| run.method).collect();
    expect_equal("the handlers that ran", &methods, &vec!["Echo", "Where"])
}

async fn a_call_goes_to_its_service(site: Site) -> Outcome {
    let (user, book) = (site.name("user"), site.name("book"));
    let seen = Arc::new(Seen::default());
    let _users = serve(&site, Host::Second, &user, "users", &seen).await?;
    let _books = serve(&site, Host::Third, &book, "books", &seen).await?;
    let users = Caller::new(&site, Host::Home, &user).await?;
    let books = users.of_service(&book);
    let mut random = site.env().random("services");
    for _ in 0..12 {
        let (caller, wanted) = if random.random_bool(0.5) { (&users, "users") } else { (&books, "books") };
        let answer = caller.ask(Ask::of("Probe.Where", "")).await?;
        expect_equal("the server that answered", &answer.as_str(), &wanted)?;
    }
    Ok(())
}

async fn headers_reach_the_handler(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let sent = [("X-User-Id", "ada"), ("x-tenant", "north"), ("Micro-Trace-Id", "17")];
    let headers = sent.map(|(name, value)| (name, value.to_owned())).to_vec();
    caller.ask(Ask { headers, ..Ask::of("Probe.Echo", "x") }).await?;
    let run = seen.last("Echo").ok_or_else(|| Finding::violated("the handler to run", "it did not"))?;
    for (name, value) in sent {
        expect_equal(&format!("the handler's header {name}"), &run.header(name), &Some(value))?;
    }
    // A second request does not inherit them.
    caller.echo("y").await?;
    let inherited = seen.last("Echo").and_then(|run| run.header("X-User-Id").map(str::to_owned));
    expect_equal("the header of the first request at the second", &inherited, &None::<String>)
}

async fn the_content_type_decides_the_encoding(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    for (own, named) in [
        ("application/protobuf", None),
        ("application/protobuf", Some("application/json")),
        ("application/json", None),
        ("application/json", Some("application/protobuf")),
    ] {
        caller.init(|options| options.content_type = own.to_owned())?;
        let request = RequestOptions { content_type: named.map(str::to_owned), ..RequestOptions::default() };
        let text = format!("own {own}, named {named:?}");
        let ask = Ask { request, ..Ask::of("Probe.Raw", &text) };
        let answer = caller.ask(ask).await?;
        expect_equal("the answer", &answer, &text)?;
        let body = seen.bodies().pop().ok_or_else(|| Finding::violated("the handler to run", "it did not"))?;
        let mut read = Text::default();
        let wanted = named.unwrap_or(own);
        let decoded = if wanted.ends_with("json") { read.read_json(&body) } else { read.read_protobuf(&body) };
        expect(decoded.is_ok() && read.text == text, format!("a body in {wanted}"), || format!("{body:?}"))?;
    }
    Ok(())
}

async fn an_unknown_content_type_is_refused(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    let content_type = Some("application/x-unheard-of".to_owned());
    let request = RequestOptions { content_type, ..RequestOptions::default() };
    let kinds = [ErrorKind::InvalidInput, ErrorKind::Unsupported, ErrorKind::Remote];
    caller.refused(Ask { request, ..Ask::of("Probe.Echo", "y") }, &kinds).await?;
    expect_equal("the executions of the handler", &seen.count("Echo"), &1)?;
    caller.echo("z").await
}

async fn concurrent_calls_get_their_own_answers(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("first").await?;
    let mut random = site.env().random("work");
    let texts: Vec<String> = (0..100).map(|number| format!("{} call {number}", random.random_range(0..80))).collect();
    let calls = texts.iter().map(|text| caller.call(Ask::of("Probe.Wait", text)));
    let answers = site.ends("a hundred calls at the same time", join_all(calls)).await?;
    for (text, answer) in texts.iter().zip(answers) {
        match answer? {
            Ok(answer) => expect_equal(&format!("the answer to '{text}'"), &answer, text)?,
            Err(error) => return Err(Finding::violated(format!("an answer to '{text}'"), format!("`{error}`"))),
        }
    }
    Ok(())
}

async fn a_calls_options_come_first(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.echo("x").await?;
    caller.init(|options| options.call.request_timeout = Some(Duration::from_millis(300)))?;
    let open = CallOptions::default();
    let slow = Ask { options: open, ..Ask::of("Probe.Wait", "2000 with the client's own time") };
    caller.refused(slow, &[ErrorKind::Timeout]).await?;
    caller.ask(Ask::of("Probe.Wait", "800 with the call's time")).await.map(drop)
}

async fn the_callers_name_reaches_the_handler(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    caller.init(|options| options.from_service = Some("shop".to_owned()))?;
    caller.echo("x").await?;
    let name = seen.last("Echo").and_then(|run| run.header("Micro-From-Service").map(str::to_owned));
    expect_equal("the handler's header Micro-From-Service", &name.as_deref(), &Some("shop"))
}

async fn a_handlers_context_calls_on(site: Site) -> Outcome {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let _served = serve(&site, Host::Second, &service, "one", &seen).await?;
    let caller = Caller::new(&site, Host::Home, &service).await?;
    let headers = vec![("X-User-Id", "ada".to_owned())];
    caller.ask(Ask { headers, ..Ask::of("Probe.Echo", "a text that is longer than the next") }).await?;
    let first = seen.last("Echo").ok_or_else(|| Finding::violated("the handler to run", "it did not"))?;
    // What a handler on the same host would do; the deadline is left out, because it is of another host's clock.
    let mut context = first.context.clone();
    context.deadline = None;
    for text in ["on", "and on"] {
        let request =
            caller.client.new_request(&service, "Probe.Echo", Arc::new(Text::new(text)), RequestOptions::default());
        let mut response = Text::default();
        let options = Ask::of("", "").options;
        site.ask("call on", caller.client.call(&context, &request, &mut response, options)).await?;
        expect_equal("the answer", &response.text.as_str(), &text)?;
        let run = seen.last("Echo").ok_or_else(|| Finding::violated("the handler to run", "it did not"))?;
        expect_equal("the header X-User-Id at the second hop", &run.header("X-User-Id"), &Some("ada"))?;
        context = run.context;
        context.deadline = None;
    }
    Ok(())
}
