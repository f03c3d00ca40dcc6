//! transaction (room)
