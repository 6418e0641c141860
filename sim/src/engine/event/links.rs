//! The links between hosts: what becomes of each packet, and when it arrives. Each directed link draws for its n-th packet a
//! number that depends on nothing but the seed, the link, what it decides, and n: a fault that is taken away moves nothing
//! else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::packet::Packet;
use super::queue::Queue;
use crate::world::{Distribution, LinkQuality};

/// How long a packet of a host to itself takes.
const LOOPBACK_NS: u64 = 10_000;

/// Bytes that wait for a busy link where nobody says how many: a tenth of a second of its bandwidth, and at least this.
const QUEUE_MIN: u64 = 64 * 1024;

type Pair = (u32, u32);

/// The link of a host to itself.
const LOOPBACK: u32 = u32::MAX;

/// All links of a world.
#[derive(Debug)]
pub(super) struct Links {
    seed: u64,
    usual: LinkQuality,
    usual_latency: Distribution,
    links: Vec<Link>,
    /// Where each link is kept.
    places: BTreeMap<Pair, u32>,
    cuts: BTreeSet<Pair>,
    holds: BTreeSet<Pair>,
    latencies: BTreeMap<Pair, Duration>,
    packet_losses: BTreeMap<Pair, f64>,
    breaks: BTreeMap<Pair, f64>,
    qualities: BTreeMap<Pair, LinkQuality>,
}

#[derive(Debug)]
struct Link {
    key: u64,
    packets: u64,
    last_arrival: u64,
    busy_until: u64,
    /// Counts how often it broke; what was under way then does not arrive.
    broken: u32,
    held: Vec<Packet>,
    state: LinkState,
}

/// What applies to a link now, brought together when a fault changes.
#[derive(Clone, Copy, Debug)]
struct LinkState {
    quality: LinkQuality,
    latency: Distribution,
    breaks: f64,
    cut: bool,
    hold: bool,
}

/// What a link draws for.
#[derive(Clone, Copy)]
enum Draw {
    Latency = 1,
    Latency2 = 2,
    Loss = 3,
    Duplicate = 4,
    Reorder = 5,
    Corrupt = 6,
    Break = 7,
}

impl Link {
    fn draw(&self, what: Draw) -> f64 {
        self.draw_nth(what, self.packets)
    }

    fn draw_nth(&self, what: Draw, packet: u64) -> f64 {
        let number = xxh3_64_with_seed(&packet.to_le_bytes(), self.key ^ ((what as u64) << 56));
        // The 53 bits that a float holds exactly.
        (number >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn happens(&self, what: Draw, probability: f64) -> bool {
        probability > 0.0 && self.draw(what) < probability
    }

    /// When a packet that leaves at `departure` arrives. Packets keep their order, as on one path.
    fn arrival(&mut self, departure: u64, in_order: bool) -> u64 {
        let latency = self.state.latency.at(|| self.draw(Draw::Latency), || self.draw(Draw::Latency2));
        let at = departure + u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX / 4);
        if !in_order {
            return at;
        }
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }
}

impl Links {
    pub(super) fn new(seed: u64, usual_latency: Distribution, usual: LinkQuality) -> Self {
        Self {
            seed,
            usual,
            usual_latency,
            links: Vec::new(),
            places: BTreeMap::new(),
            cuts: BTreeSet::new(),
            holds: BTreeSet::new(),
            latencies: BTreeMap::new(),
            packet_losses: BTreeMap::new(),
            breaks: BTreeMap::new(),
            qualities: BTreeMap::new(),
        }
    }

    /// Sends `packet` at `now`; what arrives of it, and when, goes into the queue.
    pub(super) fn send(&mut self, now: u64, packet: Packet, queue: &mut Queue) {
        let Some(link) = self.links.get_mut(packet.link as usize) else {
            queue.arrange(now + LOOPBACK_NS, 0, packet);
            return;
        };
        link.packets += 1;
        if link.state.cut {
            return;
        }
        if link.state.hold {
            link.held.push(packet);
            return;
        }
        if link.happens(Draw::Break, link.state.breaks) {
            link.broken += 1;
            let back = self.place(packet.to, packet.from);
            self.links[back as usize].broken += 1;
            return;
        }
        let quality = link.state.quality;
        let lost = link.happens(Draw::Loss, quality.loss) | link.happens(Draw::Corrupt, quality.corrupt);
        let departure = match quality.bandwidth {
            None => now,
            Some(bandwidth) => {
                let begin = now.max(link.busy_until);
                let waiting_bytes = u128::from(begin - now) * u128::from(bandwidth) / 1_000_000_000;
                if waiting_bytes > quality.queue.unwrap_or((bandwidth / 10).max(QUEUE_MIN)).into() {
                    return;
                }
                link.busy_until = begin + packet.size() * 1_000_000_000 / bandwidth.max(1);
                link.busy_until
            }
        };
        if lost {
            return;
        }
        let reordered = link.happens(Draw::Reorder, quality.reorder);
        // What is overtaken takes its latency twice.
        let delay = if reordered { link.arrival(departure, false) - departure } else { 0 };
        let at = link.arrival(departure + delay, !reordered);
        let broken = link.broken;
        if link.happens(Draw::Duplicate, quality.duplicate) {
            queue.arrange(at, broken, packet.clone());
        }
        queue.arrange(at, broken, packet);
    }

    /// Whether a packet that was under way arrives: its link has not broken meanwhile, and is not cut.
    pub(super) fn arrives(&self, packet: &Packet, broken: u32) -> bool {
        self.links.get(packet.link as usize).is_none_or(|link| !link.state.cut && link.broken == broken)
    }

    /// Where the link from one host to another is kept.
    pub(super) fn place(&mut self, from: u32, to: u32) -> u32 {
        if from == to {
            return LOOPBACK;
        }
        let pair = (from, to);
        if let Some(place) = self.places.get(&pair) {
            return *place;
        }
        let mut name = [0; 8];
        name[..4].copy_from_slice(&from.to_le_bytes());
        name[4..].copy_from_slice(&to.to_le_bytes());
        let key = xxh3_64_with_seed(&name, self.seed) >> 8;
        let state = self.state(pair);
        let place = u32::try_from(self.links.len()).unwrap_or(LOOPBACK);
        self.links.push(Link { key, packets: 0, last_arrival: 0, busy_until: 0, broken: 0, held: Vec::new(), state });
        self.places.insert(pair, place);
        place
    }

    /// What applies to a link now.
    fn state(&self, pair: Pair) -> LinkState {
        let mut quality = self.usual;
        if let Some(own) = self.qualities.get(&pair) {
            quality = LinkQuality {
                latency: own.latency.or(quality.latency),
                loss: either(own.loss, quality.loss),
                duplicate: either(own.duplicate, quality.duplicate),
                reorder: either(own.reorder, quality.reorder),
                corrupt: either(own.corrupt, quality.corrupt),
                bandwidth: own.bandwidth.or(quality.bandwidth),
                queue: own.queue.or(quality.queue),
            };
        }
        if let Some(loss) = self.packet_losses.get(&pair) {
            quality.loss = either(*loss, quality.loss);
        }
        let fixed = self.latencies.get(&pair).map(|latency| Distribution::constant(*latency));
        LinkState {
            latency: fixed.or(quality.latency).unwrap_or(self.usual_latency),
            quality,
            breaks: self.breaks.get(&pair).copied().unwrap_or_default(),
            cut: self.cuts.contains(&pair),
            hold: self.holds.contains(&pair),
        }
    }

    /// Brings every link up to date; what was held and no longer is goes out at `now`.
    fn refresh(&mut self, now: u64, queue: &mut Queue) {
        let mut released = Vec::new();
        for (pair, place) in &self.places {
            let state = self.state(*pair);
            let link = &mut self.links[*place as usize];
            link.state = state;
            if !state.hold {
                released.append(&mut link.held);
            }
        }
        for packet in released {
            self.send(now, packet, queue);
        }
    }

    pub(super) fn cut(&mut self, now: u64, pairs: &[Pair], cut: bool, queue: &mut Queue) {
        set(&mut self.cuts, pairs, cut);
        self.refresh(now, queue);
    }

    pub(super) fn hold(&mut self, now: u64, pairs: &[Pair], hold: bool, queue: &mut Queue) {
        set(&mut self.holds, pairs, hold);
        self.refresh(now, queue);
    }

    pub(super) fn latency(&mut self, now: u64, pairs: &[Pair], latency: Option<Duration>, queue: &mut Queue) {
        put(&mut self.latencies, pairs, latency);
        self.refresh(now, queue);
    }

    pub(super) fn packet_loss(&mut self, now: u64, pairs: &[Pair], probability: f64, queue: &mut Queue) {
        put(&mut self.packet_losses, pairs, (probability > 0.0).then_some(probability));
        self.refresh(now, queue);
    }

    pub(super) fn breaks(&mut self, now: u64, pairs: &[Pair], probability: f64, queue: &mut Queue) {
        put(&mut self.breaks, pairs, (probability > 0.0).then_some(probability));
        self.refresh(now, queue);
    }

    pub(super) fn quality(&mut self, now: u64, pairs: &[Pair], quality: Option<LinkQuality>, queue: &mut Queue) {
        put(&mut self.qualities, pairs, quality);
        self.refresh(now, queue);
    }

    /// Every link as the network has it.
    pub(super) fn mend(&mut self, now: u64, queue: &mut Queue) {
        self.cuts.clear();
        self.holds.clear();
        self.latencies.clear();
        self.packet_losses.clear();
        self.breaks.clear();
        self.qualities.clear();
        self.refresh(now, queue);
    }
}

/// The probability that at least one of two independent things happens.
fn either(first: f64, second: f64) -> f64 {
    1.0 - (1.0 - first) * (1.0 - second)
}

fn set(wishes: &mut BTreeSet<Pair>, pairs: &[Pair], wished: bool) {
    for pair in pairs {
        if wished {
            wishes.insert(*pair);
        } else {
            wishes.remove(pair);
        }
    }
}

fn put<T: Copy>(wishes: &mut BTreeMap<Pair, T>, pairs: &[Pair], wish: Option<T>) {
    for pair in pairs {
        match wish {
            Some(wish) => wishes.insert(*pair, wish),
            None => wishes.remove(pair),
        };
    }
}
