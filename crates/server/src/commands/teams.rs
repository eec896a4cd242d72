//! `tokenmill team`, `tokenmill member` and `tokenmill project`: who there is, and what they may do.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};
use tokenmill_accounts::{Accounts, ManageError, ProjectLimits, Rates, TeamChange, Tier};

use super::table::Table;
use super::{ACTOR, Output, block_on, open_accounts, resolve};
use crate::config::{Group, flags};
use crate::failure::Failure;

/// Every team-like command ends with these.
pub(super) fn finished(command: Command) -> Command {
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON instead of a table");
    command.arg(json).args(flags(&[Group::Data]))
}

pub(super) fn named(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id).value_name("NAME").required(true).help(help)
}

pub(super) fn text<'a>(matches: &'a ArgMatches, id: &str) -> &'a str {
    matches.get_one::<String>(id).map_or("", String::as_str)
}

pub(super) fn refused(error: ManageError) -> Failure {
    match error {
        ManageError::Store(error) => Failure::new(error.to_string()),
        fault => Failure::usage(fault.to_string()),
    }
}

/// Opens the accounts, and makes the first team where nobody has started the server yet.
pub(super) async fn accounts(matches: &ArgMatches) -> Result<Accounts, Failure> {
    open_accounts(&resolve(matches)?).await
}

fn tier_arg() -> Arg {
    let names = Tier::ALL.map(Tier::name);
    Arg::new("tier")
        .long("tier")
        .value_name("TIER")
        .value_parser(clap::builder::PossibleValuesParser::new(names))
        .help("What it has agreed on, which sets its cap: 100 USD a month, 6,000 a month, 700,000 a year, or none")
}

pub(super) fn team_cli() -> Command {
    let set = Command::new("set")
        .about("Change a team")
        .arg(named("team", "The team"))
        .arg(tier_arg())
        .arg(
            Arg::new("enabled")
                .long("enabled")
                .value_name("BOOL")
                .value_parser(value_parser!(bool))
                .help("false switches it off: its requests get 403"),
        )
        .arg(
            Arg::new("model")
                .long("allow-model")
                .value_name("ID")
                .action(ArgAction::Append)
                .conflicts_with("all-models")
                .help("A model that it may ask; may be repeated, and all others are not there for it"),
        )
        .arg(
            Arg::new("all-models")
                .long("allow-all-models")
                .action(ArgAction::SetTrue)
                .help("It may ask every model"),
        );
    let create = Command::new("create").about("Make a team, and its project `inference`");
    let create = create
        .arg(named("team", "Its name"))
        .arg(tier_arg().default_value("free"));
    Command::new("team")
        .about("Make, list and change teams")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(finished(create))
        .subcommand(finished(Command::new("list").about("List all teams")))
        .subcommand(finished(set))
}

pub(super) fn run_team(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    block_on(async {
        let accounts = accounts(matches).await?;
        let tier = || Tier::from_name(text(matches, "tier"));
        match name {
            "create" => {
                let created = accounts.create_team(ACTOR, text(matches, "team"), tier().unwrap_or_default());
                created.await.map_err(refused)?;
            }
            "set" => {
                let models = matches
                    .get_many::<String>("model")
                    .map(|models| models.cloned().collect());
                let allowed_models = match models {
                    Some(models) => Some(Some(models)),
                    None => matches.get_flag("all-models").then_some(None),
                };
                let change = TeamChange {
                    tier: tier(),
                    is_disabled: matches.get_one::<bool>("enabled").map(|enabled| !enabled),
                    allowed_models,
                };
                let changed = accounts.change_team(ACTOR, text(matches, "team"), &change);
                changed.await.map_err(refused)?;
            }
            _ => {}
        }
        let mut table = Table::new(&["team", "tier", "enabled", "members", "models", "created"]);
        let teams = accounts
            .teams()
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        for team in teams {
            if name == "list" || team.name == text(matches, "team") {
                table.row(vec![
                    json!(team.name),
                    json!(team.terms.tier),
                    json!(!team.terms.is_disabled),
                    json!(team.n_members),
                    json!(team.terms.allowed_models),
                    json!(team.created_at.to_string()),
                ]);
            }
        }
        accounts.close().await;
        table.write(matches.get_flag("json"), out)
    })
}

pub(super) fn member_cli() -> Command {
    let add =
        Command::new("add")
            .about("Put a person into a team; whoever is not known yet comes into being")
            .arg(named("team", "The team"))
            .arg(named("person", "The person"))
            .arg(
                Arg::new("admin")
                    .long("admin")
                    .action(ArgAction::SetTrue)
                    .help("They may change the team's members, projects and limits"),
            )
            .arg(Arg::new("mail").long("mail").value_name("ADDRESS").help(
                "The mail address by which an identity provider finds them; an empty one is taken away",
            ));
    let remove = Command::new("remove")
        .about("Take a person out of a team; their keys no longer reach it")
        .arg(named("team", "The team"))
        .arg(named("person", "The person"));
    let list = Command::new("list")
        .about("List the people of a team")
        .arg(named("team", "The team"));
    Command::new("member")
        .about("Put people into teams and take them out")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(finished(add))
        .subcommand(finished(remove))
        .subcommand(finished(list))
}

pub(super) fn run_member(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    block_on(async {
        let accounts = accounts(matches).await?;
        let team = text(matches, "team");
        match name {
            "add" => {
                let added =
                    accounts.add_member(ACTOR, team, text(matches, "person"), matches.get_flag("admin"));
                added.await.map_err(refused)?;
                if let Some(mail) = matches.get_one::<String>("mail") {
                    let mail = Some(mail.as_str()).filter(|mail| !mail.is_empty());
                    let set = accounts.set_mail(ACTOR, text(matches, "person"), mail);
                    set.await.map_err(refused)?;
                }
            }
            "remove" => {
                let removed = accounts.remove_member(ACTOR, team, text(matches, "person"));
                removed.await.map_err(refused)?;
            }
            _ => {}
        }
        let mut table = Table::new(&["person", "role", "operator", "mail"]);
        for member in accounts.members(team).await.map_err(refused)? {
            table.row(vec![
                json!(member.person),
                json!(member.role),
                json!(member.is_operator),
                json!(member.mail),
            ]);
        }
        accounts.close().await;
        table.write(matches.get_flag("json"), out)
    })
}

fn limit_arg(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id)
        .long(id)
        .value_name("N")
        .value_parser(value_parser!(u32).range(1..))
        .help(help)
}

pub(super) fn project_cli() -> Command {
    let create = Command::new("create")
        .about("Make a project")
        .arg(named("project", "As team/project"));
    let limit = Command::new("limit")
        .about("Set all limits of a project; one that is not given is taken away")
        .arg(named("project", "As team/project"))
        .arg(limit_arg("concurrency", "Sequences in flight for one model"))
        .arg(limit_arg("requests-per-minute", "Requests within a minute"))
        .arg(limit_arg(
            "tokens-per-minute",
            "Tokens within a minute, prompts and answers together",
        ));
    let list = Command::new("list")
        .about("List the projects of a team")
        .arg(named("team", "The team"));
    Command::new("project")
        .about("Make, list and limit projects")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(finished(create))
        .subcommand(finished(limit))
        .subcommand(finished(list))
}

pub(super) fn run_project(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    block_on(async {
        let accounts = accounts(matches).await?;
        let (team, project) = if name == "list" {
            (text(matches, "team"), None)
        } else {
            let path = text(matches, "project");
            let wrong = || Failure::usage(format!("{path:?} is no project: write it as team/project"));
            let (team, project) = path.split_once('/').ok_or_else(wrong)?;
            (team, Some(project))
        };
        match (name, project) {
            ("create", Some(project)) => {
                accounts
                    .create_project(ACTOR, team, project)
                    .await
                    .map_err(refused)?;
            }
            ("limit", Some(project)) => {
                let limit = |id| matches.get_one::<u32>(id).copied();
                let limits = ProjectLimits {
                    concurrency: limit("concurrency"),
                    rates: Rates {
                        requests_per_minute: limit("requests-per-minute"),
                        tokens_per_minute: limit("tokens-per-minute"),
                    },
                };
                let limited = accounts.limit_project(ACTOR, team, project, limits);
                limited.await.map_err(refused)?;
            }
            _ => {}
        }
        let columns = &[
            "project",
            "concurrency",
            "requests_per_minute",
            "tokens_per_minute",
            "created",
        ];
        let mut table = Table::new(columns);
        for info in accounts.projects(team).await.map_err(refused)? {
            if project.is_none_or(|project| info.name == project) {
                table.row(vec![
                    json!(format!("{team}/{}", info.name)),
                    json!(info.limits.concurrency),
                    json!(info.limits.rates.requests_per_minute),
                    json!(info.limits.rates.tokens_per_minute),
                    Value::from(info.created_at.to_string()),
                ]);
            }
        }
        accounts.close().await;
        table.write(matches.get_flag("json"), out)
    })
}
