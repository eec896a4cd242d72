//! The one list of options. The flags, the variables, the config file, its example and the reference page all come
//! from it.

use clap::{Arg, ArgAction, ArgMatches};

use super::{ENV_PREFIX, Given, Setting};

/// One option.
pub(crate) struct Opt {
    /// In the config file; with a dot, the section stands before it.
    pub(crate) key: &'static str,
    /// On the command line, without the dashes.
    pub(crate) flag: &'static str,
    /// What stands for the value in help.
    pub(crate) value_name: &'static str,
    pub(crate) group: Group,
    pub(crate) setting: Setting,
    /// One sentence, which help shows; then, after an empty line, what only the reference says.
    pub(crate) help: &'static str,
}

/// Which commands have an option as a flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// Of the server's socket and service.
    Serve,
    /// Where data lies.
    Data,
    /// Which models.
    Model,
    /// How models run.
    Engine,
    /// What is logged.
    Log,
}

impl Opt {
    pub(crate) fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.to_uppercase().replace('.', "_"))
    }

    pub(crate) fn section(&self) -> Option<&'static str> {
        self.key.split_once('.').map(|(section, _)| section)
    }

    pub(crate) fn summary(&self) -> &'static str {
        self.help.split("\n\n").next().unwrap_or_default()
    }

    fn is_list(&self) -> bool {
        matches!(self.setting, Setting::List(_))
    }

    pub(super) fn arg(&self) -> Arg {
        let action = if self.is_list() {
            ArgAction::Append
        } else {
            ArgAction::Set
        };
        let heading = match self.group {
            Group::Serve => "Service",
            Group::Data | Group::Model => "Models and data",
            Group::Engine => "Engine",
            Group::Log => "Logs",
        };
        Arg::new(self.flag)
            .long(self.flag)
            .value_name(self.value_name)
            .action(action)
            .allow_hyphen_values(false)
            .help(self.summary())
            .help_heading(heading)
    }

    pub(super) fn given_flag(&self, matches: &ArgMatches) -> Option<Given> {
        let mut texts: Vec<String> = matches
            .try_get_many::<String>(self.flag)
            .ok()
            .flatten()?
            .cloned()
            .collect();
        if self.is_list() {
            Some(Given::List(texts))
        } else {
            texts.pop().map(Given::Text)
        }
    }
}

const MAX_BYTES: usize = 1 << 46;
const MAX_TOKENS: usize = 1 << 24;
const DAY: u64 = 86_400;

/// Every option, in the order of the reference page. Options of one section stand together.
pub(crate) const OPTIONS: &[Opt] = &[
    Opt {
        key: "listen",
        flag: "listen",
        value_name: "ADDR",
        group: Group::Serve,
        setting: Setting::Text(|config| &mut config.listen),
        help: "Address and port to listen on; port 0 takes a free one\n\n\
               `127.0.0.1` can be reached from this machine only, `0.0.0.0` from everywhere. Tokenmill speaks plain \
               HTTP: put a proxy that speaks TLS before it where others can listen in.",
    },
    Opt {
        key: "data_dir",
        flag: "data-dir",
        value_name: "DIR",
        group: Group::Data,
        setting: Setting::Path(|config| &mut config.data_dir),
        help: "Folder of the accounts database and the server's secret; made if absent\n\n\
               Without it: `tokenmill` in the user's data folder, `$XDG_DATA_HOME` or `~/.local/share`. Back up the whole \
               folder: keys cannot be checked without the file `server-secret`.",
    },
    Opt {
        key: "database",
        flag: "database",
        value_name: "URL",
        group: Group::Data,
        setting: Setting::Text(|config| &mut config.database),
        help: "A Postgres database that several servers share, as in postgres://user@host/name\n\n\
               Empty: a SQLite file in the data folder, for one server. Each server keeps a data folder of its own, for \
               its usage log, with the same file `server-secret` in all of them. The connection is not encrypted: let it go \
               over a private network.",
    },
    Opt {
        key: "model",
        flag: "model",
        value_name: "[ID=]PATH|ID",
        group: Group::Model,
        setting: Setting::List(|config| &mut config.models),
        help: "A model to serve: a .gguf file, the first file of a split one, or a Hugging Face folder; may be repeated\n\n\
               Its id is the file's or folder's name without ending; `ID=PATH` gives it another. `tokenmill/demo` is the \
               built-in model, which is served when no model is named.",
    },
    Opt {
        key: "load.max_weight_bytes",
        flag: "max-weight-bytes",
        value_name: "BYTES",
        group: Group::Engine,
        setting: Setting::OptionalBytes(1 << 10, MAX_BYTES as u64, |config| {
            &mut config.load.max_weight_bytes
        }),
        help: "Memory that the weights of one model may take; \"auto\" takes what the system has available",
    },
    Opt {
        key: "load.ignore_fields",
        flag: "ignore-field",
        value_name: "NAME",
        group: Group::Engine,
        setting: Setting::List(|config| &mut config.load.ignore_fields),
        help: "A field of a model's config.json that Tokenmill does not know and may pass over; may be repeated\n\n\
               A model with an unknown field is refused, because the field may change its answers. Name one here when \
               you know that it does not.",
    },
    Opt {
        key: "load.quantize",
        flag: "quantize",
        value_name: "TYPE",
        group: Group::Engine,
        setting: Setting::Choice(&["none", "q8_0", "q4_0", "q4_k"], |config| {
            &mut config.load.quantize
        }),
        help: "What weights of F32, F16 and BF16 are rounded to while they are read: none, q8_0, q4_0 or q4_k\n\n\
               Less memory and more speed for a little accuracy: 8.5 bits a weight or 4.5; of the latter two \
               q4_k is nearer to the model, and takes longer to read. Weights that are quantised already, and the routers of \
               experts, stay as they are.",
    },
    Opt {
        key: "engine.threads",
        flag: "threads",
        value_name: "N",
        group: Group::Engine,
        setting: Setting::OptionalCount(1, 1024, |config| &mut config.threads),
        help: "Threads that compute; \"auto\" takes one per core that this process may use",
    },
    Opt {
        key: "engine.context",
        flag: "context",
        value_name: "TOKENS",
        group: Group::Engine,
        setting: Setting::OptionalCount(64, MAX_TOKENS, |config| &mut config.context),
        help: "Longest context, prompt and answer together; \"auto\" takes what each model allows",
    },
    Opt {
        key: "engine.kv_bytes",
        flag: "kv-bytes",
        value_name: "BYTES",
        group: Group::Engine,
        setting: Setting::Bytes(1 << 16, MAX_BYTES, |config| &mut config.engine.kv_bytes),
        help: "Memory of each model for the keys and values of running sequences and cached prefixes\n\n\
               Never more than all sequences that may run and wait could fill.",
    },
    Opt {
        key: "engine.kv_type",
        flag: "kv-type",
        value_name: "TYPE",
        group: Group::Engine,
        setting: Setting::KvType(|config| &mut config.engine.kv_type),
        help: "How keys and values are kept: f32, bf16, int8, or \"auto\": bf16, but f32 where all weights are F16 or F32\n\n\
               int8 takes about half the memory of bf16, so that twice as many tokens fit; f32 takes twice as much and rounds \
               nothing.",
    },
    Opt {
        key: "engine.max_running",
        flag: "max-running",
        value_name: "N",
        group: Group::Engine,
        setting: Setting::Count(1, 4096, |config| &mut config.engine.max_running),
        help: "Sequences of a model that share a forward pass",
    },
    Opt {
        key: "engine.max_waiting",
        flag: "max-waiting",
        value_name: "N",
        group: Group::Engine,
        setting: Setting::Count(0, 1 << 20, |config| &mut config.engine.max_waiting),
        help: "Sequences of a model that may wait for a place; one more is refused with 503",
    },
    Opt {
        key: "engine.step_tokens",
        flag: "step-tokens",
        value_name: "N",
        group: Group::Engine,
        setting: Setting::Count(2, 1 << 20, |config| &mut config.engine.step_tokens),
        help: "Tokens that one forward pass computes at most; more than max_running\n\n\
               One for each sequence that generates, the rest for prompts. Bounds how long a cancelled or a new request \
               waits while nobody generates; see `inter_token_ms` for while somebody does.",
    },
    Opt {
        key: "engine.inter_token_ms",
        flag: "inter-token-ms",
        value_name: "N",
        group: Group::Engine,
        setting: Setting::Count(1, 1 << 20, |config| &mut config.engine.inter_token_ms),
        help: "Milliseconds between the tokens of a stream that reading others' prompts may cause\n\n\
               Prompts are read beside the streams that generate, in pieces that keep a forward pass to this, by what \
               earlier passes took; to a quarter of it where short pieces cost prompts little. Smaller makes tokens come more evenly, larger lets new requests start sooner. Where \
               generating alone takes more than half of it, prompts get as much time again. No answer depends on it.",
    },
    Opt {
        key: "engine.prefix_cache",
        flag: "prefix-cache",
        value_name: "BOOL",
        group: Group::Engine,
        setting: Setting::Switch(|config| &mut config.engine.prefix_cache),
        help: "Keep what was computed for a prompt, for later prompts that begin alike\n\n\
               Shared inside a project only. Answers are the same bytes with and without it.",
    },
    Opt {
        key: "engine.speculation",
        flag: "speculation",
        value_name: "BOOL",
        group: Group::Engine,
        setting: Setting::Switch(|config| &mut config.engine.speculation),
        help: "Guess tokens from what came before in a conversation and verify several at once, where that saves time\n\n\
               How many are guessed follows from what passes cost and how often guesses were right; where it does not \
               pay, nothing is guessed. Answers are the same bytes with and without it.",
    },
    Opt {
        key: "engine.draft_models",
        flag: "draft-model",
        value_name: "[ID=]PATH",
        group: Group::Engine,
        setting: Setting::List(|config| &mut config.draft_models),
        help: "A smaller model that guesses tokens for a served one, as [ID=]PATH; may be repeated\n\n\
               It must have the same tokenizer; ID may be left out where one model is served. It guesses where a conversation \
               has nothing to quote from itself, as many tokens as pay by what passes of both models cost and how often it was \
               right, and none where that gains nothing. Its weights, and as many pages for its own keys and values, are kept \
               in memory besides. Answers are the same bytes with and without it; without `speculation` it is not used.",
    },
    Opt {
        key: "engine.lora_bytes",
        flag: "lora-bytes",
        value_name: "BYTES",
        group: Group::Engine,
        setting: Setting::Bytes(1 << 16, MAX_BYTES, |config| &mut config.lora_bytes),
        help: "Memory of each model for the adapters that requests use\n\n\
               An adapter is loaded when a request first names it; the least recently used ones make room. A request whose \
               adapter finds no room because all others are in use gets 503.",
    },
    Opt {
        key: "gateway.max_body_bytes",
        flag: "max-body-bytes",
        value_name: "BYTES",
        group: Group::Serve,
        setting: Setting::Bytes(1 << 10, 1 << 30, |config| &mut config.gateway.max_body_bytes),
        help: "Bytes of a request's body; a larger one gets 413",
    },
    Opt {
        key: "gateway.body_timeout",
        flag: "body-timeout",
        value_name: "TIME",
        group: Group::Serve,
        setting: Setting::Seconds(1, DAY, |config| &mut config.gateway.body_timeout_s),
        help: "How long a request's body may take to arrive",
    },
    Opt {
        key: "gateway.max_in_flight",
        flag: "max-in-flight",
        value_name: "N",
        group: Group::Serve,
        setting: Setting::Count(1, 1 << 20, |config| &mut config.gateway.max_in_flight),
        help: "Choices of one project for one model that may be in flight together; one more gets 429",
    },
    Opt {
        key: "gateway.idempotency_keys",
        flag: "idempotency-keys",
        value_name: "N",
        group: Group::Serve,
        setting: Setting::Count(1, 1 << 20, |config| &mut config.gateway.idempotency_keys),
        help: "Idempotency keys that a project may use within 24 hours; one more gets 429\n\n\
               Each claim counts those that there are, which takes about a millisecond for 10,000.",
    },
    Opt {
        key: "gateway.idempotency_bytes",
        flag: "idempotency-bytes",
        value_name: "BYTES",
        group: Group::Serve,
        setting: Setting::Bytes(2 << 20, MAX_BYTES, |config| &mut config.gateway.idempotency_bytes),
        help: "Bytes of answers that are kept for a project's idempotency keys\n\n\
               With more, the oldest answers go; their keys stay until their 24 hours are over, and get 409.",
    },
    Opt {
        key: "gateway.keep_alive",
        flag: "keep-alive",
        value_name: "TIME",
        group: Group::Serve,
        setting: Setting::Seconds(1, 3600, |config| &mut config.gateway.keep_alive_s),
        help: "Time without text after which a stream gets a comment, so that proxies keep it",
    },
    Opt {
        key: "gateway.country_header",
        flag: "country-header",
        value_name: "NAME",
        group: Group::Serve,
        setting: Setting::Text(|config| &mut config.gateway.country_header),
        help: "Header in which a trusted proxy tells the caller's country, in two letters\n\n\
               Only a proxy that sets it on every request, over what callers send, can be trusted. Empty: none.",
    },
    Opt {
        key: "gateway.country_database",
        flag: "country-database",
        value_name: "FILE",
        group: Group::Serve,
        setting: Setting::Text(|config| &mut config.gateway.country_database),
        help: "A file in MaxMind's format (.mmdb) that tells the country of an address\n\n\
               Any that has `country.iso_code`, such as GeoLite2 Country or DB-IP Country Lite; read once, at the start. Asked \
               where no header tells the country. Empty: none.",
    },
    Opt {
        key: "gateway.trusted_proxies",
        flag: "trusted-proxy",
        value_name: "NETWORK",
        group: Group::Serve,
        setting: Setting::List(|config| &mut config.gateway.trusted_proxies),
        help: "A network of proxies whose X-Forwarded-For tells the caller's address, as in 10.0.0.0/8; may be repeated\n\n\
               The last address in the header that is no trusted proxy's is the caller's: for rules about countries, for the \
               networks of keys, and for counting wrong passwords. Without it, that is whoever is at the other end of the \
               connection.",
    },
    Opt {
        key: "gateway.console_dir",
        flag: "console-dir",
        value_name: "DIR",
        group: Group::Serve,
        setting: Setting::Text(|config| &mut config.gateway.console_dir),
        help: "Folder whose files stand in for the console's built-in ones\n\n\
               For work on the console: a change is there with the next reload of the page.",
    },
    Opt {
        key: "gateway.secure_cookies",
        flag: "secure-cookies",
        value_name: "BOOL",
        group: Group::Serve,
        setting: Setting::Switch(|config| &mut config.gateway.secure_cookies),
        help: "Whether browsers reach the console by HTTPS alone\n\n\
               Set it where a proxy that speaks TLS stands before Tokenmill: the session's cookie is then bound to HTTPS and \
               to this host.",
    },
    Opt {
        key: "gateway.artifacts_dir",
        flag: "artifacts-dir",
        value_name: "DIR",
        group: Group::Data,
        setting: Setting::Text(|config| &mut config.gateway.artifacts_dir),
        help: "Folder of the files of uploaded LoRA adapters; made if absent\n\n\
               Empty: `artifacts` in the data folder. Servers that share a database must share this folder, too: give all of \
               them the same one, on a volume that all can write to.",
    },
    Opt {
        key: "gateway.max_artifact_bytes",
        flag: "max-artifact-bytes",
        value_name: "BYTES",
        group: Group::Serve,
        setting: Setting::Bytes(1 << 10, MAX_BYTES, |config| {
            &mut config.gateway.max_artifact_bytes
        }),
        help: "Bytes of an uploaded adapter's matrices; a larger one gets 413",
    },
    Opt {
        key: "gateway.public_url",
        flag: "public-url",
        value_name: "URL",
        group: Group::Serve,
        setting: Setting::Text(|config| &mut config.gateway.public_url),
        help: "Address under which browsers reach the console, as in https://mill.example.com\n\n\
               Identity providers send them back there: needed with `[[oidc]]`, and for nothing else.",
    },
    Opt {
        key: "gateway.denied_countries",
        flag: "deny-country",
        value_name: "CC",
        group: Group::Serve,
        setting: Setting::List(|config| &mut config.gateway.denied_countries),
        help: "A country, in two letters, whose callers are refused; may be repeated\n\n\
               They get 403. It needs `gateway.country_header` or `gateway.country_database`; a caller whose country is not known is let \
               in.",
    },
    Opt {
        key: "gateway.max_connections",
        flag: "max-connections",
        value_name: "N",
        group: Group::Serve,
        setting: Setting::Count(1, 1 << 20, |config| &mut config.serve.max_connections),
        help: "Connections open together; more wait to be accepted",
    },
    Opt {
        key: "gateway.max_header_bytes",
        flag: "max-header-bytes",
        value_name: "BYTES",
        group: Group::Serve,
        setting: Setting::Bytes(8 << 10, 1 << 20, |config| &mut config.serve.max_header_bytes),
        help: "Bytes of a request's line and headers; more get 431",
    },
    Opt {
        key: "gateway.header_timeout",
        flag: "header-timeout",
        value_name: "TIME",
        group: Group::Serve,
        setting: Setting::Seconds(1, DAY, |config| &mut config.serve.header_timeout_s),
        help: "How long a request's headers may take to arrive, and a connection may be idle",
    },
    Opt {
        key: "gateway.stall_timeout",
        flag: "stall-timeout",
        value_name: "TIME",
        group: Group::Serve,
        setting: Setting::Seconds(1, DAY, |config| &mut config.serve.stall_timeout_s),
        help: "How long a client may take no byte of a waiting answer before it is taken for gone",
    },
    Opt {
        key: "gateway.drain",
        flag: "drain",
        value_name: "TIME",
        group: Group::Serve,
        setting: Setting::Seconds(0, DAY, |config| &mut config.serve.drain_s),
        help: "How long requests in flight may go on after SIGTERM or Ctrl-C\n\n\
               New requests are refused meanwhile, and `/ready` says so. A second signal ends the program at once.",
    },
    Opt {
        key: "log.format",
        flag: "log-format",
        value_name: "FORMAT",
        group: Group::Log,
        setting: Setting::Choice(&["auto", "human", "json"], |config| &mut config.log_format),
        help: "\"human\", \"json\" (one object a line), or \"auto\": human on a terminal, else json\n\n\
               Logs go to standard error. They never have a key, a prompt or an answer in them.",
    },
    Opt {
        key: "log.level",
        flag: "log-level",
        value_name: "LEVEL",
        group: Group::Log,
        setting: Setting::Choice(&["off", "error", "warn", "info", "debug", "trace"], |config| {
            &mut config.log_level
        }),
        help: "The least urgent lines that are logged: off, error, warn, info, debug or trace",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_flags_and_variables_are_unique() {
        let keys: HashSet<_> = OPTIONS.iter().map(|option| option.key).collect();
        let flags: HashSet<_> = OPTIONS.iter().map(|option| option.flag).collect();
        let variables: HashSet<_> = OPTIONS.iter().map(Opt::variable).collect();
        assert_eq!([keys.len(), flags.len(), variables.len()], [OPTIONS.len(); 3]);
    }

    #[test]
    fn every_default_can_be_given_as_it_is_shown() {
        let defaults = super::super::Config::default();
        for option in OPTIONS {
            let text = option.setting.show(&defaults);
            let mut config = defaults.clone();
            let fault = super::super::file::apply(&mut config, &section_line(option, &text));
            assert!(fault.is_ok(), "{} = {text}", option.key);
            assert_eq!(config, defaults, "{} = {text}", option.key);
        }
    }

    /// A crate's own options are a struct with defaults. This fails when one gets a field that no option here sets.
    #[test]
    fn every_field_of_the_crates_options_is_an_option() {
        let n_in = |section: &str| {
            OPTIONS
                .iter()
                .filter(|option| option.section() == Some(section))
                .count()
        };
        let fields = |value: serde_json::Value| value.as_object().unwrap().len();
        let engine = fields(serde_json::to_value(tokenmill_engine::Options::default()).unwrap());
        let gateway = fields(serde_json::to_value(tokenmill_gateway::Options::default()).unwrap());
        let tokenmill_model::LoadOptions {
            max_weight_bytes: _,
            ignore_fields: _,
            quantize: _,
        } = Default::default();
        assert_eq!(n_in("load"), 3);
        let serve = fields(serde_json::to_value(tokenmill_gateway::ServeOptions::default()).unwrap());
        // `threads`, `context`, `draft_models` and `lora_bytes` belong to the program, not to one engine.
        assert_eq!(n_in("engine"), engine + 4);
        assert_eq!(n_in("gateway"), gateway + serve);
    }

    fn section_line(option: &Opt, value: &str) -> String {
        match option.key.split_once('.') {
            Some((section, key)) => format!("[{section}]\n{key} = {value}\n"),
            None => format!("{} = {value}\n", option.key),
        }
    }
}
