//! Messages as lines of text, for those who write and compare them.

#![allow(clippy::unwrap_used)]

/// Lines of the head, without the body.
pub(super) fn head(message: &str) -> impl Iterator<Item = &str> {
    let end = message.find("\r\n\r\n").unwrap();
    message.get(..end).unwrap().split("\r\n")
}

/// What stands behind the empty line.
pub(super) fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

/// Values of the fields of this name, in their order.
pub(super) fn fields<'m>(message: &'m str, name: &str) -> Vec<&'m str> {
    let named = |line: &'m str| Some(line.split_once(": ")?).filter(|(of, _)| *of == name);
    head(message)
        .skip(1)
        .filter_map(named)
        .map(|(_, v)| v)
        .collect()
}

/// Value of the first field of this name.
pub(super) fn field<'m>(message: &'m str, name: &str) -> &'m str {
    fields(message, name).first().copied().unwrap_or_default()
}

/// The status of a response; `None` for a request.
pub(super) fn status(message: &str) -> Option<u16> {
    message.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// The method of a request, or of the one that a response answers.
pub(super) fn method(message: &str) -> &str {
    field(message, "CSeq").split(' ').nth(1).unwrap_or_default()
}

/// The tag of a From or To.
pub(super) fn tag(value: &str) -> Option<&str> {
    value.split_once(";tag=").map(|(_, tag)| tag)
}

/// The URI between angle brackets.
pub(super) fn uri(value: &str) -> &str {
    let inner = value
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(value, |(uri, _)| uri)
}

/// A message of these lines and this body.
pub(super) fn written(lines: &[String], body: &str) -> String {
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}
