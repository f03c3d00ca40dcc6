//! A stream, and how it is cut: the frames are the same as of the whole at once (RFC 3261 §18.3). The first octet says
//! how many of the next are lengths of chunks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::sip::{Frame, FrameLimits, Framer};

const LIMITS: FrameLimits = FrameLimits {
    head_bytes: 2000,
    body_bytes: 500,
    fields: 40,
};

fn frames(stream: &[u8], chunks: &[u8]) -> Vec<String> {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    let (mut from, mut have) = (0, 0);
    let mut chunks = chunks.iter();
    loop {
        let frame = framer.next(&stream[from..have], &LIMITS);
        let length = match &frame {
            Frame::Ping => 4,
            Frame::Pong => 2,
            Frame::Message { message, length } => {
                assert!(message.body().len() <= LIMITS.body_bytes && *length <= have - from);
                assert_eq!(
                    message.content_length().ok().flatten(),
                    Some(message.body().len() as u64)
                );
                *length
            }
            Frame::Partial { .. } if have < stream.len() => {
                have = chunks.next().map_or(stream.len(), |c| {
                    stream.len().min(have + 1 + usize::from(*c))
                });
                continue;
            }
            Frame::Partial { .. } | Frame::Unframed { .. } => 0,
        };
        found.push(format!("{frame:?}"));
        from += length;
        if length == 0 {
            return found;
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((count, rest)) = data.split_first() else {
        return;
    };
    let (chunks, stream) = rest.split_at(rest.len().min(usize::from(*count)));
    assert_eq!(frames(stream, chunks), frames(stream, &[]));
});
