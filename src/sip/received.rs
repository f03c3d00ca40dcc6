//! What whoever receives a request notes in its topmost Via: RFC 3261 §18.2.1, RFC 3581 §4.

use std::net::{IpAddr, SocketAddr};

use super::host::Host;
use super::text::{trim_end, write_ip, write_number};
use super::via::{Via, first_value};

/// A topmost Via that must be written anew: with `received`, since the sender's address is not what it wrote, and with
/// `rport` where it asked for that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'v> {
    /// The whole field, which may be a list.
    field: &'v [u8],
    /// Its first value.
    value: &'v [u8],
    via: Via<'v>,
    ip: IpAddr,
    port: Option<u16>,
}

impl<'v> Received<'v> {
    /// Takes the first Via field of a request that came from `source`, and its first value, read; `None` when it may stay
    /// as it is.
    pub(crate) fn of(field: &'v [u8], via: Via<'v>, source: SocketAddr) -> Option<Self> {
        let value = first_value(field);
        // A socket for both families shows an IPv4 peer as a mapped address.
        let ip = source.ip().to_canonical();
        let same_host = matches!(via.host, Host::Ip(written) if written == ip);
        let (mut rport, mut claimed) = (false, false);
        for (name, _) in via.parameters.iter() {
            rport |= name.eq_ignore_ascii_case(b"rport");
            claimed |= name.eq_ignore_ascii_case(b"received");
        }
        (!same_host || rport || claimed).then_some(Self {
            field,
            value,
            via,
            ip,
            port: rport.then_some(source.port()),
        })
    }

    /// Appends the whole header line. What the sender itself claimed in `received` and `rport` is dropped.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Via: ");
        let parameters = self.via.parameters;
        let fixed = self.value.len().saturating_sub(parameters.as_bytes().len());
        out.extend_from_slice(trim_end(self.value.get(..fixed).unwrap_or_default()));
        for (name, parameter) in parameters.iter() {
            if name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport") {
                continue;
            }
            out.push(b';');
            out.extend_from_slice(name);
            if let Some(parameter) = parameter {
                out.push(b'=');
                out.extend_from_slice(parameter);
            }
        }
        out.extend_from_slice(b";received=");
        write_ip(self.ip, out);
        if let Some(port) = self.port {
            out.extend_from_slice(b";rport=");
            write_number(usize::from(port), out);
        }
        out.extend_from_slice(self.field.get(self.value.len()..).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }
}
