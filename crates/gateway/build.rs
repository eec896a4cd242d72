//! Puts the console's files and the user guide into the program, each as it is and compressed, so that serving them
//! needs neither a file system nor a compressor.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

fn main() -> std::io::Result<()> {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let root = manifest.join("../..");
    let mut files = Vec::new();
    collect(&root.join("console"), "", &mut files)?;
    collect(&root.join("docs"), "docs/", &mut files)?;
    let index = out.join("decisions.md");
    fs::write(&index, decisions(&root.join("docs/decisions"))?)?;
    files.push(("docs/decisions/README.md".to_owned(), index));
    files.sort();

    let mut all = Sha256::new();
    let mut table = String::from("&[\n");
    for (idx, (name, path)) in files.iter().enumerate() {
        let bytes = fs::read(path)?;
        all.update((bytes.len() as u64).to_le_bytes());
        all.update(name.as_bytes());
        all.update(&bytes);
        let packed = out.join(format!("{idx}.gz"));
        let mut encoder = GzEncoder::new(fs::File::create(&packed)?, Compression::best());
        encoder.write_all(&bytes)?;
        encoder.finish()?;
        let _ = writeln!(
            table,
            "    File {{ name: {name:?}, plain: include_bytes!({:?}), packed: include_bytes!({:?}) }},",
            path.canonicalize()?,
            packed
        );
    }
    table.push(']');
    fs::write(out.join("console_files.rs"), table)?;
    let version: String = all
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!("cargo::rustc-env=TOKENMILL_CONSOLE_VERSION={version}");
    Ok(())
}

/// A page that links to every decision: in the repository the folder itself is the list.
fn decisions(folder: &Path) -> std::io::Result<String> {
    let mut titles = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let text = fs::read_to_string(&path)?;
        let title = text.lines().find_map(|line| line.strip_prefix("# "));
        titles.push((file.to_owned(), title.unwrap_or(file).to_owned()));
    }
    titles.sort();
    let mut page = String::from("# Decisions\n\nWhy things are as they are, with what was rejected.\n\n");
    for (file, title) in titles {
        let _ = writeln!(page, "- [{title}]({file})");
    }
    Ok(page)
}

/// Every file that is served, by the name under which it is.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> std::io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files)?;
        } else if ["html", "js", "css", "svg", "md", "txt", "toml"]
            .iter()
            .any(|end| name.ends_with(&format!(".{end}")))
        {
            files.push((format!("{prefix}{name}"), path));
        }
    }
    Ok(())
}
