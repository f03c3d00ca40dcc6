//! Max-Breadth: RFC 5393 §5.3.3.

use crate::sip::{Fault, Message, StatusCode};

/// The breadth of a request that states none, and the most that one may have.
pub const MAX_BREADTH: u16 = 60;

const MALFORMED: Fault = Fault::bad_request("Malformed Max-Breadth header");

/// How many branches of a request there may be at a time, ours and those of everybody behind us together. More than
/// [`MAX_BREADTH`] counts as that; of several fields the narrowest counts.
///
/// # Errors
/// 400 when it is no number, 440 when it is 0. No other breadth is too small: a fork that is wider than its request tries
/// its targets one after the other.
pub fn max_breadth(request: &Message<'_>) -> Result<u16, Fault> {
    let mut breadth = MAX_BREADTH;
    for (_, name, value) in request.fields() {
        if !name.eq_ignore_ascii_case(b"Max-Breadth") {
            continue;
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(MALFORMED);
        }
        // Digits alone that are no u16 are too many for it.
        let number = std::str::from_utf8(value).ok().and_then(|d| d.parse().ok());
        breadth = breadth.min(number.unwrap_or(MAX_BREADTH));
    }
    if breadth == 0 {
        return Err(Fault {
            status: StatusCode::MAX_BREADTH_EXCEEDED,
            phrase: "Max-Breadth Exceeded",
        });
    }
    Ok(breadth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_breadth_that_it_states_and_never_more_than_ours() {
        for (situation, fields, wanted) in [
            ("none", "", Ok(60)),
            ("one", "Max-Breadth: 7\r\n", Ok(7)),
            ("in other letters", "MAX-BREADTH:1\r\n", Ok(1)),
            ("ours", "Max-Breadth: 60\r\n", Ok(60)),
            ("more than ours", "Max-Breadth: 61\r\n", Ok(60)),
            (
                "more than any",
                "Max-Breadth: 18446744073709551616\r\n",
                Ok(60),
            ),
            ("zeros before", "Max-Breadth: 0005\r\n", Ok(5)),
            ("two", "Max-Breadth: 9\r\nMax-Breadth: 8\r\n", Ok(8)),
            ("nothing left", "Max-Breadth: 0\r\n", Err(440)),
            ("nothing written", "Max-Breadth:\r\n", Err(400)),
            ("a sign", "Max-Breadth: +6\r\n", Err(400)),
            ("words", "Max-Breadth: many\r\n", Err(400)),
            ("a parameter", "Max-Breadth: 6;x\r\n", Err(400)),
        ] {
            let text = format!("INVITE sip:h SIP/2.0\r\n{fields}\r\n");
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let found = max_breadth(&message).map_err(|fault| fault.status.as_u16());
            assert_eq!(found, wanted, "{situation}");
        }
    }
}
