//! Tables by a number that we have counted.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table whose keys are numbers of our own counting. No peer can choose them, and so they need no keyed hash.
pub type Numbered<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Spreads a number: neighbours, and multiples of anything, fall into different places.
#[derive(Debug, Default, Clone, Copy)]
pub struct NumberHasher(u64);

/// 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.write_u64(u64::from(*octet));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * u128::from(SPREAD);
        // The lower half alone would leave its lowest bits, by which a table goes, to the lowest ones of the number.
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_in_a_row_and_multiples_are_spread_over_a_table() {
        for (situation, step) in [("in a row", 1), ("a worker's", 64), ("high bits", 1 << 48)] {
            let places: HashSet<u64> = (0..4096_u64)
                .map(|n| {
                    let mut hasher = NumberHasher::default();
                    hasher.write_u64(n.wrapping_mul(step));
                    hasher.finish() % 8192
                })
                .collect();
            // At random about 3,200 of 4,096 would have a place of their own.
            assert!(places.len() > 2500, "{situation}: {}", places.len());
        }
    }
}
