//! The matrix of conditions under which every check runs in the simulator: what the network is like while nothing else is
//! wrong with it. A plugin that keeps its promises keeps them in any weather.

use std::time::Duration;

use shaketable_sim::scenario::model::Network;
use shaketable_sim::world::Distribution;

/// What the network is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// What people write.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
}

/// All of them, the mildest first.
pub const ALL_WEATHERS: [Weather; 4] = [
    Weather { name: "calm", summary: "every packet takes a millisecond" },
    Weather { name: "gusty", summary: "half of the packets take 2 ms, one in a hundred more than 80 ms" },
    Weather {
        name: "lossy",
        summary: "1 to 5 ms; of a hundred packets two are lost, one comes twice, three are overtaken",
    },
    Weather {
        name: "squally",
        summary: "every packet takes a millisecond, and every few seconds a link carries nothing for 60 to 180 ms",
    },
];

/// Those of the matrix, in which every check runs where nobody names one; a session takes as long as they are many.
pub const WEATHERS: [Weather; 3] = [ALL_WEATHERS[0], ALL_WEATHERS[1], ALL_WEATHERS[2]];

/// The weather called `name`.
pub fn weather(name: &str) -> Option<Weather> {
    ALL_WEATHERS.into_iter().find(|weather| weather.name == name)
}

impl Weather {
    /// Whether links fall silent for moments.
    pub(super) fn has_squalls(self) -> bool {
        self.name == "squally"
    }

    /// Whether packets are lost in it.
    pub(super) fn loses_packets(self) -> bool {
        self.network().loss > 0.0 || self.has_squalls()
    }

    /// The network that the simulator is given.
    pub(super) fn network(self) -> Network {
        let millis = Duration::from_millis;
        let network = Network { latency: Distribution::constant(millis(1)), tick: millis(1), ..Network::default() };
        match self.name {
            "gusty" => Network { latency: Distribution::LongTail { median: millis(2), p99: millis(80) }, ..network },
            "lossy" => Network {
                latency: Distribution::Uniform { min: millis(1), max: millis(5) },
                loss: 0.02,
                duplicate: 0.01,
                reorder: 0.03,
                ..network
            },
            _ => network,
        }
    }
}
