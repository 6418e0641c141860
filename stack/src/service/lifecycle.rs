//! The service: hooks around the start and the stop of its server. go-micro: `service.Run` (service/service.go). It waits for
//! no signal by itself: who runs it says when to stop.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Service, ServiceOptions};
use crate::client::Client;
use crate::server::Server;
use crate::{Error, ErrorKind, Result};

/// A client and a server with hooks.
#[derive(Debug)]
pub struct Lifecycle {
    options: Mutex<ServiceOptions>,
    /// The options of the run; held while starting or stopping.
    running: tokio::sync::Mutex<Option<ServiceOptions>>,
}

impl Lifecycle {
    /// A service with `options`.
    pub fn new(options: ServiceOptions) -> Self {
        Self { options: Mutex::new(options), running: tokio::sync::Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, ServiceOptions> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Service for Lifecycle {
    fn init(&self, options: ServiceOptions) -> Result<()> {
        // Starting and stopping count as running.
        match self.running.try_lock() {
            Ok(running) if running.is_none() => {
                *self.lock() = options;
                Ok(())
            }
            _ => Err(Error::new(ErrorKind::InvalidInput, "init service").detail("it is running")),
        }
    }

    fn options(&self) -> ServiceOptions {
        self.lock().clone()
    }

    fn client(&self) -> Arc<dyn Client> {
        self.lock().client.clone()
    }

    fn server(&self) -> Arc<dyn Server> {
        self.lock().server.clone()
    }

    async fn start(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        if running.is_some() {
            return Ok(());
        }
        let options = self.options();
        for hook in &options.before_start {
            hook.run().await?;
        }
        options.server.start().await?;
        for hook in &options.after_start {
            if let Err(error) = hook.run().await {
                // The hook's error says why; one of the stop would hide it.
                let _ = options.server.stop().await;
                return Err(error);
            }
        }
        *running = Some(options);
        Ok(())
    }

    async fn stop(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        let Some(options) = running.take() else { return Ok(()) };
        let mut result = Ok(());
        for hook in &options.before_stop {
            result = result.and(hook.run().await);
        }
        let stopped = options.server.stop().await;
        if stopped.is_ok() {
            for hook in &options.after_stop {
                result = result.and(hook.run().await);
            }
        }
        result.and(stopped).and(options.client.close().await)
    }

    async fn run(&self, shutdown: Pin<Box<dyn Future<Output = ()> + Send>>) -> Result<()> {
        self.start().await?;
        shutdown.await;
        self.stop().await
    }

    fn name(&self) -> &'static str {
        "service"
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::Lifecycle;
    use crate::client::rpc::RpcClient;
    use crate::service::{Hook, Service, ServiceOptions};
    use crate::testing::World;
    use crate::{Error, ErrorKind};

    type Log = Arc<Mutex<Vec<String>>>;

    fn hook(log: &Log, name: &'static str, fails: bool) -> Hook {
        let log = log.clone();
        Hook::new(move || {
            log.lock().unwrap().push(name.to_owned());
            async move { if fails { Err(Error::new(ErrorKind::Backend, name)) } else { Ok(()) } }
        })
    }

    /// A service whose hook `fails` fails.
    fn service(world: &World, log: &Log, fails: &str) -> Lifecycle {
        let client = Arc::new(RpcClient::new(world.client_env.clone(), world.client_options()));
        let server = crate::server::rpc::server(world.server_env.clone(), world.server_options());
        let mut options = ServiceOptions::new(client, server);
        let hooks = |name| vec![hook(log, name, name == fails)];
        options.before_start = hooks("before_start");
        options.after_start = hooks("after_start");
        options.before_stop = hooks("before_stop");
        options.after_stop = hooks("after_stop");
        Lifecycle::new(options)
    }

    #[tokio::test(start_paused = true)]
    async fn hooks_run_around_the_server_and_a_run_ends_with_its_shutdown() {
        let (world, log) = (World::new(), Log::default());
        let service = service(&world, &log, "");
        service.run(Box::pin(world.client_env.sleep(Duration::from_secs(45)))).await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["before_start", "after_start", "before_stop", "after_stop"]);
        assert_eq!(world.registry.log(), ["register", "register", "deregister"]);
        World::settle().await;
        assert_eq!(world.server_env.live_tasks().counts(), [].into());
        service.stop().await.unwrap();
        assert_eq!(log.lock().unwrap().len(), 4);
        service.start().await.unwrap();
        assert_eq!(service.init(service.options()).unwrap_err().kind(), ErrorKind::InvalidInput);
        service.stop().await.unwrap();
        service.init(service.options()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_fails_aborts_the_start_but_not_the_stop() {
        for (fails, started, log_of_registry) in [
            ("before_start", false, vec![]),
            ("after_start", false, vec!["register", "deregister"]),
            ("before_stop", true, vec!["register", "deregister"]),
        ] {
            let (world, log) = (World::new(), Log::default());
            let service = service(&world, &log, fails);
            assert_eq!(service.start().await.is_ok(), started, "{fails}");
            assert_eq!(service.stop().await.is_ok(), !started, "{fails}");
            assert_eq!(world.registry.log(), log_of_registry);
            World::settle().await;
            assert_eq!(world.server_env.live_tasks().counts(), [].into());
        }
    }
}
