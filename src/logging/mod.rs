//! Where log lines go: repro's `LoggingType`, `LogFilename` and rotation, over env_logger.

mod options;

pub use options::{Destination, Facility, LoggingOptions, Structure};
