//! How much of what a worker, or the server, can take on one peer may have.

use std::collections::HashMap;

use crate::registrar::FlowId;

/// What is under way for each flow.
///
/// Of a table of bounded size one flow may have no more than is left of it for all the others. One that takes all it can
/// get so has half of it, two have a third each, and whoever comes new finds room. The threshold moves by itself, and there
/// is nothing to configure.
#[derive(Debug, Default)]
pub(crate) struct Shares(HashMap<FlowId, usize>);

impl Shares {
    /// Whether one more may be for this flow, with so many places free.
    pub(crate) fn has_room(&self, flow: FlowId, free: usize) -> bool {
        self.0.get(&flow).copied().unwrap_or(0) < free
    }

    /// One more is.
    pub(crate) fn take(&mut self, flow: FlowId) {
        *self.0.entry(flow).or_default() += 1;
    }

    /// One has ended.
    pub(crate) fn give_back(&mut self, flow: FlowId) {
        let Some(count) = self.0.get_mut(&flow) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.0.remove(&flow);
            if self.0.capacity() > 1024 && self.0.len() < self.0.capacity() / 8 {
                let room = self.0.len() * 2;
                self.0.shrink_to(room);
            }
        }
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
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
                if shares.has_room(FlowId::Connection(flow), free) {
                    shares.take(FlowId::Connection(flow));
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
            assert_eq!(shares.has_room(newcomer, free), left > 0);
        }
    }

    #[test]
    fn what_has_ended_counts_no_more() {
        let (mut shares, counts, _) = taken(1, 10);
        for _ in 0..counts.iter().sum() {
            shares.give_back(FlowId::Connection(0));
        }
        assert!(shares.is_empty());
        shares.give_back(FlowId::Connection(0));
        assert!(shares.is_empty());
    }
}
