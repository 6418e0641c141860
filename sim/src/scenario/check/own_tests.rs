//! What checking says of services that are the user's own.

use super::check;
use super::tests::plugins;
use crate::engine::{engine, engines, live};
use crate::scenario::parse;

const COMMAND: &str = "command: { line: [./user, '--at=:{port}', '--etcd={registry}'] }";

/// A scenario with a service that runs so, to which `changes` are made.
fn file(runs: &str, changes: &[(&str, &str)]) -> String {
    let good = format!(
        "name: own
stack: {{ registry: etcd }}
services:
  user: {{ replicas: 2, runs: {{ {runs} }} }}
clients:
  web: {{ count: 2 }}
load:
  - calls: {{ from: web, to: user, rate: 20 }}
faults:
  - {{ at: 5s, for: 8s, crash: {{ host: user }} }}
expect:
  nothing_hangs: {{ within: 5s }}
"
    );
    changes.iter().fold(good, |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    })
}

fn shown(text: &str) -> String {
    let scenario = parse("own.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    check("own.yaml", text, &scenario, &plugins(), &live::info(), &engines()).to_string()
}

#[test]
fn the_simulator_refuses_a_program_with_its_place_and_the_mend() {
    let text = file(COMMAND, &[]);
    let scenario = parse("own.yaml", &text).unwrap();
    let event = engine("turmoil").unwrap();
    let shown = check("own.yaml", &text, &scenario, &plugins(), &event, &engines()).to_string();
    assert!(shown.contains("the simulator cannot run 'user'") && shown.contains("--world live"), "{shown}");
    assert!(shown.contains("own.yaml:4:24"), "{shown}");
}

#[test]
fn what_can_be_run_is_not_refused() {
    let crash = "{ at: 5s, for: 8s, crash: { host: user } }";
    let cut = (crash, "{ at: 5s, for: 8s, partition: { groups: [user, web] } }");
    let memory = ("registry: etcd", "registry: memory");
    for fine in [
        file(COMMAND, &[]),
        file("image: { name: 'user:1', env: { PORT: '{port}' }, ready: { path: /health, within: 5s } }, ttl: 6s", &[]),
        file("url: 'http://127.0.0.1:80{replica}/'", &[cut, memory]),
        file("command: { line: [user, '{port}'] }, registered_by: shaketable", &[memory]),
        file(COMMAND, &[("rate: 20", "rate: 20, http: GET /users/1")]),
        file(COMMAND, &[("rate: 20", "rate: 20, endpoint: User.Get, content_type: application/json, body: '{}'")]),
        file(COMMAND, &[("  - calls", "  - churn: { of: user, every: 2s, actions: [leave, join, flap] }\n  - calls")]),
    ] {
        assert_eq!(shown(&fine), "", "{fine}");
    }
}

#[test]
fn what_cannot_be_run_or_done_is_refused_with_its_place_and_the_mend() {
    let crash = "{ at: 5s, for: 8s, crash: { host: user } }";
    let one = ("replicas: 2", "replicas: 1");
    let url = "url: 'http://127.0.0.1:8080'";
    let cut = (crash, "{ at: 5s, for: 8s, partition: { groups: [user, web] } }");
    for (text, told) in [
        (file("ttl: 6s", &[]), "write one of command, image, url"),
        (file(&format!("{COMMAND}, {url}"), &[cut]), "'user' runs in two ways"),
        (file("command: { env: { PORT: '{port}' } }", &[]), "a command without a program"),
        (file("image: { line: ['{port}'] }", &[]), "an image without a name"),
        (file("command: { line: [./user, '{prot}'] }", &[]), "did you mean 'port'?"),
        (file("command: { line: [./user] }", &[]), "nothing tells 'user' where to listen"),
        (file(url, &[cut]), "2 replicas of 'user' at one address"),
        (file("url: 'http://127.0.0.1:{port}'", &[one, cut]), "nobody tells '{port}'"),
        (file("url: 'https://127.0.0.1:80'", &[one, cut]), "write it as http://HOST:PORT"),
        (file("url: 'http://127.0.0.1'", &[one, cut]), "says nowhere to go"),
        (file(url, &[one]), "nobody here can crash it"),
        (file(&format!("{url}, registered_by: itself"), &[one, cut]), "'user' cannot register"),
        (file(COMMAND, &[("registry: etcd", "registry: memory")]), "cannot reach registry 'memory'"),
        (file(COMMAND, &[("replicas: 2", "replicas: 2, version: '1'")]), "'user' registers itself, as it likes"),
        (file(&format!("{COMMAND}, ttl: 0s"), &[]), "a time span of zero"),
        (file(&format!("{url}, ttl: 6s"), &[one, cut]), "cannot ask for 6s"),
        (file("command: { line: [./user, '{port}'], ready: { path: health } }", &[]), "this is no path"),
        (file(COMMAND, &[("from: web", "from: 'web, user-1'")]), "'user-1' is the user's own"),
        (file(COMMAND, &[(crash, "{ at: 5s, skew: { host: user, by: 1h } }")]), "is this machine's"),
        (file(COMMAND, &[("rate: 20", "rate: 20, http: /users/1")]), "write a method and a path"),
        (file(COMMAND, &[("rate: 20", "rate: 20, body: x")]), "write 'http' or 'endpoint', too"),
        (file(COMMAND, &[("rate: 20", "rate: 20, http: GET /, endpoint: A.B")]), "ask for two things"),
        (file(COMMAND, &[("rate: 20", "rate: 20, endpoint: A.B, stream_messages: 2")]), "only the probe gives back"),
        (
            file(COMMAND, &[("rate: 20", "rate: 20, endpoint: A.B, content_type: application/json, body: '{'")]),
            "this is no JSON",
        ),
        (
            file(COMMAND, &[("  - calls", "  - churn: { of: user, every: 2s, actions: [move] }\n  - calls")]),
            "cannot be told to change",
        ),
        (
            file(COMMAND, &[("  web:", "  api: { count: 1 }\n  web:"), ("to: user,", "to: web,")]),
            "no service is called 'web'",
        ),
    ] {
        let shown = shown(&text);
        assert!(shown.contains(told) && shown.contains("own.yaml:"), "{told}:\n{shown}\n{text}");
    }
    let ours = file(COMMAND, &[("  user:", "  api: { replicas: 1 }\n  user:"), ("to: user", "to: api")]);
    let shown = shown(&ours.replacen("rate: 20", "rate: 20, http: GET /", 1));
    assert!(shown.contains("'api' speaks the stack's own protocol"), "{shown}");
}
