//! A plugin whose client opens sockets by itself, as its author judges it: live, on a backend of the author's own. The plugin
//! is a registry over a small store that speaks TCP on loopback. Each test starts this program again as the author's test
//! target.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::{Arguments, Failed, Trial};
use shaketable::backend::{Act, Backend, Verb};
use shaketable::plugin::{Ability, Promises, Simulatable, ready};
use shaketable::registry::{
    DeregisterOptions, GetOptions, ListOptions, RegisterOptions, Registry, RegistryOptions, Service, Services,
    WatchOptions, Watcher,
};
use shaketable::{Conformance, Error, ErrorKind, Result};

/// Says what the program is: absent, the tests; otherwise the author's test target, and what its backend is like.
const BACKEND: &str = "SHAKETABLE_TEST_BACKEND";

fn main() -> ExitCode {
    match std::env::var(BACKEND) {
        Ok(backend) => judge(backend),
        Err(_) => libtest_mimic::run(&Arguments::from_args(), tests()).exit_code(),
    }
}

/// The author's test target.
fn judge(backend: String) -> ExitCode {
    let promises = Promises {
        backend: Some("store"),
        simulatable: Simulatable::No("its client opens sockets by itself"),
        lacks: &[Ability::Ttl, Ability::Watch, Ability::WatchAll],
        ..Promises::default()
    };
    Conformance::of("registry", "stored")
        .registry("stored", promises, |_env, settings| {
            let address = settings.addresses.first().cloned().unwrap_or_default();
            ready(Arc::new(Stored { address, options: Mutex::default() }) as Arc<dyn Registry>)
        })
        .live(&[Verb::DeleteEntries, Verb::CountHeld], move || match backend.as_str() {
            "there" => Store::start(),
            "gone" => Ok(Store { address: free_address()?, entries: Arc::default() }),
            "less" => Ok(Store { address: "store.example.org".to_owned(), entries: Arc::default() }),
            _ => Err("no backend was to be made".to_owned()),
        })
        .main()
}

fn tests() -> Vec<Trial> {
    vec![
        Trial::test("a_listing_makes_no_backend", || {
            let (code, all) = run("none", &["--list", "--format", "terse"])?;
            let ignored = run("none", &["--list", "--format", "terse", "--ignored"])?.1;
            told(code == 0 && all.lines().filter(|line| line.ends_with(": test")).count() >= 40, &all)?;
            // Entries can be deleted, leases cannot be taken.
            told(all.contains("REG-055::") && !ignored.contains("REG-055::"), &ignored)?;
            told(ignored.contains("REG-054::"), &ignored)
        }),
        Trial::test("a_plugin_is_judged_on_its_authors_backend", || {
            let (code, text) = run("there", &["--only", "REG-001,REG-002,REG-055"])?;
            told(code == 0 && text.contains("3 passed; 0 failed"), &text)
        }),
        Trial::test("a_backend_that_is_gone_is_an_error_of_the_world", || {
            let (code, text) = run("gone", &["--only", "REG-001"])?;
            told(
                code == 3 && text.contains("FAILED (ERROR)") && text.contains("no backend answers at 127.0.0.1:"),
                &text,
            )
        }),
        Trial::test("a_backend_that_cannot_be_made_is_an_error_of_the_world", || {
            let (code, text) = run("none", &["--only", "REG-001"])?;
            told(code == 3 && text.contains("no backend was to be made"), &text)
        }),
        Trial::test("what_may_not_be_done_after_all_is_not_shown_as_passed", || {
            let (code, text) = run("less", &["--only", "REG-055"])?;
            told(code == 4 && text.contains("FAILED (n/a)") && text.contains("is not on loopback"), &text)
        }),
        Trial::test("seeds_and_weathers_are_refused", || {
            let (code, text) = run("none", &["--seed", "1"])?;
            told(code == 2 && text.contains("a live world has neither seeds nor weathers"), &text)
        }),
    ]
}

/// Starts this program as the author's test target.
fn run(backend: &str, words: &[&str]) -> std::io::Result<(i32, String)> {
    let output = Command::new(std::env::current_exe()?).args(words).env(BACKEND, backend).output()?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code().unwrap_or(-1), text))
}

fn told(holds: bool, text: &str) -> std::result::Result<(), Failed> {
    if holds { Ok(()) } else { Err(text.into()) }
}

/// An address where nobody listens.
fn free_address() -> std::result::Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.to_string()).map_err(|error| error.to_string())
}

type Entries = Arc<Mutex<BTreeMap<String, String>>>;

fn locked(entries: &Entries) -> MutexGuard<'_, BTreeMap<String, String>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The backend: a store of keys and values, one line of JSON for each request and each answer.
#[derive(Debug)]
struct Store {
    address: String,
    entries: Entries,
}

impl Store {
    fn start() -> std::result::Result<Self, String> {
        let failed = |error: std::io::Error| format!("failed to start the store: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let store = Self { address: listener.local_addr().map_err(failed)?.to_string(), entries: Entries::default() };
        let entries = store.entries.clone();
        let serve = move || {
            for stream in listener.incoming().flatten() {
                // Whoever goes away before the answer has no use for it.
                let _ = answer(&stream, &entries);
            }
        };
        // It ends with the program.
        std::thread::Builder::new().spawn(serve).map_err(failed)?;
        Ok(store)
    }
}

fn answer(mut stream: &TcpStream, entries: &Entries) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let request: Vec<String> = serde_json::from_str(&line)?;
    let words: Vec<&str> = request.iter().map(String::as_str).collect();
    let mut entries = locked(entries);
    match words.as_slice() {
        ["put", key, value] => drop(entries.insert((*key).to_owned(), (*value).to_owned())),
        ["delete", key] => drop(entries.remove(*key)),
        _ => {}
    }
    let values: Vec<&String> = entries.values().collect();
    writeln!(stream, "{}", serde_json::to_string(&values)?)
}

#[async_trait]
impl Backend for Store {
    fn addresses(&self) -> Vec<String> {
        vec![self.address.clone()]
    }

    fn verbs(&self) -> BTreeSet<Verb> {
        BTreeSet::from([Verb::DeleteEntries, Verb::CountHeld])
    }

    async fn act(&self, act: &Act) -> std::result::Result<(), String> {
        let Act::DeleteEntries(nodes) = act else { return Err(format!("{act:?} cannot be done to the store")) };
        locked(&self.entries).retain(|key, _| !nodes.iter().any(|node| key.contains(node.as_str())));
        Ok(())
    }

    async fn requests(&self) -> std::result::Result<u64, String> {
        Err("the store counts no requests".to_owned())
    }

    async fn held(&self) -> std::result::Result<u64, String> {
        Ok(locked(&self.entries).len() as u64)
    }

    async fn held_in(&self, namespace: &str) -> std::result::Result<Option<u64>, String> {
        Ok(Some(locked(&self.entries).keys().filter(|key| key.contains(namespace)).count() as u64))
    }
}

/// The plugin.
#[derive(Debug)]
struct Stored {
    address: String,
    options: Mutex<RegistryOptions>,
}

impl Stored {
    /// What the store holds after `request`.
    fn ask(&self, request: &[&str]) -> Result<Vec<Service>> {
        let asked = || -> std::io::Result<Vec<Service>> {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            writeln!(stream, "{}", serde_json::to_string(request)?)?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            let values: Vec<String> = serde_json::from_str(&line)?;
            values.iter().map(|value| Ok(serde_json::from_str(value)?)).collect()
        };
        asked().map_err(|error| Error::new(ErrorKind::Backend, "ask the store").caused_by(error))
    }

    fn found(&self, name: Option<&str>) -> Result<Services> {
        let mut found = BTreeMap::<(String, String), Service>::new();
        for record in self.ask(&["all"])?.into_iter().filter(|record| name.is_none_or(|name| name == record.name)) {
            let key = (record.name.clone(), record.version.clone());
            match found.get_mut(&key) {
                Some(service) => service.nodes.extend(record.nodes),
                None => drop(found.insert(key, record)),
            }
        }
        Ok(found.into_values().collect())
    }
}

/// One record for each node, under its service's name and its id.
fn records(service: &Service) -> impl Iterator<Item = (String, Service)> {
    service.nodes.iter().map(|node| {
        let record = Service { nodes: vec![node.clone()], ..service.clone() };
        (format!("{:?} {:?}", service.name, node.id), record)
    })
}

#[async_trait]
impl Registry for Stored {
    fn init(&self, options: RegistryOptions) -> Result<()> {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
        Ok(())
    }

    fn options(&self) -> RegistryOptions {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        if service.name.is_empty() || service.nodes.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "register").detail("a service needs a name and a node"));
        }
        if options.ttl.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "register").detail("the store keeps no TTL"));
        }
        for (key, record) in records(service) {
            self.ask(&["put", &key, &serde_json::to_string(&record).unwrap_or_default()])?;
        }
        Ok(())
    }

    async fn deregister(&self, service: &Service, _options: DeregisterOptions) -> Result<()> {
        for (key, _) in records(service) {
            self.ask(&["delete", &key])?;
        }
        Ok(())
    }

    async fn get_service(&self, name: &str, _options: GetOptions) -> Result<Services> {
        let found = self.found(Some(name))?;
        if found.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "get service").detail(format!("no node of '{name}'")));
        }
        Ok(found)
    }

    async fn list_services(&self, _options: ListOptions) -> Result<Services> {
        self.found(None)
    }

    async fn watch(&self, _options: WatchOptions) -> Result<Arc<dyn Watcher>> {
        Err(Error::new(ErrorKind::Unsupported, "watch").detail("the store tells of no changes"))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "stored"
    }
}
