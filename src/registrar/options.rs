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
}
