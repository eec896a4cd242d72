//! Loads a model and says how long it took and how much memory it has: `cargo run --release --example load -- MODEL`.
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{LoadOptions, load};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give the path of a model")?;
    let pool = Pool::new(Pool::default_threads(), Isa::detect());
    let begin = Instant::now();
    let loaded = load(&pool, Path::new(&path), &LoadOptions::default())?;
    let elapsed = begin.elapsed();
    println!("{:#?}", loaded.info);
    println!(
        "loaded in {:.3} s by {} threads, {:?}",
        elapsed.as_secs_f64(),
        pool.threads(),
        pool.isa()
    );
    // Where the system tells: peak and present memory, and of the present what is the files' own pages.
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let wanted = ["VmHWM:", "VmRSS:", "RssAnon:", "RssFile:"];
        for line in status
            .lines()
            .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
        {
            println!("{line}");
        }
    }
    Ok(())
}
