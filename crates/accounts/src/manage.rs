//! What administrators do: teams, members, projects, limits, credit, caps, prices, the catalogue. Every change is written
//! to the audit log in the transaction that makes it, with who made it.

use serde_json::{Value as Json, json};

use crate::Accounts;
use crate::catalogue::{Catalogue, ModelEntry};
use crate::clock::{Period, Timestamp};
use crate::limits::{CapPurses, ProjectLimits, Rates, Scope, TeamTerms, Tier};
use crate::money::{Nanos, Price};
use crate::project::is_name;
use crate::store::StoreError;
use crate::store::credit::CreditChange;
use crate::store::manage::Change;

const MAX_TEXT_CHARS: usize = 500;
const MAX_LIST: usize = 1_000;

/// A change that cannot be made, or a question that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// Something that was named is not there.
    #[error("there is no {what} called {name:?}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// As it was named.
        name: String,
    },
    /// Something that was to be made is there.
    #[error("there is a {what} called {name:?} already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// As it was named.
        name: String,
    },
    /// The configuration file speaks for it.
    #[error("{0} is set in the configuration file: change it there and start the server again")]
    Configured(String),
    /// A version of an artifact is for another model than those before it.
    #[error(
        "the versions of {artifact:?} change the model {base_model:?}; give adapters of other models another name"
    )]
    OtherBase {
        /// The artifact.
        artifact: String,
        /// The model of its versions.
        base_model: String,
    },
    /// A value that cannot be taken.
    #[error("{0}")]
    Invalid(String),
    /// More credit is to be taken than there is.
    #[error("{team:?} has {available} USD of credit that is neither spent nor held by running requests")]
    NotEnough {
        /// Whose credit.
        team: String,
        /// What could be taken.
        available: Nanos,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A team in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TeamInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub terms: TeamTerms,
    /// People in it.
    pub n_members: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What is to change about a team; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct TeamChange {
    /// What it has agreed on.
    pub tier: Option<Tier>,
    /// Whether it is switched off.
    pub is_disabled: Option<bool>,
    /// The only models that it may ask; `Some(None)` is all.
    pub allowed_models: Option<Option<Vec<String>>>,
}

/// A person in a team.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberInfo {
    /// Their name.
    pub person: String,
    /// `admin` or `member`.
    pub role: String,
    /// Whether they may change everything on this server.
    pub is_operator: bool,
    /// The address by which an identity provider's first sign-in finds them.
    pub mail: Option<String>,
    /// Whether they have signed in with an identity provider.
    pub is_linked: bool,
}

/// A team that somebody is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MembershipInfo {
    /// Its name.
    pub team: String,
    /// `admin` or `member`.
    pub role: String,
    /// What it may do.
    pub terms: TeamTerms,
    /// The names of its projects.
    pub projects: Vec<String>,
}

/// A project in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub limits: ProjectLimits,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How credit comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreditKind {
    /// Paid for.
    Purchase,
    /// Given.
    Grant,
}

/// Credit that comes in.
#[derive(Clone, Debug)]
pub struct CreditRequest {
    /// How.
    pub kind: CreditKind,
    /// How much.
    pub amount: Nanos,
    /// Names it; the same one twice changes nothing the second time.
    pub reference: String,
    /// For people.
    pub note: String,
    /// What is not used by then is taken back.
    pub expires_at: Option<Timestamp>,
}

/// A team's credit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Balance {
    /// Everything that came in and was not taken back.
    pub credit: Nanos,
    /// What requests have cost.
    pub spent: Nanos,
    /// What servers hold for requests that run or may come.
    pub lent: Nanos,
}

impl Balance {
    /// What is left, what is held included.
    pub fn left(&self) -> Nanos {
        self.credit - self.spent
    }
}

/// One change of a team's credit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreditInfo {
    /// `purchase`, `grant`, `refund`, `expire` or `adjust`.
    pub kind: String,
    /// Negative where it went out.
    pub amount: Nanos,
    /// Its name.
    pub reference: String,
    /// For people.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// What is not used by then is taken back.
    pub expires_at: Option<Timestamp>,
}

/// A cap and how far it is used in its current window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapInfo {
    /// Whose spending.
    pub scope: Scope,
    /// The team, `team/project`, or the key's id.
    pub target: String,
    /// Over how long.
    pub period: Period,
    /// At most.
    pub limit: Nanos,
    /// Spent so far in this window.
    pub spent: Nanos,
}

/// A server that works, or has worked, on this database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerInfo {
    /// The name of its data directory.
    pub id: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last told the database something.
    pub heard_at: Timestamp,
    /// Credit that it was lent and has not told the end of.
    pub lent: Nanos,
}

/// A version of a price in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PriceInfo {
    /// Which model.
    pub model: String,
    /// What it costs.
    pub price: Price,
    /// From when on.
    pub valid_from: Timestamp,
}

/// One administrative change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditInfo {
    /// Counts up from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What, as in `team.create`.
    pub action: String,
    /// To what.
    pub target: String,
    /// The values, as JSON.
    pub detail: String,
}

impl Accounts {
    pub(crate) fn change<'a>(
        &self,
        actor: &'a str,
        action: &'a str,
        target: &'a str,
        detail: &Json,
    ) -> Change<'a> {
        Change {
            actor,
            action,
            target,
            detail: detail.to_string(),
            now: self.now(),
        }
    }

    /// Makes a team, and its project `inference`.
    pub async fn create_team(&self, actor: &str, name: &str, tier: Tier) -> Result<(), ManageError> {
        check_name("team", name)?;
        let change = self.change(actor, "team.create", name, &json!({"tier": tier}));
        self.books().create_team(&change, tier).await
    }

    /// Every team, by name.
    pub async fn teams(&self) -> Result<Vec<TeamInfo>, StoreError> {
        self.books().teams().await
    }

    /// Changes a team.
    pub async fn change_team(&self, actor: &str, name: &str, change: &TeamChange) -> Result<(), ManageError> {
        if let Some(Some(models)) = &change.allowed_models {
            check_list("allowed models", models.len())?;
        }
        let detail = json!({
            "tier": change.tier, "disabled": change.is_disabled, "allowed_models": change.allowed_models,
        });
        let audited = self.change(actor, "team.change", name, &detail);
        self.books().change_team(&audited, change).await
    }

    /// The people of a team, by name.
    pub async fn members(&self, team: &str) -> Result<Vec<MemberInfo>, ManageError> {
        self.books().members(team).await
    }

    /// The teams that a person is in, by name.
    pub async fn memberships(&self, person: &crate::Person) -> Result<Vec<MembershipInfo>, StoreError> {
        self.books().memberships(&person.id).await
    }

    /// Whether a person may change everything on this server.
    pub async fn is_operator(&self, person: &crate::Person) -> Result<bool, StoreError> {
        self.books().is_operator(&person.id).await
    }

    /// Puts a person into a team, or changes their role in it. Whoever is not known yet comes into being, with this team as
    /// their default.
    pub async fn add_member(
        &self,
        actor: &str,
        team: &str,
        person: &str,
        is_admin: bool,
    ) -> Result<(), ManageError> {
        check_name("person", person)?;
        let role = if is_admin { "admin" } else { "member" };
        let change = self.change(
            actor,
            "member.add",
            team,
            &json!({"person": person, "role": role}),
        );
        self.books().add_member(&change, person, role).await
    }

    /// Takes a person out of a team. Their keys stay, and no longer reach it.
    pub async fn remove_member(&self, actor: &str, team: &str, person: &str) -> Result<(), ManageError> {
        let change = self.change(actor, "member.remove", team, &json!({"person": person}));
        self.books().remove_member(&change, person).await
    }

    /// Makes a project.
    pub async fn create_project(&self, actor: &str, team: &str, name: &str) -> Result<(), ManageError> {
        check_name("project", name)?;
        let target = format!("{team}/{name}");
        let change = self.change(actor, "project.create", &target, &Json::Null);
        self.books().create_project(&change, team, name).await
    }

    /// The projects of a team, by name.
    pub async fn projects(&self, team: &str) -> Result<Vec<ProjectInfo>, ManageError> {
        self.books().projects(team).await
    }

    /// Sets all limits of a project.
    pub async fn limit_project(
        &self,
        actor: &str,
        team: &str,
        name: &str,
        limits: ProjectLimits,
    ) -> Result<(), ManageError> {
        let Rates {
            requests_per_minute,
            tokens_per_minute,
        } = limits.rates;
        for limit in [limits.concurrency, requests_per_minute, tokens_per_minute] {
            if limit == Some(0) {
                let fault = "a limit is at least 1; to let nobody ask, switch the team off";
                return Err(ManageError::Invalid(fault.to_owned()));
            }
        }
        let target = format!("{team}/{name}");
        let change = self.change(actor, "project.limit", &target, &json!(limits));
        self.books().limit_project(&change, team, name, limits).await
    }

    /// Adds credit. The same reference again changes nothing; with another amount it is refused.
    pub async fn add_credit(
        &self,
        actor: &str,
        team: &str,
        request: &CreditRequest,
    ) -> Result<(), ManageError> {
        check_texts(&request.reference, &request.note)?;
        check_amount(request.amount)?;
        if request.expires_at.is_some_and(|end| end <= self.now()) {
            let fault = "credit must expire in the future, or not at all";
            return Err(ManageError::Invalid(fault.to_owned()));
        }
        let kind = match request.kind {
            CreditKind::Purchase => "purchase",
            CreditKind::Grant => "grant",
        };
        self.change_credit(actor, team, kind, request).await
    }

    /// Takes credit back that is neither spent nor held.
    pub async fn refund_credit(
        &self,
        actor: &str,
        team: &str,
        amount: Nanos,
        reference: &str,
        note: &str,
    ) -> Result<(), ManageError> {
        check_texts(reference, note)?;
        check_amount(amount)?;
        let request = CreditRequest {
            kind: CreditKind::Purchase,
            amount: Nanos(-amount.0),
            reference: reference.to_owned(),
            note: note.to_owned(),
            expires_at: None,
        };
        self.change_credit(actor, team, "refund", &request).await
    }

    async fn change_credit(
        &self,
        actor: &str,
        team: &str,
        kind: &str,
        request: &CreditRequest,
    ) -> Result<(), ManageError> {
        let action = format!("credit.{kind}");
        let detail = json!({"amount_usd": request.amount.to_string(), "reference": request.reference});
        let change = self.change(actor, &action, team, &detail);
        let credit = CreditChange {
            kind,
            amount: request.amount,
            reference: &request.reference,
            note: &request.note,
            expires_at: request.expires_at,
        };
        self.books().change_credit(&change, &credit).await
    }

    /// A team's credit and its changes, the latest first, at most `n`.
    pub async fn credit(&self, team: &str, n: u32) -> Result<(Balance, Vec<CreditInfo>), ManageError> {
        self.books().credit(team, n).await
    }

    /// Takes back what has expired and is unused. Returns how many grants are done with.
    pub async fn expire_credit(&self) -> Result<u64, StoreError> {
        self.books().expire(self.now()).await
    }

    /// Sets a cap, or with `None` takes it away; a team without one has its tier's.
    pub async fn set_cap(
        &self,
        actor: &str,
        (scope, target): (Scope, &str),
        period: Period,
        limit: Option<Nanos>,
    ) -> Result<CapPurses, ManageError> {
        if limit.is_some_and(|limit| limit.0 < 0) {
            return Err(ManageError::Invalid("a cap is 0 USD or more".to_owned()));
        }
        let limit_usd = limit.map(|limit| limit.to_string());
        let detail = json!({"scope": scope, "period": period, "limit_usd": limit_usd});
        let change = self.change(actor, "cap.set", target, &detail);
        self.books().set_cap(&change, scope, period, limit).await
    }

    /// Every cap that is set.
    pub async fn caps(&self) -> Result<Vec<CapInfo>, StoreError> {
        self.books().caps(self.now()).await
    }

    /// The caps that hold for one team: its own, or its tier's, and those of its projects.
    pub async fn team_caps(&self, team: &str) -> Result<Vec<CapInfo>, ManageError> {
        self.books().team_caps(team, self.now()).await
    }

    /// The servers of this database.
    pub async fn servers(&self) -> Result<Vec<ServerInfo>, StoreError> {
        self.books().servers().await
    }

    /// Takes back what a server was lent that is gone for good: with its data directory, what it has not told is lost.
    /// Should it still run, it is turned away and admits nothing more.
    pub async fn release_server(&self, actor: &str, id: &str) -> Result<(), ManageError> {
        let change = self.change(actor, "server.release", id, &Json::Null);
        self.books().release_server(&change).await
    }

    /// Adds a version of a model's price, from a moment on that has not been yet. `price.version` is not looked at.
    pub async fn set_price(
        &self,
        actor: &str,
        model: &str,
        price: Price,
        valid_from: Option<Timestamp>,
    ) -> Result<i64, ManageError> {
        self.check_price_is_free(model).await?;
        self.put_price(actor, model, price, valid_from).await
    }

    pub(crate) async fn put_price(
        &self,
        actor: &str,
        model: &str,
        price: Price,
        valid_from: Option<Timestamp>,
    ) -> Result<i64, ManageError> {
        if let Some(fault) = price.fault() {
            return Err(ManageError::Invalid(fault.to_owned()));
        }
        if model.is_empty() || model.chars().count() > MAX_TEXT_CHARS {
            return Err(ManageError::Invalid("the price needs a model's id".to_owned()));
        }
        let now = self.now();
        let from = valid_from.unwrap_or(now);
        if from < now {
            let fault = "a price cannot begin in the past: what was admitted under another price keeps it";
            return Err(ManageError::Invalid(fault.to_owned()));
        }
        let usd = |part: Nanos| part.to_string();
        let detail = json!({
            "input_usd": usd(price.input), "cached_input_usd": usd(price.cached_input),
            "output_usd": usd(price.output), "valid_from": from.to_string(),
        });
        let change = self.change(actor, "price.set", model, &detail);
        self.books().set_price(&change, price, from).await
    }

    /// Every version of every price.
    pub async fn prices(&self) -> Result<Vec<PriceInfo>, StoreError> {
        let catalogue = self.shared.db.catalogue().await?;
        let mut prices = Vec::new();
        for (model, versions) in &catalogue.prices {
            prices.extend(versions.iter().map(|(valid_from, price)| PriceInfo {
                model: model.clone(),
                price: *price,
                valid_from: *valid_from,
            }));
        }
        prices.sort_by(|a, b| (&a.model, a.valid_from).cmp(&(&b.model, b.valid_from)));
        Ok(prices)
    }

    /// Adds a version of a catalogue entry. An entry like the last one adds nothing.
    pub async fn set_model(&self, actor: &str, entry: &ModelEntry) -> Result<(), ManageError> {
        self.check_model_is_free(&entry.id).await?;
        self.put_model(actor, entry).await
    }

    pub(crate) async fn put_model(&self, actor: &str, entry: &ModelEntry) -> Result<(), ManageError> {
        if let Some(fault) = entry.fault() {
            return Err(ManageError::Invalid(fault));
        }
        let change = self.change(actor, "model.set", &entry.id, &json!(entry));
        self.books().set_model(&change, entry).await
    }

    /// The catalogue as the database has it now.
    pub async fn read_catalogue(&self) -> Result<Catalogue, StoreError> {
        self.shared.db.catalogue().await
    }

    /// The latest administrative changes, at most `n`, the last first.
    pub async fn audit(&self, n: u32) -> Result<Vec<AuditInfo>, StoreError> {
        self.books().audit(n).await
    }
}

pub(crate) fn check_name(what: &str, name: &str) -> Result<(), ManageError> {
    if is_name(name) {
        return Ok(());
    }
    Err(ManageError::Invalid(format!(
        "{name:?} cannot be the name of a {what}: 1 to 64 ASCII letters, digits, '.', '_' and '-', the first a letter or \
         a digit"
    )))
}

fn check_list(what: &str, n: usize) -> Result<(), ManageError> {
    if n > MAX_LIST {
        return Err(ManageError::Invalid(format!(
            "at most {MAX_LIST} {what} can be listed"
        )));
    }
    Ok(())
}

fn check_texts(reference: &str, note: &str) -> Result<(), ManageError> {
    let is_text = |text: &str| text.chars().count() <= MAX_TEXT_CHARS && !text.chars().any(char::is_control);
    if reference.is_empty() || !is_text(reference) || !is_text(note) {
        return Err(ManageError::Invalid(format!(
            "a reference has 1 to {MAX_TEXT_CHARS} characters and a note up to {MAX_TEXT_CHARS}, without control characters"
        )));
    }
    Ok(())
}

fn check_amount(amount: Nanos) -> Result<(), ManageError> {
    if amount <= Nanos::ZERO || amount > Nanos::dollars(1_000_000_000) {
        let fault = "an amount is over 0 and at most 1,000,000,000 USD";
        return Err(ManageError::Invalid(fault.to_owned()));
    }
    Ok(())
}
