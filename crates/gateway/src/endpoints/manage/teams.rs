//! Teams, their people and projects.

use axum::extract::Path;
use serde::Deserialize;
use serde_json::json;
use tokenmill_accounts::{KeyScope, ProjectLimits, Rates, TeamChange, Tier};

use super::{Answer, Managing, Parts, done, failed, list as listed, ok, refused};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTeam {
    name: String,
    #[serde(default)]
    tier: Tier,
}

pub(super) async fn list(managing: Managing) -> Answer {
    managing.operator()?;
    let teams = managing.app.accounts.teams().await.map_err(failed)?;
    let team = |team: &tokenmill_accounts::TeamInfo| {
        json!({
            "id": team.id, "name": team.name, "tier": team.terms.tier, "enabled": !team.terms.is_disabled,
            "allowed_models": team.terms.allowed_models, "members": team.n_members,
            "created_at": team.created_at.as_secs(),
        })
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
    ok(json!({"name": name, "tier": tier}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedTeam {
    tier: Option<Tier>,
    enabled: Option<bool>,
    /// `null` allows all; left out changes nothing.
    #[serde(default, with = "present")]
    allowed_models: Option<Option<Vec<String>>>,
}

/// A field that tells `null` from absence.
mod present {
    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
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
    let members = managing.app.accounts.members(&team).await.map_err(refused)?;
    let member = |member: &tokenmill_accounts::MemberInfo| json!({"person": member.person, "role": member.role, "operator": member.is_operator});
    ok(listed(members.iter().map(member)))
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    Admin,
    Member,
}

#[derive(Deserialize)]
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
    let project = |project: &tokenmill_accounts::ProjectInfo| {
        json!({
            "id": project.id, "name": project.name, "limits": project.limits,
            "created_at": project.created_at.as_secs(),
        })
    };
    ok(listed(projects.iter().map(project)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProject {
    name: String,
}

pub(super) async fn create_project(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.team_admin(&team).await?;
    let (app, actor, NewProject { name }) = managing.body().await?;
    let created = app.accounts.create_project(&actor, &team, &name).await;
    created.map_err(refused)?;
    ok(json!({"name": name}))
}

#[derive(Deserialize)]
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
