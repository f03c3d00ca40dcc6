//! A user agent that knows no more of a call than the messages that it has sent and received.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::text::{field, fields, head, method, status, tag, uri, written};
use super::world::{Party, user};
use crate::auth::Transport;
use crate::sip::StatusCode;

/// One phone, or the server of another domain.
#[derive(Debug)]
pub(super) struct Phone {
    name: String,
    /// Address-of-record.
    aor: String,
    pub(super) contact: String,
    via: String,
    /// `;q=` of its registrations, or nothing.
    preference: String,
    branches: u32,
    /// Requests sent and received, responses sent and received, the latest last.
    asked: Vec<String>,
    heard: Vec<String>,
    answered: Vec<String>,
    told: Vec<String>,
}

/// What a request is to be.
#[derive(Debug, Default)]
pub(super) struct Wish<'w> {
    pub(super) method: &'w str,
    /// Where it goes; none for one within a dialog.
    pub(super) uri: Option<&'w str>,
    pub(super) call: &'w str,
    /// The tag of the other side, where there are several dialogs of one call.
    pub(super) to: Option<&'w str>,
}

/// The way of requests within a dialog (RFC 3261 §12).
#[derive(Debug)]
struct Dialog {
    routes: Vec<String>,
    target: String,
    from: String,
    to: String,
}

impl Phone {
    pub(super) fn new(party: &Party, preference: &str) -> Self {
        let transport = party.transport.as_str();
        let domain = party.domain.as_deref().unwrap_or("example.org");
        let parameter = match party.transport {
            Transport::Udp => String::new(),
            _ => format!(";transport={}", transport.to_ascii_lowercase()),
        };
        Self {
            name: party.name.clone(),
            aor: format!("sip:{}@{domain}", user(&party.name)),
            contact: format!("sip:{}@{}{parameter}", party.name, party.address),
            via: format!("SIP/2.0/{transport} {}", party.address),
            preference: preference.to_owned(),
            branches: 0,
            asked: Vec::new(),
            heard: Vec::new(),
            answered: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Takes in what it is sent.
    pub(super) fn hears(&mut self, message: &str) {
        match status(message) {
            Some(_) => self.told.push(message.to_owned()),
            None => self.heard.push(message.to_owned()),
        }
    }

    /// Remembers what it sends.
    pub(super) fn says(&mut self, message: &str) {
        match status(message) {
            Some(_) => self.answered.push(message.to_owned()),
            None => self.asked.push(message.to_owned()),
        }
    }

    /// What it said last: a request of this method, or a response of this status.
    pub(super) fn said(&self, what: &str) -> String {
        let said = self.asked.iter().chain(&self.answered).rev();
        let is_it = |message: &&String| match status(message) {
            Some(code) => code.to_string() == what,
            None => method(message) == what,
        };
        said.into_iter().find(is_it).cloned().unwrap_or_else(|| {
            panic!("{} has said no {what}", self.name);
        })
    }

    /// The Path of the last REGISTER that it has heard.
    pub(super) fn path(&self) -> String {
        let mut heard = self.heard.iter().rev();
        let register = heard.find(|request| method(request) == "REGISTER");
        field(register.unwrap(), "Path").to_owned()
    }

    /// The last request of this method that it has heard, sent on by it.
    pub(super) fn passes_on(&mut self, of: &str) -> String {
        let heard = self
            .heard
            .iter()
            .rev()
            .find(|request| method(request) == of);
        let mut lines: Vec<_> = head(heard.unwrap()).map(str::to_owned).collect();
        self.branches += 1;
        let via = format!(
            "Via: {};branch=z9hG4bK-{}-{}",
            self.via, self.name, self.branches
        );
        lines.insert(1, via);
        written(&lines, "")
    }

    /// The requests that it has heard, ACKs not counted.
    pub(super) fn questions(&self) -> Vec<&String> {
        let counts = |request: &&String| method(request) != "ACK";
        self.heard.iter().filter(counts).collect()
    }

    /// All that it has said.
    pub(super) fn words(&self) -> Vec<&String> {
        self.asked.iter().chain(&self.answered).collect()
    }

    /// Whether it could say this.
    pub(super) fn can_say(&self, wish: &Wish<'_>) -> bool {
        let invited = || self.asked.iter().any(|request| method(request) == "INVITE");
        match wish.method {
            "CANCEL" => invited(),
            "ACK" => {
                invited()
                    && self.final_response(wish).is_some_and(|last| {
                        status(last) >= Some(300) || self.dialog(wish.call, None).is_some()
                    })
            }
            _ => wish.uri.is_some() || self.dialog(wish.call, wish.to).is_some(),
        }
    }

    /// A request.
    pub(super) fn request(&mut self, wish: &Wish<'_>) -> String {
        match wish.method {
            "CANCEL" => self.short("CANCEL", &self.said("INVITE"), None),
            "ACK" => self.ack(wish),
            _ => self.long(wish),
        }
    }

    fn long(&mut self, wish: &Wish<'_>) -> String {
        let to = wish.uri.map(|uri| match wish.method {
            "REGISTER" => format!("<{}>", self.aor),
            _ => format!("<{uri}>"),
        });
        let dialog = match (wish.uri, to) {
            (Some(uri), Some(to)) => Dialog {
                routes: Vec::new(),
                target: uri.to_owned(),
                from: format!("<{}>;tag={}", self.aor, self.name),
                to,
            },
            _ => self.dialog(wish.call, wish.to).unwrap_or_else(|| {
                panic!("{} has no dialog in {}", self.name, wish.call);
            }),
        };
        self.branches += 1;
        let counts = |request: &&String| {
            !matches!(method(request), "ACK" | "CANCEL") && field(request, "Call-ID") == wish.call
        };
        let number = match wish.method {
            "ACK" => field(&self.said("INVITE"), "CSeq")
                .split(' ')
                .next()
                .unwrap()
                .to_owned(),
            _ => (self.asked.iter().filter(counts).count() + 1).to_string(),
        };
        let rport = if self.via.contains("UDP") {
            ";rport"
        } else {
            ""
        };
        let mut lines = vec![
            format!("{} {} SIP/2.0", wish.method, dialog.target),
            format!(
                "Via: {}{rport};branch=z9hG4bK-{}-{}",
                self.via, self.name, self.branches
            ),
        ];
        lines.extend(dialog.routes.iter().map(|route| format!("Route: {route}")));
        lines.extend([
            "Max-Forwards: 70".to_owned(),
            format!("From: {}", dialog.from),
            format!("To: {}", dialog.to),
            format!("Call-ID: {}", wish.call),
            format!("CSeq: {number} {}", wish.method),
        ]);
        match wish.method {
            "INVITE" | "UPDATE" | "SUBSCRIBE" | "REFER" => {
                lines.push(format!("Contact: <{}>", self.contact));
            }
            "REGISTER" => lines.push(format!("Contact: <{}>{}", self.contact, self.preference)),
            _ => {}
        }
        lines.push("Content-Length: 0".to_owned());
        written(&lines, "")
    }

    /// The ACK of a refusal goes the way of its INVITE, that of a 2xx is a request of its own.
    fn ack(&mut self, wish: &Wish<'_>) -> String {
        let is_it = |response: &&String| {
            method(response) == "INVITE"
                && field(response, "Call-ID") == wish.call
                && status(response).is_some_and(|status| status >= 200)
                && wish
                    .to
                    .is_none_or(|to| tag(field(response, "To")) == Some(to))
        };
        let last = self.told.iter().rev().find(is_it).cloned();
        let last = last.unwrap_or_else(|| panic!("{} has nothing to acknowledge", self.name));
        match status(&last) {
            Some(..300) => self.long(wish),
            _ => self.short("ACK", &self.said("INVITE"), Some(&last)),
        }
    }

    fn final_response(&self, wish: &Wish<'_>) -> Option<&String> {
        self.told.iter().rev().find(|response| {
            method(response) == "INVITE"
                && field(response, "Call-ID") == wish.call
                && status(response).is_some_and(|status| status >= 200)
                && wish
                    .to
                    .is_none_or(|to| tag(field(response, "To")) == Some(to))
        })
    }

    /// CANCEL or ACK with the branch of an INVITE.
    fn short(&self, method: &str, invite: &str, response: Option<&str>) -> String {
        let mut lines = Vec::new();
        for (at, line) in head(invite).enumerate() {
            let (name, value) = line.split_once(": ").unwrap_or_default();
            match (at, name) {
                (0, _) => lines.push(line.replacen("INVITE", method, 1)),
                (_, "CSeq") => lines.push(line.replacen("INVITE", method, 1)),
                (_, "To") => {
                    let to = response.map_or(value, |response| field(response, "To"));
                    lines.push(format!("To: {to}"));
                }
                (_, "Via" | "Route" | "Max-Forwards" | "From" | "Call-ID" | "Content-Length") => {
                    lines.push(line.to_owned());
                }
                _ => {}
            }
        }
        written(&lines, "")
    }

    /// A response to the latest request, or to the latest of this method.
    pub(super) fn response(&self, code: u16, of: Option<&str>) -> String {
        let is_it = |request: &&String| match of {
            Some(of) => method(request) == of,
            None => is_to_be_answered(request),
        };
        let request = self.heard.iter().rev().find(is_it);
        let request = request.unwrap_or_else(|| panic!("{} is asked for nothing", self.name));
        self.answer(request, code)
    }

    /// A response to this request.
    pub(super) fn answer(&self, request: &str, code: u16) -> String {
        let phrase = match code {
            180 => "Ringing",
            183 => "Session Progress",
            _ => StatusCode::new(code).unwrap().phrase(),
        };
        let mut lines = vec![format!("SIP/2.0 {code} {phrase}")];
        let forms = matches!(method(request), "INVITE" | "SUBSCRIBE" | "REFER")
            && (101..300).contains(&code);
        for line in head(request).skip(1) {
            match line.split_once(": ").unwrap_or_default() {
                ("To", to) if code > 100 && tag(to).is_none() => {
                    lines.push(format!("{line};tag={}", self.name));
                }
                ("Via" | "From" | "To" | "Call-ID" | "CSeq", _) => lines.push(line.to_owned()),
                ("Record-Route", _) if forms => lines.push(line.to_owned()),
                _ => {}
            }
        }
        if (forms || method(request) == "UPDATE") && code < 300 {
            lines.push(format!("Contact: <{}>", self.contact));
        }
        lines.push("Content-Length: 0".to_owned());
        written(&lines, "")
    }

    fn is_mine(&self, route: &str) -> bool {
        let domain = self.aor.split_once('@').unwrap_or_default().1;
        domain != "example.org" && route.contains(&format!(".{domain}"))
    }

    /// What it knows of a dialog: the route set from what formed it, the target from what came last.
    fn dialog(&self, call: &str, to: Option<&str>) -> Option<Dialog> {
        let is_of = |message: &&String| field(message, "Call-ID") == call;
        let is_other = |value: &str| to.is_none_or(|to| tag(value) == Some(to));
        let has_contact = |message: &&String| !fields(message, "Contact").is_empty();
        let told = self.told.iter().filter(is_of).filter(|response| {
            let formed = status(response).is_some_and(|status| (101..300).contains(&status));
            formed && is_other(field(response, "To"))
        });
        let forms = |message: &&String| matches!(method(message), "INVITE" | "SUBSCRIBE" | "REFER");
        let told = told.filter(has_contact).filter(forms);
        let heard = self.heard.iter().filter(is_of).filter(has_contact);
        let heard = heard.filter(|request| is_other(field(request, "From")));
        let own: Vec<_> = told.collect();
        let others: Vec<_> = heard.collect();
        let target = |message: &String| uri(field(message, "Contact")).to_owned();
        let (formed, target) = match (own.first(), others.first()) {
            // Who has sent the first request of the dialog has been told, the other has heard it.
            (Some(_), _) if !others.iter().any(|m| tag(field(m, "To")).is_none()) => (
                *own.iter()
                    .find(|m| to.is_some() || status(m) >= Some(200))
                    .or(own.first())?,
                target(others.last().or(own.last())?),
            ),
            (_, Some(first)) => (*first, target(others.last()?)),
            _ => return None,
        };
        let mut routes: Vec<_> = fields(formed, "Record-Route");
        let (from, to) = (field(formed, "From"), field(formed, "To"));
        let (from, to) = match status(formed) {
            Some(_) => {
                routes.reverse();
                (from.to_owned(), to.to_owned())
            }
            None => (format!("{to};tag={}", self.name), from.to_owned()),
        };
        // What it has recorded itself it takes off itself.
        let own = routes
            .iter()
            .take_while(|route| self.is_mine(route))
            .count();
        Some(Dialog {
            routes: routes.into_iter().skip(own).map(str::to_owned).collect(),
            target,
            from,
            to,
        })
    }
}

fn is_to_be_answered(request: &str) -> bool {
    !matches!(method(request), "ACK" | "CANCEL")
}
