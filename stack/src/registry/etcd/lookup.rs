//! From the values that etcd holds to the services of an answer. Each value has the whole service in it, so that of a hundred
//! values ninety-nine say again what the first has said: what is the same to the byte is not read again. Pure.

use std::collections::BTreeMap;

use super::encoding;
use crate::registry::{Node, Service, Services};

/// What comes before a node, and after the comma, where nodes are written last, as Go and this registry do.
const BEFORE_NODES: &[u8] = br#","nodes":["#;

/// What comes after the only node then.
const AFTER_NODES: &[u8] = b"]}";

/// Of so many beginnings that were read last it is known what they say: versions of one service come mixed.
const BEGINNINGS_MAX: usize = 4;

/// What a lookup answers when etcd holds `values`: the services in them, or the one called `name`, one for each name and
/// version, in that order, with nodes in the order of their ids; metadata and endpoints are those of the first. What is no
/// record is left out.
pub fn looked_up<'a>(name: Option<&str>, values: impl Iterator<Item = &'a [u8]>) -> Services {
    let (mut records, others) = (Records::default(), |head: &Service| name.is_some_and(|name| name != head.name));
    values.for_each(|value| records.read(value));
    let Records { heads, mut nodes, .. } = records;
    nodes.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
    let mut indices = BTreeMap::<(String, String), usize>::new();
    let (mut services, mut of_heads) = (Vec::<Service>::new(), vec![None; heads.len()]);
    let mut heads: Vec<Option<Service>> =
        heads.into_iter().map(|head| Some(head).filter(|head| !others(head))).collect();
    for (head, node) in nodes {
        let index = of_heads[head].or_else(|| {
            let first = heads[head].take()?;
            let next = services.len();
            let index = *indices.entry((first.name.clone(), first.version.clone())).or_insert(next);
            if index == next {
                services.push(first);
            }
            of_heads[head] = Some(index);
            Some(index)
        });
        if let Some(index) = index {
            services[index].nodes.push(node);
        }
    }
    services.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    services.into()
}

/// What was read: services without nodes, and nodes with the number of their service among them.
#[derive(Debug, Default)]
struct Records<'a> {
    heads: Vec<Service>,
    nodes: Vec<(usize, Node)>,
    /// How values began, up to their node, and the number of the service that they said.
    beginnings: Vec<(&'a [u8], usize)>,
}

impl<'a> Records<'a> {
    /// Reads a value; what no registry has written is left out.
    fn read(&mut self, value: &'a [u8]) {
        let known = self.beginnings.iter().rev().find_map(|(beginning, head)| {
            let node = only_node(value.strip_prefix(*beginning)?)?;
            Some((*head, node))
        });
        if let Some(known) = known {
            self.nodes.push(known);
            return;
        }
        let Some(mut record) = encoding::decode(value) else { return };
        let head = self.heads.len();
        self.nodes.extend(record.nodes.pop().map(|node| (head, node)));
        self.heads.push(record);
        if let Some(beginning) = beginning(value) {
            if self.beginnings.len() == BEGINNINGS_MAX {
                self.beginnings.remove(0);
            }
            self.beginnings.push((beginning, head));
        }
    }
}

/// Everything before the node of `value`, a valid record, if nothing but the node and the end comes after it. A value with the
/// same beginning and another node says the same of everything else: brackets that close the record close what was opened
/// last, so that the array is the record's own, and a quote after a comma begins a name.
fn beginning(value: &[u8]) -> Option<&[u8]> {
    let at = value.windows(BEFORE_NODES.len()).rposition(|window| window == BEFORE_NODES)?;
    let (beginning, rest) = value.split_at(at + BEFORE_NODES.len());
    only_node(rest).map(|_| beginning)
}

/// The node that `rest` holds, if it holds nothing else but the end of the record.
fn only_node(rest: &[u8]) -> Option<Node> {
    let mut nodes = serde_json::Deserializer::from_slice(rest).into_iter::<Node>();
    let node = nodes.next()?.ok()?;
    (&rest[nodes.byte_offset()..] == AFTER_NODES).then_some(node)
}

#[cfg(test)]
mod tests {
    use super::{Records, looked_up};
    use crate::registry::etcd::encoding;
    use crate::registry::testing::service;
    use crate::registry::{Endpoint, Node, Service, records};

    /// What each value says by itself, put together.
    fn one_by_one(name: Option<&str>, values: &[String]) -> Vec<Service> {
        let found = values.iter().filter_map(|value| encoding::decode(value.as_bytes()));
        let mut found: Vec<_> = found.filter(|record| name.is_none_or(|name| name == record.name)).collect();
        found.sort_by(|one, other| one.nodes[0].id.cmp(&other.nodes[0].id));
        records::group(found.iter()).to_vec()
    }

    fn assert_same(values: &[String]) {
        for name in [None, Some("user"), Some("nobody")] {
            let found = looked_up(name, values.iter().map(String::as_bytes));
            assert_eq!(found.to_vec(), one_by_one(name, values), "{name:?} in {values:#?}");
        }
    }

    fn record(name: &str, version: &str, node: &str, endpoints: usize) -> String {
        let mut record = service(name, version, &[node]);
        record.nodes[0].metadata.insert("zone".to_owned(), format!("of {node}"));
        record.endpoints = (0..endpoints)
            .map(|number| Endpoint { name: format!("Probe.Method{number}"), ..Endpoint::default() })
            .collect();
        String::from_utf8(encoding::encode(&record).unwrap()).unwrap()
    }

    #[test]
    fn a_hundred_nodes_are_read_and_what_they_share_once() {
        let values: Vec<_> = (0..100).map(|number| record("user", "1", &format!("user-{number}"), 20)).collect();
        assert_same(&values);
        let mut read = Records::default();
        values.iter().for_each(|value| read.read(value.as_bytes()));
        assert_eq!((read.heads.len(), read.nodes.len()), (1, 100));
    }

    #[test]
    fn versions_and_services_that_come_mixed_are_told_apart() {
        let mut values = Vec::new();
        for number in 0..30 {
            let (name, version) = (["user", "order", "user"][number % 3], ["1", "2", "3", "4", "5"][number % 5]);
            values.push(record(name, version, &format!("n{}", 97 - number), number % 4));
        }
        assert_same(&values);
        assert_same(&[]);
    }

    #[test]
    fn other_orders_and_spaces_are_read_as_well() {
        let node = |id: &str| format!(r#"{{"id":"{id}","address":"a:1","metadata":null}}"#);
        let usual = |id: &str| format!(r#"{{"name":"user","version":"1","nodes":[{}]}}"#, node(id));
        assert_same(&[usual("a"), usual("b"), format!("{} ", usual("c")), usual("d").replace(":[", ": [")]);
        let first = |id: &str| format!(r#"{{"nodes":[{}],"name":"user","version":"1"}}"#, node(id));
        assert_same(&[first("a"), first("b")]);
        let last_but_one = |id: &str| format!(r#"{{"name":"user","nodes":[{}],"version":"{id}"}}"#, node(id));
        assert_same(&[last_but_one("a"), last_but_one("b")]);
    }

    #[test]
    fn what_looks_like_the_beginning_of_nodes_and_is_none_is_no_trap() {
        let tricky = |id: &str, version: &str| {
            let metadata = [("k".to_owned(), r#"x","nodes":[{"id":"y"}]}"#.to_owned())].into();
            let nodes = vec![Node { id: id.to_owned(), metadata, ..Node::default() }];
            let record = Service { nodes, ..service("user", version, &[]) };
            String::from_utf8(encoding::encode(&record).unwrap()).unwrap()
        };
        assert_same(&[tricky("a", "1"), tricky("b", "1"), tricky("c", "2")]);
        let inner = |id: &str| {
            format!(
                r#"{{"name":"user","metadata":{{}},"nodes":[{{"id":"{id}"}}],"x":{{"a":1,"nodes":[{{"id":"z"}}]}}}}"#
            )
        };
        assert_same(&[inner("a"), inner("b")]);
    }

    #[test]
    fn what_breaks_off_after_a_known_beginning_is_no_record() {
        let whole = record("user", "1", "a", 1);
        let cut = |bytes: usize| whole[..whole.len() - bytes].to_owned();
        let two = whole.replace("]}", r#",{"id":"b"}]}"#);
        let values =
            [whole.clone(), cut(1), cut(2), cut(9), two, whole.replace("]}", "]}x"), record("user", "1", "b", 1)];
        assert_same(&values);
    }
}
