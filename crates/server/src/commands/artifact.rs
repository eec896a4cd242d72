//! `tokenmill artifact`: the LoRA adapters that teams have.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;
use tokenmill_accounts::artifacts::{CheckedFiles, Incoming, version_number};
use tokenmill_accounts::{Accounts, ArtifactInfo, ArtifactPath, Artifacts};
use tokenmill_model::adapter::{CONFIG_FILE, WEIGHTS_FILE, check};
use tokenmill_model::{AdapterShape, AdapterSummary};

use super::table::Table;
use super::teams::{refused, text};
use super::{ACTOR, Output, block_on, open_accounts, resolve};
use crate::builtin;
use crate::config::{Config, Group, flags};
use crate::failure::Failure;
use crate::model_spec::{Weights, model_specs};

const LONG_ABOUT: &str = "\
Adds, lists, names and removes LoRA adapters in PEFT's format. They are in the data folder: these commands work with the \
server running or not, and a running server follows from the next request on.

  tokenmill artifact add acme/inference/style ./adapter --base-model tokenmill/demo --alias production
  tokenmill artifact list acme

Requests name one in `model`: wandb-artifact:///acme/inference/style:production";

pub(super) fn cli() -> Command {
    let list = Command::new("list").about("List the adapters of a team").arg(
        Arg::new("team")
            .value_name("TEAM")
            .required(true)
            .help("The team"),
    );
    let show = Command::new("show")
        .about("Show an adapter's versions")
        .arg(path_arg());
    Command::new("artifact")
        .visible_alias("artifacts")
        .about("Add, list, name and remove LoRA adapters")
        .long_about(LONG_ABOUT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(add_cli())
        .subcommand(finished(list))
        .subcommand(finished(show))
        .subcommand(finished(alias_cli()))
        .subcommand(finished(remove_cli()))
}

fn add_cli() -> Command {
    let add = Command::new("add")
        .about("Add a folder with an adapter as the next version")
        .arg(path_arg())
        .arg(
            Arg::new("folder")
                .value_name("FOLDER")
                .required(true)
                .help("A folder with adapter_config.json and adapter_model.safetensors"),
        )
        .arg(
            Arg::new("base-model")
                .long("base-model")
                .value_name("ID")
                .required(true)
                .help("The served model that it changes; name its files with --model as for `serve`"),
        )
        .arg(
            Arg::new("alias")
                .long("alias")
                .value_name("NAME")
                .action(ArgAction::Append)
                .help("A name for the version besides its number; may be repeated"),
        );
    let models = flags(&[Group::Model]).filter(|arg| arg.get_id() != "config");
    finished(add).args(models)
}

fn alias_cli() -> Command {
    Command::new("alias")
        .about("Give a version a name, or take a name away")
        .arg(path_arg())
        .arg(
            Arg::new("alias")
                .value_name("NAME")
                .required(true)
                .help("The name"),
        )
        .arg(
            Arg::new("version")
                .value_name("VERSION")
                .help("The version that it is for, as in v3; without one the name is taken away"),
        )
}

fn remove_cli() -> Command {
    Command::new("remove")
        .about("Delete a version, or the adapter with all of them")
        .arg(path_arg())
        .arg(
            Arg::new("version")
                .value_name("VERSION")
                .required_unless_present("all")
                .help("The version, as in v3"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .conflicts_with("version")
                .help("Delete all versions"),
        )
}

fn path_arg() -> Arg {
    Arg::new("artifact")
        .value_name("TEAM/PROJECT/NAME")
        .required(true)
        .help("The adapter")
}

fn finished(command: Command) -> Command {
    super::teams::finished(command)
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    let config = resolve(matches)?;
    block_on(async {
        let accounts = open_accounts(&config).await?;
        let folder = Some(Path::new(&config.gateway.artifacts_dir)).filter(|dir| !dir.as_os_str().is_empty());
        let artifacts = Artifacts::new(accounts.clone(), folder);
        let shown = match name {
            "list" => artifacts.list(text(matches, "team")).await.map_err(refused)?,
            _ => act(name, matches, &config, (&accounts, &artifacts)).await?,
        };
        accounts.close().await;
        write(&shown, matches.get_flag("json"), out)
    })
}

/// Does what is asked of one adapter. What there is of it afterwards.
async fn act(
    name: &str,
    matches: &ArgMatches,
    config: &Config,
    (accounts, artifacts): (&Accounts, &Artifacts),
) -> Result<Vec<ArtifactInfo>, Failure> {
    let path = path_of(matches)?;
    match name {
        "add" => add(matches, config, (accounts, artifacts), &path).await?,
        "alias" => {
            let alias = text(matches, "alias");
            let changed = match version_of(matches)? {
                Some(version) => artifacts.alias(ACTOR, &path, alias, version).await,
                None => artifacts.remove_alias(ACTOR, &path, alias).await,
            };
            changed.map_err(refused)?;
        }
        "remove" => {
            let version = version_of(matches)?;
            artifacts.remove(ACTOR, &path, version).await.map_err(refused)?;
            let left = artifacts.list(&path.team).await.map_err(refused)?;
            return Ok(left
                .into_iter()
                .filter(|artifact| artifact.path == path)
                .collect());
        }
        _ => {}
    }
    Ok(vec![artifacts.get(&path).await.map_err(refused)?])
}

async fn add(
    matches: &ArgMatches,
    config: &Config,
    (accounts, artifacts): (&Accounts, &Artifacts),
    path: &ArtifactPath,
) -> Result<(), Failure> {
    let base_model = text(matches, "base-model");
    let catalogue = accounts
        .read_catalogue()
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
    let max_rank = catalogue.lora_rank(base_model) as usize;
    if max_rank == 0 {
        return Err(Failure::usage(format!(
            "the model {base_model:?} takes no adapters"
        )));
    }
    let shape = shape_of(config, base_model)?;
    let incoming = artifacts
        .incoming()
        .map_err(|error| Failure::new(format!("the folder of artifacts cannot be used: {error}")))?;
    let n_bytes = copy(Path::new(text(matches, "folder")), &incoming)?;
    let summary: AdapterSummary = check(&shape, &incoming.path(), max_rank)
        .map_err(|fault| Failure::usage(format!("{fault} ({})", fault.code())))?;
    let files = CheckedFiles {
        digest: summary.digest,
        n_bytes,
        rank: u32::try_from(summary.rank).unwrap_or(u32::MAX),
        targets: summary.targets.iter().map(|&target| target.to_owned()).collect(),
    };
    let aliases = matches.get_many::<String>("alias").unwrap_or_default();
    let aliases: Vec<String> = aliases.cloned().collect();
    let added = artifacts.add(ACTOR, path, base_model, &aliases, (files, incoming));
    added.await.map_err(refused)?;
    Ok(())
}

/// What adapters of a served model must fit.
fn shape_of(config: &Config, base_model: &str) -> Result<AdapterShape, Failure> {
    let specs = model_specs(config)?;
    let Some(spec) = specs.iter().find(|spec| spec.id == base_model) else {
        return Err(Failure::usage(format!(
            "the base model {base_model:?} is not among the models that would be served; name its files with --model ID=PATH, \
             or in the config file"
        )));
    };
    let shape = match &spec.weights {
        Weights::At(path) => tokenmill_model::read_adapter_shape(path, &config.load),
        Weights::BuiltIn => tokenmill_model::read_adapter_shape_from_bytes(&spec.id, builtin::GGUF),
    };
    shape.map_err(|error| Failure::new(format!("model `{}`: {error}", spec.id)))
}

/// Copies both files; their bytes together.
fn copy(from: &Path, to: &Incoming) -> Result<u64, Failure> {
    [CONFIG_FILE, WEIGHTS_FILE].into_iter().try_fold(0, |sum, name| {
        let path: PathBuf = from.join(name);
        let copied = fs::copy(&path, to.path().join(name));
        let n_bytes =
            copied.map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
        Ok(sum + n_bytes)
    })
}

fn path_of(matches: &ArgMatches) -> Result<ArtifactPath, Failure> {
    let given = text(matches, "artifact");
    ArtifactPath::parse(given).ok_or_else(|| {
        Failure::usage(format!(
            "{given:?} is no adapter: write team/project/name, each of 1 to 64 ASCII letters, digits, '.', '_' and '-'"
        ))
    })
}

fn version_of(matches: &ArgMatches) -> Result<Option<u32>, Failure> {
    let Some(given) = matches.get_one::<String>("version") else {
        return Ok(None);
    };
    let number = version_number(given);
    number
        .map(Some)
        .ok_or_else(|| Failure::usage(format!("{given:?} is no version: write it as in v3")))
}

fn write(artifacts: &[ArtifactInfo], is_json: bool, out: Output<'_>) -> Result<(), Failure> {
    let mut table = Table::new(&[
        "artifact",
        "version",
        "aliases",
        "base_model",
        "rank",
        "target_modules",
        "bytes",
        "uploaded_by",
        "created",
    ]);
    for artifact in artifacts {
        for version in &artifact.versions {
            table.row(vec![
                json!(artifact.path.to_string()),
                json!(format!("v{}", version.version)),
                json!(version.aliases),
                json!(artifact.base_model),
                json!(version.rank),
                json!(version.targets),
                json!(version.n_bytes),
                json!(version.actor),
                json!(version.created_at.to_string()),
            ]);
        }
    }
    table.write(is_json, out)
}
