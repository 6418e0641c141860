//! The node that was picked for an attempt. It knows nothing of how.

use std::ops::Deref;
use std::sync::Arc;

use super::ready::Line;
use crate::registry::Node;

/// A node that was picked, for as long as somebody needs it.
#[derive(Clone, Debug)]
pub struct Picked {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Line { line: Arc<Line>, index: usize },
    Node(Arc<Node>),
}

impl Picked {
    /// The node at `index`, which is there.
    #[inline]
    pub(super) fn of(line: Arc<Line>, index: usize) -> Self {
        Self { source: Source::Line { line, index } }
    }
}

impl From<Arc<Node>> for Picked {
    fn from(node: Arc<Node>) -> Self {
        Self { source: Source::Node(node) }
    }
}

impl Deref for Picked {
    type Target = Node;

    #[inline]
    fn deref(&self) -> &Node {
        match &self.source {
            Source::Line { line, index } => line.node(*index),
            Source::Node(node) => node,
        }
    }
}
