//! The process: in the background or not, under which user, with which PID file and how many descriptors.

mod options;

pub use options::ProcessOptions;
