//! What a SIP message is: RFC 3261 §7, §19, §20, §25.
//!
//! Pure. Knows nothing of sockets, time or users.
