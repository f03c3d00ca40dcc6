//! Registrations that lead back through us, and requests that come back.
