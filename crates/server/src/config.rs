//! What an operator has chosen: built-in defaults, then the config file, then the environment, then flags, the later
//! over the earlier.

mod catalogue;
mod file;
mod oidc;
mod options;
mod reference;
mod setting;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

pub(crate) use options::{Group, OPTIONS, Opt};
pub(crate) use reference::{example_file, reference_page};
pub(crate) use setting::{Given, Setting, parse_seconds};

/// The environment variable of an option is this and its key.
const ENV_PREFIX: &str = "TOKENMILL_";
/// The flag, and the variable, that name the config file.
const CONFIG_FLAG: &str = "config";

/// Variables with our prefix that are no option of this program.
const OTHER_VARIABLES: &[&str] = &[
    "TOKENMILL_CONFIG",
    "TOKENMILL_ISA",
    "TOKENMILL_BIN",
    "TOKENMILL_PYTHON",
    "TOKENMILL_UPDATE",
];

/// Every choice, resolved.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Config {
    pub(crate) listen: String,
    pub(crate) data_dir: PathBuf,
    /// The URL of a shared database; empty for one in the data folder.
    pub(crate) database: String,
    pub(crate) models: Vec<String>,
    /// What the file says of models, and what they cost.
    pub(crate) catalogue: Vec<tokenmill_accounts::ConfiguredModel>,
    /// With whom people may sign in besides a password.
    pub(crate) identity_providers: Vec<oidc::ConfiguredProvider>,
    /// `None` takes one per core that this process may use.
    pub(crate) threads: Option<NonZeroUsize>,
    /// Tokens of a context at most; `None` takes what each model allows.
    pub(crate) context: Option<NonZeroUsize>,
    /// Models that guess for others: `PATH` for the only model, or `ID=PATH`.
    pub(crate) draft_models: Vec<String>,
    /// Memory of each model for adapters.
    pub(crate) lora_bytes: usize,
    pub(crate) load: tokenmill_model::LoadOptions,
    pub(crate) engine: tokenmill_engine::Options,
    pub(crate) gateway: tokenmill_gateway::Options,
    pub(crate) serve: tokenmill_gateway::ServeOptions,
    pub(crate) log_format: String,
    pub(crate) log_level: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: "127.0.0.1:8080".to_owned(),
            data_dir: default_data_dir(),
            database: String::new(),
            models: Vec::new(),
            catalogue: Vec::new(),
            identity_providers: Vec::new(),
            threads: None,
            context: None,
            draft_models: Vec::new(),
            lora_bytes: 1 << 30,
            load: tokenmill_model::LoadOptions::default(),
            engine: tokenmill_engine::Options::default(),
            gateway: tokenmill_gateway::Options::default(),
            serve: tokenmill_gateway::ServeOptions::default(),
            log_format: "auto".to_owned(),
            log_level: "info".to_owned(),
        }
    }
}

/// A choice that cannot be taken. The message says where it stands and what would be right.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The config file could not be read.
    #[error("the config file {} cannot be read: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    /// A line of the config file.
    #[error("{}:{line}: {fault}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        fault: String,
    },
    /// A flag or an environment variable.
    #[error("{name}: {fault}")]
    Value { name: String, fault: String },
}

impl Config {
    /// Everything that was chosen, for a command that was given `matches`.
    ///
    /// # Errors
    /// The first choice that cannot be taken, with its place.
    pub(crate) fn resolve(
        matches: &ArgMatches,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let named = given_text(matches, CONFIG_FLAG).map(PathBuf::from);
        let file = named.or_else(|| variable(&format!("{ENV_PREFIX}CONFIG")).map(PathBuf::from));
        if let Some(path) = file {
            config.apply_file(&path)?;
        }
        for option in OPTIONS {
            let name = option.variable();
            let Some(value) = variable(&name) else { continue };
            let given = value
                .into_string()
                .map_err(|_| "must be UTF-8".to_owned())
                .map(Given::Text);
            let set = given.and_then(|given| option.setting.set(&mut config, given));
            set.map_err(|fault| ConfigError::Value { name, fault })?;
        }
        for option in OPTIONS {
            let Some(given) = option.given_flag(matches) else {
                continue;
            };
            let set = option.setting.set(&mut config, given);
            set.map_err(|fault| ConfigError::Value {
                name: format!("--{}", option.flag),
                fault,
            })?;
        }
        config.check_public_url()?;
        Ok(config)
    }

    /// Providers send browsers back to an address, which they know beforehand.
    fn check_public_url(&self) -> Result<(), ConfigError> {
        let url = &self.gateway.public_url;
        let fault = if url.is_empty() && !self.identity_providers.is_empty() {
            "must be set for sign-in with `[[oidc]]`, as in https://mill.example.com"
        } else if url.is_empty() || tokenmill_gateway::is_private(url) {
            return Ok(());
        } else {
            "must be an https:// address (http:// only on this machine)"
        };
        Err(ConfigError::Value {
            name: "gateway.public_url".to_owned(),
            fault: fault.to_owned(),
        })
    }

    fn apply_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let unreadable = |error: std::io::Error| ConfigError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        file::apply(self, &text).map_err(|file::Fault { line, fault }| ConfigError::Line {
            path: path.to_owned(),
            line,
            fault,
        })
    }
}

/// Variables that look like ours and mean nothing, so that a misspelt one is not passed over in silence.
pub(crate) fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let ours = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(ENV_PREFIX));
    let is_known = |name: &String| {
        OTHER_VARIABLES.contains(&name.as_str()) || OPTIONS.iter().any(|option| option.variable() == *name)
    };
    ours.filter(|name| !is_known(name)).collect()
}

/// The flags of a command that reads these groups of options.
pub(crate) fn flags(groups: &[Group]) -> impl Iterator<Item = clap::Arg> {
    let config = clap::Arg::new(CONFIG_FLAG)
        .long(CONFIG_FLAG)
        .value_name("FILE")
        .help("Read options from this TOML file (also TOKENMILL_CONFIG)");
    let options = OPTIONS
        .iter()
        .filter(|option| groups.contains(&option.group))
        .map(Opt::arg);
    std::iter::once(config).chain(options)
}

/// The text of a flag that a command may or may not have.
fn given_text(matches: &ArgMatches, id: &str) -> Option<String> {
    matches.try_get_one::<String>(id).ok().flatten().cloned()
}

/// Where a program keeps a user's data on this system.
fn default_data_dir() -> PathBuf {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = absolute("HOME")
        .or_else(|| absolute("USERPROFILE"))
        .unwrap_or_else(|| PathBuf::from("."));
    let base = if cfg!(target_os = "macos") {
        home.join("Library/Application Support")
    } else if cfg!(windows) {
        absolute("LOCALAPPDATA").unwrap_or_else(|| home.join("AppData/Local"))
    } else {
        absolute("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"))
    };
    base.join("tokenmill")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn resolve(args: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
        let all = [Group::Serve, Group::Data, Group::Model, Group::Engine, Group::Log];
        let command = clap::Command::new("test").args(flags(&all));
        let matches = command
            .try_get_matches_from(std::iter::once(&"test").chain(args))
            .unwrap();
        let variables: HashMap<_, _> = variables.iter().map(|&(k, v)| (k, OsString::from(v))).collect();
        Config::resolve(&matches, |name| variables.get(name).cloned()).map_err(|error| error.to_string())
    }

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (dir, path)
    }

    #[test]
    fn flags_beat_the_environment_and_that_beats_the_file() {
        let (_dir, path) =
            file("listen = '1.1.1.1:1'\n[engine]\nmax_running = 5\nmax_waiting = 6\nstep_tokens = 70\n");
        let variables = [
            ("TOKENMILL_ENGINE_MAX_WAITING", "7"),
            ("TOKENMILL_ENGINE_STEP_TOKENS", "71"),
        ];
        let config = resolve(&["--config", &path, "--step-tokens", "72"], &variables).unwrap();
        assert_eq!(config.listen, "1.1.1.1:1");
        assert_eq!(config.engine.max_running, 5);
        assert_eq!(config.engine.max_waiting, 7);
        assert_eq!(config.engine.step_tokens, 72);
        assert_eq!(config.gateway, Config::default().gateway);
    }

    #[test]
    fn a_list_replaces_the_list_of_a_weaker_source() {
        let (_dir, path) = file("model = ['a.gguf', 'b.gguf']\n");
        assert_eq!(
            resolve(&["--config", &path], &[]).unwrap().models,
            ["a.gguf", "b.gguf"]
        );
        let flags = ["--config", &path, "--model", "c.gguf", "--model", "d.gguf"];
        assert_eq!(resolve(&flags, &[]).unwrap().models, ["c.gguf", "d.gguf"]);
        assert_eq!(
            resolve(&[], &[("TOKENMILL_MODEL", "e.gguf")]).unwrap().models,
            ["e.gguf"]
        );
    }

    #[test]
    fn a_fault_in_the_file_names_its_line() {
        let fault = |text: &str| {
            let (_dir, path) = file(text);
            let error = resolve(&["--config", &path], &[]).unwrap_err();
            error.strip_prefix(&path).unwrap().to_owned()
        };
        assert_eq!(
            fault("# mine\n[engine]\nmax_runing = 5\n"),
            ":3: unknown option `engine.max_runing`; did you mean `engine.max_running`?"
        );
        assert_eq!(
            fault("[engines]\nx = 1\n"),
            ":1: unknown section `engines`; did you mean `engine`?"
        );
        assert_eq!(
            fault("listen = 8080\n"),
            ":1: `listen` must be text in quotes, and is an integer"
        );
        assert_eq!(
            fault("\n[engine]\nmax_running = 0\n"),
            ":3: `engine.max_running` must be from 1 to 4096, and is 0"
        );
        assert_eq!(
            fault("engine = 3\n"),
            ":1: `engine` is a section, written as `[engine]`"
        );
        assert!(fault("listen = 'a'\nlisten = 'b'\n").starts_with(":2: "));
        assert!(fault("x = \n").starts_with(":1: "));
    }

    #[test]
    fn a_catalogue_is_read_from_the_file() {
        let (_dir, path) = file(catalogue::EXAMPLE);
        let config = resolve(&["--config", &path], &[]).unwrap();
        let [model] = &config.catalogue[..] else { panic!() };
        let expected: tokenmill_accounts::ModelEntry = serde_json::from_value(serde_json::json!({
            "id": "acme/chat", "title": "Acme Chat", "kind": "text", "context_window": 32_768,
            "parameters": 7_600_000_000_u64, "active_parameters": 7_600_000_000_u64,
            "description": "Answers questions about Acme", "reasoning": "none", "lora_rank": 16,
            "available_from": "2026-01-15", "deprecated_from": "2027-01-15", "retired_from": "2027-03-01",
            "replacement": "acme/chat-2",
        }))
        .unwrap();
        assert_eq!(model.entry, expected);
        let price = model.price.unwrap();
        let millions = [price.input, price.cached_input, price.output].map(|part| part.0 / 1_000_000);
        assert_eq!(millions, [150, 50, 600]);
        let (_dir, path) =
            file("[[catalogue]]\nid = 'a'\navailable_from = 2026-01-15\n[[catalogue]]\nid = 'b'\n");
        let config = resolve(&["--config", &path], &[]).unwrap();
        let days = config
            .catalogue
            .iter()
            .map(|model| model.entry.available_from.is_some());
        assert_eq!(days.collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_fault_in_the_catalogue_names_its_line() {
        let fault = |text: &str| {
            let (_dir, path) = file(text);
            let error = resolve(&["--config", &path], &[]).unwrap_err();
            error.strip_prefix(&path).unwrap().to_owned()
        };
        let unknown = fault("[[catalogue]]\nid = 'a'\ntitel = 'A'\n");
        assert!(unknown.starts_with(":3: unknown field `titel`"), "{unknown}");
        assert!(
            fault("[[catalogue]]\nid = 'a'\nkind = 'audio'\n").starts_with(":3: unknown variant `audio`")
        );
        assert!(fault("[[catalogue]]\nid = 'a'\nlora_rank = -1\n").starts_with(":3: "));
        assert!(fault("[[catalogue]]\ntitle = 'A'\n").starts_with(":1: 'id' must have"));
        assert!(
            fault("\n[[catalogue]]\nid = 'a'\n[[catalogue]]\nid = 'a'\n")
                .starts_with(":4: the model \"a\" is")
        );
        let price = "[[catalogue]]\nid = 'a'\n[catalogue.price]\noutput_usd = '1'\ninput_usd = ";
        assert!(fault(&format!("{price}'-1'\n")).contains("a price is from 0"));
        assert!(fault(&format!("{price}'a'\n")).contains("`input_usd` must be dollars in quotes"));
        assert!(fault(&format!("{price}1.5\n")).starts_with(":5: "));
        assert!(fault("[catalogue]\nid = 'a'\n").contains("each written as `[[catalogue]]`"));
    }

    #[test]
    fn identity_providers_are_read_from_the_file_and_their_secrets_from_where_they_are() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "s3cret\n").unwrap();
        let example = oidc::EXAMPLE.replace("/run/secrets/oidc", secret.path().to_str().unwrap());
        let public = "[gateway]\npublic_url = 'https://mill.example.com'\n";
        let (_dir, path) = file(&format!("{public}{example}"));
        let config = resolve(&["--config", &path], &[]).unwrap();
        let [configured] = &config.identity_providers[..] else {
            panic!()
        };
        let provider = configured.complete(|_| None).unwrap();
        assert_eq!(
            provider.client_secret,
            Some(tokenmill_gateway::ClientSecret::new("s3cret".to_owned()))
        );
        assert_eq!(provider.issuer, "https://login.example.com/realms/corp");
        let joined = tokenmill_accounts::Newcomers::Join {
            team: "default".to_owned(),
            is_admin: false,
        };
        assert_eq!(provider.newcomers, joined);
        assert!(!format!("{config:?}{provider:?}").contains("s3cret"));
        let least =
            "[[oidc]]\nid = 'a'\nissuer = 'https://a'\nclient_id = 'x'\nclient_secret_env = 'OIDC_SECRET'\n";
        let (_dir, path) = file(&format!("{public}{least}"));
        let config = resolve(&["--config", &path], &[]).unwrap();
        let complete = |set: bool| {
            let variable = |name: &str| (set && name == "OIDC_SECRET").then(|| OsString::from("other"));
            config.identity_providers[0].complete(variable)
        };
        assert_eq!(
            complete(false).unwrap_err(),
            "[[oidc]] \"a\": the variable OIDC_SECRET is not set, or not UTF-8"
        );
        let provider = complete(true).unwrap();
        assert_eq!(
            provider.client_secret,
            Some(tokenmill_gateway::ClientSecret::new("other".to_owned()))
        );
        assert_eq!(
            (provider.label.as_str(), provider.scopes.as_slice()),
            ("a", &["email".to_owned()][..])
        );
        assert_eq!(provider.newcomers, tokenmill_accounts::Newcomers::Refused);
    }

    #[test]
    fn a_fault_in_an_identity_provider_names_its_line() {
        let fault = |more: &str| {
            let text = format!("[[oidc]]\nclient_id = 'x'\n{more}\n[gateway]\npublic_url = 'https://m'\n");
            let (_dir, path) = file(&text);
            let error = resolve(&["--config", &path], &[]).unwrap_err();
            error.strip_prefix(&path).unwrap().to_owned()
        };
        let good = "id = 'a'\nissuer = 'https://a'";
        assert!(fault(&format!("{good}\nlabl = 'A'")).starts_with(":5: unknown field `labl`"));
        for (more, says) in [
            ("id = 'a'", "missing field `issuer`"),
            ("id = 'a/b'\nissuer = 'https://a'", "`id` is"),
            (
                "id = 'a'\nissuer = 'http://a.example'",
                "`issuer` must be an https:// address",
            ),
            (
                "id = 'a'\nissuer = 'https://a'\nnew_people = 'join'",
                "needs a `team`",
            ),
            (
                "id = 'a'\nissuer = 'https://a'\nteam = 'b'",
                "are for `new_people",
            ),
            (
                "id = 'a'\nissuer = 'https://a'\nclient_secret = 'a'\nclient_secret_env = 'B'",
                "give one of",
            ),
        ] {
            let fault = fault(more);
            assert!(fault.starts_with(":1: ") && fault.contains(says), "{fault}");
        }
        assert!(fault(&format!("{good}\n[[oidc]]\nclient_id = 'x'\n{good}")).contains("listed twice"));
        let (_dir, path) = file(&format!("[[oidc]]\nclient_id = 'x'\n{good}\n"));
        let error = resolve(&["--config", &path], &[]).unwrap_err();
        assert!(
            error.starts_with("gateway.public_url: must be set for sign-in"),
            "{error}"
        );
        let error = resolve(&["--public-url", "http://mill.example"], &[]).unwrap_err();
        assert!(
            error.starts_with("gateway.public_url: must be an https://"),
            "{error}"
        );
    }

    #[test]
    fn a_fault_in_a_flag_or_variable_names_it() {
        assert_eq!(
            resolve(&["--max-running", "many"], &[]).unwrap_err(),
            "--max-running: must be a whole number, and is \"many\""
        );
        assert_eq!(
            resolve(&[], &[("TOKENMILL_ENGINE_PREFIX_CACHE", "perhaps")]).unwrap_err(),
            "TOKENMILL_ENGINE_PREFIX_CACHE: must be true or false, and is \"perhaps\""
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = resolve(&["--config", "/nowhere/config.toml"], &[]).unwrap_err();
        assert!(
            error.starts_with("the config file /nowhere/config.toml cannot be read: "),
            "{error}"
        );
    }

    #[test]
    fn misspelt_variables_are_found() {
        let names = ["TOKENMILL_LISTEN", "TOKENMILL_LISTN", "HOME", "TOKENMILL_ISA"].map(OsString::from);
        assert_eq!(unknown_variables(names.into_iter()), ["TOKENMILL_LISTN"]);
    }
}
