//! Header fields taken over from one message into another: as they are written, and many at once.

use std::ops::Range;

use super::message::Message;
use super::name::HeaderName;

/// A header field of a message that is written anew.
#[derive(Debug, Clone)]
pub(crate) struct Line<'m> {
    /// What name it is.
    pub(crate) name: HeaderName,
    /// The name as written.
    pub(crate) text: &'m [u8],
    /// Its value, blanks around it dropped.
    pub(crate) value: &'m [u8],
    /// Where in the head name and value stand.
    pub(super) place: Range<usize>,
}

/// Fields that follow each other and are kept: copied in one go, with what stands between them.
///
/// Nothing can hide there: between two fields that follow each other is one line end and maybe blanks, or the message
/// would have had a fault and been normalised.
#[derive(Debug)]
pub(crate) struct Run<'m> {
    head: &'m [u8],
    kept: Range<usize>,
}

impl<'m> Run<'m> {
    /// An empty one.
    pub(crate) fn new(message: &'m Message<'_>) -> Self {
        Self {
            head: message.head(),
            kept: 0..0,
        }
    }

    /// Keeps this field, which must follow the one that was kept before.
    pub(crate) fn keep(&mut self, line: &Line<'_>) {
        if self.kept.is_empty() {
            self.kept.start = line.place.start;
        }
        self.kept.end = line.place.end;
    }

    /// Appends what was kept. To be called before anything else is written, where a field is left out, and at the end.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(kept) = self.head.get(self.kept.clone())
            && !kept.is_empty()
        {
            out.extend_from_slice(kept);
            out.extend_from_slice(b"\r\n");
        }
        self.kept = 0..0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_written_as_it_was() {
        let text =
            b"OPTIONS sip:h SIP/2.0\r\nv: 1 \t\r\nX-Y:\tz\r\nTO:  a \r\nFrom:\r\nl: 0 \r\n\r\n";
        let message = Message::parse(text, text.len(), 8);
        for (situation, left_out, wanted) in [
            (
                "all",
                &[][..],
                "v: 1 \t\r\nX-Y:\tz\r\nTO:  a \r\nFrom:\r\nl: 0\r\n",
            ),
            (
                "not the first",
                &[HeaderName::Via],
                "X-Y:\tz\r\nTO:  a \r\nFrom:\r\nl: 0\r\n",
            ),
            (
                "not the last",
                &[HeaderName::ContentLength],
                "v: 1 \t\r\nX-Y:\tz\r\nTO:  a \r\nFrom:\r\n",
            ),
            (
                "not one within",
                &[HeaderName::To],
                "v: 1 \t\r\nX-Y:\tz\r\nFrom:\r\nl: 0\r\n",
            ),
            (
                "not two within",
                &[HeaderName::To, HeaderName::Other],
                "v: 1\r\nFrom:\r\nl: 0\r\n",
            ),
            (
                "only an empty one",
                &[
                    HeaderName::Via,
                    HeaderName::Other,
                    HeaderName::To,
                    HeaderName::ContentLength,
                ],
                "From:\r\n",
            ),
        ] {
            let (mut out, mut run) = (Vec::new(), Run::new(&message));
            for line in message.lines() {
                if left_out.contains(&line.name) {
                    run.end(&mut out);
                } else {
                    run.keep(&line);
                }
            }
            run.end(&mut out);
            run.end(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), wanted, "{situation}");
        }
    }
}
