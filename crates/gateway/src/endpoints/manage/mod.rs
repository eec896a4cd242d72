//! The management API under `/api/v1`: what the commands do, for programs. [`MANAGE_ROUTES`] is the one list.
//!
//! It needs the session of somebody who has signed in to the console, or a key with the scope `admin` (reading usage and balance: `usage:read`). An operator's key may do everything;
//! a team's administrator may change the team's members, projects, and the caps of its projects; everybody their own keys.

mod artifacts;
mod console;
mod keys;
mod money;
mod reports;
mod teams;

pub(crate) use artifacts::UPLOADS_AT_ONCE;

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequest, Path, Request};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokenmill_accounts::{Caller, KeyError, KeyScope, ManageError, Nanos, StoreError, Timestamp};

use crate::App;
use crate::admission::{check_scope, presented_key};
use crate::body::read_json;
use crate::error::ApiError;
use crate::openapi::{Reply, Shape};

/// Bytes of a body.
const MAX_BODY_BYTES: usize = 256 << 10;

/// One path of the management API.
pub struct ManageRoute {
    /// In axum's notation.
    pub path: &'static str,
    /// What can be done there.
    pub operations: &'static [Operation],
}

/// What one method of a path does.
pub struct Operation {
    /// The method.
    pub method: &'static str,
    /// What it is for, in a line.
    pub summary: &'static str,
    /// The type that the question after the path is read into.
    pub(crate) query: Option<Shape>,
    /// The type that the body is read into.
    pub(crate) body: Option<Shape>,
    /// Whether the body is a form with files, and no JSON.
    pub(crate) is_form: bool,
    /// What comes back where all is well.
    pub(crate) replies: &'static [Reply],
    pub(crate) handler: fn() -> MethodRouter<Arc<App>>,
}

impl Operation {
    const fn new(
        method: &'static str,
        summary: &'static str,
        replies: &'static [Reply],
        handler: fn() -> MethodRouter<Arc<App>>,
    ) -> Operation {
        Operation {
            method,
            summary,
            query: None,
            body: None,
            is_form: false,
            replies,
            handler,
        }
    }

    const fn asking(self, query: Shape) -> Operation {
        Operation {
            query: Some(query),
            ..self
        }
    }

    const fn with(self, body: Shape) -> Operation {
        Operation {
            body: Some(body),
            ..self
        }
    }

    const fn with_form(self, form: Shape) -> Operation {
        Operation {
            is_form: true,
            ..self.with(form)
        }
    }
}

/// The reply of what has nothing to say.
const DONE: &[Reply] = &[Reply::nothing()];

/// Every path of the management API.
pub const MANAGE_ROUTES: &[ManageRoute] = &[
    ManageRoute {
        path: "/api/v1/me",
        operations: console::ME,
    },
    ManageRoute {
        path: "/api/v1/teams",
        operations: teams::TEAMS,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}",
        operations: teams::TEAM,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/members",
        operations: teams::MEMBERS,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/members/{person}",
        operations: teams::MEMBER,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/members/{person}/invitation",
        operations: console::INVITATION,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/members/{person}/mail",
        operations: console::MAIL,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/models",
        operations: console::TEAM_MODELS,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/caps",
        operations: console::TEAM_CAPS,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/saved",
        operations: console::SAVED,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/saved/{id}",
        operations: console::SAVED_ONE,
    },
    ManageRoute {
        path: "/api/v1/operations",
        operations: console::OPERATIONS,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/projects",
        operations: teams::PROJECTS,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/projects/{project}/limits",
        operations: teams::LIMITS,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/credit",
        operations: money::CREDIT,
    },
    ManageRoute {
        path: "/api/v1/teams/{team}/usage",
        operations: reports::USAGE,
    },
    ManageRoute {
        path: "/api/v1/artifacts/{team}",
        operations: artifacts::TEAM_ARTIFACTS,
    },
    ManageRoute {
        path: "/api/v1/artifacts/{team}/{project}/{name}",
        operations: artifacts::ARTIFACT,
    },
    ManageRoute {
        path: "/api/v1/artifacts/{team}/{project}/{name}/versions/{version}",
        operations: artifacts::VERSION,
    },
    ManageRoute {
        path: "/api/v1/artifacts/{team}/{project}/{name}/aliases/{alias}",
        operations: artifacts::ALIAS,
    },
    ManageRoute {
        path: "/api/v1/keys",
        operations: keys::KEYS,
    },
    ManageRoute {
        path: "/api/v1/keys/{id}",
        operations: keys::KEY,
    },
    ManageRoute {
        path: "/api/v1/keys/{id}/rotate",
        operations: keys::ROTATE,
    },
    ManageRoute {
        path: "/api/v1/caps",
        operations: money::CAPS,
    },
    ManageRoute {
        path: "/api/v1/prices",
        operations: money::PRICES,
    },
    ManageRoute {
        path: "/api/v1/models",
        operations: reports::MODELS,
    },
    ManageRoute {
        path: "/api/v1/audit",
        operations: reports::AUDIT,
    },
    ManageRoute {
        path: "/api/v1/ledger/verify",
        operations: reports::VERIFY,
    },
];

/// A request of the management API: who asks, and their standing on this server.
pub(crate) struct Managing {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Arc<Caller>,
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
        let caller = request.extensions().get::<Arc<Caller>>().cloned();
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

fn ok(value: impl Serialize) -> Answer {
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
        ManageError::Configured(_) => ApiError::configured(message),
        ManageError::OtherBase { .. } => ApiError::malformed("artifact_base_model_differs", message),
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
        KeyError::Fixed(_) => ApiError::malformed("key_cannot_be_changed", message),
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

/// All of them.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "List_of_{T}")]
struct List<T> {
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    data: Vec<T>,
}

fn list<T>(data: impl Iterator<Item = T>) -> List<T> {
    List {
        object: "list",
        data: data.collect(),
    }
}

fn content_type(headers: &mut HeaderMap, value: &'static str) {
    headers.insert(
        axum::http::header::CONTENT_TYPE,
        axum::http::HeaderValue::from_static(value),
    );
}
