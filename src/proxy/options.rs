//! What an operator may decide about routing.

/// Settings of the room.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// repro: `ServerText`: the Server header of our own answers; `None` sends none.
    pub server_text: Option<String>,
    /// repro: `AlwaysAllowRelaying`.
    pub always_allow_relaying: bool,
}
