//! `tokenmill keys`: make, list and revoke keys. Works beside a running server, which follows at once.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};
use tokenmill_accounts::{KeyError, KeyInfo, KeyRequest, KeyScope, KeyTerms, Network, Rates, Timestamp};

use super::{ACTOR, Output, block_on, open_accounts, resolve};
use crate::config::{Group, flags, parse_seconds};
use crate::failure::Failure;

const LONG_ABOUT: &str = "\
Makes, lists and revokes the keys that callers present. They are in the data folder: these commands work with the \
server running or not, and a running server follows from the next request on.";

pub(super) fn cli() -> Command {
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON instead of text");
    Command::new("keys")
        .visible_alias("key")
        .about("Make, list, rotate and revoke keys")
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
        .subcommand(rotate_cli().args(flags(&[Group::Data])))
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
        .args(terms_args())
}

fn terms_args() -> [Arg; 5] {
    let list = |id: &'static str, value_name: &'static str, help: &'static str| {
        Arg::new(id)
            .long(id)
            .value_name(value_name)
            .action(ArgAction::Append)
            .help(help)
    };
    let rate = |id: &'static str, help: &'static str| {
        Arg::new(id)
            .long(id)
            .value_name("N")
            .value_parser(value_parser!(u32).range(1..))
            .help(help)
    };
    let scopes = PossibleValuesParser::new(KeyScope::ALL.map(KeyScope::name));
    [
        list(
            "scope",
            "SCOPE",
            "What it is good for; may be repeated. Without it: inference, models:read and usage:read",
        )
        .value_parser(scopes),
        list(
            "allow-model",
            "ID",
            "A model that it may ask, and no other that is not named; may be repeated",
        ),
        list(
            "allow-network",
            "CIDR",
            "A network that it may come from, as in 203.0.113.0/24; may be repeated",
        )
        .value_parser(value_parser!(Network)),
        rate("requests-per-minute", "Requests within a minute"),
        rate(
            "tokens-per-minute",
            "Tokens within a minute, prompts and answers together",
        ),
    ]
}

fn terms(matches: &ArgMatches) -> KeyTerms {
    let mut terms = KeyTerms::default();
    if let Some(scopes) = matches.get_many::<String>("scope") {
        terms.scopes = scopes.filter_map(|name| KeyScope::from_name(name)).collect();
    }
    terms.allowed_models = matches
        .get_many("allow-model")
        .map(|models| models.cloned().collect());
    terms.allowed_networks = matches
        .get_many("allow-network")
        .map(|list| list.copied().collect());
    terms.rates = Rates {
        requests_per_minute: matches.get_one("requests-per-minute").copied(),
        tokens_per_minute: matches.get_one("tokens-per-minute").copied(),
    };
    terms
}

fn key_arg() -> Arg {
    Arg::new("key")
        .value_name("KEY")
        .required(true)
        .help("The key's id, as the list shows it, or the key itself")
}

fn rotate_cli() -> Command {
    Command::new("rotate")
        .about("Give a key a new secret and print it; the old one works on for a while")
        .arg(key_arg())
        .arg(
            Arg::new("overlap")
                .long("overlap")
                .value_name("TIME")
                .default_value("24h")
                .value_parser(parse_seconds)
                .help("For so long the old secret goes on to work"),
        )
}

fn revoke_cli() -> Command {
    Command::new("revoke")
        .about("Refuse a key from now on")
        .arg(key_arg())
        .arg(
            Arg::new("cut-streams")
                .long("cut-streams")
                .action(ArgAction::SetTrue)
                .help("End the answers that are running with it, too"),
        )
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("create", matches)) => block_on(create(matches, out)),
        Some(("list", matches)) => block_on(list(matches, out)),
        Some(("rotate", matches)) => block_on(rotate(matches, out)),
        Some(("revoke", matches)) => block_on(revoke(matches, out)),
        _ => Err(Failure::usage(
            "`tokenmill keys` needs one of create, list, rotate and revoke",
        )),
    }
}

async fn create(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let accounts = open_accounts(&resolve(matches)?).await?;
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
        terms: terms(matches),
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
    let accounts = open_accounts(&resolve(matches)?).await?;
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

async fn rotate(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let accounts = open_accounts(&resolve(matches)?).await?;
    let key = matches.get_one::<String>("key").cloned().unwrap_or_default();
    let overlap = matches.get_one::<u64>("overlap").copied().unwrap_or_default();
    let rotated = accounts.rotate_key(ACTOR, &key, Duration::from_secs(overlap));
    let secret = rotated.await.map_err(failure)?;
    accounts.close().await;
    Ok(writeln!(out, "{}", secret.expose())?)
}

async fn revoke(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let accounts = open_accounts(&resolve(matches)?).await?;
    let key = matches.get_one::<String>("key").cloned().unwrap_or_default();
    let revoked = accounts
        .revoke_key(ACTOR, &key, matches.get_flag("cut-streams"))
        .await
        .map_err(failure)?;
    accounts.close().await;
    Ok(writeln!(out, "{} is revoked.", revoked.redacted())?)
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
        "scopes": key.terms.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>(),
        "created_at": key.created_at.as_secs(),
        "expires_at": key.expires_at.map(Timestamp::as_secs),
        "revoked_at": key.revoked_at.map(Timestamp::as_secs),
    })
}
