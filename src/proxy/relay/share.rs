//! How much of what a worker, or the server, can take on one peer may have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::registrar::FlowId;

/// A place holds so many octets of a request; a larger one takes several. So the memory that requests can take is bounded by
/// the size of the table, too, however large they are.
const OCTETS: usize = 2048;

/// The places that a request of so many octets takes.
pub(super) fn places(octets: usize) -> usize {
    octets.div_ceil(OCTETS).max(1)
}

/// What is under way for each flow, in places.
///
/// Of a table of bounded size one flow may have no more than is left of it for all the others. One that takes all it can
/// get so has half of it, two have a third each, and whoever comes new finds room. The threshold moves by itself, and there
/// is nothing to configure.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    by_flow: HashMap<FlowId, usize>,
    total: usize,
}

impl Shares {
    /// Places taken.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Whether so many more may be for this flow, with so many free.
    pub(crate) fn has_room(&self, flow: FlowId, places: usize, free: usize) -> bool {
        let taken = self.by_flow.get(&flow).copied().unwrap_or(0);
        taken.saturating_add(places) <= free
    }

    /// So many more are.
    pub(crate) fn take(&mut self, flow: FlowId, places: usize) {
        *self.by_flow.entry(flow).or_default() += places;
        self.total += places;
    }

    /// What took them has ended.
    pub(crate) fn give_back(&mut self, flow: FlowId, places: usize) {
        let Entry::Occupied(mut entry) = self.by_flow.entry(flow) else {
            return;
        };
        let taken = entry.get_mut();
        let places = places.min(*taken);
        *taken -= places;
        self.total = self.total.saturating_sub(places);
        if *taken == 0 {
            entry.remove();
            if self.by_flow.capacity() > 1024 && self.by_flow.len() < self.by_flow.capacity() / 8 {
                let room = self.by_flow.len() * 2;
                self.by_flow.shrink_to(room);
            }
        }
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_flow.is_empty() && self.total == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many places each has once `greedy` flows have taken what they can get of `size`.
    fn taken(greedy: u64, size: usize) -> (Shares, Vec<usize>, usize) {
        let mut shares = Shares::default();
        let mut free = size;
        let mut counts = vec![0; usize::try_from(greedy).unwrap_or_default()];
        loop {
            let before = free;
            for (flow, count) in (0..).zip(&mut counts) {
                if shares.has_room(FlowId::Connection(flow), 1, free) {
                    shares.take(FlowId::Connection(flow), 1);
                    *count += 1;
                    free -= 1;
                }
            }
            if free == before {
                return (shares, counts, free);
            }
        }
    }

    #[test]
    fn who_takes_all_it_can_get_leaves_as_much_for_others() {
        for (greedy, size, each, left) in [
            (1, 100, 50, 50),
            (2, 99, 33, 33),
            (9, 100, 10, 10),
            (1, 1, 1, 0),
            (1, 3, 2, 1),
        ] {
            let (shares, counts, free) = taken(greedy, size);
            assert_eq!(free, left, "{greedy} of {size}");
            assert!(counts.iter().all(|count| *count == each), "{counts:?}");
            let newcomer = FlowId::Connection(greedy);
            assert_eq!(shares.has_room(newcomer, 1, free), left > 0);
        }
    }

    #[test]
    fn a_large_request_takes_the_places_of_many_small_ones() {
        for (octets, wanted) in [(0, 1), (1, 1), (2048, 1), (2049, 2), (65_536, 32)] {
            assert_eq!(places(octets), wanted, "{octets}");
        }
        let (flow, mut shares) = (FlowId::Connection(0), Shares::default());
        assert!(shares.has_room(flow, 32, 32) && !shares.has_room(flow, 33, 32));
        shares.take(flow, 32);
        assert_eq!(shares.total(), 32);
        assert!(
            !shares.has_room(flow, 1, 32),
            "as much as is left for others"
        );
        shares.give_back(flow, 32);
        assert!(shares.is_empty());
    }

    #[test]
    fn what_has_ended_counts_no_more() {
        let (mut shares, counts, _) = taken(1, 10);
        for _ in 0..counts.iter().sum() {
            shares.give_back(FlowId::Connection(0), 1);
        }
        assert!(shares.is_empty());
        shares.give_back(FlowId::Connection(0), 1);
        assert!(shares.is_empty());
    }
}
