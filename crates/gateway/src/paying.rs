//! Who pays for a request: holds its worst case in the ledger once the prompt is counted, and settles it at the last
//! event, before the last byte.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokenmill_accounts::{Accounts, Hold, HoldError, Ledger, Nanos, Price, Tokens, Usage};
use tokenmill_inference::{
    Event, EventStream, InferenceError, NotAdmitted, Payer, Usage as Counted, WorstCase,
};

use crate::error::ApiError;
use crate::rates::Charged;

/// How often a running answer looks whether its key still holds.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often an allowance is computed anew when others were faster.
const MAX_TRIES: usize = 4;

/// The account of one request.
pub(crate) struct Account {
    ledger: Ledger,
    /// As it will stand in the ledger, without what is held.
    usage: Usage,
    hold: OnceLock<Hold>,
    refusal: Mutex<Option<ApiError>>,
    rates: Charged,
    accounts: Accounts,
    /// When the key was last looked at, and what had changed by then.
    seen: Mutex<(Instant, Option<i64>)>,
}

impl Account {
    pub(crate) fn new(accounts: Accounts, ledger: Ledger, usage: Usage, rates: Charged) -> Account {
        Account {
            accounts,
            seen: Mutex::new((Instant::now(), None)),
            ledger,
            usage,
            hold: OnceLock::new(),
            refusal: Mutex::new(None),
            rates,
        }
    }

    /// Its name in the ledger.
    pub(crate) fn usage_id(&self) -> String {
        self.usage.id.to_string()
    }

    /// Why it was not admitted, once.
    pub(crate) fn take_refusal(&self) -> Option<ApiError> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// There is no answer: it costs nothing.
    pub(crate) fn fail(&self) {
        if let Some(hold) = self.hold.get() {
            hold.fail();
        }
    }

    /// Whether the key may go on, looked at once a second: one that was revoked with the wish to end its streams may not.
    async fn may_go_on(&self) -> bool {
        let known = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.0.elapsed() < LOOK_AGAIN {
                return true;
            }
            seen.0 = Instant::now();
            seen.1
        };
        // A database that does not answer ends nobody's stream.
        let Ok(revision) = self.accounts.revision().await else {
            return true;
        };
        if known == Some(revision) {
            return true;
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(revision);
        self.accounts.may_go_on(&self.usage.key_id).await.unwrap_or(true)
    }

    /// How many tokens each choice may have.
    async fn hold(&self, worst: WorstCase) -> Result<u64, ApiError> {
        let WorstCase {
            n_prompt,
            mut max_tokens,
            n_choices,
            is_max_set,
        } = worst;
        let n_choices = u64::from(n_choices.max(1));
        for _ in 0..MAX_TRIES {
            let mut usage = self.usage.clone();
            usage.hold = usage
                .price
                .worst_case(n_prompt, max_tokens.saturating_mul(n_choices));
            usage.tokens.n_prompt = n_prompt;
            match self.ledger.hold(usage).await {
                Ok(hold) => {
                    let _ = self.hold.set(hold);
                    self.rates.tokens(n_prompt);
                    return Ok(max_tokens);
                }
                Err(HoldError::Unavailable(why)) => return Err(ApiError::unaccountable(why)),
                Err(error @ HoldError::Insufficient { budget, .. }) => {
                    let n = affordable(&self.usage.price, n_prompt, n_choices, budget);
                    // Who asked for so many is not given fewer; who did not is given what there is.
                    if is_max_set || n == 0 {
                        return Err(out_of_money(&error, n));
                    }
                    max_tokens = n.min(max_tokens);
                }
            }
        }
        Err(ApiError::unaccountable(
            "the allowance changed too often".to_owned(),
        ))
    }
}

fn affordable(price: &Price, n_prompt: u64, n_choices: u64, budget: Nanos) -> u64 {
    price.affordable(n_prompt, budget) / n_choices
}

fn out_of_money(error: &HoldError, n_affordable: u64) -> ApiError {
    let code = if error.is_cap() {
        "spending_cap_reached"
    } else {
        "insufficient_quota"
    };
    ApiError::out_of_money(code, n_affordable).with_detail(error.to_string())
}

impl Payer for Account {
    fn admit(&self, worst: WorstCase) -> BoxFuture<'_, Result<u64, NotAdmitted>> {
        async move {
            self.hold(worst).await.map_err(|refusal| {
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                NotAdmitted
            })
        }
        .boxed()
    }

    fn generated(&self, n_tokens: u64) {
        self.rates.tokens(n_tokens);
        if let Some(hold) = self.hold.get() {
            hold.generated(n_tokens);
        }
    }
}

/// Passes events on; the first not before the log has the request, the last not before its usage is safe.
pub(crate) fn paid(events: EventStream, account: Arc<Account>) -> EventStream {
    let begin = Some((events, account, false));
    EventStream::new(futures::stream::unfold(begin, |state| async move {
        let (mut events, account, is_noted) = state?;
        let event = events.next().await;
        let Some(hold) = account.hold.get() else {
            let fault = "an upstream began without asking who pays";
            return Some((Err(InferenceError::Fault(fault.to_owned())), None));
        };
        match event {
            Some(Ok(Event::Finished(counted))) => {
                let settled = hold.settle(tokens(counted)).await;
                let last = settled.map(|()| Event::Finished(counted));
                Some((last.map_err(|_| InferenceError::NotAdmitted), None))
            }
            Some(Ok(event)) => {
                if !account.may_go_on().await {
                    // Dropping what is left ends the work, and charges what has run.
                    return Some((Err(InferenceError::Revoked), None));
                }
                if !is_noted && hold.noted().await.is_err() {
                    hold.fail();
                    return Some((Err(InferenceError::NotAdmitted), None));
                }
                Some((Ok(event), Some((events, account, true))))
            }
            Some(Err(error)) => {
                hold.fail();
                Some((Err(error), None))
            }
            None => {
                hold.fail();
                None
            }
        }
    }))
}

fn tokens(counted: Counted) -> Tokens {
    Tokens {
        n_prompt: counted.n_prompt,
        n_cached: counted.n_cached,
        n_completion: counted.n_completion,
    }
}
