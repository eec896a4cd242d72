//! Tokens on their way from the engine's thread to an async reader, with a bound between them.
//!
//! The engine never waits: a full channel pauses the sequence, and the reader wakes the engine once it has made room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use tokenmill_engine::{Delivery, Finish, Output, Sink, Waker};
use tokio::sync::mpsc;

/// Tokens that may wait between the engine and a reader. A sequence whose reader is further behind pauses.
const TOKENS_AHEAD: usize = 64;

/// What engine and reader tell each other beside the tokens.
#[derive(Default)]
struct Gate {
    /// The reader wants no more tokens.
    is_closed: AtomicBool,
    /// The engine has seen it full and waits to be woken.
    is_awaited: AtomicBool,
}

/// The engine's end. Room for one output more than `TOKENS_AHEAD` is kept for the finish, so that it always fits.
pub(super) struct TokenSink {
    outputs: mpsc::Sender<Output>,
    gate: Arc<Gate>,
}

/// The reader's end; dropping it cancels the sequence.
pub(super) struct Tokens {
    outputs: mpsc::Receiver<Output>,
    gate: Arc<Gate>,
    waker: Waker,
}

/// The two ends for one sequence.
pub(super) fn token_channel(waker: Waker) -> (TokenSink, Tokens) {
    let (sender, receiver) = mpsc::channel(TOKENS_AHEAD + 1);
    let gate = Arc::new(Gate::default());
    (
        TokenSink {
            outputs: sender,
            gate: gate.clone(),
        },
        Tokens {
            outputs: receiver,
            gate,
            waker,
        },
    )
}

impl Sink for TokenSink {
    fn deliver(&mut self, output: Output) -> Delivery {
        if matches!(output, Output::Token { .. }) {
            if self.is_closed() {
                return Delivery::Closed;
            }
            if !self.has_room() {
                return Delivery::Full;
            }
        }
        match self.outputs.try_send(output) {
            Ok(()) => Delivery::Accepted,
            Err(mpsc::error::TrySendError::Full(_)) => Delivery::Full,
            Err(mpsc::error::TrySendError::Closed(_)) => Delivery::Closed,
        }
    }

    fn is_closed(&self) -> bool {
        self.gate.is_closed.load(Ordering::Acquire) || self.outputs.is_closed()
    }

    fn has_room(&self) -> bool {
        if self.outputs.capacity() > 1 {
            return true;
        }
        // The reader may have made room just now, before it could know that somebody waits: look again.
        self.gate.is_awaited.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.outputs.capacity() > 1
    }
}

impl Tokens {
    pub(super) async fn next(&mut self) -> Option<Output> {
        let output = self.outputs.recv().await;
        fence(Ordering::SeqCst);
        if self.gate.is_awaited.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
        output
    }

    /// Wants no more tokens; the finish still comes.
    pub(super) fn close(&self) {
        self.gate.is_closed.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Waits for the finish.
    pub(super) async fn finish(&mut self) -> Option<Finish> {
        loop {
            if let Output::Finish(finish) = self.next().await? {
                return Some(finish);
            }
        }
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.close();
    }
}
