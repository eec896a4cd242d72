//! Why a command ends without having done what it was asked: one sentence and an exit code.

use std::io;

use crate::config::ConfigError;

/// Something went wrong while running.
const RUN_TIME: u8 = 1;
/// What was asked cannot be done as asked: the code that wrong flags give too.
const USAGE: u8 = 2;

/// The end of a command that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For standard error, without a line feed. Empty where nothing is to be said.
    pub(crate) message: String,
    pub(crate) exit_code: u8,
}

impl Failure {
    /// A fault of the machine, a file or the network.
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure {
            message: one_line(&message.into()),
            exit_code: RUN_TIME,
        }
    }

    /// A fault in what was asked.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure {
            message: one_line(&message.into()),
            exit_code: USAGE,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::usage(error.to_string())
    }
}

/// Failing to write the output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // `tokenmill keys list | head -1`: whoever reads has read enough.
            return Failure {
                message: String::new(),
                exit_code: 0,
            };
        }
        Failure::new(format!("cannot write the output: {error}"))
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
