//! Teams, their people and projects.

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokenmill_accounts::{KeyScope, ProjectLimits, Rates, TeamChange, Tier};

use super::{Answer, DONE, List, Managing, Operation, Parts, done, failed, list as listed, ok, refused};
use crate::openapi::{Reply, schema};

pub(super) const TEAMS: &[Operation] = &[
    Operation::new(
        "GET",
        "List the teams",
        &[Reply::json(schema::<List<ShownTeam>>)],
        || get(list),
    ),
    Operation::new("POST", "Make a team", &[Reply::json(schema::<MadeTeam>)], || {
        post(create)
    })
    .with(schema::<NewTeam>),
];

pub(super) const TEAM: &[Operation] = &[Operation::new(
    "PUT",
    "Change a team: tier, whether it is enabled, the models that it may ask",
    DONE,
    || put(change),
)
.with(schema::<ChangedTeam>)];

pub(super) const MEMBERS: &[Operation] = &[Operation::new(
    "GET",
    "List a team's people",
    &[Reply::json(schema::<List<ShownMember>>)],
    || get(members),
)];

pub(super) const MEMBER: &[Operation] = &[
    Operation::new("PUT", "Put a person into a team, with a role", DONE, || {
        put(add_member)
    })
    .with(schema::<Membership>),
    Operation::new("DELETE", "Take a person out of a team", DONE, || {
        delete(remove_member)
    }),
];

pub(super) const PROJECTS: &[Operation] = &[
    Operation::new(
        "GET",
        "List a team's projects",
        &[Reply::json(schema::<List<ShownProject>>)],
        || get(projects),
    ),
    Operation::new(
        "POST",
        "Make a project",
        &[Reply::json(schema::<MadeProject>)],
        || post(create_project),
    )
    .with(schema::<NewProject>),
];

pub(super) const LIMITS: &[Operation] = &[Operation::new(
    "PUT",
    "Set all limits of a project; what is left out has none",
    DONE,
    || put(limit_project),
)
.with(schema::<Limits>)];

/// A team.
#[derive(Serialize, JsonSchema)]
struct ShownTeam {
    id: String,
    name: String,
    tier: Tier,
    enabled: bool,
    /// The only models that it may ask; `null` is all.
    allowed_models: Option<Vec<String>>,
    /// How many people are in it.
    members: u64,
    /// Seconds since 1970.
    created_at: i64,
}

/// A team that was made.
#[derive(Serialize, JsonSchema)]
struct MadeTeam {
    name: String,
    tier: Tier,
}

/// A person in a team.
#[derive(Serialize, JsonSchema)]
struct ShownMember {
    person: String,
    role: String,
    /// Whether they may change everything on this server.
    operator: bool,
    /// The mail address by which an identity provider finds them; told to administrators.
    mail: Option<String>,
    /// Whether they have signed in with an identity provider.
    linked: bool,
}

/// A project.
#[derive(Serialize, JsonSchema)]
struct ShownProject {
    id: String,
    name: String,
    limits: ProjectLimits,
    /// Seconds since 1970.
    created_at: i64,
}

/// A project that was made.
#[derive(Serialize, JsonSchema)]
struct MadeProject {
    name: String,
}

/// A team to make.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTeam {
    name: String,
    #[serde(default)]
    tier: Tier,
}

pub(super) async fn list(managing: Managing) -> Answer {
    managing.operator()?;
    let teams = managing.app.accounts.teams().await.map_err(failed)?;
    let team = |team: &tokenmill_accounts::TeamInfo| ShownTeam {
        id: team.id.clone(),
        name: team.name.clone(),
        tier: team.terms.tier,
        enabled: !team.terms.is_disabled,
        allowed_models: team.terms.allowed_models.clone(),
        members: team.n_members,
        created_at: team.created_at.as_secs(),
    };
    ok(listed(teams.iter().map(team)))
}

pub(super) async fn create(managing: Managing) -> Answer {
    managing.operator()?;
    let (app, actor, NewTeam { name, tier }) = managing.body().await?;
    app.accounts
        .create_team(&actor, &name, tier)
        .await
        .map_err(refused)?;
    ok(MadeTeam { name, tier })
}

/// What is to change about a team.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedTeam {
    tier: Option<Tier>,
    enabled: Option<bool>,
    /// `null` allows all; left out changes nothing.
    #[serde(default, deserialize_with = "present::deserialize")]
    #[schemars(with = "Option<Vec<String>>")]
    allowed_models: Option<Option<Vec<String>>>,
}

/// A field that tells `null` from absence.
pub(super) mod present {
    use serde::{Deserialize, Deserializer};

    pub(in super::super) fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de>,
    {
        Option::deserialize(deserializer).map(Some)
    }
}

pub(super) async fn change(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.operator()?;
    let (app, actor, body) = managing.body::<ChangedTeam>().await?;
    let change = TeamChange {
        tier: body.tier,
        is_disabled: body.enabled.map(|enabled| !enabled),
        allowed_models: body.allowed_models,
    };
    let changed = app.accounts.change_team(&actor, &team, &change).await;
    changed.map_err(refused)?;
    done()
}

pub(super) async fn members(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.team_member(&team, KeyScope::Admin).await?;
    let is_admin = managing.team_admin(&team).await.is_ok();
    let members = managing.app.accounts.members(&team).await.map_err(refused)?;
    let member = |member: &tokenmill_accounts::MemberInfo| ShownMember {
        person: member.person.clone(),
        role: member.role.clone(),
        operator: member.is_operator,
        mail: member.mail.clone().filter(|_| is_admin),
        linked: member.is_linked,
    };
    ok(listed(members.iter().map(member)))
}

#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    Admin,
    Member,
}

/// How somebody is in a team.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Membership {
    role: Role,
}

pub(super) async fn add_member(Path((team, person)): Parts<(String, String)>, managing: Managing) -> Answer {
    managing.team_admin(&team).await?;
    let (app, actor, Membership { role }) = managing.body().await?;
    let added = app
        .accounts
        .add_member(&actor, &team, &person, role == Role::Admin);
    added.await.map_err(refused)?;
    done()
}

pub(super) async fn remove_member(
    Path((team, person)): Parts<(String, String)>,
    managing: Managing,
) -> Answer {
    managing.team_admin(&team).await?;
    let actor = managing.actor();
    let removed = managing.app.accounts.remove_member(&actor, &team, &person);
    removed.await.map_err(refused)?;
    done()
}

pub(super) async fn projects(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.team_member(&team, KeyScope::Admin).await?;
    let projects = managing.app.accounts.projects(&team).await.map_err(refused)?;
    let project = |project: &tokenmill_accounts::ProjectInfo| ShownProject {
        id: project.id.clone(),
        name: project.name.clone(),
        limits: project.limits,
        created_at: project.created_at.as_secs(),
    };
    ok(listed(projects.iter().map(project)))
}

/// A project to make.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProject {
    name: String,
}

pub(super) async fn create_project(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.team_admin(&team).await?;
    let (app, actor, NewProject { name }) = managing.body().await?;
    let created = app.accounts.create_project(&actor, &team, &name).await;
    created.map_err(refused)?;
    ok(MadeProject { name })
}

/// What a project may do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    concurrency: Option<u32>,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u32>,
}

pub(super) async fn limit_project(
    Path((team, project)): Parts<(String, String)>,
    managing: Managing,
) -> Answer {
    managing.team_admin(&team).await?;
    let (app, actor, body) = managing.body::<Limits>().await?;
    let limits = ProjectLimits {
        concurrency: body.concurrency,
        rates: Rates {
            requests_per_minute: body.requests_per_minute,
            tokens_per_minute: body.tokens_per_minute,
        },
    };
    let limited = app.accounts.limit_project(&actor, &team, &project, limits);
    limited.await.map_err(refused)?;
    done()
}
