//! Name servers, through c-ares: which one is asked, how often, over UDP or TCP, is the library's business.
//!
//! The library has one thread of its own, which is in a poller with the sockets of all questions and gives each answer to the
//! closure that came with it.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use c_ares::{
    AddrInfoHints, AddrInfoResults, AddressFamily, Channel, DnsCls, DnsFlags, DnsOpcode, DnsRcode,
    DnsRecord, DnsRecordType, DnsRr, DnsRrKey, DnsSection, EventSys, Flags, Options,
};

use super::answer::{
    Kind, MOST_RECORDS, Name, Naptr, Question, Records, Reply, Srv, is_of_one_host,
};
use super::{ResolveError, ResolverOptions, StartError};

/// Longest answer over UDP that we ask for; what does not fit comes over TCP. No packet of it is fragmented on the way.
const UDP_BYTES: u16 = 1232;

/// Aliases that are followed in one answer.
const MOST_ALIASES: usize = 8;

/// The name servers.
pub(super) struct Servers {
    /// Held while a question is handed over, never while anybody waits.
    channel: Mutex<Channel>,
    family: AddressFamily,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").finish_non_exhaustive()
    }
}

impl Servers {
    pub(super) fn new(options: &ResolverOptions) -> Result<Self, StartError> {
        let mut library = Options::new();
        let once = options.timeout / options.attempts.max(1).saturating_mul(2);
        library
            // Exactly the name that is asked for: no search list of the system's, no HOSTALIASES.
            .set_flags(Flags::EDNS | Flags::NOSEARCH | Flags::NOALIASES)
            .set_timeout(once.max(Duration::from_millis(10)))
            .set_max_timeout(options.timeout)
            .set_tries(options.attempts.max(1))
            .set_ednspsz(UDP_BYTES.into())
            // Each question from a port of its own, which a forger has to guess (RFC 5452 §4.5).
            .set_udp_max_queries(Some(1))
            // Answers are remembered here, where time is an argument.
            .set_query_cache_max_ttl(0)
            .set_no_rotate()
            .set_event_thread(EventSys::Default)
            // The system's hosts file first.
            .set_lookups("fb")
            .map_err(StartError::Library)?;
        let mut channel = Channel::with_options(library).map_err(StartError::Library)?;
        if !options.servers.is_empty() {
            let servers: Vec<String> = options.servers.iter().map(ToString::to_string).collect();
            channel
                .set_servers(&servers)
                .map_err(|error| StartError::Servers {
                    servers: servers.join(", "),
                    error,
                })?;
        }
        Ok(Self {
            channel: Mutex::new(channel),
            family: match (options.ipv4, options.ipv6) {
                (true, false) => AddressFamily::INET,
                (false, true) => AddressFamily::INET6,
                _ => AddressFamily::UNSPEC,
            },
        })
    }

    /// Asks; `done` gets the reply, sooner or later and on another thread or this one.
    pub(super) fn ask(&self, question: &Question, done: impl FnOnce(Reply) + Send + 'static) {
        // One call of it, from the library or from here.
        let done = Arc::new(Mutex::new(Some(done)));
        let tell = move |reply| {
            let done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(done) = done {
                done(reply);
            }
        };
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let name = question.name.as_str();
        let kind = match question.kind {
            Kind::Addresses => {
                let hints = AddrInfoHints {
                    family: Some(self.family),
                    ..AddrInfoHints::default()
                };
                channel.get_addrinfo(name, None, &hints, move |result| {
                    tell(carefully(|| match &result {
                        Ok(found) => addresses(found),
                        Err(error) => Reply::failed(meaning(*error)),
                    }));
                });
                return;
            }
            Kind::Naptr => DnsRecordType::NAPTR,
            Kind::Srv => DnsRecordType::SRV,
        };
        let query = match query(name, kind) {
            Ok(query) => query,
            Err(error) => {
                drop(channel);
                return tell(Reply::failed(meaning(error)));
            }
        };
        let also = tell.clone();
        let asked = question.clone();
        let sent = channel.send_dnsrec(&query, move |result| {
            also(carefully(|| match result {
                Ok(message) => records(&asked, kind, message),
                Err(error) => Reply::failed(meaning(error)),
            }));
        });
        drop(channel);
        if let Err(error) = sent {
            tell(Reply::failed(meaning(error)));
        }
    }
}

/// A panic on the library's thread would end the process.
fn carefully(reading: impl FnOnce() -> Reply) -> Reply {
    catch_unwind(AssertUnwindSafe(reading)).unwrap_or_else(|_| {
        log::error!("resolve.panicked an answer is given up");
        Reply::failed(ResolveError::BadAnswer)
    })
}

fn query(name: &str, kind: DnsRecordType) -> Result<DnsRecord, c_ares::Error> {
    let mut query = DnsRecord::new(0, DnsFlags::RD, DnsOpcode::Query, DnsRcode::NoError)?;
    query.query_add(name, kind, DnsCls::IN)?;
    query
        .rr_add(
            DnsSection::Additional,
            "",
            DnsRecordType::OPT,
            DnsCls::IN,
            0,
        )?
        .set_u16(DnsRrKey::OPT_UDP_SIZE, UDP_BYTES)?;
    Ok(query)
}

/// What the library's word for a failure means.
fn meaning(error: c_ares::Error) -> ResolveError {
    use c_ares::Error as E;
    match error {
        E::ENODATA => ResolveError::NoRecords,
        E::ENOTFOUND => ResolveError::NoSuchDomain,
        E::ETIMEOUT => ResolveError::Timeout,
        E::EREFUSED => ResolveError::Refused,
        E::ECONNREFUSED | E::ENOSERVER => ResolveError::NoServer,
        E::EBADRESP | E::EFORMERR => ResolveError::BadAnswer,
        E::EBADNAME | E::EBADQUERY => ResolveError::BadHost,
        _ => ResolveError::ServerFailure,
    }
}

/// Addresses in the library's order, which is that of RFC 6724: those that this host has a way to come first.
fn addresses(found: &AddrInfoResults) -> Reply {
    let mut seen = HashSet::new();
    let mut ttl = None;
    let mut least = |seconds: i32| {
        let seconds = u32::try_from(seconds).unwrap_or(0);
        ttl = Some(ttl.map_or(seconds, |least: u32| least.min(seconds)));
    };
    let usable: Vec<IpAddr> = found
        .nodes()
        .take(MOST_RECORDS)
        .filter_map(|node| {
            least(node.ttl());
            node.ip_addr().map(|ip| ip.to_canonical())
        })
        .filter(|ip| is_of_one_host(*ip) && seen.insert(*ip))
        .collect();
    for alias in found.cnames() {
        least(alias.ttl());
    }
    let answer = if usable.is_empty() {
        Err(ResolveError::NoRecords)
    } else {
        Ok(Arc::new(Records::Addresses(usable)))
    };
    Reply { answer, ttl }
}

/// The records of one kind that a message has about a name.
fn records(question: &Question, kind: DnsRecordType, message: &DnsRecord) -> Reply {
    let absence = match message.rcode() {
        DnsRcode::NoError => ResolveError::NoRecords,
        DnsRcode::NXDomain => ResolveError::NoSuchDomain,
        DnsRcode::Refused => return Reply::failed(ResolveError::Refused),
        _ => return Reply::failed(ResolveError::ServerFailure),
    };
    let (owner, aliases_ttl) = owner(question.name.as_str(), message);
    let of_kind: Vec<&DnsRr> = message
        .rrs(DnsSection::Answer)
        .filter(|record| record.rr_type() == kind && is_same(record.name(), owner))
        .take(MOST_RECORDS)
        .collect();
    if of_kind.is_empty() {
        return Reply {
            answer: Err(absence),
            ttl: negative_ttl(message),
        };
    }
    let ttl = of_kind.iter().map(|record| record.ttl()).min();
    let records = match question.kind {
        Kind::Naptr => Records::Naptr(of_kind.iter().filter_map(|r| naptr(r)).collect()),
        _ => Records::Srv(of_kind.iter().filter_map(|r| srv(r)).collect()),
    };
    Reply {
        answer: Ok(Arc::new(records)),
        ttl: ttl.min(aliases_ttl.or(ttl)),
    }
}

/// The name at the end of the aliases that the message has for `name`, and the shortest life among them. A loop ends after a
/// few rounds at a name that has no other record.
fn owner<'a>(name: &'a str, message: &'a DnsRecord) -> (&'a str, Option<u32>) {
    let mut owner = name;
    let mut ttl: Option<u32> = None;
    for _ in 0..MOST_ALIASES {
        let alias = message
            .rrs(DnsSection::Answer)
            .filter(|record| is_same(record.name(), owner))
            .find_map(DnsRr::as_cname);
        let Some(alias) = alias else { break };
        owner = alias.cname();
        ttl = Some(ttl.map_or(alias.ttl(), |ttl| ttl.min(alias.ttl())));
    }
    (owner, ttl)
}

fn is_same(a: &str, b: &str) -> bool {
    let bare = |name: &'_ str| name.strip_suffix('.').map_or(name.len(), str::len);
    let (a, b) = (a.get(..bare(a)), b.get(..bare(b)));
    a.zip(b).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// How long an absence is good for (RFC 2308 §5).
fn negative_ttl(message: &DnsRecord) -> Option<u32> {
    message
        .rrs(DnsSection::Authority)
        .find_map(DnsRr::as_soa)
        .map(|soa| soa.minimum().min(soa.ttl()))
}

fn naptr(record: &DnsRr) -> Option<Naptr> {
    let record = record.as_naptr()?;
    if !record.flags().eq_ignore_ascii_case("s") || !record.regexp().is_empty() {
        return None;
    }
    Some(Naptr {
        order: record.order(),
        preference: record.preference(),
        service: record.services().to_owned(),
        replacement: Name::new(record.replacement())?,
    })
}

fn srv(record: &DnsRr) -> Option<Srv> {
    let record = record.as_srv()?;
    let target = match record.target() {
        "" | "." => None,
        target => Some(Name::new(target)?),
    };
    Some(Srv {
        priority: record.priority(),
        weight: record.weight(),
        port: record.port(),
        target,
    })
}
