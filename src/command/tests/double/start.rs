//! How a double starts and ends.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use shaketable_proto::etcd::v3::rpc::{PutRequest, StatusRequest, WatchCreateRequest, WatchRequest};
use shaketable_proto::etcd::v3::rpc::{
    kv_client::KvClient, maintenance_client::MaintenanceClient, watch_client::WatchClient, watch_request::RequestUnion,
};
use tonic::transport::Endpoint;

use super::common::Outcome;
use super::double::{DEADLINE, PROGRAM, addresses};
use super::runtime;

/// Within that it answers. Others work on the machine, too: the best of several starts counts.
const UP_WITHIN: Duration = Duration::from_millis(50);
const STARTS_MAX: usize = 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("it_answers_within_50_ms", answers_soon),
        Trial::test("a_signal_ends_it_cleanly", ends_by_a_signal),
        Trial::test("an_address_that_others_reach_must_be_wanted", refuses_others),
        Trial::test("a_port_that_is_taken_is_an_error_with_the_mend", refuses_a_taken_port),
        Trial::test("two_with_the_same_seed_choose_the_same_leases", same_seed),
    ]
}

/// A double as a child; killed and waited for when dropped.
struct Started(Child);

impl Started {
    fn new(arguments: &[&str]) -> Result<Self, Failed> {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "etcd"]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    fn line(&mut self) -> Result<String, Failed> {
        let stdout = self.0.stdout.as_mut().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn end(&mut self) -> Result<ExitStatus, Failed> {
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err("it does not end".into())
    }

    /// How it ends, and what it says about it.
    fn refusal(&mut self) -> Result<(Option<i32>, String), Failed> {
        let status = self.end()?;
        let mut said = String::new();
        self.0.stderr.take().ok_or("no errors")?.read_to_string(&mut said)?;
        Ok((status.code(), said))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn answers_soon() -> Outcome {
    runtime()?.block_on(async {
        let mut best = Duration::MAX;
        for _ in 0..STARTS_MAX {
            let began = Instant::now();
            let mut started = Started::new(&["--listen", "127.0.0.1:0"])?;
            let (etcd, _) = addresses(&started.line()?)?;
            let channel = Endpoint::from_shared(format!("http://{etcd}"))?.connect().await?;
            MaintenanceClient::new(channel).status(StatusRequest {}).await?;
            best = best.min(began.elapsed());
            if best < UP_WITHIN {
                return Ok(());
            }
        }
        Err(format!("the best of {STARTS_MAX} starts took {best:?} until the first answer").into())
    })
}

fn ends_by_a_signal() -> Outcome {
    for signal in [Signal::TERM, Signal::INT] {
        runtime()?.block_on(async {
            let mut started = Started::new(&["--listen", "127.0.0.1:0", "--admin", "localhost:0"])?;
            let (etcd, admin) = addresses(&started.line()?)?;
            assert!(admin.is_some_and(|admin| admin.starts_with("127.0.0.1:") && admin != etcd));
            // Not even a client that waits for something keeps it from ending.
            let channel = Endpoint::from_shared(format!("http://{etcd}"))?.connect().await?;
            let create = WatchCreateRequest { key: "a".into(), ..WatchCreateRequest::default() };
            let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
            let requests = tokio_stream::StreamExt::chain(tokio_stream::once(request), tokio_stream::pending());
            let mut watch = WatchClient::new(channel.clone()).watch(requests).await?.into_inner();
            assert!(watch.message().await?.is_some_and(|answer| answer.created));
            KvClient::new(channel).put(PutRequest { key: "b".into(), ..PutRequest::default() }).await?;
            let process = Pid::from_raw(started.0.id().cast_signed()).ok_or("it has a number")?;
            kill_process(process, signal)?;
            assert_eq!(started.refusal()?, (Some(0), String::new()), "{signal:?}");
            Ok::<(), Failed>(())
        })?;
    }
    Ok(())
}

fn refuses_others() -> Outcome {
    for arguments in [["--listen", "0.0.0.0:0"], ["--admin", "[::]:0"], ["--listen", "192.0.2.1:2379"]] {
        let (code, said) = Started::new(&arguments)?.refusal()?;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("is not on loopback") && said.contains("--allow-remote"), "{said}");
    }
    let line = Started::new(&["--listen", "0.0.0.0:0", "--allow-remote"])?.line()?;
    assert!(line.starts_with("listening etcd=0.0.0.0:"), "{line}");
    Ok(())
}

fn refuses_a_taken_port() -> Outcome {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for arguments in
        [["--listen", &address, "--admin", "127.0.0.1:0"], ["--listen", "127.0.0.1:0", "--admin", &address]]
    {
        let (code, said) = Started::new(&arguments)?.refusal()?;
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&address) && said.contains("port 0"), "{said}");
    }
    Ok(())
}

fn same_seed() -> Outcome {
    use shaketable_proto::etcd::v3::rpc::{LeaseGrantRequest, lease_client::LeaseClient};
    let lease = |seed: &'static str| {
        runtime()?.block_on(async {
            let mut started = Started::new(&["--listen", "127.0.0.1:0", "--seed", seed])?;
            let (etcd, _) = addresses(&started.line()?)?;
            let channel = Endpoint::from_shared(format!("http://{etcd}"))?.connect().await?;
            Ok::<i64, Failed>(
                LeaseClient::new(channel).lease_grant(LeaseGrantRequest { id: 0, ttl: 60 }).await?.get_ref().id,
            )
        })
    };
    assert_eq!(lease("7")?, lease("7")?);
    assert_ne!(lease("7")?, lease("8")?);
    Ok(())
}
