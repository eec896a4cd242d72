//! What the console asks for besides what programs do: who I am, what my team may ask, what it keeps, and how the server
//! is doing.

use axum::extract::Path;
use axum::routing::{get, post, put};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokenmill_accounts::{IdentityInfo, KeyScope, MembershipInfo, SavedInfo, SavedKind, Stage, Team};

use super::money::ShownCap;
use super::{Answer, DONE, List, Managing, Operation, Parts, done, failed, list, named, ok, refused};
use crate::admission::check_scope;
use crate::error::ApiError;
use crate::openapi::{Reply, schema};

/// Objects whose fields are the console's own business, and change with it.
const OBJECT: &[Reply] = &[Reply::json(schema::<serde_json::Map<String, Value>>)];
const OBJECTS: &[Reply] = &[Reply::json(schema::<List<serde_json::Map<String, Value>>>)];

pub(super) const ME: &[Operation] = &[Operation::new(
    "GET",
    "Who asks, with their teams and projects",
    OBJECT,
    || get(me),
)];

pub(super) const INVITATION: &[Operation] = &[Operation::new(
    "POST",
    "Make a link with which a person chooses a password for the console",
    OBJECT,
    || post(invite),
)];

pub(super) const MAIL: &[Operation] = &[Operation::new(
    "PUT",
    "Set the mail address by which an identity provider finds a person; `null` takes it away",
    DONE,
    || put(set_mail),
)
.with(schema::<NewMail>)];

pub(super) const TEAM_MODELS: &[Operation] = &[Operation::new(
    "GET",
    "The models that a team may ask, with prices, stages and dates",
    OBJECTS,
    || get(models),
)];

pub(super) const TEAM_CAPS: &[Operation] = &[Operation::new(
    "GET",
    "The spending caps that hold for a team, and what is spent of them",
    &[Reply::json(schema::<List<ShownCap>>)],
    || get(team_caps),
)];

pub(super) const SAVED: &[Operation] = &[
    Operation::new(
        "GET",
        "Prompts, presets and shared chats that a team keeps",
        OBJECTS,
        || get(saved),
    )
    .asking(schema::<WhichSaved>),
    Operation::new("POST", "Keep one more, or a version of one", OBJECT, || {
        post(save)
    })
    .with(schema::<NewSaved>),
];

pub(super) const SAVED_ONE: &[Operation] = &[
    Operation::new("GET", "One of the things that a team keeps", OBJECT, || {
        get(saved_body)
    }),
    Operation::new(
        "DELETE",
        "Delete one of the things that a team keeps",
        DONE,
        || axum::routing::delete(delete_saved),
    ),
];

pub(super) const OPERATIONS: &[Operation] = &[Operation::new(
    "GET",
    "Engines, queues, pages, memory and the last requests",
    OBJECT,
    || get(operations),
)];

pub(super) async fn me(managing: Managing) -> Answer {
    check_scope(&managing.caller, KeyScope::Admin)?;
    let Managing { app, caller, .. } = &managing;
    let teams = app.accounts.memberships(&caller.person).await.map_err(failed)?;
    let team = |team: &MembershipInfo| {
        json!({
            "name": team.team, "role": team.role, "tier": team.terms.tier, "enabled": !team.terms.is_disabled,
            "projects": team.projects,
        })
    };
    let (mail, links) = app.accounts.identities(&caller.person).await.map_err(failed)?;
    let link = |link: &IdentityInfo| {
        let mut providers = app.providers.iter();
        let label = providers.find(|of| of.issuer == link.issuer).map(|of| &of.label);
        json!({
            "issuer": link.issuer, "provider": label, "mail": link.mail, "linked_at": link.linked_at.as_secs(),
        })
    };
    ok(json!({
        "mail": mail, "identities": links.iter().map(link).collect::<Vec<_>>(),
        "person": caller.person.name, "operator": managing.is_operator,
        "teams": teams.iter().map(team).collect::<Vec<_>>(),
        "default_project": format!("{}/{}", caller.team.name, caller.project.name),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// The models that a team may ask, with what the catalogue says of them.
pub(super) async fn models(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.team_member(&team, KeyScope::ReadModels).await?;
    let app = &managing.app;
    let teams = app.accounts.teams().await.map_err(failed)?;
    let allowed = teams
        .into_iter()
        .find(|info| info.name == team)
        .and_then(|info| info.terms.allowed_models);
    let (catalogue, now) = (
        app.accounts.catalogue().await.map_err(failed)?,
        app.accounts.now(),
    );
    let down: Vec<&str> = app.models.down().collect();
    let mut shown = Vec::new();
    for card in app.models.models() {
        let entry = catalogue.model(&card.id);
        let stage = entry.map_or(Stage::Available, |entry| entry.stage(now));
        let is_allowed = allowed.as_ref().is_none_or(|list| list.contains(&card.id));
        if stage == Stage::Retired || !is_allowed {
            continue;
        }
        let price = catalogue.price(&card.id, now);
        let mut model = entry.map_or_else(|| json!({}), |entry| json!(entry));
        model["id"] = json!(card.id);
        model["stage"] = json!(stage);
        model["up"] = json!(!down.contains(&card.id.as_str()));
        model["created"] = json!(card.created);
        model["owned_by"] = json!(card.owned_by);
        model["context_window"] = json!(card.n_context);
        model["parameters"] = json!(card.n_params);
        model["quantization"] = json!(card.quantization);
        let takes_adapters = app.models.adapters(&card.id).is_some();
        model["lora_rank"] = json!(if takes_adapters {
            catalogue.lora_rank(&card.id)
        } else {
            0
        });
        model["price"] = json!({
            "input_usd": price.input.to_string(), "cached_input_usd": price.cached_input.to_string(),
            "output_usd": price.output.to_string(), "version": price.version,
        });
        shown.push(model);
    }
    ok(list(shown.into_iter()))
}

pub(super) async fn team_caps(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.team_member(&team, KeyScope::ReadUsage).await?;
    let caps = managing.app.accounts.team_caps(&team).await.map_err(refused)?;
    ok(list(caps.iter().map(super::money::cap_shown)))
}

/// Only whoever may say how this member of the team signs in: operators, and administrators of all that they can reach.
async fn may_let_in(managing: &Managing, team: &str, person: &str) -> Result<(), ApiError> {
    managing.team_admin(team).await?;
    let accounts = &managing.app.accounts;
    let members = accounts.members(team).await.map_err(refused)?;
    if !members.iter().any(|member| member.person == person) {
        return Err(ApiError::not_found("There is nobody of this name in the team"));
    }
    if !managing.is_operator {
        let own = accounts
            .memberships(&managing.caller.person)
            .await
            .map_err(failed)?;
        let administered = own.into_iter().filter(|team| team.role == "admin");
        let administered: Vec<_> = administered.map(|team| team.team).collect();
        if !accounts.is_only_in(person, &administered).await.map_err(failed)? {
            return Err(ApiError::not_permitted(
                "Only an operator may do this: the person is in other teams as well, or has signed in already",
            ));
        }
    }
    Ok(())
}

/// A link with which somebody of the team chooses a password.
pub(super) async fn invite(Path((team, person)): Parts<(String, String)>, managing: Managing) -> Answer {
    may_let_in(&managing, &team, &person).await?;
    let accounts = &managing.app.accounts;
    let token = accounts
        .invite(&managing.actor(), &person)
        .await
        .map_err(refused)?;
    ok(
        json!({"person": person, "token": token.expose(), "path": format!("/console/welcome#{}", token.expose())}),
    )
}

/// A person's mail address.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMail {
    mail: Option<String>,
}

pub(super) async fn set_mail(Path((team, person)): Parts<(String, String)>, managing: Managing) -> Answer {
    may_let_in(&managing, &team, &person).await?;
    let (app, actor, NewMail { mail }) = managing.body().await?;
    let set = app.accounts.set_mail(&actor, &person, mail.as_deref()).await;
    set.map_err(refused)?;
    done()
}

fn shown(saved: &SavedInfo) -> Value {
    json!({
        "id": saved.id, "kind": saved.kind.name(), "name": saved.name, "version": saved.version,
        "person": saved.person, "created_at": saved.created_at.as_secs(),
    })
}

async fn own_team(managing: &Managing, name: &str) -> Result<Team, ApiError> {
    managing.team_member(name, KeyScope::Admin).await?;
    let teams = managing.app.accounts.teams().await.map_err(failed)?;
    let found = teams.into_iter().find(|team| team.name == name);
    let team = found.ok_or_else(|| ApiError::not_found("There is no team of this name that you are in"))?;
    Ok(Team {
        id: team.id,
        name: team.name,
    })
}

/// Which kind of things that a team keeps.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichSaved {
    kind: String,
}

pub(super) async fn saved(Path(team): Parts<String>, managing: Managing) -> Answer {
    let team = own_team(&managing, &team).await?;
    let WhichSaved { kind } = managing.query()?;
    let kind = named("kind", &kind, SavedKind::from_name)?;
    let saved = managing.app.accounts.saved(&team, kind).await.map_err(failed)?;
    ok(list(saved.iter().map(shown)))
}

/// A thing to keep.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSaved {
    kind: String,
    name: String,
    body: Value,
}

pub(super) async fn save(Path(team): Parts<String>, managing: Managing) -> Answer {
    let team = own_team(&managing, &team).await?;
    let person = managing.caller.person.clone();
    let (app, _, NewSaved { kind, name, body }) = managing.body_up_to(2 << 20).await?;
    let kind = named("kind", &kind, SavedKind::from_name)?;
    let kept = app
        .accounts
        .save(&team, &person, kind, &name, &body.to_string())
        .await;
    ok(shown(&kept.map_err(refused)?))
}

pub(super) async fn saved_body(Path((team, id)): Parts<(String, String)>, managing: Managing) -> Answer {
    let team = own_team(&managing, &team).await?;
    let found = managing
        .app
        .accounts
        .saved_body(&team, &id)
        .await
        .map_err(failed)?;
    let (info, body) = found.ok_or_else(|| ApiError::not_found("The team keeps nothing of this name"))?;
    let mut answer = shown(&info);
    answer["body"] = serde_json::from_str(&body).unwrap_or_default();
    ok(answer)
}

pub(super) async fn delete_saved(Path((team, id)): Parts<(String, String)>, managing: Managing) -> Answer {
    let team = own_team(&managing, &team).await?;
    let was_there = managing
        .app
        .accounts
        .delete_saved(&team, &id)
        .await
        .map_err(failed)?;
    if was_there {
        return done();
    }
    Err(ApiError::not_found("The team keeps nothing of this name"))
}

/// How the server is doing. Counts only grow; whoever asks twice sees rates.
pub(super) async fn operations(managing: Managing) -> Answer {
    managing.operator()?;
    let app = &managing.app;
    let down: Vec<&str> = app.models.down().collect();
    let stats = app.models.stats();
    let model = |card: &tokenmill_inference::ModelCard| {
        let of = stats
            .iter()
            .find(|(name, _)| *name == card.id)
            .map(|(_, stats)| stats);
        let mut shown = json!({
            "id": card.id, "up": !down.contains(&card.id.as_str()), "quantization": card.quantization,
            "parameters": card.n_params, "context_window": card.n_context,
            "adapters": app.models.adapters(&card.id).map(tokenmill_inference::Adapters::n_resident),
        });
        if let Some(of) = of {
            shown["stats"] = json!({
                "running": of.n_running, "waiting": of.n_waiting, "pages_used": of.n_pages_used,
                "pages_cached": of.n_pages_cached, "pages_free": of.n_pages_free, "steps": of.n_steps,
                "prompt_tokens": of.n_prompt_tokens, "cached_tokens": of.n_cached_tokens,
                "generated_tokens": of.n_generated_tokens,
            });
        }
        shown
    };
    let servers = app.accounts.servers().await.map_err(failed)?;
    let server = |server: &tokenmill_accounts::ServerInfo| {
        json!({
            "id": server.id, "started_at": server.started_at.as_secs(), "heard_at": server.heard_at.as_secs(),
            "lent_usd": server.lent.to_string(),
        })
    };
    ok(json!({
        "at_ms": app.accounts.now().as_millis(), "uptime_s": app.recent.uptime_s(),
        "in_flight": app.in_flight.total(), "memory_bytes": memory_bytes(),
        "draining": app.is_draining.load(std::sync::atomic::Ordering::Relaxed),
        "models": app.models.models().map(model).collect::<Vec<_>>(),
        "servers": servers.iter().map(server).collect::<Vec<_>>(),
        "requests": app.recent.latest(),
    }))
}

/// The memory that the process holds, where the system tells.
fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
