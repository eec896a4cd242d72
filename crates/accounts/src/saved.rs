//! What a team keeps of its work in the console: prompts, models with their settings, and chats that are shared by a
//! link. A name that is saved again gets the next version; nothing is overwritten.

use crate::Accounts;
use crate::clock::Timestamp;
use crate::manage::ManageError;
use crate::store::StoreError;
use crate::team::{Person, Team};

const MAX_NAME_CHARS: usize = 100;
const MAX_BODY_BYTES: usize = 1 << 20;
/// Things that one team keeps, versions counted.
const MAX_SAVED: i64 = 5_000;

/// What kind of thing is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SavedKind {
    /// Messages.
    Prompt,
    /// A model with its settings.
    Preset,
    /// A chat that is shared.
    Chat,
}

impl SavedKind {
    /// Every kind.
    pub const ALL: [SavedKind; 3] = [SavedKind::Prompt, SavedKind::Preset, SavedKind::Chat];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            SavedKind::Prompt => "prompt",
            SavedKind::Preset => "preset",
            SavedKind::Chat => "chat",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<SavedKind> {
        SavedKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A version of something that is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedInfo {
    /// Names it in a link; random.
    pub id: String,
    /// What it is.
    pub kind: SavedKind,
    /// What people call it.
    pub name: String,
    /// Counts up from 1 for each name.
    pub version: i64,
    /// Who saved it.
    pub person: String,
    /// When.
    pub created_at: Timestamp,
}

impl Accounts {
    /// Keeps `body`, a JSON text, for a team, as the next version of its name.
    pub async fn save(
        &self,
        team: &Team,
        person: &Person,
        kind: SavedKind,
        name: &str,
        body: &str,
    ) -> Result<SavedInfo, ManageError> {
        let n_chars = name.chars().count();
        if n_chars == 0 || n_chars > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            return Err(ManageError::Invalid(format!(
                "a name has 1 to {MAX_NAME_CHARS} characters and no control characters"
            )));
        }
        if body.len() > MAX_BODY_BYTES {
            return Err(ManageError::Invalid(format!(
                "what is saved has at most {MAX_BODY_BYTES} bytes"
            )));
        }
        let id = crate::key::random_text(22).map_err(StoreError::from)?;
        let saved = SavedInfo {
            id,
            kind,
            name: name.to_owned(),
            version: 0,
            person: person.name.clone(),
            created_at: self.now(),
        };
        let kept = self.shared.db.save(team, person, saved, body, MAX_SAVED).await?;
        kept.ok_or_else(|| {
            ManageError::Invalid(format!(
                "a team keeps at most {MAX_SAVED} things; delete some that are not needed"
            ))
        })
    }

    /// What a team keeps, the latest first.
    pub async fn saved(&self, team: &Team, kind: SavedKind) -> Result<Vec<SavedInfo>, StoreError> {
        self.shared.db.saved(team, kind).await
    }

    /// One of the things that a team keeps, with its JSON text.
    pub async fn saved_body(&self, team: &Team, id: &str) -> Result<Option<(SavedInfo, String)>, StoreError> {
        self.shared.db.saved_body(team, id).await
    }

    /// Deletes one of the things that a team keeps; false where it is not there.
    pub async fn delete_saved(&self, team: &Team, id: &str) -> Result<bool, StoreError> {
        self.shared.db.delete_saved(team, id).await
    }
}
