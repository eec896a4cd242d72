//! Writes tiny models into a folder, to try tools on or to start fuzzing from:
//! `cargo run -p tokenmill-testkit --example write_tiny_models -- FOLDER`.

use std::error::Error;
use std::fs;
use std::path::Path;

use tokenmill_testkit::TinyModel;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("give the folder to write to")?;
    for architecture in ["llama", "qwen2", "qwen3"] {
        let model = TinyModel {
            n_layers: 1,
            n_embd: 32,
            n_ff: 32,
            ..TinyModel::new(architecture, 1)
        };
        fs::create_dir_all(Path::new(&folder).join(architecture))?;
        fs::write(
            Path::new(&folder).join(format!("{architecture}.gguf")),
            model.gguf().bytes(),
        )?;
        for (name, content) in model.folder() {
            fs::write(Path::new(&folder).join(architecture).join(name), content)?;
        }
    }
    Ok(())
}
