//! `tokenmill serve`: the service, from the first start to the last byte.

mod banner;
mod signals;

use std::io;
use std::time::{Duration, Instant};

use clap::{ArgMatches, Command};
use tokenmill_accounts::Accounts;
use tokenmill_gateway::Gateway;
use tokio::net::TcpListener;

use super::{Output, open_accounts, resolve};
use crate::assemble::{self, Models};
use crate::config::{Config, Group, flags, unknown_variables};
use crate::failure::Failure;
use crate::logging;
use crate::model_spec::{ModelSpec, model_specs};
use banner::Banner;
use signals::Signals;

/// How long threads that are not ours may take to notice the end.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// How often there is a look at credit that has expired.
const EXPIRY_ROUND: Duration = Duration::from_secs(60);

const LONG_ABOUT: &str = "\
Serves models over an OpenAI-compatible API. With nothing given it listens on 127.0.0.1:8080, keeps its data in the \
user's data folder and serves the small built-in model. The first start makes a team, a project and a key, and prints \
the key this once.

  tokenmill serve
  tokenmill serve --model ./qwen3-0.6b-q4_k_m.gguf --model acme/chat=./Chat-7B/
  tokenmill serve --listen 0.0.0.0:8000 --config tokenmill.toml

SIGTERM or Ctrl-C refuses new requests, lets running ones finish (see --drain) and ends with exit code 0; a second one \
ends at once.";

pub(super) fn cli() -> Command {
    Command::new("serve")
        .about("Serve models over an OpenAI-compatible API")
        .long_about(LONG_ABOUT)
        .args(flags(&[
            Group::Data,
            Group::Model,
            Group::Serve,
            Group::Engine,
            Group::Log,
        ]))
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let start = Instant::now();
    let config = resolve(matches)?;
    let specs = model_specs(&config)?;
    logging::start(&config);
    for name in unknown_variables(std::env::vars_os().map(|(name, _)| name)) {
        tracing::warn!(
            name,
            "this variable is no option of Tokenmill and changes nothing"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start threads: {error}")))?;
    let served = runtime.block_on(serve(&config, &specs, start, out));
    runtime.shutdown_timeout(RUNTIME_END);
    served
}

async fn serve(config: &Config, specs: &[ModelSpec], start: Instant, out: Output<'_>) -> Result<(), Failure> {
    // The port first: whoever has it taken should not have to wait for weights to hear so. The accounts last: a start
    // that fails must not make a key that nobody sees.
    let listener = bind(&config.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::new(format!("cannot listen: {error}")))?;
    let signals =
        Signals::new().map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let options = gateway_options(config)?;
    let Models { router, engines } = assemble::models(config, specs)?;
    let accounts = open_accounts(config).await?;
    let ledger = accounts
        .start_ledger()
        .await
        .map_err(|error| Failure::new(format!("the data folder cannot be used: {error}")))?;
    let first = accounts
        .ensure_first()
        .await
        .map_err(|error| Failure::new(error.to_string()))?;

    accounts
        .configure_models(&config.catalogue)
        .await
        .map_err(|error| Failure::new(format!("the catalogue of the config file: {error}")))?;

    let invited = accounts
        .first_invitation()
        .await
        .map_err(|error| Failure::new(error.to_string()))?;

    tokio::spawn(expire_credit(accounts.clone()));
    let gateway = Gateway::new(accounts.clone(), ledger.clone(), router, options)
        .map_err(|error| Failure::usage(error.to_string()))?;
    if let Err(error) = gateway.artifacts().sweep().await {
        tracing::warn!(%error, "folders of uploads that broke off could not be looked for");
    }
    let banner = Banner {
        config,
        specs,
        address,
        first: &first,
        invited: invited.as_ref(),
        took: start.elapsed(),
    };
    // In one piece, so that whoever reads it from a pipe has all of it.
    out.write_all(banner.to_string().as_bytes())?;
    out.flush()?;
    tracing::info!(%address, models = specs.len(), "ready");

    serve_until_signalled(listener, &gateway, config, signals).await;
    for engine in engines {
        engine.shutdown();
    }
    ledger.close().await;
    accounts.close().await;
    tracing::info!("ended");
    Ok(())
}

/// Serves until a signal asks for the end, and what is under way after that for the drain time.
async fn serve_until_signalled(
    listener: TcpListener,
    gateway: &Gateway,
    config: &Config,
    mut signals: Signals,
) {
    let end = async {
        let signal = signals.next().await;
        tracing::info!(signal, in_flight = gateway.n_in_flight(), "draining");
        tokio::spawn(end_at_once(signals));
    };
    let n_cut_off = tokenmill_gateway::serve(listener, gateway, &config.serve, end).await;
    if n_cut_off > 0 {
        tracing::warn!(
            requests = n_cut_off,
            "cut off, because they did not finish within the drain time"
        );
    }
}

/// The gateway's options with its identity providers, whose secrets are read now.
fn gateway_options(config: &Config) -> Result<tokenmill_gateway::Options, Failure> {
    let providers = config.identity_providers.iter();
    let complete = providers.map(|provider| provider.complete(|name| std::env::var_os(name)));
    let identity_providers = complete.collect::<Result<_, _>>().map_err(Failure::usage)?;
    Ok(tokenmill_gateway::Options {
        identity_providers,
        ..config.gateway.clone()
    })
}

/// Takes back credit that has expired, for as long as the server runs.
async fn expire_credit(accounts: Accounts) {
    loop {
        if let Err(error) = accounts.expire_credit().await {
            tracing::warn!(%error, "expired credit could not be taken back; it will be tried again");
        }
        tokio::time::sleep(EXPIRY_ROUND).await;
    }
}

/// Ends the program at the next signal, whatever still runs.
async fn end_at_once(mut signals: Signals) {
    let signal = signals.next().await;
    tracing::warn!(signal, "ending at once");
    std::process::exit(signals::exit_code(signal));
}

async fn bind(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(format!(
            "another program listens on {address} already; end it, or choose another port with --listen (port 0 takes \
             a free one)"
        )),
        io::ErrorKind::InvalidInput => {
            Failure::usage(format!("cannot listen on {address:?}: write an address and a port, as in 127.0.0.1:8080"))
        }
        _ => Failure::new(format!("cannot listen on {address}: {error}")),
    })
}
