//! `tokenmill keys`: make, list and revoke keys. Works beside a running server, which follows at once.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use tokenmill_accounts::{Accounts, KeyError, KeyInfo, KeyRequest, Timestamp};

use super::{Output, block_on, resolve};
use crate::config::{Config, Group, flags, parse_seconds};
use crate::failure::Failure;

/// Who made a change, in the audit log.
const ACTOR: &str = "command line";

const LONG_ABOUT: &str = "\
Makes, lists and revokes the keys that callers present. They are in the data folder: these commands work with the \
server running or not, and a running server follows from the next request on.";

pub(super) fn cli() -> Command {
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON instead of text");
    Command::new("keys")
        .about("Make, list and revoke keys")
        .long_about(LONG_ABOUT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(create_cli().arg(json.clone()).args(flags(&[Group::Data])))
        .subcommand(
            Command::new("list")
                .about("List all keys; the keys themselves are not kept, so only their ends are shown")
                .arg(json)
                .args(flags(&[Group::Data])),
        )
        .subcommand(revoke_cli().args(flags(&[Group::Data])))
}

fn create_cli() -> Command {
    Command::new("create")
        .about("Make a key and print it; it is shown only this once")
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .default_value("key")
                .help("What the key is for, to recognise it in the list"),
        )
        .arg(
            Arg::new("person")
                .long("person")
                .value_name("NAME")
                .help("Whose key it is; without it, the person that the first start made"),
        )
        .arg(
            Arg::new("expires-in")
                .long("expires-in")
                .value_name("TIME")
                .value_parser(parse_seconds)
                .help("The key is refused after this time, such as 12h or 90d; without it, never"),
        )
}

fn revoke_cli() -> Command {
    Command::new("revoke").about("Refuse a key from now on").arg(
        Arg::new("key")
            .value_name("KEY")
            .required(true)
            .help("The key's id, as the list shows it, or the key itself"),
    )
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("create", matches)) => block_on(create(matches, out)),
        Some(("list", matches)) => block_on(list(matches, out)),
        Some(("revoke", matches)) => block_on(revoke(matches, out)),
        _ => Err(Failure::usage(
            "`tokenmill keys` needs one of create, list and revoke",
        )),
    }
}

async fn create(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let accounts = open(&resolve(matches)?).await?;
    // So that a key can be made before the first start of the server. The key that this may make is not needed.
    accounts
        .ensure_first()
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
    let lifetime = matches
        .get_one::<u64>("expires-in")
        .copied()
        .map(Duration::from_secs);
    let request = KeyRequest {
        name: matches.get_one::<String>("name").cloned().unwrap_or_default(),
        person: matches.get_one::<String>("person").cloned(),
        expires_at: lifetime.map(|lifetime| accounts.now().after(lifetime)),
        ..KeyRequest::default()
    };
    let created = accounts.create_key(ACTOR, &request).await.map_err(failure)?;
    accounts.close().await;
    if matches.get_flag("json") {
        let mut shown = to_json(&created.info);
        shown["key"] = json!(created.secret.expose());
        return Ok(writeln!(out, "{shown:#}")?);
    }
    // The key alone on standard output, so that KEY=$(tokenmill keys create) works.
    Ok(writeln!(out, "{}", created.secret.expose())?)
}

async fn list(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let accounts = open(&resolve(matches)?).await?;
    let keys = accounts
        .list_keys()
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
    let now = accounts.now();
    accounts.close().await;
    if matches.get_flag("json") {
        let keys: Vec<_> = keys.iter().map(to_json).collect();
        return Ok(writeln!(out, "{:#}", Value::from(keys))?);
    }
    let name_width = keys
        .iter()
        .map(|key| key.name.chars().count())
        .chain([4])
        .max()
        .unwrap_or(4);
    let person_width = keys
        .iter()
        .map(|key| key.person.chars().count())
        .chain([6])
        .max()
        .unwrap_or(6);
    writeln!(
        out,
        "{:<12}  {:<21}  {:<name_width$}  {:<person_width$}  {:<20}  STATE",
        "ID", "KEY", "NAME", "PERSON", "CREATED"
    )?;
    for key in &keys {
        writeln!(
            out,
            "{:<12}  {:<21}  {:<name_width$}  {:<person_width$}  {:<20}  {}",
            key.id,
            key.redacted(),
            key.name,
            key.person,
            key.created_at,
            state(key, now)
        )?;
    }
    Ok(())
}

async fn revoke(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let accounts = open(&resolve(matches)?).await?;
    let key = matches.get_one::<String>("key").cloned().unwrap_or_default();
    let revoked = accounts.revoke_key(ACTOR, &key, false).await.map_err(failure)?;
    accounts.close().await;
    Ok(writeln!(out, "{} is revoked.", revoked.redacted())?)
}

async fn open(config: &Config) -> Result<Accounts, Failure> {
    let opened = Accounts::open(&config.data_dir).await;
    opened.map_err(|error| Failure::new(format!("the data folder cannot be used: {error}")))
}

fn failure(error: KeyError) -> Failure {
    match error {
        KeyError::Store(error) => Failure::new(error.to_string()),
        fault => Failure::usage(fault.to_string()),
    }
}

fn state(key: &KeyInfo, now: Timestamp) -> String {
    match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= now => format!("expired {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "valid".to_owned(),
    }
}

fn to_json(key: &KeyInfo) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "person": key.person,
        "last_four": key.last_four,
        "created_at": key.created_at.as_secs(),
        "expires_at": key.expires_at.map(Timestamp::as_secs),
        "revoked_at": key.revoked_at.map(Timestamp::as_secs),
    })
}
