//! Reads what the parties of a call do, and writes down what comes of it.
//!
//! A line is a setting (`set timer_c=5000`), a party (`phone bob tls q=0.5 registered`, `peer carol tls example.net`), an event
//! (`wait 200`, `close bob`, `open bob`, `hold bob`, `delay bob`, `free bob`, `block bob`, `load high`), or what a party says: a
//! method with a URI, a method
//! alone for a request within its dialog, a status for a response, `again` and what to say again, `loops` and what
//! to send back to us. Options behind that: `call=`,
//! `to=` (the tag of the other side), `of=` (the method that is answered), `over=` (whose flow it takes), `by=path` (by the Path
//! of the last REGISTER that it, or who `heard=` says, has heard; `by=forged` with one letter changed). Lines below it change the
//! message: `+` adds a field, `^` on top, `-` takes all of a name away (`- Via 1` all but one), `~` changes the first, `@` is the Request-URI,
//! `=` the body.
//! What begins with `|` came out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::phone::{Phone, Wish};
use super::shown::Shown;
use super::text::{head, written};
use super::world::{Seen, Setting, Way, World};
use crate::auth::Transport;
use crate::proxy::relay::NatDetection;
use crate::proxy::{Forking, Load};

/// Runs a script; gives it back with what came out.
pub(super) fn run(script: &str) -> String {
    let given = script.lines().filter(|line| !line.starts_with('|'));
    let mut lines = given.peekable();
    let mut stage = Stage::new(&setting(script));
    while let Some(line) = lines.next() {
        writeln!(stage.out, "{line}").unwrap();
        let mut changes = Vec::new();
        while let Some(change) = lines.next_if(|next| next.starts_with("  ")) {
            writeln!(stage.out, "{change}").unwrap();
            changes.push(change.trim_start());
        }
        if !line.is_empty() && !line.starts_with(['#', ' ']) {
            stage.take(line, &changes);
        }
    }
    stage.end();
    stage.out
}

fn setting(script: &str) -> Setting {
    let mut setting = Setting::default();
    for words in script.lines().filter_map(|line| line.strip_prefix("set ")) {
        for word in words.split(' ') {
            let (name, value) = word.split_once('=').unwrap_or((word, "0"));
            let number: u16 = value.parse().unwrap();
            let time = Duration::from_millis(number.into());
            match name {
                "certificates" => setting.certificates = true,
                "trusts_gateway" => setting.trusts_gateway = true,
                "timer_c" => setting.fork.timer_c = time,
                "before_cancel" => setting.fork.before_cancel = time,
                "between_groups" => setting.fork.between_groups = time,
                "impatient" => setting.fork.wait_between_groups = false,
                "recursive_redirect" => setting.fork.recursive_redirect = true,
                "max_branches" => setting.fork.max_branches = number,
                "flow_timer" => setting.path.flow_timer = number.into(),
                "flow_tokens" => setting.path.flow_tokens = true,
                "nat" => setting.path.nat = NatDetection::Any,
                "silo" => setting.silo = true,
                "sequential" => setting.forking = Forking::Sequential,
                "max_transactions" => {
                    let most = NonZeroUsize::new(number.into()).unwrap();
                    setting.transactions.max_transactions = most;
                }
                _ => panic!("nothing to set: {word}"),
            }
        }
    }
    setting
}

struct Stage {
    world: World,
    phones: Vec<Phone>,
    shown: Shown,
    call: String,
    calls: u32,
    out: String,
}

impl Stage {
    fn new(setting: &Setting) -> Self {
        Self {
            world: World::new(setting),
            phones: Vec::new(),
            shown: Shown::default(),
            call: String::new(),
            calls: 0,
            out: String::new(),
        }
    }

    fn take(&mut self, line: &str, changes: &[&str]) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[0] {
            "set" => return,
            "phone" | "peer" => return self.add(&words),
            "wait" => {
                let wait = Duration::from_millis(words[1].parse().unwrap());
                self.pass_time(wait);
            }
            "close" => self.world.close(self.party(words[1])),
            "open" => self.world.open(self.party(words[1])),
            "becomes" => self.world.rename(self.party(words[1]), words[2]),
            "hold" => self.world.set_way(self.party(words[1]), Way::Held),
            "free" => self.world.set_way(self.party(words[1]), Way::Open),
            "delay" => self.world.set_way(self.party(words[1]), Way::Untold),
            "load" => {
                self.world.load = match words[1] {
                    "high" => Load::High,
                    "excessive" => Load::Excessive,
                    _ => Load::Normal,
                }
            }
            "block" => self.world.set_way(self.party(words[1]), Way::Blocked),
            name => {
                let party = self.party(name);
                let message = self.compose(party, &words);
                self.say(party, &words, change(&message, changes));
            }
        }
        self.write_down();
    }

    fn add(&mut self, words: &[&str]) {
        let transport = match words[2] {
            "tls" => Transport::Tls,
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            other => panic!("{other} is no transport"),
        };
        let domain = (words[0] == "peer").then(|| words[3]);
        let party = self.world.add(words[1], transport, domain);
        let preference = words.iter().find(|word| word.starts_with("q="));
        let preference = preference.map_or_else(String::new, |q| format!(";{q}"));
        self.phones
            .push(Phone::new(&self.world.parties[party], &preference));
        if words.contains(&"registered") {
            let wish = Wish {
                method: "REGISTER",
                uri: Some("sip:example.org"),
                call: &format!("register-{}", words[1]),
                to: None,
            };
            let register = self.phones[party].request(&wish);
            self.world.receive(party, &register);
            let seen = std::mem::take(&mut self.world.seen);
            assert!(
                matches!(&seen[..], [Seen::Got(_, answer)] if answer.starts_with("SIP/2.0 200 ")),
                "{seen:?}"
            );
        }
    }

    fn party(&self, name: &str) -> usize {
        let parties = &self.world.parties;
        let at = parties.iter().position(|party| party.name == name);
        at.unwrap_or_else(|| panic!("there is no {name}"))
    }

    fn compose(&mut self, party: usize, words: &[&str]) -> String {
        let phone = &mut self.phones[party];
        if words[1] == "again" {
            return phone.said(words[2]);
        }
        if words[1] == "loops" {
            return phone.passes_on(words[2]);
        }
        if let Ok(code) = words[1].parse() {
            return phone.response(code, option(words, "of="));
        }
        let uri = words.get(2).copied().filter(|word| word.contains(':'));
        if uri.is_some() {
            self.calls += 1;
            self.call = format!("call-{}", self.calls);
        }
        if let Some(call) = option(words, "call=") {
            call.clone_into(&mut self.call);
        }
        let request = phone.request(&Wish {
            method: words[1],
            uri,
            call: &self.call,
            to: option(words, "to="),
        });
        let Some(by) = option(words, "by=") else {
            return request;
        };
        let heard = option(words, "heard=").map_or(party, |name| self.party(name));
        let mut path = self.phones[heard].path();
        if by == "forged" {
            let at = path.find('@').unwrap();
            let other = if path.as_bytes()[at - 9] == b'A' {
                "B"
            } else {
                "A"
            };
            path.replace_range(at - 9..at - 8, other);
        }
        change(&request, &[&format!("^ Route: {path}")])
    }

    fn say(&mut self, party: usize, words: &[&str], message: String) {
        self.phones[party].says(&message);
        self.shown.sends(&message);
        let over = option(words, "over=").map_or(party, |over| self.party(over));
        self.world.receive(over, &message);
    }

    fn pass_time(&mut self, wait: Duration) {
        let until = self.world.now + wait;
        while self.world.ring(until) {
            self.write_down();
        }
        self.world.now = until;
    }

    /// What has come out since.
    fn write_down(&mut self) {
        let at = self.world.millis();
        for seen in std::mem::take(&mut self.world.seen) {
            match seen {
                Seen::Got(to, message) => {
                    self.phones[to].hears(&message);
                    let shown = self.shown.message(to, &message, "|              ");
                    let name = &self.world.parties[to].name;
                    write!(self.out, "| {at:>6} ms  {name} < {shown}").unwrap();
                }
                Seen::Missed(to, message) => {
                    let first = head(&message).next().unwrap();
                    let name = &self.world.parties[to].name;
                    writeln!(self.out, "| {at:>6} ms  {name} is gone: {first}").unwrap();
                }
                Seen::Note(note) => writeln!(self.out, "| {at:>6} ms  ({note})").unwrap(),
            }
        }
    }

    fn end(&mut self) {
        let end = self.world.now + Duration::from_secs(600);
        while self.world.ring(end) {
            self.write_down();
        }
        let at = self.world.millis();
        self.world.live_out();
        writeln!(self.out, "| {at:>6} ms  nothing is left").unwrap();
    }
}

fn option<'w>(words: &[&'w str], name: &str) -> Option<&'w str> {
    words.iter().find_map(|word| word.strip_prefix(name))
}

/// A message with these changes.
fn change(message: &str, changes: &[&str]) -> String {
    let mut lines: Vec<_> = head(message).map(str::to_owned).collect();
    let mut body = String::new();
    for change in changes {
        let (what, text) = change.split_once(' ').unwrap();
        match what {
            "+" => lines.insert(lines.len() - 1, text.to_owned()),
            "^" => lines.insert(1, text.to_owned()),
            "@" => {
                let line: Vec<_> = lines[0].split(' ').collect();
                lines[0] = format!("{} {text} {}", line[0], line[2]);
            }
            "=" => {
                body = format!("{text}\r\n");
                *lines.last_mut().unwrap() = format!("Content-Length: {}", body.len());
            }
            "~" => {
                let name = text.split_once(": ").unwrap().0;
                let named =
                    |line: &&mut String| line.split_once(": ").is_some_and(|(n, _)| n == name);
                text.clone_into(lines.iter_mut().find(named).unwrap());
            }
            "-" => {
                let (name, kept) = text.split_once(' ').unwrap_or((text, "0"));
                let mut kept: usize = kept.parse().unwrap();
                lines.retain(|line| {
                    let is_it = line.split_once(": ").is_some_and(|(n, _)| n == name);
                    let stays = !is_it || kept > 0;
                    kept = kept.saturating_sub(usize::from(is_it));
                    stays
                });
            }
            _ => panic!("no change: {change}"),
        }
    }
    written(&lines, &body)
}
