//! Which of the final responses to a forked request goes back: RFC 3261 §16.7 steps 6 and 7.
//!
//! One response is kept, however many come: a better one takes its place, and of those as good as it the parts that the
//! caller needs (challenges, places to try) are merged into it, up to a bound.

use std::borrow::Cow;

use super::fork_effect::{BranchNumber, FinalAnswer, ForkKind};
use super::target::MAX_TARGETS;
use crate::sip::{Address, HeaderName, Message, StatusCode, list_elements};

/// Statuses of one preference.
enum Statuses {
    /// These.
    Codes(&'static [u16]),
    /// All of a class.
    Class(u16),
    /// Any.
    Any,
}
use Statuses::{Any, Class, Codes};

/// How good a response is by its status: the number of the first row that has it, the lower the better. These are repro's
/// preferences; within one of them the lower class wins.
///
/// Deviation: RFC 3261 §16.7 step 6 would have any response of a lower class before those of a higher one. As with repro, a
/// 4xx that says how to repair the request goes before a redirection, and a 5xx before a 4xx that says nothing.
const PREFERENCES: [(u8, Statuses); 29] = [
    (0, Class(6)),
    (1, Codes(&[412])),
    (2, Codes(&[484])),
    (3, Codes(&[422, 423])),
    (CHALLENGE, Codes(&[401, 407])),
    (REDIRECTION, Class(3)),
    (6, Codes(&[402])),
    (10, Codes(&[493])),
    (12, Codes(&[420])),
    (13, Codes(&[406, 415, 488])),
    (20, Codes(&[416, 417])),
    (21, Codes(&[405, 501])),
    (22, Codes(&[580])),
    (23, Codes(&[485])),
    (24, Codes(&[428, 429, 494])),
    (25, Codes(&[413, 414])),
    (26, Codes(&[421])),
    (30, Codes(&[486])),
    (31, Codes(&[480])),
    (32, Codes(&[410])),
    (33, Codes(&[436, 437, 513])),
    (34, Codes(&[403])),
    (35, Codes(&[404])),
    (36, Codes(&[487])),
    (41, Codes(&[482, 483])),
    (49, Codes(&[408])),
    (43, Codes(&[503])),
    (42, Class(5)),
    (43, Any),
];
const CHALLENGE: u8 = 4;
const REDIRECTION: u8 = 5;

/// Most octets that are merged into a response from others.
const MAX_MERGED: usize = 8192;

/// Preference, then class.
fn rank(status: StatusCode) -> (u8, u16) {
    let code = status.as_u16();
    let row = PREFERENCES.iter().find(|(_, statuses)| match statuses {
        Codes(codes) => codes.contains(&code),
        Class(class) => code / 100 == *class,
        Any => true,
    });
    (
        row.map_or(u8::MAX, |(preference, _)| *preference),
        code / 100,
    )
}

/// Whether the Contacts of this response are places for the same request. Those of a 305 and a 380 are not (RFC 3261
/// §21.3.4, §21.3.5).
pub(super) fn names_places(status: StatusCode) -> bool {
    (StatusCode::MULTIPLE_CHOICES..=StatusCode::MOVED_TEMPORARILY).contains(&status)
}

/// What a branch ended with.
#[derive(Debug)]
pub(super) enum Outcome<'o, 'm> {
    /// A response.
    Response(BranchNumber, &'o Message<'m>),
    /// A redirection of which these Contacts are left: the others have been followed.
    Rest(Vec<Vec<u8>>),
    /// No response; the phrase says why.
    Failure(Cow<'static, str>),
}

#[derive(Debug)]
enum Kept {
    Response(BranchNumber, Box<Message<'static>>),
    Own(Cow<'static, str>),
}

#[derive(Debug)]
struct Best {
    status: StatusCode,
    kept: Kept,
    /// Header lines with the challenges of others.
    challenges: Vec<u8>,
    /// Contacts in place of those of what is kept; empty while those are all.
    contacts: Contacts,
}

/// The best final response of those that were offered.
#[derive(Debug, Default)]
pub(super) struct BestResponse(Option<Best>);

impl BestResponse {
    /// Takes one more into account.
    pub(super) fn offer(&mut self, status: StatusCode, outcome: Outcome<'_, '_>) {
        let Some(best) = &mut self.0 else {
            self.0 = Some(Best::of(status, outcome));
            return;
        };
        let (old, new) = (rank(best.status), rank(status));
        if new < old {
            *best = Best::of(status, outcome);
        } else if new == old && new.0 == CHALLENGE {
            best.merge_challenges(status, outcome);
        } else if names_places(best.status) && names_places(status) {
            best.merge_contacts(outcome);
        }
    }

    /// Whether a 6xx has been offered, which nothing but a 2xx goes before.
    pub(super) fn is_global(&self) -> bool {
        self.status().is_some_and(|status| status.as_u16() >= 600)
    }

    /// Forgets all but what answers a request that the caller has cancelled: a 487, or a 6xx.
    pub(super) fn keep_terminated(&mut self) {
        if self.status() != Some(StatusCode::REQUEST_TERMINATED) && !self.is_global() {
            self.0 = None;
        }
    }

    fn status(&self) -> Option<StatusCode> {
        self.0.as_ref().map(|best| best.status)
    }

    /// The answer that it comes to; `None` when nothing was offered. `is_between` says that a 430 is for another proxy.
    pub(super) fn take(&mut self, kind: ForkKind, is_between: bool) -> Option<FinalAnswer> {
        let best = self.0.take()?;
        Some(match best.status {
            // RFC 4320 §4.2.
            StatusCode::REQUEST_TIMEOUT if kind == ForkKind::Other => FinalAnswer::Nothing,
            // That one of them is out of service says nothing about us (RFC 3261 §16.7 step 6). Why it is stays, where the
            // words are ours.
            StatusCode::SERVICE_UNAVAILABLE => FinalAnswer::own(
                StatusCode::SERVER_INTERNAL_ERROR,
                match best.kept {
                    Kept::Own(phrase) => phrase,
                    Kept::Response(..) => StatusCode::SERVER_INTERNAL_ERROR.phrase().into(),
                },
            ),
            // It is between proxies: no endpoint is to see it (RFC 5626 §11.5). Deviation: repro passes it on.
            StatusCode::FLOW_FAILED if !is_between => {
                let status = StatusCode::TEMPORARILY_UNAVAILABLE;
                FinalAnswer::own(status, status.phrase().into())
            }
            status if !best.contacts.is_empty() => FinalAnswer::Own {
                status,
                phrase: status.phrase().into(),
                headers: best.contacts.lines(),
            },
            status => match best.kept {
                Kept::Response(branch, response) => FinalAnswer::Response {
                    branch,
                    status,
                    response,
                    headers: best.challenges,
                },
                Kept::Own(phrase) => FinalAnswer::own(status, phrase),
            },
        })
    }
}

impl Best {
    fn of(status: StatusCode, outcome: Outcome<'_, '_>) -> Self {
        let mut contacts = Contacts::default();
        let kept = match outcome {
            Outcome::Response(branch, response) => {
                Kept::Response(branch, Box::new(response.clone().into_owned()))
            }
            Outcome::Rest(rest) => {
                rest.iter().for_each(|contact| contacts.add(contact));
                Kept::Own(status.phrase().into())
            }
            Outcome::Failure(phrase) => Kept::Own(phrase),
        };
        Self {
            status,
            kept,
            challenges: Vec::new(),
            contacts,
        }
    }

    /// RFC 3261 §16.7 step 7. A 407 goes before a 401: a caller that knows of proxies alone answers neither otherwise.
    fn merge_challenges(&mut self, status: StatusCode, outcome: Outcome<'_, '_>) {
        let Outcome::Response(branch, response) = outcome else {
            return;
        };
        let proxy = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        match &mut self.kept {
            Kept::Response(first, kept) if self.status != proxy && status == proxy => {
                add_challenges(kept, &mut self.challenges);
                self.status = status;
                *first = branch;
                **kept = response.clone().into_owned();
            }
            _ => add_challenges(response, &mut self.challenges),
        }
    }

    /// Several redirections become one choice.
    fn merge_contacts(&mut self, outcome: Outcome<'_, '_>) {
        let mut more = Contacts::default();
        match outcome {
            Outcome::Response(_, response) => more.add_all(response),
            Outcome::Rest(rest) => rest.iter().for_each(|contact| more.add(contact)),
            Outcome::Failure(_) => {}
        }
        if more.is_empty() {
            return;
        }
        if let (true, Kept::Response(_, response)) = (self.contacts.is_empty(), &self.kept) {
            self.contacts.add_all(response);
        }
        more.0.iter().for_each(|contact| self.contacts.add(contact));
        self.status = StatusCode::MULTIPLE_CHOICES;
    }
}

/// Appends the challenges of a response as lines, as they are. A value that was read has no line ends in it.
fn add_challenges(response: &Message<'_>, lines: &mut Vec<u8>) {
    for (_, name, value) in response.fields() {
        let Some(name) = ["WWW-Authenticate", "Proxy-Authenticate"]
            .into_iter()
            .find(|known| known.as_bytes().eq_ignore_ascii_case(name))
        else {
            continue;
        };
        if lines.len() + name.len() + value.len() <= MAX_MERGED {
            lines.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
    }
}

/// Elements of Contact fields, each once.
#[derive(Debug, Default)]
struct Contacts(Vec<Vec<u8>>);

impl Contacts {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, contact: &[u8]) {
        let length: usize = self.0.iter().map(Vec::len).sum();
        if self.0.len() < MAX_TARGETS
            && length + contact.len() <= MAX_MERGED
            && !self.0.iter().any(|known| known == contact)
        {
            self.0.push(contact.to_vec());
        }
    }

    fn add_all(&mut self, response: &Message<'_>) {
        contacts(response).for_each(|(element, _)| self.add(element));
    }

    fn lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for contact in &self.0 {
            lines.extend_from_slice(&[b"Contact: ", &contact[..], b"\r\n"].concat());
        }
        lines
    }
}

/// The readable Contacts of a response, as written and as read: the first [`MAX_TARGETS`].
pub(super) fn contacts<'m>(
    response: &'m Message<'_>,
) -> impl Iterator<Item = (&'m [u8], Address<'m>)> {
    response
        .all(HeaderName::Contact)
        .flat_map(list_elements)
        .filter_map(|element| Some((element, Address::parse(element)?)))
        .take(MAX_TARGETS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn status(code: u16) -> StatusCode {
        StatusCode::new(code).unwrap()
    }

    /// What comes of responses of branches 0, 1, …, each with header lines.
    fn best(kind: ForkKind, responses: &[(u16, &str)]) -> Option<FinalAnswer> {
        let mut best = BestResponse::default();
        for (branch, (code, lines)) in (0..).zip(responses) {
            let text = format!("SIP/2.0 {code} x\r\n{lines}\r\n");
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let outcome = Outcome::Response(BranchNumber(branch), &message);
            best.offer(status(*code), outcome);
        }
        best.take(kind, false)
    }

    /// The status of what is best of these.
    fn best_status(codes: &[u16]) -> u16 {
        let responses: Vec<_> = codes.iter().map(|code| (*code, "")).collect();
        match best(ForkKind::Invite, &responses) {
            Some(FinalAnswer::Response { status, .. }) => status.as_u16(),
            Some(FinalAnswer::Own { status, .. }) => status.as_u16(),
            other => panic!("{other:?}"),
        }
    }

    /// The header lines that are added, or stand in an answer of ours.
    fn lines(responses: &[(u16, &str)]) -> (u16, String) {
        match best(ForkKind::Invite, responses) {
            Some(
                FinalAnswer::Response {
                    status, headers, ..
                }
                | FinalAnswer::Own {
                    status, headers, ..
                },
            ) => (status.as_u16(), String::from_utf8(headers).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// Each row in its order of preference: what it has goes before all that follows, whichever comes first.
    #[test]
    fn responses_are_preferred_row_by_row() {
        let rows: [&[u16]; 29] = [
            &[600, 603, 604, 606, 699],
            &[412],
            &[484],
            &[422, 423],
            &[401, 407],
            &[300, 301, 302, 305, 380, 399],
            &[402],
            &[493],
            &[420],
            &[406, 415, 488],
            &[416, 417],
            &[405],
            &[501],
            &[580],
            &[485],
            &[428, 429, 494],
            &[413, 414],
            &[421],
            &[486],
            &[480],
            &[410],
            &[436, 437],
            &[513],
            &[403],
            &[404],
            &[487],
            &[482, 483],
            &[500, 502, 504, 505, 599],
            &[400, 411, 439, 440, 481, 489, 491, 499],
        ];
        // A 503 is told as 500 and a 430 as 480, and a 408 goes back only when there is nothing else.
        for (row, codes) in rows.iter().enumerate() {
            for code in *codes {
                let others = rows.iter().skip(row + 1).copied().flatten();
                for worse in others.chain(&[503, 408]) {
                    assert_eq!(
                        best_status(&[*code, *worse]),
                        *code,
                        "{code} before {worse}"
                    );
                    assert_eq!(best_status(&[*worse, *code]), *code, "{code} after {worse}");
                }
            }
        }
        assert_eq!(best_status(&[430, 408]), 480);
        assert_eq!(best_status(&[404, 430]), 404);
        assert_eq!(best_status(&[408, 503]), 500);
        assert_eq!(best_status(&[503, 408]), 500);
        assert_eq!(best_status(&[408, 408]), 408);
    }

    #[test]
    fn of_equals_the_first_goes_back() {
        for codes in [[603, 600], [486, 486], [436, 437], [482, 483], [404, 404]] {
            let responses = codes.map(|code| (code, ""));
            let Some(FinalAnswer::Response {
                branch, headers, ..
            }) = best(ForkKind::Invite, &responses)
            else {
                panic!("{codes:?}");
            };
            assert_eq!((branch, headers.is_empty()), (BranchNumber(0), true));
        }
        assert!(best(ForkKind::Invite, &[]).is_none());
    }

    #[test]
    fn nothing_is_said_of_a_timeout_but_to_invite() {
        let timeouts = [(408, ""), (408, "")];
        assert!(matches!(
            best(ForkKind::Other, &timeouts),
            Some(FinalAnswer::Nothing)
        ));
        assert!(matches!(
            best(ForkKind::Invite, &timeouts),
            Some(FinalAnswer::Response { .. })
        ));
    }

    #[test]
    fn challenges_are_merged() {
        let (www, proxy) = ("WWW-Authenticate: w\r\n", "Proxy-Authenticate: p\r\n");
        for (situation, responses, status, merged) in [
            ("one", &[(401, www)][..], 401, ""),
            ("two of a kind", &[(401, www), (401, www)], 401, www),
            ("401 before 407", &[(401, www), (407, proxy)], 407, www),
            ("407 before 401", &[(407, proxy), (401, www)], 407, www),
            (
                "three",
                &[(401, www), (407, proxy), (407, proxy)],
                407,
                "WWW-Authenticate: w\r\nProxy-Authenticate: p\r\n",
            ),
            (
                "both kinds in one",
                &[
                    (407, proxy),
                    (401, "proxy-authenticate:p\r\nWWW-AUTHENTICATE:  w\r\n"),
                ],
                407,
                "Proxy-Authenticate: p\r\nWWW-Authenticate: w\r\n",
            ),
            (
                "other fields stay where they are",
                &[
                    (407, proxy),
                    (407, "Authentication-Info: x\r\nWarning: 1\r\n"),
                ],
                407,
                "",
            ),
            (
                "what is better has none of them",
                &[(407, proxy), (401, www), (484, "")],
                484,
                "",
            ),
            (
                "nor has what is worse any to give",
                &[(407, proxy), (404, www), (401, www)],
                407,
                www,
            ),
        ] {
            assert_eq!(lines(responses), (status, merged.to_owned()), "{situation}");
        }
    }

    #[test]
    fn the_response_with_its_own_challenges_is_that_of_the_proxy() {
        let responses = [(401, "WWW-Authenticate: w\r\n"), (407, "X: y\r\n")];
        let Some(FinalAnswer::Response {
            branch, response, ..
        }) = best(ForkKind::Invite, &responses)
        else {
            panic!("no response");
        };
        assert_eq!(branch, BranchNumber(1));
        assert_eq!(response.head(), b"SIP/2.0 407 x\r\nX: y\r\n\r\n");
    }

    #[test]
    fn several_redirections_become_one_choice() {
        let (a, b) = ("Contact: <sip:a@h>;q=0.5\r\n", "m: sip:b@h, <tel:1>\r\n");
        for (situation, responses, status, contacts) in [
            ("one", &[(302, a)][..], 302, ""),
            (
                "two",
                &[(302, a), (301, b)],
                300,
                "Contact: <sip:a@h>;q=0.5\r\nContact: sip:b@h\r\nContact: <tel:1>\r\n",
            ),
            (
                "the same twice",
                &[(302, a), (302, a), (404, "")],
                300,
                "Contact: <sip:a@h>;q=0.5\r\n",
            ),
            ("without places", &[(302, a), (302, "")], 302, ""),
            (
                "unreadable places",
                &[(302, a), (302, "Contact: *\r\n")],
                302,
                "",
            ),
            (
                "another service, and another proxy",
                &[(380, a), (305, b), (302, a)],
                380,
                "",
            ),
            (
                "what is better has none",
                &[(302, a), (302, b), (401, "")],
                401,
                "",
            ),
        ] {
            assert_eq!(
                lines(responses),
                (status, contacts.to_owned()),
                "{situation}"
            );
        }
    }

    #[test]
    fn what_is_left_of_redirections_becomes_one_choice_too() {
        let mut best = BestResponse::default();
        let rest = |contact: &str| Outcome::Rest(vec![contact.as_bytes().to_vec()]);
        best.offer(status(302), rest("<tel:1>"));
        best.offer(status(302), rest("<tel:2>"));
        let Some(FinalAnswer::Own {
            status, headers, ..
        }) = best.take(ForkKind::Invite, false)
        else {
            panic!("not ours");
        };
        assert_eq!(status, StatusCode::MULTIPLE_CHOICES);
        assert_eq!(headers, b"Contact: <tel:1>\r\nContact: <tel:2>\r\n");
    }

    #[test]
    fn what_is_merged_is_bounded() {
        let long = format!("WWW-Authenticate: {}\r\n", "x".repeat(1000));
        let many = vec![(401, long.as_str()); 100];
        let (_, merged) = lines(&many);
        assert!(
            (7 * 1000..=MAX_MERGED).contains(&merged.len()),
            "{}",
            merged.len()
        );

        let texts: Vec<_> = (0..100)
            .map(|n| format!("Contact: <sip:{n}@h>\r\n"))
            .collect();
        let many: Vec<_> = texts.iter().map(|text| (302, text.as_str())).collect();
        let (_, merged) = lines(&many);
        assert_eq!(merged.lines().count(), MAX_TARGETS);
    }

    #[test]
    fn of_what_came_before_cancel_little_is_kept() {
        for (code, kept) in [(404, None), (486, None), (487, Some(487)), (603, Some(603))] {
            let mut best = BestResponse::default();
            best.offer(status(code), Outcome::Failure("x".into()));
            best.keep_terminated();
            let found = best
                .take(ForkKind::Invite, false)
                .and_then(|answer| answer.status());
            assert_eq!(found.map(StatusCode::as_u16), kept, "{code}");
        }
    }
}
