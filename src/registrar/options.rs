//! What an operator may decide about registrations.

use std::num::NonZeroUsize;

/// Settings of the room.
#[derive(Debug, Clone)]
pub struct RegistrarOptions {
    /// repro: not `DisableRegistrar`.
    pub enabled: bool,
    /// repro: `AllowBadReg`: accept a To tag in REGISTER.
    pub allow_to_tag: bool,
    /// Ours: `RegistrationMinimumExpires`, in seconds; shorter is answered 423.
    pub min_expires: u32,
    /// Ours: `RegistrationMaximumExpires`, in seconds; longer is shortened.
    pub max_expires: u32,
    /// Ours: `RegistrationDefaultExpires`, in seconds.
    pub default_expires: u32,
    /// Ours: `RegistrationMaximumContacts`: bindings of one address-of-record.
    pub max_contacts: NonZeroUsize,
    /// Ours: `RegistrationMaximumTotal`: addresses-of-record with bindings.
    pub max_total: NonZeroUsize,
    /// Several flows of one device.
    pub outbound: OutboundOptions,
}

/// Settings of client-initiated connections (RFC 5626).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboundOptions {
    /// repro: not `DisableOutbound`: `reg-id` counts.
    pub enabled: bool,
    /// repro: `AssumeFirstHopSupportsOutbound`: a Path is taken for one of an edge proxy that keeps flows, with `ob` or
    /// without.
    pub assume_edge: bool,
    /// repro: `FlowTimer`: seconds in which a device is asked to let hear of itself; 0 asks for nothing.
    pub flow_timer: u32,
}

impl Default for OutboundOptions {
    /// repro's.
    fn default() -> Self {
        Self {
            enabled: true,
            assume_edge: false,
            flow_timer: 0,
        }
    }
}
