//! Names of header fields that somebody here asks for, with their compact forms (RFC 3261 §7.3.3, §20).

macro_rules! names {
    ($($variant:ident $name:literal $($compact:literal)?;)*) => {
        /// A header field name; case and compact form do not matter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum HeaderName {
            $(#[doc = $name] $variant,)*
            /// Any other; the message keeps its text.
            Other,
        }

        /// One jump by length, first and last letter leaves one candidate. Two names of one key would not compile.
        #[expect(non_upper_case_globals, reason = "one constant for each variant")]
        mod keys {
            $(pub(super) const $variant: u32 = super::key($name.as_bytes());)*
        }

        impl HeaderName {
            /// The name that this text means.
            pub fn parse(text: &[u8]) -> Self {
                if let [octet] = text {
                    return match octet.to_ascii_lowercase() {
                        $($($compact => Self::$variant,)?)*
                        _ => Self::Other,
                    };
                }
                #[deny(unreachable_patterns)]
                let candidate = match key(text) {
                    $(keys::$variant => Self::$variant,)*
                    _ => return Self::Other,
                };
                if candidate.as_str().as_bytes().eq_ignore_ascii_case(text) {
                    candidate
                } else {
                    Self::Other
                }
            }

            /// The long form as RFC 3261 writes it; empty for `Other`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other => "",
                }
            }
        }
    };
}

names! {
    Via "Via" b'v';
    From "From" b'f';
    To "To" b't';
    CallId "Call-ID" b'i';
    CSeq "CSeq";
    MaxForwards "Max-Forwards";
    MaxBreadth "Max-Breadth";
    ContentLength "Content-Length" b'l';
    Contact "Contact" b'm';
    Expires "Expires";
    Route "Route";
    RecordRoute "Record-Route";
    ContentType "Content-Type" b'c';
    UserAgent "User-Agent";
    Server "Server";
    Supported "Supported" b'k';
    Require "Require";
    ProxyRequire "Proxy-Require";
    Unsupported "Unsupported";
    Authorization "Authorization";
    ProxyAuthorization "Proxy-Authorization";
    ReferredBy "Referred-By" b'b';
    ReferTo "Refer-To" b'r';
    Event "Event" b'o';
    Path "Path";
    PAssertedIdentity "P-Asserted-Identity";
    PPreferredIdentity "P-Preferred-Identity";
    Privacy "Privacy";
    Subject "Subject" b's';
    Date "Date";
    MinExpires "Min-Expires";
    Allow "Allow";
    Accept "Accept";
}

/// Length, first and last letter of a name, letters in lower case.
const fn key(text: &[u8]) -> u32 {
    match text {
        [first, .., last] if text.len() < 64 => {
            ((text.len() as u32) << 16) | ((*first as u32 | 0x20) << 8) | (*last as u32 | 0x20)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_compactly() {
        for (text, name) in [
            ("Via", HeaderName::Via),
            ("v", HeaderName::Via),
            ("V", HeaderName::Via),
            ("f", HeaderName::From),
            ("TO", HeaderName::To),
            ("t", HeaderName::To),
            ("call-id", HeaderName::CallId),
            ("I", HeaderName::CallId),
            ("cseq", HeaderName::CSeq),
            ("MaX-fOrWaRdS", HeaderName::MaxForwards),
            ("l", HeaderName::ContentLength),
            ("L", HeaderName::ContentLength),
            ("m", HeaderName::Contact),
            ("c", HeaderName::ContentType),
            ("s", HeaderName::Subject),
            ("k", HeaderName::Supported),
            ("o", HeaderName::Event),
            ("r", HeaderName::ReferTo),
            ("b", HeaderName::ReferredBy),
            ("p-asserted-identity", HeaderName::PAssertedIdentity),
            ("", HeaderName::Other),
            ("x", HeaderName::Other),
            ("e", HeaderName::Other),
            ("Vi", HeaderName::Other),
            ("Vxa", HeaderName::Other),
            ("Via ", HeaderName::Other),
            ("Call_ID", HeaderName::Other),
            ("Content-Lengthh", HeaderName::Other),
            ("C%6Fntact", HeaderName::Other),
        ] {
            assert_eq!(HeaderName::parse(text.as_bytes()), name, "{text}");
        }
    }

    #[test]
    fn long_forms_name_themselves() {
        for name in [
            HeaderName::Via,
            HeaderName::CSeq,
            HeaderName::Accept,
            HeaderName::MinExpires,
        ] {
            assert_eq!(HeaderName::parse(name.as_str().as_bytes()), name);
        }
    }
}
