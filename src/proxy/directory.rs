//! Questions of the proxy core that take time, and where their answers come from.
//!
//! A [`Directory`] knows users, runs the queries of filters and keeps messages. The core asks it from memory first; what it
//! does not know at once becomes a [`Pending`], which is answered on the lookup pool. Then the request is judged anew with
//! its answers. Each answer belongs to its question: when the rules are replaced meanwhile, a question that is no longer
//! asked has no consequence, and none is asked twice.

use std::fmt;
use std::sync::Arc;

use super::pattern::Undecided;
use super::query::FilterCaptures;
use super::silo::KeptMessage;
use crate::auth;

/// A question that takes time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Whether there is such a user.
    UserExists {
        /// User part in its canonical spelling ([`crate::sip::canonical_user`]).
        user: String,
        /// Domain in lower case, or an address.
        domain: String,
    },
    /// The query of a request filter.
    Filter {
        /// The query as the operator wrote it; [`super::pieces`] takes it apart.
        statement: Arc<str>,
        /// What stands in its places, as parameters.
        captures: FilterCaptures,
    },
    /// To keep a message for a user who is away.
    Keep(Box<KeptMessage>),
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept: it survives a restart from now on.
    Stored,
    /// There is no room for it.
    Full,
    /// The store refused, or does not answer.
    Failed,
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To `UserExists`.
    Exists(bool),
    /// To `Filter`: first column of the first row, NULL as an empty text; `None` when there is no row.
    FilterResult(Option<String>),
    /// To `Keep`.
    Kept(Kept),
    /// To any: whoever would know does not answer.
    Failed,
}

/// Who knows the answers.
pub trait Directory: Send + Sync {
    /// The answer, if it is known at once. Called on a worker thread: it must not block. Not asked about `Keep`.
    fn recall(&self, question: &Question) -> Option<Answer>;

    /// Finds the answer. May block; runs on the lookup pool. It ends in [`Answer::Failed`] rather than waiting for ever.
    fn answer(&self, question: Question) -> Answer;

    /// Hears that a filter with this key could not be held against a request, whose sender is told no more than what a
    /// filter says. Called on a worker thread: it must not block.
    fn undecided(&self, _filter: &str, _why: Undecided) {}
}

/// The directory of a server without any store: every user may exist, no query has an answer, nothing is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDirectory;

impl Directory for NoDirectory {
    fn recall(&self, question: &Question) -> Option<Answer> {
        Some(match question {
            Question::UserExists { .. } => Answer::Exists(true),
            Question::Filter { .. } | Question::Keep(_) => Answer::Failed,
        })
    }

    fn answer(&self, question: Question) -> Answer {
        self.recall(&question).unwrap_or(Answer::Failed)
    }
}

/// Answers that one request may gather. It takes three at most; more only come together when rules are replaced again and
/// again under a request.
const MAX_ANSWERS: usize = 16;

/// The answers found so far for one request, those of admission among them.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    pub(super) admission: Option<auth::Answers>,
    /// When the message arrived ([`super::Context::arrived`]), the first time that it was judged.
    pub(super) arrived: Option<u64>,
    routing: Vec<(Question, Answer)>,
}

/// What there is to say to a question right now.
#[derive(Debug)]
pub(super) enum Reply {
    /// This.
    Now(Answer),
    /// It has to be asked on the lookup pool.
    Later(Question),
}

impl Answers {
    /// Whether something has been asked and answered before.
    pub(super) fn are_some(&self) -> bool {
        self.admission.is_some() || !self.routing.is_empty()
    }

    /// Whether the message has been kept. Whatever has changed since, that is what its sender has to be told.
    pub(super) fn is_kept(&self) -> bool {
        self.routing
            .iter()
            .any(|answered| matches!(answered, (Question::Keep(_), Answer::Kept(Kept::Stored))))
    }

    /// Asks a question: of what has been answered, then of the directory's memory.
    pub(super) fn ask(&self, question: Question, directory: &dyn Directory) -> Reply {
        let known = self.routing.iter().find(|(asked, _)| *asked == question);
        if let Some((_, answer)) = known {
            return Reply::Now(answer.clone());
        }
        if self.routing.len() >= MAX_ANSWERS {
            return Reply::Now(Answer::Failed);
        }
        // Keeping is a deed, and has to be answered for.
        let recalled = match question {
            Question::Keep(_) => None,
            _ => directory.recall(&question),
        };
        recalled.map_or(Reply::Later(question), Reply::Now)
    }
}

/// A request that waits for answers. Holds nothing of the request: whoever parks it keeps the message beside this.
#[derive(Debug)]
pub struct Pending {
    open: Open,
    answers: Answers,
}

enum Open {
    /// Checks of admission.
    Admission(auth::Pending),
    /// One question of the core.
    Routing(Question, Arc<dyn Directory>),
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admission(pending) => pending.fmt(f),
            Self::Routing(question, _) => question.fmt(f),
        }
    }
}

impl Pending {
    /// Waits for admission. The answers of admission so far are within `pending`.
    pub(super) fn admission(pending: auth::Pending, answers: Answers) -> Self {
        Self {
            open: Open::Admission(pending),
            answers,
        }
    }

    /// Waits for a directory.
    pub(super) fn routing(
        question: Question,
        directory: &Arc<dyn Directory>,
        answers: Answers,
    ) -> Self {
        Self {
            open: Open::Routing(question, Arc::clone(directory)),
            answers,
        }
    }

    /// Has what is open answered, and gives `done` what [`super::on_answers`] wants: here, or on a thread of whoever answers. May
    /// block: call it on the lookup pool. Drops `done` unused if a question was given up.
    pub fn begin(self, done: auth::Done<Answers>) {
        match self.open {
            Open::Admission(pending) => {
                let mut answers = self.answers;
                pending.begin(Box::new(move |admission| {
                    answers.admission = Some(admission);
                    done(answers);
                }));
            }
            Open::Routing(..) => done(self.answer()),
        }
    }

    /// Answers what is open, and gives what [`super::on_answers`] wants. May block: call it on the lookup pool.
    pub fn answer(self) -> Answers {
        let mut answers = self.answers;
        match self.open {
            Open::Admission(pending) => answers.admission = Some(pending.answer()),
            Open::Routing(question, directory) => {
                let answer = directory.answer(question.clone());
                answers.routing.push((question, answer));
            }
        }
        answers
    }
}
