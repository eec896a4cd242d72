//! The part of the catalogue that the configuration file speaks for.
//!
//! At its start a server puts what its file lists into the catalogue, as a new version where something has changed. From then
//! on the file has the last word about these models: nobody changes them by API or command until a server starts with a
//! file that does not list them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Accounts;
use crate::catalogue::ModelEntry;
use crate::manage::ManageError;
use crate::money::Price;
use crate::store::StoreError;

/// Where the database keeps which models those are.
const SETTING: &str = "configured_models";
/// Who makes these changes, in the audit log.
const ACTOR: &str = "the configuration file";

/// A model that the configuration file lists.
#[derive(Clone, PartialEq, Debug)]
pub struct ConfiguredModel {
    /// What is said of it.
    pub entry: ModelEntry,
    /// What it costs from now on; without one the file leaves that to others.
    pub price: Option<Price>,
}

/// The models that the file of the last server to start speaks for.
#[derive(Default, Serialize, Deserialize)]
struct Configured {
    models: BTreeSet<String>,
    prices: BTreeSet<String>,
}

impl Accounts {
    /// Makes the catalogue say what the configuration file says.
    pub async fn configure_models(&self, listed: &[ConfiguredModel]) -> Result<(), ManageError> {
        let of = |is_meant: fn(&ConfiguredModel) -> bool| {
            let meant = listed.iter().filter(|model| is_meant(model));
            meant.map(|model| model.entry.id.clone()).collect()
        };
        let configured = Configured {
            models: of(|_| true),
            prices: of(|model| model.price.is_some()),
        };
        // First, so that nobody changes in between what is written next.
        self.keep_configured(&configured).await?;
        for model in listed {
            self.put_model(ACTOR, &model.entry).await?;
            let Some(price) = model.price else { continue };
            let now = self.read_catalogue().await?.price(&model.entry.id, self.now());
            if (Price { version: 0, ..now }) != (Price { version: 0, ..price }) {
                self.put_price(ACTOR, &model.entry.id, price, None).await?;
            }
        }
        Ok(())
    }

    /// Nobody but the file changes this entry.
    pub(crate) async fn check_model_is_free(&self, id: &str) -> Result<(), ManageError> {
        let configured = self.configured().await?;
        if configured.models.contains(id) {
            return Err(ManageError::Configured(format!("the model {id:?}")));
        }
        Ok(())
    }

    /// Nobody but the file changes this price.
    pub(crate) async fn check_price_is_free(&self, id: &str) -> Result<(), ManageError> {
        let configured = self.configured().await?;
        if configured.prices.contains(id) {
            return Err(ManageError::Configured(format!("the price of {id:?}")));
        }
        Ok(())
    }

    async fn configured(&self) -> Result<Configured, StoreError> {
        let Some(text) = self.shared.db.setting(SETTING).await? else {
            return Ok(Configured::default());
        };
        serde_json::from_slice(&text).map_err(|error| StoreError::decode(format!("{SETTING}: {error}")))
    }

    async fn keep_configured(&self, configured: &Configured) -> Result<(), StoreError> {
        let text = serde_json::to_vec(configured).map_err(|error| StoreError::decode(error.to_string()))?;
        let db = &self.shared.db;
        match db.setting(SETTING).await? {
            None if configured.models.is_empty() => Ok(()),
            Some(before) if before == text => Ok(()),
            _ => db.set_setting(SETTING, &text).await,
        }
    }
}
