//! Remembered answers, name servers and the greylist, put together.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::answer::{Answer, Question};
use super::greylist::Greylist;
use super::locate::{Source, Stop, locate};
use super::memory::{Flight, Memory, Standing};
use super::servers::Servers;
use super::weight::Dice;
use super::{Destination, ResolveError, Resolved, ResolverOptions, StartError, Wanted};

/// Finds where URIs lead. One for all threads.
///
/// It has a thread of the DNS library's: it is made after the process has gone into the background.
#[derive(Debug)]
pub struct Resolver {
    options: ResolverOptions,
    servers: Servers,
    memory: Arc<Memory>,
    greylist: Greylist,
    seed: u64,
    /// How many resolutions there have been: each draws anew.
    draws: AtomicU64,
}

impl Resolver {
    /// A resolver that remembers nothing yet.
    ///
    /// # Errors
    ///
    /// The DNS library does not start.
    pub fn new(options: ResolverOptions) -> Result<Self, StartError> {
        Ok(Self {
            servers: Servers::new(&options)?,
            memory: Arc::new(Memory::new(&options)),
            greylist: Greylist::new(options.greylist),
            seed: options
                .seed
                .unwrap_or_else(|| RandomState::new().hash_one(0)),
            draws: AtomicU64::new(0),
            options,
        })
    }

    /// Longest time for one URI.
    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// What is known without asking anybody: address literals, remembered answers, what cannot be. `None` when somebody
    /// has to be asked. Does not block.
    pub fn recall(&self, wanted: &Wanted, now: Instant) -> Option<Resolved> {
        let mut source = Remembered {
            memory: &self.memory,
            now,
        };
        match self.locate(wanted, &mut source, now) {
            Ok(found) => Some(Ok(found)),
            Err(Stop::Failed(error)) => Some(Err(error)),
            Err(Stop::MustAsk) => None,
        }
    }

    /// Finds out, asking for what is not remembered. Blocks, no longer than [`ResolverOptions::timeout`]: for the lookup
    /// pool.
    ///
    /// # Errors
    ///
    /// The URI leads nowhere, or nobody can tell.
    pub fn resolve(&self, wanted: &Wanted, now: Instant) -> Resolved {
        let mut source = Asking {
            resolver: self,
            now,
            deadline: Instant::now() + self.options.timeout,
        };
        self.locate(wanted, &mut source, now)
            .map_err(|stop| match stop {
                Stop::Failed(error) => error,
                Stop::MustAsk => ResolveError::ServerFailure,
            })
    }

    /// This destination could not be reached, or failed its TLS handshake (RFC 3263 §4.3): it is tried last for
    /// [`ResolverOptions::greylist`], or until it [`Resolver::works`].
    pub fn avoid(&self, destination: &Destination, now: Instant) {
        self.greylist.add(*destination, now);
    }

    /// Whether this destination failed lately, and has not worked since.
    pub fn is_avoided(&self, destination: &Destination, now: Instant) -> bool {
        self.greylist.has(destination, now)
    }

    /// This destination answered 503 or nothing at all (RFC 3263 §4.3): it is tried last, for as long as it has asked for
    /// within bounds, or for [`ResolverOptions::greylist`].
    pub fn leave_alone(&self, destination: &Destination, asked: Option<Duration>, now: Instant) {
        self.greylist.leave_alone(*destination, asked, now);
    }

    /// This destination can be reached: that it could not is forgotten.
    pub fn works(&self, destination: &Destination) {
        self.greylist.remove(destination);
    }

    fn locate(
        &self,
        wanted: &Wanted,
        source: &mut impl Source,
        now: Instant,
    ) -> Result<Vec<Destination>, Stop> {
        // SplitMix64 takes any number for a seed, also the next one.
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        let mut dice = Dice::new(
            self.seed
                .wrapping_add(draw.wrapping_mul(0xd134_2543_de82_ef95)),
        );
        let mut found = locate(wanted, &self.options, source, &mut dice)?;
        self.greylist.order(&mut found, now);
        Ok(found)
    }
}

/// Answers that are there already.
struct Remembered<'a> {
    memory: &'a Memory,
    now: Instant,
}

impl Source for Remembered<'_> {
    fn answers(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Stop> {
        questions
            .iter()
            .map(|question| self.memory.recall(question, self.now).ok_or(Stop::MustAsk))
            .collect()
    }
}

/// Answers that are waited for.
struct Asking<'a> {
    resolver: &'a Resolver,
    now: Instant,
    deadline: Instant,
}

impl Asking<'_> {
    /// Asks for what nobody knows or has asked for.
    fn begin(&self, question: &Question) -> Result<Answer, Arc<Flight>> {
        match self.resolver.memory.standing(question, self.now) {
            Standing::Known(answer) => Ok(answer),
            Standing::UnderWay(flight) => Err(flight),
            Standing::Yours(flight) => {
                let memory = Arc::clone(&self.resolver.memory);
                let (asked, landing) = (question.clone(), Arc::clone(&flight));
                self.resolver.servers.ask(question, move |reply| {
                    memory.land(&asked, &landing, reply);
                });
                Err(flight)
            }
        }
    }
}

impl Source for Asking<'_> {
    fn answers(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Stop> {
        // All questions are under way before the first is waited for.
        let begun: Vec<_> = questions.iter().map(|q| self.begin(q)).collect();
        Ok(begun
            .into_iter()
            .map(|known| match known {
                Ok(answer) => answer,
                Err(flight) => flight
                    .wait(self.deadline)
                    .unwrap_or(Err(ResolveError::Timeout)),
            })
            .collect())
    }
}
