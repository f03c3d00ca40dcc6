//! Checks of one's own, asked before the built-in rules.
//!
//! A check looks at one claimed identity and abstains, allows, denies, or names a question that takes time (a data base,
//! a directory). The question is answered on the lookup pool and the request goes on where it stopped.
//!
//! ```
//! use sipvouch::auth::{Answer, Check, Claim, Opinion, Question};
//!
//! /// Emergency numbers may be used by whoever is connected; `robot` by nobody; guests are looked up.
//! struct HouseRules;
//!
//! struct GuestBook(String);
//!
//! impl Question for GuestBook {
//!     fn answer(self: Box<Self>) -> Answer {
//!         // May block: this runs on the lookup pool.
//!         match self.0.as_str() {
//!             "guest-7" => Answer::Allow,
//!             _ => Answer::Deny("not in the guest book".into()),
//!         }
//!     }
//! }
//!
//! impl Check for HouseRules {
//!     fn name(&self) -> &str {
//!         "house-rules"
//!     }
//!
//!     fn check(&self, claim: &Claim<'_>) -> Opinion {
//!         match claim.uri.sip().and_then(|uri| uri.user) {
//!             Some("112") => Opinion::Allow,
//!             Some("robot") => Opinion::Deny("robots do not call".into()),
//!             Some(user) if user.starts_with("guest-") => {
//!                 Opinion::Pending(Box::new(GuestBook(user.to_owned())))
//!             }
//!             _ => Opinion::Abstain,
//!         }
//!     }
//! }
//!
//! assert_eq!(HouseRules.name(), "house-rules");
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::vec;

use super::certificate::Identities;
use super::digest::{DigestUser, HashText};
use super::password::{Examined, PasswordAnswer, PasswordQuestion, PasswordsFailed, Standing};
use super::verdict::{IdentityPath, Role};
use crate::sip::{Request, Uri};

/// Over what a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// SIP over UDP: the source address proves nothing.
    Udp,
    /// SIP over TCP.
    Tcp,
    /// SIP over TLS.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// Whether nothing is lost or repeated on the way (RFC 3261 §17).
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }
}

impl Transport {
    /// Whether it is encrypted, so that its peer may have shown a certificate.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether a connection stands behind it, so that the source address is not just written on the datagram.
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }

    /// The one of this name, in any letter case.
    pub fn of_name(name: &str) -> Option<Self> {
        let all = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];
        all.into_iter()
            .find(|own| own.as_str().eq_ignore_ascii_case(name))
    }

    /// The token of Via.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }
}

/// Who sent a request, as far as the transport knows.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'p> {
    /// Over what it came.
    pub transport: Transport,
    /// Where it came from; with PROXY protocol, the address that the trusted balancer named.
    pub source: SocketAddr,
    /// The names of the certificate that the handshake verified; `None` without one.
    pub identities: Option<&'p Identities>,
}

impl<'p> Peer<'p> {
    /// The identities that count: those that came over TLS.
    pub fn proved(&self) -> Option<&'p Identities> {
        self.identities.filter(|_| self.transport.is_secure())
    }
}

/// One identity that a request claims.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Which of the request's identities.
    pub role: Role,
    /// The claimed URI.
    pub uri: &'a Uri<'a>,
    /// The claimed URI as written.
    pub text: &'a [u8],
    /// Who claims it.
    pub peer: &'a Peer<'a>,
    /// Who would handle the request.
    pub path: IdentityPath,
    /// The request.
    pub request: &'a Request<'a>,
}

/// What a check says about a claim.
pub enum Opinion {
    /// Nothing: the next check, in the end the built-in rules decide.
    Abstain,
    /// The peer may use this identity.
    Allow,
    /// It may not. The text is for the operator, the peer gets a fixed phrase.
    Deny(String),
    /// It depends on the answer to a question that takes time.
    Pending(Box<dyn Question>),
}

/// What a [`Question`] says; as [`Opinion`], but final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: the next check, in the end the built-in rules decide.
    Abstain,
    /// The peer may use this identity.
    Allow,
    /// It may not. The text is for the operator, the peer gets a fixed phrase.
    Deny(String),
}

/// A rule of one's own. Called on a worker thread: it must not block; what blocks is a [`Question`].
pub trait Check: Send + Sync {
    /// A stable word for logs.
    fn name(&self) -> &str;

    /// Judges one claim. Claims of one request are judged independently, maybe more than once.
    fn check(&self, claim: &Claim<'_>) -> Opinion;
}

/// A question to be answered on the lookup pool. May block; fails closed by answering [`Answer::Deny`].
pub trait Question: Send {
    /// Finds the answer.
    fn answer(self: Box<Self>) -> Answer;

    /// Finds the answer and gives it away, here or on a thread of one's own: whoever may wait long for it returns soon and
    /// leaves the lookup pool to others. Nobody hears of a question whose `done` is dropped unused: it counts as failed.
    fn hand_over(self: Box<Self>, done: Done<Answer>) {
        done(self.answer());
    }
}

/// What is to be done with what was waited for.
pub type Done<T> = Box<dyn FnOnce(T) + Send>;

/// A question and what it is about.
pub(super) enum Asked {
    /// That of a check.
    Check {
        check: Arc<dyn Check>,
        role: Role,
        text: Box<[u8]>,
        question: Box<dyn Question>,
    },
    /// The password of a user.
    Password(PasswordQuestion),
}

#[derive(Clone)]
struct Answered {
    check: Arc<dyn Check>,
    role: Role,
    text: Box<[u8]>,
    answer: Answer,
}

/// The answers found so far for one request.
///
/// Each belongs to one check, one header field and one URI: when the rules are replaced while a question is open, the new
/// rules' checks ask again instead of taking an answer that was not given to them. What a digest answer has proved belongs to
/// its header field.
#[derive(Default, Clone)]
pub struct Answers {
    checks: Vec<Answered>,
    passwords: Vec<PasswordAnswer>,
    examined: Option<Box<Examined>>,
}

impl Answers {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.passwords.is_empty() && self.examined.is_none()
    }

    pub(super) fn of(&self, check: &Arc<dyn Check>, role: Role, text: &[u8]) -> Option<&Answer> {
        self.checks
            .iter()
            .find(|a| Arc::ptr_eq(&a.check, check) && a.role == role && *a.text == *text)
            .map(|a| &a.answer)
    }

    /// What was answered for this user.
    pub(super) fn password(
        &self,
        user: &str,
        domain: &str,
    ) -> Option<Result<Option<Arc<HashText>>, PasswordsFailed>> {
        let mut known = self.passwords.iter();
        known
            .find(|known| known.user == user && known.domain == domain)
            .map(|known| known.answer.clone())
    }

    /// Finds the password of a user. May block.
    fn look_up(&mut self, asked: PasswordQuestion) {
        // From and To of a REGISTER may ask for the same one.
        if self.password(&asked.user, &asked.domain).is_some() {
            return;
        }
        let answer = asked.passwords.answer(&asked.user, &asked.domain);
        self.passwords.push(PasswordAnswer {
            user: asked.user,
            domain: asked.domain,
            answer,
        });
    }

    /// What this digest answer has been found to say.
    pub(super) fn examined(&self, header: &[u8]) -> Option<&Standing> {
        let examined = self.examined.as_deref()?;
        (*examined.header == *header).then_some(&examined.standing)
    }

    /// Who has proved a password.
    pub(super) fn proved(&self) -> Option<&DigestUser> {
        match &self.examined.as_deref()?.standing {
            Standing::Proved(user) => Some(user),
            _ => None,
        }
    }

    /// Keeps what a digest answer says, unless that is still open.
    pub(super) fn keep(&mut self, examined: Examined) {
        let is_open = matches!(
            examined.standing,
            Standing::Absent | Standing::Unreadable(_) | Standing::Open { .. } | Standing::Failed
        );
        if !is_open {
            self.examined = Some(Box::new(examined));
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.checks
                    .iter()
                    .map(|a| (a.check.name(), a.role.as_str(), &a.answer)),
            )
            .finish()
    }
}

/// A request that waits for answers. Holds nothing of the request: whoever parks it keeps the message beside this.
pub struct Pending {
    pub(super) asked: Vec<Asked>,
    pub(super) answers: Answers,
}

impl Pending {
    /// Answers all open questions, one after the other, and gives what [`super::resume`] wants. May block: call it on
    /// the lookup pool.
    pub fn answer(self) -> Answers {
        let mut answers = self.answers;
        for asked in self.asked {
            match asked {
                Asked::Check {
                    check,
                    role,
                    text,
                    question,
                } => answers.checks.push(Answered {
                    check,
                    role,
                    text,
                    answer: question.answer(),
                }),
                Asked::Password(asked) => answers.look_up(asked),
            }
        }
        answers
    }

    /// Has all open questions answered, one after the other, and gives `done` what [`super::resume`] wants: here, or on a thread
    /// of whoever answers. May block: call it on the lookup pool. Drops `done` unused if a question was given up.
    pub fn begin(self, done: Done<Answers>) {
        ask_next(self.asked.into_iter(), self.answers, done);
    }

    /// How many questions are open.
    pub fn open_questions(&self) -> usize {
        self.asked.len()
    }

    /// Names of the checks that wait for an answer.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().map(|asked| match asked {
            Asked::Check { check, .. } => check.name(),
            Asked::Password(_) => "password",
        })
    }
}

/// Asks the next one when the one before is answered. There are no more than a request has identities.
fn ask_next(mut asked: vec::IntoIter<Asked>, mut answers: Answers, done: Done<Answers>) {
    let Some(next) = asked.next() else {
        return done(answers);
    };
    match next {
        Asked::Check {
            check,
            role,
            text,
            question,
        } => question.hand_over(Box::new(move |answer| {
            answers.checks.push(Answered {
                check,
                role,
                text,
                answer,
            });
            ask_next(asked, answers, done);
        })),
        Asked::Password(question) => {
            answers.look_up(question);
            ask_next(asked, answers, done);
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("asked_by", &self.names().collect::<Vec<_>>())
            .field("answers", &self.answers)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::test_support::{answer, from, options, peer, request};
    use super::super::{Decision, IdentityRules, Mappings, Rules, admit, resume};
    use super::*;
    use crate::sip::{FromRule, Message};

    const MISMATCH: &str = "403 Authentication Failed for peer cert";
    const MUTUAL: &str = "403 Mutual TLS required to handle that message";

    /// Says what its user asks for; `ask…` takes a question.
    struct ByUser {
        asked: AtomicUsize,
    }

    struct Later(Answer);

    impl Question for Later {
        fn answer(self: Box<Self>) -> Answer {
            self.0
        }
    }

    impl Check for ByUser {
        fn name(&self) -> &str {
            "by-user"
        }

        fn check(&self, claim: &Claim<'_>) -> Opinion {
            let ask = |answer| {
                self.asked.fetch_add(1, Ordering::Relaxed);
                Opinion::Pending(Box::new(Later(answer)))
            };
            match claim.uri.sip().and_then(|uri| uri.user) {
                Some("allow") => Opinion::Allow,
                Some("deny") => Opinion::Deny("house rule".into()),
                Some("ask-allow") => ask(Answer::Allow),
                Some("ask-deny") => ask(Answer::Deny("no such guest".into())),
                Some("ask-abstain") => ask(Answer::Abstain),
                _ => Opinion::Abstain,
            }
        }
    }

    /// Runs to the end; the final answer and the number of rounds.
    fn with_check(
        checks: Vec<Arc<dyn Check>>,
        method: &str,
        claimed: &str,
        to: &str,
    ) -> (String, usize) {
        let options = options(IdentityRules::Secure);
        let rules = Rules::new(&options, Mappings::default(), checks);
        let peer = peer(Transport::Tls, "127.0.0.3", None);
        let text = request(method, &from(claimed), &format!("<{to}>"), "");
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        let path = IdentityPath::Proxy.into();
        let mut decision = admit(request, &peer, path, &rules);
        for round in 0.. {
            decision = match decision {
                Decision::Pending(pending) => {
                    resume(request, &peer, path, &rules, pending.answer())
                }
                done => return (answer(&done), round),
            };
        }
        unreachable!()
    }

    #[test]
    fn the_first_check_that_does_not_abstain_decides() {
        let one = || -> Vec<Arc<dyn Check>> {
            vec![Arc::new(ByUser {
                asked: AtomicUsize::new(0),
            })]
        };
        let user = |name: &str| format!("sip:{name}@example.org");
        for (method, claimed, to, wanted, rounds) in [
            ("MESSAGE", "allow", "eve", "check(\"by-user\")", 0),
            ("MESSAGE", "deny", "eve", MISMATCH, 0),
            ("MESSAGE", "alice", "eve", MUTUAL, 0),
            ("MESSAGE", "ask-allow", "eve", "check(\"by-user\")", 1),
            ("MESSAGE", "ask-deny", "eve", MISMATCH, 1),
            ("MESSAGE", "ask-abstain", "eve", MUTUAL, 1),
            (
                "REGISTER",
                "ask-allow",
                "ask-allow",
                "check(\"by-user\")",
                1,
            ),
            ("REGISTER", "ask-allow", "ask-deny", MISMATCH, 1),
            // Nobody is asked about a request that is refused anyhow.
            ("REGISTER", "ask-allow", "deny", MISMATCH, 0),
        ] {
            let found = with_check(one(), method, &user(claimed), &user(to));
            assert_eq!(
                found,
                (wanted.to_owned(), rounds),
                "{method} {claimed} {to}"
            );
        }
    }

    #[test]
    fn an_answer_belongs_to_the_check_that_asked() {
        let new = || {
            Arc::new(ByUser {
                asked: AtomicUsize::new(0),
            })
        };
        let (first, second) = (new(), new());
        let (found, rounds) = with_check(
            vec![first.clone(), second.clone()],
            "MESSAGE",
            "sip:ask-abstain@example.org",
            "sip:eve@example.org",
        );
        assert_eq!((found.as_str(), rounds), (MUTUAL, 2));
        assert_eq!(first.asked.load(Ordering::Relaxed), 1);
        assert_eq!(second.asked.load(Ordering::Relaxed), 1);
    }
}
