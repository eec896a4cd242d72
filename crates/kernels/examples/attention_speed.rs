//! How fast attention is at the shapes of known models, on each instruction set but the scalar one.
//!
//!     cargo run --release -p tokenmill-kernels --example attention_speed [WORD…]
//!
//! With words, only the settings whose names have them all: `attention_speed Qwen3 Bf16 Avx512 "2 threads"`.
//!
//! Each figure is the best of several rounds, beside what the same machine can read from memory, or multiply and add in
//! `f32`, measured just before with as many threads. Other load on the machine shows in all of them.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::num::NonZeroUsize;
use std::time::Instant;

use tokenmill_kernels::attention::{Attention, AttentionScratch, Span, attention};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, KvShape, KvType, PAGE_TOKENS, PageId, write_kv};
use tokenmill_kernels::peaks::Peaks;
use tokenmill_kernels::pool::Pool;

fn main() {
    for (name, n_heads, n_kv_heads, head_dim) in [
        ("Qwen3-0.6B", 16, 8, 128),
        ("Llama-3.2-1B", 32, 8, 64),
        ("Qwen2.5-0.5B", 14, 2, 64),
        ("SmolLM2-135M", 9, 3, 64),
    ] {
        for isa in Isa::available().into_iter().skip(1) {
            for threads in [1, 2] {
                for kv_type in [KvType::Int8, KvType::Bf16, KvType::F32] {
                    let title = format!("{name} {kv_type:?} {isa:?} {threads} threads");
                    if !std::env::args().skip(1).all(|word| title.contains(&word)) {
                        continue;
                    }
                    let kv = KvShape {
                        n_layers: 4,
                        n_kv_heads,
                        head_dim,
                        kv_type,
                    };
                    let pool = Pool::new(NonZeroUsize::new(threads).expect("threads"), isa);
                    let peaks = Peaks::measure(&pool);
                    let speed = Speed {
                        kv,
                        n_heads,
                        pool,
                        peaks,
                    };
                    println!("{title}");
                    speed.decode(4096);
                    speed.prefill(0, 1024);
                    speed.prefill(4096 - 64, 64);
                }
            }
        }
    }
}

struct Speed {
    kv: KvShape,
    n_heads: usize,
    pool: Pool,
    peaks: Peaks,
}

impl Speed {
    fn decode(&self, n_context: usize) {
        let seconds = self.time(n_context - 1, 1);
        let bytes = n_context / PAGE_TOKENS * self.kv.page_bytes() / self.kv.n_layers;
        let each = seconds * 1e9 / (n_context * self.kv.n_kv_heads) as f64;
        let rate = bytes as f64 / seconds / 1e9;
        let share = rate / self.peaks.read_gb_s * 100.0;
        println!(
            "  decode at {n_context}: {:.0} us per layer, {each:.1} ns per token and head, {rate:.1} GB/s, {share:.0} % \
             of what can be read",
            seconds * 1e6
        );
    }

    fn prefill(&self, position: usize, n_rows: usize) {
        let seconds = self.time(position, n_rows);
        let pairs = n_rows * position + n_rows * (n_rows + 1) / 2;
        let work = (4 * pairs * self.n_heads * self.kv.head_dim) as f64;
        let rate = work / seconds / 1e9;
        let share = self.peaks.f32_gflops.map_or(String::new(), |peak| {
            format!(", {:.0} % of the peak", rate / peak * 100.0)
        });
        println!(
            "  prefill {n_rows} behind {position}: {:.2} ms per layer, {rate:.1} Gflop/s{share}",
            seconds * 1e3
        );
    }

    /// Best time of a layer, each of several layers in turn so that keys and values come from memory.
    fn time(&self, position: usize, n_rows: usize) -> f64 {
        let n_tokens = position + n_rows;
        let n_pages = n_tokens.div_ceil(PAGE_TOKENS);
        let pages: Vec<PageId> = (0..n_pages as u32).collect();
        let mut cache = KvCache::new(self.kv, n_pages).expect("cache");
        let noise = |n: usize| -> Vec<f32> {
            (0..n)
                .map(|i| ((i * 7919 + i / 13) % 1000) as f32 / 500.0 - 1.0)
                .collect()
        };
        let kv = noise(n_tokens * self.kv.n_kv_heads * self.kv.head_dim);
        let all = [Span {
            first_row: 0,
            n_rows: n_tokens,
            position: 0,
            pages: &pages,
        }];
        let mut write = f64::MAX;
        for layer in 0..self.kv.n_layers {
            let start = Instant::now();
            write_kv(&self.pool, &mut cache, layer, &all, &kv, &kv);
            write = write.min(start.elapsed().as_secs_f64());
        }
        let q = noise(n_rows * self.n_heads * self.kv.head_dim);
        let mut out = vec![0.0; q.len()];
        let mut scratch = AttentionScratch::default();
        let spans = [Span {
            first_row: 0,
            n_rows,
            position,
            pages: &pages,
        }];
        let mut best = f64::MAX;
        for round in 0..24 {
            let layer = round % self.kv.n_layers;
            let work = Attention {
                layer,
                n_heads: self.n_heads,
                scale: 0.1,
                window: None,
                soft_cap: None,
                sinks: None,
                spans: &spans,
            };
            let start = Instant::now();
            attention(&self.pool, &mut scratch, &cache, &work, &q, &mut out);
            best = best.min(start.elapsed().as_secs_f64());
        }
        if position == 0 {
            println!("  write {n_tokens}: {:.2} ms per layer", write * 1e3);
        }
        best
    }
}
