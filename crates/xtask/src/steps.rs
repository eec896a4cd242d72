//! The test command: each step prints its name, runs to its end and must succeed. Python and Node packages are
//! installed, at the versions pinned in `tests/`, into `target/`, never into the system.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

type Step = (&'static str, fn(&Path) -> Result<(), String>);

/// In this order: cheap checks first, so that a slip is told within a minute.
const STEPS: &[Step] = &[
    ("fmt", fmt),
    ("clippy", clippy),
    ("fuzz", fuzz),
    ("rust", rust),
    ("docs", docs),
    ("python", python),
    ("node", node),
    ("console", console),
];

/// Runs the named steps, or all of them.
pub(crate) fn test(root: &Path, only: &[String]) -> Result<(), String> {
    if let Some(unknown) = only
        .iter()
        .find(|name| STEPS.iter().all(|(step, _)| step != name))
    {
        return Err(format!("no step is called {unknown:?}"));
    }
    for (name, step) in STEPS
        .iter()
        .filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name))
    {
        let start = Instant::now();
        eprintln!("── {name}");
        step(root).map_err(|fault| format!("step {name} failed: {fault}"))?;
        eprintln!("── {name}: passed in {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn fmt(root: &Path) -> Result<(), String> {
    run(Command::new("cargo")
        .current_dir(root)
        .args(["fmt", "--all", "--check"]))
}

fn clippy(root: &Path) -> Result<(), String> {
    run(&mut cargo(
        root,
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    ))
}

/// The fuzz targets are a workspace of their own, whose last reader may have been another version of what they call. Only
/// checked: the fuzzer's own library, which is not linked then, need not be built.
fn fuzz(root: &Path) -> Result<(), String> {
    let check = [
        "check",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "target/fuzz",
        "--locked",
    ];
    run(cargo(root, &check)
        .env("CUSTOM_LIBFUZZER_PATH", "target/fuzz/none.a")
        .env("RUSTFLAGS", "--cfg fuzzing"))
}

fn rust(root: &Path) -> Result<(), String> {
    let python = venv(root, &["requirements.txt"])?;
    let suite = schema_suite(&target(root), &python)?;
    run(cargo(root, &["test", "--workspace", "--locked"])
        .env("TOKENMILL_PYTHON", python)
        .env("TOKENMILL_SCHEMA_SUITE", suite))
}

/// The JSON Schema Test Suite, from a source package that has it within.
fn schema_suite(target: &Path, python: &Path) -> Result<PathBuf, String> {
    let package = "jsonschema-4.26.0";
    let suite = target.join(package).join("json/tests/draft2020-12");
    if !suite.exists() {
        run(Command::new(python)
            .args([
                "-m",
                "pip",
                "download",
                "-q",
                "--disable-pip-version-check",
                "--no-deps",
            ])
            .args(["--no-binary", "jsonschema", &package.replace('-', "=="), "-d"])
            .arg(target))?;
        run(Command::new(python).current_dir(target).args([
            "-m",
            "tarfile",
            "-e",
            &format!("{package}.tar.gz"),
            ".",
        ]))?;
    }
    Ok(suite)
}

fn docs(root: &Path) -> Result<(), String> {
    run(cargo(root, &["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn python(root: &Path) -> Result<(), String> {
    let python = venv(root, &["requirements.txt", "requirements-clients.txt"])?;
    let binary = binary(root)?;
    run(Command::new(python)
        .current_dir(root.join("tests/sdk/python"))
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .env("TOKENMILL_BIN", binary))
}

fn node(root: &Path) -> Result<(), String> {
    let binary = binary(root)?;
    let folder = root.join("tests/sdk/node");
    run(Command::new("npm")
        .current_dir(&folder)
        .args(["ci", "--no-audit", "--no-fund"]))?;
    run(Command::new("npm")
        .current_dir(&folder)
        .arg("test")
        .env("TOKENMILL_BIN", binary))
}

/// The console in Chromium, which Debian's package manager brings where it is absent.
fn console(root: &Path) -> Result<(), String> {
    let python = venv(root, &["requirements.txt"])?;
    let binary = binary(root)?;
    let vendor = root.join("tools/console-vendor");
    run(Command::new("npm")
        .current_dir(&vendor)
        .args(["ci", "--no-audit", "--no-fund"]))?;
    run(Command::new("node")
        .current_dir(&vendor)
        .args(["vendor.mjs", "--check"]))?;
    let folder = root.join("tests/console");
    run(Command::new("npm")
        .current_dir(&folder)
        .args(["ci", "--no-audit", "--no-fund"]))?;
    run(Command::new("npm")
        .current_dir(&folder)
        .arg("test")
        .env("TOKENMILL_BIN", binary)
        .env("TOKENMILL_PYTHON", python)
        .env("CHROMIUM", chromium()?))
}

fn chromium() -> Result<PathBuf, String> {
    let found = || {
        let places = std::env::var_os("PATH").unwrap_or_default();
        let names = ["chromium", "chromium-browser", "google-chrome"];
        std::env::split_paths(&places)
            .flat_map(|place| names.map(|name| place.join(name)))
            .find(|path| path.exists())
    };
    if let Some(path) = std::env::var_os("CHROMIUM").map(PathBuf::from).or_else(found) {
        return Ok(path);
    }
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get").args(["install", "-y", "--no-install-recommends", "chromium"]))?;
    found().ok_or_else(|| "Chromium was installed and is not found".to_owned())
}

fn cargo(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(args);
    command
}

/// Builds `tokenmill` in the profile that the Rust tests have already compiled, and gives its path.
fn binary(root: &Path) -> Result<PathBuf, String> {
    run(&mut cargo(root, &["build", "--locked", "--bin", "tokenmill"]))?;
    Ok(target(root).join("debug/tokenmill"))
}

/// The interpreter of `target/venv`, made on first use and brought to the pinned packages.
fn venv(root: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let python = venv_at(&target(root).join("venv"))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "-q", "--disable-pip-version-check"]);
    for list in packages {
        install.arg("-r").arg(root.join("tests/sdk/python").join(list));
    }
    run(&mut install)?;
    Ok(python)
}

/// The interpreter of a virtual environment, made on first use.
pub(crate) fn venv_at(folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    }
    Ok(python)
}

pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command
        .status()
        .map_err(|error| format!("{:?} did not start: {error}", command.get_program()))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{:?} ended with {status}", command.get_program()))
    }
}
