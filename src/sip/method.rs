//! Methods: case-sensitive tokens, unknown ones kept (RFC 3261 §7.1, §25.1).

use super::text::is_token;

/// A request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method<'a> {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §17.1.1.3.
    Ack,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §10.
    Register,
    /// RFC 3261 §11.
    Options,
    /// RFC 3428.
    Message,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3903.
    Publish,
    /// RFC 3515.
    Refer,
    /// RFC 3311.
    Update,
    /// RFC 6086.
    Info,
    /// RFC 3262.
    Prack,
    /// Any other token.
    Other(&'a str),
}

impl<'a> Method<'a> {
    /// The method that this text names; `None` when it is no token.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        Some(match text {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"REGISTER" => Self::Register,
            b"OPTIONS" => Self::Options,
            b"MESSAGE" => Self::Message,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"PUBLISH" => Self::Publish,
            b"REFER" => Self::Refer,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"PRACK" => Self::Prack,
            other if is_token(other) => Self::Other(std::str::from_utf8(other).ok()?),
            _ => return None,
        })
    }

    /// The method as it stands in a message.
    pub fn as_str(&self) -> &'a str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Register => "REGISTER",
            Self::Options => "OPTIONS",
            Self::Message => "MESSAGE",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Publish => "PUBLISH",
            Self::Refer => "REFER",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Prack => "PRACK",
            Self::Other(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_tokens_whose_case_matters() {
        for (text, method) in [
            ("INVITE", Some(Method::Invite)),
            ("invite", Some(Method::Other("invite"))),
            ("RE%47IST%45R", Some(Method::Other("RE%47IST%45R"))),
            ("!i-M*_+`.%~'", Some(Method::Other("!i-M*_+`.%~'"))),
            ("", None),
            ("INVITE ", None),
            ("IN/VITE", None),
            ("INV\u{cd}TE", None),
        ] {
            let found = Method::parse(text.as_bytes());
            assert_eq!(found, method, "{text}");
            assert_eq!(found.map_or(text, |m| m.as_str()), text);
        }
    }
}
