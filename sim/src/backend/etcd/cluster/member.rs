//! One member of a simulated cluster, as its host runs it: it lets the consensus pass time and hear messages, applies what was
//! agreed on, and lets requests wait for that as long as etcd does. It knows no request but by what it does.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use shaketable_stack::env::{Elapsed, Env, Instant};
use tokio::sync::oneshot;

use super::consensus::{ELECTION, Message};
use super::{Change, PEER_PORT, Question, Shared, State, links};
use crate::backend::etcd::{Etcd, EtcdHandle, Refusal};

/// How long etcd lets a request take: five seconds and two election time-outs (`ReqTimeout` in its `config.go`).
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(7);

/// How long a question to the leader may stay unanswered before it is put again.
const QUESTION_TIME: Duration = Duration::from_secs(1);

/// The pause before it is (`LeaseRenew` in etcd's `v3_server.go`).
const QUESTION_PAUSE: Duration = Duration::from_millis(50);

/// A member of an [`EtcdCluster`](super::EtcdCluster). Cheap to clone.
#[derive(Clone, Debug)]
pub struct EtcdMember {
    shared: Arc<Shared>,
    index: usize,
}

impl EtcdMember {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self { shared, index }
    }

    /// Its host, which is its name.
    pub fn host(&self) -> &str {
        &self.shared.hosts[self.index]
    }

    /// Its place among the hosts.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Its state machine.
    pub fn handle(&self) -> &EtcdHandle {
        &self.shared.handles[self.index]
    }

    /// Up to which entry it has applied the log.
    pub fn applied(&self) -> u64 {
        self.shared.lock().members[self.index].applied
    }

    /// Begins to run on a host: what was under way is forgotten, the log is not.
    pub(in crate::backend::etcd) fn start(&self, now: Duration) {
        self.handle().start(now);
        let mut state = self.shared.lock();
        let member = &mut state.members[self.index];
        member.reads.clear();
        member.ready.clear();
        member.asked.clear();
        if std::mem::replace(&mut member.started, true) {
            state.consensus.start(self.index, now);
        }
        drop(state);
        self.step(now);
    }

    /// Talks to the other members and lets time pass, until this future is dropped.
    ///
    /// # Errors
    /// What the network says about listening.
    pub(in crate::backend::etcd) async fn run(&self, env: Env) -> std::io::Result<()> {
        let others = self.shared.hosts.iter().enumerate().filter(|(other, _)| *other != self.index);
        let mut links = Vec::new();
        for (other, host) in others {
            let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
            self.shared.lock().members[self.index].links[other] = Some(sender);
            let link = links::Link { member: self.clone(), to: other, address: format!("{host}:{PEER_PORT}") };
            links.push(env.spawn("etcd link", link.run(env.clone(), receiver)));
        }
        let listener = env.network().listen(&format!(":{PEER_PORT}")).await?;
        let _hearing = env.spawn("etcd peers", links::hear(env.clone(), self.clone(), listener));
        let stirred = self.shared.stirred[self.index].clone();
        loop {
            let changed = self.handle().changed();
            self.step(env.now().since_origin());
            let due = {
                let state = self.shared.lock();
                state.consensus.next_due(self.index)
            };
            let due = self.handle().with(|etcd| etcd.next_due()).map_or(due, |own| own.min(due));
            let woken = pin!(async {
                select(pin!(changed), pin!(stirred.notified())).await;
            });
            select(woken, env.clock().sleep_until(Instant::from_origin(due))).await;
        }
    }

    /// Does what has come due, applies what was agreed on, and says what there is to say.
    pub(super) fn step(&self, now: Duration) {
        let mut state = self.shared.lock();
        loop {
            state.consensus.tick(self.index, now);
            self.follow(&mut state, now);
            self.apply(&mut state, now);
            let expired = self.handle().with(|etcd| {
                etcd.advance(now);
                etcd.take_expired()
            });
            if expired.is_empty() {
                break;
            }
            for lease in expired {
                let act = move |etcd: &mut Etcd, now, _| {
                    etcd.expire_lease(now, lease);
                };
                state.propose(self.index, now, Change { origin: self.index, act: Arc::new(act) });
            }
        }
        for (to, message) in state.consensus.take_outbox(self.index) {
            if let Some(link) = &state.members[self.index].links[to] {
                // A link that has ended with its host says nothing any more.
                let _ = link.send(message);
            }
        }
    }

    /// Hears what another member says.
    pub(super) fn hear(&self, now: Duration, from: usize, message: &Message) {
        let mut state = self.shared.lock();
        match message {
            Message::Ask { question } => {
                // Who does not lead says nothing, and is asked again if it should have.
                if state.consensus.standing(self.index).leads
                    && let Some(asked) = state.questions.get(question).cloned()
                {
                    self.handle().with(|etcd| asked(etcd, now));
                    if let Some(link) = &state.members[self.index].links[from] {
                        let _ = link.send(Message::Answered { question: *question });
                    }
                }
            }
            Message::Answered { question } => {
                if let Some(sender) = state.members[self.index].asked.remove(question) {
                    let _ = sender.send(());
                }
            }
            message => state.consensus.receive(self.index, now, from, message),
        }
        drop(state);
        self.step(now);
    }

    /// Tells the consensus, or those who explain why something was late, whether another member is in touch.
    pub(super) fn linked(&self, other: usize, since: Option<Duration>) {
        self.shared.lock().members[self.index].linked_since[other] = since;
    }

    /// Tells the state machine who leads.
    fn follow(&self, state: &mut State, now: Duration) {
        let standing = state.consensus.standing(self.index);
        let before = std::mem::replace(&mut state.members[self.index].standing, standing);
        if standing == before {
            return;
        }
        let leader = standing.leader.map_or(0, |leader| self.shared.handles[leader].member_id());
        self.handle().with(|etcd| etcd.follow(now, leader, standing.term, standing.leads));
        if standing.leader.is_some() && standing.leader != before.leader {
            let member = &mut state.members[self.index];
            member.led_since = now;
            for (_, read) in std::mem::take(&mut member.reads) {
                let _ = read.send(Err(Refusal::LeaderChanged));
            }
        }
    }

    fn apply(&self, state: &mut State, now: Duration) {
        let committed = state.consensus.committed(self.index);
        while state.members[self.index].applied < committed {
            let index = state.members[self.index].applied + 1;
            let number = state.consensus.change(self.index, index);
            let change = state.changes.get(&number).cloned();
            let (own, agreed) = self.handle().with(|etcd| {
                etcd.advance(now);
                let own = etcd.take_events();
                if let Some(change) = change {
                    let by = self.shared.handles[change.origin].member_id();
                    etcd.enter(index, by, |etcd| (change.act)(etcd, now, change.origin == self.index));
                } else {
                    etcd.enter(index, 0, |_| ());
                }
                (own, etcd.take_events())
            });
            state.truths.extend(own);
            if index > state.told {
                state.told = index;
                state.truths.extend(agreed);
            }
            state.members[self.index].applied = index;
            state.forget(index, number);
        }
        for (read, index) in state.consensus.take_reads(self.index) {
            if let Some(sender) = state.members[self.index].reads.remove(&read) {
                state.members[self.index].ready.push((index, sender));
            }
        }
        let member = &mut state.members[self.index];
        let applied = member.applied;
        let (ready, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut member.ready).into_iter().partition(|(index, _)| *index <= applied);
        member.ready = waiting;
        for (_, sender) in ready {
            let _ = sender.send(Ok(()));
        }
    }

    /// Puts a change into the log and waits until this member has applied it.
    pub(in crate::backend::etcd) async fn change<Q, T>(
        &self,
        env: &Env,
        request: Q,
        act: fn(&mut Etcd, Duration, Q) -> Result<T, Refusal>,
    ) -> Result<T, Refusal>
    where
        Q: Clone + Send + Sync + 'static,
        T: Send + 'static,
    {
        let began = env.now().since_origin();
        let (sender, receiver) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let act = move |etcd: &mut Etcd, now, is_origin: bool| {
            let answer = act(etcd, now, request.clone());
            if is_origin && let Some(sender) = sender.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = sender.send(answer);
            }
        };
        let change = Change { origin: self.index, act: Arc::new(act) };
        let number = self.shared.lock().propose(self.index, began, change);
        self.step(began);
        match env.timeout(REQUEST_TIME, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Refusal::Stopped),
            Err(Elapsed) => Err(self.why_late(began, number)),
        }
    }

    /// Why a change that was asked for at `began` was not applied in time (`parseProposeCtxErr` in etcd's `server.go`).
    fn why_late(&self, began: Duration, number: u64) -> Refusal {
        let mut state = self.shared.lock();
        if state.consensus.withdraw(self.index, number) {
            state.changes.remove(&number);
            return Refusal::NotProposed(self.handle().with(|etcd| etcd.line()));
        }
        let member = &state.members[self.index];
        let lost = member.led_since.saturating_sub(ELECTION * 2);
        if began > lost && began < member.led_since {
            return Refusal::TimedOutByLeader;
        }
        let in_touch = |other: usize| member.linked_since[other].is_some_and(|since| since <= began);
        let lost = match member.standing.leader {
            None => false,
            Some(leader) if leader == self.index => {
                let others = (0..state.members.len()).filter(|other| *other != self.index && in_touch(*other));
                others.count() + 1 < state.members.len() / 2 + 1
            }
            Some(leader) => !in_touch(leader),
        };
        if lost { Refusal::TimedOutByLink } else { Refusal::TimedOut }
    }

    /// Waits until this member has applied all that was agreed on when it was asked.
    pub(in crate::backend::etcd) async fn catch_up(&self, env: &Env) -> Result<(), Refusal> {
        let now = env.now().since_origin();
        let (sender, receiver) = oneshot::channel();
        let read = {
            let mut state = self.shared.lock();
            let read = state.number();
            state.members[self.index].reads.insert(read, sender);
            state.consensus.read(self.index, read);
            read
        };
        self.step(now);
        let answer = env.timeout(REQUEST_TIME, receiver).await;
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Refusal::Stopped),
            Err(Elapsed) => {
                self.shared.lock().members[self.index].reads.remove(&read);
                Err(Refusal::TimedOut)
            }
        }
    }

    /// Asks the leader's state machine, which may be this one's, and waits for the answer.
    ///
    /// # Errors
    /// [`Refusal::NoLeader`] where there is none in time, [`Refusal::TimedOut`] where it does not answer.
    pub(in crate::backend::etcd) async fn ask_leader<T: Send + 'static>(
        &self,
        env: &Env,
        ask: impl Fn(&mut Etcd, Duration) -> T + Send + Sync + 'static,
    ) -> Result<T, Refusal> {
        let place: Arc<Mutex<Option<T>>> = Arc::default();
        let answered = place.clone();
        let question: Question = Arc::new(move |etcd, now| {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(ask(etcd, now));
        });
        let deadline = env.now() + REQUEST_TIME;
        loop {
            let now = env.now();
            let leader = self.shared.lock().consensus.standing(self.index).leader;
            if now >= deadline {
                return Err(if leader.is_some() { Refusal::TimedOut } else { Refusal::NoLeader });
            }
            match leader {
                None => {
                    let lapsed = pin!(self.handle().lapsed());
                    if self.shared.lock().consensus.standing(self.index).leader.is_none() {
                        let _ = env.timeout_at(deadline, lapsed).await;
                    }
                    continue;
                }
                Some(leader) if leader == self.index => self.handle().with(|etcd| question(etcd, now.since_origin())),
                Some(leader) => self.put(env, leader, &question, deadline).await,
            }
            if let Some(answer) = answered.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Ok(answer);
            }
            env.sleep(QUESTION_PAUSE).await;
        }
    }

    /// Waits until this member knows no such lease any more.
    pub(in crate::backend::etcd) async fn when_gone(&self, lease: i64) {
        loop {
            let lapsed = pin!(self.handle().lapsed());
            if !self.handle().with(|etcd| etcd.has_lease(lease)) {
                return;
            }
            lapsed.await;
        }
    }

    /// Puts a question to another member once.
    async fn put(&self, env: &Env, leader: usize, question: &Question, deadline: Instant) {
        let (sender, receiver) = oneshot::channel();
        let number = {
            let mut state = self.shared.lock();
            let number = state.number();
            state.questions.insert(number, question.clone());
            let member = &mut state.members[self.index];
            member.asked.insert(number, sender);
            if let Some(link) = &member.links[leader] {
                let _ = link.send(Message::Ask { question: number });
            }
            number
        };
        let _ = env.timeout_at(deadline.min(env.now() + QUESTION_TIME), receiver).await;
        let mut state = self.shared.lock();
        state.questions.remove(&number);
        state.members[self.index].asked.remove(&number);
    }

    /// Lets the member with id `target` lead, and waits until it does.
    ///
    /// # Errors
    /// [`Refusal::NotLeader`], [`Refusal::BadTransferee`], [`Refusal::TransferTimedOut`].
    pub(in crate::backend::etcd) async fn hand_over(&self, env: &Env, target: u64) -> Result<(), Refusal> {
        let to = self.shared.handles.iter().position(|handle| handle.member_id() == target);
        let leads = |state: &State| state.consensus.standing(self.index).leads;
        if !leads(&self.shared.lock()) {
            return Err(Refusal::NotLeader);
        }
        let to = to.ok_or(Refusal::BadTransferee)?;
        if to == self.index {
            return Ok(());
        }
        self.shared.lock().consensus.hand_over(self.index, to);
        self.step(env.now().since_origin());
        let mut time_out = pin!(env.sleep(REQUEST_TIME));
        loop {
            let changed = pin!(self.handle().lapsed());
            if self.shared.lock().consensus.standing(self.index).leader == Some(to) {
                return Ok(());
            }
            if let Either::Right(_) = select(changed, &mut time_out).await {
                return Err(Refusal::TransferTimedOut);
            }
        }
    }
}
