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

        impl HeaderName {
            /// The name that this text means.
            pub fn parse(text: &[u8]) -> Self {
                if let [octet] = text {
                    return match octet.to_ascii_lowercase() {
                        $($($compact => Self::$variant,)?)*
                        _ => Self::Other,
                    };
                }
                $(if text.len() == $name.len() && text.eq_ignore_ascii_case($name.as_bytes()) {
                    return Self::$variant;
                })*
                Self::Other
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
    ContentLength "Content-Length" b'l';
    Contact "Contact" b'm';
    Expires "Expires";
    Route "Route";
    RecordRoute "Record-Route";
    ContentType "Content-Type" b'c';
    UserAgent "User-Agent";
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
    Privacy "Privacy";
    Subject "Subject" b's';
    Date "Date";
    MinExpires "Min-Expires";
    Allow "Allow";
    Accept "Accept";
}
