//! What a team, a project or a key may do: which models, from where, how much money, how many requests.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::{Period, Timestamp};
use crate::money::Nanos;
use crate::network::Network;

/// What a team has agreed on; sets the cap of a team that has none of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// 100 USD a month.
    #[default]
    Free,
    /// 6,000 USD a month.
    Pro,
    /// 700,000 USD a year.
    Enterprise,
    /// No cap but those that are set.
    Unlimited,
}

impl Tier {
    /// Every tier.
    pub const ALL: [Tier; 4] = [Tier::Free, Tier::Pro, Tier::Enterprise, Tier::Unlimited];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Free => "free",
            Tier::Pro => "pro",
            Tier::Enterprise => "enterprise",
            Tier::Unlimited => "unlimited",
        }
    }

    /// The tier called `name`.
    pub fn from_name(name: &str) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// Its cap, for one period.
    pub fn cap(self) -> Option<(Period, Nanos)> {
        match self {
            Tier::Free => Some((Period::Month, Nanos::dollars(100))),
            Tier::Pro => Some((Period::Month, Nanos::dollars(6_000))),
            Tier::Enterprise => Some((Period::Year, Nanos::dollars(700_000))),
            Tier::Unlimited => None,
        }
    }
}

/// Whose spending a cap counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All of a team's.
    Team,
    /// One project's.
    Project,
    /// One key's, in whatever project.
    Key,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 3] = [Scope::Team, Scope::Project, Scope::Key];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Team => "team",
            Scope::Project => "project",
            Scope::Key => "key",
        }
    }

    /// The scope called `name`.
    pub fn from_name(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// How often and how much; `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    /// Requests within a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens within a minute, prompt and answer together.
    pub tokens_per_minute: Option<u32>,
}

/// What a key is good for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyScope {
    /// Asking models.
    Inference,
    /// Seeing which models there are.
    ReadModels,
    /// Seeing usage and balance.
    ReadUsage,
    /// Changing what its owner may change: the teams that they administer, and everything where they are an operator.
    Admin,
}

impl KeyScope {
    /// Every scope.
    pub const ALL: [KeyScope; 4] = [
        KeyScope::Inference,
        KeyScope::ReadModels,
        KeyScope::ReadUsage,
        KeyScope::Admin,
    ];
    /// What a key has that was made without saying more.
    pub const DEFAULT: [KeyScope; 3] = [KeyScope::Inference, KeyScope::ReadModels, KeyScope::ReadUsage];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            KeyScope::Inference => "inference",
            KeyScope::ReadModels => "models:read",
            KeyScope::ReadUsage => "usage:read",
            KeyScope::Admin => "admin",
        }
    }

    /// The scope called `name`.
    pub fn from_name(name: &str) -> Option<KeyScope> {
        KeyScope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// What a key may do beyond what its owner may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyTerms {
    /// What it is good for.
    pub scopes: Vec<KeyScope>,
    /// The only models that it may ask; `None` is all.
    pub allowed_models: Option<Vec<String>>,
    /// The only networks that it may come from; `None` is all.
    pub allowed_networks: Option<Vec<Network>>,
    /// How often.
    pub rates: Rates,
}

impl Default for KeyTerms {
    fn default() -> KeyTerms {
        KeyTerms {
            scopes: KeyScope::DEFAULT.to_vec(),
            allowed_models: None,
            allowed_networks: None,
            rates: Rates::default(),
        }
    }
}

impl KeyTerms {
    /// Whether it may come from `address`. Where the address is not known, only a key without a list may.
    pub fn allows_address(&self, address: Option<IpAddr>) -> bool {
        match (&self.allowed_networks, address) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(networks), Some(address)) => networks.iter().any(|network| network.contains(address)),
        }
    }
}

/// What a project may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ProjectLimits {
    /// Sequences in flight for one model; `None` is the server's own limit, which also bounds it.
    pub concurrency: Option<u32>,
    /// How often.
    #[serde(flatten)]
    pub rates: Rates,
}

/// What a team may do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TeamTerms {
    /// What it has agreed on.
    pub tier: Tier,
    /// Switched off.
    pub is_disabled: bool,
    /// The only models that it may ask; `None` is all.
    pub allowed_models: Option<Vec<String>>,
}

/// A cap that holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cap {
    /// Whose spending.
    pub scope: Scope,
    /// The id of the team, project or key.
    pub target: String,
    /// Over how long.
    pub period: Period,
    /// At most.
    pub limit: Nanos,
}

/// The purse of a team's credit.
pub(crate) fn credit_purse(team_id: &str) -> String {
    format!("credit/{team_id}")
}

/// The purses of all windows of a cap begin so.
pub(crate) fn cap_purses(scope: Scope, target: &str, period: Period) -> String {
    format!("cap/{}/{target}/{}/", scope.name(), period.name())
}

/// The purses of a cap, of all its windows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapPurses(pub(crate) String);

/// The purse of a cap for the window that `at` lies in.
pub(crate) fn cap_purse(scope: Scope, target: &str, period: Period, at: Timestamp) -> String {
    format!("{}{}", cap_purses(scope, target, period), period.window(at))
}

/// Everything that holds for one caller.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    /// Of the key.
    pub key: KeyTerms,
    /// Of the project.
    pub project: ProjectLimits,
    /// Of the team.
    pub team: TeamTerms,
    /// Caps of the key, the project and the team, the tier's own among them.
    pub caps: Vec<Cap>,
}

impl Terms {
    /// Whether team and key may ask this model.
    pub fn allows_model(&self, model: &str) -> bool {
        let allows =
            |list: &Option<Vec<String>>| list.as_ref().is_none_or(|list| list.iter().any(|m| m == model));
        allows(&self.team.allowed_models) && allows(&self.key.allowed_models)
    }

    /// Whether the key is good for this.
    pub fn has_scope(&self, scope: KeyScope) -> bool {
        self.key.scopes.contains(&scope)
    }
}
