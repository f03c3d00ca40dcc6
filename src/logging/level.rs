//! What is written, by level and room: from the options at first, from an operator while the server runs.

use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use log::{LevelFilter, Log, Metadata, Record};

use super::writer::QueueWriter;
use super::{Destination, LoggingOptions, Structure, format};

/// Most directives at a time.
const MOST: usize = 64;

/// The word for what the log was opened with.
const DEFAULT: &str = "default";

/// A directive that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDirective {
    /// Neither a level nor a room with a level.
    #[error(
        "{0:?}: expected off, error, warn, info, debug or trace, a room with one of them as transport=debug, or default"
    )]
    Unknown(String),
    /// Two levels for the same.
    #[error("{0:?}: there is another directive for the same")]
    Twice(String),
    /// More than anybody needs.
    #[error("more than {MOST} directives")]
    TooMany,
}

/// A level for everything, or for a room and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directive {
    module: Option<String>,
    level: LevelFilter,
}

impl Directive {
    fn parse(text: &str) -> Result<Self, BadDirective> {
        let unknown = || BadDirective::Unknown(text.to_owned());
        let (module, level) = match text.split_once('=') {
            Some((module, level)) => (Some(module.trim()), level.trim()),
            None => (None, text),
        };
        let is_name = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let module = match module {
            None => None,
            Some(module) if !module.split("::").all(is_name) => return Err(unknown()),
            Some("sipvouch") => Some("sipvouch".to_owned()),
            Some(module) if module.starts_with("sipvouch::") => Some(module.to_owned()),
            Some(room) => Some(format!("sipvouch::{room}")),
        };
        let level = LevelFilter::from_str(level).map_err(|_| unknown())?;
        Ok(Self { module, level })
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(module) = &self.module {
            write!(f, "{module}=")?;
        }
        f.write_str(&self.level.as_str().to_ascii_lowercase())
    }
}

/// The logger of the process, whose filter can be changed. Clones are one logger.
#[derive(Clone)]
pub(super) struct Switch(Arc<Inner>);

struct Inner {
    shape: Shape,
    logger: ArcSwap<env_logger::Logger>,
    told: Mutex<Told>,
}

struct Told {
    /// What the filter is, for whoever asks.
    directives: String,
    /// Whether the macros of the log crate follow it.
    is_of_process: bool,
}

/// What does not change: how a line looks, and where it goes.
struct Shape {
    level: LevelFilter,
    structure: Structure,
    to_syslog: bool,
    instance: Arc<str>,
    pipe: QueueWriter,
}

impl Shape {
    fn builder(&self) -> env_logger::Builder {
        let mut builder = env_logger::Builder::new();
        let instance = Arc::clone(&self.instance);
        match self.structure {
            Structure::Unstructured => {
                let dated = !self.to_syslog;
                builder.format(move |out, record| format::text(out, record, &instance, dated));
            }
            Structure::JsonCee => {
                let marked = self.to_syslog;
                let host = format::hostname();
                builder
                    .format(move |out, record| format::json(out, record, &instance, &host, marked));
            }
        }
        builder.target(env_logger::Target::Pipe(Box::new(self.pipe.clone())));
        // At the finest level it writes what it sends, tokens among it.
        builder.filter_module("ureq", LevelFilter::Warn);
        builder
    }

    /// As the options and the environment have it.
    fn first(&self) -> (env_logger::Logger, String) {
        let mut builder = self.builder();
        builder.filter_level(self.level).parse_env("RUST_LOG");
        let directives = std::env::var("RUST_LOG")
            .ok()
            .filter(|text| !text.is_empty());
        let directives = directives.unwrap_or_else(|| self.level.as_str().to_ascii_lowercase());
        (builder.build(), directives)
    }
}

impl Switch {
    pub(super) fn new(options: &LoggingOptions, pipe: QueueWriter) -> Self {
        let shape = Shape {
            level: options.level,
            structure: options.structure,
            to_syslog: matches!(options.destination, Destination::Syslog(_)),
            instance: Arc::from(options.instance.as_str()),
            pipe,
        };
        let (logger, directives) = shape.first();
        Self(Arc::new(Inner {
            shape,
            logger: ArcSwap::from_pointee(logger),
            told: Mutex::new(Told {
                directives,
                is_of_process: false,
            }),
        }))
    }

    /// From now on the macros of the log crate ask no more than this filter lets through.
    pub(super) fn be_the_log_of_the_process(&self) {
        self.told().is_of_process = true;
        log::set_max_level(self.0.logger.load().filter());
    }

    pub(super) fn directives(&self) -> String {
        self.told().directives.clone()
    }

    pub(super) fn set(&self, text: &str) -> Result<(), BadDirective> {
        let (logger, directives) = if text.trim() == DEFAULT {
            self.0.shape.first()
        } else {
            self.build(text)?
        };
        // One lock over all of it, so that two changes at a time cannot mix.
        let mut told = self.told();
        if told.is_of_process {
            log::set_max_level(logger.filter());
        }
        self.0.logger.store(Arc::new(logger));
        told.directives = directives;
        Ok(())
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build(&self, text: &str) -> Result<(env_logger::Logger, String), BadDirective> {
        let mut directives: Vec<Directive> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let directive = Directive::parse(part)?;
            if directives.iter().any(|d| d.module == directive.module) {
                return Err(BadDirective::Twice(part.to_owned()));
            }
            directives.push(directive);
            if directives.len() > MOST {
                return Err(BadDirective::TooMany);
            }
        }
        let mut builder = self.0.shape.builder();
        // A room alone is more than usual of that room, not silence of the others.
        if directives.iter().all(|d| d.module.is_some()) {
            let level = self.0.shape.level;
            let everything = Directive {
                module: None,
                level,
            };
            directives.insert(0, everything);
        }
        for Directive { module, level } in &directives {
            builder.filter(module.as_deref(), *level);
        }
        let told: Vec<String> = directives.iter().map(ToString::to_string).collect();
        Ok((builder.build(), told.join(",")))
    }
}

impl Log for Switch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.logger.load().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.logger.load().log(record);
    }

    fn flush(&self) {}
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Switch").field(&self.directives()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn directives_are_levels_and_rooms_with_levels() {
        for (text, meant) in [
            ("debug", Some("debug")),
            ("WARN", Some("warn")),
            ("off", Some("off")),
            ("transport=trace", Some("sipvouch::transport=trace")),
            ("sipvouch::tls = info", Some("sipvouch::tls=info")),
            ("sipvouch=debug", Some("sipvouch=debug")),
            (
                "transport::worker=debug",
                Some("sipvouch::transport::worker=debug"),
            ),
            ("", None),
            ("loud", None),
            ("transport", None),
            ("transport=", None),
            ("=debug", None),
            ("a b=debug", None),
            ("a::=debug", None),
            ("debug/regex", None),
        ] {
            let parsed = Directive::parse(text).ok().map(|d| d.to_string());
            assert_eq!(parsed.as_deref(), meant, "{text:?}");
        }
    }
}
