//! The order of servers by priority and weight (RFC 2782).

use super::answer::Srv;

/// Random numbers for one resolution, from a seed (SplitMix64). Nothing secret hangs on them: they share load.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `most`, both included.
    fn up_to(&mut self, most: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // The upper half times the number of faces, upper half again: even but for one in four thousand million.
        let product = (bits >> 32) * (u64::from(most) + 1);
        u32::try_from(product >> 32).unwrap_or(most)
    }
}

/// Records in the order in which their targets are to be tried: by priority, and among equals drawn by weight. A record
/// of weight 0 among others is drawn seldom, but can be.
pub(super) fn ordered(records: &[Srv], dice: &mut Dice) -> Vec<Srv> {
    let mut waiting: Vec<&Srv> = records.iter().collect();
    // Weight 0 first within a priority, as the draw wants it.
    waiting.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut found = Vec::with_capacity(waiting.len());
    while let Some(priority) = waiting.first().map(|record| record.priority) {
        let equals = || {
            waiting
                .iter()
                .take_while(move |record| record.priority == priority)
        };
        let sum = equals().map(|record| u32::from(record.weight)).sum();
        let drawn = dice.up_to(sum);
        let mut running = 0;
        let at = equals()
            .position(|record| {
                running += u32::from(record.weight);
                running >= drawn
            })
            .unwrap_or(0);
        found.push(waiting.remove(at).clone());
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    fn record(priority: u16, weight: u16, port: u16) -> Srv {
        Srv {
            priority,
            weight,
            port,
            target: None,
        }
    }

    fn ports(records: &[Srv], dice: &mut Dice) -> Vec<u16> {
        ordered(records, dice).iter().map(|r| r.port).collect()
    }

    #[test]
    fn lower_priority_numbers_come_first_whatever_the_weights() {
        let records = [record(20, 60_000, 3), record(10, 0, 1), record(15, 1, 2)];
        for seed in 0..100 {
            assert_eq!(ports(&records, &mut Dice::new(seed)), [1, 2, 3]);
        }
    }

    #[test]
    fn every_record_comes_once_in_every_draw() {
        let records: Vec<Srv> = (0..32).map(|n| record(n % 3, n * 7, n)).collect();
        for seed in 0..100 {
            let mut drawn = ports(&records, &mut Dice::new(seed));
            drawn.sort_unstable();
            assert_eq!(drawn, (0..32).collect::<Vec<u16>>());
        }
    }

    #[test]
    fn weights_are_shares_and_weight_0_is_seldom_but_possible() {
        let records = [record(0, 0, 0), record(0, 10, 10), record(0, 30, 30)];
        let mut dice = Dice::new(7);
        let mut first = [0_u32; 31];
        for _ in 0..41_000 {
            first[usize::from(ports(&records, &mut dice)[0])] += 1;
        }
        // Of 41 faces, one is for weight 0.
        for (weight, expected) in [(0, 1000), (10, 10_000), (30, 30_000)] {
            let share = first[weight];
            assert!(
                share.abs_diff(expected) < expected / 10 + 100,
                "{weight}: {share} of 41000"
            );
        }
    }

    #[test]
    fn weights_of_0_alone_are_taken_as_they_come() {
        let records = [record(0, 0, 1), record(0, 0, 2)];
        assert_eq!(ports(&records, &mut Dice::new(3)), [1, 2]);
    }

    #[test]
    fn the_same_seed_draws_the_same_order() {
        let records: Vec<Srv> = (1..20).map(|n| record(0, n, n)).collect();
        let draw = |seed| ports(&records, &mut Dice::new(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
