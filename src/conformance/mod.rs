//! The main function of a test target without a harness that judges a plugin: each requirement of its interface is a test of
//! its own. It knows nothing of plugins beyond their names.

mod session;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use shaketable_conformance::Interface;
use shaketable_conformance::backend::{Backend, Verb};
use shaketable_conformance::judge::{BackendSource, LiveWorld, run_check_if_asked};
use shaketable_stack::plugin::Plugins;

use session::Session;

use crate::harness::Arguments;

/// A plugin judged by the numbered requirements of its interface, as a test target.
///
/// The target says `harness = false`, and its `main` does nothing before it calls [`main`](Self::main): each check is this
/// program started again. [`conformance!`](crate::conformance) writes that `main` in one line. The program understands
/// the words that `cargo test` and `cargo nextest` users know, and those that a failure's last line says.
#[derive(Clone, Debug)]
pub struct Conformance {
    plugins: Plugins,
    interface: String,
    plugin: String,
    beside: Vec<(String, String)>,
    known_failures: Option<PathBuf>,
    seeds: u32,
    /// Where it is judged, if not in the simulator.
    live: Option<LiveWorld>,
}

shaketable_stack::plugin_methods!(Conformance);

/// Seeds of each check and weather when nobody says otherwise.
const SEEDS: u32 = 3;

impl Conformance {
    /// Judges the `plugin` of `interface` (`registry`, `broker`, …), which one of the methods adds.
    pub fn of(interface: &str, plugin: &str) -> Self {
        Self {
            plugins: Plugins::reference(),
            interface: interface.to_owned(),
            plugin: plugin.to_owned(),
            beside: Vec::new(),
            known_failures: None,
            seeds: SEEDS,
            live: None,
        }
    }

    /// Judges in real time, on real sockets and on the backend that `maker` makes: the road of a plugin whose client library
    /// opens sockets by itself. `verbs` are what checks may do to the backend, and what needs others is listed as ignored. The
    /// plugin's promises name the kind of backend; it is given the addresses.
    ///
    /// `maker` is called when the first check runs, never when tests are listed, and the backend is dropped at the end. Nothing
    /// is done to one that is not on loopback.
    #[must_use]
    pub fn live<B: Backend + 'static>(
        mut self,
        verbs: &[Verb],
        maker: impl Fn() -> Result<B, String> + Send + Sync + 'static,
    ) -> Self {
        let maker = move || maker().map(|backend| Arc::new(backend) as Arc<dyn Backend>);
        self.live = Some(LiveWorld::new(Some(BackendSource::new(verbs, Arc::new(maker)))));
        self
    }

    /// Judges in real time and on real sockets a plugin that has no backend.
    #[must_use]
    pub fn live_without_backend(mut self) -> Self {
        self.live = Some(LiveWorld::new(None));
        self
    }

    /// Uses the plugin `name` of another interface beside it: a client needs a server that speaks its protocol.
    #[must_use]
    pub fn with(mut self, interface: &str, name: &str) -> Self {
        self.beside.push((interface.to_owned(), name.to_owned()));
        self
    }

    /// What is known to be wrong: a file with ids, reasons, issues and dates, relative to the package. An entry that is not
    /// true any more, or does not apply, fails.
    #[must_use]
    pub fn known_failures(mut self, file: &str) -> Self {
        self.known_failures = Some(file.into());
        self
    }

    /// Checks with seeds 0 to `count - 1`; 3 when nobody says otherwise. The environment variable `SHAKETABLE_SEEDS` wins
    /// over this. A live world has none.
    #[must_use]
    pub fn seeds(mut self, count: u32) -> Self {
        self.seeds = count;
        self
    }

    /// Runs what the arguments ask for and prints what came of it.
    ///
    /// Exit codes: 0 everything is upheld, 1 something is not, 2 bad input or nothing to check, 3 the harness or a backend
    /// failed, 4 too little evidence.
    pub fn main(self) -> ExitCode {
        if let Some(code) = run_check_if_asked(&self.plugins) {
            return code;
        }
        let arguments = match Arguments::read(std::env::args().skip(1)) {
            Ok(arguments) => arguments,
            Err(text) => {
                eprintln!("error: {text}");
                return ExitCode::from(2);
            }
        };
        match Session::new(&self, &arguments).and_then(|session| session.run()) {
            Ok(code) => ExitCode::from(code),
            Err(text) => {
                eprintln!("error: {text}");
                ExitCode::from(2)
            }
        }
    }

    fn interface(&self) -> Result<Interface, String> {
        self.interface.parse()
    }
}

/// Writes the `main` of a test target that judges one plugin: the interface, the plugin's name, what it promises, and what
/// makes it. The target allocates with an allocator that counts, so that memory that is left behind is seen, too.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use shaketable::plugin::{Promises, ready};
/// use shaketable::registry::{Registry, RegistryOptions, memory::Memory};
///
/// shaketable::conformance!(registry "mine", Promises { shared_state: true, ..Promises::default() }, |env, _settings| {
///     // Here stands a registry of your own.
///     ready(Arc::new(Memory::new(env, RegistryOptions::default())) as Arc<dyn Registry>)
/// });
/// ```
#[macro_export]
macro_rules! conformance {
    ($interface:ident $name:literal, $promises:expr, $factory:expr $(, $method:ident($($argument:expr),*))* $(,)?) => {
        #[global_allocator]
        static SHAKETABLE_ALLOCATOR: $crate::allocation::Counting = $crate::allocation::Counting(::std::alloc::System);

        fn main() -> ::std::process::ExitCode {
            $crate::Conformance::of(stringify!($interface), $name)
                .$interface($name, $promises, $factory)
                $(.$method($($argument),*))*
                .main()
        }
    };
}
