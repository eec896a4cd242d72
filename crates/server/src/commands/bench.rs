//! `tokenmill bench`: how fast a model runs here, and how near that is to what the machine can do.

mod rig;
mod weights;

use std::num::NonZeroUsize;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::peaks::Peaks;
use tokenmill_kernels::pool::Pool;

use super::Output;
use crate::builtin;
use crate::failure::Failure;
use crate::model_spec::{ModelSpec, Weights};
use rig::{Rig, Workload};
use weights::WeightReads;

const LONG_ABOUT: &str = "\
Runs a model in this process, without server and sampling, and prints tokens a second: reading a prompt, one stream at \
several depths of context, and several streams together. Beside each stands how near it comes to what the same run \
measured as possible: READ is weights and cache read against the bandwidth of memory, PEAK is arithmetic against the \
peak for bytes, or for floats where the weights are floats. Depths are made up, not computed, which takes no time and \
is as fast or slow. For figures that mean something, let the machine do nothing else.";

/// The longest list and the largest number in it that a flag takes.
const MAX_LIST: usize = 32;
const MAX_NUMBER: usize = 1 << 20;

pub(super) fn cli() -> Command {
    let list = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N,…")
            .default_value(default)
            .value_parser(parse_list)
            .help(help)
    };
    Command::new("bench")
        .about("Measure how fast a model runs on this machine")
        .long_about(LONG_ABOUT)
        .arg(
            Arg::new("MODEL")
                .value_name("MODEL")
                .default_value(builtin::ID)
                .help("A .gguf file, a Hugging Face folder, or the id of the built-in model"),
        )
        .arg(list("prompts", "512", "Lengths of prompts to read"))
        .arg(list(
            "depths",
            "0,1024,4096",
            "Tokens before the one that a single stream generates",
        ))
        .arg(list(
            "streams",
            "2,4,8,16",
            "Streams that generate together, at a depth of 128",
        ))
        .arg(
            Arg::new("threads")
                .long("threads")
                .value_name("N")
                .value_parser(value_parser!(u16).range(1..=1024))
                .help("Threads that compute; without it, one per core that this process may use"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print JSON instead of a table"),
        )
}

/// A list of numbers.
#[derive(Clone)]
struct Numbers(Vec<usize>);

fn parse_list(text: &str) -> Result<Numbers, String> {
    let number = |word: &str| match word.trim().parse::<usize>() {
        Ok(number) if number <= MAX_NUMBER => Ok(number),
        _ => Err(format!("{word:?} is no number from 0 to {MAX_NUMBER}")),
    };
    let numbers: Vec<usize> = text
        .split(',')
        .filter(|word| !word.trim().is_empty())
        .map(number)
        .collect::<Result<_, _>>()?;
    if numbers.len() > MAX_LIST {
        return Err(format!("these are more than {MAX_LIST} numbers"));
    }
    Ok(Numbers(numbers))
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let name = matches
        .get_one::<String>("MODEL")
        .map_or(builtin::ID, String::as_str);
    let spec = ModelSpec::parse(name)?;
    let isa = Isa::from_env().map_err(|error| Failure::usage(error.to_string()))?;
    let threads = matches
        .get_one::<u16>("threads")
        .and_then(|&n| NonZeroUsize::new(n.into()));
    let pool = Pool::new(threads.unwrap_or_else(Pool::default_threads), isa);
    let reads = WeightReads::of(&spec.weights)?;
    let mut rig = Rig::new(&pool, &spec, &workloads(matches))?;
    let bench = Bench {
        model: spec.id.clone(),
        quantization: rig.quantization().to_owned(),
        n_threads: pool.threads(),
        isa: isa.name(),
        peaks: Peaks::measure(&pool),
        reads,
    };
    let mut rows = Vec::new();
    if !matches.get_flag("json") {
        bench.write_head(out)?;
    }
    for workload in workloads(matches) {
        // What the model's context does not hold is left out by the rig.
        let Some(seconds) = rig.seconds(&workload)? else {
            continue;
        };
        let row = bench.row(&workload, seconds, rig.kv_token_bytes());
        if !matches.get_flag("json") {
            row.write(out)?;
        }
        rows.push(row);
    }
    if matches.get_flag("json") {
        writeln!(out, "{:#}", bench.to_json(&rows))?;
    }
    Ok(())
}

fn workloads(matches: &ArgMatches) -> Vec<Workload> {
    let numbers = |name: &str| {
        let list = matches.get_one::<Numbers>(name);
        list.map(|list| list.0.clone()).unwrap_or_default()
    };
    let prompts = numbers("prompts").into_iter().filter(|&n_tokens| n_tokens > 0);
    let streams = numbers("streams").into_iter().filter(|&n_streams| n_streams > 0);
    prompts
        .map(|n_tokens| Workload::Prefill { n_tokens })
        .chain(
            numbers("depths")
                .into_iter()
                .map(|depth| Workload::Decode { n_streams: 1, depth }),
        )
        .chain(streams.map(|n_streams| Workload::Decode {
            n_streams,
            depth: 128,
        }))
        .collect()
}

/// What all rows of a run have in common.
struct Bench {
    model: String,
    quantization: String,
    n_threads: usize,
    isa: &'static str,
    peaks: Peaks,
    reads: Option<WeightReads>,
}

/// One line of the table.
struct Row {
    workload: Workload,
    tokens_per_s: f64,
    seconds: f64,
    /// Of the bandwidth and of the arithmetic measured as possible; `None` where that is not known.
    read_share: Option<f64>,
    peak_share: Option<f64>,
}

impl Bench {
    fn row(&self, workload: &Workload, seconds: f64, kv_token_bytes: usize) -> Row {
        let is_float = matches!(self.quantization.as_str(), "F32" | "F16" | "BF16");
        let peak = if is_float {
            self.peaks.f32_gflops
        } else {
            self.peaks.int8_gops
        };
        let per_second = |amount: f64| amount / seconds / 1e9;
        let (read_share, peak_share) = match (&self.reads, workload) {
            (None, _) => (None, None),
            (Some(reads), &Workload::Prefill { n_tokens }) => {
                let n_ops = 2.0 * reads.body_params as f64 * n_tokens as f64;
                (None, peak.map(|peak| per_second(n_ops) / peak))
            }
            (Some(reads), &Workload::Decode { n_streams, depth }) => {
                let n_ops = 2.0 * (reads.body_params + reads.head_params) as f64 * n_streams as f64;
                let n_bytes =
                    reads.body_bytes + reads.head_bytes + (n_streams * depth * kv_token_bytes) as u64;
                (
                    Some(per_second(n_bytes as f64) / self.peaks.read_gb_s),
                    peak.map(|peak| per_second(n_ops) / peak),
                )
            }
        };
        Row {
            workload: workload.clone(),
            tokens_per_s: workload.n_tokens() as f64 / seconds,
            seconds,
            read_share,
            peak_share,
        }
    }

    fn write_head(&self, out: Output<'_>) -> Result<(), Failure> {
        let gops =
            |rate: Option<f64>| rate.map_or_else(|| "not measured".to_owned(), |rate| format!("{rate:.0}"));
        writeln!(
            out,
            "{} ({}), {} threads, {}\nmeasured as possible: {:.1} GB/s read, {} GOPS int8, {} GFLOPS f32\n",
            self.model,
            self.quantization,
            self.n_threads,
            self.isa,
            self.peaks.read_gb_s,
            gops(self.peaks.int8_gops),
            gops(self.peaks.f32_gflops),
        )?;
        Ok(writeln!(
            out,
            "{:<8} {:>7} {:>6} {:>10} {:>10} {:>6} {:>6}",
            "WHAT", "STREAMS", "DEPTH", "TOKENS/S", "MS", "READ", "PEAK"
        )?)
    }

    fn to_json(&self, rows: &[Row]) -> Value {
        json!({
            "model": self.model,
            "quantization": self.quantization,
            "threads": self.n_threads,
            "instructions": self.isa,
            "read_gb_s": self.peaks.read_gb_s,
            "int8_gops": self.peaks.int8_gops,
            "f32_gflops": self.peaks.f32_gflops,
            "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn write(&self, out: Output<'_>) -> Result<(), Failure> {
        let percent = |share: Option<f64>| {
            share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
        };
        let (what, n_streams, depth) = self.workload.columns();
        Ok(writeln!(
            out,
            "{what:<8} {n_streams:>7} {depth:>6} {:>10.1} {:>10.1} {:>6} {:>6}",
            self.tokens_per_s,
            self.seconds * 1e3,
            percent(self.read_share),
            percent(self.peak_share),
        )?)
    }

    fn to_json(&self) -> Value {
        let (what, n_streams, depth) = self.workload.columns();
        json!({
            "what": what,
            "streams": n_streams,
            "depth": depth,
            "tokens_per_s": self.tokens_per_s,
            "ms": self.seconds * 1e3,
            "read_share": self.read_share,
            "peak_share": self.peak_share,
        })
    }
}

/// Whether the weights lie in a file that can be looked into.
impl WeightReads {
    fn of(weights: &Weights) -> Result<Option<WeightReads>, Failure> {
        match weights {
            Weights::BuiltIn => builtin::tensors()
                .map(|tensors| WeightReads::from_tensors(tensors.into_iter()))
                .map_err(Failure::new),
            Weights::At(path) => {
                let inspection =
                    tokenmill_model::inspect(path).map_err(|error| Failure::new(error.to_string()))?;
                let tensors = inspection.tensors.into_iter();
                Ok(WeightReads::from_tensors(
                    tensors.map(|tensor| (tensor.name, tensor.shape, tensor.n_bytes)),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_are_bounded() {
        assert_eq!(parse_list("1, 2,30").map(|list| list.0), Ok(vec![1, 2, 30]));
        assert_eq!(parse_list("").map(|list| list.0), Ok(vec![]));
        for text in ["-1", "x", "1048577", &"1,".repeat(33)] {
            assert!(parse_list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_built_in_model_has_a_row_for_each_workload() {
        let arguments = [
            "bench",
            "--prompts",
            "8",
            "--depths",
            "0,70",
            "--streams",
            "2",
            "--json",
            "--threads",
            "1",
        ];
        let matches = cli().try_get_matches_from(arguments).expect("flags that exist");
        let mut printed = Vec::new();
        run(&matches, &mut printed).expect("the built-in model runs");
        let value: Value = serde_json::from_slice(&printed).expect("JSON");
        let rows = value["rows"].as_array().expect("rows");
        let whats: Vec<_> = rows.iter().map(|row| row["what"].as_str()).collect();
        assert_eq!(
            whats,
            [Some("prefill"), Some("decode"), Some("decode"), Some("decode")]
        );
        assert!(rows.iter().all(|row| row["tokens_per_s"].as_f64() > Some(0.0)));
    }
}
