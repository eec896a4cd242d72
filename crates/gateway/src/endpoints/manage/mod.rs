//! The management API under `/api/v1`: what the commands do, for programs. [`MANAGE_ROUTES`] is the one list.
//!
//! It needs the session of somebody who has signed in to the console, or a key with the scope `admin` (reading usage and balance: `usage:read`). An operator's key may do everything;
//! a team's administrator may change the team's members, projects, and the caps of its projects; everybody their own keys.

mod console;
mod keys;
mod money;
mod reports;
mod teams;

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequest, Path, Request};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokenmill_accounts::{Caller, KeyError, KeyScope, ManageError, Nanos, StoreError, Timestamp};

use crate::App;
use crate::admission::{check_scope, presented_key};
use crate::body::read_json;
use crate::error::ApiError;

/// Bytes of a body.
const MAX_BODY_BYTES: usize = 256 << 10;

/// One path of the management API.
pub struct ManageRoute {
    /// In axum's notation.
    pub path: &'static str,
    /// The methods that it takes.
    pub methods: &'static str,
    /// What it is for, in a line.
    pub summary: &'static str,
    pub(crate) handler: fn() -> MethodRouter<Arc<App>>,
}

/// Every path of the management API.
pub const MANAGE_ROUTES: &[ManageRoute] = &[
    ManageRoute {
        path: "/api/v1/me",
        methods: "GET",
        summary: "Who asks, with their teams and projects",
        handler: || get(console::me),
    },
    ManageRoute {
        path: "/api/v1/teams",
        methods: "GET, POST",
        summary: "List teams; make one",
        handler: || get(teams::list).post(teams::create),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}",
        methods: "PUT",
        summary: "Change a team: tier, whether it is enabled, the models that it may ask",
        handler: || put(teams::change),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/members",
        methods: "GET",
        summary: "List a team's people",
        handler: || get(teams::members),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/members/{person}",
        methods: "PUT, DELETE",
        summary: "Put a person into a team with a role; take them out",
        handler: || put(teams::add_member).delete(teams::remove_member),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/members/{person}/invitation",
        methods: "POST",
        summary: "Make a link with which a person chooses a password for the console",
        handler: || post(console::invite),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/models",
        methods: "GET",
        summary: "The models that a team may ask, with prices, stages and dates",
        handler: || get(console::models),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/caps",
        methods: "GET",
        summary: "The spending caps that hold for a team, and what is spent of them",
        handler: || get(console::team_caps),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/saved",
        methods: "GET, POST",
        summary: "Prompts, presets and shared chats that a team keeps; keep one more, or a version of one",
        handler: || get(console::saved).post(console::save),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/saved/{id}",
        methods: "GET, DELETE",
        summary: "One of the things that a team keeps; delete it",
        handler: || get(console::saved_body).delete(console::delete_saved),
    },
    ManageRoute {
        path: "/api/v1/operations",
        methods: "GET",
        summary: "Engines, queues, pages, memory and the last requests",
        handler: || get(console::operations),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/projects",
        methods: "GET, POST",
        summary: "List a team's projects; make one",
        handler: || get(teams::projects).post(teams::create_project),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/projects/{project}/limits",
        methods: "PUT",
        summary: "Set all limits of a project",
        handler: || put(teams::limit_project),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/credit",
        methods: "GET, POST",
        summary: "A team's balance; add, grant or refund credit",
        handler: || get(money::credit).post(money::change_credit),
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/usage",
        methods: "GET",
        summary: "What a team used, by day, model, project or key; JSON or CSV",
        handler: || get(reports::usage),
    },
    ManageRoute {
        path: "/api/v1/keys",
        methods: "GET, POST",
        summary: "List keys; make one",
        handler: || get(keys::list).post(keys::create),
    },
    ManageRoute {
        path: "/api/v1/keys/{id}",
        methods: "DELETE",
        summary: "Revoke a key; with ?cut_streams=true end its running streams, too",
        handler: || delete(keys::revoke),
    },
    ManageRoute {
        path: "/api/v1/keys/{id}/rotate",
        methods: "POST",
        summary: "Give a key a new secret; the old one works on for a while",
        handler: || post(keys::rotate),
    },
    ManageRoute {
        path: "/api/v1/caps",
        methods: "GET, PUT",
        summary: "List spending caps; set one or take it away",
        handler: || get(money::caps).put(money::set_cap),
    },
    ManageRoute {
        path: "/api/v1/prices",
        methods: "GET, POST",
        summary: "List prices; add a version",
        handler: || get(money::prices).post(money::set_price),
    },
    ManageRoute {
        path: "/api/v1/models",
        methods: "GET, PUT",
        summary: "The catalogue; add a version of an entry",
        handler: || get(reports::catalogue).put(reports::set_model),
    },
    ManageRoute {
        path: "/api/v1/audit",
        methods: "GET",
        summary: "Administrative changes, the latest first",
        handler: || get(reports::audit),
    },
    ManageRoute {
        path: "/api/v1/ledger/verify",
        methods: "GET",
        summary: "The proof of the ledger, computed anew",
        handler: || get(reports::verify),
    },
];

/// A request of the management API: who asks, and their standing on this server.
pub(crate) struct Managing {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
    is_operator: bool,
    is_session: bool,
    headers: HeaderMap,
    uri: Uri,
    /// Behind a lock only so that it may be looked at from several threads, which nobody does.
    body: Mutex<Body>,
}

impl FromRequest<Arc<App>> for Managing {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Managing, ApiError> {
        let caller = request.extensions().get::<Caller>().cloned();
        let caller =
            caller.ok_or_else(|| ApiError::server_error("a layer in front of the endpoint is missing"))?;
        let is_operator = app.accounts.is_operator(&caller.person).await.map_err(failed)?;
        let is_session = presented_key(request.headers()).is_ok_and(str::is_empty);
        let (parts, body) = request.into_parts();
        Ok(Managing {
            app: app.clone(),
            caller,
            is_operator,
            is_session,
            headers: parts.headers,
            uri: parts.uri,
            body: Mutex::new(body),
        })
    }
}

impl Managing {
    /// Who makes a change, for the audit log.
    fn actor(&self) -> String {
        if self.is_session {
            return format!("{} in the console", self.caller.person.name);
        }
        format!("{} with key {}", self.caller.person.name, self.caller.key_id)
    }

    /// Only operators.
    fn operator(&self) -> Result<(), ApiError> {
        check_scope(&self.caller, KeyScope::Admin)?;
        if self.is_operator {
            return Ok(());
        }
        Err(ApiError::not_permitted(
            "Only an operator of this server may do this",
        ))
    }

    /// Operators, and administrators of this team.
    async fn team_admin(&self, team: &str) -> Result<(), ApiError> {
        check_scope(&self.caller, KeyScope::Admin)?;
        if self.is_operator || self.role(team).await?.as_deref() == Some("admin") {
            return Ok(());
        }
        Err(ApiError::not_permitted(
            "Only an administrator of this team may do this",
        ))
    }

    /// Operators, and members of this team, whose key is good for `scope` or for administration.
    async fn team_member(&self, team: &str, scope: KeyScope) -> Result<(), ApiError> {
        if !self.caller.terms.has_scope(scope) {
            check_scope(&self.caller, KeyScope::Admin)?;
        }
        if self.is_operator || self.role(team).await?.is_some() {
            return Ok(());
        }
        // Whoever is not in a team must not learn which teams there are.
        Err(ApiError::not_found(
            "There is no team of this name that you are in",
        ))
    }

    async fn role(&self, team: &str) -> Result<Option<String>, ApiError> {
        let members = match self.app.accounts.members(team).await {
            Err(ManageError::Unknown { .. }) => return Ok(None),
            members => members.map_err(refused)?,
        };
        let own = members
            .into_iter()
            .find(|member| member.person == self.caller.person.name);
        Ok(own.map(|member| member.role))
    }

    /// The body, which may have no field that is not known.
    async fn body<T: DeserializeOwned>(self) -> Result<(Arc<App>, String, T), ApiError> {
        self.body_up_to(MAX_BODY_BYTES).await
    }

    async fn body_up_to<T: DeserializeOwned>(
        self,
        limit_bytes: usize,
    ) -> Result<(Arc<App>, String, T), ApiError> {
        let actor = self.actor();
        let body = self.body.into_inner().unwrap_or_else(PoisonError::into_inner);
        let patience = std::time::Duration::from_secs(self.app.options.body_timeout_s);
        let body = read_json(&self.headers, body, limit_bytes, patience).await?;
        let value = serde_json::from_slice(&body);
        let value = value.map_err(|error| ApiError::malformed("invalid_request", error.to_string()))?;
        Ok((self.app, actor, value))
    }

    /// The question after the path, which may have no part that is not known.
    fn query<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let query = axum::extract::Query::<T>::try_from_uri(&self.uri);
        let fault = |error: axum::extract::rejection::QueryRejection| {
            ApiError::malformed("invalid_request", error.body_text())
        };
        Ok(query.map_err(fault)?.0)
    }
}

type Answer = Result<Response, ApiError>;
/// The parts of the path.
type Parts<T> = Path<T>;

fn ok(value: Value) -> Answer {
    Ok(axum::Json(value).into_response())
}

fn done() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

// By value, as `map_err` gives it.
#[allow(clippy::needless_pass_by_value)]
fn failed(error: StoreError) -> ApiError {
    ApiError::server_error(error.to_string())
}

fn refused(error: ManageError) -> ApiError {
    let message = error.to_string();
    match error {
        ManageError::Unknown { .. } => ApiError::not_found(message),
        ManageError::Exists { .. } => ApiError::exists(message),
        ManageError::Invalid(_) => ApiError::malformed("invalid_value", message),
        ManageError::NotEnough { .. } => ApiError::malformed("not_enough_credit", message),
        ManageError::Store(error) => failed(error),
    }
}

fn refused_key(error: KeyError) -> ApiError {
    let message = error.to_string();
    match error {
        KeyError::UnknownKey(_) | KeyError::UnknownPerson(_) | KeyError::NoPeople => {
            ApiError::not_found(message)
        }
        KeyError::BadName | KeyError::BadTerms => ApiError::malformed("invalid_value", message),
        KeyError::Store(error) => failed(error),
    }
}

fn dollars(param: &str, text: &str) -> Result<Nanos, ApiError> {
    Nanos::parse_dollars(text).ok_or_else(|| {
        let message = format!("'{param}' must be dollars in a text, as in \"12.50\", with up to nine places");
        ApiError::parameter("invalid_value", param, message)
    })
}

fn day(param: &str, text: &str) -> Result<Timestamp, ApiError> {
    Timestamp::parse_day(text).ok_or_else(|| {
        let message = format!("'{param}' must be a day, as in \"2026-12-31\"");
        ApiError::parameter("invalid_value", param, message)
    })
}

fn named<T>(param: &str, text: &str, find: impl Fn(&str) -> Option<T>) -> Result<T, ApiError> {
    find(text).ok_or_else(|| {
        let message = format!("'{param}' cannot be {text:?}");
        ApiError::parameter("invalid_value", param, message)
    })
}

fn list(data: impl Iterator<Item = Value>) -> Value {
    json!({"object": "list", "data": data.collect::<Vec<_>>()})
}

fn content_type(headers: &mut HeaderMap, value: &'static str) {
    headers.insert(
        axum::http::header::CONTENT_TYPE,
        axum::http::HeaderValue::from_static(value),
    );
}
