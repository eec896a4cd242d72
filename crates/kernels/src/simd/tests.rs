//! Every instruction set against the array, bit for bit.

use super::*;

/// Numbers between -1 and 1, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

struct Exp<'a>(&'a mut [f32]);

impl Task for Exp<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        for x in self.0.chunks_exact_mut(LANES) {
            V::load(lanes_at(x, 0)).exp().store(lanes_at_mut(x, 0));
        }
    }
}

#[test]
fn exp_is_close_to_the_truth_and_the_same_everywhere() {
    let mut x: Vec<f32> = (0..16 * 200_000)
        .map(|i| -87.5 + i as f32 * (176.0 / 3_200_000.0))
        .collect();
    x.extend([
        0.0,
        -0.0,
        f32::NEG_INFINITY,
        f32::MIN,
        -86.99999,
        -87.0,
        -87.00001,
        88.0,
        f32::MAX,
    ]);
    x.extend([1.0; 7]);
    let mut first_bits = None;
    for isa in Isa::available() {
        let mut got = x.clone();
        run(isa, Exp(&mut got));
        for (x, got) in x.iter().zip(&got).filter(|(x, _)| (-87.0..=88.0).contains(*x)) {
            let truth = f64::from(*x).exp();
            assert!(
                (f64::from(*got) - truth).abs() <= truth * 2.4e-7,
                "e^{x} is {truth}, not {got}"
            );
        }
        let special = &got[got.len() - 16..];
        assert_eq!(special[..4], [1.0, 1.0, 0.0, 0.0]);
        assert!(special[5] > 0.0 && special[6] == 0.0 && special[8].is_finite());
        assert_eq!(first_bits.get_or_insert(got.clone()), &got, "{isa:?}");
    }
}

/// Every operation on the same three vectors, one result after the other.
struct All<'a> {
    x: &'a [[f32; LANES]; 3],
    words: &'a [u32; LANES],
    out: &'a mut Vec<u32>,
}

impl Task for All<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let [a, b, c] = [V::load(&self.x[0]), V::load(&self.x[1]), V::load(&self.x[2])];
        let (pairs, low) = (V::load_pairs(self.words), V::load_low_halves(self.words));
        let mut rounded = [0; LANES];
        a.store_bf16(&mut rounded);
        let power = c.add(V::splat(12_582_912.0));
        let results = [
            V::splat(3.5),
            a.add(b),
            a.sub(b),
            a.mul(b),
            a.div(b),
            a.mul_add(b, c),
            a.max(b),
            a.min(b),
            a.scale_by_power(power),
            a.zero_where_below(b, c),
            c.add_pairs(pairs, self.words[3]),
            c.add_pairs(low, self.words[5]),
            V::load(&rounded.map(f32::from)),
            V::load_bytes(&self.words.map(|word| word as i8)),
        ];
        for result in results {
            let mut lanes = [0.0; LANES];
            result.store(&mut lanes);
            self.out.extend(lanes.map(f32::to_bits));
            self.out
                .extend([result.sum().to_bits(), result.greatest().to_bits()]);
        }
    }
}

#[test]
fn every_operation_gives_the_same_bits_on_every_instruction_set() {
    for seed in 1..50 {
        let noise = noise(seed, 3 * LANES);
        let x = [0, 1, 2]
            .map(|i| *lanes_at(&noise, i * LANES))
            .map(|x| x.map(|x| x * 4.0));
        let words = x[0].map(|x| x.to_bits().rotate_left(16) ^ x.to_bits());
        let words = words.map(|word| word & 0xbfff_bfff | 0x3000_3000);
        let mut expected = Vec::new();
        run(
            Isa::Scalar,
            All {
                x: &x,
                words: &words,
                out: &mut expected,
            },
        );
        for isa in Isa::available() {
            for pairs in [false, true] {
                let mut got = Vec::new();
                let all = All {
                    x: &x,
                    words: &words,
                    out: &mut got,
                };
                if pairs {
                    run_pairs(isa, all);
                } else {
                    run(isa, all);
                }
                assert_eq!(got, expected, "{isa:?}, seed {seed}, pairs at once: {pairs}");
            }
        }
    }
}
