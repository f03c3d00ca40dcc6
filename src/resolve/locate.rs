//! The decisions of RFC 3263 §4: which questions a URI asks, and what their answers make of it.
//!
//! Knows no name server and no time. The same steps run over answers that are remembered and over answers that are asked
//! for: see [`Source`].
//!
//! All destinations of one URI have the same transport, the first that the domain offers and we speak. To go on to another
//! when its servers fail would mean that whoever breaks a TLS handshake gets the request in the clear. RFC 3263 §4.3 fails
//! over among servers of one transport, too.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::answer::{
    Answer, Kind, MOST_RECORDS, Name, Naptr, Question, Records, Srv, is_of_one_host,
};
use super::weight::{Dice, ordered};
use super::{Destination, ResolveError, ResolverOptions, TargetHost, TransportKind, Wanted};

/// Most destinations of one URI.
const MOST_DESTINATIONS: usize = 16;
/// Most servers of one transport whose addresses are asked for.
const MOST_TARGETS: usize = 8;
/// Most addresses of one server among several: the next server must get its turn.
const MOST_OF_ONE_TARGET: usize = 4;
/// Most NAPTR records that are followed.
const MOST_SERVICES: usize = 8;

/// Where answers come from.
pub(super) trait Source {
    /// The answers, as many as questions, in their order.
    ///
    /// # Errors
    ///
    /// One of them is not known here.
    fn answers(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Stop>;
}

/// Why the steps end before there is a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody has to be asked.
    MustAsk,
    /// The URI leads nowhere.
    Failed(ResolveError),
}

impl From<ResolveError> for Stop {
    fn from(error: ResolveError) -> Self {
        Self::Failed(error)
    }
}

/// Where `wanted` leads, in the order in which it is to be tried.
pub(super) fn locate(
    wanted: &Wanted,
    options: &ResolverOptions,
    source: &mut impl Source,
    dice: &mut Dice,
) -> Result<Vec<Destination>, Stop> {
    let demanded = demanded(wanted, options)?;
    if wanted.port == Some(0) {
        return Err(ResolveError::BadHost.into());
    }
    let name = match &wanted.host {
        TargetHost::Ip(ip) => {
            let ip = ip.to_canonical();
            if !is_of_one_host(ip) {
                return Err(ResolveError::BadHost.into());
            }
            if !options.has_family(ip) {
                return Err(ResolveError::NoTransport.into());
            }
            let transport = demanded.map_or_else(|| usual(wanted, options), Ok)?;
            return Ok(vec![destination(ip, wanted.port, transport)]);
        }
        TargetHost::Name(name) => Name::new(name).ok_or(ResolveError::BadHost)?,
    };
    // RFC 6761 §6.4: nothing is there by definition. Contacts of phones behind WebSockets and of GRUUs look like that.
    if name.as_str() == "invalid" || name.as_str().ends_with(".invalid") {
        return Err(ResolveError::NoSuchDomain.into());
    }
    let mut steps = Steps {
        options,
        source,
        dice,
    };
    if wanted.port.is_some() {
        let transport = demanded.map_or_else(|| usual(wanted, options), Ok)?;
        return steps.addresses(name, wanted.port, transport);
    }
    let mut tried = Tried::default();
    // RFC 3263 §4.1: NAPTR only where the URI leaves the transport open. What `sips` wants is settled, but the name of
    // its SRV records is not.
    if wanted.transport.is_none() {
        for (transport, names) in steps.offered(&name, demanded)? {
            let answers = steps.ask(Kind::Srv, &names)?;
            if let Some(found) = steps.servers(transport, &answers, &mut tried)? {
                return Ok(found);
            }
        }
    }
    let candidates: Vec<TransportKind> = match demanded {
        Some(transport) => vec![transport],
        None => spoken(options).collect(),
    };
    // Too long a name has no SRV records below it.
    let (candidates, names): (Vec<TransportKind>, Vec<Name>) = candidates
        .into_iter()
        .filter_map(|kind| Some((kind, name.below(kind.srv_prefix())?)))
        .unzip();
    let answers = steps.ask(Kind::Srv, &names)?;
    for (transport, answer) in candidates.into_iter().zip(&answers) {
        let answer = std::slice::from_ref(answer);
        if let Some(found) = steps.servers(transport, answer, &mut tried)? {
            return Ok(found);
        }
    }
    // RFC 3263 §4.2: addresses of the domain itself only if it has no SRV records. What could not be found out is not
    // taken for absent, or whoever suppresses an answer could send us somewhere else.
    if let Some(error) = tried.failure {
        return Err(error.into());
    }
    if tried.has_servers {
        return Err(ResolveError::NoRecords.into());
    }
    let transport = demanded.map_or_else(|| usual(wanted, options), Ok)?;
    steps.addresses(name, None, transport)
}

/// The transport that the URI leaves no choice about.
fn demanded(
    wanted: &Wanted,
    options: &ResolverOptions,
) -> Result<Option<TransportKind>, ResolveError> {
    let demanded = match (wanted.secure, wanted.transport) {
        // RFC 3261 §26.2.2: TLS is the only way for `sips`, and there is none over datagrams here.
        (true, Some(TransportKind::Udp)) => return Err(ResolveError::NoTransport),
        (true, _) => Some(TransportKind::Tls),
        (false, transport) => transport,
    };
    match demanded {
        Some(transport) if !options.transports.has(transport) => Err(ResolveError::NoTransport),
        demanded => Ok(demanded),
    }
}

/// What a `sip` URI means that says nothing of its transport, where DNS says nothing either.
///
/// RFC 3263 §4.1: UDP. It allows another where there is a reason, and that we speak no UDP is one: then a port that the
/// URI names is a plain one unless it is that of TLS; without a port, TLS goes first.
fn usual(wanted: &Wanted, options: &ResolverOptions) -> Result<TransportKind, ResolveError> {
    let tls_port = Some(TransportKind::Tls.default_port());
    let order = match wanted.port {
        Some(_) if wanted.port != tls_port => {
            [TransportKind::Udp, TransportKind::Tcp, TransportKind::Tls]
        }
        _ => [TransportKind::Udp, TransportKind::Tls, TransportKind::Tcp],
    };
    order
        .into_iter()
        .find(|kind| options.transports.has(*kind))
        .ok_or(ResolveError::NoTransport)
}

fn spoken(options: &ResolverOptions) -> impl Iterator<Item = TransportKind> {
    TransportKind::PREFERRED
        .into_iter()
        .filter(|kind| options.transports.has(*kind))
}

fn destination(ip: IpAddr, port: Option<u16>, transport: TransportKind) -> Destination {
    Destination {
        address: SocketAddr::new(ip, port.unwrap_or(transport.default_port())),
        transport,
    }
}

/// What asking for servers has shown so far.
#[derive(Default)]
struct Tried {
    /// There are SRV records, be it to say that there is no such service.
    has_servers: bool,
    /// Something could not be found out.
    failure: Option<ResolveError>,
}

struct Steps<'a, S> {
    options: &'a ResolverOptions,
    source: &'a mut S,
    dice: &'a mut Dice,
}

impl<S: Source> Steps<'_, S> {
    fn ask(&mut self, kind: Kind, names: &[Name]) -> Result<Vec<Answer>, Stop> {
        let questions: Vec<Question> = names
            .iter()
            .map(|name| Question {
                kind,
                name: name.clone(),
            })
            .collect();
        self.source.answers(&questions)
    }

    /// The transports that a domain offers by NAPTR and we may use, in its order, each with the names of its SRV records.
    ///
    /// What fails here is passed over: SRV records are asked for next, by our own preference, which is the most secure.
    fn offered(
        &mut self,
        name: &Name,
        demanded: Option<TransportKind>,
    ) -> Result<Vec<(TransportKind, Vec<Name>)>, Stop> {
        let answer = self.ask(Kind::Naptr, std::slice::from_ref(name))?.pop();
        let records = match answer {
            Some(Ok(records)) => records,
            Some(Err(ResolveError::Timeout)) => return Err(ResolveError::Timeout.into()),
            _ => return Ok(Vec::new()),
        };
        let Records::Naptr(records) = &*records else {
            return Ok(Vec::new());
        };
        let mut records: Vec<&Naptr> = records.iter().collect();
        records.sort_by_key(|record| (record.order, record.preference));
        let services = records
            .into_iter()
            .filter_map(|record| {
                let kind = TransportKind::of_service(&record.service)?;
                let usable = match demanded {
                    Some(demanded) => kind == demanded,
                    None => self.options.transports.has(kind),
                };
                usable.then(|| (kind, record.replacement.clone()))
            })
            .take(MOST_SERVICES);
        let mut offered: Vec<(TransportKind, Vec<Name>)> = Vec::new();
        for (kind, replacement) in services {
            match offered.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, names)) if names.contains(&replacement) => {}
                Some((_, names)) => names.push(replacement),
                None => offered.push((kind, vec![replacement])),
            }
        }
        Ok(offered)
    }

    /// The servers behind these SRV records, those of the first answer first. `None` if there are none.
    fn servers(
        &mut self,
        transport: TransportKind,
        answers: &[Answer],
        tried: &mut Tried,
    ) -> Result<Option<Vec<Destination>>, Stop> {
        let mut targets: Vec<(u16, Name)> = Vec::new();
        for answer in answers {
            match answer.as_deref() {
                Ok(Records::Srv(records)) => {
                    tried.has_servers |= !records.is_empty();
                    targets.extend(self.targets(records));
                }
                Ok(_) => {}
                Err(error) if error.is_absence() => {}
                Err(error) => tried.failure = tried.failure.or(Some(*error)),
            }
        }
        targets.truncate(MOST_TARGETS);
        let hosts: Vec<Name> = targets.iter().map(|(_, host)| host.clone()).collect();
        let most = match hosts.len() {
            0 => return Ok(None),
            1 => MOST_DESTINATIONS,
            _ => MOST_OF_ONE_TARGET,
        };
        let answers = self.ask(Kind::Addresses, &hosts)?;
        let mut found = Vec::new();
        for ((port, _), answer) in targets.iter().zip(answers) {
            match self.usable(answer) {
                Ok(addresses) => add(&mut found, &addresses, most, Some(*port), transport),
                Err(error) if error.is_absence() => {}
                Err(error) => tried.failure = tried.failure.or(Some(error)),
            }
        }
        Ok((!found.is_empty()).then_some(found))
    }

    /// Ports and hosts of SRV records, in the order in which they are to be tried.
    fn targets(&mut self, records: &[Srv]) -> Vec<(u16, Name)> {
        let records = records.get(..MOST_RECORDS).unwrap_or(records);
        ordered(records, self.dice)
            .into_iter()
            .filter(|record| record.port != 0)
            .filter_map(|record| Some((record.port, record.target?)))
            .collect()
    }

    /// The addresses of a host.
    fn addresses(
        &mut self,
        name: Name,
        port: Option<u16>,
        transport: TransportKind,
    ) -> Result<Vec<Destination>, Stop> {
        let answer = self.ask(Kind::Addresses, &[name])?.pop();
        let addresses = self.usable(answer.unwrap_or(Err(ResolveError::NoRecords)))?;
        let mut found = Vec::new();
        add(&mut found, &addresses, MOST_DESTINATIONS, port, transport);
        Ok(found)
    }

    /// Addresses that can be sent to: never none.
    fn usable(&self, answer: Answer) -> Result<Vec<IpAddr>, ResolveError> {
        let records: Arc<Records> = answer?;
        let Records::Addresses(addresses) = &*records else {
            return Err(ResolveError::NoRecords);
        };
        let usable: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|ip| self.options.has_family(*ip))
            .collect();
        if usable.is_empty() {
            Err(ResolveError::NoRecords)
        } else {
            Ok(usable)
        }
    }
}

fn add(
    found: &mut Vec<Destination>,
    addresses: &[IpAddr],
    most: usize,
    port: Option<u16>,
    transport: TransportKind,
) {
    for ip in addresses.iter().take(most) {
        let destination = destination(*ip, port, transport);
        if found.len() < MOST_DESTINATIONS && !found.contains(&destination) {
            found.push(destination);
        }
    }
}
